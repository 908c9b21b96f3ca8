//! What a cluster's owner says about names: hosts, names that stand for others, and who is asked for
//! which domain.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// Clients keep these answers this long.
const TTL_SECONDS: u32 = 5;

/// Rules that come before the cluster's own names and the node's resolvers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NameRules {
    /// Addresses of hosts.
    pub hosts: HashMap<Name, Vec<IpAddr>>,
    /// Names that stand for others.
    pub aliases: HashMap<Name, Name>,
    /// Who is asked for names of a domain; the most specific domain counts.
    pub forwards: Vec<(Name, Vec<SocketAddr>)>,
    /// Whether questions are logged.
    pub log: bool,
}

impl NameRules {
    /// Adds an address of a host; a name that is none is left out.
    pub(crate) fn add_host(&mut self, name: &str, address: IpAddr) {
        if let Some(name) = absolute(name) {
            let addresses = self.hosts.entry(name).or_default();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }

    /// Lets a name stand for another.
    pub(crate) fn add_alias(&mut self, name: &str, target: &str) {
        if let (Some(name), Some(target)) = (absolute(name), absolute(target))
            && name != target
        {
            self.aliases.insert(name, target);
        }
    }

    /// What a name stands for.
    pub(crate) fn alias(&self, name: &Name) -> Option<&Name> {
        self.aliases.get(&name.to_lowercase())
    }

    /// The records of a host; none when it is not one of these.
    pub(crate) fn records(&self, name: &Name, record_type: RecordType) -> Option<Vec<Record>> {
        let addresses = self.hosts.get(&name.to_lowercase())?;
        let data = addresses.iter().map(|address| match address {
            IpAddr::V4(address) => RData::A(A::from(*address)),
            IpAddr::V6(address) => RData::AAAA(AAAA::from(*address)),
        });
        let wanted = data.filter(|data| data.record_type() == record_type);
        Some(wanted.map(|data| Record::from_rdata(name.clone(), TTL_SECONDS, data)).collect())
    }

    /// Who is asked for a name; none: the node's resolvers.
    pub(crate) fn upstreams(&self, name: &Name) -> Option<&[SocketAddr]> {
        let matching = self.forwards.iter().filter(|(domain, _)| domain.zone_of(name));
        let closest = matching.max_by_key(|(domain, _)| domain.num_labels())?;
        Some(&closest.1)
    }
}

/// A name in small letters that ends at the root.
pub(crate) fn absolute(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok()?.to_lowercase();
    name.set_fqdn(true);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_domain_counts() {
        let upstream = |port| vec![SocketAddr::from(([10, 0, 0, 1], port))];
        let mut rules = NameRules::default();
        rules.forwards.push((absolute("corp.example").unwrap(), upstream(1)));
        rules.forwards.push((absolute("lab.corp.example").unwrap(), upstream(2)));
        let check = |name: &str, expect: Option<u16>| {
            let found = rules.upstreams(&absolute(name).unwrap());
            assert_eq!(found.map(|upstreams| upstreams[0].port()), expect, "{name}");
        };
        check("a.corp.example", Some(1));
        check("CORP.example", Some(1));
        check("a.lab.corp.example", Some(2));
        check("other.example", None);
        rules.forwards.push((Name::root(), upstream(3)));
        let found = rules.upstreams(&absolute("other.example").unwrap());
        assert_eq!(found.unwrap()[0].port(), 3);
    }

    #[test]
    fn hosts_have_addresses() {
        let mut rules = NameRules::default();
        rules.add_host("DB.example", "192.0.2.7".parse().unwrap());
        rules.add_host("not a name..", "192.0.2.7".parse().unwrap());
        let count = |name: &str, record_type| {
            rules.records(&absolute(name).unwrap(), record_type).map(|records| records.len())
        };
        assert_eq!(count("db.example", RecordType::A), Some(1));
        assert_eq!(count("db.example", RecordType::AAAA), Some(0));
        assert_eq!(count("other.example", RecordType::A), None);
    }
}

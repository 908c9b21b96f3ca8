//! The address ranges of a new cluster: families, ranges of pods and services, the DNS Service, and the
//! Docker network's IPv6 range. Ranges that the machine has routes to, by a VPN for example, are
//! avoided where the user named none.

use std::net::{IpAddr, Ipv6Addr};

use clap::ValueEnum;
use ipnet::{IpNet, Ipv6Net};
use kd_contract::{NetworkBackend, POD_CIDR, POD_CIDR_V6, SERVICE_CIDR, SERVICE_CIDR_V6};

use crate::error::{Error, ExitCode, Result};

/// The place of the DNS Service in the range of services, as kubeadm has it.
const DNS_PLACE: usize = 9;
/// The least room in a range of services.
const SERVICE_ADDRESSES_MIN: usize = 16;
/// Where pods and services are when the usual ranges are somebody else's.
const OTHER_POD_CIDRS: [&str; 4] =
    ["10.144.0.0/16", "172.30.0.0/16", "192.168.128.0/17", "100.100.0.0/16"];
const OTHER_SERVICE_CIDRS: [&str; 4] =
    ["10.43.0.0/16", "172.29.0.0/16", "198.18.0.0/16", "100.101.0.0/16"];
/// Docker networks where Docker's own choice is somebody else's.
const OTHER_SUBNETS: [&str; 6] = [
    "172.27.0.0/16",
    "192.168.224.0/20",
    "10.199.0.0/16",
    "172.21.0.0/16",
    "192.168.64.0/20",
    "10.210.0.0/16",
];
/// Routes to more than this are a way out, not a network.
const ROUTE_PREFIX_MIN: u8 = 8;

/// `--ip-family`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum IpFamily {
    /// IPv4 only.
    #[default]
    Ipv4,
    /// IPv6 only.
    Ipv6,
    /// Both, IPv4 first.
    Dual,
}

impl IpFamily {
    /// Whether IPv6, of each family.
    fn versions(self) -> &'static [bool] {
        match self {
            IpFamily::Ipv4 => &[false],
            IpFamily::Ipv6 => &[true],
            IpFamily::Dual => &[false, true],
        }
    }

    /// Whether the Docker network needs IPv6.
    pub fn has_ipv6(self) -> bool {
        self != IpFamily::Ipv4
    }

    fn word(self) -> &'static str {
        match self {
            IpFamily::Ipv4 => "ipv4",
            IpFamily::Ipv6 => "ipv6",
            IpFamily::Dual => "dual",
        }
    }
}

/// What the user asked for.
#[derive(Clone, Debug, Default)]
pub struct NetworkRequest {
    /// The families.
    pub family: IpFamily,
    /// `--pod-cidr`: ranges separated by commas.
    pub pods: Option<String>,
    /// `--service-cidr`: ranges separated by commas.
    pub services: Option<String>,
    /// Where pods keep their addresses.
    pub non_masquerade: Vec<IpNet>,
    /// How packets get to other nodes' pods.
    pub backend: NetworkBackend,
    /// Pods are on the network of CNI plugins.
    pub disable_default_cni: bool,
    /// Somebody else leads Services' packets.
    pub disable_kube_proxy: bool,
}

/// The cluster's ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Of pods, one of a family.
    pub pods: Vec<IpNet>,
    /// Of services.
    pub services: Vec<IpNet>,
    /// The DNS Service's address.
    pub dns: IpAddr,
    /// What the user should know of the choice.
    pub notes: Vec<String>,
}

/// Chooses the ranges; `routes` are the machine's own.
pub fn resolve(request: &NetworkRequest, routes: &[IpNet]) -> Result<Addresses> {
    let mut notes = Vec::new();
    let pods = Choice { flag: "--pod-cidr", what: "pods", usual: [POD_CIDR, POD_CIDR_V6] };
    let pods =
        pods.choose(request, request.pods.as_deref(), &OTHER_POD_CIDRS, routes, &mut notes)?;
    let services =
        Choice { flag: "--service-cidr", what: "services", usual: [SERVICE_CIDR, SERVICE_CIDR_V6] };
    let others: Vec<&str> = OTHER_SERVICE_CIDRS.to_vec();
    let services =
        services.choose(request, request.services.as_deref(), &others, routes, &mut notes)?;
    if let Some((pod, service)) = overlap(&pods, &services) {
        let message = format!("the ranges of pods ({pod}) and services ({service}) overlap");
        return Err(Error::new(ExitCode::Usage, message)
            .hint("choose others with --pod-cidr and --service-cidr"));
    }
    let dns = services[0].hosts().filter(|a| *a != services[0].network()).nth(DNS_PLACE);
    let dns = dns.filter(|_| services.iter().all(is_roomy)).ok_or_else(|| {
        let message = format!("--service-cidr {} has too few addresses", joined(&services));
        Error::new(ExitCode::Usage, message).hint("a /24 has enough, a /16 is usual")
    })?;
    Ok(Addresses { pods, services, dns, notes })
}

fn is_roomy(range: &IpNet) -> bool {
    range.hosts().take(SERVICE_ADDRESSES_MIN - 2).count() == SERVICE_ADDRESSES_MIN - 2
}

/// As upstream writes several ranges.
pub fn joined(ranges: &[IpNet]) -> String {
    ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// A kind of range.
struct Choice {
    flag: &'static str,
    what: &'static str,
    usual: [&'static str; 2],
}

impl Choice {
    fn choose(
        &self,
        request: &NetworkRequest,
        given: Option<&str>,
        others: &[&str],
        routes: &[IpNet],
        notes: &mut Vec<String>,
    ) -> Result<Vec<IpNet>> {
        if let Some(text) = given {
            return self.given(text, request.family);
        }
        let mut chosen = Vec::new();
        for is_ipv6 in request.family.versions() {
            let usual = range(self.usual[usize::from(*is_ipv6)]);
            match taken_by(&usual, routes) {
                Some(route) if !is_ipv6 => {
                    let free = others.iter().map(|text| range(text));
                    let free = free.into_iter().find(|range| taken_by(range, routes).is_none());
                    let instead = free.unwrap_or(usual);
                    let what = self.what;
                    notes.push(format!(
                        "this machine has a route to {route}: {what} get {instead} instead of {usual}"
                    ));
                    chosen.push(instead);
                }
                _ => chosen.push(usual),
            }
        }
        Ok(chosen)
    }

    fn given(&self, text: &str, family: IpFamily) -> Result<Vec<IpNet>> {
        let flag = self.flag;
        let parsed = text.split(',').map(|range| range.trim().parse::<IpNet>());
        let ranges: Vec<IpNet> =
            parsed.collect::<std::result::Result<_, _>>().map_err(|source| {
                Error::new(ExitCode::Usage, format!("{flag} {text} is no range of addresses"))
                    .because(source)
                    .hint("write it as 10.244.0.0/16, or two of both families with a comma")
            })?;
        let families: Vec<bool> = ranges.iter().map(|range| range.addr().is_ipv6()).collect();
        let mut wanted = family.versions().to_vec();
        let mut found = families.clone();
        wanted.sort_unstable();
        found.sort_unstable();
        if wanted != found {
            let message = format!("{flag} {text} does not fit --ip-family {}", family.word());
            return Err(Error::new(ExitCode::Usage, message)
                .hint("one range for ipv4 or ipv6, one of each family for dual"));
        }
        Ok(ranges.iter().map(IpNet::trunc).collect())
    }
}

/// The ranges of this file are ranges: a test reads them all.
fn range(text: &str) -> IpNet {
    text.parse().unwrap_or_default()
}

fn overlap(some: &[IpNet], others: &[IpNet]) -> Option<(IpNet, IpNet)> {
    let pairs = some.iter().flat_map(|one| others.iter().map(move |other| (*one, *other)));
    pairs.into_iter().find(|(one, other)| do_overlap(one, other))
}

fn do_overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

/// The route that a range is in the way of.
pub fn taken_by(range: &IpNet, routes: &[IpNet]) -> Option<IpNet> {
    let networks = routes.iter().filter(|route| route.prefix_len() >= ROUTE_PREFIX_MIN);
    networks.copied().find(|route| do_overlap(route, range))
}

/// A range for the Docker network that nothing on this machine leads to.
pub fn free_subnet(routes: &[IpNet]) -> Option<IpNet> {
    OTHER_SUBNETS.iter().map(|text| range(text)).find(|range| taken_by(range, routes).is_none())
}

/// A range of unique local addresses (RFC 4193) for the cluster's Docker network: old engines choose
/// none themselves. Another one with every attempt.
pub fn docker_subnet_v6(cluster: &str, attempt: u8) -> Ipv6Net {
    let text = format!("{cluster}/{attempt}");
    // FNV-1a: the same cluster gets the same range.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let [a, b, c, d, e, f, g, _] = hash.to_be_bytes();
    let network = Ipv6Addr::from([0xfd, a, b, c, d, e, f, g, 0, 0, 0, 0, 0, 0, 0, 0]);
    Ipv6Net::new_assert(network, 64)
}

/// The networks that this machine's IPv4 routes lead to (`/proc/net/route`); none where there is no
/// such file.
pub fn routes_of_this_machine() -> Vec<IpNet> {
    parse_routes(&std::fs::read_to_string("/proc/net/route").unwrap_or_default())
}

fn parse_routes(text: &str) -> Vec<IpNet> {
    let address = |word: &str| {
        u32::from_str_radix(word, 16).ok().map(|word| IpAddr::from(word.to_ne_bytes()))
    };
    let route = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (to, mask) = (address(words.get(1)?)?, address(words.get(7)?)?);
        IpNet::with_netmask(to, mask).ok()
    };
    text.lines().skip(1).filter_map(route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(family: IpFamily, pods: Option<&str>, services: Option<&str>) -> NetworkRequest {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let (pods, services) = (owned(pods), owned(services));
        NetworkRequest { family, pods, services, ..NetworkRequest::default() }
    }

    type Expected<'a> = std::result::Result<(&'a str, &'a str, &'a str), &'a str>;

    fn check(request: &NetworkRequest, expect: Expected) {
        let shown = |found: Addresses| {
            (joined(&found.pods), joined(&found.services), found.dns.to_string())
        };
        match (resolve(request, &[]).map(shown), expect) {
            (Ok(found), Ok((pods, services, dns))) => {
                assert_eq!(found, (pods.into(), services.into(), dns.into()));
            }
            (Err(error), Err(text)) => {
                let message = error.full_message();
                assert!(message.contains(text) || error.hints().iter().any(|h| h.contains(text)));
            }
            (found, expect) => panic!("{:?} instead of {expect:?}", found.ok()),
        }
    }

    #[test]
    fn usual_ranges() {
        check(
            &request(IpFamily::Ipv4, None, None),
            Ok(("10.244.0.0/16", "10.96.0.0/16", "10.96.0.10")),
        );
        check(
            &request(IpFamily::Ipv6, None, None),
            Ok(("fd00:10:244::/56", "fd00:10:96::/112", "fd00:10:96::a")),
        );
        check(
            &request(IpFamily::Dual, None, None),
            Ok(("10.244.0.0/16,fd00:10:244::/56", "10.96.0.0/16,fd00:10:96::/112", "10.96.0.10")),
        );
    }

    #[test]
    fn given_ranges() {
        let v4 = IpFamily::Ipv4;
        check(
            &request(v4, Some("10.1.2.0/16"), Some("10.2.0.0/24")),
            Ok(("10.1.0.0/16", "10.2.0.0/24", "10.2.0.10")),
        );
        check(&request(v4, Some("x"), None), Err("no range"));
        check(&request(v4, Some("fd00::/56"), None), Err("does not fit --ip-family ipv4"));
        check(&request(IpFamily::Dual, Some("10.1.0.0/16"), None), Err("--ip-family dual"));
        check(&request(v4, Some("10.96.0.0/12"), None), Err("overlap"));
        check(&request(v4, None, Some("10.2.0.0/29")), Err("too few"));
        check(
            &request(IpFamily::Dual, Some("fd01::/56,10.1.0.0/16"), None),
            Ok(("fd01::/56,10.1.0.0/16", "10.96.0.0/16,fd00:10:96::/112", "10.96.0.10")),
        );
    }

    #[test]
    fn a_vpn_is_avoided() {
        let check = |route: &str, pods: &str, services: &str, notes: usize| {
            let routes = [range(route)];
            let found = resolve(&request(IpFamily::Ipv4, None, None), &routes).unwrap();
            assert_eq!(
                (joined(&found.pods), joined(&found.services)),
                (pods.into(), services.into())
            );
            assert_eq!(found.notes.len(), notes, "{:?}", found.notes);
        };
        check("0.0.0.0/0", "10.244.0.0/16", "10.96.0.0/16", 0);
        check("0.0.0.0/1", "10.244.0.0/16", "10.96.0.0/16", 0);
        check("192.168.1.0/24", "10.244.0.0/16", "10.96.0.0/16", 0);
        check("10.244.7.0/24", "10.144.0.0/16", "10.96.0.0/16", 1);
        check("10.0.0.0/8", "172.30.0.0/16", "172.29.0.0/16", 2);
    }

    #[test]
    fn the_ranges_of_this_file_are_ranges() {
        let all = OTHER_POD_CIDRS.iter().chain(&OTHER_SERVICE_CIDRS).chain(&OTHER_SUBNETS);
        for text in all.chain(&[POD_CIDR, POD_CIDR_V6, SERVICE_CIDR, SERVICE_CIDR_V6]) {
            assert!(text.parse::<IpNet>().is_ok_and(|range| range == range.trunc()), "{text}");
        }
    }

    #[test]
    fn routes_of_the_kernel() {
        let text = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
            eth0 00000000 0100A8C0 0003 0 0 0 00000000 0 0 0\n\
            tun0 0000000A 00000000 0001 0 0 0 000000FF 0 0 0\n";
        let found: Vec<String> = parse_routes(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["0.0.0.0/0", "10.0.0.0/8"]);
        assert_eq!(free_subnet(&parse_routes(text)).unwrap().to_string(), "172.27.0.0/16");
        assert_ne!(docker_subnet_v6("a", 0), docker_subnet_v6("a", 1));
    }
}

//! Which IP families a Service has, of those that the cluster has.

use std::net::IpAddr;

use ipnet::IpNet;
use kd_api::{FieldError, Object, Path};
use serde_json::{Value, json};

/// The families of a Service and the ranges of its addresses, in the same order.
pub(super) struct Families {
    names: Vec<&'static str>,
    pub(super) ranges: Vec<IpNet>,
    policy: String,
}

const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];

fn family(range: &IpNet) -> &'static str {
    if range.addr().is_ipv4() { FAMILIES[0] } else { FAMILIES[1] }
}

impl Families {
    /// Decides by what the client wrote and by the cluster's ranges.
    pub(super) fn of(ranges: &[IpNet], service: &Value) -> Result<Families, FieldError> {
        let spec = Path::new("spec");
        let given = asked(service);
        let headless = service.str_at(&["spec", "clusterIP"]) == "None";
        let selects = service.at(&["spec", "selector"]).is_some();
        let policy = match service.str_at(&["spec", "ipFamilyPolicy"]) {
            "" if headless && !selects => "RequireDualStack",
            "" if given.len() > 1 => "RequireDualStack",
            "" => "SingleStack",
            policy => policy,
        };
        if headless && !selects {
            return Ok(Families::without_endpoints(ranges, &given, policy));
        }
        if policy == "RequireDualStack" && ranges.len() < 2 {
            let why = "this cluster is not configured for dual-stack services";
            return Err(FieldError::invalid(spec.child("ipFamilyPolicy"), policy, why));
        }
        let mut chosen = Vec::new();
        for (index, name) in given.iter().enumerate() {
            match ranges.iter().find(|range| family(range) == name) {
                Some(range) => chosen.push(*range),
                None => {
                    let why = "not configured on this cluster";
                    let field = spec.child("ipFamilies").index(index);
                    return Err(FieldError::invalid(field, name.as_str(), why));
                }
            }
        }
        let wanted = if policy == "SingleStack" { 1 } else { 2 };
        for range in ranges {
            if chosen.len() < wanted && !chosen.contains(range) {
                chosen.push(*range);
            }
        }
        chosen.truncate(wanted);
        let names = chosen.iter().map(family).collect();
        Ok(Families { names, ranges: chosen, policy: policy.into() })
    }

    /// Somebody else writes the endpoints of such a Service: they may be of any family.
    fn without_endpoints(ranges: &[IpNet], given: &[String], policy: &str) -> Families {
        let preferred = ranges.first().map_or(FAMILIES[0], family);
        let first = given
            .first()
            .map_or(preferred, |name| if name == FAMILIES[1] { FAMILIES[1] } else { FAMILIES[0] });
        let mut names = vec![first];
        if policy != "SingleStack" {
            names.extend(FAMILIES.iter().find(|name| **name != first));
        }
        Families { names, ranges: Vec::new(), policy: policy.into() }
    }

    /// Writes them into the Service.
    pub(super) fn fill(&self, service: &mut Value) {
        service.set_at(&["spec", "ipFamilies"], json!(self.names));
        service.set_at(&["spec", "ipFamilyPolicy"], json!(self.policy));
    }
}

/// The families that the client names, or those of the addresses it names.
fn asked(service: &Value) -> Vec<String> {
    let named = service.list_at(&["spec", "ipFamilies"]);
    if !named.is_empty() {
        return named.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    }
    let addresses = service.list_at(&["spec", "clusterIPs"]).iter();
    let addresses = addresses.filter_map(|text| text.as_str()?.parse::<IpAddr>().ok());
    addresses.map(|ip| FAMILIES[usize::from(ip.is_ipv6())].to_owned()).collect()
}

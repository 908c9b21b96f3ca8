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
    /// Decides by what the client wrote, by what was before and by the cluster's ranges.
    pub(super) fn of(
        ranges: &[IpNet],
        service: &Value,
        old: Option<&Value>,
    ) -> Result<Families, FieldError> {
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
        several_need_a_policy(service, policy, &given)?;
        first_stays(&given, old)?;
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
        let wanted = match old {
            _ if policy == "SingleStack" => 1,
            // Nothing is taken for a Service that prefers two families when something else changes.
            Some(old) if policy == "PreferDualStack" && is_same(service, old) => given.len().max(1),
            _ => 2,
        };
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

/// Completes an update that says nothing of families, and takes the second one off when the policy
/// goes back to one.
pub(super) fn carry_over(service: &mut Value, old: &Value) {
    const POLICY: [&str; 2] = ["spec", "ipFamilyPolicy"];
    const LISTS: [[&str; 2]; 2] = [["spec", "ipFamilies"], ["spec", "clusterIPs"]];
    if old.str_at(&["spec", "type"]) == "ExternalName" {
        return;
    }
    let before = old.str_at(&POLICY);
    if service.str_at(&POLICY).is_empty() && !before.is_empty() {
        service.set_at(&POLICY, before.into());
    }
    if service.list_at(&LISTS[0]).is_empty() && !old.list_at(&LISTS[0]).is_empty() {
        service.set_at(&LISTS[0], old.list_at(&LISTS[0]).into());
    }
    if service.str_at(&POLICY) == "SingleStack" && before != "SingleStack" {
        for list in LISTS {
            let now = service.list_at(&list);
            if now.len() > 1 && now == old.list_at(&list) {
                let first = json!([now[0]]);
                service.set_at(&list, first);
            }
        }
    }
}

fn is_same(service: &Value, old: &Value) -> bool {
    ["ipFamilyPolicy", "ipFamilies", "clusterIPs"]
        .iter()
        .all(|field| service.at(&["spec", field]) == old.at(&["spec", field]))
}

fn first_stays(families: &[String], old: Option<&Value>) -> Result<(), FieldError> {
    let before = old.map(|old| old.list_at(&["spec", "ipFamilies"])).unwrap_or_default();
    match (families.first(), before.first().and_then(Value::as_str)) {
        (Some(now), Some(before)) if now != before => {
            let field = Path::new("spec").child("ipFamilies").index(0);
            Err(FieldError::invalid(field, now.as_str(), "may not change once set"))
        }
        _ => Ok(()),
    }
}

fn several_need_a_policy(
    service: &Value,
    policy: &str,
    families: &[String],
) -> Result<(), FieldError> {
    let several = match policy {
        "SingleStack" if service.list_at(&["spec", "clusterIPs"]).len() > 1 => "clusterIPs",
        "SingleStack" if families.len() > 1 => "ipFamilies",
        _ => return Ok(()),
    };
    let why = format!(
        "must be RequireDualStack or PreferDualStack when multiple {several} are specified"
    );
    Err(FieldError::invalid(Path::new("spec").child("ipFamilyPolicy"), policy, why))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(families: &str) -> Vec<IpNet> {
        let all = [("4", "10.96.0.0/16"), ("6", "fd00:10:96::/112")];
        let used = families.chars().filter_map(|family| {
            let (_, range) = all.iter().find(|(name, _)| name.starts_with(family))?;
            range.parse().ok()
        });
        used.collect()
    }

    /// The families and the policy of a Service in a cluster of these families, after an update of
    /// `old` if there is one; or the message.
    fn check(cluster: &str, spec: Value, old: Option<Value>, expect: &str) {
        let mut service = json!({ "spec": spec });
        let old = old.map(|spec| json!({ "spec": spec }));
        if let Some(old) = &old {
            carry_over(&mut service, old);
        }
        let found = match Families::of(&ranges(cluster), &service, old.as_ref()) {
            Ok(families) => format!("{} {}", families.names.join(","), families.policy),
            Err(error) => error.to_string(),
        };
        assert!(found.contains(expect), "{found} instead of {expect}");
    }

    #[test]
    fn new_services() {
        let policy = |policy: &str| json!({"ipFamilyPolicy": policy});
        check("46", json!({}), None, "IPv4 SingleStack");
        check("64", json!({}), None, "IPv6 SingleStack");
        check("46", policy("PreferDualStack"), None, "IPv4,IPv6 PreferDualStack");
        check("4", policy("PreferDualStack"), None, "IPv4 PreferDualStack");
        check("4", policy("RequireDualStack"), None, "not configured for dual-stack");
        check("46", json!({"ipFamilies": ["IPv6"]}), None, "IPv6 SingleStack");
        check("46", json!({"ipFamilies": ["IPv6", "IPv4"]}), None, "IPv6,IPv4 RequireDualStack");
        check("4", json!({"ipFamilies": ["IPv6"]}), None, "not configured on this cluster");
        check("46", json!({"clusterIPs": ["fd00:10:96::9"]}), None, "IPv6 SingleStack");
        let several = json!({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4", "IPv6"]});
        check("46", several, None, "when multiple ipFamilies are specified");
    }

    #[test]
    fn families_come_and_go() {
        let one = json!({"type": "ClusterIP", "ipFamilyPolicy": "SingleStack",
            "ipFamilies": ["IPv4"], "clusterIPs": ["10.96.0.9"]});
        let two = json!({"type": "ClusterIP", "ipFamilyPolicy": "RequireDualStack",
            "ipFamilies": ["IPv4", "IPv6"], "clusterIPs": ["10.96.0.9", "fd00:10:96::9"]});
        let with = |spec: &Value, field: &str, value: Value| {
            let mut spec = spec.clone();
            spec[field] = value;
            spec
        };
        let asked = with(&one, "ipFamilyPolicy", json!("PreferDualStack"));
        check("46", asked.clone(), Some(one.clone()), "IPv4,IPv6 PreferDualStack");
        check("46", asked.clone(), Some(asked), "IPv4 PreferDualStack");
        let back = with(&two, "ipFamilyPolicy", json!("SingleStack"));
        check("46", back, Some(two.clone()), "IPv4 SingleStack");
        check("46", json!({}), Some(two.clone()), "IPv4,IPv6 RequireDualStack");
        let turned = with(&two, "ipFamilies", json!(["IPv6", "IPv4"]));
        check("46", turned, Some(two), "may not change once set");
    }
}

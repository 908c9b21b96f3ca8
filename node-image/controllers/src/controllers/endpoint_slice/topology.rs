//! `service.kubernetes.io/topology-mode: Auto`: endpoints are shared out to zones in proportion to
//! their processors, each to its own zone as far as possible. KEP-2433.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointHints, ForZone};
use kd_api::quantity::Quantity;
use kd_client::{Object, View, resources};

use super::ZONE;

/// By how much an endpoint may get more than its share.
const OVERLOAD: f64 = 0.2;
/// Nodes that serve no workloads do not count.
const EXCLUDED: [&str; 2] =
    ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

const NO_NODE_INFORMATION: &str = "Insufficient Node information: allocatable CPU or zone not \
                                   specified on one or more nodes";
const TOO_FEW_ENDPOINTS: &str = "Insufficient number of endpoints";
const OVERLOADED: &str = "Unable to allocate minimum required endpoints to each zone without \
                          exceeding overload threshold";
const NO_ZONE: &str = "One or more endpoints do not have a zone specified";

/// What a zone should have.
struct Share {
    minimum: usize,
    desired: f64,
}

/// The share of each zone in the processors of all; None when not every node tells.
pub(super) fn zones(view: &View) -> Option<BTreeMap<String, f64>> {
    let mut processors: BTreeMap<String, f64> = BTreeMap::new();
    let counted = view
        .objects(&resources::NODES, None)
        .filter(|node| !EXCLUDED.iter().any(|label| node.metadata.labels.contains_key(*label)));
    for object in counted {
        let (ready, amount) = readiness(object);
        if !ready {
            continue;
        }
        let zone = object.metadata.labels.get(ZONE).filter(|zone| !zone.is_empty())?;
        *processors.entry(zone.clone()).or_default() += amount.filter(|amount| *amount > 0.0)?;
    }
    let total: f64 = processors.values().sum();
    if processors.len() < 2 {
        return None;
    }
    processors.values_mut().for_each(|amount| *amount /= total);
    Some(processors)
}

/// What of a node matters to zones: whether it is ready, and its processors.
pub(super) fn readiness(object: &Object) -> (bool, Option<f64>) {
    let status = object.decode::<Node>().and_then(|node| node.status).unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let ready = conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
    let allocatable = status.allocatable.unwrap_or_default();
    let amount = allocatable.get("cpu").and_then(|cpu| cpu.0.parse::<Quantity>().ok());
    (ready, amount.map(|amount| amount.as_f64()))
}

/// Gives every ready endpoint a zone that it is for. The error says why there are no hints.
pub(super) fn assign(
    zones: Option<&BTreeMap<String, f64>>,
    endpoints: &mut [&mut Endpoint],
) -> Result<(), String> {
    let zones = zones.ok_or(NO_NODE_INFORMATION)?;
    endpoints.iter_mut().for_each(|endpoint| endpoint.hints = None);
    let mut ready: Vec<&mut &mut Endpoint> =
        endpoints.iter_mut().filter(|endpoint| is_ready(endpoint)).collect();
    let shares = shares(zones, ready.len())?;
    let mut had: BTreeMap<String, usize> = BTreeMap::new();
    for endpoint in &mut ready {
        let zone = endpoint.zone.clone().filter(|zone| !zone.is_empty()).ok_or(NO_ZONE)?;
        *had.entry(zone.clone()).or_default() += 1;
        endpoint.hints = Some(for_zone(&zone));
    }
    let (mut giving, mut receiving) = exchange(&shares, &had);
    for endpoint in &mut ready {
        let left = endpoint.zone.as_ref().and_then(|zone| giving.get_mut(zone));
        let Some(left) = left.filter(|left| **left > 0) else { continue };
        let Some((zone, wanted)) = receiving.iter_mut().find(|(_, wanted)| **wanted > 0) else {
            break;
        };
        (*left, *wanted) = (*left - 1, *wanted - 1);
        endpoint.hints = Some(for_zone(zone));
    }
    Ok(())
}

fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false)
}

fn for_zone(zone: &str) -> EndpointHints {
    let for_zones = Some(vec![ForZone { name: zone.to_owned() }]);
    EndpointHints { for_zones, ..EndpointHints::default() }
}

fn shares(zones: &BTreeMap<String, f64>, count: usize) -> Result<BTreeMap<&str, Share>, String> {
    let of = |why: &str| format!("{why} ({count} endpoints, {} zones)", zones.len());
    if zones.len() > count {
        return Err(of(TOO_FEW_ENDPOINTS));
    }
    let mut shares = BTreeMap::new();
    for (zone, ratio) in zones {
        let desired = ratio * count as f64;
        let minimum = (desired / (1.0 + OVERLOAD)).ceil();
        let share = Share { minimum: minimum as usize, desired: desired.max(minimum) };
        shares.insert(zone.as_str(), share);
    }
    if shares.values().map(|share| share.minimum).sum::<usize>() > count {
        return Err(of(OVERLOADED));
    }
    Ok(shares)
}

type Counts = BTreeMap<String, usize>;

/// How many endpoints each zone gives away and gets.
fn exchange(shares: &BTreeMap<&str, Share>, had: &Counts) -> (Counts, Counts) {
    let mut surplus: BTreeMap<&str, f64> = BTreeMap::new();
    let all = shares.keys().copied().chain(had.keys().map(String::as_str));
    for zone in all {
        let desired = shares.get(zone).map_or(0.0, |share| share.desired);
        surplus.insert(zone, had.get(zone).copied().unwrap_or(0) as f64 - desired);
    }
    let (mut giving, mut receiving) = (Counts::new(), Counts::new());
    loop {
        let most = surplus.iter().max_by(|a, b| a.1.total_cmp(b.1)).map(|(z, n)| (*z, *n));
        let least = surplus.iter().min_by(|a, b| a.1.total_cmp(b.1)).map(|(z, n)| (*z, -*n));
        let (Some((giver, much)), Some((receiver, lack))) = (most, least) else { break };
        if (much < 1.0 && lack < 1.0) || much < 0.5 || lack < 0.5 {
            break;
        }
        *giving.entry(giver.to_owned()).or_default() += 1;
        *receiving.entry(receiver.to_owned()).or_default() += 1;
        *surplus.entry(giver).or_default() -= 1.0;
        *surplus.entry(receiver).or_default() += 1.0;
    }
    (giving, receiving)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(zones: &[(&str, f64)], endpoints: &[&str], expect: Result<&[&str], &str>) {
        let zones: BTreeMap<String, f64> =
            zones.iter().map(|(zone, ratio)| ((*zone).to_owned(), *ratio)).collect();
        let mut all: Vec<Endpoint> = endpoints
            .iter()
            .map(|zone| Endpoint {
                zone: (!zone.is_empty()).then(|| (*zone).to_owned()),
                ..Endpoint::default()
            })
            .collect();
        let outcome = assign(Some(&zones), &mut all.iter_mut().collect::<Vec<_>>());
        let hints: Vec<String> = all
            .iter()
            .filter_map(|endpoint| {
                Some(endpoint.hints.as_ref()?.for_zones.as_ref()?[0].name.clone())
            })
            .collect();
        match expect {
            Ok(expect) => {
                assert_eq!((outcome, hints), (Ok(()), expect.iter().map(|z| (*z).into()).collect()))
            }
            Err(why) => assert_eq!(outcome, Err(why.to_owned())),
        }
    }

    #[test]
    fn shared_out_by_processors() {
        let even = [("a", 0.5), ("b", 0.5)];
        check(&even, &["a", "b"], Ok(&["a", "b"]));
        check(&even, &["a", "a", "a", "b"], Ok(&["b", "a", "a", "b"]));
        let odd = format!("{OVERLOADED} (3 endpoints, 2 zones)");
        check(&even, &["a", "a", "b"], Err(&odd));
        check(&[("a", 0.75), ("b", 0.25)], &["a", "a", "b", "b"], Ok(&["a", "a", "a", "b"]));
        check(&even, &["a"], Err("Insufficient number of endpoints (1 endpoints, 2 zones)"));
        check(&even, &["a", ""], Err(NO_ZONE));
        let uneven = [("a", 0.05), ("b", 0.475), ("c", 0.475)];
        check(&uneven, &["a", "b", "c"], Err(&format!("{OVERLOADED} (3 endpoints, 3 zones)")));
    }

    #[test]
    fn without_zones_there_are_no_hints() {
        assert_eq!(assign(None, &mut []), Err(NO_NODE_INFORMATION.to_owned()));
    }
}

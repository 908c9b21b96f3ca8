//! Which endpoints take a Service port's connections: by readiness, node and topology
//! (<https://kubernetes.io/docs/reference/networking/virtual-ips/>).

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::ServicePort as Port;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use kd_network::Family;

/// The node that rules are made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub node: String,
    /// Its `topology.kubernetes.io/zone`, or "".
    pub zone: String,
}

/// The endpoints of one port, as one node chooses among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// For traffic that may go to any node.
    pub cluster: Vec<SocketAddr>,
    /// For traffic that stays on this node.
    pub local: Vec<SocketAddr>,
    /// Whether any endpoint on any node takes connections.
    pub any: bool,
}

/// Chooses the endpoints of a port in one family. Ready ones take connections; where there are none, those that
/// still serve while they terminate do.
pub(crate) fn choose(
    port: &Port,
    slices: &[EndpointSlice],
    place: &Place,
    family: Family,
) -> Choice {
    let all = candidates(port, slices, family);
    let hint = hint_in_force(&all, place);
    let hinted = |c: &Candidate| hint.is_none_or(|hint| hint.names(c.endpoint, place));
    let here = |c: &Candidate| c.endpoint.node_name.as_deref() == Some(place.node.as_str());
    let cluster = with_fallback(&all, hinted, |_| true);
    let local = with_fallback(&all, here, here);
    let any = all.iter().any(|c| c.is_ready() || c.is_last_resort());
    Choice { cluster, local, any }
}

/// An address behind a port.
struct Candidate<'a> {
    address: SocketAddr,
    endpoint: &'a Endpoint,
}

impl Candidate<'_> {
    fn is_ready(&self) -> bool {
        self.condition(|c| c.ready).unwrap_or(true)
    }

    fn is_last_resort(&self) -> bool {
        let serving = self.condition(|c| c.serving).unwrap_or_else(|| self.is_ready());
        serving && self.condition(|c| c.terminating).unwrap_or(false)
    }

    fn condition(
        &self,
        of: impl Fn(&k8s_openapi::api::discovery::v1::EndpointConditions) -> Option<bool>,
    ) -> Option<bool> {
        self.endpoint.conditions.as_ref().and_then(of)
    }
}

/// What a slice's hints can bind an endpoint to.
#[derive(Clone, Copy)]
enum Hint {
    Node,
    Zone,
}

impl Hint {
    fn names_of(self, endpoint: &Endpoint) -> Vec<&str> {
        let Some(hints) = &endpoint.hints else { return Vec::new() };
        match self {
            Hint::Node => hints.for_nodes.iter().flatten().map(|n| n.name.as_str()).collect(),
            Hint::Zone => hints.for_zones.iter().flatten().map(|z| z.name.as_str()).collect(),
        }
    }

    fn names(self, endpoint: &Endpoint, place: &Place) -> bool {
        let own = match self {
            Hint::Node => &place.node,
            Hint::Zone => &place.zone,
        };
        self.names_of(endpoint).contains(&own.as_str())
    }
}

/// Hints count when every ready endpoint has one and one of them is for this place; nodes come
/// before zones.
fn hint_in_force(all: &[Candidate], place: &Place) -> Option<Hint> {
    let ready = || all.iter().filter(|c| c.is_ready());
    [Hint::Node, Hint::Zone].into_iter().find(|hint| {
        ready().all(|c| !hint.names_of(c.endpoint).is_empty())
            && ready().any(|c| hint.names(c.endpoint, place))
    })
}

fn candidates<'a>(port: &Port, slices: &'a [EndpointSlice], family: Family) -> Vec<Candidate<'a>> {
    let wanted = match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    };
    let mut found = Vec::new();
    for slice in slices.iter().filter(|slice| slice.address_type == wanted) {
        let Some(number) = target(port, slice.ports.as_deref().unwrap_or_default()) else {
            continue;
        };
        for endpoint in slice.endpoints.iter().flatten() {
            // The addresses of one endpoint are of one pod; the first is used.
            let address = endpoint.addresses.first().and_then(|text| text.parse().ok());
            let address = address.filter(|address| Family::of(address) == family);
            found.extend(address.map(|address: IpAddr| Candidate {
                address: SocketAddr::new(address, number),
                endpoint,
            }));
        }
    }
    found
}

/// The endpoints' port that carries this Service port's name.
fn target(port: &Port, of_slice: &[EndpointPort]) -> Option<u16> {
    let name = port.name.as_deref().unwrap_or_default();
    let matching = of_slice.iter().find(|p| p.name.as_deref().unwrap_or_default() == name)?;
    matching.port?.try_into().ok()
}

fn with_fallback(
    all: &[Candidate],
    takes: impl Fn(&Candidate) -> bool,
    takes_at_last: impl Fn(&Candidate) -> bool,
) -> Vec<SocketAddr> {
    let addresses = |chosen: &mut dyn Iterator<Item = &Candidate>| {
        let mut addresses: Vec<SocketAddr> = chosen.map(|c| c.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    };
    let ready = addresses(&mut all.iter().filter(|c| c.is_ready() && takes(c)));
    match ready.is_empty() {
        false => ready,
        true => addresses(&mut all.iter().filter(|c| c.is_last_resort() && takes_at_last(c))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    /// What is chosen on node `here` in zone `z`: cluster-wide and local, by the addresses' last
    /// numbers.
    fn check(endpoints: Value, cluster: &[u8], local: &[u8]) {
        let slice: EndpointSlice = from_value(json!({"metadata": {}, "addressType": "IPv4",
            "ports": [{"port": 80}], "endpoints": endpoints}))
        .unwrap();
        let place = Place { node: "here".into(), zone: "z".into() };
        let port = Port { port: 80, ..Port::default() };
        let choice = choose(&port, &[slice], &place, Family::V4);
        let last = |addresses: &[SocketAddr]| -> Vec<u8> {
            let last =
                |address: &SocketAddr| address.ip().to_string().rsplit('.').next()?.parse().ok();
            addresses.iter().filter_map(last).collect()
        };
        assert_eq!((last(&choice.cluster), last(&choice.local)), (cluster.into(), local.into()));
    }

    fn on(node: &str, last: u8, conditions: &str) -> Value {
        let is = |word| conditions.contains(word);
        let conditions =
            json!({"ready": is("ready"), "serving": is("serving"), "terminating": is("ending")});
        json!({"addresses": [format!("10.244.0.{last}")], "nodeName": node,
            "conditions": conditions})
    }

    fn hinted(last: u8, node: Option<&str>, zone: Option<&str>) -> Value {
        let names = |name: Option<&str>| name.map(|name| json!([{"name": name}]));
        json!({"addresses": [format!("10.244.0.{last}")], "nodeName": "there",
            "hints": {"forNodes": names(node), "forZones": names(zone)}})
    }

    #[test]
    fn ready_endpoints_come_first() {
        check(json!([on("here", 3, "ready"), on("there", 2, "ready")]), &[2, 3], &[3]);
        check(json!([{"addresses": ["10.244.0.5"]}]), &[5], &[]);
        check(json!([on("here", 2, "serving"), on("here", 3, "")]), &[], &[]);
        let ending = on("here", 2, "serving ending");
        check(json!([ending]), &[2], &[2]);
        check(json!([ending, on("there", 3, "ready")]), &[3], &[2]);
        check(json!([on("here", 2, "ending")]), &[], &[]);
    }

    #[test]
    fn hints_count_when_all_have_them() {
        let near = hinted(2, None, Some("z"));
        check(json!([near, hinted(3, None, Some("y"))]), &[2], &[]);
        check(json!([near, hinted(3, None, None)]), &[2, 3], &[]);
        check(json!([hinted(3, None, Some("y"))]), &[3], &[]);
        let here = hinted(4, Some("here"), Some("z"));
        check(json!([here, hinted(5, Some("there"), Some("z"))]), &[4], &[]);
        let elsewhere = [hinted(4, Some("a"), Some("z")), hinted(5, Some("b"), Some("y"))];
        check(json!(elsewhere), &[4], &[]);
    }
}

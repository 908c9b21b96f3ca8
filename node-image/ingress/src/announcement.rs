//! Tells the nodes that serve nothing themselves which ports are served, and where: an EndpointSlice
//! without a Service.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kd_client::{Key, View, resources};
use serde_json::{Value, json};

use crate::compile::Write;

/// The slice.
const NAMESPACE: &str = "kube-system";
const NAME: &str = "kd-ingress";
/// Marks it.
pub(crate) const LABEL: &str = "kd.dev/ingress-ports";
/// More ports than this are more than an EndpointSlice takes.
const PORTS_MAX: usize = 100;

/// What is served, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub ports: BTreeSet<u16>,
    /// Addresses of nodes; all of one family.
    pub addresses: Vec<IpAddr>,
}

/// The slice's name.
pub(crate) fn key() -> Key {
    Key::new(NAMESPACE, NAME)
}

impl Announcement {
    /// Of what is served now at these addresses.
    pub(crate) fn new(ports: BTreeSet<u16>, addresses: &[String]) -> Announcement {
        let addresses: Vec<IpAddr> =
            addresses.iter().filter_map(|text| text.parse().ok()).collect();
        let is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
        let of_one_family = addresses.into_iter().filter(|address| address.is_ipv6() == is_v6);
        Announcement {
            ports: ports.into_iter().take(PORTS_MAX).collect(),
            addresses: of_one_family.collect(),
        }
    }

    /// What a slice tells.
    pub(crate) fn read(slice: &EndpointSlice) -> Announcement {
        let ports = slice.ports.iter().flatten().filter_map(|port| u16::try_from(port.port?).ok());
        let endpoints = slice.endpoints.iter().flatten();
        let addresses = endpoints.flat_map(|endpoint| &endpoint.addresses);
        Announcement {
            ports: ports.collect(),
            addresses: addresses.filter_map(|text| text.parse().ok()).collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.ports.is_empty() || self.addresses.is_empty()
    }

    fn slice(&self) -> Value {
        let is_v6 = self.addresses.first().is_some_and(IpAddr::is_ipv6);
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"namespace": NAMESPACE, "name": NAME, "labels": {LABEL: "true"}},
            "addressType": if is_v6 { "IPv6" } else { "IPv4" },
            "ports": self.ports.iter().map(|port| {
                json!({"name": format!("port-{port}"), "port": port, "protocol": "TCP"})
            }).collect::<Value>(),
            "endpoints": self.addresses.iter().map(|address| {
                json!({"addresses": [address], "conditions": {"ready": true}})
            }).collect::<Value>()})
    }

    /// The write that makes the slice tell this.
    pub(crate) fn write(&self, view: &View) -> Option<Write> {
        let resource = resources::ENDPOINT_SLICES.clone();
        let there = view.object(&resource, &key());
        if self.is_empty() {
            // While nothing is served, slices are not watched; one of before may be there.
            let may_be_there = there.is_some() || !view.is_synced(&resource);
            return may_be_there.then(|| Write::delete(resource, key()));
        }
        let Some(object) = there else {
            return Some(Write::create(resource, key(), self.slice()));
        };
        let told = object.decode::<EndpointSlice>().map(|slice| Announcement::read(&slice));
        let mut patch = self.slice();
        patch["metadata"]["resourceVersion"] = json!(object.metadata.resource_version);
        (told.as_ref() != Some(self)).then(|| Write::patch(resource, key(), patch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::WriteKind;
    use crate::testing::view;

    fn of(ports: &[u16], addresses: &[&str]) -> Announcement {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        Announcement::new(ports.iter().copied().collect(), &addresses)
    }

    fn check(there: Option<&Announcement>, wanted: &Announcement, is_watched: bool, expect: &str) {
        let mut slice = there.map(Announcement::slice);
        if let Some(slice) = &mut slice {
            slice["metadata"]["resourceVersion"] = "1".into();
        }
        let mut view = view(slice.as_slice());
        if is_watched {
            view.sync(&resources::ENDPOINT_SLICES, 1);
        }
        let write = wanted.write(&view);
        let shown = match write.map(|write| write.change) {
            None => "nothing",
            Some(WriteKind::Create(_)) => "create",
            Some(WriteKind::Patch(_)) => "patch",
            Some(WriteKind::Delete) => "delete",
            Some(WriteKind::Status(_)) => "status",
        };
        assert_eq!(shown, expect, "{there:?} {wanted:?}");
    }

    #[test]
    fn the_slice_follows() {
        let (one, two) = (of(&[80], &["10.0.0.1"]), of(&[80, 443], &["10.0.0.1"]));
        let none = of(&[], &["10.0.0.1"]);
        check(None, &one, true, "create");
        check(Some(&one), &one, true, "nothing");
        check(Some(&one), &two, true, "patch");
        check(Some(&one), &of(&[80], &["10.0.0.2"]), true, "patch");
        check(Some(&one), &none, true, "delete");
        check(None, &none, false, "delete");
        check(None, &none, true, "nothing");
        check(None, &of(&[80], &[]), true, "nothing");
    }

    #[test]
    fn addresses_are_of_one_family() {
        let both = of(&[80], &["10.0.0.1", "fd00::1"]);
        assert_eq!(both.addresses, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        let slice: EndpointSlice = serde_json::from_value(both.slice()).unwrap();
        assert_eq!(Announcement::read(&slice), both);
    }
}

//! Listeners of Gateways: what they open, whom they let attach, what is said about them.

use std::sync::Arc;

use kd_api::selector::Selector;
use kd_client::{Key, View, resources, selects};
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};

use super::condition::Condition;
use super::{GROUP, Ports, RouteKind, World, grant};
use crate::ingresses::list;
use crate::route::HostPattern;

/// What nodes listen on for themselves.
const RESERVED_PORTS: [u16; 4] = [53, 6443, 10250, 10256];

/// A listener.
pub(super) struct Listener {
    pub name: String,
    pub port: u16,
    pub host: HostPattern,
    /// Routes attached to it.
    pub attached: usize,
    allowed: Allowed,
    takes: Vec<RouteKind>,
    accepted: Condition,
    resolved: Condition,
    conflicted: Option<Condition>,
}

/// The namespaces whose routes may attach.
enum Allowed {
    Same(Box<str>),
    All,
    Selected(Option<Selector>),
}

/// Reads a listener and opens its port.
pub(super) fn read(
    world: &mut World<'_>,
    ports: &mut Ports,
    gateway: &Key,
    listener: &Value,
) -> Listener {
    let port = listener["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
    let host = HostPattern::of_gateway(listener["hostname"].as_str().unwrap_or_default());
    let protocol = listener["protocol"].as_str().unwrap_or_default();
    let kinds = &listener["allowedRoutes"]["kinds"];
    let named = list(kinds).count();
    let known: Vec<RouteKind> = list(kinds).filter_map(route_kind).collect();
    let all_are_known = known.len() == named;
    let mut read = Listener {
        name: listener["name"].as_str().unwrap_or_default().to_owned(),
        port,
        host,
        attached: 0,
        allowed: allowed(gateway, &listener["allowedRoutes"]["namespaces"]),
        takes: if named == 0 { RouteKind::ALL.to_vec() } else { known },
        accepted: accepted(world, port, protocol, &listener["tls"]),
        resolved: Condition::yes("ResolvedRefs", "ResolvedRefs", "all references are resolved"),
        conflicted: None,
    };
    if !all_are_known {
        let message = "only HTTPRoutes and GRPCRoutes are served";
        read.resolved = Condition::no("ResolvedRefs", "InvalidRouteKinds", message);
    }
    let mut keys = Vec::new();
    if protocol == "HTTPS" {
        match certificates(world, gateway, &listener["tls"]) {
            Ok(found) => keys = found,
            Err(condition) => read.resolved = condition,
        }
    }
    if read.is_usable() {
        if ports.open(port, protocol == "HTTPS") {
            ports.certify(port, &read.host, &keys);
        } else {
            let message = format!("port {port} speaks another protocol already");
            read.conflicted = Some(Condition::yes("Conflicted", "ProtocolConflict", message));
        }
    }
    read
}

fn route_kind(value: &Value) -> Option<RouteKind> {
    let is_ours = value["group"].as_str().is_none_or(|group| group == GROUP);
    RouteKind::ALL.into_iter().find(|kind| is_ours && value["kind"] == kind.name())
}

fn accepted(world: &World<'_>, port: u16, protocol: &str, tls: &Value) -> Condition {
    let no = |reason, message: String| Condition::no("Accepted", reason, message);
    if !matches!(protocol, "HTTP" | "HTTPS") {
        return no("UnsupportedProtocol", format!("{protocol} is not served, only HTTP and HTTPS"));
    }
    if protocol == "HTTPS" && tls["mode"].as_str().is_some_and(|mode| mode != "Terminate") {
        return no("UnsupportedProtocol", "TLS is always terminated".to_owned());
    }
    if port == 0 || RESERVED_PORTS.contains(&port) {
        return no("PortUnavailable", format!("port {port} is used by the nodes themselves"));
    }
    if world.refused.contains(&port) {
        return no("PortUnavailable", format!("port {port} of the nodes is taken"));
    }
    Condition::yes("Accepted", "Accepted", "the listener is served")
}

/// The certificates that a listener names.
fn certificates(
    world: &mut World<'_>,
    gateway: &Key,
    tls: &Value,
) -> Result<Vec<Arc<CertifiedKey>>, Condition> {
    let no = |reason, message: String| Condition::no("ResolvedRefs", reason, message);
    let mut keys = Vec::new();
    for reference in list(&tls["certificateRefs"]) {
        let kind = reference["kind"].as_str().unwrap_or("Secret");
        let group = reference["group"].as_str().unwrap_or_default();
        if kind != "Secret" || !group.is_empty() {
            let message = format!("certificates are Secrets, not {group}/{kind}");
            return Err(no("InvalidCertificateRef", message));
        }
        let namespace = reference["namespace"].as_str().unwrap_or(&gateway.namespace);
        let key = Key::new(namespace, reference["name"].as_str().unwrap_or_default());
        if !grant::allows(world.view, "Gateway", &gateway.namespace, "Secret", &key) {
            return Err(no(
                "RefNotPermitted",
                format!("no ReferenceGrant permits the Secret {key}"),
            ));
        }
        match world.certificates.get(world.view, &key) {
            Ok(certificate) => keys.push(certificate),
            Err(error) => return Err(no("InvalidCertificateRef", error.to_string())),
        }
    }
    match keys.is_empty() {
        true => Err(no("InvalidCertificateRef", "no certificate is named".to_owned())),
        false => Ok(keys),
    }
}

fn allowed(gateway: &Key, namespaces: &Value) -> Allowed {
    match namespaces["from"].as_str().unwrap_or("Same") {
        "All" => Allowed::All,
        "Selector" => Allowed::Selected(Selector::from_object(&namespaces["selector"]).ok()),
        _ => Allowed::Same(gateway.namespace.clone()),
    }
}

impl Listener {
    /// Whether requests can come by it.
    pub(super) fn is_usable(&self) -> bool {
        let has_certificate = self.resolved.status || self.resolved.reason == "InvalidRouteKinds";
        self.accepted.status && has_certificate && self.conflicted.is_none()
    }

    /// Whether a route of a namespace may attach.
    pub(super) fn allows(&self, view: &View, kind: RouteKind, namespace: &str) -> bool {
        let of_namespace = match &self.allowed {
            Allowed::All => true,
            Allowed::Same(own) => **own == *namespace,
            Allowed::Selected(None) => false,
            Allowed::Selected(Some(selector)) => view
                .object(&resources::NAMESPACES, &Key::cluster(namespace))
                .is_some_and(|object| selects(selector, &object.metadata.labels)),
        };
        of_namespace && self.takes.contains(&kind)
    }

    pub(super) fn supported_kinds(&self) -> Value {
        self.takes.iter().map(|kind| json!({"group": GROUP, "kind": kind.name()})).collect()
    }

    pub(super) fn conditions(&self, world: &World<'_>) -> Vec<Condition> {
        let programmed = match self.is_usable() && !world.addresses.is_empty() {
            true => Condition::yes("Programmed", "Programmed", "the listener is served"),
            false if self.is_usable() => {
                Condition::no("Programmed", "Pending", "no node serves yet")
            }
            false => Condition::no("Programmed", "Invalid", "the listener is not valid"),
        };
        let none = || Condition::no("Conflicted", "NoConflicts", "nothing is in its way");
        let conflicted = self.conflicted.clone().unwrap_or_else(none);
        vec![self.accepted.clone(), programmed, self.resolved.clone(), conflicted]
    }
}

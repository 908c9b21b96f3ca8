//! Ingresses, their classes, and network policies.

use serde_json::Value;

use super::check::{
    Errors, label_selector, optional_text, port_reference, problems, required, required_choice,
};
use super::names;
use crate::walk::Walk;
use crate::{FieldError, Path};

pub(super) fn network_policy(errors: &mut Errors, object: &Value) {
    let (path, spec) = (Path::new("spec"), &object["spec"]);
    label_selector(errors, &spec["podSelector"], &path.child("podSelector"));
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in spec.list(direction).iter().enumerate() {
            let path = path.child(direction).index(index);
            for (index, port) in rule.list("ports").iter().enumerate() {
                policy_port(errors, port, &path.child("ports").index(index));
            }
            for (index, peer) in rule.list(peers).iter().enumerate() {
                policy_peer(errors, peer, &path.child(peers).index(index));
            }
        }
    }
    let types = spec.list("policyTypes");
    let own = path.child("policyTypes");
    if types.len() > 2 {
        let text = "may not specify more than two policyTypes";
        errors.push(FieldError::invalid(own, spec["policyTypes"].clone(), text));
        return;
    }
    for (index, kind) in types.iter().filter_map(Value::as_str).enumerate() {
        if !matches!(kind, "Ingress" | "Egress") {
            let path = own.index(index);
            errors.push(FieldError::not_supported(path, kind, &["Ingress", "Egress"]));
        }
    }
}

fn policy_port(errors: &mut Errors, port: &Value, path: &Path) {
    let protocol = port.text("protocol");
    if !protocol.is_empty() && !matches!(protocol, "TCP" | "UDP" | "SCTP") {
        let supported = ["SCTP", "TCP", "UDP"];
        errors.push(FieldError::not_supported(path.child("protocol"), protocol, &supported));
    }
    if port.has("port") {
        port_reference(errors, &port["port"], &path.child("port"));
    }
    if let Some(end) = port.integer("endPort") {
        match port.integer("port") {
            Some(start) if end < start => {
                let text = "must be greater than or equal to `port`";
                errors.push(FieldError::invalid(path.child("endPort"), end, text));
            }
            Some(_) => {}
            None => {
                let text = "may not be specified when `port` is not specified";
                errors.push(FieldError::invalid(path.child("endPort"), end, text));
            }
        }
    }
}

fn policy_peer(errors: &mut Errors, peer: &Value, path: &Path) {
    for field in ["podSelector", "namespaceSelector"] {
        if peer.has(field) {
            label_selector(errors, &peer[field], &path.child(field));
        }
    }
    let selects = peer.has("podSelector") || peer.has("namespaceSelector");
    if peer.has("ipBlock") {
        let range = peer["ipBlock"].text("cidr");
        let own = path.child("ipBlock");
        if range.is_empty() {
            errors.push(FieldError::required(own.child("cidr"), ""));
        } else {
            problems(errors, &own.child("cidr"), range, names::cidr(range));
        }
        if selects {
            let text = "may not specify both ipBlock and another peer";
            errors.push(FieldError::forbidden(path.clone(), text));
        }
    } else if !selects {
        errors.push(FieldError::required(path.clone(), "must specify a peer"));
    }
}

pub(super) fn ingress(errors: &mut Errors, object: &Value) {
    let (path, spec) = (Path::new("spec"), &object["spec"]);
    for (index, entry) in spec.list("tls").iter().enumerate() {
        for (host, name) in entry.list("hosts").iter().filter_map(Value::as_str).enumerate() {
            let path = path.child("tls").index(index).child("hosts").index(host);
            problems(errors, &path, name, host_name(name));
        }
    }
    if !spec.has("defaultBackend") && spec.list("rules").is_empty() {
        let text = "either `defaultBackend` or `rules` must be specified";
        errors.push(FieldError::invalid(path.clone(), spec["rules"].clone(), text));
    }
    if spec.has("defaultBackend") {
        backend(errors, &spec["defaultBackend"], &path.child("defaultBackend"));
    }
    for (index, rule) in spec.list("rules").iter().enumerate() {
        let path = path.child("rules").index(index);
        let host = rule.text("host");
        if !host.is_empty() {
            problems(errors, &path.child("host"), host, host_name(host));
        }
        let paths = path.child("http").child("paths");
        if rule.has("http") && rule["http"].list("paths").is_empty() {
            errors.push(FieldError::required(paths.clone(), ""));
        }
        for (index, entry) in rule["http"].list("paths").iter().enumerate() {
            ingress_path(errors, entry, &paths.index(index));
        }
    }
    optional_text(errors, spec, "ingressClassName", &path, names::dns_subdomain);
}

fn host_name(host: &str) -> names::Problems {
    if host.parse::<std::net::IpAddr>().is_ok() {
        return vec!["must be a DNS name, not an IP address".into()];
    }
    if host.contains('*') { names::wildcard_subdomain(host) } else { names::dns_subdomain(host) }
}

fn ingress_path(errors: &mut Errors, entry: &Value, path: &Path) {
    if !entry.has("pathType") {
        errors.push(FieldError::required(path.child("pathType"), "pathType must be specified"));
        return;
    }
    let types = ["Exact", "ImplementationSpecific", "Prefix"];
    required_choice(errors, entry, "pathType", path, &types);
    let text = entry.text("path");
    let absent = text.is_empty() && entry.text("pathType") == "ImplementationSpecific";
    if !absent && !text.starts_with('/') {
        let why = "must be an absolute path";
        errors.push(FieldError::invalid(path.child("path"), text, why));
    }
    backend(errors, &entry["backend"], &path.child("backend"));
}

fn backend(errors: &mut Errors, backend: &Value, path: &Path) {
    match (backend.has("service"), backend.has("resource")) {
        (true, true) => {
            let text = "cannot set both resource and service backends";
            errors.push(FieldError::invalid(path.clone(), "", text));
        }
        (false, false) => {
            let text = "must provide either a resource or service backend";
            errors.push(FieldError::required(path.clone(), text));
        }
        (true, false) => service_backend(errors, &backend["service"], &path.child("service")),
        (false, true) => {
            let path = path.child("resource");
            required(errors, &backend["resource"], "kind", &path);
            required(errors, &backend["resource"], "name", &path);
        }
    }
}

fn service_backend(errors: &mut Errors, service: &Value, path: &Path) {
    match service.text("name") {
        "" => errors.push(FieldError::required(path.child("name"), "")),
        name => problems(errors, &path.child("name"), name, names::dns_1035_label(name)),
    }
    let (port, own) = (&service["port"], path.child("port"));
    let number = port.integer("number").unwrap_or(0);
    match (port.text("name"), number) {
        ("", 0) => {
            let text = "port name or number is required";
            errors.push(FieldError::required(path.clone(), text));
        }
        ("", number) => problems(errors, &own.child("number"), number, names::port_number(number)),
        (name, 0) => problems(errors, &own.child("name"), name, names::port_name(name)),
        _ => {
            let text = "cannot set both port name & port number";
            errors.push(FieldError::invalid(path.clone(), "", text));
        }
    }
}

pub(super) fn ingress_class(errors: &mut Errors, object: &Value) {
    let path = Path::new("spec").child("controller");
    match object["spec"].text("controller") {
        "" => errors.push(FieldError::required(path, "")),
        name if !name.contains('/') => {
            let text = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            errors.push(FieldError::invalid(path, name, text));
        }
        _ => {}
    }
}

pub(super) fn ingress_class_update(errors: &mut Errors, new: &Value, old: &Value) {
    ingress_class(errors, new);
    let path = Path::new("spec").child("controller");
    super::check::immutable(errors, &new["spec"]["controller"], &old["spec"]["controller"], &path);
}

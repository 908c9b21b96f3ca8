//! Ingresses, their classes, network policies, and the addresses of Services.

use std::net::IpAddr;

use serde_json::Value;

use super::check::{
    Errors, immutable, label_selector, optional_text, port_reference, problems, required_choice,
    required_text,
};
use super::names;
use crate::walk::Walk;
use crate::{FieldError, Path};

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const CONTROLLER_MAX: usize = 250;
const PATH_SEQUENCES: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const PATH_SUFFIXES: [&str; 2] = ["/..", "/."];

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
        let supported = ["TCP", "UDP", "SCTP"];
        errors.push(FieldError::not_supported(path.child("protocol"), protocol, &supported));
    }
    if port.has("port") {
        port_reference(errors, &port["port"], &path.child("port"));
    }
    let Some(end) = port.integer("endPort") else { return };
    let mut invalid = |text: &str| {
        errors.push(FieldError::invalid(path.child("endPort"), end, text));
    };
    match &port["port"] {
        Value::Null => invalid("may not be specified when `port` is not specified"),
        Value::String(_) => invalid("may not be specified when `port` is non-numeric"),
        start => {
            if end < start.as_i64().unwrap_or(0) {
                invalid("must be greater than or equal to `port`");
            }
            problems(errors, &path.child("endPort"), end, names::port_number(end));
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
            exceptions(errors, &peer["ipBlock"], range, &own.child("except"));
        }
        if selects {
            let text = "may not specify both ipBlock and another peer";
            errors.push(FieldError::forbidden(path.clone(), text));
        }
    } else if !selects {
        errors.push(FieldError::required(path.clone(), "must specify a peer"));
    }
}

/// The parts of a range that are left out of it.
fn exceptions(errors: &mut Errors, block: &Value, range: &str, path: &Path) {
    let Some(range) = Range::parse(range) else { return };
    for (index, text) in block.list("except").iter().filter_map(Value::as_str).enumerate() {
        let path = path.index(index);
        problems(errors, &path, text, names::cidr(text));
        if Range::parse(text).is_some_and(|part| !range.holds(&part)) {
            let why = "must be a strict subset of `cidr`";
            errors.push(FieldError::invalid(path, text, why));
        }
    }
}

/// An address and the length of its prefix.
struct Range {
    address: IpAddr,
    length: u32,
}

impl Range {
    fn parse(text: &str) -> Option<Range> {
        let (address, length) = text.split_once('/')?;
        let range = Range { address: address.parse().ok()?, length: length.parse().ok()? };
        (range.length <= range.bits()).then_some(range)
    }

    fn bits(&self) -> u32 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// The first `length` bits of the address.
    fn prefix(&self, length: u32) -> u128 {
        let number = match self.address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        };
        number.checked_shr(self.bits() - length).unwrap_or(0)
    }

    /// Whether the other is a smaller part of this range.
    fn holds(&self, other: &Range) -> bool {
        self.address.is_ipv4() == other.address.is_ipv4()
            && self.length < other.length
            && self.prefix(self.length) == other.prefix(self.length)
    }

    /// The text of the range that this one is in, as it is written by convention.
    fn canonical(&self) -> String {
        let shift = self.bits() - self.length;
        let number = self.prefix(self.length).checked_shl(shift).unwrap_or(0);
        let address = match self.address {
            IpAddr::V4(_) => IpAddr::V4(u32::try_from(number).unwrap_or(0).into()),
            IpAddr::V6(_) => IpAddr::V6(number.into()),
        };
        format!("{address}/{}", self.length)
    }
}

/// The name of an IPAddress is the address.
pub(super) fn address_name(name: &str) -> names::Problems {
    match name.parse::<IpAddr>() {
        Err(_) => vec![format!("ParseAddr({name:?}): unable to parse IP")],
        Ok(address) if address.to_string() != name => {
            vec!["must be a canonical format IP address".into()]
        }
        Ok(_) => Vec::new(),
    }
}

pub(super) fn ip_address(errors: &mut Errors, object: &Value) {
    let (parent, path) = (&object["spec"]["parentRef"], Path::new("spec").child("parentRef"));
    if parent.is_null() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    optional_text(errors, parent, "group", &path, names::dns_subdomain);
    for field in ["resource", "name"] {
        required_text(errors, parent, field, &path, names::path_segment);
    }
    optional_text(errors, parent, "namespace", &path, names::path_segment);
}

pub(super) fn ip_address_update(errors: &mut Errors, new: &Value, old: &Value) {
    let path = Path::new("spec").child("parentRef");
    immutable(errors, &new["spec"]["parentRef"], &old["spec"]["parentRef"], &path);
}

pub(super) fn service_cidr(errors: &mut Errors, object: &Value) {
    let (spec, path) = (&object["spec"], Path::new("spec").child("cidrs"));
    let ranges: Vec<&str> = spec.list("cidrs").iter().filter_map(Value::as_str).collect();
    let text = match ranges.as_slice() {
        [] => {
            errors.push(FieldError::required(path, "at least one CIDR required"));
            return;
        }
        [_] => None,
        [a, b] if a.contains(':') == b.contains(':') => Some(
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        ),
        [_, _] => None,
        _ => Some("may only hold up to 2 values"),
    };
    if let Some(text) = text {
        errors.push(FieldError::invalid(path, spec.clone(), text));
        return;
    }
    for (index, text) in ranges.into_iter().enumerate() {
        let path = path.index(index);
        match Range::parse(text) {
            None => {
                let why = format!("netip.ParsePrefix({text:?}): no '/'");
                errors.push(FieldError::invalid(path, text, why));
            }
            Some(range) if range.canonical() != text => {
                let why = "wrong CIDR format, IP doesn't match network IP address";
                errors.push(FieldError::invalid(path, text, why));
            }
            Some(_) => {}
        }
    }
}

pub(super) fn service_cidr_update(errors: &mut Errors, new: &Value, old: &Value) {
    let path = Path::new("spec").child("cidrs");
    immutable(errors, &new["spec"]["cidrs"], &old["spec"]["cidrs"], &path);
}

pub(super) fn ingress_create(errors: &mut Errors, object: &Value) {
    ingress(errors, object);
    let annotation = object["metadata"]["annotations"][CLASS_ANNOTATION].as_str();
    let class = object["spec"]["ingressClassName"].as_str();
    if let (Some(annotation), Some(class)) = (annotation, class)
        && annotation != class
    {
        let path = Path::new("annotations").child(CLASS_ANNOTATION);
        let text = "must match `ingressClassName` when both are specified";
        errors.push(FieldError::invalid(path, annotation, text));
    }
}

pub(super) fn ingress_update(errors: &mut Errors, new: &Value, _: &Value) {
    ingress(errors, new);
}

pub(super) fn ingress_status(errors: &mut Errors, new: &Value, _: &Value) {
    let path = Path::new("status").child("loadBalancer").child("ingress");
    let entries = new["status"]["loadBalancer"].list("ingress");
    for (index, entry) in entries.iter().enumerate() {
        let path = path.index(index);
        optional_text(errors, entry, "ip", &path, names::ip_address);
        optional_text(errors, entry, "hostname", &path, host_name);
    }
}

fn ingress(errors: &mut Errors, object: &Value) {
    let (path, spec) = (Path::new("spec"), &object["spec"]);
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
    for (index, entry) in spec.list("tls").iter().enumerate() {
        for (host, name) in entry.list("hosts").iter().filter_map(Value::as_str).enumerate() {
            let path = path.child("tls").index(index).child("hosts").index(host);
            let wrong = match name.contains('*') {
                true => names::wildcard_subdomain(name),
                false => names::dns_subdomain(name),
            };
            problems(errors, &path, name, wrong);
        }
        let path = path.child("tls").index(index);
        optional_text(errors, entry, "secretName", &path, names::dns_subdomain);
    }
    optional_text(errors, spec, "ingressClassName", &path, names::dns_subdomain);
}

fn host_name(host: &str) -> names::Problems {
    if host.parse::<IpAddr>().is_ok() {
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
    let free = entry.text("pathType") == "ImplementationSpecific";
    let mut invalid = |why: String| {
        errors.push(FieldError::invalid(path.child("path"), text, why));
    };
    let absent = free && text.is_empty();
    if !absent && !text.starts_with('/') {
        invalid("must be an absolute path".into());
    }
    let exact = matches!(entry.text("pathType"), "Exact" | "Prefix");
    for sequence in PATH_SEQUENCES.iter().filter(|part| exact && text.contains(**part)) {
        invalid(format!("must not contain '{sequence}'"));
    }
    for suffix in PATH_SUFFIXES.iter().filter(|part| exact && text.ends_with(**part)) {
        invalid(format!("cannot end with '{suffix}'"));
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
            let text = "resource or service backend is required";
            errors.push(FieldError::invalid(path.clone(), "", text));
        }
        (true, false) => service_backend(errors, &backend["service"], path),
        (false, true) => object_reference(errors, &backend["resource"], &path.child("resource")),
    }
}

fn object_reference(errors: &mut Errors, reference: &Value, path: &Path) {
    optional_text(errors, reference, "apiGroup", path, names::dns_subdomain);
    for field in ["kind", "name"] {
        match reference.text(field) {
            "" => {
                let text = format!("{field} is required");
                errors.push(FieldError::required(path.child(field), text));
            }
            text => problems(errors, &path.child(field), text, names::path_segment(text)),
        }
    }
}

fn service_backend(errors: &mut Errors, service: &Value, path: &Path) {
    let own = path.child("service");
    required_text(errors, service, "name", &own, names::dns_1035_label);
    let (port, own) = (&service["port"], own.child("port"));
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
    let (path, spec) = (Path::new("spec"), &object["spec"]);
    let controller = spec.text("controller");
    if controller.len() > CONTROLLER_MAX {
        errors.push(FieldError::too_long(path.child("controller"), CONTROLLER_MAX));
    }
    names::domain_prefixed_path(errors, controller, &path.child("controller"));
    let (parameters, path) = (&spec["parameters"], path.child("parameters"));
    if parameters.is_null() {
        return;
    }
    object_reference(errors, parameters, &path);
    let namespace = &parameters["namespace"];
    match parameters["scope"].as_str() {
        None => errors.push(FieldError::required(path.child("scope"), "")),
        Some("Namespace") => match namespace.as_str() {
            None => {
                let text = "`parameters.scope` is set to 'Namespace'";
                errors.push(FieldError::required(path.child("namespace"), text));
            }
            Some(name) => {
                problems(errors, &path.child("namespace"), name, names::dns_label(name));
            }
        },
        Some("Cluster") if !namespace.is_null() => {
            let text = "`parameters.scope` is set to 'Cluster'";
            errors.push(FieldError::forbidden(path.child("namespace"), text));
        }
        Some("Cluster") => {}
        Some(scope) => {
            let supported = ["Cluster", "Namespace"];
            errors.push(FieldError::not_supported(path.child("scope"), scope, &supported));
        }
    }
}

pub(super) fn ingress_class_update(errors: &mut Errors, new: &Value, old: &Value) {
    ingress_class(errors, new);
    let path = Path::new("spec").child("controller");
    immutable(errors, &new["spec"]["controller"], &old["spec"]["controller"], &path);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::check;

    #[test]
    fn ingresses() {
        let rule = |path: Value| json!({"spec": {"rules": [{"http": {"paths": [path]}}]}});
        let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
        check(
            ingress_create,
            rule(json!({"path": "/", "pathType": "Prefix", "backend": backend})),
            &[],
        );
        check(
            ingress_create,
            json!({"spec": {}}),
            &["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
        );
        check(
            ingress_create,
            rule(
                json!({"path": "a//b", "pathType": "Exact", "backend": {"service": {"name": "web"}}}),
            ),
            &[
                r#"spec.rules[0].http.paths[0].path: Invalid value: "a//b": must be an absolute path"#,
                r#"spec.rules[0].http.paths[0].path: Invalid value: "a//b": must not contain '//'"#,
                "spec.rules[0].http.paths[0].backend: Required value: port name or number is required",
            ],
        );
        check(
            ingress_create,
            rule(json!({"path": "/", "backend": backend})),
            &["spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"],
        );
    }

    #[test]
    fn policies() {
        let peer = |peer: Value| json!({"spec": {"ingress": [{"from": [peer]}]}});
        check(
            network_policy,
            peer(json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}})),
            &[],
        );
        check(
            network_policy,
            peer(json!({"ipBlock": {"cidr": "10.0.0.0/16", "except": ["10.1.0.0/24"]}})),
            &[
                r#"spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "10.1.0.0/24": must be a strict subset of `cidr`"#,
            ],
        );
        check(
            network_policy,
            json!({"spec": {"egress": [{"ports": [{"port": "http", "endPort": 90}]}]}}),
            &[
                "spec.egress[0].ports[0].endPort: Invalid value: 90: may not be specified when `port` is non-numeric",
            ],
        );
    }

    #[test]
    fn ranges_of_services() {
        let range = |ranges: Value| json!({"spec": {"cidrs": ranges}});
        check(service_cidr, range(json!(["10.96.0.0/12", "fd00::/108"])), &[]);
        check(
            service_cidr,
            range(json!([])),
            &["spec.cidrs: Required value: at least one CIDR required"],
        );
        check(
            service_cidr,
            range(json!(["10.96.0.1/12"])),
            &[
                r#"spec.cidrs[0]: Invalid value: "10.96.0.1/12": wrong CIDR format, IP doesn't match network IP address"#,
            ],
        );
        assert_eq!(address_name("10.0.0.1"), [""; 0]);
        assert_eq!(address_name("fd00:0::1"), ["must be a canonical format IP address"]);
    }
}

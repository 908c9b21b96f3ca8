//! Services, Endpoints and EndpointSlices.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::check::{
    Errors, choice, immutable, labels, optional_text, port_reference, problems, required_choice,
    within,
};
use super::names;
use crate::walk::Walk;
use crate::{FieldError, Path};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const POLICIES: [&str; 2] = ["Cluster", "Local"];
const KUBELET_PORT: i64 = 10250;
const AFFINITY_SECONDS_MAX: i64 = 86_400;
const ENDPOINTS_MAX: usize = 1000;
const ENDPOINT_PORTS_MAX: usize = 20_000;

pub(super) fn service(errors: &mut Errors, object: &Value) {
    let path = Path::new("spec");
    let spec = &object["spec"];
    let kind = spec.text("type");
    let headless = spec.text("clusterIP") == "None";
    if spec.list("ports").is_empty() && !headless && kind != "ExternalName" {
        errors.push(FieldError::required(path.child("ports"), ""));
    }
    by_type(errors, spec, &path, headless);
    ports(errors, spec, &path.child("ports"));
    labels(errors, spec, "selector", &path);
    session_affinity(errors, spec, &path);
    addresses(errors, spec, &path);
    required_choice(errors, spec, "type", &path, &TYPES);
    node_ports(errors, spec, &path.child("ports"));
    load_balancer_fields(errors, spec, &path);
    traffic_policies(errors, spec, &path);
}

fn by_type(errors: &mut Errors, spec: &Value, path: &Path, headless: bool) {
    let kind = spec.text("type");
    if headless && matches!(kind, "LoadBalancer" | "NodePort") {
        let text = format!("may not be set to 'None' for {kind} services");
        errors.push(FieldError::invalid(path.child("clusterIPs").index(0), "None", text));
    }
    if kind == "LoadBalancer" {
        for (index, port) in spec.list("ports").iter().enumerate() {
            if port.integer("port") == Some(KUBELET_PORT) {
                let text = "may not expose port 10250 externally since it is used by kubelet";
                let path = path.child("ports").index(index);
                errors.push(FieldError::invalid(path, KUBELET_PORT, text));
            }
        }
    }
    if kind != "ExternalName" {
        return;
    }
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let set = !spec.list(field).is_empty() || spec[field].is_string();
        if set {
            let text = "may not be set for ExternalName services";
            errors.push(FieldError::forbidden(path.child(field), text));
        }
    }
    match spec.text("externalName") {
        "" => errors.push(FieldError::required(path.child("externalName"), "")),
        name => {
            let wrong = names::dns_subdomain(name.strip_suffix('.').unwrap_or(name));
            problems(errors, &path.child("externalName"), name, wrong);
        }
    }
}

fn ports(errors: &mut Errors, spec: &Value, path: &Path) {
    let all = spec.list("ports");
    let mut seen = HashSet::new();
    for (index, port) in all.iter().enumerate() {
        let path = path.index(index);
        let name = port.text("name");
        if name.is_empty() {
            if all.len() > 1 {
                errors.push(FieldError::required(path.child("name"), ""));
            }
        } else {
            problems(errors, &path.child("name"), name, names::dns_label(name));
            if !seen.insert(name) {
                errors.push(FieldError::duplicate(path.child("name"), name));
            }
        }
        let number = port.integer("port").unwrap_or(0);
        problems(errors, &path.child("port"), number, names::port_number(number));
        required_choice(errors, port, "protocol", &path, &PROTOCOLS);
        port_reference(errors, &port["targetPort"], &path.child("targetPort"));
        optional_text(errors, port, "appProtocol", &path, names::qualified_name);
    }
}

fn session_affinity(errors: &mut Errors, spec: &Value, path: &Path) {
    required_choice(errors, spec, "sessionAffinity", path, &["ClientIP", "None"]);
    let config = &spec["sessionAffinityConfig"];
    let own = path.child("sessionAffinityConfig");
    match spec.text("sessionAffinity") {
        "ClientIP" => {
            let path = own.child("clientIP").child("timeoutSeconds");
            match config["clientIP"].integer("timeoutSeconds") {
                None => errors
                    .push(FieldError::required(path, "when session affinity type is ClientIP")),
                Some(seconds) if seconds <= 0 || seconds > AFFINITY_SECONDS_MAX => {
                    let text =
                        format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}");
                    errors.push(FieldError::invalid(path, seconds, text));
                }
                Some(_) => {}
            }
        }
        "None" if !config.is_null() => {
            let text = "must not be set when session affinity is None";
            errors.push(FieldError::forbidden(own, text));
        }
        _ => {}
    }
}

fn addresses(errors: &mut Errors, spec: &Value, path: &Path) {
    if spec.text("type") == "ExternalName" {
        return;
    }
    let all: Vec<&str> = spec.list("clusterIPs").iter().filter_map(Value::as_str).collect();
    let first = spec.text("clusterIP");
    let own = path.child("clusterIPs");
    match all.first() {
        Some(address) if *address != first => {
            let text = "first value must match `clusterIP`";
            errors.push(FieldError::invalid(own.clone(), spec["clusterIPs"].clone(), text));
        }
        None if !first.is_empty() => {
            let text = "must be set when `clusterIP` is set";
            errors.push(FieldError::required(own.clone(), text));
        }
        _ => {}
    }
    if all.len() > 2 {
        let text = "may only hold up to 2 values";
        errors.push(FieldError::invalid(own.clone(), spec["clusterIPs"].clone(), text));
    }
    for (index, address) in all.iter().enumerate() {
        if *address != "None" {
            problems(errors, &own.index(index), *address, names::ip_address(address));
        } else if index > 0 || all.len() > 1 {
            let text = "'None' must be the first and only value";
            errors.push(FieldError::invalid(own.index(index), *address, text));
        }
    }
    for (index, address) in spec.list("externalIPs").iter().filter_map(Value::as_str).enumerate() {
        let path = path.child("externalIPs").index(index);
        problems(errors, &path, address, names::ip_address(address));
    }
    for (index, family) in spec.list("ipFamilies").iter().filter_map(Value::as_str).enumerate() {
        if !matches!(family, "IPv4" | "IPv6") {
            let path = path.child("ipFamilies").index(index);
            errors.push(FieldError::not_supported(path, family, &["IPv4", "IPv6"]));
        }
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    choice(errors, spec, "ipFamilyPolicy", path, &policies);
}

fn node_ports(errors: &mut Errors, spec: &Value, path: &Path) {
    let (mut ports, mut node_ports) = (HashSet::new(), HashSet::new());
    let inside = spec.text("type") == "ClusterIP";
    for (index, port) in spec.list("ports").iter().enumerate() {
        let path = path.index(index);
        let protocol = port.text("protocol");
        let node_port = port.integer("nodePort").unwrap_or(0);
        if inside && node_port != 0 {
            let text = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(path.child("nodePort"), text));
        }
        if !ports.insert((protocol, port.integer("port"))) {
            let key = json!({"protocol": protocol, "port": port["port"]});
            errors.push(FieldError::duplicate(path.clone(), key));
        }
        if node_port != 0 && !node_ports.insert((protocol, node_port)) {
            errors.push(FieldError::duplicate(path.child("nodePort"), node_port));
        }
    }
}

fn load_balancer_fields(errors: &mut Errors, spec: &Value, path: &Path) {
    let balanced = spec.text("type") == "LoadBalancer";
    for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass", "loadBalancerSourceRanges"]
    {
        let set = spec.has(field) && spec[field].as_array().is_none_or(|list| !list.is_empty());
        if set && !balanced {
            let text = "may only be used when `type` is 'LoadBalancer'";
            errors.push(FieldError::forbidden(path.child(field), text));
        }
    }
    let own = path.child("loadBalancerSourceRanges");
    for (index, range) in spec.list("loadBalancerSourceRanges").iter().enumerate() {
        let range = range.as_str().unwrap_or("").trim();
        problems(errors, &own.index(index), range, names::cidr(range));
    }
    optional_text(errors, spec, "loadBalancerClass", path, names::qualified_name);
}

fn traffic_policies(errors: &mut Errors, spec: &Value, path: &Path) {
    let kind = spec.text("type");
    let external = matches!(kind, "NodePort" | "LoadBalancer")
        || (kind == "ClusterIP" && !spec.list("externalIPs").is_empty());
    let policy = spec.text("externalTrafficPolicy");
    if external {
        required_choice(errors, spec, "externalTrafficPolicy", path, &POLICIES);
    } else if !policy.is_empty() {
        let text = "may only be set for externally-accessible services";
        errors.push(FieldError::invalid(path.child("externalTrafficPolicy"), policy, text));
    }
    let port = spec.integer("healthCheckNodePort").unwrap_or(0);
    if port != 0 && !(kind == "LoadBalancer" && policy == "Local") {
        let text =
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(FieldError::invalid(path.child("healthCheckNodePort"), port, text));
    }
    if port != 0 {
        within(errors, spec, "healthCheckNodePort", path, (1, 65535));
    }
    choice(errors, spec, "internalTrafficPolicy", path, &POLICIES);
}

pub(super) fn service_update(errors: &mut Errors, new: &Value, old: &Value) {
    let first = |object: &Value| object["spec"]["clusterIPs"][0].as_str().unwrap_or("").to_owned();
    let (now, before) = (first(new), first(old));
    let named = |object: &Value| object["spec"].text("type") == "ExternalName";
    if !named(new) && !named(old) && !before.is_empty() && now != before {
        let path = Path::new("spec").child("clusterIPs").index(0);
        let value = new["spec"]["clusterIPs"].clone();
        errors.push(FieldError::invalid(path, value, "may not change once set"));
    }
    let class = |object: &Value| object["spec"]["loadBalancerClass"].clone();
    let balanced = |object: &Value| object["spec"].text("type") == "LoadBalancer";
    if balanced(new) && balanced(old) && class(new) != class(old) {
        let path = Path::new("spec").child("loadBalancerClass");
        errors.push(FieldError::invalid(path, class(new), "may not change once set"));
    }
    service(errors, new);
}

pub(super) fn endpoints(errors: &mut Errors, object: &Value) {
    let path = Path::new("subsets");
    for (index, subset) in object.list("subsets").iter().enumerate() {
        let path = path.index(index);
        let (ready, waiting) = (subset.list("addresses"), subset.list("notReadyAddresses"));
        if ready.is_empty() && waiting.is_empty() {
            let text = "must specify `addresses` or `notReadyAddresses`";
            errors.push(FieldError::required(path.clone(), text));
        }
        for (field, all) in [("addresses", ready), ("notReadyAddresses", waiting)] {
            for (index, address) in all.iter().enumerate() {
                let path = path.child(field).index(index);
                let ip = address.text("ip");
                problems(errors, &path.child("ip"), ip, names::ip_address(ip));
                optional_text(errors, address, "hostname", &path, names::dns_label);
                optional_text(errors, address, "nodeName", &path, names::dns_subdomain);
            }
        }
        let several = subset.list("ports").len() > 1;
        for (index, port) in subset.list("ports").iter().enumerate() {
            let path = path.child("ports").index(index);
            let name = port.text("name");
            if several && name.is_empty() {
                errors.push(FieldError::required(path.child("name"), ""));
            } else if !name.is_empty() {
                problems(errors, &path.child("name"), name, names::dns_label(name));
            }
            let number = port.integer("port").unwrap_or(0);
            problems(errors, &path.child("port"), number, names::port_number(number));
            required_choice(errors, port, "protocol", &path, &PROTOCOLS);
        }
    }
}

pub(super) fn endpoint_slice(errors: &mut Errors, object: &Value) {
    let kind = object.text("addressType");
    required_choice(errors, object, "addressType", &Path::new(""), &["IPv4", "IPv6", "FQDN"]);
    let path = Path::new("endpoints");
    let all = object.list("endpoints");
    if all.len() > ENDPOINTS_MAX {
        errors.push(FieldError::too_many(path.clone(), all.len(), ENDPOINTS_MAX));
    }
    for (index, endpoint) in all.iter().enumerate() {
        slice_endpoint(errors, endpoint, &path.index(index), kind);
    }
    let path = Path::new("ports");
    let ports = object.list("ports");
    if ports.len() > ENDPOINT_PORTS_MAX {
        errors.push(FieldError::too_many(path.clone(), ports.len(), ENDPOINT_PORTS_MAX));
    }
    let mut seen = HashSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        optional_text(errors, port, "name", &path, names::dns_label);
        if !seen.insert(port.text("name")) {
            errors.push(FieldError::duplicate(path.child("name"), port.text("name")));
        }
        required_choice(errors, port, "protocol", &path, &PROTOCOLS);
        optional_text(errors, port, "appProtocol", &path, names::qualified_name);
    }
}

fn slice_endpoint(errors: &mut Errors, endpoint: &Value, path: &Path, kind: &str) {
    let own = path.child("addresses");
    let addresses = endpoint.list("addresses");
    if addresses.is_empty() {
        errors.push(FieldError::required(own.clone(), "must contain at least 1 address"));
    }
    for (index, address) in addresses.iter().filter_map(Value::as_str).enumerate() {
        let wrong = match kind {
            "FQDN" => names::dns_subdomain(address),
            _ => names::ip_address(address),
        };
        problems(errors, &own.index(index), address, wrong);
    }
    optional_text(errors, endpoint, "nodeName", path, names::dns_subdomain);
    optional_text(errors, endpoint, "hostname", path, names::dns_label);
}

pub(super) fn endpoint_slice_update(errors: &mut Errors, new: &Value, old: &Value) {
    endpoint_slice(errors, new);
    immutable(errors, &new["addressType"], &old["addressType"], &Path::new("addressType"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services() {
        let check = |spec: Value, want: &[&str]| {
            let mut all = json!({"type": "ClusterIP", "sessionAffinity": "None",
                "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}]});
            for (key, value) in spec.as_object().unwrap() {
                all[key] = value.clone();
            }
            let mut errors = Errors::new();
            service(&mut errors, &json!({ "spec": all }));
            let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
            assert_eq!(texts, want);
        };
        check(json!({}), &[]);
        check(json!({"ports": []}), &["spec.ports: Required value"]);
        check(json!({"ports": [], "clusterIP": "None", "clusterIPs": ["None"]}), &[]);
        check(
            json!({"ports": [{"port": 0, "targetPort": 1, "protocol": "TCP"}]}),
            &["spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"],
        );
        check(
            json!({"type": "Magic"}),
            &[
                r#"spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort""#,
            ],
        );
        check(
            json!({"externalTrafficPolicy": "Local"}),
            &[
                r#"spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services"#,
            ],
        );
        check(json!({"type": "ExternalName", "ports": []}), &["spec.externalName: Required value"]);
    }

    #[test]
    fn the_cluster_address_stays() {
        let object = |ip: &str| {
            json!({"spec": {"type": "ClusterIP", "sessionAffinity": "None", "clusterIP": ip,
                "clusterIPs": [ip], "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}]}})
        };
        let mut errors = Errors::new();
        service_update(&mut errors, &object("10.0.0.2"), &object("10.0.0.1"));
        assert_eq!(
            errors[0].to_string(),
            r#"spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set"#
        );
    }
}

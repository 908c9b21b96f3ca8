//! Defaults of services, endpoints and network policies.

use serde_json::{Value, json};

use crate::walk::{Shape, Walk};

/// Three hours.
const CLIENT_AFFINITY_SECONDS: i64 = 10_800;

pub(super) fn service(obj: &mut Value) {
    let Some(spec) = obj.object_mut("spec") else { return };
    spec.set_default_text("sessionAffinity", "None");
    spec.set_default_text("type", "ClusterIP");
    session_affinity(spec);
    for port in spec.each_mut("ports") {
        port.set_default_text("protocol", "TCP");
        let unset = matches!(&port["targetPort"], Value::Null)
            || port.integer("targetPort") == Some(0)
            || port["targetPort"] == "";
        if unset {
            let number = port["port"].clone();
            port.put("targetPort", number);
        }
    }
    let kind = spec.text("type").to_owned();
    let reachable = matches!(kind.as_str(), "NodePort" | "LoadBalancer");
    if reachable || (kind == "ClusterIP" && !spec.list("externalIPs").is_empty()) {
        spec.set_default_text("externalTrafficPolicy", "Cluster");
    }
    if reachable || kind == "ClusterIP" {
        spec.set_default("internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        spec.set_default("allocateLoadBalancerNodePorts", true);
    }
}

fn session_affinity(spec: &mut Value) {
    match spec.text("sessionAffinity") {
        "None" => {
            spec.take_key("sessionAffinityConfig");
        }
        "ClientIP" => {
            let config = spec.object_mut("sessionAffinityConfig");
            if let Some(client) = config.and_then(|config| config.object_mut("clientIP")) {
                client.set_default("timeoutSeconds", CLIENT_AFFINITY_SECONDS);
            }
        }
        _ => {}
    }
}

pub(super) fn endpoints(obj: &mut Value) {
    for subset in obj.each_mut("subsets") {
        for port in subset.each_mut("ports") {
            port.set_default_text("protocol", "TCP");
        }
    }
}

pub(super) fn endpoint_slice(obj: &mut Value) {
    for port in obj.each_mut("ports") {
        port.set_default("name", "");
        port.set_default("protocol", "TCP");
    }
}

pub(super) fn network_policy(obj: &mut Value) {
    let Some(spec) = obj.object_mut("spec") else { return };
    for direction in ["ingress", "egress"] {
        for rule in spec.each_mut(direction) {
            for port in rule.each_mut("ports") {
                port.set_default("protocol", "TCP");
            }
        }
    }
    if spec.list("policyTypes").is_empty() {
        let types = match spec.list("egress").is_empty() {
            true => json!(["Ingress"]),
            false => json!(["Ingress", "Egress"]),
        };
        spec.put("policyTypes", types);
    }
}

pub(super) fn ingress_class(obj: &mut Value) {
    if let Some(parameters) = obj.existing_mut("spec").and_then(|s| s.existing_mut("parameters")) {
        parameters.set_default("scope", "Cluster");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services() {
        let check = |spec: Value, want: Value| {
            let mut obj = json!({ "spec": spec });
            service(&mut obj);
            assert_eq!(obj["spec"], want);
        };
        check(
            json!({"ports": [{"port": 80}]}),
            json!({"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
                "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}]}),
        );
        check(
            json!({"type": "ExternalName", "externalName": "a.b"}),
            json!({"type": "ExternalName", "externalName": "a.b", "sessionAffinity": "None"}),
        );
        check(
            json!({"type": "LoadBalancer", "sessionAffinity": "ClientIP"}),
            json!({"type": "LoadBalancer", "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
                "externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster",
                "allocateLoadBalancerNodePorts": true}),
        );
    }
}

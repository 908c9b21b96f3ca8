//! Services: `clusterIP` and `clusterIPs` say the same, allocated values survive updates that leave
//! them out, and go when the type no longer has them.

use serde_json::{Value, json};

use crate::walk::{Shape, Walk};

pub(super) fn prepare_create(obj: &mut Value) {
    let Some(spec) = obj.existing_mut("spec") else { return };
    let address = spec.text("clusterIP").to_owned();
    if !address.is_empty() && spec.list("clusterIPs").is_empty() {
        spec.put("clusterIPs", json!([address]));
    }
}

pub(super) fn prepare_update(new: &mut Value, old: &Value) {
    let was = &old["spec"];
    if let Some(spec) = new.existing_mut("spec") {
        keep_allocated(spec, was);
        sync_cluster_ips(spec, was);
        drop_what_the_type_lacks(spec, was);
    }
    if new["spec"].text("type") != "LoadBalancer"
        && let Some(status) = new.existing_mut("status")
    {
        status.put("loadBalancer", json!({}));
    }
}

fn has_cluster_ip(spec: &Value) -> bool {
    matches!(spec.text("type"), "ClusterIP" | "NodePort" | "LoadBalancer")
}

fn has_node_ports(spec: &Value) -> bool {
    match spec.text("type") {
        "NodePort" => true,
        "LoadBalancer" => spec["allocateLoadBalancerNodePorts"].as_bool() != Some(false),
        _ => false,
    }
}

fn has_health_check_port(spec: &Value) -> bool {
    spec.text("type") == "LoadBalancer" && spec.text("externalTrafficPolicy") == "Local"
}

fn is_external(spec: &Value) -> bool {
    match spec.text("type") {
        "NodePort" | "LoadBalancer" => true,
        "ClusterIP" => !spec.list("externalIPs").is_empty(),
        _ => false,
    }
}

fn is_load_balancer(spec: &Value) -> bool {
    spec.text("type") == "LoadBalancer"
}

/// Values that the server chose and the client left out.
fn keep_allocated(spec: &mut Value, was: &Value) {
    if has_cluster_ip(was) && has_cluster_ip(spec) {
        if spec.text("clusterIP").is_empty() {
            copy(spec, was, "clusterIP");
        }
        if spec.list("clusterIPs").is_empty() && spec.text("clusterIP") == was.text("clusterIP") {
            copy(spec, was, "clusterIPs");
        }
    }
    if has_node_ports(was) && has_node_ports(spec) {
        keep_node_ports(spec, was);
    }
    if has_health_check_port(was)
        && has_health_check_port(spec)
        && spec.integer("healthCheckNodePort").unwrap_or(0) == 0
    {
        copy(spec, was, "healthCheckNodePort");
    }
}

fn copy(spec: &mut Value, was: &Value, field: &str) {
    if was.has(field) {
        spec.put(field, was[field].clone());
    }
}

fn node_port(port: &Value) -> i64 {
    port.integer("nodePort").unwrap_or(0)
}

/// By name: a port that is still there keeps its node port, unless another took it.
fn keep_node_ports(spec: &mut Value, was: &Value) {
    let taken =
        |list: &[Value]| -> Vec<i64> { list.iter().map(node_port).filter(|p| *p != 0).collect() };
    let mut used = taken(spec.list("ports"));
    for port in spec.each_mut("ports") {
        if node_port(port) != 0 {
            continue;
        }
        let before = was.list("ports").iter().find(|p| p.text("name") == port.text("name"));
        let number = before.map_or(0, node_port);
        if number != 0 && !used.contains(&number) {
            port.put("nodePort", number);
            used.push(number);
        }
    }
}

/// An old client changes only `clusterIP`; the list follows.
fn sync_cluster_ips(spec: &mut Value, was: &Value) {
    let (address, before) = (spec.text("clusterIP").to_owned(), was.text("clusterIP"));
    if address == before || spec["clusterIPs"] != was["clusterIPs"] {
        return;
    }
    if address.is_empty() {
        spec.take_key("clusterIPs");
    } else {
        spec.put("clusterIPs", json!([address]));
    }
}

/// Fields that depend on the type: the ones, and the types that have them.
type Dependent = (&'static [&'static str], fn(&Value) -> bool);

const DEPENDENT: &[Dependent] = &[
    (&["clusterIP", "clusterIPs"], has_cluster_ip),
    (&["ipFamilies", "ipFamilyPolicy"], has_cluster_ip),
    (&["healthCheckNodePort"], has_health_check_port),
    (&["allocateLoadBalancerNodePorts"], is_load_balancer),
    (&["loadBalancerClass"], is_load_balancer),
    (&["externalTrafficPolicy"], is_external),
    (&["internalTrafficPolicy"], has_cluster_ip),
];

/// A client that only changes the type sends back values that the new type lacks.
fn drop_what_the_type_lacks(spec: &mut Value, was: &Value) {
    for (fields, has) in DEPENDENT {
        let unchanged = fields.iter().all(|field| spec[*field] == was[*field]);
        if has(was) && !has(spec) && unchanged {
            for field in *fields {
                spec.take_key(field);
            }
        }
    }
    let ports = |spec: &Value| -> Vec<i64> { spec.list("ports").iter().map(node_port).collect() };
    if has_node_ports(was) && !has_node_ports(spec) && ports(spec) == ports(was) {
        for port in spec.each_mut("ports") {
            port.take_key("nodePort");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn updated(new: Value, old: Value) -> Value {
        let mut new = json!({ "spec": new });
        prepare_update(&mut new, &json!({ "spec": old }));
        new["spec"].take()
    }

    #[test]
    fn allocated_values_stay() {
        let old = json!({"type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
            "ports": [{"name": "a", "port": 80, "nodePort": 30000}]});
        let new = json!({"type": "NodePort", "ports": [{"name": "a", "port": 81}]});
        assert_eq!(
            updated(new, old),
            json!({"type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
                "ports": [{"name": "a", "port": 81, "nodePort": 30000}]})
        );
    }

    #[test]
    fn a_type_change_drops_what_does_not_apply() {
        let old = json!({"type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
            "externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster",
            "ports": [{"port": 80, "nodePort": 30000}]});
        let mut new = old.clone();
        new["type"] = json!("ClusterIP");
        assert_eq!(
            updated(new, old.clone()),
            json!({"type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
                "internalTrafficPolicy": "Cluster", "ports": [{"port": 80}]})
        );
        let mut external = old.clone();
        external["type"] = json!("ExternalName");
        assert_eq!(
            updated(external, old),
            json!({"type": "ExternalName", "ports": [{"port": 80}]})
        );
    }
}

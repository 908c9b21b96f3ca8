//! What one object takes from a quota, by quota resource name.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Object;
use crate::pod_resources::{Resources, Side, add, of_container, of_pod, quantities};
use crate::quantity::{Format, Quantity};

/// Kinds that can be counted without `count/`.
const PLAIN_COUNTS: [&str; 5] =
    ["configmaps", "replicationcontrollers", "resourcequotas", "secrets", "services"];
/// Resources that a quota makes each container state.
const STATED: [&str; 6] =
    ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];

/// The usage of one object.
pub fn of(group: &str, resource: &str, object: &Value) -> Resources {
    let mut usage = Resources::new();
    if group.is_empty() && resource == "pods" {
        // An object counts while it exists, its resources only while it runs.
        usage.insert("count/pods".into(), one());
        if !is_over(object) {
            pod(object, &mut usage);
        }
        return usage;
    }
    let counted = match group {
        "" => format!("count/{resource}"),
        group => format!("count/{resource}.{group}"),
    };
    usage.insert(counted, one());
    if group.is_empty() && PLAIN_COUNTS.contains(&resource) {
        usage.insert(resource.into(), one());
    }
    match (group, resource) {
        ("", "services") => service(object, &mut usage),
        ("", "persistentvolumeclaims") => claim(object, &mut usage),
        _ => {}
    }
    usage
}

/// `limits.memory for: a; requests.cpu for: a,b`: what containers do not say though the quota asks.
pub fn unspecified(pod: &Value, hard: &Resources) -> String {
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let required = STATED.iter().filter(|name| hard.contains_key(**name));
    for name in required {
        let (side, resource) = match name.split_once('.') {
            Some(("limits", resource)) => (Side::Limits, resource),
            Some((_, resource)) => (Side::Requests, resource),
            None => (Side::Requests, *name),
        };
        if pod.at(&["spec", "resources", side.field(), resource]).is_some() {
            continue;
        }
        for list in ["containers", "initContainers"] {
            for container in pod.list_at(&["spec", list]) {
                if !of_container(container, side).contains_key(resource) {
                    missing.entry(name).or_default().push(container.str_at(&["name"]));
                }
            }
        }
    }
    let texts = missing.iter_mut().map(|(name, containers)| {
        containers.sort_unstable();
        format!("{name} for: {}", containers.join(","))
    });
    texts.collect::<Vec<_>>().join("; ")
}

/// Whether a pod no longer uses resources.
fn is_over(pod: &Value) -> bool {
    matches!(pod.str_at(&["status", "phase"]), "Succeeded" | "Failed")
}

fn pod(pod: &Value, usage: &mut Resources) {
    usage.insert("pods".into(), one());
    for (name, quantity) in of_pod(pod, Side::Requests) {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage")
            || name.starts_with("hugepages-")
        {
            usage.insert(name.clone(), quantity);
        }
        usage.insert(format!("requests.{name}"), quantity);
    }
    for (name, quantity) in of_pod(pod, Side::Limits) {
        usage.insert(format!("limits.{name}"), quantity);
    }
}

fn service(service: &Value, usage: &mut Resources) {
    let kind = service.str_at(&["spec", "type"]);
    let ports = service.list_at(&["spec", "ports"]);
    let node_ports = match kind {
        "NodePort" => ports.len(),
        "LoadBalancer" if !refuses_node_ports(service) => ports.len(),
        "LoadBalancer" => {
            let has_port = |port: &&Value| port.i64_at(&["nodePort"]).unwrap_or(0) > 0;
            ports.iter().filter(has_port).count()
        }
        _ => 0,
    };
    if kind == "LoadBalancer" {
        usage.insert("services.loadbalancers".into(), one());
    }
    let count = Quantity::new(i64::try_from(node_ports).unwrap_or(i64::MAX), Format::DecimalSi);
    usage.insert("services.nodeports".into(), count);
}

fn refuses_node_ports(service: &Value) -> bool {
    let asked = service.at(&["spec", "allocateLoadBalancerNodePorts"]);
    asked.and_then(Value::as_bool) == Some(false)
}

fn claim(claim: &Value, usage: &mut Resources) {
    let class = match claim.str_at(&["spec", "storageClassName"]) {
        "" => claim.annotation("volume.beta.kubernetes.io/storage-class").unwrap_or(""),
        class => class,
    };
    let storage = quantities(claim.at(&["spec", "resources", "requests"])).remove("storage");
    let mut own = Resources::from([("persistentvolumeclaims".to_owned(), one())]);
    if let Some(storage) = storage {
        own.insert("requests.storage".into(), storage);
    }
    if !class.is_empty() {
        let prefix = format!("{class}.storageclass.storage.k8s.io/");
        let of_class = own.iter().map(|(name, quantity)| (format!("{prefix}{name}"), *quantity));
        let of_class: Resources = of_class.collect();
        add(usage, &of_class);
    }
    add(usage, &own);
}

fn one() -> Quantity {
    Quantity::new(1, Format::DecimalSi)
}

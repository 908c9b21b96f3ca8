//! Nodes and pods from JSON, for the tables of tests.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::cycle::{Diagnosis, Nominated, Turn, choose};
use crate::pod::PodFacts;
use crate::profile::Profile;

/// A node with 4 CPUs, 8 GiB and room for 110 pods, changed by `more`.
pub fn node(name: &str, more: Value) -> Value {
    let mut node = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}});
    merge(&mut node, more);
    node
}

/// A pod in namespace `n`, changed by `more`.
pub fn pod(name: &str, more: Value) -> PodFacts {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "n", "uid": format!("{name}-uid")},
        "spec": {"containers": [{"name": "c"}]}});
    merge(&mut pod, more);
    PodFacts::of(serde_json::from_value(pod).unwrap())
}

/// A cluster of these nodes, with these pods on theirs.
pub fn cluster(nodes: &[Value], pods: &[PodFacts]) -> Cluster {
    let mut cluster = Cluster::default();
    for node in nodes {
        cluster.set_node(serde_json::from_value(node.clone()).unwrap());
    }
    for pod in pods {
        cluster.place(Arc::new(pod.clone()));
    }
    cluster
}

/// What one cycle decides.
pub fn decide(cluster: &Cluster, pod: &PodFacts) -> Result<String, Diagnosis> {
    let choice = choose(&Profile::default(), cluster, &Nominated::new(), pod, Turn::default());
    choice.map(|choice| choice.node)
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

//! A figure, printed: what a View costs beside the objects that it holds.
//! `cargo test -p kd-client cost -- --ignored --nocapture`

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Keep, Object, View, resources};

const PODS: usize = 20_000;
const NODES: usize = 100;

#[test]
#[ignore = "prints figures"]
fn what_a_view_costs() {
    let before = resident_bytes();
    let mut view = View::of([resources::PODS.clone()]);
    view.sync(&resources::PODS, 1);
    let (mut sent, mut kept) = (0, 0);
    for number in 0..PODS {
        let json = serde_json::to_vec(&pod(number)).expect("JSON");
        let now = Timestamp::UNIX_EPOCH;
        let pod = Object::parse(&resources::PODS, &json, Keep::Full, now).expect("a pod");
        sent += json.len();
        kept += pod.bytes().map_or(0, <[u8]>::len);
        view.insert(&resources::PODS, pod);
    }
    let resident = resident_bytes() - before;
    let ratio = |bytes: usize| resident as f64 / bytes as f64;
    println!("{PODS} pods: {} bytes of memory each", resident / PODS);
    println!("{} bytes as the server sends them, ratio {:.2}", sent / PODS, ratio(sent));
    println!("{} bytes without managed fields, ratio {:.2}", kept / PODS, ratio(kept));
    assert_eq!(view.count(&resources::PODS), PODS);
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

/// A pod as it is when it runs, managed fields and all.
fn pod(number: usize) -> Value {
    let field =
        |name: &str| json!({format!("f:{name}"): {"f:one": {}, "f:two": {}, "f:three": {}}});
    let time = "2026-01-01T00:00:00Z";
    let managed: Vec<Value> = (0..4)
        .map(|manager| {
            json!({"manager": format!("manager-{manager}"), "operation": "Update",
                "apiVersion": "v1", "time": time, "fieldsType": "FieldsV1",
                "fieldsV1": {"f:metadata": field("labels"), "f:spec": field("containers"),
                    "f:status": field("conditions")}})
        })
        .collect();
    let condition = |name: &str| json!({"type": name, "status": "True", "lastProbeTime": null, "lastTransitionTime": time});
    let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition);
    let container = json!({"name": "c", "image": "registry.example.com/one/two:three",
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "env": (0..20).map(|i| json!({"name": format!("NAME_{i}"), "value": "a value of some length"}))
            .collect::<Vec<Value>>(),
        "terminationMessagePath": "/dev/termination-log", "imagePullPolicy": "IfNotPresent"});
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("r{}", number / 10),
        "uid": format!("uid-{}", number / 10), "controller": true, "blockOwnerDeletion": true});
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("pod-{number}"), "uid": format!("uid-of-{number}"),
                "namespace": format!("namespace-{}", number / 100),
                "resourceVersion": number.to_string(), "creationTimestamp": time, "labels": {"app": "x", "pod-template-hash": "abcdef"},
                "managedFields": managed, "ownerReferences": [owner]},
            "spec": {"nodeName": format!("node-{}", number % NODES), "containers": [container]},
            "status": {"phase": "Running", "conditions": conditions,
                "podIP": "10.0.0.1", "hostIP": "10.0.0.2", "startTime": time}})
}

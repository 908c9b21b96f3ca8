//! Figures, printed: what a wake that changes nothing costs each controller, and what a View costs
//! beside the objects that it holds. `cargo test --release -p kd-controllers cost -- --ignored
//! --nocapture --test-threads 1`

use std::time::{Duration, Instant};

use kd_client::{Change, Keep, Object, View, resources};
use serde_json::{Value, json};

use super::{Config, NODES, Simulation};
use crate::testing::{at, object, time};

const ROUNDS: u32 = 20;
const PODS: usize = 20_000;

#[test]
#[ignore = "prints figures"]
fn a_wake_that_changes_nothing() {
    let mut simulation = Simulation::new(1);
    simulation.rest();
    let view = simulation.world.view();
    let now = simulation.world.now();
    let config = Config::new("10.244.0.0/16".parse().expect("a range"), 24, "PEM");
    println!("{:48} {:>6} {:>12} {:>12}", "controller", "wakes", "mean", "worst");
    for controller in crate::controllers(&config) {
        let (mut wakes, mut total, mut worst) = (0, Duration::ZERO, Duration::ZERO);
        let read = |plural: &str| {
            controller.reads_everything()
                || controller.interests().iter().any(|i| i.resource.plural == plural)
        };
        for resource in view.resources().filter(|resource| read(&resource.plural)) {
            for object in view.objects(resource, None) {
                let state = Some(object.clone());
                let change = Change { resource: resource.clone(), old: state.clone(), new: state };
                for _ in 0..ROUNDS {
                    let begun = Instant::now();
                    let targets = controller.targets(&view, &change);
                    let plans =
                        targets.iter().map(|target| controller.reconcile(&view, target, now));
                    let idle = plans.filter(|plan| plan.is_empty()).count();
                    let took = begun.elapsed();
                    // Whoever has something to do, or several targets, is another matter.
                    if targets.len() == 1 && idle == 1 {
                        wakes += 1;
                        total += took;
                        worst = worst.max(took);
                    }
                }
            }
        }
        let mean = total.checked_div(wakes).unwrap_or_default();
        println!("{:48} {wakes:>6} {mean:>12?} {worst:>12?}", controller.name());
    }
}

#[test]
#[ignore = "prints figures"]
fn what_a_view_costs() {
    let before = resident_bytes();
    let mut view = View::of([resources::PODS.clone()]);
    view.sync(&resources::PODS, 1);
    let mut bytes = 0;
    for number in 0..PODS {
        let json = serde_json::to_vec(&pod(number)).expect("JSON");
        bytes += json.len();
        let pod = Object::parse(&resources::PODS, &json, Keep::Full, at(0)).expect("a pod");
        view.insert(&resources::PODS, pod);
    }
    let resident = resident_bytes() - before;
    let ratio = resident as f64 / bytes as f64;
    println!("{PODS} pods of {} bytes: {resident} bytes, ratio {ratio:.2}", bytes / PODS);
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
    let managed: Vec<Value> = (0..4)
        .map(|manager| {
            json!({"manager": format!("manager-{manager}"), "operation": "Update",
                "apiVersion": "v1", "time": time(0), "fieldsType": "FieldsV1",
                "fieldsV1": {"f:metadata": field("labels"), "f:spec": field("containers"),
                    "f:status": field("conditions")}})
        })
        .collect();
    let condition = |name: &str| json!({"type": name, "status": "True", "lastProbeTime": null, "lastTransitionTime": time(0)});
    let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition);
    let container = json!({"name": "c", "image": "registry.example.com/one/two:three",
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "env": (0..20).map(|i| json!({"name": format!("NAME_{i}"), "value": "a value of some length"}))
            .collect::<Vec<Value>>(),
        "terminationMessagePath": "/dev/termination-log", "imagePullPolicy": "IfNotPresent"});
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("r{}", number / 10),
        "uid": format!("uid-{}", number / 10), "controller": true, "blockOwnerDeletion": true});
    object(
        "Pod",
        &format!("namespace-{}", number / 100),
        &format!("pod-{number}"),
        json!({"metadata": {"labels": {"app": "x", "pod-template-hash": "abcdef"},
                "managedFields": managed, "ownerReferences": [owner]},
            "spec": {"nodeName": NODES[number % NODES.len()], "containers": [container]},
            "status": {"phase": "Running", "conditions": conditions,
                "podIP": "10.0.0.1", "hostIP": "10.0.0.2", "startTime": time(0)}}),
    )
}

//! How fast pods are placed: 5,000 nodes in 3 zones and pods of mixed constraints, after upstream's
//! scheduler_perf (MixedSchedulingBasePod and its neighbours). Once as pure cycles, once with watches
//! and binds against an API server in memory. Prints; compares with upstream's published thresholds.
//! Arguments name the shapes to measure.

use std::time::{Duration, Instant};

use kd_scheduler::{Config, PureScheduler, ReadPod, Scheduler};
use kd_testkit::FakeApi;
use serde_json::{Value, json};

const NODES: usize = 5_000;
const PODS: usize = 10_000;
/// Pods that are there before: upstream's mixed shape has five kinds of them.
const PODS_BEFORE: usize = 10_000;
/// Of what fits nowhere or needs others' places fewer are measured.
const PODS_REFUSED: usize = 500;
const WAIT_MAX: Duration = Duration::from_secs(120);

/// Names of shapes, and pods/s below which upstream's own job fails for it (v1.36, 5,000 nodes).
const SHAPES: [(&str, f64); 14] = [
    ("basic", 680.0),
    ("pod-affinity", 35.0),
    ("pod-anti-affinity", 60.0),
    ("preferred-pod-affinity", 90.0),
    ("preferred-pod-anti-affinity", 90.0),
    ("topology-spreading", 460.0),
    ("node-affinity", 220.0),
    ("preferred-node-affinity", 220.0),
    ("preferred-topology-spreading", 340.0),
    ("default-spreading", 160.0),
    ("extended-resources", 180.0),
    ("volumes", 100.0),
    ("named-node", 1100.0),
    ("mixed", 140.0),
];
/// The first of them are the pods of the last.
const MIXED: usize = 7;
/// The node that all pods of `named-node` are for takes them all.
const ROOMY: &str = "node-7";

fn node(index: usize) -> Value {
    let name = format!("node-{index}");
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name,
            "topology.kubernetes.io/zone": format!("zone-{}", index % 3)}},
        "status": {"capacity": {"cpu": if name == ROOMY { "16k" } else { "16" },
                "memory": if name == ROOMY { "64Ti" } else { "64Gi" },
                "pods": if name == ROOMY { "110k" } else { "110" }, "example.com/gpu": "8"},
            "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn affinity(kind: &str, group: usize) -> Value {
    let selector = json!({"matchLabels": {"group": group.to_string()}});
    let term = |key: &str| json!({"topologyKey": key, "labelSelector": selector});
    let required = |rule: &str, key: &str| json!({rule: {"requiredDuringSchedulingIgnoredDuringExecution": [term(key)]}});
    let preferred = |rule: &str| {
        json!({rule: {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "podAffinityTerm": term("kubernetes.io/hostname")}]}})
    };
    match kind {
        "pod-affinity" => required("podAffinity", "topology.kubernetes.io/zone"),
        "pod-anti-affinity" => required("podAntiAffinity", "kubernetes.io/hostname"),
        "preferred-pod-affinity" => preferred("podAffinity"),
        "preferred-pod-anti-affinity" => preferred("podAntiAffinity"),
        "node-affinity" => json!({"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In",
                    "values": ["zone-0", "zone-1"]}]}]}}}),
        "preferred-node-affinity" => json!({"nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 3, "preference":
                {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In",
                    "values": ["zone-0", "zone-1"]}]}}]}}),
        "named-node" => json!({"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In",
                    "values": [ROOMY]}]}]}}}),
        _ => Value::Null,
    }
}

fn pod(shape: &str, index: usize, prefix: &str) -> Value {
    let kind = match shape {
        "mixed" => SHAPES[index % MIXED].0,
        one => one,
    };
    // A tenth of the anti-affine pods' nodes is left free.
    let group = index % 20;
    let name = format!("{prefix}-{index}");
    let spread = |when: &str| {
        json!([{"maxSkew": 5, "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": when,
            "labelSelector": {"matchLabels": {"group": group.to_string()}}}])
    };
    let spread = match kind {
        "topology-spreading" => spread("DoNotSchedule"),
        "preferred-topology-spreading" => spread("ScheduleAnyway"),
        _ => Value::Null,
    };
    let mut requests = json!({"cpu": "100m", "memory": "200Mi"});
    match kind {
        "extended-resources" => requests["example.com/gpu"] = json!("1"),
        "preemption" => requests["cpu"] = json!("12"),
        "unschedulable" => requests["cpu"] = json!("17"),
        _ => {}
    }
    let claim = json!([{"name": "v", "persistentVolumeClaim": {"claimName": name}}]);
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": kind, "uid": name,
            "labels": {"group": group.to_string()}},
        "spec": {"schedulerName": "default-scheduler", "affinity": affinity(kind, group),
            "priority": if kind == "preemption" { 10 } else { 0 },
            "volumes": if kind == "volumes" { claim } else { Value::Null },
            "topologySpreadConstraints": spread, "containers": [{"name": "c", "image": "pause",
            "resources": {"requests": requests}}]}})
}

/// A claim that is bound, and its volume, which some zone has.
fn add_volume(scheduler: &mut PureScheduler, pod: &Value, zone: usize) {
    let name = &pod["metadata"]["name"];
    scheduler.add_claim(json!({"metadata": {"name": name, "namespace": "volumes"},
        "spec": {"volumeName": name, "accessModes": ["ReadWriteOnce"]},
        "status": {"phase": "Bound"}}));
    scheduler.add_volume(json!({"metadata": {"name": name},
        "spec": {"csi": {"driver": "d", "volumeHandle": name}, "nodeAffinity": {"required":
            {"nodeSelectorTerms": [{"matchExpressions": [{"key": "topology.kubernetes.io/zone",
                "operator": "In", "values": [format!("zone-{zone}")]}]}]}}}}));
}

fn cluster(shape: &str) -> PureScheduler {
    let mut scheduler = PureScheduler::default();
    for index in 0..NODES {
        scheduler.add_node(node(index));
    }
    if shape == "default-spreading" {
        for group in 0..20 {
            scheduler.add_service(json!({
                "metadata": {"name": format!("s{group}"), "namespace": shape},
                "spec": {"selector": {"group": group.to_string()}}}));
        }
    }
    scheduler
}

/// Pods that can be made; with volumes, these are there by then.
fn read(scheduler: &mut PureScheduler, shape: &str, count: usize, prefix: &str) -> Vec<ReadPod> {
    let made = (0..count).map(|index| {
        let pod = pod(shape, index, prefix);
        if shape == "volumes" {
            add_volume(scheduler, &pod, index % 3);
        }
        PureScheduler::read(pod)
    });
    made.collect()
}

fn pure(shape: &str) -> f64 {
    let mut scheduler = cluster(shape);
    for pod in read(&mut scheduler, shape, PODS_BEFORE, "before") {
        assert!(scheduler.place(&pod), "{shape}");
    }
    let read = read(&mut scheduler, shape, PODS, "pod");
    let begin = Instant::now();
    let placed = read.iter().filter(|pod| scheduler.place(pod)).count();
    let rate = placed as f64 / begin.elapsed().as_secs_f64();
    assert_eq!(placed, PODS, "{shape}");
    rate
}

/// Pods that fit nowhere, on nodes with four pods each that go for more important ones.
fn crowded(shape: &str) -> f64 {
    let mut scheduler = PureScheduler::default();
    for index in 0..NODES {
        scheduler.add_node(node(index));
        for turn in 0..4 {
            let mut pod = pod("basic", 4 * index + turn, "before");
            pod["spec"]["nodeName"] = json!(format!("node-{index}"));
            pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("4");
            scheduler.add_pod(pod);
        }
    }
    let read = read(&mut scheduler, shape, PODS_REFUSED, "pod");
    let begin = Instant::now();
    let placed = read.iter().filter(|pod| scheduler.place_making_room(pod)).count();
    let rate = PODS_REFUSED as f64 / begin.elapsed().as_secs_f64();
    assert_eq!(placed, if shape == "preemption" { PODS_REFUSED } else { 0 }, "{shape}");
    rate
}

async fn bound(api: &FakeApi, count: usize) {
    let done = |api: &FakeApi| api.writes_of("/binding") >= count;
    let waited = tokio::time::timeout(WAIT_MAX, api.until(done)).await;
    assert!(waited.is_ok(), "{} of {count} bound", api.writes_of("/binding"));
}

/// Pods that are all there when the scheduler begins, watches and binds included.
async fn with_api(shape: &str) -> f64 {
    let api = FakeApi::new();
    (0..NODES).for_each(|index| api.put(node(index)));
    let scheduler = Scheduler::new(api.client(), Config::default());
    let task = tokio::spawn(scheduler.run(std::future::pending()));
    api.put(pod(shape, 0, "first"));
    bound(&api, 1).await;
    let begin = Instant::now();
    (0..PODS).for_each(|index| api.put(pod(shape, index, "pod")));
    bound(&api, PODS + 1).await;
    task.abort();
    PODS as f64 / begin.elapsed().as_secs_f64()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|a| a == name);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!("{NODES} nodes, {PODS_BEFORE} pods before, {PODS} pods measured; pods/s");
    println!("{:28} {:>12} {:>12} {:>8}", "shape", "pure cycles", "upstream", "times");
    for (shape, upstream) in SHAPES.into_iter().filter(|(shape, _)| wanted(shape)) {
        let rate = pure(shape);
        println!("{shape:28} {rate:12.0} {upstream:12.0} {:8.1}", rate / upstream);
    }
    for shape in ["unschedulable", "preemption"].into_iter().filter(|shape| wanted(shape)) {
        println!("{shape:28} {:12.0} refusals, or pods that take others' places", crowded(shape));
    }
    for shape in ["basic", "mixed"].into_iter().filter(|_| wanted("watched")) {
        let rate = runtime.block_on(with_api(shape));
        println!("{shape:28} {rate:12.0} with watches and binds against an API in memory");
    }
}

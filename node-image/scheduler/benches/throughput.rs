//! How fast pods are placed: 5,000 nodes in 3 zones and pods of mixed constraints, after upstream's
//! scheduler_perf (MixedSchedulingBasePod and its neighbours). Once as pure cycles, once with watches
//! and binds against an API server in memory. Prints; compares with upstream's published thresholds.

use std::time::{Duration, Instant};

use kd_scheduler::{Config, PureScheduler, Scheduler};
use kd_testkit::FakeApi;
use serde_json::{Value, json};

const NODES: usize = 5_000;
const PODS: usize = 10_000;
/// Pods that are there before: upstream's mixed shape has five kinds of them.
const PODS_BEFORE: usize = 10_000;
const WAIT_MAX: Duration = Duration::from_secs(120);

/// Names of shapes, and pods/s below which upstream's own job fails for it (v1.34, 5,000 nodes).
const SHAPES: [(&str, f64); 8] = [
    ("basic", 680.0),
    ("pod-affinity", 35.0),
    ("pod-anti-affinity", 60.0),
    ("preferred-pod-affinity", 90.0),
    ("preferred-pod-anti-affinity", 90.0),
    ("topology-spreading", 85.0),
    ("node-affinity", 220.0),
    ("mixed", 140.0),
];

fn node(index: usize) -> Value {
    let name = format!("node-{index}");
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name,
            "topology.kubernetes.io/zone": format!("zone-{}", index % 3)}},
        "status": {"capacity": {"cpu": "16", "memory": "64Gi", "pods": "110"},
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
        _ => Value::Null,
    }
}

fn pod(shape: &str, index: usize, prefix: &str) -> Value {
    let kind = match shape {
        "mixed" => SHAPES[index % (SHAPES.len() - 1)].0,
        one => one,
    };
    // A tenth of the anti-affine pods' nodes is left free.
    let group = index % 20;
    let spread = (kind == "topology-spreading").then(|| {
        json!([{"maxSkew": 5, "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"group": group.to_string()}}}])
    });
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("{prefix}-{index}"), "namespace": kind,
            "uid": format!("{prefix}-{index}"), "labels": {"group": group.to_string()}},
        "spec": {"schedulerName": "default-scheduler", "affinity": affinity(kind, group),
            "topologySpreadConstraints": spread, "containers": [{"name": "c", "image": "pause",
            "resources": {"requests": {"cpu": "100m", "memory": "200Mi"}}}]}})
}

fn pure(shape: &str) -> f64 {
    let mut scheduler = PureScheduler::default();
    for index in 0..NODES {
        scheduler.add_node(node(index));
    }
    for index in 0..PODS_BEFORE {
        assert!(scheduler.place(pod(shape, index, "before")), "{shape} {index}");
    }
    let pods: Vec<Value> = (0..PODS).map(|index| pod(shape, index, "pod")).collect();
    let read: Vec<_> = pods.into_iter().map(PureScheduler::read).collect();
    let begin = Instant::now();
    let placed = read.into_iter().filter(|pod| scheduler.place_read(pod)).count();
    let rate = placed as f64 / begin.elapsed().as_secs_f64();
    assert_eq!(placed, PODS, "{shape}");
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
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!("{NODES} nodes, {PODS_BEFORE} pods before, {PODS} pods measured; pods/s");
    println!("{:28} {:>12} {:>12} {:>8}", "shape", "pure cycles", "upstream", "times");
    for (shape, upstream) in SHAPES {
        let rate = pure(shape);
        println!("{shape:28} {rate:12.0} {upstream:12.0} {:8.1}", rate / upstream);
    }
    for shape in ["basic", "mixed"] {
        let rate = runtime.block_on(with_api(shape));
        println!("{shape:28} {rate:12.0} with watches and binds against an API in memory");
    }
}

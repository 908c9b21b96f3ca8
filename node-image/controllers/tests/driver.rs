//! The driver and all controllers against an API server in memory: what happens end to end, and what
//! survives broken watches.

use std::sync::Arc;
use std::time::Duration;

use kd_controllers::{Clients, Config, Driver};
use kd_testkit::FakeApi;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const WAIT_MAX: Duration = Duration::from_secs(20);

struct Running {
    api: FakeApi,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn start(api: &FakeApi) -> Running {
    let (stop, stopped) = oneshot::channel();
    let source = api.clone();
    let clients: Clients = Arc::new(move |_| source.client());
    let config = Config::new("10.244.0.0/16".parse().unwrap(), 24, "PEM");
    let driver = Driver::new(clients, &config);
    let task = tokio::spawn(driver.run(async move {
        let _ = stopped.await;
    }));
    Running { api: api.clone(), stop, task }
}

impl Running {
    async fn until(&self, what: &str, holds: impl Fn(&FakeApi) -> bool) {
        let waited = timeout(WAIT_MAX, self.api.until(holds)).await;
        assert!(waited.is_ok(), "never: {what}; writes: {:#?}", self.api.writes());
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        timeout(WAIT_MAX, self.task).await.unwrap().unwrap();
    }
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}})
}

fn deployment(image: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "a", "generation": 1},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "x"}},
            "strategy": {"type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": {"app": "x"}},
                "spec": {"containers": [{"name": "c", "image": image}]}}}})
}

fn has_image(pod: &Value, image: &str) -> bool {
    pod["spec"]["containers"][0]["image"] == image
}

/// Plays the kubelet: every pod becomes ready.
fn ready_all(api: &FakeApi) {
    for mut pod in api.list("", "pods") {
        if pod["status"]["phase"] != "Running" {
            pod["status"] = json!({"phase": "Running", "podIP": "10.0.0.1", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
            api.put(pod);
        }
    }
}

#[tokio::test]
async fn a_namespace_is_furnished_and_emptied() {
    let api = FakeApi::new();
    api.put(namespace("a"));
    let running = start(&api);
    running
        .until("account and CA", |api| {
            !api.get("", "serviceaccounts", "a", "default").is_null()
                && !api.get("", "configmaps", "a", "kube-root-ca.crt").is_null()
        })
        .await;
    api.put(
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "a"}}),
    );
    let mut deleting = namespace("a");
    deleting["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    deleting["status"]["phase"] = json!("Terminating");
    api.put(deleting);
    running.until("the namespace goes", |api| api.get("", "namespaces", "", "a").is_null()).await;
    assert!(api.list("", "secrets").is_empty() && api.list("", "serviceaccounts").is_empty());
    running.stop().await;
}

#[tokio::test]
async fn nodes_get_distinct_ranges() {
    let api = FakeApi::new();
    let running = start(&api);
    for name in ["x", "y", "z"] {
        api.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}));
    }
    let ranges = |api: &FakeApi| {
        let nodes = api.list("", "nodes");
        let all = nodes.iter().filter_map(|n| n["spec"]["podCIDR"].as_str().map(str::to_owned));
        all.collect::<std::collections::BTreeSet<String>>()
    };
    running.until("three ranges", |api| ranges(api).len() == 3).await;
    running.stop().await;
}

#[tokio::test]
async fn a_deployment_rolls_out_and_is_collected() {
    let api = FakeApi::new();
    api.put(namespace("a"));
    api.put(deployment("v1"));
    let running = start(&api);
    let pods_of = |api: &FakeApi, image: &str| {
        api.list("", "pods").iter().filter(|p| has_image(p, image)).count()
    };
    running.until("three pods", |api| pods_of(api, "v1") == 3).await;
    ready_all(&api);
    let complete = |api: &FakeApi| {
        let status = &api.get("apps", "deployments", "a", "d")["status"];
        status["availableReplicas"] == 3
            && status["updatedReplicas"] == 3
            && status["replicas"] == 3
    };
    running.until("available", complete).await;

    let mut next = api.get("apps", "deployments", "a", "d");
    next["spec"]["template"]["spec"]["containers"][0]["image"] = json!("v2");
    next["metadata"]["generation"] = json!(2);
    api.put(next);
    for expect in 1..=3 {
        running.until("one more new pod", |api| pods_of(api, "v2") >= expect).await;
        api.break_watches();
        ready_all(&api);
    }
    running.until("old pods go", |api| pods_of(api, "v1") == 0 && complete(api)).await;
    assert_eq!(api.list("apps", "replicasets").len(), 2);

    api.compact();
    api.delete("apps", "deployments", "a", "d");
    api.break_watches();
    running
        .until("everything owned goes", |api| {
            api.list("apps", "replicasets").is_empty() && api.list("", "pods").is_empty()
        })
        .await;
    running.stop().await;
}

#[tokio::test]
async fn at_rest_nothing_is_written() {
    let api = FakeApi::new();
    api.put(namespace("a"));
    api.put(
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "a"},
        "spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]}}),
    );
    api.put(deployment("v1"));
    let running = start(&api);
    running.until("three pods", |api| api.list("", "pods").len() == 3).await;
    ready_all(&api);
    running
        .until("endpoints", |api| {
            let slices = api.list("discovery.k8s.io", "endpointslices");
            slices.iter().any(|s| s["endpoints"].as_array().is_some_and(|e| e.len() == 3))
        })
        .await;
    // Whatever is still under way ends; then nothing moves any more.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = api.writes().len();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(api.writes().len(), before, "{:#?}", &api.writes()[before.saturating_sub(5)..]);
    running.stop().await;
}

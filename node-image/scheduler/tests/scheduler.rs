//! The scheduler against an API server in memory.

use std::sync::Arc;
use std::time::Duration;

use kd_scheduler::{Config, Metrics, Scheduler};
use kd_testkit::FakeApi;
use serde_json::{Value, json};
use tokio::time::timeout;

const WAIT_MAX: Duration = Duration::from_secs(20);

fn node(name: &str, cpu: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "10"}}})
}

fn pod(name: &str, cpu: &str, priority: i32) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "a"},
        "spec": {"schedulerName": "default-scheduler", "priority": priority, "containers": [
            {"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
}

async fn until(api: &FakeApi, what: &str, holds: impl Fn(&FakeApi) -> bool) {
    let waited = timeout(WAIT_MAX, api.until(holds)).await;
    assert!(waited.is_ok(), "never: {what}; writes: {:#?}", api.writes());
}

fn node_of(api: &FakeApi, pod: &str) -> String {
    api.get("", "pods", "a", pod)["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()
}

fn start(api: &FakeApi) -> tokio::task::JoinHandle<()> {
    let scheduler = Scheduler::new(api.client(), Config::default());
    tokio::spawn(scheduler.run(std::future::pending()))
}

#[tokio::test]
async fn pods_wait_for_room_and_get_it() {
    let api = FakeApi::new();
    api.put(pod("p", "1", 0));
    let task = start(&api);
    let message = |api: &FakeApi| {
        let pod = api.get("", "pods", "a", "p");
        pod["status"]["conditions"][0]["message"].as_str().unwrap_or_default().to_owned()
    };
    until(&api, "no nodes", |api| message(api) == "no nodes available to schedule pods").await;
    api.put(node("small", "500m"));
    until(&api, "too small", |api| {
        message(api).starts_with("0/1 nodes are available: 1 Insufficient cpu. preemption: ")
    })
    .await;
    api.put(node("big", "2"));
    until(&api, "placed", |api| node_of(api, "p") == "big").await;
    until(&api, "events", |api| {
        let events = api.list("events.k8s.io", "events");
        events.iter().any(|e| e["note"] == "Successfully assigned a/p to big")
            && events.iter().any(|e| e["reason"] == "FailedScheduling")
    })
    .await;
    task.abort();
}

#[tokio::test]
async fn important_pods_take_the_place_of_others() {
    let api = FakeApi::new();
    api.put(node("n", "1"));
    api.put(pod("low", "1", 0));
    let task = start(&api);
    until(&api, "low is placed", |api| node_of(api, "low") == "n").await;
    api.put(pod("high", "1", 100));
    until(&api, "high is placed", |api| node_of(api, "high") == "n").await;
    assert!(api.get("", "pods", "a", "low").is_null());
    task.abort();
}

#[tokio::test]
async fn no_node_is_overbooked() {
    let api = FakeApi::new();
    for name in ["x", "y"] {
        api.put(node(name, "5"));
    }
    for i in 0..12 {
        api.put(pod(&format!("p{i}"), "1", 0));
    }
    let task = start(&api);
    let placed = |api: &FakeApi, node: &str| {
        api.list("", "pods").iter().filter(|p| p["spec"]["nodeName"] == node).count()
    };
    until(&api, "ten are placed", |api| placed(api, "x") == 5 && placed(api, "y") == 5).await;
    let refused = |api: &FakeApi| {
        let pods = api.list("", "pods");
        pods.iter().filter(|p| p["status"]["conditions"][0]["reason"] == "Unschedulable").count()
    };
    until(&api, "two are told why not", |api| refused(api) == 2).await;
    api.break_watches();
    let one = api.list("", "pods").into_iter().find(|p| p["spec"]["nodeName"] == "x").unwrap();
    api.delete("", "pods", "a", one["metadata"]["name"].as_str().unwrap());
    until(&api, "the room is used", |api| placed(api, "x") == 5).await;
    task.abort();
}

#[tokio::test]
async fn volumes_are_bound_before_their_pod() {
    let api = FakeApi::new();
    api.put(node("n", "4"));
    api.put(json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": "w"}, "provisioner": "example.com/p",
        "volumeBindingMode": "WaitForFirstConsumer"}));
    let claim = |name: &str| {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": "a", "uid": format!("{name}-uid")},
            "spec": {"storageClassName": "w", "resources": {"requests": {"storage": "1Gi"}}}})
    };
    api.put(claim("c"));
    let mut user = pod("p", "1", 0);
    user["spec"]["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]);
    api.put(user);
    let task = start(&api);
    until(&api, "the node is told to the provisioner", |api| {
        let claim = api.get("", "persistentvolumeclaims", "a", "c");
        claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == "n"
    })
    .await;
    assert_eq!(node_of(&api, "p"), "");
    api.put(json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "made"},
        "spec": {"capacity": {"storage": "1Gi"}}}));
    let mut bound = api.get("", "persistentvolumeclaims", "a", "c");
    bound["apiVersion"] = json!("v1");
    bound["kind"] = json!("PersistentVolumeClaim");
    bound["spec"]["volumeName"] = json!("made");
    bound["status"] = json!({"phase": "Bound"});
    api.put(bound);
    until(&api, "placed", |api| node_of(api, "p") == "n").await;
    task.abort();
}

#[tokio::test]
async fn devices_are_taken_before_their_pod_is_bound() {
    let api = FakeApi::new();
    api.put(node("n", "4"));
    api.put(node("m", "4"));
    let devices = |kind: &str, name: &str, spec: Value| {
        json!({"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": {"name": name},
            "spec": spec})
    };
    api.put(devices("DeviceClass", "gpu", json!({})));
    let driver = json!({"driver": "d.example.com", "nodeName": "n", "devices": [{"name": "g0"}],
        "pool": {"name": "n", "generation": 1, "resourceSliceCount": 1}});
    api.put(devices("ResourceSlice", "s", driver));
    let claim = |name: &str| {
        let mut claim = devices(
            "ResourceClaim",
            name,
            json!({"devices": {"requests": [{"name": "r",
                "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}}]}}),
        );
        claim["metadata"]["namespace"] = json!("a");
        claim
    };
    let user = |name: &str, claim: &str| {
        let mut user = pod(name, "1", 0);
        user["spec"]["resourceClaims"] = json!([{"name": "g", "resourceClaimName": claim}]);
        user
    };
    // A pod is not tried before its claim is there, so nothing is said of it either.
    api.put(user("first", "c"));
    let task = start(&api);
    api.put(pod("other", "1", 0));
    until(&api, "others go on", |api| !node_of(api, "other").is_empty()).await;
    assert!(api.get("", "pods", "a", "first")["status"].is_null());
    api.put(claim("c"));
    until(&api, "placed where the device is", |api| node_of(api, "first") == "n").await;
    let taken = api.get("resource.k8s.io", "resourceclaims", "a", "c");
    let status = &taken["status"];
    assert_eq!(status["allocation"]["devices"]["results"][0]["device"], "g0");
    assert_eq!(status["reservedFor"][0]["name"], "first");
    assert_eq!(taken["metadata"]["finalizers"][0], "resource.kubernetes.io/delete-protection");
    api.put(claim("d"));
    api.put(user("second", "d"));
    until(&api, "no device is left", |api| {
        let pod = api.get("", "pods", "a", "second");
        let message =
            pod["status"]["conditions"][0]["message"].as_str().unwrap_or_default().to_owned();
        message.starts_with("0/2 nodes are available: 2 cannot allocate all claims.")
    })
    .await;
    task.abort();
}

/// Answers every request with what `answer` makes of its path and body.
async fn extender(answer: fn(&str, &Value) -> Value) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut seen = Vec::new();
                loop {
                    let text = String::from_utf8_lossy(&seen).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else {
                        if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
                            return;
                        }
                        continue;
                    };
                    let length = head.lines().find_map(|line| {
                        let (name, value) = line.split_once(':')?;
                        let wanted = name.eq_ignore_ascii_case("content-length");
                        wanted.then(|| value.trim().parse::<usize>().ok())?
                    });
                    let Some(length) = length.filter(|length| body.len() >= *length) else {
                        if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
                            return;
                        }
                        continue;
                    };
                    let path = head.split(' ').nth(1).unwrap_or_default();
                    let asked = serde_json::from_str(&body[..length]).unwrap_or_default();
                    let told = answer(path, &asked).to_string();
                    let reply = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{told}",
                        told.len()
                    );
                    if stream.write_all(reply.as_bytes()).await.is_err() {
                        return;
                    }
                    seen.clear();
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn extenders_filter_and_score() {
    let api = FakeApi::new();
    for name in ["x", "y", "z"] {
        api.put(node(name, "4"));
    }
    let url = extender(|path, asked| match path {
        "/x/filter" => {
            let small = asked["Pod"]["metadata"]["name"] == "nowhere";
            let names: Vec<&str> = if small { vec![] } else { vec!["y", "z"] };
            json!({"NodeNames": names, "FailedNodes": {"x": "the extender says no"}})
        }
        _ => json!([{"Host": "y", "Score": 1}, {"Host": "z", "Score": 10}]),
    })
    .await;
    let file = json!({"apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration", "extenders": [{"urlPrefix": url,
            "filterVerb": "filter", "prioritizeVerb": "prioritize", "weight": 5,
            "nodeCacheCapable": true}]});
    let file = kd_contract::scheduler::SchedulerConfiguration::read(file).unwrap();
    let config = Config::of(Some(&file), "").unwrap();
    let task = tokio::spawn(Scheduler::new(api.client(), config).run(std::future::pending()));
    api.put(pod("p", "1", 0));
    until(&api, "placed where it scores best", |api| node_of(api, "p") == "z").await;
    api.put(pod("nowhere", "1", 0));
    until(&api, "refused by the extender", |api| {
        let pod = api.get("", "pods", "a", "nowhere");
        let message =
            pod["status"]["conditions"][0]["message"].as_str().unwrap_or_default().to_owned();
        message.starts_with("0/3 nodes are available: ")
            && message.contains("1 the extender says no")
    })
    .await;
    task.abort();
}

/// A scheduler with one extender, and what it counts.
fn start_with(api: &FakeApi, extender: Value) -> (tokio::task::JoinHandle<()>, Arc<Metrics>) {
    let file = json!({"apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration", "extenders": [extender]});
    let file = kd_contract::scheduler::SchedulerConfiguration::read(file).unwrap();
    let scheduler = Scheduler::new(api.client(), Config::of(Some(&file), "").unwrap());
    let metrics = scheduler.metrics();
    (tokio::spawn(scheduler.run(std::future::pending())), metrics)
}

#[tokio::test]
async fn extenders_choose_whom_to_preempt() {
    let api = FakeApi::new();
    for name in ["x", "y"] {
        api.put(node(name, "1"));
        let mut low = pod(&format!("low-{name}"), "1", 0);
        low["metadata"]["uid"] = json!(format!("uid-{name}"));
        low["spec"]["nodeName"] = json!(name);
        api.put(low);
    }
    // Of the nodes that it is asked about it lets one go on, with the victims that are proposed.
    let url = extender(|path, asked| match path {
        "/x/preempt" => {
            json!({"NodeNameToMetaVictims": {"y": asked["NodeNameToMetaVictims"]["y"]}})
        }
        _ => Value::Null,
    })
    .await;
    let extender = json!({"urlPrefix": url, "preemptVerb": "preempt", "nodeCacheCapable": true});
    let (task, metrics) = start_with(&api, extender);
    api.put(pod("high", "1", 100));
    until(&api, "placed where the extender lets it", |api| node_of(api, "high") == "y").await;
    assert!(api.get("", "pods", "a", "low-y").is_null());
    assert_eq!(node_of(&api, "low-x"), "x");
    let told = metrics.exposition();
    for expect in [
        "scheduler_preemption_victims_sum 1",
        "scheduler_queue_incoming_pods_total{event=\"UnschedulablePodAdd\",queue=\"active\"} 1",
    ] {
        assert!(told.lines().any(|line| line == expect), "{expect}:\n{told}");
    }
    task.abort();
}

#[tokio::test]
async fn extenders_bind() {
    let api = FakeApi::new();
    api.put(node("n", "4"));
    let url = extender(|_, asked| match asked["PodName"].as_str() {
        Some("refused") => json!({"Error": "not there"}),
        _ => json!({}),
    })
    .await;
    let extender = json!({"urlPrefix": url, "bindVerb": "bind", "nodeCacheCapable": true});
    let (task, _) = start_with(&api, extender);
    let told = |api: &FakeApi, pod: &str, note: &str| {
        let events = api.list("events.k8s.io", "events");
        events.iter().any(|e| e["regarding"]["name"] == pod && e["note"] == note)
    };
    api.put(pod("p", "1", 0));
    let bound = "Successfully assigned a/p to n";
    until(&api, "bound by the extender", |api| told(api, "p", bound)).await;
    api.put(pod("refused", "1", 0));
    let why = "binding rejected: not there";
    until(&api, "refused by the extender", |api| told(api, "refused", why)).await;
    assert_eq!(api.writes_of("/binding"), 0, "whoever binds is not the scheduler");
    task.abort();
}

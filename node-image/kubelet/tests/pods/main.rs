//! The whole kubelet with a fake runtime: what the API server gets to see of a pod's life.

mod cluster;
mod fake_runtime;

use cluster::{Cluster, is_ready};
use kd_testkit::FakeApi;
use serde_json::{Value, json};
use std::time::Duration;

fn main_container(extra: Value) -> Value {
    let mut container = json!({"name": "a", "image": "nginx"});
    container.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    json!({"containers": [container], "terminationGracePeriodSeconds": 30})
}

#[tokio::test]
async fn a_pod_lives_and_is_deleted() {
    let cluster = Cluster::start().await;
    let begun = std::time::Instant::now();
    cluster.pod("p", main_container(json!({})));
    cluster.until_ready("p").await;
    println!("ready after {:?}", begun.elapsed());
    let status = cluster.status("p");
    assert_eq!(status["phase"], "Running");
    assert_eq!(status["podIP"], "10.244.0.2");
    assert_eq!(status["hostIP"], "172.18.0.2");
    cluster.until_event("Started: Container started").await;
    for expect in [
        "Pulled: Container image \"nginx\" already present on machine and can be accessed by the pod",
        "Created: Container created",
    ] {
        assert!(cluster.events().contains(&expect.to_owned()), "{expect}");
    }
    let hosts = cluster.directory.path().join("kubelet/pods/uid-p/etc-hosts");
    assert!(std::fs::read_to_string(hosts).unwrap().ends_with("10.244.0.2\tp\n"));
    cluster.delete("p", 5);
    cluster.until("deleted", |api| api.get("", "pods", "default", "p").is_null()).await;
    let calls = cluster.runtime.calls();
    assert!(calls.contains(&"stop a 5s".to_owned()), "{calls:?}");
    cluster.until_event("Killing: Stopping container a").await;
    assert!(cluster.network.attached.lock().unwrap().is_empty());
}

#[tokio::test]
async fn init_containers_then_completion() {
    let cluster = Cluster::start().await;
    cluster.pod("p", json!({"restartPolicy": "Never",
        "initContainers": [{"name": "i", "image": "x"}], "containers": [{"name": "a", "image": "x"}]}));
    cluster
        .until_status("p", "the init container runs", |s| {
            s["initContainerStatuses"][0]["state"]["running"].is_object()
        })
        .await;
    assert_eq!(cluster.status("p")["phase"], "Pending");
    cluster.runtime.exit("i", 0);
    cluster.until_ready("p").await;
    cluster.runtime.exit("a", 0);
    cluster.until_status("p", "succeeded", |s| s["phase"] == "Succeeded").await;
    let state = &cluster.status("p")["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(state["reason"], "Completed");
}

#[tokio::test]
async fn crash_loops_and_termination_messages() {
    let cluster = Cluster::start().await;
    cluster.pod("p", main_container(json!({})));
    cluster.until_ready("p").await;
    let message = cluster.directory.path().join("kubelet/pods/uid-p/containers/a/0.message");
    std::fs::write(message, "good bye").unwrap();
    cluster.runtime.exit("a", 3);
    cluster
        .until_status("p", "restarted at once", |s| {
            let container = &s["containerStatuses"][0];
            container["restartCount"] == 1 && container["ready"] == true
        })
        .await;
    let last = cluster.status("p")["containerStatuses"][0]["lastState"]["terminated"].clone();
    assert_eq!((&last["exitCode"], &last["message"]), (&json!(3), &json!("good bye")));
    cluster.runtime.exit("a", 3);
    cluster
        .until_status("p", "held", |s| {
            s["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        })
        .await;
    cluster
        .until_event("BackOff: Back-off restarting failed container a in pod p_default(uid-p)")
        .await;
    assert_eq!(cluster.status("p")["phase"], "Running");
}

#[tokio::test]
async fn probes_make_ready_and_kill() {
    let cluster = Cluster::start().await;
    cluster.runtime.answer("ready", 1);
    let probe = |command: &str| json!({"exec": {"command": [command]}, "periodSeconds": 1, "failureThreshold": 1});
    cluster.pod(
        "p",
        main_container(json!({"readinessProbe": probe("ready"), "livenessProbe": probe("live")})),
    );
    cluster.until_event("Unhealthy: Readiness probe failed: said so").await;
    cluster.runtime.answer("ready", 0);
    cluster.until_ready("p").await;
    cluster.runtime.answer("live", 1);
    cluster.until_event("Killing: Container a failed liveness probe, will be restarted").await;
    cluster.runtime.answer("live", 0);
    cluster
        .until_status("p", "restarted", |s| {
            s["containerStatuses"][0]["restartCount"] == 1 && is_ready(s)
        })
        .await;
}

#[tokio::test]
async fn missing_objects_are_waited_for() {
    let cluster = Cluster::start().await;
    let from = json!({"configMapKeyRef": {"name": "m", "key": "k"}});
    cluster.pod("p", main_container(json!({"env": [{"name": "A", "valueFrom": from}]})));
    cluster
        .until_status("p", "no config", |s| {
            let waiting = &s["containerStatuses"][0]["state"]["waiting"];
            waiting["reason"] == "CreateContainerConfigError"
                && waiting["message"] == "configmap \"m\" not found"
        })
        .await;
    cluster.api.put(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "m", "namespace": "default"}, "data": {"k": "v"}}));
    cluster.until_ready("p").await;
    let env = cluster.runtime.running("a").unwrap().spec.env;
    assert!(env.contains(&("A".into(), "v".into())), "{env:?}");
}

#[tokio::test]
async fn volumes_follow_their_sources() {
    let cluster = Cluster::start().await;
    let map = |value: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "m", "namespace": "default"}, "data": {"k": value}})
    };
    let mut spec = main_container(json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}));
    spec["volumes"] = json!([{"name": "v", "configMap": {"name": "m"}}]);
    cluster.pod("p", spec);
    let expect =
        "FailedMount: MountVolume.SetUp failed for volume \"v\" : configmap \"m\" not found";
    cluster.until_event(expect).await;
    cluster.api.put(map("1"));
    cluster.until_ready("p").await;
    let file =
        cluster.directory.path().join("kubelet/pods/uid-p/volumes/kubernetes.io~configmap/v/k");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "1");
    let until_fresh = async |wanted: &str| {
        let begun = std::time::Instant::now();
        while std::fs::read_to_string(&file).unwrap() != wanted {
            assert!(begun.elapsed().as_secs() < 10, "the volume is not brought up to date");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    cluster.api.put(map("2"));
    until_fresh("2").await;
    // The next kubelet goes on with that.
    let cluster = cluster.restart();
    cluster.api.put(map("3"));
    until_fresh("3").await;
}

#[tokio::test]
async fn images_that_are_not_there() {
    let cluster = Cluster::start().await;
    cluster.pod("p", json!({"containers": [{"name": "a", "image": "missing:1"}]}));
    let waits_for = |reason: &'static str| {
        move |s: &Value| s["containerStatuses"][0]["state"]["waiting"]["reason"] == reason
    };
    cluster.until_status("p", "error", waits_for("ErrImagePull")).await;
    cluster.until_event("Failed: Failed to pull image \"missing:1\": ").await;
    cluster.until_status("p", "back-off", waits_for("ImagePullBackOff")).await;
    cluster.until_event("BackOff: Back-off pulling image \"missing:1\"").await;
    let never = json!({"name": "a", "image": "missing:1", "imagePullPolicy": "Never"});
    cluster.pod("q", json!({"containers": [never]}));
    cluster.until_status("q", "never", waits_for("ErrImageNeverPull")).await;
}

#[tokio::test]
async fn containers_that_cannot_start() {
    let cluster = Cluster::start().await;
    cluster.runtime.make_broken("a", "exec: \"foo\": executable file not found in $PATH");
    cluster.pod("p", main_container(json!({})));
    cluster
        .until_status("p", "start error", |s| {
            s["containerStatuses"][0]["lastState"]["terminated"]["reason"] == "StartError"
        })
        .await;
    cluster.until_event("Failed: Error: exec: \"foo\"").await;
}

#[tokio::test]
async fn a_second_delete_is_more_urgent() {
    let cluster = Cluster::start().await;
    cluster.runtime.make_stubborn("a");
    cluster.pod("p", main_container(json!({})));
    cluster.until_ready("p").await;
    cluster.delete("p", 600);
    cluster.until_event("Killing: Stopping container a").await;
    cluster.delete("p", 1);
    cluster.until("deleted", |api| api.get("", "pods", "default", "p").is_null()).await;
}

#[tokio::test]
async fn rejected_pods() {
    let cluster = Cluster::start().await;
    let port = json!({"ports": [{"containerPort": 80, "hostPort": 80}]});
    cluster.pod("p", main_container(port.clone()));
    cluster.until_ready("p").await;
    cluster.pod("q", main_container(port));
    cluster.until_status("q", "rejected", |s| s["phase"] == "Failed").await;
    assert_eq!(cluster.status("q")["reason"], "NodePorts");
}

#[tokio::test]
async fn deadlines() {
    let cluster = Cluster::start().await;
    let mut spec = main_container(json!({}));
    spec["activeDeadlineSeconds"] = json!(1);
    cluster.pod("p", spec);
    cluster.until_status("p", "over", |s| s["reason"] == "DeadlineExceeded").await;
    assert_eq!(cluster.status("p")["phase"], "Failed");
}

#[tokio::test]
async fn a_new_kubelet_finds_what_runs() {
    let cluster = Cluster::start().await;
    cluster.pod("p", main_container(json!({})));
    cluster.pod("gone", json!({"containers": [{"name": "b", "image": "x"}]}));
    cluster.until_ready("p").await;
    cluster.until_ready("gone").await;
    let before = cluster.runtime.running("a").unwrap().id;
    let status = cluster.status("p");
    let cluster = {
        let api = cluster.api.clone();
        let cluster = cluster.restart();
        api.delete("", "pods", "default", "gone");
        cluster
    };
    cluster.pod("q", json!({"containers": [{"name": "c", "image": "x"}]}));
    cluster.until_ready("q").await;
    assert_eq!(cluster.runtime.running("a").unwrap().id, before);
    assert_eq!(cluster.status("p"), status);
    cluster.until_event("Starting").await;
    let begun = std::time::Instant::now();
    while cluster.runtime.running("b").is_some() {
        assert!(begun.elapsed().as_secs() < 10, "the orphan still runs");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_restarted_node_makes_its_pods_anew() {
    let cluster = Cluster::start().await;
    cluster.pod("p", main_container(json!({})));
    cluster.until_ready("p").await;
    cluster.runtime.lose_all();
    let cluster = cluster.restart();
    cluster
        .until_status("p", "again", |s| {
            s["containerStatuses"][0]["restartCount"] == 1 && is_ready(s)
        })
        .await;
    cluster.until_event("SandboxChanged: Pod sandbox changed").await;
}

#[tokio::test]
async fn hooks() {
    let cluster = Cluster::start().await;
    let hook = |command: &str| json!({"exec": {"command": [command]}});
    cluster.pod(
        "p",
        main_container(
            json!({"lifecycle": {"postStart": hook("hello"), "preStop": hook("farewell")}}),
        ),
    );
    cluster.until_ready("p").await;
    cluster.delete("p", 5);
    cluster.until("deleted", |api| api.get("", "pods", "default", "p").is_null()).await;
    let calls = cluster.runtime.calls();
    let place = |call: &str| calls.iter().position(|c| c.starts_with(call)).expect(call);
    assert!(place("exec hello") < place("exec farewell"));
    assert!(place("exec farewell") < place("stop a"));
}

#[tokio::test]
async fn claims_are_waited_for() {
    let cluster = Cluster::start().await;
    let path = cluster.directory.path().join("volume");
    let claim = |phase: &str, volume: &str| {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "c", "namespace": "default", "uid": "claim"},
            "spec": {"volumeName": volume}, "status": {"phase": phase}})
    };
    cluster.api.put(claim("Pending", ""));
    let mut spec = main_container(json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}));
    spec["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "c"}},
        {"name": "unused", "configMap": {"name": "missing"}}]);
    cluster.pod("p", spec);
    cluster
        .until_event(
            "FailedMount: Unable to attach or mount volumes: unmounted volumes=[v], unattached \
             volumes=[], failed to process volumes=[v]: error processing PVC default/c: PVC is not \
             bound",
        )
        .await;
    cluster.api.put(json!({"apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": "pv"}, "spec": {"claimRef": {"uid": "claim"},
            "hostPath": {"path": path, "type": "DirectoryOrCreate"}}}));
    cluster.api.put(claim("Bound", "pv"));
    cluster.until_ready("p").await;
    assert!(path.is_dir());
}

#[tokio::test]
async fn static_pods_have_mirrors() {
    let cluster = Cluster::start().await;
    let manifest = cluster.directory.path().join("manifests/web.yaml");
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - {name: a, image: nginx, imagePullPolicy: Never}\n";
    std::fs::create_dir_all(manifest.parent().unwrap()).unwrap();
    std::fs::write(&manifest, text).unwrap();
    let uid = |api: &FakeApi| {
        let mirror = api.get("", "pods", "default", "web-node");
        mirror["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
    };
    cluster
        .until("a mirror is made", |api| !api.get("", "pods", "default", "web-node").is_null())
        .await;
    cluster.until_ready("web-node").await;
    let first = cluster.api.get("", "pods", "default", "web-node");
    let hash = first["metadata"]["annotations"]["kubernetes.io/config.mirror"].clone();
    assert!(hash.is_string() && first["metadata"]["ownerReferences"][0]["kind"] == "Node");
    let running = cluster.runtime.running("a").unwrap().id;
    // Who deletes the mirror gets another one; the pod runs on.
    let before = uid(&cluster.api);
    cluster.api.delete("", "pods", "default", "web-node");
    cluster
        .until("another mirror tells the status", |api| {
            let mirror = api.get("", "pods", "default", "web-node");
            is_ready(&mirror["status"]) && (before.is_empty() || uid(api) != before)
        })
        .await;
    assert_eq!(cluster.runtime.running("a").unwrap().id, running);
    std::fs::remove_file(&manifest).unwrap();
    cluster
        .until("the mirror goes with the manifest", |api| {
            api.get("", "pods", "default", "web-node").is_null()
        })
        .await;
    let stopped = async {
        while cluster.runtime.running("a").is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), stopped).await.unwrap();
}

#[tokio::test]
async fn too_much_written_evicts() {
    let cluster = Cluster::start().await;
    let mut spec = main_container(json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}));
    spec["volumes"] = json!([{"name": "v", "emptyDir": {"sizeLimit": "64Ki"}}]);
    cluster.pod("p", spec);
    cluster.until_ready("p").await;
    let volume = cluster.directory.path().join("kubelet/pods/uid-p/volumes");
    let volume = volume.join("kubernetes.io~empty-dir/v");
    std::fs::write(volume.join("big"), vec![1; 256 << 10]).unwrap();
    cluster.until_status("p", "evicted", |s| s["phase"] == "Failed").await;
    let status = cluster.status("p");
    assert_eq!(status["reason"], "Evicted");
    assert_eq!(status["message"], "Usage of EmptyDir volume \"v\" exceeds the limit \"64Ki\". ");
    let conditions = status["conditions"].as_array().unwrap();
    let disrupted = conditions.iter().find(|c| c["type"] == "DisruptionTarget").unwrap();
    assert_eq!(disrupted["reason"], "TerminationByKubelet");
    cluster.until_event("Evicted: Usage of EmptyDir volume").await;
}

#[tokio::test]
async fn resources_change_in_place() {
    let cluster = Cluster::start().await;
    let with = |memory: &str, cpu: &str| {
        main_container(json!({"resources": {"requests": {"memory": "1Mi", "cpu": cpu},
            "limits": {"memory": memory}}}))
    };
    cluster.pod("p", with("1Mi", "1m"));
    cluster.until_ready("p").await;
    let told = |s: &Value| s["containerStatuses"][0]["resources"]["limits"]["memory"].clone();
    assert_eq!(told(&cluster.status("p")), "1Mi");
    let resize = |spec: Value| {
        let mut pod = cluster.api.get("", "pods", "default", "p");
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["spec"]["containers"] = spec["containers"].clone();
        cluster.api.put(pod);
    };
    resize(with("2Mi", "1m"));
    cluster.until_status("p", "larger", |s| told(s) == "2Mi").await;
    cluster.until_event("ResizeCompleted: Pod resize completed: ").await;
    let status = cluster.status("p");
    assert_eq!(status["containerStatuses"][0]["restartCount"], 0);
    assert!(!status.to_string().contains("PodResize"), "{status}");
    resize(with("2Mi", "4000"));
    cluster
        .until_status("p", "too much", |s| {
            let conditions = s["conditions"].as_array().cloned().unwrap_or_default();
            conditions
                .iter()
                .any(|c| c["type"] == "PodResizePending" && c["reason"] == "Infeasible")
        })
        .await;
    assert_eq!(cluster.status("p")["containerStatuses"][0]["allocatedResources"]["cpu"], "1m");
    resize(with("2Mi", "1m"));
    cluster.until_status("p", "taken back", |s| !s.to_string().contains("PodResizePending")).await;
}

#[tokio::test]
async fn pods_end_with_a_node_that_leaves_them_time() {
    let cluster = Cluster::start_with(|config| {
        config.shutdown_grace = Duration::from_secs(9);
        config.shutdown_grace_critical = Duration::from_secs(4);
    })
    .await;
    let mut critical = main_container(json!({"name": "b"}));
    critical["priority"] = json!(2_000_000_000);
    cluster.pod("p", main_container(json!({})));
    cluster.pod("q", critical);
    cluster.until_ready("p").await;
    cluster.until_ready("q").await;
    cluster.kubelet.begin_shutdown().await;
    let node = cluster.api.get("", "nodes", "", "node");
    let ready = node["status"]["conditions"].as_array().unwrap().last().unwrap();
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("KubeletNotReady")));
    assert_eq!(ready["message"], "node is shutting down");
    for name in ["p", "q"] {
        let status = cluster.status(name);
        assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("Terminated")));
        let message = "Pod was terminated in response to imminent node shutdown.";
        assert_eq!(status["message"], message);
        let conditions = status["conditions"].as_array().unwrap();
        let disrupted = conditions.iter().find(|c| c["type"] == "DisruptionTarget").unwrap();
        assert_eq!(disrupted["reason"], "TerminationByKubelet");
    }
    let calls = cluster.runtime.calls();
    let at = |call: &str| calls.iter().position(|known| known == call).unwrap_or(usize::MAX);
    assert!(at("stop a 5s") < at("stop b 4s"), "{calls:?}");
    cluster.pod("r", main_container(json!({})));
    cluster.until_status("r", "is refused", |s| s["reason"] == "NodeShutdown").await;
}

#[tokio::test]
async fn pods_stay_with_a_node_that_does_not() {
    let cluster = Cluster::start().await;
    cluster.pod("p", main_container(json!({})));
    cluster.until_ready("p").await;
    let node_ready = |api: &FakeApi| is_ready(&api.get("", "nodes", "", "node")["status"]);
    cluster.until("the node is ready", node_ready).await;
    cluster.kubelet.begin_shutdown().await;
    assert_eq!(cluster.status("p")["phase"], "Running");
    assert!(node_ready(&cluster.api));
}

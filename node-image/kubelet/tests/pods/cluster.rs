//! A kubelet with a fake runtime against the API server in memory.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kd_kubelet::{Config, Kubelet, Pressure};
use kd_testkit::FakeApi;
use kube::client::Body;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::fake_runtime::{FakeImages, FakeNetwork, FakeRuntime};

/// One node and its server.
pub struct Cluster {
    pub api: FakeApi,
    pub runtime: FakeRuntime,
    pub network: Arc<FakeNetwork>,
    pub directory: tempfile::TempDir,
    pub kubelet: Arc<Kubelet>,
    shutdown: CancellationToken,
}

/// What may take a while on a busy machine, at most.
const PATIENCE: Duration = Duration::from_secs(20);

impl Cluster {
    pub async fn start() -> Cluster {
        Cluster::start_with(|_| ()).await
    }

    /// With another configuration of the kubelet.
    pub async fn start_with(configure: fn(&mut Config)) -> Cluster {
        let api = FakeApi::new();
        let directory = tempfile::tempdir().unwrap();
        let runtime = FakeRuntime::default();
        let cluster = Cluster::with(api, runtime, Arc::default(), directory, configure);
        cluster
            .until("the node is registered", |api| {
                api.get("", "nodes", "", "node")["metadata"]["name"] == "node"
            })
            .await;
        let mut node = cluster.api.get("", "nodes", "", "node");
        node["kind"] = json!("Node");
        node["apiVersion"] = json!("v1");
        node["spec"]["podCIDR"] = json!("10.244.0.0/24");
        cluster.api.put(node);
        cluster
    }

    fn with(
        api: FakeApi,
        runtime: FakeRuntime,
        network: Arc<FakeNetwork>,
        directory: tempfile::TempDir,
        configure: fn(&mut Config),
    ) -> Cluster {
        let mut config = Config {
            node_name: "node".into(),
            node_ips: vec!["172.18.0.2".parse().unwrap()],
            root_directory: directory.path().join("kubelet"),
            pod_log_directory: directory.path().join("pods"),
            container_log_directory: directory.path().join("containers"),
            static_pod_directory: Some(directory.path().join("manifests")),
            // The machine of the tests may be short of anything.
            pressure: Pressure {
                memory_available_bytes_min: 0,
                disk_available_percent_min: 0,
                images_available_percent_min: 0,
                inodes_free_percent_min: 0,
                ..Pressure::default()
            },
            node_check_every: Duration::from_millis(500),
            ..Config::default()
        };
        configure(&mut config);
        let kubelet = Kubelet::new(
            config,
            client(&api),
            Arc::new(runtime.clone()),
            Arc::new(FakeImages),
            network.clone(),
        );
        let shutdown = CancellationToken::new();
        tokio::spawn(Arc::clone(&kubelet).run(shutdown.clone()));
        Cluster { api, runtime, network, directory, kubelet, shutdown }
    }

    /// The kubelet process is replaced; containers run on.
    pub fn restart(self) -> Cluster {
        self.shutdown.cancel();
        Cluster::with(self.api, self.runtime, self.network, self.directory, |_| ())
    }

    /// Binds a pod to the node.
    pub fn pod(&self, name: &str, spec: Value) {
        let mut spec = spec;
        spec["nodeName"] = json!("node");
        self.api.put(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"),
                "generation": 1},
            "spec": spec}));
    }

    /// Asks for a graceful deletion.
    pub fn delete(&self, name: &str, grace: i64) {
        let mut pod = self.api.get("", "pods", "default", name);
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        self.api.put(pod);
    }

    pub fn status(&self, name: &str) -> Value {
        self.api.get("", "pods", "default", name)["status"].clone()
    }

    pub async fn until(&self, what: &str, holds: impl Fn(&FakeApi) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, self.api.until(holds)).await;
        if waited.is_err() {
            let pods = serde_json::to_string_pretty(&self.api.list("", "pods")).unwrap();
            let events = self.events();
            panic!("{what}: did not happen\n{pods}\n{events:#?}\n{:?}", self.runtime.calls());
        }
    }

    pub async fn until_status(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool) {
        let look = |api: &FakeApi| holds(&api.get("", "pods", "default", name)["status"]);
        self.until(what, look).await;
    }

    pub async fn until_ready(&self, name: &str) {
        self.until_status(name, "ready", is_ready).await;
    }

    /// `reason: message` of all events about pods.
    pub fn events(&self) -> Vec<String> {
        let line = |e: &Value| {
            let text = |key: &str| e[key].as_str().unwrap_or_default().to_owned();
            format!("{}: {}", text("reason"), text("message"))
        };
        self.api.list("", "events").iter().map(line).collect()
    }

    pub async fn until_event(&self, expect: &str) {
        let found = |api: &FakeApi| {
            api.list("", "events").iter().any(|e| {
                let line = format!(
                    "{}: {}",
                    e["reason"].as_str().unwrap_or_default(),
                    e["message"].as_str().unwrap_or_default()
                );
                line.starts_with(expect)
            })
        };
        self.until(expect, found).await;
    }
}

pub fn is_ready(status: &Value) -> bool {
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// A client whose status patches are merged by the rules of the real server, and that can request
/// tokens and list by name.
fn client(api: &FakeApi) -> kube::Client {
    let (api, inner) = (api.clone(), api.client());
    let service = tower::service_fn(move |request: Request<Body>| {
        let (api, inner) = (api.clone(), inner.clone());
        async move { Ok::<_, Infallible>(answer(api, inner, request).await) }
    });
    kube::Client::new(service, "default")
}

async fn answer(api: FakeApi, inner: kube::Client, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let patches = request.method() == Method::PATCH && path.ends_with("/status");
    if patches {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        return patch_status(&api, &path, &serde_json::from_slice(&body).unwrap());
    }
    if path.ends_with("/token") {
        let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        return json_response(
            201,
            &json!({"metadata": {}, "spec": {"audiences": []},
            "status": {"token": "t0ken", "expirationTimestamp": expires}}),
        );
    }
    let response = inner.send(request).await.unwrap();
    let name =
        query.split('&').find_map(|pair| pair.strip_prefix("fieldSelector=metadata.name%3D"));
    let (Some(name), false) = (name, query.contains("watch=")) else { return response };
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let mut list: Value = serde_json::from_slice(&body).unwrap();
    if let Some(items) = list["items"].as_array_mut() {
        items.retain(|item| item["metadata"]["name"] == name);
    }
    json_response(200, &list)
}

fn patch_status(api: &FakeApi, path: &str, patch: &Value) -> Response<Body> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (kind, plural, namespace, name) = match parts.as_slice() {
        [_, _, "namespaces", namespace, "pods", name, "status"] => {
            ("Pod", "pods", *namespace, *name)
        }
        [_, _, "nodes", name, "status"] => ("Node", "nodes", "", *name),
        _ => panic!("unexpected path {path}"),
    };
    let mut object = api.get("", plural, namespace, name);
    if object.is_null() {
        return json_response(
            404,
            &json!({"kind": "Status", "code": 404, "reason": "NotFound",
            "status": "Failure", "message": "not found", "metadata": {}}),
        );
    }
    object["apiVersion"] = json!("v1");
    object["kind"] = json!(kind);
    let schema = kd_api::schema::of("", "v1", kind).unwrap();
    let patched = kd_api::patch::strategic(&object, patch, &schema).unwrap();
    api.put(patched);
    json_response(200, &api.get("", plural, namespace, name))
}

fn json_response(code: u16, body: &Value) -> Response<Body> {
    let bytes = serde_json::to_vec(body).unwrap();
    Response::builder().status(code).body(Body::from(bytes)).unwrap()
}

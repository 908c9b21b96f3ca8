//! What is no resource.

use serde_json::{Value, json};

use crate::server::Server;

#[tokio::test]
async fn health_and_version() {
    let server = Server::start().await;
    for path in ["/healthz", "/livez", "/readyz", "/readyz/ping"] {
        assert_eq!(server.get(path).await.body, "ok", "{path}");
    }
    let verbose = server.get("/readyz?verbose&exclude=log").await.body;
    let verbose = verbose.as_str().unwrap();
    assert!(verbose.starts_with("[+]ping ok\n[+]log excluded: ok\n[+]etcd ok\n"), "{verbose}");
    assert!(verbose.ends_with("[+]shutdown ok\nreadyz check passed\n"), "{verbose}");
    assert_eq!(server.get("/livez/poststarthook/rbac/bootstrap-roles").await.body, "ok");
    assert_eq!(server.get("/livez/shutdown").await.code, 404);
    let version = server.get("/version").await.body;
    assert_eq!((&version["major"], &version["minor"]), (&json!("1"), &json!("36")));
    assert_eq!(server.get("/nothing").await.body, "404 page not found\n");
    assert_eq!(server.get("/apis/nothing").await.code, 404);
    let metrics = server.get("/metrics").await;
    let metrics = metrics.body.as_str().unwrap();
    for line in [
        "apiserver_request_total{code=\"404\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"\",scope=\"\",subresource=\"\",verb=\"GET\",version=\"\"} 3",
        "apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1",
        "apiserver_resource_objects{group=\"\",resource=\"namespaces\"} 4",
        "apiserver_storage_objects{resource=\"clusterroles.rbac.authorization.k8s.io\"}",
        "etcd_request_duration_seconds_count{operation=\"create\",type=\"namespaces\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert_eq!(server.get("/openid/v1/jwks").await.body["keys"][0]["kty"], "EC");
}

#[tokio::test]
async fn discovery() {
    let server = Server::start().await;
    assert_eq!(server.get("/api").await.body["versions"], json!(["v1"]));
    assert_eq!(server.get("/api/v1").await.body["kind"], "APIResourceList");
    assert_eq!(server.get("/apis/apps").await.body["kind"], "APIGroup");
    assert_eq!(server.get("/apis/apps/v1").await.body["groupVersion"], "apps/v1");
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
    let all = server.ask_with("GET /apis", &[("accept", accept)], Value::Null).await;
    assert_eq!(all.body["apiVersion"], "apidiscovery.k8s.io/v2");
    let tag = all.headers["etag"].to_str().unwrap();
    let headers = [("accept", accept), ("if-none-match", tag)];
    assert_eq!(server.ask_with("GET /apis", &headers, Value::Null).await.code, 304);
    assert_eq!(server.get("/apis").await.body["kind"], "APIGroupList");
}

#[tokio::test]
async fn openapi() {
    let server = Server::start().await;
    let index = server.get("/openapi/v3").await.body;
    let url = index["paths"]["api/v1"]["serverRelativeURL"].as_str().unwrap();
    let document = server.get(url).await;
    assert_eq!(document.body["openapi"], "3.0.0");
    let tag = document.headers["etag"].to_str().unwrap();
    let known = [("if-none-match", tag)];
    let cached = server.ask_with(&format!("GET {url}"), &known, Value::Null).await;
    assert_eq!(cached.code, 304);
    let gzip = [("accept-encoding", "gzip")];
    let packed = server.ask_with(&format!("GET {url}"), &gzip, Value::Null).await;
    assert_eq!(packed.headers["content-encoding"], "gzip");
    assert!(packed.bytes.len() * 4 < document.bytes.len());
    assert_eq!(document.headers["cache-control"], "public, immutable");
    let other = server.get("/openapi/v3/api/v1?hash=0").await;
    assert_eq!((other.code, other.headers["location"].to_str().unwrap()), (301, url));
    let media = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";
    let accept = [("accept", media)];
    let binary = server.ask_with(&format!("GET {url}"), &accept, Value::Null).await;
    assert_eq!(binary.headers["content-type"], media.replace('@', "."));
    assert_eq!(binary.bytes[..7], *b"\x0a\x053.0.0");
    let v2 = server.get("/openapi/v2").await;
    assert_eq!(v2.body["swagger"], "2.0");
    assert_eq!(v2.headers["cache-control"], "no-cache, private");
}

/// A kubelet for every node: each answer says that half a second more of CPU was used.
struct Kubelets(std::sync::atomic::AtomicU64);

#[async_trait::async_trait]
impl kd_apiserver::Connect for Kubelets {
    async fn connect(
        &self,
        request: kd_apiserver::ConnectRequest,
    ) -> Result<kd_apiserver::Answer, kd_api::Status> {
        use http_body_util::BodyExt;
        assert_eq!(request.info.rest, "stats/summary");
        let used = self.0.fetch_add(500_000_000, std::sync::atomic::Ordering::Relaxed);
        let used =
            json!({"cpu": {"usageCoreNanoSeconds": used}, "memory": {"workingSetBytes": 2048}});
        let mut container = used.clone();
        container["name"] = json!("c");
        let summary = json!({"node": used, "pods": [
            {"podRef": {"name": "p", "namespace": "default"}, "containers": [container]}]});
        let body = http_body_util::Full::new(bytes::Bytes::from(summary.to_string()));
        Ok(http::Response::new(body.map_err(|never| match never {}).boxed_unsync()))
    }
}

#[tokio::test]
async fn metrics_are_asked_for_at_the_kubelets() {
    let server = Server::start().await;
    server.server.set_connect(std::sync::Arc::new(Kubelets(Default::default())));
    let node = json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "n", "labels": {"a": "b"}}});
    assert_eq!(server.ask("POST /api/v1/nodes", node).await.code, 201);
    server.pod("p", json!({"spec": {"nodeName": "n"}})).await;
    let root = "/apis/metrics.k8s.io/v1beta1";
    let list = server.get(root).await;
    assert_eq!(list.body["resources"][1]["kind"], "PodMetrics");
    let nodes = server.get(&format!("{root}/nodes?labelSelector=a%3Db")).await.body;
    assert_eq!(nodes["kind"], "NodeMetricsList");
    assert_eq!(nodes["items"][0]["usage"]["memory"], "2Ki");
    let cpu = nodes["items"][0]["usage"]["cpu"].as_str().unwrap();
    let cpu: u64 = cpu.trim_end_matches('n').parse().unwrap();
    assert!((200_000_000..=500_000_000).contains(&cpu), "{cpu}");
    let pod = server.get(&format!("{root}/namespaces/default/pods/p")).await.body;
    assert_eq!(pod["containers"][0]["name"], "c");
    let all = server.get(&format!("{root}/pods")).await.body;
    assert_eq!(all["items"][0]["metadata"]["namespace"], "default");
    let none = server.get(&format!("{root}/nodes?labelSelector=a%3Dc")).await.body;
    assert_eq!(none["items"], json!([]));
    let missing = server.get(&format!("{root}/namespaces/default/pods/q")).await;
    assert_eq!(
        (missing.code, &missing.body["message"]),
        (404, &json!("pods \"default/q\" not found"))
    );
    let missing = server.get(&format!("{root}/nodes/x")).await;
    assert_eq!(missing.body["message"], "nodemetrics.metrics.k8s.io \"x\" not found");
}

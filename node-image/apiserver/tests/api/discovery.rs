//! What is no resource.

use serde_json::{Value, json};

use crate::server::Server;

#[tokio::test]
async fn health_and_version() {
    let server = Server::start().await;
    for path in ["/healthz", "/livez", "/readyz", "/readyz/ping"] {
        assert_eq!(server.get(path).await.body, "ok", "{path}");
    }
    assert_eq!(
        server.get("/livez?verbose").await.body,
        "[+]ping ok\n[+]etcd ok\nlivez check passed\n"
    );
    let version = server.get("/version").await.body;
    assert_eq!((&version["major"], &version["minor"]), (&json!("1"), &json!("36")));
    assert_eq!(server.get("/nothing").await.body, "404 page not found\n");
    assert_eq!(server.get("/apis/nothing").await.code, 404);
    let metrics = server.get("/metrics").await;
    assert!(metrics.body.as_str().unwrap().contains("apiserver_request_total{code=\"200\""));
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
    let v2 = server.get("/openapi/v2").await;
    assert_eq!(v2.body["swagger"], "2.0");
    assert_eq!(v2.headers["cache-control"], "no-cache, private");
}

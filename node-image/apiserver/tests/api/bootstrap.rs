//! What a cluster begins with.

use serde_json::json;

use crate::server::{NOW, Server, pod};

#[tokio::test]
async fn namespaces_have_their_contents() {
    let server = Server::start().await;
    for namespace in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        let got = server.get(&format!("/api/v1/namespaces/{namespace}")).await.body;
        assert_eq!(got["status"]["phase"], "Active", "{got}");
        assert_eq!(got["metadata"]["labels"]["kubernetes.io/metadata.name"], namespace);
        assert_eq!(got["spec"]["finalizers"], json!(["kubernetes"]));
        assert_eq!(got["metadata"]["creationTimestamp"], NOW);
    }
    let made = server.ask("POST /api/v1/namespaces", json!({"metadata": {"name": "a"}})).await;
    assert_eq!(made.code, 201, "{}", made.body);
    let path = "/api/v1/namespaces/a";
    let root = server.get(&format!("{path}/configmaps/kube-root-ca.crt")).await;
    assert_eq!(root.body["data"]["ca.crt"], "the certificate");
    let revision = &made.body["metadata"]["resourceVersion"];
    assert_eq!(&root.body["metadata"]["resourceVersion"], revision, "one transaction");
    let made = server.ask(&format!("POST {path}/pods"), pod("p", json!({}))).await;
    assert_eq!(made.code, 201, "{}", made.body);
    assert_eq!(made.body["spec"]["serviceAccountName"], "default");
}

#[tokio::test]
async fn the_kubernetes_service() {
    let server = Server::start().await;
    let service = server.get("/api/v1/namespaces/default/services/kubernetes").await.body;
    assert_eq!(service["spec"]["clusterIP"], "10.96.0.1", "{service}");
    assert_eq!(service["spec"]["ipFamilies"], json!(["IPv4"]));
    let endpoints = server.get("/api/v1/namespaces/default/endpoints/kubernetes").await.body;
    assert_eq!(endpoints["subsets"][0]["addresses"][0]["ip"], "172.18.0.2", "{endpoints}");
    server.server.advertise(&["172.18.0.9".parse().unwrap()]).await.unwrap();
    let slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    let slice = server.get(slice).await.body;
    assert_eq!(slice["endpoints"][0]["addresses"], json!(["172.18.0.9"]), "{slice}");
    let address = "/apis/networking.k8s.io/v1/ipaddresses/10.96.0.1";
    let address = server.get(address).await.body;
    // As Go's clients write it back: it is immutable.
    let service = json!({"resource": "services", "namespace": "default", "name": "kubernetes"});
    assert_eq!(address["spec"]["parentRef"], service, "{address}");
}

#[tokio::test]
async fn default_roles_and_classes() {
    let server = Server::start().await;
    for path in [
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/cluster-admin",
        "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical",
        "/apis/networking.k8s.io/v1/servicecidrs/kubernetes",
    ] {
        assert_eq!(server.get(path).await.code, 200, "{path}");
    }
}

#[tokio::test]
async fn access_is_checked() {
    use tower::ServiceExt;
    let server = Server::start().await;
    let request = http::Request::get("/api/v1/namespaces/default/pods");
    let request = request.body(http_body_util::Full::<bytes::Bytes>::default()).unwrap();
    let nobody = server.service("x", &["system:authenticated"]);
    let answer = crate::server::read(nobody.oneshot(request).await.unwrap()).await;
    assert_eq!(answer.code, 403);
    assert_eq!(
        answer.body["message"],
        "pods is forbidden: User \"x\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
    );
}

//! Aggregation in a server, with another server on a socket.

use kd_api::Object;
use serde_json::{Value, json};

use crate::testing::server::TestServer;
use crate::testing::webhook::WebhookServer;

const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const ROOT: &str = "/apis/wardle.example.com/v1alpha1";

/// A server that has flunders.
async fn backend() -> WebhookServer {
    WebhookServer::answering(&["api.default.svc"], |received| {
        let answer = match received.path.split('?').next().unwrap() {
            ROOT => {
                json!({"kind": "APIResourceList", "groupVersion": "wardle.example.com/v1alpha1",
                "resources": [{"name": "flunders", "singularName": "flunder", "namespaced": true,
                    "kind": "Flunder", "verbs": ["get", "list"]}]})
            }
            "/openapi/v3" => json!({"paths": {"apis/wardle.example.com/v1alpha1": {
                "serverRelativeURL": "/openapi/v3/apis/wardle.example.com/v1alpha1?hash=ABC"}}}),
            "/openapi/v3/apis/wardle.example.com/v1alpha1" => json!({"openapi": "3.0.0"}),
            path if path.starts_with(ROOT) => json!({"kind": "FlunderList", "items": []}),
            _ => return (404, "404 page not found".into()),
        };
        (200, answer.to_string())
    })
    .await
}

fn api_service(ca_bundle: &str) -> Value {
    json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1alpha1.wardle.example.com"},
        "spec": {"group": "wardle.example.com", "version": "v1alpha1", "caBundle": ca_bundle,
            "groupPriorityMinimum": 2000, "versionPriority": 200,
            "service": {"namespace": "default", "name": "api"}}})
}

fn condition(service: &Value) -> String {
    let condition = &service["status"]["conditions"][0];
    let text = |field: &str| condition[field].as_str().unwrap_or_default();
    format!("{} {}", text("status"), text("reason"))
}

#[tokio::test]
async fn local_groups_are_registered() {
    let server = TestServer::start().await;
    let list = server.ask(&format!("GET {API_SERVICES}"), Value::Null).await.body;
    let items = list["items"].as_array().unwrap();
    assert!(items.iter().any(|item| item.name() == "v1."));
    assert!(items.iter().any(|item| item.name() == "v2.autoscaling"));
    for item in items {
        assert_eq!(condition(item), "True Local", "{}", item.name());
    }
    let one = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1.example.com"}, "spec": {"group": "example.com", "version": "v1",
            "groupPriorityMinimum": 10, "versionPriority": 10}});
    server.create(API_SERVICES, one).await;
    let path = format!("{API_SERVICES}/v1.example.com");
    server.wait(&path, |service| condition(service) == "True Local").await;
}

#[tokio::test]
async fn requests_go_on_to_their_server() {
    let (server, backend) = (TestServer::start().await, backend().await);
    server.create(API_SERVICES, api_service(&backend.ca_bundle)).await;
    let path = format!("{API_SERVICES}/v1alpha1.wardle.example.com");
    server.wait(&path, |service| condition(service) == "False ServiceNotFound").await;
    let flunders = format!("GET {ROOT}/namespaces/default/flunders?limit=5");
    let got = server.ask(&flunders, Value::Null).await;
    assert_eq!((got.code, &got.body), (503, &json!("service unavailable\n")));
    let [service, slice] = backend.service("default", "api");
    server.put(&service).await;
    server.wait(&path, |service| condition(service) == "False EndpointsNotFound").await;
    server.put(&slice).await;
    server.wait(&path, |service| condition(service) == "True Passed").await;
    let headers = [("x-remote-group", "forged"), ("authorization", "Bearer secret")];
    let got = server.ask_with(&flunders, &headers, Value::Null).await;
    assert_eq!((got.code, &got.body["kind"]), (200, &json!("FlunderList")), "{}", got.body);
    let received = backend.received().pop().unwrap();
    assert_eq!(received.path, format!("{ROOT}/namespaces/default/flunders?limit=5"));
    assert_eq!(received.headers["x-remote-user"], "admin");
    let groups: Vec<_> = received.headers.get_all("x-remote-group").iter().collect();
    assert_eq!(groups, ["system:masters", "system:authenticated"]);
    assert!(!received.headers.contains_key("authorization"));
    check_documents(&server).await;
    server.ask("DELETE /api/v1/namespaces/default/services/api", Value::Null).await;
    server.wait(&path, |service| condition(service) == "False ServiceNotFound").await;
    assert_eq!(server.ask(&flunders, Value::Null).await.code, 503);
    server.ask(&format!("DELETE {path}"), Value::Null).await;
}

async fn check_documents(server: &TestServer) {
    let list = server.ask("GET /apis", Value::Null).await.body;
    let mut groups = list["groups"].as_array().unwrap().iter();
    assert!(groups.any(|group| group["name"] == "wardle.example.com"));
    let group = server.ask("GET /apis/wardle.example.com", Value::Null).await.body;
    assert_eq!(group["preferredVersion"]["version"], "v1alpha1");
    let accept = [(
        "accept",
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
    )];
    let all = server.ask_with("GET /apis", &accept, Value::Null).await.body;
    let mut items = all["items"].as_array().unwrap().iter();
    let wardle = items.find(|item| item["metadata"]["name"] == "wardle.example.com").unwrap();
    assert_eq!(wardle["versions"][0]["resources"][0]["resource"], "flunders");
    let index = server.ask("GET /openapi/v3", Value::Null).await.body;
    let url = index["paths"]["apis/wardle.example.com/v1alpha1"]["serverRelativeURL"].clone();
    assert_eq!(url, "/openapi/v3/apis/wardle.example.com/v1alpha1?hash=ABC");
    let document = server.ask(&format!("GET {}", url.as_str().unwrap()), Value::Null).await;
    assert_eq!(document.body, json!({"openapi": "3.0.0"}));
}

#[tokio::test]
async fn certificates_are_verified() {
    let (server, backend, other) = (TestServer::start().await, backend().await, backend().await);
    for object in backend.service("default", "api") {
        server.put(&object).await;
    }
    server.create(API_SERVICES, api_service(&other.ca_bundle)).await;
    let path = format!("{API_SERVICES}/v1alpha1.wardle.example.com");
    let service = server.wait(&path, |service| condition(service) == "False FailedDiscoveryCheck");
    let message = service.await["status"]["conditions"][0]["message"].clone();
    assert_eq!(
        message,
        format!(
            "failing or missing response from https://api.default.svc:443{ROOT}: Get \"https://api.default.svc:443{ROOT}\": tls: failed to verify certificate: x509: certificate signed by unknown authority"
        )
    );
    let patch = json!({"spec": {"caBundle": null, "insecureSkipTLSVerify": true}});
    let headers = [("content-type", "application/merge-patch+json")];
    let got = server.ask_with(&format!("PATCH {path}"), &headers, patch).await;
    assert_eq!(got.code, 200, "{}", got.body);
    server.wait(&path, |service| condition(service) == "True Passed").await;
}

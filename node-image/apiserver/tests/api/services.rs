//! Cluster IPs and node ports.

use serde_json::{Value, json};

use crate::server::Server;

const SERVICES: &str = "/api/v1/namespaces/default/services";

fn service(name: &str, spec: Value) -> Value {
    let mut service = json!({"metadata": {"name": name}, "spec": spec});
    if service["spec"].get("ports").is_none() {
        service["spec"]["ports"] = json!([{"port": 80}]);
    }
    service
}

async fn create(server: &Server, name: &str, spec: Value) -> crate::server::Answer {
    server.ask(&format!("POST {SERVICES}"), service(name, spec)).await
}

#[tokio::test]
async fn addresses_are_taken_and_given_back() {
    let server = Server::start().await;
    let a = create(&server, "a", json!({"selector": {"x": "y"}})).await.body;
    let ip = a["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(ip.starts_with("10.96."), "{a}");
    assert_eq!(a["spec"]["clusterIPs"], json!([ip]));
    assert_eq!(a["spec"]["ipFamilies"], json!(["IPv4"]));
    assert_eq!(a["spec"]["ipFamilyPolicy"], "SingleStack");
    let taken = create(&server, "b", json!({"clusterIP": ip})).await;
    assert_eq!(taken.code, 422);
    assert_eq!(
        taken.body["message"],
        format!(
            "Service \"b\" is invalid: spec.clusterIPs: Invalid value: [{ip:?}]: failed to allocate IP {ip}: provided IP is already allocated"
        )
    );
    assert_eq!(create(&server, "c", json!({"clusterIP": "10.1.1.1"})).await.code, 422);
    server.ask(&format!("DELETE {SERVICES}/a"), Value::Null).await;
    assert_eq!(create(&server, "b", json!({"clusterIP": ip})).await.code, 201);
}

#[tokio::test]
async fn types_change_back_and_forth() {
    let server = Server::start().await;
    let mut a = create(&server, "a", json!({"selector": {"x": "y"}})).await.body;
    let ip = a["spec"]["clusterIP"].clone();
    a["spec"]["type"] = "NodePort".into();
    let mut a = server.ask(&format!("PUT {SERVICES}/a"), a).await.body;
    let port = a["spec"]["ports"][0]["nodePort"].as_i64().unwrap();
    assert!((30000..=32767).contains(&port), "{a}");
    let taken = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    let taken = create(&server, "b", taken).await;
    assert_eq!(
        taken.body["message"],
        format!(
            "Service \"b\" is invalid: spec.ports[0].nodePort: Invalid value: {port}: provided port is already allocated"
        )
    );
    a["spec"]["type"] = "ClusterIP".into();
    let mut a = server.ask(&format!("PUT {SERVICES}/a"), a).await.body;
    assert!(a["spec"]["ports"][0].get("nodePort").is_none(), "{a}");
    assert_eq!(a["spec"]["clusterIP"], ip);
    let free = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    assert_eq!(create(&server, "b", free).await.code, 201);
    a["spec"]["type"] = "ExternalName".into();
    a["spec"]["externalName"] = "x.example.com".into();
    let a = server.ask(&format!("PUT {SERVICES}/a"), a).await;
    assert_eq!(a.code, 200, "{}", a.body);
    assert!(a.body["spec"].get("clusterIP").is_none(), "{}", a.body);
    assert_eq!(create(&server, "c", json!({"clusterIP": ip})).await.code, 201);
}

#[tokio::test]
async fn other_sorts() {
    let server = Server::start().await;
    let headless = create(&server, "h", json!({"clusterIP": "None", "selector": {"x": "y"}})).await;
    assert_eq!(headless.body["spec"]["clusterIPs"], json!(["None"]), "{}", headless.body);
    let both = json!({"type": "NodePort", "ports": [
        {"name": "t", "port": 53, "protocol": "TCP"}, {"name": "u", "port": 53, "protocol": "UDP"}]});
    let both = create(&server, "d", both).await.body;
    let ports = &both["spec"]["ports"];
    assert_eq!(ports[0]["nodePort"], ports[1]["nodePort"], "one port for both protocols");
    let dual = create(&server, "e", json!({"ipFamilyPolicy": "RequireDualStack"})).await;
    assert_eq!(dual.code, 422);
    let outside = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]});
    let outside = create(&server, "f", outside).await;
    assert_eq!(
        outside.body["message"],
        "Service \"f\" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767"
    );
}

#[tokio::test]
async fn ranges_are_added_and_taken_away() {
    const RANGES: &str = "/apis/networking.k8s.io/v1/servicecidrs";
    let server = Server::start().await;
    let range = json!({"metadata": {"name": "more", "finalizers": ["example.com/held"]},
        "spec": {"cidrs": ["10.196.196.0/24"]}});
    assert_eq!(server.ask(&format!("POST {RANGES}"), range).await.code, 201);
    let wanted = json!({"clusterIP": "10.196.196.77"});
    let refused = create(&server, "early", wanted.clone()).await;
    assert_eq!(refused.code, 422, "the range is not ready: {}", refused.body);
    let mut range = server.ask(&format!("GET {RANGES}/more"), Value::Null).await.body;
    range["status"] = json!({"conditions": [{"type": "Ready", "status": "True", "reason": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "message": ""}]});
    let ready = server.ask(&format!("PUT {RANGES}/more/status"), range).await;
    assert_eq!(ready.code, 200, "{}", ready.body);
    let mut a = create(&server, "a", wanted.clone()).await.body;
    assert_eq!(a["spec"]["clusterIPs"], json!(["10.196.196.77"]), "{a}");
    let taken = create(&server, "b", wanted).await;
    let text = taken.body["message"].as_str().unwrap();
    assert!(text.contains("provided IP is already allocated"), "{text}");
    server.ask(&format!("DELETE {RANGES}/more"), Value::Null).await;
    let late = create(&server, "late", json!({"clusterIP": "10.196.196.78"})).await;
    assert_eq!(late.code, 422, "the range goes: {}", late.body);
    a["metadata"]["labels"] = json!({"x": "y"});
    let kept = server.ask(&format!("PUT {SERVICES}/a"), a).await;
    assert_eq!((kept.code, &kept.body["spec"]["clusterIP"]), (200, &json!("10.196.196.77")));
}

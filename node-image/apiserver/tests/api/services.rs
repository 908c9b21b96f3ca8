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

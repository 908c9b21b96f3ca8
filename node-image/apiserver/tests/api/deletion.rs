//! delete and deletecollection.

use serde_json::{Value, json};

use crate::server::Server;

const PODS: &str = "/api/v1/namespaces/default/pods";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn at_once() {
    let server = Server::start().await;
    let made = server.ask(&format!("POST {MAPS}"), json!({"metadata": {"name": "a"}})).await.body;
    let wrong = json!({"preconditions": {"uid": "x"}});
    assert_eq!(server.ask(&format!("DELETE {MAPS}/a"), wrong).await.code, 409);
    let gone = server.ask(&format!("DELETE {MAPS}/a"), Value::Null).await;
    assert_eq!(gone.code, 200);
    assert_eq!(
        gone.body,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 200,
            "details": {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}})
    );
    assert_eq!(server.ask(&format!("DELETE {MAPS}/a"), Value::Null).await.code, 404);
}

#[tokio::test]
async fn pods_have_time_to_end() {
    let server = Server::start().await;
    server.pod("p", json!({"spec": {"nodeName": "n"}})).await;
    let marked = server.ask(&format!("DELETE {PODS}/p"), Value::Null).await.body;
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-01-02T03:04:35Z", "{marked}");
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    let again = server.ask(&format!("DELETE {PODS}/p"), Value::Null).await.body;
    assert_eq!(again, marked);
    let shorter = json!({"gracePeriodSeconds": 3});
    let shorter = server.ask(&format!("DELETE {PODS}/p"), shorter).await.body;
    assert_eq!(shorter["metadata"]["deletionTimestamp"], "2026-01-02T03:04:08Z");
    let now = server.ask(&format!("DELETE {PODS}/p?gracePeriodSeconds=0"), Value::Null).await;
    assert_eq!((now.code, &now.body["kind"]), (200, &json!("Pod")));
    assert_eq!(server.get(&format!("{PODS}/p")).await.code, 404);
}

#[tokio::test]
async fn finalizers_keep() {
    let server = Server::start().await;
    let body = json!({"metadata": {"name": "a", "finalizers": ["x.io/y"]}});
    server.ask(&format!("POST {MAPS}"), body).await;
    let mut marked = server.ask(&format!("DELETE {MAPS}/a"), Value::Null).await.body;
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0, "{marked}");
    assert_eq!(server.get(&format!("{MAPS}/a")).await.code, 200);
    marked["metadata"]["finalizers"] = json!([]);
    let last = server.ask(&format!("PUT {MAPS}/a"), marked).await;
    assert_eq!(last.code, 200, "{}", last.body);
    assert_eq!(server.get(&format!("{MAPS}/a")).await.code, 404);
}

#[tokio::test]
async fn namespaces_end_with_finalize() {
    let server = Server::start().await;
    server.ask("POST /api/v1/namespaces", json!({"metadata": {"name": "a"}})).await;
    let mut marked = server.ask("DELETE /api/v1/namespaces/a", Value::Null).await.body;
    assert_eq!(marked["status"]["phase"], "Terminating", "{marked}");
    let refused = json!({"metadata": {"name": "m"}});
    let refused = server.ask("POST /api/v1/namespaces/a/configmaps", refused).await;
    assert_eq!(refused.code, 403, "{}", refused.body);
    marked["spec"]["finalizers"] = json!([]);
    let end = server.ask("PUT /api/v1/namespaces/a/finalize", marked).await;
    assert_eq!(end.code, 200, "{}", end.body);
    assert_eq!(server.get("/api/v1/namespaces/a").await.code, 404);
    let protected = server.ask("DELETE /api/v1/namespaces/default", Value::Null).await;
    assert_eq!(protected.code, 403);
}

#[tokio::test]
async fn collections() {
    let server = Server::start().await;
    for (name, label) in [("a", "1"), ("b", "2"), ("c", "1")] {
        let body = json!({"metadata": {"name": name, "labels": {"l": label}}});
        server.ask(&format!("POST {MAPS}"), body).await;
    }
    let gone = server.ask(&format!("DELETE {MAPS}?labelSelector=l%3D1"), Value::Null).await;
    assert_eq!(gone.code, 200);
    assert_eq!(gone.body["items"].as_array().unwrap().len(), 2);
    let left = server.get(&format!("{MAPS}?labelSelector=l")).await.body;
    assert_eq!(left["items"][0]["metadata"]["name"], "b");
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
}

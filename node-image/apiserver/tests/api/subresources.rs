//! Subresources and reviews.

use serde_json::{Value, json};

use crate::server::{NOW, Server};

const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn bindings() {
    let server = Server::start().await;
    let mut pod = server.pod("p", json!({})).await;
    pod["status"] = json!({"phase": "Pending", "nominatedNodeName": "n"});
    server.ask(&format!("PUT {PODS}/p/status"), pod).await;
    let binding =
        |node: &str| json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": node}});
    let bound = server.ask(&format!("POST {PODS}/p/binding"), binding("n")).await;
    assert_eq!((bound.code, &bound.body["status"]), (201, &json!("Success")), "{}", bound.body);
    let pod = server.get(&format!("{PODS}/p")).await.body;
    assert_eq!(pod["spec"]["nodeName"], "n");
    assert_eq!(pod["status"].get("nominatedNodeName"), None);
    assert_eq!(pod["metadata"]["generation"], 1, "a node is not what a user asks for");
    let condition = &pod["status"]["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["status"]),
        (&json!("PodScheduled"), &json!("True"))
    );
    assert_eq!(condition["lastTransitionTime"], NOW);
    let again = server.ask(&format!("POST {PODS}/p/binding"), binding("m")).await;
    assert_eq!(again.code, 409);
    assert_eq!(
        again.body["message"],
        "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n\""
    );
}

#[tokio::test]
async fn status_and_nothing_else() {
    let server = Server::start().await;
    let mut pod = server.pod("p", json!({})).await;
    pod["status"]["phase"] = "Running".into();
    pod["spec"]["containers"][0]["image"] = "other".into();
    let got = server.ask(&format!("PUT {PODS}/p/status"), pod).await;
    assert_eq!(got.code, 200, "{}", got.body);
    assert_eq!(got.body["status"]["phase"], "Running");
    assert_eq!(got.body["spec"]["containers"][0]["image"], "i");
    let mut pod = got.body;
    pod["status"]["phase"] = "Failed".into();
    pod["spec"]["containers"][0]["image"] = "new".into();
    let got = server.ask(&format!("PUT {PODS}/p"), pod).await.body;
    assert_eq!(got["status"]["phase"], "Running");
    assert_eq!(got["spec"]["containers"][0]["image"], "new");
    let headers = [("content-type", "application/strategic-merge-patch+json")];
    let patch = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    let got = server.ask_with(&format!("PATCH {PODS}/p/status"), &headers, patch).await.body;
    assert_eq!(got["status"]["conditions"][0]["type"], "Ready", "{got}");
    assert_eq!(server.get(&format!("{PODS}/p/nothing")).await.code, 404);
}

#[tokio::test]
async fn scale() {
    let server = Server::start().await;
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"replicas": 2,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let made = server.ask(&format!("POST {path}"), deployment).await;
    assert_eq!(made.code, 201, "{}", made.body);
    let mut scale = server.get(&format!("{path}/d/scale")).await.body;
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(2)));
    assert_eq!(scale["status"]["selector"], "a=b");
    scale["spec"]["replicas"] = 5.into();
    let got = server.ask(&format!("PUT {path}/d/scale"), scale).await;
    assert_eq!(got.code, 200, "{}", got.body);
    assert_eq!(got.body["spec"]["replicas"], 5);
    let headers = [("content-type", "application/merge-patch+json")];
    let patch = json!({"spec": {"replicas": 1}});
    server.ask_with(&format!("PATCH {path}/d/scale"), &headers, patch).await;
    let deployment = server.get(&format!("{path}/d")).await.body;
    assert_eq!(deployment["spec"]["replicas"], 1);
    assert_eq!(deployment["metadata"]["generation"], 3);
}

#[tokio::test]
async fn a_patch_of_the_scale_is_no_condition() {
    let server = Server::start().await;
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({"metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    server.ask(&format!("POST {path}"), deployment).await;
    let headers = [("content-type", "application/merge-patch+json")];
    let scale = async |replicas: u32| {
        let patch = json!({"spec": {"replicas": replicas}});
        server.ask_with(&format!("PATCH {path}/d/scale"), &headers, patch).await
    };
    for answer in futures::future::join_all((1..=8).map(scale)).await {
        assert_eq!(answer.code, 200, "{}", answer.body);
    }
    let stale = server.get(&format!("{path}/d/scale")).await.body["metadata"].clone();
    scale(9).await;
    let patch = json!({"metadata": {"resourceVersion": stale["resourceVersion"]}});
    let answer = server.ask_with(&format!("PATCH {path}/d/scale"), &headers, patch).await;
    assert_eq!(answer.code, 409, "{}", answer.body);
}

#[tokio::test]
async fn evictions() {
    let server = Server::start().await;
    let labels = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"nodeName": "n"}});
    let mut pod = server.pod("p", labels).await;
    pod["status"] =
        json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    server.ask(&format!("PUT {PODS}/p/status"), pod).await;
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1,
        "selector": {"matchLabels": {"a": "b"}}}});
    let mut budget = server.ask(&format!("POST {budgets}"), budget).await.body;
    let eviction = || json!({"metadata": {"name": "p"}});
    let refused = server.ask(&format!("POST {PODS}/p/eviction"), eviction()).await;
    assert_eq!(refused.code, 429, "{}", refused.body);
    assert_eq!(refused.headers["retry-after"], "10");
    budget["status"] = json!({"observedGeneration": 1, "disruptionsAllowed": 0, "desiredHealthy": 1,
        "currentHealthy": 1, "expectedPods": 1});
    let got = server.ask(&format!("PUT {budgets}/b/status"), budget).await;
    assert_eq!(got.code, 200, "{}", got.body);
    let refused = server.ask(&format!("POST {PODS}/p/eviction"), eviction()).await.body;
    assert_eq!(
        refused["message"],
        "Cannot evict pod as it would violate the pod's disruption budget."
    );
    assert_eq!(
        refused["details"]["causes"][0]["message"],
        "The disruption budget b needs 1 healthy pods and has 1 currently"
    );
    let mut budget = got.body;
    budget["status"]["disruptionsAllowed"] = 1.into();
    server.ask(&format!("PUT {budgets}/b/status"), budget).await;
    let done = server.ask(&format!("POST {PODS}/p/eviction"), eviction()).await;
    assert_eq!(done.code, 201, "{}", done.body);
    let pod = server.get(&format!("{PODS}/p")).await.body;
    assert!(pod["metadata"]["deletionTimestamp"].is_string(), "{pod}");
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|c| c["reason"] == "EvictionByEvictionAPI"));
    let budget = server.get(&format!("{budgets}/b")).await.body;
    assert_eq!(budget["status"]["disruptionsAllowed"], 0);
    assert!(budget["status"]["disruptedPods"]["p"].is_string());
}

#[tokio::test]
async fn tokens_and_reviews() {
    let server = Server::start().await;
    let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let token = server.ask(&format!("POST {path}"), json!({"spec": {}})).await;
    assert_eq!(token.code, 201, "{}", token.body);
    let text = token.body["status"]["token"].as_str().unwrap();
    let review = json!({"spec": {"token": text}});
    let review = server.ask("POST /apis/authentication.k8s.io/v1/tokenreviews", review).await.body;
    assert_eq!(
        review["status"]["user"]["username"], "system:serviceaccount:default:default",
        "{review}"
    );
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let review = json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    let review = server.ask(&format!("POST {path}"), review).await;
    assert_eq!((review.code, &review.body["status"]["allowed"]), (201, &json!(true)));
    let me = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let me = server.ask(&format!("POST {me}"), json!({})).await.body;
    assert_eq!(me["status"]["userInfo"]["username"], "admin");
    assert_eq!(server.get(path).await.code, 405);
}

#[tokio::test]
async fn without_a_way_to_nodes() {
    let server = Server::start().await;
    server.pod("p", json!({})).await;
    let answer = server.ask(&format!("GET {PODS}/p/log"), Value::Null).await;
    assert_eq!(answer.code, 503);
}

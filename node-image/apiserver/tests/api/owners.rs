//! managedFields: who wrote which field, from an object's first write on.

use serde_json::{Value, json};

use crate::server::{NOW, Server};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";

/// `MANAGER OPERATION SUBRESOURCE FIELDS`
fn owners(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let shown = |entry: &Value| {
        assert_eq!((&entry["time"], &entry["fieldsType"]), (&json!(NOW), &json!("FieldsV1")));
        let subresource = entry["subresource"].as_str().unwrap_or("-");
        let (manager, operation) = (&entry["manager"], &entry["operation"]);
        format!("{manager} {operation} {subresource} {}", entry["fieldsV1"]).replace('"', "")
    };
    entries.map(shown).collect()
}

fn deployment(more: Value) -> Value {
    let mut spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec})
}

async fn send(server: &Server, request: &str, agent: &str, sort: &str, body: Value) -> Value {
    let headers = [("user-agent", agent), ("content-type", sort)];
    let answer = server.ask_with(request, &headers, body).await;
    assert!(answer.code < 300, "{request}: {}", answer.body);
    answer.body
}

#[tokio::test]
async fn a_deployment_from_its_creation_on() {
    let server = Server::start().await;
    let create = format!("POST {DEPLOYMENTS}");
    let agent = "kubectl-create/v1.36.0 (linux/amd64)";
    let made = send(&server, &create, agent, "application/json", deployment(json!({}))).await;
    let template = "f:template:{f:metadata:{f:labels:{.:{},f:a:{}}},f:spec:{f:containers:{k:{\\name\\:\\c\\}:{.:{},f:image:{},f:imagePullPolicy:{},f:name:{},f:resources:{},f:terminationMessagePath:{},f:terminationMessagePolicy:{}}},f:dnsPolicy:{},f:restartPolicy:{},f:schedulerName:{},f:securityContext:{},f:terminationGracePeriodSeconds:{}}}";
    let spec = |replicas: &str| {
        format!(
            "kubectl-create Update - {{f:spec:{{f:progressDeadlineSeconds:{{}},{replicas}f:revisionHistoryLimit:{{}},f:selector:{{}},f:strategy:{{f:rollingUpdate:{{.:{{}},f:maxSurge:{{}},f:maxUnavailable:{{}}}},f:type:{{}}}},{template}}}}}"
        )
    };
    assert_eq!(owners(&made), [spec("f:replicas:{},")]);

    let status = json!({"status": {"replicas": 1, "conditions": [
        {"type": "Available", "status": "True", "reason": "R", "message": "m",
            "lastUpdateTime": NOW, "lastTransitionTime": NOW}]}});
    let path = format!("PATCH {DEPLOYMENTS}/d/status");
    let told = send(&server, &path, "controller/1", MERGE, status).await;
    assert_eq!(
        owners(&told)[0],
        "controller Update status {f:status:{f:conditions:{.:{},k:{\\type\\:\\Available\\}:{.:{},f:lastTransitionTime:{},f:lastUpdateTime:{},f:message:{},f:reason:{},f:status:{},f:type:{}}},f:replicas:{}}}"
    );

    let scale = json!({"spec": {"replicas": 3}});
    let path = format!("PATCH {DEPLOYMENTS}/d/scale");
    send(&server, &path, "kubectl/1", MERGE, scale).await;
    let scaled = server.get(&format!("{DEPLOYMENTS}/d")).await.body;
    let all = owners(&scaled);
    assert!(all.contains(&"kubectl Update scale {f:spec:{f:replicas:{}}}".to_owned()), "{all:?}");
    assert!(all.contains(&spec("")), "{all:?}");
    let revision = scaled["metadata"]["resourceVersion"].clone();
    let path = format!("PUT {DEPLOYMENTS}/d");
    let same = send(&server, &path, "other/1", "application/json", scaled.clone()).await;
    assert_eq!(same["metadata"]["resourceVersion"], revision, "nothing changed");
}

#[tokio::test]
async fn applies_and_what_others_wrote() {
    let server = Server::start().await;
    let create = format!("POST {DEPLOYMENTS}?fieldManager=kubectl-client-side-apply");
    let first = deployment(json!({"replicas": 2}));
    send(&server, &create, "x", "application/json", first).await;
    let apply = async |query: &str, more: Value| {
        let path = format!("PATCH {DEPLOYMENTS}/d?fieldManager=me{query}");
        server.ask_with(&path, &[("content-type", APPLY)], deployment(more)).await
    };
    let conflict = apply("", json!({"replicas": 5})).await;
    assert_eq!(
        conflict.body["message"],
        "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using apps/v1: .spec.replicas"
    );
    let forced = apply("&force=true", json!({"replicas": 5})).await.body;
    assert_eq!(forced["spec"]["replicas"], 5);
    // What is applied is owned as it was written, without what the server fills in.
    assert_eq!(
        owners(&forced)[0],
        "me Apply - {f:spec:{f:replicas:{},f:selector:{},f:template:{f:metadata:{f:labels:{f:a:{}}},f:spec:{f:containers:{k:{\\name\\:\\c\\}:{.:{},f:image:{},f:name:{}}}}}}}"
    );
    // A manager that no longer wants the replicas leaves them to the autoscaler.
    let path = format!("PATCH {DEPLOYMENTS}/d/scale?fieldManager=autoscaler&force=true");
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {"name": "d", "namespace": "default"}, "spec": {"replicas": 7}});
    let scaled = send(&server, &path, "x", APPLY, scale).await;
    assert_eq!((&scaled["kind"], &scaled["spec"]["replicas"]), (&json!("Scale"), &json!(7)));
    let left = apply("", json!({})).await;
    assert_eq!((left.code, &left.body["spec"]["replicas"]), (200, &json!(7)), "{}", left.body);
    let all = owners(&left.body);
    assert!(all.contains(&"autoscaler Apply scale {f:spec:{f:replicas:{}}}".to_owned()), "{all:?}");
    let unknown = apply("", json!({"none": 1})).await;
    assert_eq!((unknown.code, &unknown.body["reason"]), (500, &Value::Null));
    assert_eq!(
        unknown.body["message"],
        "failed to create typed patch object (/d; apps/v1, Kind=Deployment): .spec.none: field not declared in schema"
    );
}

#[tokio::test]
async fn a_client_may_change_the_record() {
    let server = Server::start().await;
    let create = format!("POST {DEPLOYMENTS}?fieldManager=before");
    let mut made = send(&server, &create, "x", "application/json", deployment(json!({}))).await;
    // As kubectl migrates what it applied itself.
    made["metadata"]["managedFields"][0]["manager"] = "kubectl".into();
    made["metadata"]["managedFields"][0]["operation"] = "Apply".into();
    let owners_now = made["metadata"]["managedFields"].clone();
    let patch = json!([{"op": "replace", "path": "/metadata/managedFields", "value": owners_now},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": made["metadata"]["resourceVersion"]}]);
    let path = format!("PATCH {DEPLOYMENTS}/d");
    let changed = send(&server, &path, "x", "application/json-patch+json", patch).await;
    assert_eq!(changed["metadata"]["managedFields"], owners_now);
    let path = format!("PATCH {DEPLOYMENTS}/d/status");
    let patch = json!({"metadata": {"managedFields": [{}]}, "status": {"replicas": 1}});
    let told = send(&server, &path, "x", MERGE, patch).await;
    assert_eq!(owners(&told).len(), 2, "a subresource does not reset it");
}

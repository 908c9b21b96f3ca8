//! create, update, patch.

use serde_json::{Value, json};

use crate::server::{NOW, Server};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn map(server: &Server, name: &str) -> Value {
    let body = json!({"metadata": {"name": name}, "data": {"a": "1"}});
    let answer = server.ask(&format!("POST {MAPS}"), body).await;
    assert_eq!(answer.code, 201, "{}", answer.body);
    answer.body
}

#[tokio::test]
async fn created_objects_are_completed() {
    let server = Server::start().await;
    let made = map(&server, "a").await;
    assert_eq!(made["kind"], "ConfigMap");
    assert_eq!(made["apiVersion"], "v1");
    assert_eq!(made["metadata"]["namespace"], "default");
    assert_eq!(made["metadata"]["creationTimestamp"], NOW);
    assert_eq!(made["metadata"]["uid"].as_str().unwrap().len(), 36);
    let read = server.get(&format!("{MAPS}/a")).await.body;
    assert_eq!(read, made);
    let body = json!({"metadata": {"generateName": "gen-"}});
    let made = server.ask(&format!("POST {MAPS}"), body).await.body;
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("gen-") && name.len() == 9, "{name}");
}

#[tokio::test]
async fn refusals() {
    let server = Server::start().await;
    map(&server, "a").await;
    let check = async |request: String, body: Value, code: u16, message: &str| {
        let got = server.ask(&request, body).await;
        let text = got.body["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!((got.code, text.as_str()), (code, message), "{request}");
    };
    let named = |name: &str| json!({"metadata": {"name": name}});
    check(format!("POST {MAPS}"), named("a"), 409, "configmaps \"a\" already exists").await;
    check(format!("GET {MAPS}/b"), Value::Null, 404, "configmaps \"b\" not found").await;
    check(format!("PUT {MAPS}/b"), named("b"), 404, "configmaps \"b\" not found").await;
    check(
        format!("PUT {MAPS}/a"),
        named("b"),
        400,
        "the name of the object (b) does not match the name on the URL (a)",
    )
    .await;
    let elsewhere = json!({"metadata": {"name": "c", "namespace": "x"}});
    check(
        format!("POST {MAPS}"),
        elsewhere,
        400,
        "the namespace of the provided object does not match the namespace sent on the request",
    )
    .await;
    let stale = json!({"metadata": {"name": "a", "resourceVersion": "1"}});
    check(format!("PUT {MAPS}/a"), stale, 409, "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again").await;
    let other = json!({"metadata": {"name": "a", "uid": "x"}});
    assert_eq!(server.ask(&format!("PUT {MAPS}/a"), other).await.code, 409);
    let set = json!({"metadata": {"name": "v", "resourceVersion": "3"}});
    check(
        format!("POST {MAPS}"),
        set,
        500,
        "resourceVersion should not be set on objects to be created",
    )
    .await;
    check(
        "POST /api/v1/namespaces/no/configmaps".into(),
        named("a"),
        404,
        "namespaces \"no\" not found",
    )
    .await;
    check(format!("POST {MAPS}"), named("A"), 422, "ConfigMap \"A\" is invalid: metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')").await;
    assert_eq!(server.ask(&format!("PUT {MAPS}"), named("a")).await.code, 405);
    assert_eq!(server.ask("POST /api/v1/configmaps", named("a")).await.code, 405);
    let nothing = server.get("/api/v1/namespaces/default/nothings").await;
    assert_eq!(nothing.body["message"], "the server could not find the requested resource");
    assert_eq!(server.get("/api/v1/namespaces/default/nodes").await.code, 404);
}

#[tokio::test]
async fn updates() {
    let server = Server::start().await;
    let made = map(&server, "a").await;
    let path = format!("PUT {MAPS}/a");
    let mut changed = made.clone();
    changed["data"]["b"] = "2".into();
    let got = server.ask(&path, changed.clone()).await;
    assert_eq!(got.code, 200, "{}", got.body);
    assert_eq!(got.body["data"], json!({"a": "1", "b": "2"}));
    assert_eq!(got.body["metadata"]["uid"], made["metadata"]["uid"]);
    let again = server.ask(&path, got.body.clone()).await;
    assert_eq!(again.body, got.body, "nothing changed, no new version");
    assert_eq!(server.ask(&path, changed).await.code, 409);
    let free = json!({"metadata": {"name": "a"}, "data": {"c": "3"}});
    let got = server.ask(&path, free).await;
    assert_eq!(got.body["data"], json!({"c": "3"}), "unconditional");
    assert_eq!(got.body["metadata"]["creationTimestamp"], NOW);
}

#[tokio::test]
async fn leases_are_conditional_and_created_by_update() {
    let server = Server::start().await;
    let path = "PUT /apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    let lease = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "x"}});
    assert_eq!(server.ask(path, lease.clone()).await.code, 201);
    let got = server.ask(path, lease).await;
    assert_eq!(got.code, 422);
    assert_eq!(
        got.body["message"],
        "Lease.coordination.k8s.io \"l\" is invalid: metadata.resourceVersion: Invalid value: \"\": must be specified for an update"
    );
}

#[tokio::test]
async fn patches() {
    let server = Server::start().await;
    map(&server, "a").await;
    let check = async |sort: &str, patch: Value, code: u16, data: Value| {
        let headers = [("content-type", sort)];
        let got = server.ask_with(&format!("PATCH {MAPS}/a"), &headers, patch).await;
        assert_eq!((got.code, &got.body["data"]), (code, &data), "{}", got.body);
    };
    let (json, merge) = ("application/json-patch+json", "application/merge-patch+json");
    let strategic = "application/strategic-merge-patch+json";
    check(merge, json!({"data": {"b": "2"}}), 200, json!({"a": "1", "b": "2"})).await;
    check(strategic, json!({"data": {"a": null}}), 200, json!({"b": "2"})).await;
    check(
        json,
        json!([{"op": "add", "path": "/data/c", "value": "3"}]),
        200,
        json!({"b": "2", "c": "3"}),
    )
    .await;
    check(merge, json!({"metadata": {"resourceVersion": "1"}}), 409, Value::Null).await;
    check("application/apply-patch+yaml", json!({}), 422, Value::Null).await;
    check(merge, json!({"metadata": {"name": "b"}}), 400, Value::Null).await;
    let headers = [("content-type", merge)];
    let wrong = server.ask_with(&format!("PATCH {MAPS}/a"), &headers, json!({"data": "x"})).await;
    let details = &wrong.body["details"];
    assert_eq!((wrong.code, &details["causes"][0]["field"]), (422, &json!("patch")));
    assert_eq!(details.get("kind"), None, "{}", wrong.body);
}

#[tokio::test]
async fn applies() {
    let server = Server::start().await;
    let apply = async |manager: &str, more: &str, data: Value| {
        let headers = [("content-type", "application/apply-patch+yaml")];
        let path = format!("PATCH {MAPS}/a?fieldManager={manager}{more}");
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data});
        server.ask_with(&path, &headers, body).await
    };
    let owners = |object: &Value| -> Vec<String> {
        let entries = object["metadata"]["managedFields"].as_array().unwrap();
        let shown = |e: &Value| format!("{} {} {}", e["manager"], e["operation"], e["fieldsV1"]);
        entries.iter().map(|entry| shown(entry).replace('"', "")).collect()
    };
    let made = apply("one", "", json!({"x": "1", "y": "1"})).await;
    assert_eq!(made.code, 201, "{}", made.body);
    assert_eq!(owners(&made.body), ["one Apply {f:data:{f:x:{},f:y:{}}}"]);
    let revision = server.store_revision();
    assert_eq!(apply("one", "", json!({"x": "1", "y": "1"})).await.code, 200);
    assert_eq!(server.store_revision(), revision, "nothing changed");
    let conflict = apply("two", "", json!({"x": "2"})).await;
    assert_eq!((conflict.code, &conflict.body["details"]["name"]), (409, &json!("a")));
    assert_eq!(
        conflict.body["message"],
        "Apply failed with 1 conflict: conflict with \"one\": .data.x"
    );
    let forced = apply("two", "&force=true", json!({"x": "2"})).await.body;
    assert_eq!(forced["data"], json!({"x": "2", "y": "1"}));
    let headers = [("content-type", "application/merge-patch+json")];
    let patch = json!({"data": {"x": "3"}});
    let path = format!("PATCH {MAPS}/a?fieldManager=three");
    let patched = server.ask_with(&path, &headers, patch).await.body;
    assert_eq!(owners(&patched), ["one Apply {f:data:{f:y:{}}}", "three Update {f:data:{f:x:{}}}"]);
    let gone = apply("one", "", json!({})).await.body;
    assert_eq!(gone["data"], json!({"x": "3"}));
    let last = r#"{"data":{"x":"3"}}"#;
    let last = json!({"kubectl.kubernetes.io/last-applied-configuration": last});
    let last = json!({"metadata": {"annotations": last}});
    server.ask_with(&format!("PATCH {MAPS}/a"), &headers, last).await;
    assert_eq!(apply("four", "", json!({"x": "4"})).await.code, 409);
    let taken = apply("kubectl", "", json!({"x": "4"})).await;
    assert_eq!((taken.code, &taken.body["data"]["x"]), (200, &json!("4")), "{}", taken.body);
    let again = apply("kubectl", "", json!({"x": "5"})).await;
    let last = again.body["metadata"]["annotations"].as_object().unwrap().values().next().unwrap();
    assert!(last.as_str().unwrap().contains(r#""data":{"x":"5"}"#), "{last}");
    let given_up = json!({"metadata": {"managedFields": [{}]}});
    let given_up = server.ask_with(&format!("PATCH {MAPS}/a"), &headers, given_up).await.body;
    assert_eq!(given_up["metadata"].get("managedFields"), None, "{given_up}");
}

#[tokio::test]
async fn field_validation() {
    let server = Server::start().await;
    let body = json!({"metadata": {"name": "a"}, "dota": {}});
    let strict = server.ask(&format!("POST {MAPS}?fieldValidation=Strict"), body.clone()).await;
    assert_eq!(strict.code, 400);
    assert!(
        strict.body["message"]
            .as_str()
            .unwrap()
            .ends_with("strict decoding error: unknown field \"dota\""),
        "{}",
        strict.body
    );
    let warned = server.ask(&format!("POST {MAPS}"), body).await;
    assert_eq!(warned.code, 201);
    assert_eq!(warned.warnings, ["299 - \"unknown field \\\"dota\\\"\""]);
    let headers = [("content-type", "application/merge-patch+json")];
    let patched = server.ask_with(&format!("PATCH {MAPS}/a"), &headers, json!({"dota": 1})).await;
    assert_eq!(patched.warnings, ["299 - \"unknown field \\\"dota\\\"\""]);
    let strict = format!("PATCH {MAPS}/a?fieldValidation=Strict");
    let strict = server.ask_with(&strict, &headers, json!({"dota": 1})).await;
    // What is invalid is what the patch would make of the object.
    let why = strict.body["details"]["causes"][0]["message"].as_str().unwrap();
    let begin = "Invalid value: \"{\\\"apiVersion\\\":\\\"v1\\\",\\\"dota\\\":1,\\\"kind\\\":";
    let end = "}}\": strict decoding error: unknown field \"dota\"";
    assert!(why.starts_with(begin) && why.ends_with(end), "{why}");
}

#[tokio::test]
async fn dry_runs_change_nothing() {
    let server = Server::start().await;
    let before = server.store_revision();
    let body = json!({"metadata": {"name": "a"}});
    assert_eq!(server.ask(&format!("POST {MAPS}?dryRun=All"), body.clone()).await.code, 201);
    assert_eq!(server.ask(&format!("POST {MAPS}?dryRun=Some"), body).await.code, 422);
    assert_eq!(server.store_revision(), before);
    map(&server, "a").await;
    let before = server.store_revision();
    let changed = json!({"metadata": {"name": "a"}, "data": {"z": "1"}});
    let got = server.ask(&format!("PUT {MAPS}/a?dryRun=All"), changed).await;
    assert_eq!(got.body["data"], json!({"z": "1"}));
    assert_eq!(server.ask(&format!("DELETE {MAPS}/a?dryRun=All"), Value::Null).await.code, 200);
    assert_eq!(server.store_revision(), before);
}

#[tokio::test]
async fn yaml_in_and_out() {
    let server = Server::start().await;
    let request = http::Request::post(MAPS)
        .header("content-type", "application/yaml")
        .header("accept", "application/yaml")
        .body(http_body_util::Full::from("metadata: {name: y}\ndata: {a: 'b'}\n"))
        .unwrap();
    let got = crate::server::read(server.send(request).await).await;
    assert_eq!(got.code, 201);
    assert!(got.body.as_str().unwrap().contains("name: y"), "{}", got.body);
}

impl Server {
    fn store_revision(&self) -> u64 {
        use kd_store::Store;
        self.store.revision()
    }
}

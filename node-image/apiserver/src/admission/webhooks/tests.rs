//! Both plugins in a server, with a webhook on a socket.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::answer::AuditAnnotations;
use crate::testing::server::{Got, TestServer};
use crate::testing::webhook::WebhookServer;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

/// An answer to a review.
fn answer(review: &Value, response: Value) -> (u16, String) {
    let mut response = response;
    response["uid"] = review["request"]["uid"].clone();
    let answer = json!({"kind": "AdmissionReview", "apiVersion": review["apiVersion"], "response": response});
    (200, answer.to_string())
}

fn patched(review: &Value, operations: Value) -> (u16, String) {
    let patch = STANDARD.encode(operations.to_string());
    answer(review, json!({"allowed": true, "patch": patch, "patchType": "JSONPatch"}))
}

fn rule(operations: &[&str], resources: &[&str]) -> Value {
    json!([{"operations": operations, "apiGroups": ["*"], "apiVersions": ["*"], "resources": resources}])
}

/// A server, a webhook, and the webhook's `clientConfig`.
async fn start(
    script: impl Fn(&Value) -> (u16, String) + Send + Sync + 'static,
) -> (TestServer, WebhookServer, Value) {
    let server = TestServer::start().await;
    let hook = WebhookServer::start(&["hook.default.svc", "127.0.0.1"], script).await;
    let url = format!("https://127.0.0.1:{}/", hook.address.port());
    let client_config = json!({"url": url, "caBundle": hook.ca_bundle});
    (server, hook, client_config)
}

async fn configure(server: &TestServer, kind: &str, name: &str, hooks: Vec<Value>) {
    let webhooks: Vec<Value> = hooks.into_iter().map(completed).collect();
    let plural = format!("{}s", kind.to_lowercase());
    let object = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
        "metadata": {"name": name}, "webhooks": webhooks});
    server.create(&format!("{GROUP}/{plural}"), object).await;
}

fn completed(mut hook: Value) -> Value {
    for (field, value) in
        [("sideEffects", json!("None")), ("admissionReviewVersions", json!(["v1"]))]
    {
        if hook.get(field).is_none() {
            hook[field] = value;
        }
    }
    hook
}

fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

fn message(got: &Got) -> &str {
    got.body["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn refusals_reach_the_client() {
    let (server, hook, client_config) = start(|review| {
        let allowed = review["request"]["object"]["data"]["bad"].is_null();
        let status = json!({"message": "bad data", "code": 403, "reason": "Forbidden"});
        let more = json!({"allowed": allowed, "status": status, "warnings": ["look out"],
            "auditAnnotations": {"seen": "yes"}});
        answer(review, more)
    })
    .await;
    let hooks = vec![json!({"name": "deny.example.com", "clientConfig": client_config,
        "rules": rule(&["CREATE"], &["configmaps"])})];
    configure(&server, "ValidatingWebhookConfiguration", "deny", hooks).await;
    let got =
        server.ask(&format!("POST {CONFIG_MAPS}"), config_map("a", json!({"bad": "x"}))).await;
    assert_eq!((got.code, &got.body["reason"]), (403, &json!("Forbidden")));
    assert_eq!(
        message(&got),
        r#"admission webhook "deny.example.com" denied the request: bad data"#
    );
    let got = server.ask(&format!("POST {CONFIG_MAPS}"), config_map("a", json!({}))).await;
    assert_eq!(got.code, 201);
    assert_eq!(got.headers["warning"], "299 - \"look out\"");
    let annotations = got.extensions.get::<AuditAnnotations>().unwrap();
    assert_eq!(annotations.0["deny.example.com/seen"], "yes");
    // Validating webhooks see what the server has set.
    let request = &hook.received()[1].body["request"];
    assert!(request["object"]["metadata"]["uid"].is_string());
    assert_eq!(request["userInfo"]["username"], "admin");
    assert_eq!((&request["name"], &request["namespace"]), (&json!("a"), &json!("default")));
}

#[tokio::test]
async fn mutations_get_defaults_and_come_in_order() {
    let (server, hook, client_config) = start(|review| {
        let object = &review["request"]["object"];
        let count = object["spec"]["volumes"].as_array().map_or(0, Vec::len);
        let volume = json!({"name": format!("v{count}"), "emptyDir": {}});
        let add = |path: &str, value: Value| json!({"op": "add", "path": path, "value": value});
        match object["metadata"]["annotations"].is_null() {
            true => patched(
                review,
                json!([
                    add("/metadata/annotations", json!({"first": "yes"})),
                    add("/spec/containers/-", json!({"name": "side", "image": "i"}))
                ]),
            ),
            false => patched(review, json!([add("/spec/volumes/-", volume)])),
        }
    })
    .await;
    let hook_of = |name: &str| {
        json!({"name": name, "clientConfig": client_config,
        "rules": rule(&["CREATE"], &["pods"])})
    };
    configure(&server, "MutatingWebhookConfiguration", "b", vec![hook_of("second.example.com")])
        .await;
    configure(&server, "MutatingWebhookConfiguration", "a", vec![hook_of("first.example.com")])
        .await;
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    server.ask("POST /api/v1/namespaces/default/serviceaccounts", account).await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"volumes": [], "containers": [{"name": "c", "image": "i"}]}});
    let pod = server.create("/api/v1/namespaces/default/pods", pod).await;
    assert_eq!(pod["metadata"]["annotations"]["first"], "yes");
    assert_eq!(pod["spec"]["containers"][1]["terminationMessagePath"], "/dev/termination-log");
    let received = hook.received();
    assert_eq!(received.len(), 2);
    // The second saw what the first did, with defaults.
    let second = &received[1].body["request"]["object"]["spec"]["containers"][1];
    assert_eq!(second["imagePullPolicy"], "Always");
}

#[tokio::test]
async fn reinvocation() {
    let (server, hook, client_config) = start(|review| {
        let object = &review["request"]["object"];
        match object["data"]["b"].is_null() && !object["data"]["seen"].is_null() {
            true => patched(review, json!([{"op": "add", "path": "/data/b", "value": "1"}])),
            false if object["data"]["seen"].is_null() => {
                patched(review, json!([{"op": "add", "path": "/data/seen", "value": "1"}]))
            }
            false => answer(review, json!({"allowed": true})),
        }
    })
    .await;
    let hook_of = |name: &str, policy: &str| {
        json!({"name": name, "clientConfig": client_config,
        "reinvocationPolicy": policy, "rules": rule(&["CREATE"], &["configmaps"])})
    };
    let hooks = vec![hook_of("a.example.com", "IfNeeded"), hook_of("b.example.com", "Never")];
    configure(&server, "MutatingWebhookConfiguration", "c", hooks).await;
    let made = server.create(CONFIG_MAPS, config_map("a", json!({"x": "1"}))).await;
    assert_eq!(made["data"], json!({"x": "1", "seen": "1", "b": "1"}));
    assert_eq!(hook.received().len(), 3, "the first is asked again, the second is not");
}

#[tokio::test]
async fn failures_follow_the_policy() {
    let (server, _hook, client_config) = start(|_| (0, String::new())).await;
    let hook_of = |policy: &str| {
        json!({"name": "slow.example.com", "clientConfig": client_config,
        "timeoutSeconds": 1, "failurePolicy": policy, "rules": rule(&["CREATE"], &["configmaps"])})
    };
    configure(&server, "ValidatingWebhookConfiguration", "slow", vec![hook_of("Fail")]).await;
    let got = server.ask(&format!("POST {CONFIG_MAPS}"), config_map("a", json!({}))).await;
    assert_eq!((got.code, &got.body["reason"]), (500, &json!("InternalError")));
    let url = client_config["url"].as_str().unwrap();
    let expect = format!(
        "Internal error occurred: failed calling webhook \"slow.example.com\": failed to call webhook: Post \"{url}?timeout=1s\": context deadline exceeded"
    );
    assert_eq!(message(&got), expect);
    server.ask(&format!("DELETE {GROUP}/validatingwebhookconfigurations/slow"), Value::Null).await;
    configure(&server, "MutatingWebhookConfiguration", "slow", vec![hook_of("Ignore")]).await;
    let got = server.ask(&format!("POST {CONFIG_MAPS}"), config_map("a", json!({}))).await;
    assert_eq!(got.code, 201);
    let annotations = got.extensions.get::<AuditAnnotations>().unwrap();
    let key = "failed-open.mutating.webhook.admission.k8s.io/round_0_index_0";
    assert_eq!(annotations.0[key], "slow.example.com");
}

#[tokio::test]
async fn deletes_updates_and_dry_runs() {
    let (server, hook, client_config) = start(|review| {
        let keep = review["request"]["oldObject"]["data"]["keep"] == "yes";
        let deletes = review["request"]["operation"] == "DELETE";
        answer(review, json!({"allowed": !(keep && deletes)}))
    })
    .await;
    let hooks = vec![json!({"name": "keep.example.com", "clientConfig": client_config,
        "rules": rule(&["UPDATE", "DELETE"], &["configmaps"])})];
    configure(&server, "ValidatingWebhookConfiguration", "keep", hooks).await;
    server.create(CONFIG_MAPS, config_map("a", json!({"keep": "yes"}))).await;
    server.create(CONFIG_MAPS, config_map("b", json!({}))).await;
    let got = server.ask(&format!("DELETE {CONFIG_MAPS}/a"), Value::Null).await;
    assert_eq!(
        message(&got),
        r#"admission webhook "keep.example.com" denied the request without explanation"#
    );
    let got = server.ask(&format!("DELETE {CONFIG_MAPS}"), Value::Null).await;
    assert_eq!(got.code, 400);
    let request = &hook.received()[0].body["request"];
    assert_eq!(
        (&request["object"], &request["options"]["kind"]),
        (&Value::Null, &json!("DeleteOptions"))
    );
    assert_eq!(request["oldObject"]["kind"], "ConfigMap");
    server.ask(&format!("DELETE {CONFIG_MAPS}/a?dryRun=All"), Value::Null).await;
    let request = &hook.received().pop().unwrap().body["request"];
    assert_eq!(request["dryRun"], true);
    assert_eq!(request["options"]["dryRun"], json!(["All"]));
    let changed = config_map("a", json!({"keep": "no"}));
    assert_eq!(server.ask(&format!("PUT {CONFIG_MAPS}/a"), changed).await.code, 200);
    let request = &hook.received().pop().unwrap().body["request"];
    assert_eq!(request["oldObject"]["data"]["keep"], "yes");
    assert_eq!(request["object"]["data"]["keep"], "no");
    assert_eq!(server.ask(&format!("DELETE {CONFIG_MAPS}/a"), Value::Null).await.code, 200);
}

#[tokio::test]
async fn configurations_are_out_of_reach() {
    let (server, hook, client_config) =
        start(|review| answer(review, json!({"allowed": false}))).await;
    let hooks = vec![json!({"name": "all.example.com", "clientConfig": client_config,
        "rules": rule(&["*"], &["*/*"])})];
    configure(&server, "ValidatingWebhookConfiguration", "all", hooks.clone()).await;
    configure(&server, "MutatingWebhookConfiguration", "all", hooks).await;
    assert_eq!(
        server.ask(&format!("POST {CONFIG_MAPS}"), config_map("a", json!({}))).await.code,
        400
    );
    let path = format!("DELETE {GROUP}/mutatingwebhookconfigurations/all");
    assert_eq!(server.ask(&path, Value::Null).await.code, 200);
    let path = format!("DELETE {GROUP}/validatingwebhookconfigurations/all");
    assert_eq!(server.ask(&path, Value::Null).await.code, 200);
    assert_eq!(hook.received().len(), 1);
    assert_eq!(
        server.ask(&format!("POST {CONFIG_MAPS}"), config_map("a", json!({}))).await.code,
        201
    );
}

#[tokio::test]
async fn nonsense_is_an_error() {
    let check = async |text: &'static str, expect: &str| {
        let (server, _hook, client_config) = start(move |review| {
            let uid = review["request"]["uid"].as_str().unwrap();
            (200, text.replace("UID", uid))
        })
        .await;
        let hooks = vec![json!({"name": "odd.example.com", "clientConfig": client_config,
            "rules": rule(&["CREATE"], &["configmaps"])})];
        configure(&server, "MutatingWebhookConfiguration", "odd", hooks).await;
        let got = server.ask(&format!("POST {CONFIG_MAPS}"), config_map("a", json!({}))).await;
        let start = "Internal error occurred: ";
        assert_eq!((got.code, message(&got)), (500, &*format!("{start}{expect}")));
    };
    let invalid =
        r#"failed calling webhook "odd.example.com": received invalid webhook response: "#;
    check("{}", &format!("{invalid}expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got , Kind=")).await;
    let review = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":"#;
    let absent = Box::leak(format!("{review}null}}").into_boxed_str());
    check(absent, &format!("{invalid}webhook response was absent")).await;
    // [{"op":"remove","path":"/no"}]
    let patch = r#"{"uid":"UID","allowed":true,"patchType":"JSONPatch","patch":"W3sib3AiOiJyZW1vdmUiLCJwYXRoIjoiL25vIn1d"}}"#;
    let patch = Box::leak(format!("{review}{patch}").into_boxed_str());
    check(patch, "the server rejected our request due to an error in our request").await;
}

#[tokio::test]
async fn subresources_and_connections() {
    let (server, hook, client_config) = start(|review| {
        let request = &review["request"];
        let denied = request["operation"] == "CONNECT";
        match request["subResource"] == "scale" {
            true => {
                patched(review, json!([{"op": "replace", "path": "/spec/replicas", "value": 3}]))
            }
            false => answer(review, json!({"allowed": !denied})),
        }
    })
    .await;
    let hooks = vec![json!({"name": "sub.example.com", "clientConfig": client_config,
        "rules": rule(&["UPDATE", "CONNECT"], &["*/*"])})];
    configure(&server, "MutatingWebhookConfiguration", "sub", hooks).await;
    let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "r"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let path = "/apis/apps/v1/namespaces/default/replicasets";
    server.create(path, set).await;
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {"name": "r", "namespace": "default"}, "spec": {"replicas": 2}});
    let got = server.ask(&format!("PUT {path}/r/scale"), scale).await;
    assert_eq!((got.code, &got.body["spec"]["replicas"]), (200, &json!(3)), "{}", got.body);
    let request = &hook.received()[0].body["request"];
    assert_eq!(request["kind"], json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}));
    assert_eq!(request["object"]["spec"]["replicas"], 2);
    assert_eq!(request["oldObject"]["spec"]["replicas"], 1);
    assert_eq!(request["resource"]["resource"], "replicasets");
    let set = server.ask(&format!("GET {path}/r"), Value::Null).await;
    assert_eq!(set.body["spec"]["replicas"], 3);
}

/// A custom kind `widgets` with the versions v1 and v2, converted by a webhook that moves `spec.old`
/// of v1 to `spec.new` of v2 and back.
fn definition(client_config: &Value) -> Value {
    let version = |name: &str, stored: bool| {
        json!({"name": name, "served": true, "storage": stored, "schema": {"openAPIV3Schema": {
            "type": "object", "properties": {"spec": {"type": "object",
                "x-kubernetes-preserve-unknown-fields": true}}}}})
    };
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"}, "spec": {"group": "example.com",
            "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [version("v1", true), version("v2", false)],
            "conversion": {"strategy": "Webhook", "webhook": {"clientConfig": client_config,
                "conversionReviewVersions": ["v1"]}}}})
}

fn converted(review: &Value) -> (u16, String) {
    let request = &review["request"];
    let convert = |object: &Value| {
        let mut object = object.clone();
        object["apiVersion"] = request["desiredAPIVersion"].clone();
        let (from, to) = match object["apiVersion"] == "example.com/v1" {
            true => ("new", "old"),
            false => ("old", "new"),
        };
        let value = object["spec"][from].take();
        object["spec"] = json!({to: value});
        object
    };
    let objects: Vec<Value> = request["objects"].as_array().unwrap().iter().map(convert).collect();
    let answer = json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1",
        "response": {"uid": request["uid"], "result": {"status": "Success"},
            "convertedObjects": objects}});
    (200, answer.to_string())
}

#[tokio::test]
async fn custom_resources_come_in_the_version_of_the_rule() {
    let (server, hook, client_config) = start(|review| match &review["kind"] {
        kind if kind == "ConversionReview" => converted(review),
        _ => patched(review, json!([{"op": "replace", "path": "/spec/new", "value": "changed"}])),
    })
    .await;
    server
        .create(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            definition(&client_config),
        )
        .await;
    let rules = json!([{"operations": ["CREATE"], "apiGroups": ["example.com"],
        "apiVersions": ["v2"], "resources": ["widgets"]}]);
    let hooks =
        vec![json!({"name": "w.example.com", "clientConfig": client_config, "rules": rules})];
    configure(&server, "MutatingWebhookConfiguration", "w", hooks).await;
    let path = "/apis/example.com/v1/namespaces/default/widgets";
    server.wait(&format!("{path}?limit=1"), |list| list["kind"] == "WidgetList").await;
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "w"}, "spec": {"old": "asked"}});
    let made = server.create(path, widget).await;
    assert_eq!(made["apiVersion"], "example.com/v1");
    assert_eq!(made["spec"], json!({"old": "changed"}));
    let received = hook.received();
    let review = received.iter().find(|r| r.body["kind"] == "AdmissionReview").unwrap();
    let request = &review.body["request"];
    assert_eq!(request["kind"]["version"], "v2");
    assert_eq!(request["requestKind"]["version"], "v1");
    assert_eq!(request["object"]["spec"], json!({"new": "asked"}));
    let services =
        server.ask("GET /apis/apiregistration.k8s.io/v1/apiservices/v2.example.com", Value::Null);
    assert_eq!(services.await.body["status"]["conditions"][0]["reason"], "Local");
}

#[tokio::test]
async fn the_end_of_a_definition_is_not_stopped() {
    let (server, _hook, client_config) = start(|review| match &review["kind"] {
        kind if kind == "ConversionReview" => converted(review),
        _ => answer(review, json!({"allowed": false})),
    })
    .await;
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    server.create(definitions, definition(&client_config)).await;
    let path = "/apis/example.com/v1/namespaces/default/widgets";
    server.wait(&format!("{path}?limit=1"), |list| list["kind"] == "WidgetList").await;
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "w"}, "spec": {"old": "asked"}});
    server.create(path, widget).await;
    let hooks = vec![json!({"name": "w.example.com", "clientConfig": client_config,
        "rules": rule(&["DELETE"], &["widgets"])})];
    configure(&server, "ValidatingWebhookConfiguration", "w", hooks).await;
    let refused = server.ask(&format!("DELETE {path}"), Value::Null).await;
    assert_eq!(refused.code, 400);
    server.ask(&format!("DELETE {definitions}/widgets.example.com"), Value::Null).await;
    let gone = format!("{definitions}/widgets.example.com");
    server.wait(&gone, |answer| answer["code"] == 404).await;
}

//! Admission policies, as a client meets them.

use serde_json::{Value, json};

use crate::server::{Answer, Server, pod};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

fn constraints(operations: &[&str], group: &str, resources: &[&str]) -> Value {
    json!({"resourceRules": [{"apiGroups": [group], "apiVersions": ["v1"],
        "operations": operations, "resources": resources}]})
}

async fn store(server: &Server, path: &str, object: Value) {
    let answer = server.ask(&format!("POST {path}"), object).await;
    assert_eq!(answer.code, 201, "{}", answer.body);
}

fn merge(into: &mut Value, from: Value) {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
}

/// A policy named `p` for pods with its binding `b`; `policy` and `binding` go into their specs.
async fn policy(server: &Server, policy: Value, binding: Value) {
    let mut spec = json!({"matchConstraints": constraints(&["*"], "", &["pods"])});
    merge(&mut spec, policy);
    let object = json!({"metadata": {"name": "p"}, "spec": spec});
    store(server, &format!("{GROUP}/validatingadmissionpolicies"), object).await;
    let mut spec = json!({"policyName": "p", "validationActions": ["Deny"]});
    merge(&mut spec, binding);
    let object = json!({"metadata": {"name": "b"}, "spec": spec});
    store(server, &format!("{GROUP}/validatingadmissionpolicybindings"), object).await;
}

async fn create(server: &Server, name: &str) -> Answer {
    let labels = json!({"metadata": {"labels": {"app": name}}});
    server.ask("POST /api/v1/namespaces/default/pods", pod(name, labels)).await
}

fn refused(answer: &Answer, code: u16, reason: &str, message: &str) {
    assert_eq!(answer.body["message"], message, "{}", answer.body);
    assert_eq!((answer.code, answer.body["reason"].as_str()), (code, Some(reason)));
}

/// One validation: what the answer to the pod `web` says after its usual beginning; "" if it is stored.
async fn check(spec: Value, binding: Value, code: u16, reason: &str, message: &str) {
    let server = Server::start().await;
    policy(&server, spec, binding).await;
    let answer = create(&server, "web").await;
    if message.is_empty() {
        assert_eq!(answer.code, 201, "{}", answer.body);
        return;
    }
    let begin = "pods \"web\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: ";
    refused(&answer, code, reason, &format!("{begin}{message}"));
}

fn validation(expression: &str) -> Value {
    json!({"validations": [{"expression": expression}]})
}

#[tokio::test]
async fn validations_refuse() {
    let none = || json!({});
    let expression = "object.metadata.name != 'web'";
    let text = format!("failed expression: {expression}");
    check(validation(expression), none(), 422, "Invalid", &text).await;
    check(validation("object.metadata.name == 'web'"), none(), 201, "", "").await;
    let with = |more: Value| {
        let mut one = json!({"expression": "false"});
        merge(&mut one, more);
        json!({"validations": [one]})
    };
    check(with(json!({"message": "no"})), none(), 422, "Invalid", "no").await;
    check(with(json!({"reason": "Forbidden", "message": "no"})), none(), 403, "Forbidden", "no")
        .await;
    let computed = json!({"message": "no", "messageExpression": "'not ' + object.metadata.name"});
    check(with(computed), none(), 422, "Invalid", "not web").await;
    let failing = json!({"message": "no", "messageExpression": "string(object.nothing)"});
    check(with(failing), none(), 422, "Invalid", "no").await;
}

#[tokio::test]
async fn requests_are_seen() {
    for expression in [
        "request.operation == 'CREATE' && request.userInfo.username == 'admin'",
        "request.kind.kind == 'Pod' && request.resource.resource == 'pods' && !request.dryRun",
        "oldObject == null && namespaceObject.metadata.name == 'default'",
        "authorizer.group('').resource('pods').namespace('default').check('create').allowed()",
        "authorizer.requestResource.check('delete').allowed()",
        "!authorizer.serviceAccount('default', 'default').group('').resource('pods').check('delete').allowed()",
        "request.name == 'web' && request.namespace == 'default'",
    ] {
        check(validation(expression), json!({}), 201, "", "").await;
    }
}

#[tokio::test]
async fn errors_follow_the_failure_policy() {
    let failing = |policy: &str| {
        let mut spec = validation("object.spec.nothing == 1");
        merge(&mut spec, json!({"failurePolicy": policy}));
        spec
    };
    let text = "expression 'object.spec.nothing == 1' resulted in error: no such key: nothing";
    check(failing("Fail"), json!({}), 422, "Invalid", text).await;
    check(failing("Ignore"), json!({}), 201, "", "").await;
}

#[tokio::test]
async fn variables_and_conditions() {
    let spec = |condition: &str, expression: &str| {
        json!({
            "matchConditions": [{"name": "c", "expression": condition}],
            "variables": [
                {"name": "names", "expression": "object.spec.containers.map(c, c.name)"},
                {"name": "count", "expression": "variables.names.size()"},
            ],
            "validations": [{"expression": expression}],
        })
    };
    check(spec("true", "variables.count == 1"), json!({}), 201, "", "").await;
    let text = "failed expression: variables.count > 1";
    check(spec("true", "variables.count > 1"), json!({}), 422, "Invalid", text).await;
    check(spec("object.metadata.name != 'web'", "false"), json!({}), 201, "", "").await;
    let text = "expression 'object.nothing' resulted in error: no such key: nothing";
    let unknown = spec("dyn(object.nothing) == 1", "true");
    let text = text.replace("'object.nothing'", "'dyn(object.nothing) == 1'");
    check(unknown, json!({}), 422, "Invalid", &text).await;
}

#[tokio::test]
async fn bindings_choose() {
    let everything = || validation("false");
    let only =
        |labels: Value| json!({"matchResources": {"objectSelector": {"matchLabels": labels}}});
    check(everything(), only(json!({"app": "other"})), 201, "", "").await;
    let text = "failed expression: false";
    check(everything(), only(json!({"app": "web"})), 422, "Invalid", text).await;
    let excluded = json!({"matchResources": {"excludeResourceRules": [{"apiGroups": [""],
        "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "resourceNames": ["web"]}]}});
    check(everything(), excluded, 201, "", "").await;
    let server = Server::start().await;
    policy(&server, everything(), json!({"validationActions": ["Warn", "Audit"]})).await;
    let answer = create(&server, "web").await;
    assert_eq!(answer.code, 201);
    let text = "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': failed expression: false";
    assert!(answer.warnings.iter().any(|warning| warning.contains(text)), "{:?}", answer.warnings);
}

#[tokio::test]
async fn parameters() {
    let spec = |expression: &str| {
        let mut spec = validation(expression);
        merge(&mut spec, json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}));
        spec
    };
    let by = |name: &str, action: &str| json!({"paramRef": {"name": name, "namespace": "default", "parameterNotFoundAction": action}});
    let server = Server::start().await;
    let path = "/api/v1/namespaces/default/configmaps";
    let map = |name: &str, most: &str| json!({"metadata": {"name": name, "labels": {"set": "a"}}, "data": {"prefix": most}});
    store(&server, path, map("limits", "web")).await;
    let expression = "object.metadata.name.startsWith(params.data.prefix)";
    policy(&server, spec(expression), by("limits", "Deny")).await;
    assert_eq!(create(&server, "web").await.code, 201);
    assert_eq!(create(&server, "api").await.code, 422);
    // What a binding refers to may change at any time.
    let other = json!({"metadata": {"name": "limits"}, "data": {"prefix": "api"}});
    assert_eq!(server.ask(&format!("PUT {path}/limits"), other).await.code, 200);
    assert_eq!(create(&server, "api").await.code, 201);
    assert_eq!(server.ask(&format!("DELETE {path}/limits"), Value::Null).await.code, 200);
    let answer = create(&server, "api2").await;
    refused(
        &answer,
        422,
        "Invalid",
        "pods \"api2\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction",
    );
    check(spec("params.data.a == 'b'"), by("gone", "Allow"), 201, "", "").await;
    check(spec("params == null"), json!({}), 201, "", "").await;
}

#[tokio::test]
async fn deletes_and_updates() {
    let server = Server::start().await;
    let expression =
        "request.operation != 'DELETE' || object == null && oldObject.metadata.name != 'web'";
    policy(&server, validation(expression), json!({})).await;
    assert_eq!(create(&server, "web").await.code, 201);
    let answer = server.ask("DELETE /api/v1/namespaces/default/pods/web", Value::Null).await;
    assert_eq!(answer.code, 422, "{}", answer.body);
    let path = format!("{GROUP}/validatingadmissionpolicies/p");
    assert_eq!(server.ask(&format!("DELETE {path}"), Value::Null).await.code, 200);
    let answer = server.ask("DELETE /api/v1/namespaces/default/pods/web", Value::Null).await;
    assert_eq!(answer.code, 200, "{}", answer.body);
}

/// A mutating policy with one change for config maps, and its binding.
async fn mutating(server: &Server, name: &str, mutation: Value, reinvocation: &str) {
    let spec = json!({
        "matchConstraints": constraints(&["CREATE", "UPDATE"], "", &["configmaps", "pods"]),
        "failurePolicy": "Fail", "reinvocationPolicy": reinvocation, "mutations": [mutation],
    });
    let object = json!({"metadata": {"name": name}, "spec": spec});
    store(server, &format!("{GROUP}/mutatingadmissionpolicies"), object).await;
    let object = json!({"metadata": {"name": name}, "spec": {"policyName": name}});
    store(server, &format!("{GROUP}/mutatingadmissionpolicybindings"), object).await;
}

fn apply(expression: &str) -> Value {
    json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}})
}

fn patch(expression: &str) -> Value {
    json!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}})
}

async fn map(server: &Server) -> Answer {
    let object = json!({"metadata": {"name": "m", "labels": {"own": "1"}}, "data": {"a": "b"}});
    server.ask("POST /api/v1/namespaces/default/configmaps", object).await
}

#[tokio::test]
async fn mutations_change_objects() {
    let server = Server::start().await;
    let label = "Object{metadata: Object.metadata{labels: {'by': object.data.a}}}";
    mutating(&server, "one", apply(label), "Never").await;
    let add = "[JSONPatch{op: 'add', path: '/data/' + jsonpatch.escapeKey('x/y').replace('~1', '-'), value: string(object.data.size())}]";
    mutating(&server, "two", patch(add), "Never").await;
    let answer = map(&server).await;
    assert_eq!(answer.code, 201, "{}", answer.body);
    assert_eq!(answer.body["metadata"]["labels"], json!({"own": "1", "by": "b"}));
    assert_eq!(answer.body["data"], json!({"a": "b", "x-y": "1"}));
}

#[tokio::test]
async fn lists_are_merged_by_their_keys() {
    let server = Server::start().await;
    let sidecar = "has(object.spec) ? Object{spec: Object.spec{containers: [Object.spec.containers{name: 'side', image: 's'}]}} : Object{}";
    mutating(&server, "side", apply(sidecar), "Never").await;
    let answer = create(&server, "web").await;
    assert_eq!(answer.code, 201, "{}", answer.body);
    let names: Vec<&str> = answer.body["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|container| container["name"].as_str())
        .collect();
    assert_eq!(names, ["c", "side"]);
    // Defaults were filled in for what was added.
    assert_eq!(answer.body["spec"]["containers"][1]["imagePullPolicy"], "Always");
}

#[tokio::test]
async fn policies_run_again_when_others_change_the_object() {
    let server = Server::start().await;
    let count = "[JSONPatch{op: 'add', path: '/data/count', value: string(object.data.size())}]";
    mutating(&server, "a-count", patch(count), "IfNeeded").await;
    let add = "'z' in object.data ? [JSONPatch{op: 'test', path: '/data/a', value: 'never'}] : [JSONPatch{op: 'add', path: '/data/z', value: 'z'}]";
    mutating(&server, "b-add", patch(add), "Never").await;
    let answer = map(&server).await;
    assert_eq!(answer.code, 201, "{}", answer.body);
    assert_eq!(answer.body["data"], json!({"a": "b", "count": "3", "z": "z"}));
}

#[tokio::test]
async fn mutations_that_fail() {
    let check = async |mutation: Value, expect: &str| {
        let server = Server::start().await;
        mutating(&server, "p", mutation, "Never").await;
        let answer = map(&server).await;
        let message = answer.body["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer.code, 403, "{}", answer.body);
        assert!(message.starts_with("policy 'p' with binding 'p' denied request: "), "{message}");
        assert!(message.contains(expect), "{message}");
    };
    check(apply("Object{metadata: Object.spec{}}"), "type mismatch: unexpected type name").await;
    let remove = "[JSONPatch{op: 'remove', path: '/data/gone'}]";
    check(patch(remove), "JSON Patch: ").await;
}

#[tokio::test]
async fn what_cannot_be_compiled_is_not_stored() {
    let server = Server::start().await;
    let check = async |path: &str, object: Value, expect: &str| {
        let answer = server.ask(&format!("POST {GROUP}/{path}"), object).await;
        assert_eq!(answer.code, 422, "{}", answer.body);
        let message = answer.body["message"].as_str().unwrap_or_default();
        assert!(message.contains(expect), "{message}");
    };
    let mutating = |mutation: Value| {
        json!({"metadata": {"name": "p"}, "spec": {
            "matchConstraints": constraints(&["CREATE"], "", &["pods"]),
            "reinvocationPolicy": "Never", "mutations": [mutation]}})
    };
    let path = "mutatingadmissionpolicies";
    check(path, mutating(apply("object")), "must evaluate to Object but got dyn").await;
    check(path, mutating(patch("object.a")), "must evaluate to list(JSONPatch)").await;
    let mut spec = validation("object.");
    spec["matchConstraints"] = constraints(&["*"], "", &["pods"]);
    let policy = json!({"metadata": {"name": "p"}, "spec": spec});
    check("validatingadmissionpolicies", policy, "spec.validations[0].expression").await;
    let hook = json!({"metadata": {"name": "h"}, "webhooks": [{
        "name": "a.b.c", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://localhost/"},
        "matchConditions": [{"name": "a", "expression": "... [] bad expression"}]}]});
    let text = "webhooks[0].matchConditions[0].expression: Invalid value: ";
    check("validatingwebhookconfigurations", hook.clone(), text).await;
    check("mutatingwebhookconfigurations", hook, "compilation failed: ERROR: <input>:1:2").await;
}

#[tokio::test]
async fn the_status_tells_what_is_confused() {
    let server = Server::start().await;
    let object = |expression: &str| {
        json!({"metadata": {"name": "p"}, "spec": {"validations": [{"expression": expression}],
            "matchConstraints": constraints(&["*"], "", &["pods"])}})
    };
    let path = format!("{GROUP}/validatingadmissionpolicies");
    store(&server, &path, object("object.spec.priority > '1'")).await;
    let settled = async |generation: i64| loop {
        let policy = server.get(&format!("{path}/p")).await.body;
        if policy["status"]["observedGeneration"] == generation {
            break policy;
        }
        tokio::task::yield_now().await;
    };
    let policy = settled(1).await;
    let warning = &policy["status"]["typeChecking"]["expressionWarnings"][0];
    assert_eq!(warning["fieldRef"], "spec.validations[0].expression");
    let text = warning["warning"].as_str().unwrap();
    assert!(text.starts_with("/v1, Kind=Pod: ERROR: <input>:1:22: found no matching"), "{text}");
    let changed = server.ask(&format!("PUT {path}/p"), object("object.spec.priority > 1")).await;
    assert_eq!(changed.body["status"], policy["status"], "until it is checked again");
    assert_eq!(settled(2).await["status"]["typeChecking"], json!({}));
}

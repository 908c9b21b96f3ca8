//! Custom resources: from a definition to objects, and back to nothing.

use serde_json::{Value, json};

use crate::server::{Answer, Server};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// Turns that the background work gets.
const TURNS_MAX: usize = 1000;
const TABS: &str = "/apis/stable.example.com/v1/namespaces/default/crontabs";

/// `crontabs.stable.example.com`, with more of its spec.
fn definition(versions: Value) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "crontabs.stable.example.com"},
        "spec": {"group": "stable.example.com", "scope": "Namespaced",
            "names": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "shortNames": ["ct"],
                "categories": ["all"]},
            "versions": versions}})
}

fn version(name: &str, schema: Value, more: Value) -> Value {
    let mut version = json!({"name": name, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    for (key, value) in more.as_object().into_iter().flatten() {
        version[key] = value.clone();
    }
    version
}

fn schema() -> Value {
    json!({"type": "object", "properties": {
        "spec": {"type": "object", "required": ["cron"], "properties": {
            "cron": {"type": "string", "pattern": "^[0-9* /,-]+$"},
            "image": {"type": "string", "default": "busybox"},
            "replicas": {"type": "integer", "minimum": 0, "maximum": 10},
            "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string"}, "port": {"x-kubernetes-int-or-string": true}}}}}},
        "status": {"type": "object", "properties": {
            "replicas": {"type": "integer"}, "selector": {"type": "string"},
            "phase": {"type": "string", "enum": ["Good", "Bad"]}}}}})
}

fn everything() -> Value {
    json!([version(
        "v1",
        schema(),
        json!({
        "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}},
        "selectableFields": [{"jsonPath": ".spec.cron"}],
        "additionalPrinterColumns": [{"name": "Cron", "type": "string", "jsonPath": ".spec.cron"}]})
    )])
}

fn tab(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": name}, "spec": spec})
}

impl Server {
    /// Stores a definition and waits until its kinds are served.
    async fn define(&self, definition: Value) -> Value {
        let made = self.ask(&format!("POST {DEFINITIONS}"), definition).await;
        assert_eq!(made.code, 201, "{}", made.body);
        let name = made.body["metadata"]["name"].as_str().unwrap().to_owned();
        self.until(&name, |found| condition(found, "Established") == "True").await
    }

    /// Lets the server's background work run until a definition is as it should be.
    async fn until(&self, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.reads(&format!("{DEFINITIONS}/{name}"), |answer| holds(&answer.body)).await.body
    }

    /// Likewise, until a path answers as it should.
    async fn reads(&self, path: &str, holds: impl Fn(&Answer) -> bool) -> Answer {
        for _ in 0..TURNS_MAX {
            let answer = self.get(path).await;
            if holds(&answer) {
                return answer;
            }
            tokio::task::yield_now().await;
        }
        panic!("{path} answers {}", self.get(path).await.body);
    }

    async fn tab(&self, name: &str, spec: Value) -> Value {
        let made = self.ask(&format!("POST {TABS}"), tab(name, spec)).await;
        assert_eq!(made.code, 201, "{}", made.body);
        made.body
    }
}

fn condition(definition: &Value, name: &str) -> String {
    let conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    let mut found = conditions.filter(|c| c["type"] == name);
    found.next().map_or("", |c| c["status"].as_str().unwrap_or("")).to_owned()
}

#[track_caller]
fn refused(answer: Answer, code: u16, message: &str) {
    assert_eq!((answer.code, answer.body["message"].as_str().unwrap_or("")), (code, message));
}

#[tokio::test]
async fn definitions_are_established_and_served() {
    let server = Server::start().await;
    let made = server.define(definition(everything())).await;
    assert_eq!(made["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(made["status"]["acceptedNames"]["listKind"], "CronTabList");
    assert_eq!(condition(&made, "NamesAccepted"), "True");
    let list = server.get("/apis/stable.example.com/v1").await.body;
    let row = &list["resources"][0];
    assert_eq!((&row["name"], &row["shortNames"]), (&json!("crontabs"), &json!(["ct"])));
    assert_eq!(row["verbs"][0], "delete");
    let names: Vec<&str> =
        list["resources"].as_array().unwrap().iter().filter_map(|r| r["name"].as_str()).collect();
    assert_eq!(names, ["crontabs", "crontabs/scale", "crontabs/status"]);
    let groups = server.get("/apis").await.body;
    assert!(groups.to_string().contains("stable.example.com/v1"));
    let v3 = server.get("/openapi/v3/apis/stable.example.com/v1").await.body;
    let of = &v3["components"]["schemas"]["com.example.stable.v1.CronTab"];
    assert_eq!(of["properties"]["spec"]["required"], json!(["cron"]));
    assert_eq!(of["x-kubernetes-group-version-kind"][0]["kind"], "CronTab");
    assert!(
        v3["paths"].get("/apis/stable.example.com/v1/namespaces/{namespace}/crontabs").is_some()
    );
    let v2 = server.get("/openapi/v2").await.body;
    let of = &v2["definitions"]["com.example.stable.v1.CronTab"];
    assert_eq!(
        of["properties"]["metadata"]["$ref"],
        "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    );
    assert!(v2["definitions"].get("com.example.stable.v1.CronTabList").is_some());
}

#[tokio::test]
async fn objects_are_shaped() {
    let server = Server::start().await;
    server.define(definition(everything())).await;
    let made = server.tab("a", json!({"cron": "* *", "odd": 1})).await;
    assert_eq!(made["spec"], json!({"cron": "* *", "image": "busybox"}));
    assert_eq!(made["metadata"]["generation"], 1);
    let list = server.get(TABS).await.body;
    assert_eq!(
        (&list["kind"], &list["items"][0]["spec"]["image"]),
        (&json!("CronTabList"), &json!("busybox"))
    );
    let item = &list["items"][0];
    assert_eq!((&item["kind"], &item["apiVersion"]), (&made["kind"], &made["apiVersion"]));
    let told = server.ask(&format!("POST {TABS}"), tab("b", json!({"cron": "*", "odd": 1}))).await;
    assert_eq!(told.warnings, ["299 - \"unknown field \\\"spec.odd\\\"\""]);
    let strict = format!("POST {TABS}?fieldValidation=Strict");
    refused(
        server.ask(&strict, tab("c", json!({"cron": "*", "odd": 1}))).await,
        400,
        "CronTab in version \"v1\" cannot be handled as a CronTab: strict decoding error: unknown field \"spec.odd\"",
    );
    let mut table = Value::Null;
    let headers = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    for item in server.ask_with(&format!("GET {TABS}"), &headers, Value::Null).await.body["rows"]
        .as_array()
        .unwrap()
    {
        table = item["cells"].clone();
    }
    assert_eq!(table, json!(["b", "*"]));
    let selected = server.get(&format!("{TABS}?fieldSelector=spec.cron%3D*")).await.body;
    assert_eq!(selected["items"].as_array().unwrap().len(), 1);
    refused(
        server.get(&format!("{TABS}?fieldSelector=spec.image%3Dx")).await,
        400,
        "field label not supported: spec.image",
    );
}

#[tokio::test]
async fn objects_are_validated() {
    let server = Server::start().await;
    server.define(definition(everything())).await;
    let check = async |spec: Value, why: &str| {
        let message = format!("CronTab.stable.example.com \"a\" is invalid: {why}");
        refused(server.ask(&format!("POST {TABS}"), tab("a", spec)).await, 422, &message);
    };
    check(json!({}), "spec.cron: Required value").await;
    check(
        json!({"cron": "x"}),
        "spec.cron: Invalid value: \"x\": spec.cron in body should match '^[0-9* /,-]+$'",
    )
    .await;
    check(
        json!({"cron": "*", "image": 1}),
        "spec.image: Invalid value: \"integer\": spec.image in body must be of type string: \"integer\"",
    )
    .await;
    check(
        json!({"cron": "*", "replicas": "many"}),
        "[spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\", .spec.replicas: Invalid value: 0: .spec.replicas accessor error: many is of the type string, expected int64]",
    )
    .await;
    check(
        json!({"cron": "*", "ports": [{"name": "a"}, {"name": "a"}]}),
        "spec.ports[1]: Duplicate value: {\"name\":\"a\"}",
    )
    .await;
    let mut other = tab("a", json!({"cron": "*"}));
    other["apiVersion"] = json!("stable.example.com/v2");
    refused(
        server.ask(&format!("POST {TABS}"), other).await,
        400,
        "the API version in the data (stable.example.com/v2) does not match the expected API version (stable.example.com/v1)",
    );
}

#[tokio::test]
async fn updates_patches_and_subresources() {
    let server = Server::start().await;
    server.define(definition(everything())).await;
    let mut made = server.tab("a", json!({"cron": "*", "replicas": 2})).await;
    made["spec"]["cron"] = json!("1");
    made["status"] = json!({"phase": "Good"});
    let changed = server.ask(&format!("PUT {TABS}/a"), made).await.body;
    assert_eq!((&changed["metadata"]["generation"], changed.get("status")), (&json!(2), None));
    let merge = [("content-type", "application/merge-patch+json")];
    let patch = json!({"spec": {"image": null, "replicas": 3}});
    let patched = server.ask_with(&format!("PATCH {TABS}/a"), &merge, patch).await.body;
    assert_eq!(patched["spec"], json!({"cron": "1", "image": "busybox", "replicas": 3}));
    let strategic = [("content-type", "application/strategic-merge-patch+json")];
    assert_eq!(server.ask_with(&format!("PATCH {TABS}/a"), &strategic, json!({})).await.code, 415);
    let status = json!({"spec": {"cron": "9"}, "status": {"phase": "Good", "replicas": 1, "selector": "a=b"}});
    let status = server.ask_with(&format!("PATCH {TABS}/a/status"), &merge, status).await.body;
    assert_eq!(
        (&status["spec"]["cron"], &status["status"]["phase"]),
        (&json!("1"), &json!("Good"))
    );
    assert_eq!(status["metadata"]["generation"], 3);
    let wrong = server
        .ask_with(&format!("PATCH {TABS}/a/status"), &merge, json!({"status": {"phase": "Odd"}}))
        .await;
    refused(
        wrong,
        422,
        "CronTab.stable.example.com \"a\" is invalid: status.phase: Unsupported value: \"Odd\": supported values: \"Good\", \"Bad\"",
    );
    let scale = server.get(&format!("{TABS}/a/scale")).await.body;
    assert_eq!(
        (&scale["spec"]["replicas"], &scale["status"]),
        (&json!(3), &json!({"replicas": 1, "selector": "a=b"}))
    );
    let scaled = server
        .ask_with(&format!("PATCH {TABS}/a/scale"), &merge, json!({"spec": {"replicas": 5}}))
        .await;
    assert_eq!(
        (scaled.code, &scaled.body["spec"]["replicas"]),
        (200, &json!(5)),
        "{}",
        scaled.body
    );
    let mut free = tab("a", json!({"cron": "2"}));
    free["metadata"]["resourceVersion"] = json!("");
    assert_eq!(server.ask(&format!("PUT {TABS}/a"), free).await.code, 422);
}

#[tokio::test]
async fn lists_are_applied_by_key() {
    let server = Server::start().await;
    server.define(definition(everything())).await;
    let apply = async |manager: &str, ports: Value| {
        let headers = [("content-type", "application/apply-patch+yaml")];
        let path = format!("PATCH {TABS}/a?fieldManager={manager}");
        let answer =
            server.ask_with(&path, &headers, tab("a", json!({"cron": "*", "ports": ports}))).await;
        assert!(answer.code < 300, "{}", answer.body);
        answer.body["spec"]["ports"].clone()
    };
    apply("one", json!([{"name": "a", "port": 1}])).await;
    let both = apply("two", json!([{"name": "b", "port": "x"}])).await;
    assert_eq!(both, json!([{"name": "a", "port": 1}, {"name": "b", "port": "x"}]));
    assert_eq!(apply("one", json!([])).await, json!([{"name": "b", "port": "x"}]));
}

#[tokio::test]
async fn versions_without_conversion() {
    let server = Server::start().await;
    let old = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "cron": {"type": "string"}, "zone": {"type": "string", "default": "UTC"}}}}});
    let mut beta = version("v1beta1", old, json!({"deprecated": true}));
    beta["storage"] = json!(false);
    let mut versions = everything();
    versions.as_array_mut().unwrap().push(beta);
    server.define(definition(versions)).await;
    server.tab("a", json!({"cron": "*"})).await;
    let beta = server.get("/apis/stable.example.com/v1beta1/namespaces/default/crontabs/a").await;
    assert_eq!(beta.body["apiVersion"], "stable.example.com/v1beta1");
    assert_eq!(beta.body["spec"], json!({"cron": "*", "zone": "UTC"}));
    let told = "299 - \"stable.example.com/v1beta1 CronTab is deprecated; use stable.example.com/v1 CronTab\"";
    assert_eq!(beta.warnings, [told]);
    let list = server.get("/apis/stable.example.com/v1beta1/crontabs").await.body;
    assert_eq!(list["items"][0]["spec"]["zone"], "UTC");
    assert_eq!(list["items"][0]["apiVersion"], "stable.example.com/v1beta1");
}

#[tokio::test]
async fn stored_objects_are_read_by_the_schema_of_now() {
    let server = Server::start().await;
    server.define(definition(everything())).await;
    server.tab("a", json!({"cron": "*"})).await;
    let merge = [("content-type", "application/merge-patch+json")];
    let mut grown = schema();
    grown["properties"]["spec"]["properties"]["zone"] = json!({"type": "string", "default": "UTC"});
    grown["properties"]["spec"]["properties"].as_object_mut().unwrap().remove("image");
    let patch = json!({"spec": {"versions": [version("v1", grown, json!({}))]}});
    let name = "crontabs.stable.example.com";
    let patched = server.ask_with(&format!("PATCH {DEFINITIONS}/{name}"), &merge, patch).await;
    assert_eq!(patched.code, 200, "{}", patched.body);
    let now = json!({"cron": "*", "zone": "UTC"});
    server.reads(&format!("{TABS}/a"), |answer| answer.body["spec"] == now).await;
}

#[tokio::test]
async fn names_are_taken_once() {
    let server = Server::start().await;
    server.define(definition(everything())).await;
    let mut other = definition(json!([version("v1", json!({"type": "object"}), json!({}))]));
    other["metadata"]["name"] = json!("others.stable.example.com");
    other["spec"]["names"] = json!({"plural": "others", "kind": "Other", "shortNames": ["ct"]});
    assert_eq!(server.ask(&format!("POST {DEFINITIONS}"), other).await.code, 201);
    let waiting = server
        .until("others.stable.example.com", |d| condition(d, "NamesAccepted") == "False")
        .await;
    assert_eq!(condition(&waiting, "Established"), "False");
    assert_eq!(waiting["status"]["conditions"][0]["message"], "\"ct\" is already in use");
    assert_eq!(server.get("/apis/stable.example.com/v1/others").await.code, 404);
    server.ask(&format!("DELETE {DEFINITIONS}/crontabs.stable.example.com"), Value::Null).await;
    server.until("others.stable.example.com", |d| condition(d, "Established") == "True").await;
}

#[tokio::test]
async fn a_deleted_definition_takes_its_objects_along() {
    let server = Server::start().await;
    server.define(definition(everything())).await;
    server.tab("a", json!({"cron": "*"})).await;
    let mut held = tab("b", json!({"cron": "*"}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    assert_eq!(server.ask(&format!("POST {TABS}"), held).await.code, 201);
    let name = "crontabs.stable.example.com";
    let deleted = server.ask(&format!("DELETE {DEFINITIONS}/{name}"), Value::Null).await.body;
    assert_eq!(
        deleted["metadata"]["finalizers"],
        json!(["customresourcecleanup.apiextensions.k8s.io"])
    );
    assert_eq!(condition(&deleted, "Terminating"), "True");
    let in_progress =
        |d: &Value| d["status"]["conditions"].to_string().contains("InstanceDeletionInProgress");
    server.until(name, in_progress).await;
    server.reads(&format!("{TABS}/a"), |answer| answer.code == 404).await;
    refused(
        server.ask(&format!("POST {TABS}"), tab("c", json!({"cron": "*"}))).await,
        403,
        "crontabs.stable.example.com \"c\" is forbidden: create not allowed while custom resource definition is terminating",
    );
    let merge = [("content-type", "application/merge-patch+json")];
    let release = json!({"metadata": {"finalizers": null}});
    assert_eq!(server.ask_with(&format!("PATCH {TABS}/b"), &merge, release).await.code, 200);
    server.reads(&format!("{DEFINITIONS}/{name}"), |answer| answer.code == 404).await;
    server.reads("/apis/stable.example.com", |answer| answer.code == 404).await;
}

#[tokio::test]
async fn definitions_are_validated() {
    let server = Server::start().await;
    let bad = definition(json!([version(
        "v1",
        json!({"type": "object", "properties": {"spec": {}}}),
        json!({})
    )]));
    refused(
        server.ask(&format!("POST {DEFINITIONS}"), bad).await,
        422,
        "CustomResourceDefinition.apiextensions.k8s.io \"crontabs.stable.example.com\" is invalid: spec.validation.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields",
    );
    let odd =
        json!({"type": "object", "properties": {"spec": {"type": "string", "format": "odd"}}});
    let told = server
        .ask(&format!("POST {DEFINITIONS}"), definition(json!([version("v1", odd, json!({}))])))
        .await;
    assert_eq!(
        (told.code, told.warnings),
        (201, vec!["299 - \"unrecognized format \\\"odd\\\"\"".to_owned()])
    );
}

fn with_rules(rules: Value, more: Value) -> Value {
    let mut schema = schema();
    schema["properties"]["spec"]["x-kubernetes-validations"] = rules;
    for (name, field) in more.as_object().into_iter().flatten() {
        schema["properties"]["spec"]["properties"][name] = field.clone();
    }
    json!([version("v1", schema, json!({}))])
}

#[tokio::test]
async fn rules_are_checked() {
    let server = Server::start().await;
    let rules = json!([
        {"rule": "!has(self.replicas) || self.replicas <= 5", "message": "too many"},
        {"rule": "self.image != 'bad'", "messageExpression": "'no ' + self.image", "fieldPath": ".image",
            "reason": "FieldValueForbidden"},
        {"rule": "self.image == oldSelf.image || self.image == 'next'"},
        {"rule": "!oldSelf.hasValue() || oldSelf.value().cron == self.cron || self.cron != '0'",
            "optionalOldSelf": true, "message": "no way back"}]);
    let more = json!({"level": {"type": "integer",
        "x-kubernetes-validations": [{"rule": "self % 2 == 0", "message": "must be even"}]}});
    server.define(definition(with_rules(rules, more))).await;
    let said = |why: &str| format!("CronTab.stable.example.com \"a\" is invalid: {why}");
    let check = async |spec: Value, why: &str| {
        let answer = server.ask(&format!("POST {TABS}"), tab("a", spec)).await;
        refused(answer, 422, &said(why));
    };
    check(json!({"cron": "*", "replicas": 6}), "spec: Invalid value: too many").await;
    check(json!({"cron": "*", "image": "bad"}), "spec.image: Forbidden: no bad").await;
    check(json!({"cron": "*", "level": 3}), "spec.level: Invalid value: 3: must be even").await;
    let unchecked = "<nil>: Invalid value: \"null\": some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
    check(json!({"replicas": 6}), &format!("[spec.cron: Required value, {unchecked}]")).await;

    let mut made = server.tab("a", json!({"cron": "1", "image": "first"})).await;
    let put = format!("PUT {TABS}/a");
    made["spec"]["image"] = json!("second");
    let failed =
        "spec: Invalid value: failed rule: self.image == oldSelf.image || self.image == 'next'";
    refused(server.ask(&put, made.clone()).await, 422, &said(failed));
    made["spec"] = json!({"cron": "0", "image": "next"});
    let answer = server.ask(&put, made.clone()).await;
    refused(answer, 422, &said("spec: Invalid value: no way back"));
    made["spec"]["cron"] = json!("2");
    assert_eq!(server.ask(&put, made).await.code, 200);
}

#[tokio::test]
async fn rules_must_compile() {
    let server = Server::start().await;
    let check = async |rules: Value, more: Value, says: &[&str]| {
        let definition = definition(with_rules(rules, more));
        let answer = server.ask(&format!("POST {DEFINITIONS}"), definition).await;
        assert_eq!(answer.code, 422, "{}", answer.body);
        let message = answer.body["message"].as_str().unwrap_or("");
        assert!(says.iter().all(|text| message.contains(text)), "{message}");
    };
    let place = "spec.validation.openAPIV3Schema.properties[spec]";
    let at = |rest: &str| format!("{place}.{rest}");
    let none = json!({});
    let rule = at("x-kubernetes-validations[0].rule: Invalid value:");
    let of = json!([{"rule": "self.nothing > 1"}]);
    check(
        of,
        none.clone(),
        &[&rule, "compilation failed: ERROR: <input>:1:5: undefined field 'nothing'"],
    )
    .await;
    let of = json!([{"rule": "self.image"}]);
    check(of, none.clone(), &[&rule, "cel expression must evaluate to a bool"]).await;
    let of = json!([{"rule": "true", "messageExpression": "1"}]);
    let expression = at("x-kubernetes-validations[0].messageExpression: Invalid value:");
    check(of, none.clone(), &[&expression, "messageExpression must evaluate to a string"]).await;
    let of = json!([{"rule": "true", "optionalOldSelf": true}]);
    check(
        of,
        none,
        &["optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"],
    )
    .await;
    let more = json!({"names": {"type": "array", "items": {"type": "string",
        "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}}});
    let within = format!(
        "oldSelf cannot be used on the uncorrelatable portion of the schema within {place}.properties[names]"
    );
    check(json!([]), more, &[&within]).await;
    let more = json!({"names": {"type": "array", "items": {"type": "string"}}});
    let of = json!([{"rule": "self.names.all(a, self.names.all(b, a == b))"}]);
    check(
        of,
        more,
        &["rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x"],
    )
    .await;
}

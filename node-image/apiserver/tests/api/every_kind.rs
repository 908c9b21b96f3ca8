//! What clients may do with any object, done with one of each stored kind: the parts of upstream's
//! conformance tests that are alike for all of them.

use std::collections::BTreeMap;

use kd_api::{Kind, Kinds};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::kinds::MANIFESTS;
use crate::server::{Answer, Server};

const MERGE: &str = "application/merge-patch+json";
const PATCH_TYPES: [&str; 4] = [
    MERGE,
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
];

/// Kinds whose status is all that a writer of it changes.
const METADATA_KEPT: [&str; 6] = [
    "APIService",
    "FlowSchema",
    "PriorityLevelConfiguration",
    "ResourceClaim",
    "ValidatingAdmissionPolicy",
    "VolumeAttachment",
];

/// Kinds whose objects stay until something else lets them go.
const FINALIZED: [&str; 5] = [
    "CustomResourceDefinition",
    "Namespace",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "VolumeAttributesClass",
];

/// One object of a kind in a server.
struct Walk<'a> {
    server: &'a Server,
    kind: &'a Kind,
    object: Value,
    /// Of the collection.
    all: String,
    /// Of the object.
    path: String,
    failures: Vec<String>,
}

/// The first manifest of each stored kind.
fn manifests(kinds: &Kinds) -> BTreeMap<String, (std::sync::Arc<Kind>, Value)> {
    let mut found = BTreeMap::new();
    for document in serde_yaml::Deserializer::from_str(MANIFESTS) {
        let object = Value::deserialize(document).unwrap();
        let [version, name] = ["apiVersion", "kind"].map(|field| object[field].as_str().unwrap());
        let Some(kind) = kinds.by_api_version(version, name) else { continue };
        found.entry(format!("{version}/{name}")).or_insert_with(|| (kind.clone(), object));
    }
    found
}

#[tokio::test]
async fn has_a_manifest() {
    let kinds = Kinds::known();
    let found = manifests(&kinds);
    for kind in kinds.iter().filter(|kind| kind.has_verb("create") && kind.is_stored()) {
        let name = format!("{}/{}", kind.api_version(), kind.kind);
        let elsewhere = ["autoscaling/v1/HorizontalPodAutoscaler", "v1/Binding"];
        assert!(found.contains_key(&name) || elsewhere.contains(&&*name), "{name}");
    }
}

#[tokio::test]
async fn does_what_all_do() {
    let server = Server::start().await;
    let mut failures = Vec::new();
    for (name, (kind, object)) in manifests(&Kinds::known()) {
        let mut walk = Walk::begin(&server, &kind, object).await;
        walk.create().await;
        walk.read().await;
        walk.patch().await;
        walk.refuse().await;
        walk.status().await;
        walk.delete().await;
        failures.extend(walk.failures.into_iter().map(|failure| format!("{name}: {failure}")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

impl<'a> Walk<'a> {
    async fn begin(server: &'a Server, kind: &'a Kind, mut object: Value) -> Walk<'a> {
        let root = if kind.group.is_empty() { "/api" } else { "/apis" };
        let mut place = String::new();
        if kind.namespaced() {
            let namespace = format!("walk-{}", kind.kind.to_lowercase());
            let made = json!({"metadata": {"name": namespace}});
            server.ask("POST /api/v1/namespaces", made).await;
            object["metadata"]["namespace"] = namespace.clone().into();
            for field in ["involvedObject", "regarding"] {
                if let Some(place) = object[field].get_mut("namespace") {
                    *place = namespace.clone().into();
                }
            }
            place = format!("/namespaces/{namespace}");
        }
        // The server makes one of this name.
        if object["metadata"]["name"] == "default" {
            object["metadata"]["name"] = "walk".into();
        }
        // An address that is asked for is taken at the second time.
        if let Some(spec) = object["spec"].as_object_mut() {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
        let all = format!("{root}/{}{place}/{}", kind.api_version(), kind.plural);
        let name = object["metadata"]["name"].as_str().unwrap();
        let path = format!("{all}/{name}");
        let mut walk = Walk { server, kind, path, all, object, failures: Vec::new() };
        walk.clear().await;
        walk
    }

    /// What the server made of that name itself is not wanted.
    async fn clear(&mut self) {
        self.server.ask(&format!("DELETE {}", self.path), Value::Null).await;
    }

    fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap()
    }

    fn expect(&mut self, what: &str, got: &Answer, codes: &[u16]) -> bool {
        let is_right = codes.contains(&got.code);
        if !is_right {
            self.failures.push(format!("{what}: {} {}", got.code, got.body["message"]));
        }
        is_right
    }

    fn hold(&mut self, what: &str, holds: bool, found: &Value) {
        if !holds {
            self.failures.push(format!("{what}: {found}"));
        }
    }

    async fn create(&mut self) {
        let body = self.object.clone();
        let tried = self.server.ask(&format!("POST {}?dryRun=All", self.all), body.clone()).await;
        self.expect("dry run", &tried, &[201]);
        let missing = self.server.get(&self.path).await;
        self.expect("after a dry run", &missing, &[404]);
        let resource = match self.kind.group.as_str() {
            "" => self.kind.plural.clone(),
            group => format!("{}.{group}", self.kind.plural),
        };
        let message = format!("{resource} {:?} not found", self.name());
        let details =
            json!({"name": self.name(), "group": self.kind.group, "kind": self.kind.plural});
        let said = &missing.body;
        let mut told = said["details"].clone();
        if self.kind.group.is_empty() {
            told["group"] = "".into();
        }
        self.hold("not found", said["message"] == message && told == details, said);
        let wrong = json!({"apiVersion": "v1", "kind": "Wrong", "metadata": {"name": "x"}});
        let got = self.server.ask(&format!("POST {}", self.all), wrong).await;
        self.expect("another kind", &got, &[400]);
        let mut unknown = body.clone();
        unknown["bogus"] = 1.into();
        let strict = format!("POST {}?fieldValidation=Strict", self.all);
        let got = self.server.ask(&strict, unknown.clone()).await;
        self.expect("unknown field", &got, &[400]);
        let warned = format!("POST {}?fieldValidation=Warn&dryRun=All", self.all);
        let got = self.server.ask(&warned, unknown).await;
        self.expect("unknown field that is warned of", &got, &[201]);
        let warned = got.warnings.iter().any(|text| text.contains(r#"unknown field \"bogus\""#));
        self.hold("warning", warned, &json!(got.warnings));
        let made = self.server.ask(&format!("POST {}?fieldManager=walk", self.all), body).await;
        self.expect("create", &made, &[201]);
        // Names alone belong to nobody.
        let managers = &made.body["metadata"]["managedFields"];
        let is_bare = managers.is_null() && self.kind.kind == "ServiceAccount";
        self.hold("manager", is_bare || managers[0]["manager"] == "walk", &made.body);
        let again = self.server.ask(&format!("POST {}", self.all), self.object.clone()).await;
        self.expect("create again", &again, &[409]);
        self.hold("reason", again.body["reason"] == "AlreadyExists", &again.body);
    }

    async fn read(&mut self) {
        let got = self.server.get(&self.path).await;
        self.expect("get", &got, &[200]);
        let list = self.server.get(&format!("{}?limit=500", self.all)).await;
        self.expect("list", &list, &[200]);
        let list_kind = json!(self.kind.list_kind);
        self.hold("list's kind", list.body["kind"] == list_kind, &list.body["kind"]);
        let revision = list.body["metadata"]["resourceVersion"].as_str().unwrap_or("").to_owned();
        for matching in ["Exact", "NotOlderThan"] {
            let path =
                format!("{}?resourceVersion={revision}&resourceVersionMatch={matching}", self.all);
            let list = self.server.get(&path).await;
            self.expect(matching, &list, &[200]);
        }
        for accept in [
            "application/json;as=Table;v=v1;g=meta.k8s.io",
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            "application/vnd.kubernetes.protobuf",
            "application/yaml",
        ] {
            let headers = [("accept", accept)];
            let list =
                self.server.ask_with(&format!("GET {}", self.all), &headers, Value::Null).await;
            self.expect(accept, &list, &[200]);
        }
    }

    async fn patch(&mut self) {
        let before = self.server.get(&self.path).await.body;
        for (index, sort) in PATCH_TYPES.into_iter().enumerate() {
            let note = format!("patched-{index}");
            let body = match sort {
                "application/json-patch+json" => {
                    json!([{"op": "add", "path": format!("/metadata/annotations/{note}"), "value": "true"}])
                }
                "application/apply-patch+yaml" => {
                    json!({"apiVersion": self.kind.api_version(), "kind": self.kind.kind,
                    "metadata": {"name": self.name(), "annotations": {&note: "true"}}})
                }
                _ => {
                    json!({"metadata": {"annotations": {&note: "true"}, "labels": {"walk": "yes"}}})
                }
            };
            let headers = [("content-type", sort)];
            let path = format!("PATCH {}?fieldManager=patcher-{index}", self.path);
            let got = self.server.ask_with(&path, &headers, body).await;
            self.expect(sort, &got, &[200]);
            let noted = got.body["metadata"]["annotations"][&note] == "true";
            self.hold(sort, noted, &got.body["metadata"]);
        }
        let after = self.server.get(&self.path).await.body;
        let generation = |object: &Value| object["metadata"]["generation"].clone();
        let counts = self.kind.kind == "Deployment" || generation(&before) == generation(&after);
        self.hold("generation", counts, &after["metadata"]);
        for query in [
            "labelSelector=walk%3Dyes".into(),
            format!("fieldSelector=metadata.name%3D{}", self.name()),
        ] {
            let list = self.server.get(&format!("{}?{query}", self.all)).await;
            self.expect(&query, &list, &[200]);
            let count = list.body["items"].as_array().map(Vec::len);
            self.hold(&query, count == Some(1), &json!(count));
        }
    }

    async fn refuse(&mut self) {
        let mut stale = self.server.get(&self.path).await.body;
        stale["metadata"]["resourceVersion"] = "1".into();
        let put = format!("PUT {}", self.path);
        let got = self.server.ask(&put, stale.clone()).await;
        self.expect("stale", &got, &[409]);
        self.hold("stale", got.body["reason"] == "Conflict", &got.body);
        stale["metadata"]["name"] = "another".into();
        let got = self.server.ask(&put, stale).await;
        self.expect("another name", &got, &[400]);
        let (all, path) = (self.all.clone(), self.path.clone());
        for (method, path) in [("POST", &path), ("PUT", &all), ("PATCH", &all)] {
            let got = self.server.ask(&format!("{method} {path}"), json!({})).await;
            self.expect_silently(method, &got, 405);
        }
        let headers = [("content-type", "application/json")];
        let got = self.server.ask_with(&format!("PATCH {}", self.path), &headers, json!({})).await;
        self.expect("media type", &got, &[415]);
    }

    fn expect_silently(&mut self, what: &str, got: &Answer, code: u16) {
        let reason = got.body["reason"] == "MethodNotAllowed";
        self.hold(what, got.code == code && reason, &json!([got.code, got.body]));
    }

    async fn status(&mut self) {
        if self.kind.subresource("status").is_none() {
            let got = self.server.get(&format!("{}/status", self.path)).await;
            self.expect("no status", &got, &[404]);
            return;
        }
        let path = format!("{}/status", self.path);
        let before = self.server.get(&path).await;
        self.expect("get status", &before, &[200]);
        let patch = json!({"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {}});
        let headers = [("content-type", MERGE)];
        let got = self.server.ask_with(&format!("PATCH {path}"), &headers, patch).await;
        self.expect("patch status", &got, &[200]);
        let noted = got.body["metadata"]["annotations"]["patchedstatus"] == "true";
        let keeps = METADATA_KEPT.contains(&self.kind.kind.as_str());
        self.hold("annotation by status", noted != keeps, &got.body["metadata"]);
        self.hold("spec by status", got.body["spec"] == before.body["spec"], &got.body);
        let mut next = self.server.get(&self.path).await.body;
        let put = self.server.ask(&format!("PUT {path}"), next.clone()).await;
        self.expect("put status", &put, &[200]);
        let was = std::mem::replace(&mut next["status"], json!({}));
        next["metadata"]["resourceVersion"] = put.body["metadata"]["resourceVersion"].clone();
        let got = self.server.ask(&format!("PUT {}", self.path), next).await;
        self.expect("put", &got, &[200]);
        self.hold("status by object", got.body["status"] == was, &got.body["status"]);
    }

    async fn delete(&mut self) {
        let path = format!("DELETE {}", self.path);
        let got = self.server.ask(&format!("{path}?dryRun=All"), Value::Null).await;
        self.expect("delete for a try", &got, &[200, 202]);
        let other = json!({"preconditions": {"uid": "another"}});
        let got = self.server.ask(&path, other).await;
        self.expect("delete of another", &got, &[409]);
        let got = self.server.get(&self.path).await;
        self.expect("still there", &got, &[200]);
        if self.kind.has_verb("deletecollection") {
            let path = format!("DELETE {}?labelSelector=walk%3Dyes", self.all);
            let got = self.server.ask(&path, Value::Null).await;
            self.expect("delete all", &got, &[200]);
        } else {
            let all = format!("DELETE {}", self.all);
            let got = self.server.ask(&all, Value::Null).await;
            self.expect("delete all", &got, &[405]);
            let got = self.server.ask(&path, Value::Null).await;
            self.expect("delete", &got, &[200]);
        }
        if !FINALIZED.contains(&self.kind.kind.as_str()) {
            let got = self.server.get(&self.path).await;
            self.expect("gone", &got, &[404]);
        }
    }
}

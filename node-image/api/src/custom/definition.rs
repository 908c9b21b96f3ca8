//! From a CustomResourceDefinition to rows of kinds, and what a write does to one.

use std::io::Write;
use std::sync::{Arc, OnceLock};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{CustomKind, JsonPath, ScalePaths, Structural, conditions};
use crate::kind::compare_versions;
use crate::walk::{Shape, Walk};
use crate::{Kind, Object, Scope, Subresource};

const ALL: &[&str] =
    &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
/// What discovery shows of a kind whose definition is being deleted.
const LEAVING: &[&str] = &["delete", "deletecollection", "get", "list", "watch"];
const CHANGE: &[&str] = &["get", "patch", "update"];

/// The kinds that a definition makes: one per served version, none before it is established.
/// `revision` is the definition's own.
pub fn kinds_of(definition: &Value, revision: u64) -> Vec<Kind> {
    if !conditions::is_established(definition) {
        return Vec::new();
    }
    let versions = definition["spec"].list("versions");
    let storage = versions.iter().find(|version| version.flag("storage"));
    let storage = storage.map_or("", |version| version.text("name"));
    let served = versions.iter().filter(|version| version.flag("served"));
    served.map(|version| kind_of(definition, version, storage, revision)).collect()
}

fn kind_of(definition: &Value, version: &Value, storage: &str, revision: u64) -> Kind {
    let spec = &definition["spec"];
    let names = &definition["status"]["acceptedNames"];
    let (group, name) = (spec.text("group"), version.text("name"));
    let kind = names.text("kind");
    let terminating = is_terminating(definition);
    let texts = |key: &str| -> Vec<String> {
        names.list(key).iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    Kind {
        group: group.into(),
        version: name.into(),
        kind: kind.into(),
        list_kind: names.text("listKind").into(),
        plural: names.text("plural").into(),
        singular: names.text("singular").into(),
        short_names: texts("shortNames"),
        categories: texts("categories"),
        scope: match spec.text("scope") {
            "Cluster" => Scope::Cluster,
            _ => Scope::Namespaced,
        },
        verbs: owned(if terminating { LEAVING } else { ALL }),
        subresources: subresources(&version["subresources"], (group, name, kind)),
        storage: (group.into(), names.text("plural").into()),
        custom: Some(Arc::new(custom(definition, version, storage, revision))),
    }
}

fn is_terminating(definition: &Value) -> bool {
    definition.is_terminating() || conditions::is_true(definition, "Terminating")
}

fn subresources(declared: &Value, own: (&str, &str, &str)) -> Vec<Subresource> {
    let (group, version, kind) = own;
    let row = |name: &str, body: (&str, &str, &str)| Subresource {
        name: name.into(),
        body: (body.0.into(), body.1.into(), body.2.into()),
        verbs: owned(CHANGE),
    };
    let scale = declared.has("scale").then(|| row("scale", ("autoscaling", "v1", "Scale")));
    let status = declared.has("status").then(|| row("status", (group, version, kind)));
    scale.into_iter().chain(status).collect()
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn custom(definition: &Value, version: &Value, storage: &str, revision: u64) -> CustomKind {
    let spec = &definition["spec"];
    let declared = &version["schema"]["openAPIV3Schema"];
    let mut schema = Structural::parse(declared);
    if declared.is_null() || spec.flag("preserveUnknownFields") {
        schema.preserves_unknown = true;
    }
    let conversion = &spec["conversion"];
    let scale = &version["subresources"]["scale"];
    CustomKind {
        definition: definition.name().into(),
        schema,
        storage_version: storage.into(),
        conversion_webhook: (conversion.text("strategy") == "Webhook")
            .then(|| conversion["webhook"].clone()),
        columns: columns(version),
        selectable: version
            .list("selectableFields")
            .iter()
            .map(|field| field.text("jsonPath").trim_start_matches('.').to_owned())
            .collect(),
        scale: scale.is_object().then(|| ScalePaths {
            spec_replicas: field_names(scale.text("specReplicasPath")),
            status_replicas: field_names(scale.text("statusReplicasPath")),
            label_selector: Some(scale.text("labelSelectorPath"))
                .filter(|path| !path.is_empty())
                .map(field_names),
        }),
        terminating: is_terminating(definition),
        deprecation: deprecation(spec, version),
        since: revision,
        schema_text: compressed(declared),
        digest: digest(definition, version),
        compiled: OnceLock::new(),
    }
}

fn field_names(path: &str) -> Vec<String> {
    path.trim_start_matches('.').split('.').map(str::to_owned).collect()
}

/// The declared columns, or the age.
fn columns(version: &Value) -> Vec<(Value, JsonPath)> {
    let declared = version.list("additionalPrinterColumns");
    let age = [json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp",
        "description": "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"})];
    let all = if declared.is_empty() { &age[..] } else { declared };
    // As upstream: from the first path that makes no sense on there are no columns.
    let parsed = all
        .iter()
        .map_while(|column| Some((column.clone(), JsonPath::parse(column.text("jsonPath")).ok()?)));
    parsed.collect()
}

fn deprecation(spec: &Value, version: &Value) -> Option<String> {
    if !version.flag("deprecated") {
        return None;
    }
    if version.has("deprecationWarning") {
        return Some(version.text("deprecationWarning").to_owned());
    }
    let (group, kind) = (spec.text("group"), spec["names"].text("kind"));
    let name = version.text("name");
    let text = format!("{group}/{name} {kind} is deprecated");
    let mut better: Vec<&str> = spec
        .list("versions")
        .iter()
        .filter(|other| other.flag("served") && !other.flag("deprecated"))
        .map(|other| other.text("name"))
        .filter(|other| compare_versions(other, name).is_lt())
        .collect();
    better.sort_by(|a, b| compare_versions(a, b));
    Some(match better.first() {
        Some(other) => format!("{text}; use {group}/{other} {kind}"),
        None => text,
    })
}

fn compressed(schema: &Value) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(schema.to_string().as_bytes());
    encoder.finish().unwrap_or_default()
}

fn digest(definition: &Value, version: &Value) -> String {
    let mut digest = Sha256::new();
    digest.update(definition.uid());
    digest.update(version.to_string());
    digest.update(definition["spec"]["conversion"].to_string());
    digest.update(definition["status"]["acceptedNames"].to_string());
    let storage = definition["spec"].list("versions").iter().find(|v| v.flag("storage"));
    digest.update(storage.map_or("", |version| version.text("name")));
    digest.update([u8::from(is_terminating(definition))]);
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A new definition begins with the version in which its objects will be stored.
pub(crate) fn prepare_create(definition: &mut Value) {
    let stored: Vec<Value> = storage_version(definition).into_iter().map(Value::from).collect();
    definition.put(
        "status",
        json!({"conditions": [], "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored}),
    );
}

/// A version that becomes the stored one is remembered until someone says that none are left.
pub(crate) fn prepare_update(definition: &mut Value) {
    let Some(version) = storage_version(definition) else { return };
    let Some(status) = definition.object_mut("status") else { return };
    let mut stored = status.list("storedVersions").to_vec();
    if !stored.iter().any(|known| *known == version) {
        stored.push(version.into());
        status.put("storedVersions", stored);
    }
}

fn storage_version(definition: &Value) -> Option<String> {
    let mut versions = definition["spec"].list("versions").iter();
    versions.find(|version| version.flag("storage")).map(|version| version.text("name").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Value {
        json!({"metadata": {"name": "crontabs.example.com", "uid": "u"},
            "spec": {"group": "example.com", "scope": "Namespaced",
                "names": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "listKind": "CronTabList"},
                "versions": [
                    {"name": "v1beta1", "served": true, "deprecated": true},
                    {"name": "v1", "served": true, "storage": true, "subresources": {"status": {},
                        "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}}},
                    {"name": "v2", "served": false}]},
            "status": {"acceptedNames": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab",
                "listKind": "CronTabList", "shortNames": ["ct"]},
                "conditions": [{"type": "Established", "status": "True"}]}})
    }

    #[test]
    fn kinds_of_served_versions() {
        let kinds = kinds_of(&definition(), 7);
        assert_eq!(kinds.len(), 2);
        let (beta, v1) = (&kinds[0], &kinds[1]);
        assert_eq!(v1.short_names, ["ct"]);
        assert_eq!(
            v1.subresources.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(),
            ["scale", "status"]
        );
        let custom = beta.custom.as_ref().unwrap();
        assert_eq!(custom.storage_version, "v1");
        assert_eq!(custom.since, 7);
        let told = "example.com/v1beta1 CronTab is deprecated; use example.com/v1 CronTab";
        assert_eq!(custom.deprecation.as_deref(), Some(told));
        assert_eq!(custom.columns[0].0["name"], "Age");
        let mut waiting = definition();
        waiting["status"]["conditions"] = json!([]);
        assert!(kinds_of(&waiting, 7).is_empty());
        let mut leaving = definition();
        leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert!(!kinds_of(&leaving, 7)[0].has_verb("create"));
    }

    #[test]
    fn stored_versions_are_remembered() {
        let mut object = definition();
        prepare_create(&mut object);
        assert_eq!(object["status"]["storedVersions"], json!(["v1"]));
        object["spec"]["versions"][1]["storage"] = json!(false);
        object["spec"]["versions"][2]["storage"] = json!(true);
        prepare_update(&mut object);
        prepare_update(&mut object);
        assert_eq!(object["status"]["storedVersions"], json!(["v1", "v2"]));
    }
}

//! The documents, as clients read them.

use std::collections::HashSet;

use super::*;

fn core() -> Value {
    serde_json::from_slice(&v3(&Kinds::built_in(), "", "v1").unwrap()).unwrap()
}

/// Every `$ref` in a document.
fn references<'v>(value: &'v Value, found: &mut HashSet<&'v str>) {
    match value {
        Value::Object(entries) => {
            found.extend(entries.get("$ref").and_then(Value::as_str));
            entries.values().for_each(|value| references(value, found));
        }
        Value::Array(elements) => elements.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn version_3_has_what_clients_look_for() {
    let document = core();
    let pod = &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"];
    let patch = &pod["patch"];
    assert_eq!(patch["x-kubernetes-action"], "patch");
    let expected = json!({"group": "", "version": "v1", "kind": "Pod"});
    assert_eq!(patch["x-kubernetes-group-version-kind"], expected);
    let content = &patch["requestBody"]["content"];
    assert!(content.get("application/strategic-merge-patch+json").is_some());
    let names: Vec<_> =
        patch["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str()).collect();
    let names: Vec<_> = names.into_iter().flatten().collect();
    assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
    let ids = [
        ("/api/v1/pods", "get", "listCoreV1PodForAllNamespaces"),
        (
            "/api/v1/namespaces/{namespace}/pods/{name}/status",
            "patch",
            "patchCoreV1NamespacedPodStatus",
        ),
        (
            "/api/v1/namespaces/{namespace}/pods/{name}/exec",
            "get",
            "connectCoreV1GetNamespacedPodExec",
        ),
        ("/api/v1/namespaces/{namespace}/pods", "delete", "deleteCoreV1CollectionNamespacedPod"),
    ];
    // kubectl takes the first PATCH of a kind that it finds for what PATCH can do.
    let connect = &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}/proxy"]["patch"];
    assert_eq!(connect["x-kubernetes-group-version-kind"]["kind"], "PodProxyOptions");
    for (path, method, id) in ids {
        assert_eq!(document["paths"][path][method]["operationId"], id);
    }
}

#[test]
fn schemas() {
    let document = core();
    let schemas = &document["components"]["schemas"];
    let spec = &schemas["io.k8s.api.core.v1.PodSpec"];
    assert_eq!(spec["required"], json!(["containers"]));
    let containers = &spec["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
    assert_eq!(
        containers["items"],
        json!({"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"})
    );
    assert_eq!(
        spec["properties"]["restartPolicy"]["enum"],
        json!(["Always", "Never", "OnFailure"])
    );
    let text = spec["properties"]["restartPolicy"]["description"].as_str().unwrap();
    assert!(
        text.ends_with(
            "Possible enum values:\n - `\"Always\"`\n - `\"Never\"`\n - `\"OnFailure\"`"
        )
    );
    let pod = &schemas["io.k8s.api.core.v1.Pod"];
    assert_eq!(
        pod["properties"]["status"]["allOf"][0]["$ref"],
        "#/components/schemas/io.k8s.api.core.v1.PodStatus"
    );
    assert_eq!(
        pod["x-kubernetes-group-version-kind"],
        json!([{"group": "", "version": "v1", "kind": "Pod"}])
    );
    assert!(pod["description"].as_str().unwrap().starts_with("Pod is"));
}

#[test]
fn references_are_resolved() {
    let kinds = Kinds::built_in();
    let mut documents: Vec<Bytes> = vec![v2_json(&kinds, &Foreign::default())];
    for group in kinds.groups() {
        documents
            .extend(group.versions.iter().filter_map(|version| v3(&kinds, &group.name, version)));
    }
    for document in documents {
        let document: Value = serde_json::from_slice(&document).unwrap();
        let mut found = HashSet::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        for (path, item) in document["paths"].as_object().unwrap() {
            assert!(item.as_object().unwrap().len() > 1, "{path} has no operation");
        }
    }
}

#[test]
fn hashes_follow_the_rows() {
    let kinds = Kinds::built_in();
    let before = v3_hash(&kinds, "apps", "v1");
    assert_eq!(before, v3_hash(&kinds, "apps", "v1"));
    let mut changed = kinds.get("apps", "v1", "deployments").unwrap().as_ref().clone();
    changed.short_names.clear();
    let changed = kinds.with([changed]);
    assert_ne!(before, v3_hash(&changed, "apps", "v1"));
    assert_eq!(v3_hash(&kinds, "", "v1"), v3_hash(&changed, "", "v1"));
    let url = v3_index(&kinds)["paths"]["apis/apps/v1"]["serverRelativeURL"].clone();
    assert_eq!(url, format!("/openapi/v3/apis/apps/v1?hash={before}"));
    assert!(v3(&kinds, "nope", "v1").is_none());
}

#[test]
fn protobuf_begins_as_a_document() {
    let kinds = Kinds::built_in();
    let document = v2_protobuf(&kinds, &Foreign::default());
    assert_eq!(document[..5], *b"\x0a\x032.0");
    assert!(document.len() > 100_000);
    let document = v3_protobuf(&kinds, "apps", "v1").unwrap();
    assert_eq!(document[..7], *b"\x0a\x053.0.0");
    assert!(document.len() > 100_000);
    assert!(v3_protobuf(&kinds, "apps", "v2").is_none());
}

#[test]
fn metrics_are_described() {
    let document = v3(&Kinds::built_in(), "metrics.k8s.io", "v1beta1").unwrap();
    let document: Value = serde_json::from_slice(&document).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let kinds: Vec<&str> = schemas
        .values()
        .filter_map(|schema| schema["x-kubernetes-group-version-kind"][0]["kind"].as_str())
        .collect();
    for kind in ["NodeMetrics", "NodeMetricsList", "PodMetrics", "PodMetricsList"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
}

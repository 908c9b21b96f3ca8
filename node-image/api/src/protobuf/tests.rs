//! Objects to bytes and back.

use serde_json::json;

use super::*;
use crate::decode::normalize;
use crate::{Kind, Kinds};

fn kind_of(object: &Value) -> Kind {
    let kinds = Kinds::known();
    kinds.by_api_version(object.api_version(), object.kind()).unwrap().as_ref().clone()
}

#[track_caller]
fn check_round_trip(object: Value) {
    let kind = kind_of(&object);
    let object = normalize(object, &kind).unwrap().object;
    let bytes = encode(&object).unwrap();
    let again = decode(&bytes, ("", "")).unwrap();
    assert_eq!(normalize(again, &kind).unwrap().object, object);
}

#[test]
fn round_trips() {
    check_round_trip(json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a", "labels": {"x": "y", "z": ""}, "creationTimestamp": "2026-01-02T03:04:05Z",
            "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {"f:x": {}}}}]},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "500m"}},
                "ports": [{"containerPort": 80}], "livenessProbe": {"httpGet": {"port": "http", "path": "/"}},
                "env": [{"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}],
            "volumes": [{"name": "v", "emptyDir": {}}], "automountServiceAccountToken": false, "priority": -5,
            "securityContext": {"supplementalGroups": [1, 2]}},
        "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z"}]}}));
    check_round_trip(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"},
        "data": {"k": "aGk=", "e": ""}, "immutable": true}));
    check_round_trip(
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"},
        "spec": {"renewTime": "2026-01-02T03:04:05.678901Z", "leaseDurationSeconds": 40}}),
    );
    check_round_trip(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {"containers": [{"name": "c"}]}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}}}}),
    );
    check_round_trip(
        json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": "a"}, "spec": {"request": "aGk=", "signerName": "s", "extra": {"k": ["1", "2"]}}}),
    );
    check_round_trip(
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "a"}, "webhooks": [{"name": "w", "clientConfig": {"url": "https://a"},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
            "sideEffects": "None", "admissionReviewVersions": ["v1"]}]}),
    );
}

#[test]
fn unions_of_schemas() {
    let schema = json!({"type": "object", "nullable": true, "default": {"a": [1, null]}, "enum": ["a", 1],
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "list": {"type": "array", "items": {"type": "string", "maxLength": 3}},
            "tuple": {"type": "array", "items": [{"type": "string"}, {"type": "integer"}]},
            "map": {"type": "object", "additionalProperties": {"type": "number", "minimum": 0.5}},
            "any": {"type": "object", "additionalProperties": true},
            "none": {"type": "object", "additionalProperties": false},
            "needs": {"type": "object", "dependencies": {"a": ["b", "c"], "d": {"type": "object"}}}}});
    check_round_trip(
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "foos.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}}),
    );
    // Upstream's bytes of `additionalProperties: true` and of `items: {type: a}`.
    let props = |schema: Value| {
        let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}});
        encode(&definition).unwrap()
    };
    let holds = |bytes: Vec<u8>, part: &[u8]| bytes.windows(part.len()).any(|found| found == part);
    assert!(holds(props(json!({"additionalProperties": true})), b"\xf2\x01\x02\x08\x01"));
    assert!(holds(props(json!({"items": {"type": "a"}})), b"\xc2\x01\x05\x0a\x03\x2a\x01a"));
}

#[test]
fn empty_times_in_maps_are_entries() {
    let object = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "a"},
        "status": {"disruptedPods": {"p": null}}});
    let again = decode(&encode(&object).unwrap(), ("", "")).unwrap();
    assert_eq!(again["status"]["disruptedPods"], json!({"p": null}));
    check_round_trip(object);
}

#[test]
fn upstream_bytes() {
    // A ConfigMap named `a` with one entry, as upstream's generated code writes the parts that are set.
    let bytes = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x0d\x0a\x03\x0a\x01a\x12\x06\x0a\x01k\x12\x01v\x1a\x00\x22\x00";
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
    assert_eq!(encode(&object).unwrap(), bytes);
    assert_eq!(decode(bytes, ("", "")).unwrap(), object);
}

#[test]
fn refusals() {
    assert_eq!(decode(b"{}", ("v1", "Pod")), Err(ProtobufError::Prefix));
    assert_eq!(decode(b"k8s\0\x0a\x09", ("v1", "Pod")), Err(ProtobufError::Malformed));
    let unknown = decode(b"k8s\0", ("example.com/v1", "Foo"));
    assert!(matches!(unknown, Err(ProtobufError::UnknownKind { .. })));
    let custom = json!({"apiVersion": "apps.example.com/v1", "kind": "Deployment"});
    assert_eq!(encode(&custom), None);
}

#[test]
fn lists_and_events() {
    let list = json!({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "7"},
        "items": [{"metadata": {"name": "a"}}]});
    let decoded = decode(&encode(&list).unwrap(), ("", "")).unwrap();
    assert_eq!(decoded["items"][0]["metadata"]["name"], "a");
    assert_eq!(decoded["metadata"]["resourceVersion"], "7");
    let frame = encode_watch_event("ADDED", b"k8s\0");
    assert_eq!(frame, b"\0\0\0\x0f\x0a\x05ADDED\x12\x06\x0a\x04k8s\0");
}

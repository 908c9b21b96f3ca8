//! Decoding, as tables of bodies and answers.

use serde_json::json;

use super::*;
use crate::Kinds;

fn kind(name: &str) -> Kind {
    let kinds = Kinds::known();
    let found = kinds.iter().find(|kind| kind.kind == name);
    found.unwrap_or_else(|| panic!("no kind {name}")).as_ref().clone()
}

#[track_caller]
fn check_error(name: &str, body: &str, message: &str) {
    let error = decode(body.as_bytes(), Encoding::Json, &kind(name), FieldValidation::Strict)
        .expect_err("must be refused");
    assert_eq!(error.message, message);
    assert_eq!((error.code, error.reason.as_str()), (400, "BadRequest"));
}

#[test]
fn wrong_types() {
    let pod = |why: &str| format!("Pod in version \"v1\" cannot be handled as a Pod: {why}");
    for (body, why) in [
        (
            r#"{"spec":{"containers":"x"}}"#,
            "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            r#"{"spec":{"containers":[{"name":"a","env":[{"name":"x","value":1}]}]}}"#,
            "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
        ),
        (
            r#"{"metadata":{"labels":{"a":true}}}"#,
            "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            r#"{"spec":{"priority":1.5}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            r#"{"spec":{"priority":3000000000}}"#,
            "json: cannot unmarshal number 3000000000 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            r#"{"spec":{"restartPolicy":{}}}"#,
            "json: cannot unmarshal object into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
        ),
        (
            r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"1x1"}}}]}}"#,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            r#"{"metadata":{"creationTimestamp":"x"}}"#,
            r#"parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#,
        ),
        (
            r#"{"spec":{"foo":1,"containers":[{"bar":{"x":1},"name":"a","name":"b"}]}}"#,
            r#"strict decoding error: unknown field "spec.foo", unknown field "spec.containers[0].bar", duplicate field "spec.containers[0].name""#,
        ),
        (
            r#"{"metadata":{"labels":{"a":"1","a":"2"}},"x":1}"#,
            r#"strict decoding error: duplicate field "metadata.labels.a", unknown field "x""#,
        ),
    ] {
        check_error("Pod", body, &pod(why));
    }
}

#[test]
fn not_the_kind() {
    let unrecognized = "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error:";
    for (body, message) in [
        ("", format!("{unrecognized} unexpected end of JSON input (<empty>)")),
        (r#"{"a":"#, format!("{unrecognized} unexpected end of JSON input ({{\"a\":)")),
        (
            "[1]",
            format!(r#"{unrecognized} json: cannot unmarshal array into Go value of type struct {{ APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }} (5b315d)"#),
        ),
        (
            r#"{"kind":"Service","apiVersion":"v1"}"#,
            r#"Service in version "v1" cannot be handled as a Pod: converting (v1.Service) to (core.Pod): unknown conversion"#.into(),
        ),
        (
            r#"{"kind":"Foo"}"#,
            r#"Foo in version "v1" cannot be handled as a Pod: no kind "Foo" is registered for version "v1" in scheme "pkg/api/legacyscheme/scheme.go:30""#.into(),
        ),
    ] {
        check_error("Pod", body, &message);
    }
}

#[test]
fn lenient() {
    let body = br#"{"spec":{"foo":1}}"#;
    let warned = decode(body, Encoding::Json, &kind("Pod"), FieldValidation::Warn).unwrap();
    assert_eq!(warned.warnings, [r#"unknown field "spec.foo""#]);
    assert_eq!(warned.object["spec"].get("foo"), None);
    let ignored = decode(body, Encoding::Json, &kind("Pod"), FieldValidation::Ignore).unwrap();
    assert!(ignored.warnings.is_empty());
}

#[track_caller]
fn check_form(name: &str, body: Value, expected: Value) {
    let body = body.to_string();
    let decoded = decode(body.as_bytes(), Encoding::Json, &kind(name), FieldValidation::Strict);
    let object = decoded.unwrap().object;
    assert_eq!(object, expected);
    let again = normalize(object.clone(), &kind(name)).unwrap();
    assert_eq!(again, Normalized { object, unknown: vec![] }, "stable");
}

#[test]
fn the_form_of_go() {
    check_form(
        "Pod",
        json!({"metadata": {"name": "a", "labels": {}, "annotations": {"x": null}, "creationTimestamp": null},
            "spec": {"volumes": [], "hostNetwork": false, "securityContext": {}, "priority": 0,
                "automountServiceAccountToken": false, "nodeSelector": null,
                "containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}},
                    "env": [{"name": "E", "valueFrom": {"resourceFieldRef": {"resource": "cpu"}}}]}]}}),
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "annotations": {"x": ""}},
            "spec": {"securityContext": {}, "priority": 0, "automountServiceAccountToken": false,
                "containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
                    "env": [{"name": "E", "valueFrom": {"resourceFieldRef": {"resource": "cpu", "divisor": "0"}}}]}]},
            "status": {}}),
    );
    check_form(
        "Service",
        json!({"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80, "targetPort": "http"}]}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"},
            "spec": {"ports": [{"port": 80, "targetPort": "http"}]}, "status": {"loadBalancer": {}}}),
    );
    check_form(
        "NetworkPolicy",
        json!({"metadata": {"name": "a"}, "spec": {"podSelector": {}, "ingress": [{}]}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "a"},
            "spec": {"podSelector": {}, "ingress": [{}]}}),
    );
    check_form(
        "Role",
        json!({"metadata": {"name": "a"}}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "a"}, "rules": null}),
    );
}

#[test]
fn yaml_and_applied() {
    let body = b"kind: Pod\nspec:\n  containers:\n  - name: c\n    ports: []\n    resources:\n      limits: {cpu: 1000m}\n";
    let decoded = decode(body, Encoding::Yaml, &kind("Pod"), FieldValidation::Strict).unwrap();
    assert_eq!(decoded.object["spec"]["containers"][0]["resources"]["limits"]["cpu"], "1");
    let applied = decode_applied(body, &kind("Pod"), FieldValidation::Strict).unwrap();
    let expected = json!({"kind": "Pod", "spec": {"containers":
        [{"name": "c", "ports": [], "resources": {"limits": {"cpu": "1000m"}}}]}});
    assert_eq!(applied.object, expected);
    let body = b"kind: Pod\nmetadata: {name: a, namespace: n}\nspec: {foo: 1}\n";
    let error = decode_applied(body, &kind("Pod"), FieldValidation::Ignore).unwrap_err();
    assert_eq!(
        error.message,
        "failed to create typed patch object (n/a; /v1, Kind=Pod): .spec.foo: field not declared in schema"
    );
}

#[test]
fn nothing_is_an_object_that_says_nothing() {
    let policy = kind("NetworkPolicy");
    let empty = decode(b"{}", Encoding::Json, &policy, FieldValidation::Strict).unwrap();
    assert_eq!(empty.object["spec"], json!({"podSelector": {}}));
    for (body, encoding) in [("", Encoding::Yaml), ("null", Encoding::Json)] {
        let read = decode(body.as_bytes(), encoding, &policy, FieldValidation::Strict);
        assert_eq!(read.as_ref(), Ok(&empty), "{body}");
    }
}

#[test]
fn bytes_and_times() {
    let body = br#"{"data":{"a":"aGk\n=","b":null},"metadata":{"creationTimestamp":"2026-01-02T05:04:05.5+02:00"}}"#;
    let secret = decode(body, Encoding::Json, &kind("Secret"), FieldValidation::Strict).unwrap();
    assert_eq!(secret.object["data"]["a"], "aGk=");
    assert_eq!(secret.object["metadata"]["creationTimestamp"], "2026-01-02T03:04:05Z");
    check_error(
        "Secret",
        r#"{"data":{"a":"a*"}}"#,
        "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 1",
    );
}

#[test]
fn options() {
    let read = |body: &[u8]| decode_options(body, Encoding::Json, "DeleteOptions");
    assert_eq!(read(b"").unwrap(), json!({}));
    let body = br#"{"kind":"DeleteOptions","apiVersion":"policy/v1","gracePeriodSeconds":0}"#;
    assert_eq!(read(body).unwrap()["gracePeriodSeconds"], 0);
    assert!(read(br#"{"gracePeriodSeconds":"x"}"#).is_err());
    let (group, version) = ("policy", "v1");
    let body = br#"{"metadata":{"name":"p"},"deleteOptions":{"gracePeriodSeconds":0}}"#;
    let gvk = (group, version, "Eviction");
    let eviction = decode_as(body, Encoding::Json, gvk, FieldValidation::Strict).unwrap();
    assert_eq!(eviction.object["deleteOptions"]["gracePeriodSeconds"], 0);
    assert_eq!(eviction.object["apiVersion"], "policy/v1");
}

#[test]
fn protobuf_bodies() {
    let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"x": ""}},
        "spec": {"containers": [{"name": "c", "image": "i"}], "hostname": ""}});
    let bytes = protobuf::encode(&object).unwrap();
    let read = |name: &str, bytes: &[u8]| {
        decode_as(bytes, Encoding::Protobuf, ("", "v1", name), FieldValidation::Strict)
    };
    let pod = read("Pod", &bytes).unwrap().object;
    assert_eq!(pod["metadata"], object["metadata"]);
    assert_eq!(pod["spec"], json!({"containers": [{"name": "c", "image": "i", "resources": {}}]}));
    let error = read("Node", &bytes).unwrap_err();
    assert_eq!(
        error.message,
        "Pod in version \"v1\" cannot be handled as a Node: converting (v1.Pod) to (core.Node): unknown conversion"
    );
    let error = read("Pod", b"{}").unwrap_err();
    assert_eq!(
        error.message,
        "the object provided is unrecognized (must be of type Pod): provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] ({})"
    );
}

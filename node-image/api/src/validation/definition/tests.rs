//! Definitions, and what is wrong with them.

use serde_json::json;

use super::*;

fn with_schema(schema: Value) -> Value {
    json!({"metadata": {"name": "crontabs.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
        "names": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "listKind": "CronTabList"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
        "status": {"storedVersions": ["v1"]}})
}

fn of_spec(a: Value) -> Value {
    with_schema(
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": a}}}}),
    )
}

fn texts(definition_of: &Value) -> Vec<String> {
    let mut errors = Errors::new();
    definition(&mut errors, definition_of);
    errors.iter().map(FieldError::to_string).collect()
}

#[track_caller]
fn check(a: Value, want: &[&str]) {
    let prefix = "spec.validation.openAPIV3Schema.properties[spec].properties[a]";
    let found = texts(&of_spec(a));
    let found: Vec<&str> =
        found.iter().map(|text| text.strip_prefix(prefix).unwrap_or(text)).collect();
    assert_eq!(found, want);
}

#[test]
fn ordinary_schemas() {
    check(json!({"type": "string", "pattern": "^a"}), &[]);
    check(json!({"x-kubernetes-int-or-string": true}), &[]);
    check(
        json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
        &[],
    );
    check(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}), &[]);
    check(json!({"x-kubernetes-preserve-unknown-fields": true}), &[]);
    check(json!({"type": "object", "additionalProperties": {"type": "string"}}), &[]);
    check(
        json!({"type": "object", "properties": {"x": {"type": "string"}}, "oneOf": [{"required": ["x"]}, {"properties": {"x": {"enum": ["y"]}}}]}),
        &[],
    );
    check(
        json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}),
        &[],
    );
}

#[test]
fn schemas_that_are_not_structural() {
    check(json!({}), &[".type: Required value: must not be empty for specified object fields"]);
    check(json!({"type": "array"}), &[".items: Required value: must be specified"]);
    check(
        json!({"type": "string", "oneOf": [{"type": "string"}]}),
        &[".oneOf[0].type: Forbidden: must be empty to be structural"],
    );
    check(
        json!({"type": "object", "anyOf": [{"properties": {"x": {"minLength": 1}}}]}),
        &[
            ".properties[x]: Required value: because it is defined in spec.validation.openAPIV3Schema.properties[spec].properties[a].anyOf[0].properties[x]",
        ],
    );
    check(
        json!({"type": "object", "x-kubernetes-embedded-resource": true}),
        &[
            ".properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        ],
    );
}

#[test]
fn schemas_that_are_not_supported() {
    check(
        json!({"type": "text"}),
        &[
            r#".type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", "string""#,
        ],
    );
    check(
        json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true}),
        &[
            ".uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ],
    );
    check(
        json!({"type": "object", "properties": {"x": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
        &[
            ".additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ],
    );
    check(
        json!({"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object", "properties": {"k": {"type": "string"}}},
            "x-kubernetes-list-map-keys": ["k"]}),
        &[
            ".items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ],
    );
    check(
        json!({"type": "string", "default": 1}),
        &[r#".default: Invalid value: "integer":  in body must be of type string: "integer""#],
    );
    check(
        json!({"type": "string", "x-kubernetes-validations": [{"rule": ""}]}),
        &[".x-kubernetes-validations[0].rule: Required value: rule is not specified"],
    );
}

#[test]
fn roots() {
    let found = texts(&with_schema(
        json!({"type": "object", "properties": {"metadata": {"type": "object",
        "properties": {"labels": {"type": "object", "additionalProperties": {"type": "string"}}}}}}),
    ));
    let text = "spec.validation.openAPIV3Schema.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified";
    assert_eq!(found, [text]);
    let mut two = of_spec(json!({"type": "string"}));
    let mut other = two["spec"]["versions"][0].clone();
    other["name"] = json!("v2");
    other["storage"] = json!(false);
    other["schema"]["openAPIV3Schema"]["type"] = json!("string");
    two["spec"]["versions"].as_array_mut().unwrap().push(other);
    let text = r#"spec.versions[1].schema.openAPIV3Schema.type: Invalid value: "string": must be object at the root"#;
    assert_eq!(texts(&two), [text]);
}

#[test]
fn names_and_versions() {
    let check = |change: fn(&mut Value), want: &[&str]| {
        let mut definition = of_spec(json!({"type": "string"}));
        change(&mut definition);
        assert_eq!(texts(&definition), want);
    };
    check(
        |d| d["metadata"]["name"] = json!("other.example.com"),
        &[
            r#"metadata.name: Invalid value: "other.example.com": must be spec.names.plural+"."+spec.group"#,
        ],
    );
    check(|d| d["spec"]["scope"] = json!(""), &["spec.scope: Required value"]);
    check(
        |d| d["spec"]["versions"][0]["schema"] = Value::Null,
        &["spec.versions[0].schema.openAPIV3Schema: Required value"],
    );
    check(
        |d| d["status"]["storedVersions"] = json!(["v1", "v0"]),
        &[
            r#"status.storedVersions[1]: Invalid value: "v0": missing from spec.versions; v0 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v0 and removes v0 from status.storedVersions"#,
        ],
    );
    check(
        |d| {
            d["spec"]["versions"][0]["additionalPrinterColumns"] =
                json!([{"name": "A", "type": "text", "jsonPath": "a"}])
        },
        &[
            r#"spec.additionalPrinterColumns[0].type: Invalid value: "text": must be one of boolean,date,integer,number,string"#,
            r#"spec.additionalPrinterColumns[0].JSONPath: Invalid value: "a": must be a simple json path starting with ."#,
        ],
    );
    check(
        |d| d["spec"]["versions"][0]["selectableFields"] = json!([{"jsonPath": ".spec.b"}]),
        &[
            r#"spec.selectableFields[0].jsonPath: Invalid value: ".spec.b": is an invalid path: does not refer to a valid field: .spec.b"#,
        ],
    );
    check(
        |d| d["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {"clientConfig": {"url": "http://a"}, "conversionReviewVersions": ["v9"]}}),
        &[
            r#"spec.conversion.webhookClientConfig.url: Invalid value: "http://a": 'https' is the only allowed URL scheme; desired format: https://host[/path]"#,
            r#"spec.conversion.conversionReviewVersions: Invalid value: ["v9"]: must include at least one of v1, v1beta1"#,
        ],
    );
}

#[test]
fn communal_groups_need_approval() {
    let mut definition = of_spec(json!({"type": "string"}));
    definition["spec"]["group"] = json!("example.k8s.io");
    definition["metadata"]["name"] = json!("crontabs.example.k8s.io");
    let text = r#"metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111"#;
    assert_eq!(texts(&definition), [text]);
    definition["metadata"]["annotations"] =
        json!({"api-approved.kubernetes.io": "https://example.com/1"});
    assert_eq!(texts(&definition), [""; 0]);
}

#[test]
fn updates() {
    let mut old = of_spec(json!({"type": "string"}));
    old["status"]["conditions"] = json!([{"type": "Established", "status": "True"}]);
    let check = |change: fn(&mut Value), want: &[&str]| {
        let mut new = old.clone();
        change(&mut new);
        let mut errors = Errors::new();
        definition_update(&mut errors, &new, &old);
        let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        assert_eq!(texts, want);
    };
    check(|_| {}, &[]);
    check(
        |d| d["spec"]["scope"] = json!("Cluster"),
        &[r#"spec.scope: Invalid value: "Cluster": field is immutable"#],
    );
}

//! Paths as either version of OpenAPI writes them.

use serde_json::{Map, Value, json};

use super::Dialect;
use super::operations::{Operation, Route};
use super::parameters::{Parameter, Place};

const OBJECT_TYPES: [&str; 2] = ["application/json", "application/yaml"];
const TEXT_TYPES: [&str; 1] = ["text/plain"];
const ANY_TYPE: &str = "*/*";

/// A path item of version 2.
pub(super) fn v2(route: &Route) -> Value {
    item(route, v2_parameter, v2_operation)
}

/// A path item of version 3.
pub(super) fn v3(route: &Route) -> Value {
    item(route, v3_parameter, v3_operation)
}

fn item(
    route: &Route,
    parameter: fn(&Parameter) -> Value,
    operation: fn(&Operation) -> Value,
) -> Value {
    let mut item = Map::new();
    item.insert("parameters".into(), route.parameters.iter().map(parameter).collect());
    for one in &route.operations {
        item.insert(one.method.to_owned(), operation(one));
    }
    item.into()
}

fn v2_parameter(parameter: &Parameter) -> Value {
    let mut out = shared_parameter(parameter);
    out["type"] = parameter.type_name.into();
    out
}

fn v3_parameter(parameter: &Parameter) -> Value {
    let mut out = shared_parameter(parameter);
    out["schema"] = json!({"type": parameter.type_name, "uniqueItems": true});
    out
}

fn shared_parameter(parameter: &Parameter) -> Value {
    let place = match parameter.place {
        Place::Path => "path",
        Place::Query => "query",
    };
    let mut out = json!({"name": parameter.name, "in": place, "uniqueItems": true});
    if !parameter.text.is_empty() {
        out["description"] = parameter.text.as_str().into();
    }
    if parameter.place == Place::Path {
        out["required"] = true.into();
    }
    out
}

fn shared_operation(operation: &Operation) -> Value {
    let (group, version, kind) = &operation.gvk;
    json!({
        "description": operation.text,
        "operationId": operation.id,
        "tags": [operation.tag],
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
    })
}

fn v2_operation(operation: &Operation) -> Value {
    let mut out = shared_operation(operation);
    let mut parameters: Vec<Value> = operation.parameters.iter().map(v2_parameter).collect();
    if let Some(body) = &operation.body {
        let required = operation.method != "delete";
        let schema = reference(body, Dialect::V2);
        parameters
            .push(json!({"name": "body", "in": "body", "required": required, "schema": schema}));
    }
    let consumes = operation.patch_types().unwrap_or(&[ANY_TYPE]);
    let produces = match (&operation.answer, operation.action) {
        (_, "connect") => &[ANY_TYPE][..],
        (Some(_), _) => &OBJECT_TYPES,
        (None, _) => &TEXT_TYPES,
    };
    out["parameters"] = parameters.into();
    out["consumes"] = consumes.into();
    out["produces"] = produces.into();
    out["schemes"] = json!(["https"]);
    out["responses"] = responses(operation, |answer| {
        let schema = answer.map_or_else(text_schema, |name| reference(name, Dialect::V2));
        ("schema", schema)
    });
    out
}

fn v3_operation(operation: &Operation) -> Value {
    let mut out = shared_operation(operation);
    out["parameters"] = operation.parameters.iter().map(v3_parameter).collect();
    if let Some(body) = &operation.body {
        let types = operation.patch_types().unwrap_or(&[ANY_TYPE]);
        let content = content(types, reference(body, Dialect::V3));
        out["requestBody"] = json!({ "content": content });
        if operation.method != "delete" {
            out["requestBody"]["required"] = true.into();
        }
    }
    let connects = operation.action == "connect";
    out["responses"] = responses(operation, |answer| {
        let content = match answer {
            Some(name) => content(&OBJECT_TYPES, reference(name, Dialect::V3)),
            None if connects => content(&[ANY_TYPE], text_schema()),
            None => content(&TEXT_TYPES, text_schema()),
        };
        ("content", content)
    });
    out
}

fn responses(operation: &Operation, body: impl Fn(Option<&str>) -> (&'static str, Value)) -> Value {
    let mut responses = Map::new();
    for (code, text) in operation.codes {
        let (key, value) = body(operation.answer.as_deref());
        let mut response = json!({ "description": text });
        response[key] = value;
        responses.insert((*code).to_owned(), response);
    }
    responses.insert("401".into(), json!({"description": "Unauthorized"}));
    responses.into()
}

fn content(types: &[&str], schema: Value) -> Value {
    let entries = types.iter().map(|media| ((*media).to_owned(), json!({ "schema": schema })));
    Value::Object(entries.collect())
}

fn reference(name: &str, dialect: Dialect) -> Value {
    json!({ "$ref": format!("{}{name}", dialect.reference_prefix()) })
}

fn text_schema() -> Value {
    json!({"type": "string"})
}

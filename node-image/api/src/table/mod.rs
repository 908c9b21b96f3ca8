//! `meta.k8s.io/v1` Tables: what `kubectl get` shows, per kind; and metadata-only forms.

mod age;
mod cluster;
mod column;
mod event;
mod extension;
mod network;
mod pod;
mod rows;
mod storage;
mod workload;

pub use age::human_duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::Kind;
use crate::custom::CustomKind;
use crate::walk::Walk;

/// What of the object a row carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// A PartialObjectMetadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

impl IncludeObject {
    /// Reads the query parameter `includeObject`.
    pub fn parse(text: &str) -> Option<IncludeObject> {
        match text {
            "None" => Some(IncludeObject::None),
            "" | "Metadata" => Some(IncludeObject::Metadata),
            "Object" => Some(IncludeObject::Object),
            _ => None,
        }
    }
}

/// The Table of some objects. `metadata` is the list's; null for one object, whose resourceVersion
/// is then taken. `columns` says whether to send column definitions, which a watch does only once.
pub fn table<'a>(
    kind: &Kind,
    objects: impl IntoIterator<Item = &'a Value>,
    metadata: &Value,
    include: IncludeObject,
    columns: bool,
    now: Timestamp,
) -> Value {
    let printer = rows::printer(&kind.group, &kind.kind);
    let mut version = Value::Null;
    let mut lines = Vec::new();
    for object in objects {
        version = object["metadata"]["resourceVersion"].clone();
        lines.push(match &kind.custom {
            Some(custom) => custom_line(custom, object, include, now),
            None => line(printer, object, include, now),
        });
    }
    let metadata = match metadata {
        Value::Null if version.is_null() => json!({}),
        Value::Null => json!({ "resourceVersion": version }),
        given => given.clone(),
    };
    let definitions: Vec<Value> = match (columns, &kind.custom) {
        (false, _) => Vec::new(),
        (true, None) => printer.columns.iter().map(|column| column.definition()).collect(),
        (true, Some(custom)) => {
            let declared = custom.column_definitions();
            [column::NAME.definition()].into_iter().chain(declared).collect()
        }
    };
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": lines,
    })
}

fn line(printer: &rows::Printer, object: &Value, include: IncludeObject, now: Timestamp) -> Value {
    let mut row = Map::new();
    row.insert("cells".into(), Value::Array((printer.cells)(object, now)));
    let conditions = (printer.conditions)(object);
    if !conditions.is_null() {
        row.insert("conditions".into(), conditions);
    }
    row.insert("object".into(), carried(object, include));
    Value::Object(row)
}

fn carried(object: &Value, include: IncludeObject) -> Value {
    match include {
        IncludeObject::None => Value::Null,
        IncludeObject::Metadata => partial_object(object),
        IncludeObject::Object => object.clone(),
    }
}

/// A PartialObjectMetadata of an object.
pub fn partial_object(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"],
    })
}

/// A PartialObjectMetadataList; `metadata` is the list's.
pub fn partial_object_list<'a>(
    objects: impl IntoIterator<Item = &'a Value>,
    metadata: &Value,
) -> Value {
    let items: Vec<Value> = objects.into_iter().map(partial_object).collect();
    json!({
        "kind": "PartialObjectMetadataList",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "items": items,
    })
}

/// The table of objects that are stored nowhere: `columns` are declared as those of custom resources
/// are, `cell` finds what a JSON path leads to.
pub fn custom_table<'a>(
    objects: impl IntoIterator<Item = &'a Value>,
    columns: &[Value],
    cell: impl Fn(&Value, &str) -> Value,
    metadata: &Value,
    include: IncludeObject,
    now: Timestamp,
) -> Value {
    let mut definitions = vec![column::NAME.definition()];
    for declared in columns {
        definitions.push(json!({
            "name": declared.text("name"),
            "type": declared.text("type"),
            "format": declared.text("format"),
            "description": declared.text("description"),
            "priority": declared.integer("priority").unwrap_or(0),
        }));
    }
    let lines: Vec<Value> = objects
        .into_iter()
        .map(|object| {
            let mut cells = vec![object["metadata"]["name"].clone()];
            cells.extend(
                columns.iter().map(|c| custom_cell(c, cell(object, c.text("jsonPath")), now)),
            );
            json!({"cells": cells, "object": carried(object, include)})
        })
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": lines,
    })
}

fn custom_line(
    custom: &CustomKind,
    object: &Value,
    include: IncludeObject,
    now: Timestamp,
) -> Value {
    let mut cells = vec![object["metadata"]["name"].clone()];
    for (column, path) in &custom.columns {
        let found = path.first(object).cloned().unwrap_or_default();
        cells.push(custom_cell(column, found, now));
    }
    json!({"cells": cells, "object": carried(object, include)})
}

/// Dates show as ages; text is text; what does not fit its column's type is empty.
fn custom_cell(column: &Value, found: Value, now: Timestamp) -> Value {
    match (column.text("type"), found) {
        ("integer", Value::Number(number)) => match number.as_i64() {
            Some(whole) => json!(whole),
            None => json!(number.as_f64().unwrap_or_default() as i64),
        },
        ("number", found @ Value::Number(_)) | ("boolean", found @ Value::Bool(_)) => found,
        ("string", Value::String(text)) => json!(text),
        ("string", Value::Null) => Value::Null,
        ("string", other) => json!(other.to_string()),
        ("date", Value::String(time)) => match time.parse::<Timestamp>() {
            Ok(_) => age::since(&Value::String(time), now),
            Err(_) => json!("<invalid>"),
        },
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{custom_kind, kind};

    #[test]
    fn a_table_of_a_list() {
        let now: Timestamp = "2026-01-01T00:01:30Z".parse().unwrap();
        let object = json!({"metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "data": {"x": "1"}});
        let metadata = json!({"resourceVersion": "7"});
        let config_map = kind("", "v1", "ConfigMap");
        let table = table(&config_map, [&object], &metadata, IncludeObject::Metadata, true, now);
        assert_eq!(table["metadata"], metadata);
        assert_eq!(table["rows"][0]["cells"], json!(["a", 1, "90s"]));
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
        assert_eq!(table["columnDefinitions"][1]["name"], "Data");
    }

    #[test]
    fn custom_columns() {
        let now: Timestamp = "2026-01-01T00:01:30Z".parse().unwrap();
        let object = json!({"metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"n": 3}});
        let kind = custom_kind(json!({"additionalPrinterColumns": [
            {"name": "N", "type": "integer", "jsonPath": ".spec.n"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            {"name": "None", "type": "string", "jsonPath": ".spec.none", "priority": 1},
        ]}));
        let table = table(&kind, [&object], &json!({}), IncludeObject::None, true, now);
        assert_eq!(table["rows"][0]["cells"], json!(["a", 3, "90s", null]));
        assert_eq!(table["columnDefinitions"][3]["priority"], 1);
        let text = "Custom resource definition column (in JSONPath format): .spec.n";
        assert_eq!(table["columnDefinitions"][1]["description"], text);
    }

    #[test]
    fn kinds_without_a_printer_show_when_they_were_made() {
        let now: Timestamp = "2026-01-01T00:01:30Z".parse().unwrap();
        let object = json!({"metadata": {"name": "a", "resourceVersion": "3", "creationTimestamp": "2026-01-01T00:00:00Z"}});
        let role = kind("rbac.authorization.k8s.io", "v1", "Role");
        let table = table(&role, [&object], &Value::Null, IncludeObject::None, true, now);
        assert_eq!(table["metadata"], json!({"resourceVersion": "3"}));
        assert_eq!(table["rows"][0]["cells"], json!(["a", "2026-01-01T00:00:00Z"]));
        assert_eq!(table["columnDefinitions"][1]["name"], "Created At");
        assert_eq!(table["columnDefinitions"][1]["type"], "date");
    }
}

//! Values that a schema directs.

use std::sync::Arc;

use kd_cel::{Activation, Budget, Environment, RUNTIME_BUDGET, Schema, Value};
use serde_json::{Value as Json, json};

fn evaluate(schema: &Json, data: &Json, expression: &str) -> Result<bool, String> {
    let schema = Arc::new(Schema::new(schema, false).expect("a typed schema"));
    let environment = Environment::new().schema_variable("self", &schema);
    let program = environment.compile(expression).map_err(|error| error.to_string())?;
    let activation = Activation::new().with("self", Value::with_schema(data, &schema));
    let value = program.evaluate(&activation, &mut Budget::new(RUNTIME_BUDGET));
    value.map_err(|error| error.to_string()).map(|value| value.as_bool() == Some(true))
}

fn property(schema: Json, data: Json, expression: &str, expect: Result<bool, &str>) {
    let schema = json!({"type": "object", "properties": {"v": schema, "w": schema}});
    let found = evaluate(&schema, &data, expression);
    match (&found, &expect) {
        (Err(found), Err(expect)) => assert!(found.contains(expect), "{expression}: {found}"),
        _ => assert_eq!(found, expect.map_err(str::to_owned), "{expression}"),
    }
}

#[test]
fn formats_become_their_types() {
    let text = |format: &str| json!({"type": "string", "format": format});
    property(text("duration"), json!({"v": "1h"}), "self.v > duration('59m')", Ok(true));
    property(text("date"), json!({"v": "2024-02-29"}), "self.v.getMonth() == 1", Ok(true));
    property(
        text("date-time"),
        json!({"v": "2024-02-29T00:00:00Z"}),
        "self.v == timestamp('2024-02-29T00:00:00Z')",
        Ok(true),
    );
    property(text("byte"), json!({"v": "aGk="}), "self.v == b'hi'", Ok(true));
    property(text("date"), json!({"v": "never"}), "self.v.getMonth() == 1", Err("Invalid date"));
    property(text("email"), json!({"v": "a"}), "self.v == 'a'", Ok(true));
    property(json!({"type": "number"}), json!({"v": 1}), "self.v == 1.0", Ok(true));
    property(
        json!({"type": "integer"}),
        json!({"v": 1.5}),
        "self.v == 1",
        Err("invalid data, expected int, got float64"),
    );
    property(
        json!({"type": "integer"}),
        json!({"v": null}),
        "self.v == 1",
        Err("invalid data, got null for schema with nullable=false"),
    );
    property(
        json!({"type": "integer", "nullable": true}),
        json!({"v": null}),
        "dyn(self.v) == null",
        Ok(true),
    );
}

#[test]
fn int_or_string_is_either() {
    let schema = json!({"x-kubernetes-int-or-string": true});
    let rule = "type(self.v) == int ? self.v < 5 : self.v == '50%'";
    property(schema.clone(), json!({"v": 3}), rule, Ok(true));
    property(schema.clone(), json!({"v": "50%"}), rule, Ok(true));
    property(schema, json!({"v": true}), rule, Err("XIntOrString"));
}

#[test]
fn lists_compare_by_their_type() {
    let set =
        json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}});
    let data = json!({"v": ["a", "b"], "w": ["b", "a"]});
    property(set.clone(), data.clone(), "self.v == self.w", Ok(true));
    property(set, data.clone(), "(self.v + self.w).size() == 2", Ok(true));
    let atomic = json!({"type": "array", "items": {"type": "string"}});
    property(atomic, data, "self.v == self.w", Ok(false));
    let map = json!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        "items": {"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer"}}},
    });
    let data = json!({
        "v": [{"name": "a", "n": 1}, {"name": "b", "n": 2}],
        "w": [{"name": "b", "n": 2}, {"name": "a", "n": 1}],
    });
    property(map.clone(), data.clone(), "self.v == dyn(self.w)", Ok(true));
    property(map, data, "(self.v + dyn(self.w)).size() == 2", Ok(true));
}

#[test]
fn names_are_escaped_and_checked() {
    let schema = json!({
        "type": "object",
        "properties": {
            "a.b": {"type": "integer"},
            "namespace": {"type": "string"},
            "loose": {"x-kubernetes-preserve-unknown-fields": true},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    });
    let data = json!({"a.b": 1, "namespace": "x", "loose": {"z": 1}, "labels": {"a-b": "c"}});
    let check = |expression: &str, expect: Result<bool, &str>| {
        let found = evaluate(&schema, &data, expression);
        match (&found, &expect) {
            (Err(found), Err(expect)) => assert!(found.contains(expect), "{expression}: {found}"),
            _ => assert_eq!(found, expect.map_err(str::to_owned), "{expression}"),
        }
    };
    check("self.a__dot__b == 1 && self.__namespace__ == 'x'", Ok(true));
    check("has(self.labels) && self.labels['a-b'] == 'c' && 'a-b' in self.labels", Ok(true));
    check("self.loose.z == 1", Err("undefined field 'loose'"));
    check("self.nothing == 1", Err("1:5: undefined field 'nothing'"));
    check(
        "self.a__dot__b == 'x'",
        Err("found no matching overload for '_==_' applied to '(int, string)'"),
    );
    check("self.labels.all(k, self.labels[k].size() == 1)", Ok(true));
}

#[test]
fn resources_have_names() {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object"}}});
    let schema = Arc::new(Schema::new(&schema, true).expect("an object"));
    let environment = Environment::new().schema_variable("self", &schema);
    assert!(environment.compile("self.metadata.name == self.kind + self.apiVersion").is_ok());
    assert!(environment.compile("self.metadata.labels == {}").is_err());
}

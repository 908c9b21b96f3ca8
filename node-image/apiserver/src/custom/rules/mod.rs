//! `x-kubernetes-validations`: the rules of custom resources in CEL.

mod definition;
mod evaluate;

use std::collections::BTreeMap;
use std::sync::Arc;

use kd_api::{FieldError, FieldErrorType, Kind, Path};
use kd_cel::{Environment, Program, Schema, Type};
use serde_json::Value;

pub(crate) use definition::errors as definition_errors;

const RULES: &str = "x-kubernetes-validations";

/// What is wrong with an object of a custom kind; `errors` is what the schema alone found.
pub(crate) fn check(
    kind: &Kind,
    new: &Value,
    old: Option<&Value>,
    mut errors: Vec<FieldError>,
) -> Vec<FieldError> {
    let Some(custom) = &kind.custom else { return errors };
    let rules = custom.compiled(|custom| Node::of(&custom.schema_json(), true));
    let Some(Some(rules)) = rules else { return errors };
    if errors.iter().any(|error| hides_rules(error.error_type)) {
        let text = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
        errors.push(FieldError::invalid(Path::new(""), "null", text));
        return errors;
    }
    evaluate::evaluate(rules, new, old, &mut errors);
    errors
}

/// Whether expressions could not rely on their types after such an error.
fn hides_rules(error: FieldErrorType) -> bool {
    use FieldErrorType::*;
    matches!(error, NotSupported | Required | TooLong | TooMany | TypeInvalid)
}

/// The rules of a schema and of what is under it.
struct Node {
    rules: Vec<Rule>,
    /// Of the values that the rules see.
    schema: Option<Arc<Schema>>,
    properties: BTreeMap<String, Node>,
    /// Of the values of a map.
    values: Option<Box<Node>>,
    items: Option<Box<Node>>,
    /// What tells the elements of a list apart, if anything does.
    list_keys: Option<Vec<String>>,
    /// Whether fields of a changed object are compared with what they were.
    is_atomic: bool,
    /// Whether messages leave values out.
    is_whole: bool,
}

/// One rule.
struct Rule {
    text: String,
    message: String,
    reason: String,
    /// Of the field that the message is about, from the rule's place on.
    field: Vec<String>,
    optional_old: bool,
    compiled: Compiled,
}

/// The expressions of a rule, or why there are none.
struct Compiled {
    rule: Result<Program, String>,
    message: Option<Result<Program, String>>,
}

impl Node {
    /// None if there are no rules.
    fn of(schema: &Value, root: bool) -> Option<Node> {
        let under = |key: &str| schema.get(key).and_then(|inner| Node::of(inner, false));
        let properties = schema.get("properties").and_then(Value::as_object);
        let properties = properties.into_iter().flatten();
        let properties =
            properties.filter_map(|(name, inner)| Some((name.clone(), Node::of(inner, false)?)));
        let declared = list(schema, RULES);
        let types = match declared {
            [] => None,
            _ => types_of(schema, root),
        };
        let rules = declared.iter().map(|rule| Rule::of(rule, types.as_ref())).collect();
        let keys = list(schema, "x-kubernetes-list-map-keys");
        let is_map = text(schema, "x-kubernetes-list-type") == "map";
        let keys = keys.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let node = Node {
            rules,
            schema: types,
            properties: properties.collect(),
            values: under("additionalProperties").map(Box::new),
            items: under("items").map(Box::new),
            list_keys: is_map.then_some(keys),
            is_atomic: text(schema, "x-kubernetes-map-type") == "atomic",
            is_whole: matches!(text(schema, "type"), "object" | "array"),
        };
        let is_needed = !node.rules.is_empty()
            || !node.properties.is_empty()
            || node.values.is_some()
            || node.items.is_some();
        is_needed.then_some(node)
    }
}

impl Rule {
    fn of(rule: &Value, schema: Option<&Arc<Schema>>) -> Rule {
        let compiled = match schema {
            Some(schema) => Compiled::of(rule, schema),
            None => Compiled { rule: Err("the schema has no type".into()), message: None },
        };
        Rule {
            text: text(rule, "rule").to_owned(),
            message: text(rule, "message").to_owned(),
            reason: text(rule, "reason").to_owned(),
            field: kd_api::custom::field_path(text(rule, "fieldPath")).unwrap_or_default(),
            optional_old: has_optional_old(rule),
            compiled,
        }
    }
}

impl Compiled {
    fn of(rule: &Value, schema: &Arc<Schema>) -> Compiled {
        let environment = Environment::new().schema_variable("self", schema);
        let environment = match has_optional_old(rule) {
            true => environment.variable("oldSelf", Type::optional(schema.value_type())),
            false => environment.schema_variable("oldSelf", schema),
        };
        let compile = |text: &str, prefix: &str, wanted: Type, otherwise: &str| {
            let compiled = environment.compile(text);
            let compiled = compiled.map_err(|e| format!("{prefix}compilation failed: {e}"))?;
            match *compiled.result_type() == wanted || *compiled.result_type() == Type::Dyn {
                true => Ok(compiled),
                false => Err(otherwise.to_owned()),
            }
        };
        let message = match text(rule, "messageExpression") {
            "" => None,
            text => {
                let otherwise = "messageExpression must evaluate to a string";
                Some(compile(text, "messageExpression ", Type::String, otherwise))
            }
        };
        let otherwise = "cel expression must evaluate to a bool";
        Compiled { rule: compile(text(rule, "rule"), "", Type::Bool, otherwise), message }
    }
}

/// What expressions know of the values of a schema.
fn types_of(schema: &Value, root: bool) -> Option<Arc<Schema>> {
    let is_resource = root || flag(schema, "x-kubernetes-embedded-resource");
    Schema::new(schema, is_resource).map(Arc::new)
}

fn has_optional_old(rule: &Value) -> bool {
    flag(rule, "optionalOldSelf")
}

fn flag(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

//! The outer form of `x-kubernetes-validations`; whether the expressions compile is asked where CEL
//! is known.

use serde_json::Value;

use super::super::check::Errors;
use crate::walk::Walk;
use crate::{FieldError, Path};

const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// The rules of a schema.
pub(super) fn validate(errors: &mut Errors, schema: &Value, path: &Path) {
    const KEY: &str = "x-kubernetes-validations";
    for (index, rule) in schema.list(KEY).iter().enumerate() {
        let path = path.child(KEY).index(index);
        words(errors, rule, &path);
        let reason = rule.text("reason");
        if rule.has("reason") && !REASONS.contains(&reason) {
            errors.push(FieldError::not_supported(path.child("reason"), reason, &REASONS));
        }
        let place = path.child("fieldPath");
        let field = rule.text("fieldPath");
        if !field.is_empty() && field.trim().is_empty() {
            errors.push(FieldError::invalid(
                place.clone(),
                field,
                "must be non-empty if specified",
            ));
        }
        if has_line_breaks(field) {
            errors.push(FieldError::invalid(place.clone(), field, "must not contain line breaks"));
        }
        if !field.is_empty() && !leads_somewhere(schema, field) {
            errors.push(FieldError::invalid(place, field, "must be a valid path"));
        }
    }
}

fn words(errors: &mut Errors, rule: &Value, path: &Path) {
    let (expression, message) = (rule.text("rule").trim(), rule.text("message"));
    let place = path.child("message");
    if expression.is_empty() {
        errors.push(FieldError::required(path.child("rule"), "rule is not specified"));
    } else if !message.is_empty() && message.trim().is_empty() {
        errors.push(FieldError::invalid(place, message, "must be non-empty if specified"));
    } else if has_line_breaks(message.trim()) {
        errors.push(FieldError::invalid(place, message, "must not contain line breaks"));
    } else if has_line_breaks(expression) && message.is_empty() {
        let text = "message must be specified if rule contains line breaks";
        errors.push(FieldError::required(place, text));
    }
    let expression = rule.text("messageExpression");
    if !expression.is_empty() && expression.trim().is_empty() {
        let text = "messageExpression must be non-empty if specified";
        errors.push(FieldError::required(path.child("messageExpression"), text));
    }
}

fn has_line_breaks(text: &str) -> bool {
    text.contains(['\n', '\r'])
}

/// Whether a path (`.spec.a`, `['b.c']`) names a field of the schema.
fn leads_somewhere(schema: &Value, path: &str) -> bool {
    let Some(names) = field_path(path) else { return false };
    let mut place = schema;
    for name in &names {
        let named = &place["properties"][name.as_str()];
        place = if named.is_object() { named } else { &place["additionalProperties"] };
        if !place.is_object() {
            return false;
        }
    }
    true
}

/// The names of a path of fields; none if it has another form.
pub fn field_path(path: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = path.trim();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            if end == 0 {
                return None;
            }
            names.push(after[..end].to_owned());
            rest = &after[end..];
        } else {
            let after = rest.strip_prefix("['")?;
            let (name, after) = after.split_once("']")?;
            names.push(name.to_owned());
            rest = after;
        }
    }
    (!names.is_empty()).then_some(names)
}

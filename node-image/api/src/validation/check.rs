//! The checks that recur in every kind's rules.

use serde_json::Value;

use super::names::Problems;
use crate::strategy::same;
use crate::walk::Walk;
use crate::{FieldError, Path};

/// What was found wrong so far.
pub(super) type Errors = Vec<FieldError>;

/// One error per problem of a text.
pub(super) fn problems(errors: &mut Errors, path: &Path, value: impl Into<Value>, wrong: Problems) {
    let value = value.into();
    errors.extend(
        wrong.into_iter().map(|text| FieldError::invalid(path.clone(), value.clone(), text)),
    );
}

/// A text that must be there and keep to a format.
pub(super) fn required_text(
    errors: &mut Errors,
    owner: &Value,
    field: &str,
    path: &Path,
    rule: fn(&str) -> Problems,
) {
    let text = owner.text(field);
    if text.is_empty() {
        errors.push(FieldError::required(path.child(field), ""));
    } else {
        problems(errors, &path.child(field), text, rule(text));
    }
}

/// A text that must keep to a format when it is there.
pub(super) fn optional_text(
    errors: &mut Errors,
    owner: &Value,
    field: &str,
    path: &Path,
    rule: fn(&str) -> Problems,
) {
    let text = owner.text(field);
    if !text.is_empty() {
        problems(errors, &path.child(field), text, rule(text));
    }
}

/// A text that must be there.
pub(super) fn required(errors: &mut Errors, owner: &Value, field: &str, path: &Path) {
    if owner.text(field).is_empty() {
        errors.push(FieldError::required(path.child(field), ""));
    }
}

/// A text that must be there and be one of `supported`.
pub(super) fn required_choice(
    errors: &mut Errors,
    owner: &Value,
    field: &str,
    path: &Path,
    supported: &[&str],
) {
    match owner.text(field) {
        "" => errors.push(FieldError::required(path.child(field), "")),
        _ => choice(errors, owner, field, path, supported),
    }
}

/// A text that must be one of `supported` when it is there.
pub(super) fn choice(
    errors: &mut Errors,
    owner: &Value,
    field: &str,
    path: &Path,
    supported: &[&str],
) {
    let text = owner.text(field);
    if owner.has(field) && !supported.contains(&text) {
        errors.push(FieldError::not_supported(path.child(field), text, supported));
    }
}

/// A number that must not be negative.
pub(super) fn not_negative(errors: &mut Errors, owner: &Value, field: &str, path: &Path) {
    if let Some(number) = owner.integer(field)
        && number < 0
    {
        let text = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(path.child(field), number, text));
    }
}

/// A number within bounds, both included.
pub(super) fn within(
    errors: &mut Errors,
    owner: &Value,
    field: &str,
    path: &Path,
    (low, high): (i64, i64),
) {
    if let Some(number) = owner.integer(field)
        && !(low..=high).contains(&number)
    {
        let text = format!("must be between {low} and {high}, inclusive");
        errors.push(FieldError::invalid(path.child(field), number, text));
    }
}

/// A value that an update may not change.
pub(super) fn immutable(errors: &mut Errors, new: &Value, old: &Value, path: &Path) {
    if !same(new, old) {
        errors.push(FieldError::invalid(path.clone(), new.clone(), "field is immutable"));
    }
}

/// A map of labels.
pub(super) fn labels(errors: &mut Errors, owner: &Value, field: &str, path: &Path) {
    let path = path.child(field);
    for (key, value) in owner.entries(field) {
        problems(errors, &path, key, super::names::qualified_name(key));
        let value = value.as_str().unwrap_or("");
        problems(errors, &path, value, super::names::label_value(value));
    }
}

/// A `meta/v1` LabelSelector.
pub(super) fn label_selector(errors: &mut Errors, selector: &Value, path: &Path) {
    labels(errors, selector, "matchLabels", path);
    for (index, expression) in selector.list("matchExpressions").iter().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let values = expression.list("values");
        match expression.text("operator") {
            "In" | "NotIn" if values.is_empty() => {
                let text = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(path.child("values"), text));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(path.child("values"), text));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                let text = "not a valid selector operator";
                errors.push(FieldError::invalid(path.child("operator"), other, text));
            }
        }
        let key = expression.text("key");
        problems(errors, &path.child("key"), key, super::names::qualified_name(key));
        for (index, value) in values.iter().enumerate() {
            let value = value.as_str().unwrap_or("");
            let path = path.child("values").index(index);
            problems(errors, &path, value, super::names::label_value(value));
        }
    }
}

/// A port number, or the name of a port.
pub(super) fn port_reference(errors: &mut Errors, port: &Value, path: &Path) {
    match port {
        Value::String(name) => problems(errors, path, name.as_str(), super::names::port_name(name)),
        other => {
            let number = other.as_i64().unwrap_or(0);
            problems(errors, path, number, super::names::port_number(number));
        }
    }
}

/// A number, or a percentage: `5`, `"25%"`.
pub(super) fn number_or_percent(errors: &mut Errors, value: &Value, path: &Path) {
    match value {
        Value::String(text) => {
            let digits = text.strip_suffix('%').unwrap_or("");
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                let text_of = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
                errors.push(FieldError::invalid(path.clone(), text.as_str(), text_of));
            }
        }
        Value::Number(number) if number.as_i64().is_some_and(|n| n < 0) => {
            let text = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(path.clone(), value.clone(), text));
        }
        _ => {}
    }
}

/// What a percentage says, if the value is one.
pub(super) fn percent(value: &Value) -> Option<i64> {
    value.as_str()?.strip_suffix('%')?.parse().ok()
}

/// A share of at most all of them.
pub(super) fn at_most_all(errors: &mut Errors, value: &Value, path: &Path) {
    if percent(value).is_some_and(|share| share > 100) {
        let text = "must not be greater than 100%";
        errors.push(FieldError::invalid(path.clone(), value.clone(), text));
    }
}

/// Whether a number or percentage is nothing at all.
pub(super) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(_) => percent(value).unwrap_or(0) == 0,
        _ => true,
    }
}

/// Numbers that must not be negative.
pub(super) fn none_negative(errors: &mut Errors, owner: &Value, fields: &[&str], path: &Path) {
    fields.iter().for_each(|field| not_negative(errors, owner, field, path));
}

/// A number of which there cannot be more than of another.
pub(super) fn not_above(
    errors: &mut Errors,
    owner: &Value,
    (field, limit): (&str, &str),
    path: &Path,
    text: &str,
) {
    let number = |field: &str| owner.integer(field).unwrap_or(0);
    if number(field) > number(limit) {
        errors.push(FieldError::invalid(path.child(field), number(field), text));
    }
}

/// A counter that only grows.
pub(super) fn not_decremented(
    errors: &mut Errors,
    new: &Value,
    old: &Value,
    field: &str,
    path: &Path,
) {
    let Some(before) = old.integer(field) else { return };
    let now = new.integer(field);
    if now.is_none_or(|now| now < before) {
        let text = "cannot be decremented";
        errors.push(FieldError::invalid(path.child(field), now.unwrap_or(0), text));
    }
}

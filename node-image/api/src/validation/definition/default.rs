//! Defaults are values of their own schema, and hold nothing that it does not know.

use super::super::check::Errors;
use crate::custom::{Structural, default_errors};
use crate::{FieldError, Path};

/// The defaults in a schema.
pub(super) fn validate(errors: &mut Errors, compiled: &Structural, path: &Path) {
    if let Some(value) = &compiled.default {
        let place = path.child("default");
        let (unknown, wrong) = default_errors(compiled, value);
        if unknown {
            let text = "must not have unknown fields";
            errors.push(FieldError::invalid(place.clone(), (**value).clone(), text));
        }
        errors.extend(wrong.into_iter().map(|error| {
            let field = place.join(&error.field);
            FieldError { field, ..error }
        }));
    }
    if let Some(items) = &compiled.items {
        validate(errors, items, &path.child("items"));
    }
    for (name, field) in &compiled.properties {
        let place = path.child("properties").key(name);
        validate(errors, field, &place);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_obey_their_schema() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "integer", "default": "x"},
            "b": {"type": "object", "default": {"c": 1, "d": true}, "properties": {"c": {"type": "integer"}}}}});
        let mut errors = Errors::new();
        validate(&mut errors, &Structural::parse(&schema), &Path::new("s"));
        let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        assert_eq!(
            texts,
            [
                r#"s.properties[a].default: Invalid value: "string":  in body must be of type integer: "string""#,
                r#"s.properties[b].default: Invalid value: {"c":1,"d":true}: must not have unknown fields"#,
            ]
        );
    }
}

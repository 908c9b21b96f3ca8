//! Whether values obey their schema, in upstream's words and order. On an update, what did not
//! change is not judged again: a schema may grow stricter than the objects that are there.

use std::cmp::Ordering;
use std::fmt::Write;

use serde_json::{Map, Number, Value};

use super::format;
use super::structural::{Additional, Checks, Structural, Type};
use crate::schema::ListType;
use crate::{FieldError, FieldErrorType, Path};

/// What is wrong with a value that is at `path` ("" for a whole object). `old` is what was there
/// before, where that can be told.
pub(super) fn validate(
    errors: &mut Vec<FieldError>,
    path: &str,
    schema: &Structural,
    value: &Value,
    old: Option<&Value>,
) {
    let mut judge = Judge { root: path.to_owned(), errors: Vec::new() };
    judge.value(path, schema, value, old);
    errors.append(&mut judge.errors);
}

struct Judge {
    /// Where junctors report.
    root: String,
    errors: Vec<FieldError>,
}

impl Judge {
    fn value(&mut self, path: &str, schema: &Structural, value: &Value, old: Option<&Value>) {
        let before = self.errors.len();
        self.judged(path, schema, value, old);
        if self.errors.len() > before && old == Some(value) {
            self.errors.truncate(before);
        }
    }

    fn judged(&mut self, path: &str, schema: &Structural, value: &Value, old: Option<&Value>) {
        let typed = self.has_type(path, schema, value);
        let checks = schema.checks();
        if value.is_null() {
            self.enumeration(path, checks, value);
            return;
        }
        self.junctors(path, schema, checks, value);
        match value {
            Value::String(text) => self.text(path, checks, text, typed),
            Value::Number(number) => self.number(path, schema, checks, number),
            Value::Array(list) => self.list(path, schema, checks, list, old),
            _ => {}
        }
        self.enumeration(path, checks, value);
        if let Value::Object(map) = value {
            self.map(path, schema, checks, map, old);
        }
    }

    fn push(&mut self, sort: FieldErrorType, path: &str, value: impl Into<Value>, detail: String) {
        let field = Path::new(path.trim_start_matches('.'));
        self.errors.push(FieldError { error_type: sort, field, bad_value: value.into(), detail });
    }

    fn invalid(&mut self, path: &str, value: impl Into<Value>, rule: &str) {
        self.push(FieldErrorType::Invalid, path, value, format!("{path} in body {rule}"));
    }

    fn has_type(&mut self, path: &str, schema: &Structural, value: &Value) -> bool {
        let found = type_of(value);
        let expected = match schema.int_or_string {
            true => "integer,string",
            false => schema.ty.as_str(),
        };
        let fits = match (schema.int_or_string, schema.ty) {
            _ if value.is_null() => expected.is_empty() || schema.nullable,
            (true, _) => matches!(found, "integer" | "string"),
            (_, Type::Any) => true,
            (_, Type::Number) => matches!(found, "integer" | "number"),
            (_, Type::Integer) => is_whole(value),
            (_, ty) => ty.as_str() == found,
        };
        if !fits {
            let text = format!("{path} in body must be of type {expected}: {found:?}");
            self.push(FieldErrorType::TypeInvalid, path, found, text);
        }
        fits
    }

    fn junctors(&mut self, path: &str, schema: &Structural, checks: &Checks, value: &Value) {
        let said = schema.int_or_string && is_int_or_string(&checks.any_of);
        if !checks.any_of.is_empty() && !said {
            let (valid, failures) = self.tried(path, &checks.any_of, value, true);
            if valid == 0 {
                self.junctor(format!("{path:?} must validate at least one schema (anyOf)"));
                self.errors.extend(failures);
            }
        }
        if !checks.one_of.is_empty() {
            let (valid, failures) = self.tried(path, &checks.one_of, value, false);
            if valid != 1 {
                let found = match valid {
                    0 => "Found none valid".to_owned(),
                    count => format!("Found {count} valid alternatives"),
                };
                let text =
                    format!("{path:?} must validate one and only one schema (oneOf). {found}");
                self.junctor(text);
                if valid == 0 {
                    self.errors.extend(failures);
                }
            }
        }
        self.all_of(path, &checks.all_of, value);
        if let Some(not) = &checks.not
            && self.attempt(path, not, value).is_empty()
        {
            self.junctor(format!("{path:?} must not validate the schema (not)"));
        }
    }

    fn all_of(&mut self, path: &str, schemas: &[Structural], value: &Value) {
        let failures: Vec<Vec<FieldError>> =
            schemas.iter().map(|schema| self.attempt(path, schema, value)).collect();
        let valid = failures.iter().filter(|errors| errors.is_empty()).count();
        self.errors.extend(failures.into_iter().flatten());
        if valid < schemas.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            self.junctor(format!("{path:?} must validate all the schemas (allOf){none}"));
        }
    }

    /// An error about a junctor, which upstream reports at the root.
    fn junctor(&mut self, text: String) {
        let root = self.root.clone();
        self.push(FieldErrorType::Invalid, &root, "", text);
    }

    fn attempt(&self, path: &str, schema: &Structural, value: &Value) -> Vec<FieldError> {
        let mut judge = Judge { root: self.root.clone(), errors: Vec::new() };
        judge.value(path, schema, value, None);
        judge.errors
    }

    /// How many of the schemas hold, and what is wrong by the first that comes closest.
    fn tried(
        &self,
        path: &str,
        schemas: &[Structural],
        value: &Value,
        one_is_enough: bool,
    ) -> (usize, Vec<FieldError>) {
        let mut valid = 0;
        let mut best: Option<Vec<FieldError>> = None;
        for schema in schemas {
            let failures = self.attempt(path, schema, value);
            if failures.is_empty() {
                valid += 1;
                if one_is_enough {
                    break;
                }
            } else if best.as_ref().is_none_or(|best| failures.len() < best.len()) {
                best = Some(failures);
            }
        }
        (valid, best.unwrap_or_default())
    }

    fn text(&mut self, path: &str, checks: &Checks, text: &str, typed: bool) {
        let length = text.chars().count() as i64;
        if let Some(most) = checks.max_length.filter(|most| length > *most) {
            let detail = format!("may not be more than {most} bytes");
            self.push(FieldErrorType::TooLong, path, Value::Null, detail);
        } else if let Some(least) = checks.min_length.filter(|least| length < *least) {
            self.invalid(path, text, &format!("should be at least {least} chars long"));
        } else if let Some(pattern) = checks.pattern.as_ref().filter(|p| !p.matches(text)) {
            self.invalid(path, text, &format!("should match '{}'", pattern.text));
        }
        if typed && !format::holds(&checks.format, text) {
            let detail = format!("{path} in body must be of type {}: {text:?}", checks.format);
            self.push(FieldErrorType::TypeInvalid, path, text, detail);
        }
    }

    fn number(&mut self, path: &str, schema: &Structural, checks: &Checks, number: &Number) {
        if checks.format == "int32"
            && schema.ty == Type::Integer
            && number.as_i64().is_none_or(|n| i32::try_from(n).is_err())
        {
            let text = format!("Checked value must be of type integer with format int32 in {path}");
            self.junctor(text);
        }
        let value = number.as_f64().unwrap_or(f64::NAN);
        let shown = Value::Number(number.clone());
        if let Some(factor) = checks.multiple_of
            && !is_multiple(value, factor)
        {
            let rule = format!("should be a multiple of {}", shown_number(factor, number));
            self.invalid(path, shown.clone(), &rule);
        }
        if let Some((most, exclusive)) = checks.maximum
            && (if exclusive { value >= most } else { value > most })
        {
            let words = if exclusive { "less than" } else { "less than or equal to" };
            let rule = format!("should be {words} {}", shown_number(most, number));
            self.invalid(path, shown.clone(), &rule);
        }
        if let Some((least, exclusive)) = checks.minimum
            && (if exclusive { value <= least } else { value < least })
        {
            let words = if exclusive { "greater than" } else { "greater than or equal to" };
            let rule = format!("should be {words} {}", shown_number(least, number));
            self.invalid(path, shown, &rule);
        }
    }

    fn list(
        &mut self,
        path: &str,
        schema: &Structural,
        checks: &Checks,
        list: &[Value],
        old: Option<&Value>,
    ) {
        let before = Correlated::of(schema, checks, old);
        if let Some(items) = &schema.items {
            let mut place = String::new();
            for (index, item) in list.iter().enumerate() {
                place.clear();
                // Writing to a string cannot fail.
                let _ = write!(place, "{path}[{index}]");
                self.value(&place, items, item, before.find(item));
            }
        }
        let count = list.len() as i64;
        if let Some(least) = checks.min_items.filter(|least| count < *least) {
            self.invalid(path, count, &format!("should have at least {least} items"));
        }
        if let Some(most) = checks.max_items.filter(|most| count > *most) {
            let detail = format!("must have at most {most} items");
            self.push(FieldErrorType::TooMany, path, count, detail);
        }
    }

    fn enumeration(&mut self, path: &str, checks: &Checks, value: &Value) {
        let all = &checks.enumeration;
        if all.is_empty() || all.iter().any(|allowed| equal(allowed, value)) {
            return;
        }
        let shown = |allowed: &Value| match allowed {
            Value::String(text) => format!("{text:?}"),
            other => format!("{:?}", other.to_string()),
        };
        let supported: Vec<String> = all.iter().map(shown).collect();
        let detail = format!("supported values: {}", supported.join(", "));
        self.push(FieldErrorType::NotSupported, path, value.clone(), detail);
    }

    fn map(
        &mut self,
        path: &str,
        schema: &Structural,
        checks: &Checks,
        map: &Map<String, Value>,
        old: Option<&Value>,
    ) {
        let count = map.len() as i64;
        if let Some(least) = checks.min_properties.filter(|least| count < *least) {
            return self.invalid(path, count, &format!("should have at least {least} properties"));
        }
        if let Some(most) = checks.max_properties.filter(|most| count > *most) {
            let detail = format!("must have at most {most} items");
            return self.push(FieldErrorType::TooMany, path, count, detail);
        }
        // What is atomic is correlated as a whole.
        let old = old.and_then(Value::as_object).filter(|_| !schema.atomic_map);
        let unnamed = map.iter().filter(|(key, _)| schema.property(key).is_none());
        match schema.additional.as_deref() {
            Some(Additional::Any(false)) => {
                for (key, _) in unnamed {
                    let text = format!("{path}.{key} in body is a forbidden property");
                    self.push(FieldErrorType::Invalid, path, key.as_str(), text);
                }
            }
            Some(Additional::Schema(values)) => {
                for (key, value) in unnamed {
                    let before = old.and_then(|old| old.get(key));
                    self.value(&format!("{path}.{key}"), values, value, before);
                }
            }
            _ => {}
        }
        for (name, field) in &schema.properties {
            if let Some(value) = map.get(name.as_ref()) {
                let before = old.and_then(|old| old.get(name.as_ref()));
                let place = match path {
                    "" => name.to_string(),
                    path => format!("{path}.{name}"),
                };
                self.value(&place, field, value, before);
            }
        }
        for name in checks.required.iter().filter(|name| !map.contains_key(*name)) {
            self.push(FieldErrorType::Required, &format!("{path}.{name}"), "", String::new());
        }
    }
}

/// Finds the element of the old list that an element is the successor of: by keys, in lists of
/// type map.
struct Correlated<'a> {
    keys: &'a [String],
    old: &'a [Value],
}

impl<'a> Correlated<'a> {
    fn of(schema: &Structural, checks: &'a Checks, old: Option<&'a Value>) -> Correlated<'a> {
        let old = old.and_then(Value::as_array).filter(|_| schema.list_type == Some(ListType::Map));
        Correlated { keys: &checks.list_map_keys, old: old.map_or(&[], Vec::as_slice) }
    }

    fn find(&self, item: &Value) -> Option<&'a Value> {
        let same = |old: &&Value| self.keys.iter().all(|key| old.get(key) == item.get(key));
        self.old.iter().find(same)
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_whole(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            !number.is_f64() || number.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        _ => false,
    }
}

/// The pattern that upstream requires beside `x-kubernetes-int-or-string`; it says nothing more.
fn is_int_or_string(any_of: &[Structural]) -> bool {
    matches!(any_of, [a, b] if a.ty == Type::Integer && b.ty == Type::String)
}

fn is_multiple(value: f64, factor: f64) -> bool {
    factor > 0.0 && (value / factor).fract() == 0.0
}

/// A bound as Go shows it beside a number: whole for whole numbers.
fn shown_number(bound: f64, beside: &Number) -> String {
    match beside.is_f64() {
        true => go_float(bound),
        false => (bound as i64).to_string(),
    }
}

/// Go's `%v`: in scientific notation below 1e-4 and from 1e6 on.
pub(super) fn go_float(value: f64) -> String {
    let exponent = value.abs().log10().floor();
    if value != 0.0 && !(-4.0..6.0).contains(&exponent) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    value.to_string()
}

/// Equality in which 1 and 1.0 are the same.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || a.as_f64().partial_cmp(&b.as_f64()) == Some(Ordering::Equal)
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(schema: Value, value: Value, want: &[&str]) {
        let mut errors = Vec::new();
        validate(
            &mut errors,
            "",
            &Structural::parse(&schema),
            &json!({"spec": {"a": value}}),
            None,
        );
        let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        assert_eq!(texts, want);
    }

    fn with(a: Value) -> Value {
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": a}}}})
    }

    #[test]
    fn types() {
        let text =
            r#"spec.a: Invalid value: "string": spec.a in body must be of type integer: "string""#;
        check(with(json!({"type": "integer"})), json!("x"), &[text]);
        check(with(json!({"type": "integer"})), json!(1.0), &[]);
        check(with(json!({"type": "number"})), json!(1), &[]);
        let text =
            r#"spec.a: Invalid value: "null": spec.a in body must be of type object: "null""#;
        check(with(json!({"type": "object"})), json!(null), &[text]);
        check(with(json!({"type": "object", "nullable": true})), json!(null), &[]);
        let either = json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]});
        check(with(either.clone()), json!("5%"), &[]);
        let text = r#"spec.a: Invalid value: "boolean": spec.a in body must be of type integer,string: "boolean""#;
        check(with(either), json!(true), &[text]);
    }

    #[test]
    fn texts_and_numbers() {
        let name = json!({"type": "string", "maxLength": 5, "minLength": 2, "pattern": "^a"});
        check(
            with(name.clone()),
            json!("abcdef"),
            &["spec.a: Too long: may not be more than 5 bytes"],
        );
        let text = r#"spec.a: Invalid value: "a": spec.a in body should be at least 2 chars long"#;
        check(with(name.clone()), json!("a"), &[text]);
        let text = r#"spec.a: Invalid value: "bcd": spec.a in body should match '^a'"#;
        check(with(name), json!("bcd"), &[text]);
        let text = r#"spec.a: Unsupported value: "c": supported values: "a", "b""#;
        check(with(json!({"type": "string", "enum": ["a", "b"]})), json!("c"), &[text]);
        let range =
            json!({"type": "integer", "minimum": 1, "maximum": 10, "exclusiveMaximum": true});
        let text = "spec.a: Invalid value: 0: spec.a in body should be greater than or equal to 1";
        check(with(range.clone()), json!(0), &[text]);
        let text = "spec.a: Invalid value: 10: spec.a in body should be less than 10";
        check(with(range), json!(10), &[text]);
        let text = r#"spec.a: Invalid value: "x": spec.a in body must be of type date-time: "x""#;
        check(with(json!({"type": "string", "format": "date-time"})), json!("x"), &[text]);
        let text = r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.a"#;
        check(
            with(json!({"type": "integer", "format": "int32"})),
            json!(3_000_000_000u64),
            &[text],
        );
    }

    #[test]
    fn containers() {
        let list = json!({"type": "array", "maxItems": 1, "items": {"type": "string"}});
        let text = r#"spec.a[1]: Invalid value: "integer": spec.a[1] in body must be of type string: "integer""#;
        check(
            with(list),
            json!(["x", 1]),
            &[text, "spec.a: Too many: 2: must have at most 1 items"],
        );
        let map = json!({"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}});
        let text = "spec.a: Invalid value: 0: spec.a in body should have at least 1 properties";
        check(with(map.clone()), json!({}), &[text]);
        let text = r#"spec.a.k: Invalid value: "boolean": spec.a.k in body must be of type string: "boolean""#;
        check(with(map), json!({"k": true}), &[text]);
        let fields =
            json!({"type": "object", "required": ["x"], "properties": {"x": {"type": "string"}}});
        check(with(fields), json!({}), &["spec.a.x: Required value"]);
    }

    #[test]
    fn junctors() {
        let one_of = json!({"type": "object", "oneOf": [{"required": ["x"]}, {"required": ["y"]}]});
        let text = r#"<nil>: Invalid value: "": "spec.a" must validate one and only one schema (oneOf). Found none valid"#;
        check(with(one_of.clone()), json!({}), &[text, "spec.a.x: Required value"]);
        let text = r#"<nil>: Invalid value: "": "spec.a" must validate one and only one schema (oneOf). Found 2 valid alternatives"#;
        check(with(one_of), json!({"x": 1, "y": 2}), &[text]);
        let text = r#"<nil>: Invalid value: "": "spec.a" must not validate the schema (not)"#;
        check(
            with(json!({"type": "object", "not": {"required": ["x"]}})),
            json!({"x": 1}),
            &[text],
        );
    }

    #[test]
    fn what_did_not_change_is_not_judged_again() {
        let schema =
            Structural::parse(&with(json!({"type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object",
            "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 5}}}})));
        let of = |list: Value| json!({"spec": {"a": list}});
        let count = |new: Value, old: Value| {
            let mut errors = Vec::new();
            validate(&mut errors, "", &schema, &of(new), Some(&of(old)));
            errors.len()
        };
        let old = json!([{"k": "x", "v": 9}]);
        assert_eq!(count(old.clone(), old.clone()), 0);
        assert_eq!(count(json!([{"k": "y", "v": 1}, {"k": "x", "v": 9}]), old.clone()), 0);
        assert_eq!(count(json!([{"k": "x", "v": 8}]), old), 1);
    }

    #[test]
    fn numbers_as_go_shows_them() {
        for (value, want) in [
            (1.0, "1"),
            (0.5, "0.5"),
            (1e21, "1e+21"),
            (1e6, "1e+06"),
            (0.00001, "1e-05"),
            (100000.0, "100000"),
        ] {
            assert_eq!(go_float(value), want);
        }
    }
}

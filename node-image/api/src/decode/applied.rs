//! The configuration of a server-side apply: as written, nothing filled in or left out.

use super::report::Report;
use super::{
    Decoded, Encoding, FieldValidation, Shape, Subject, check_size, check_type, custom, read,
};
use crate::{Kind, Object, Status, patch, schema};

/// As many keys that occur twice are told.
const DUPLICATES_MAX: usize = 100;

/// Reads the configuration of a server-side apply. Unknown fields are refused whatever `validation`
/// says, because nobody could own them.
pub fn decode_applied(
    body: &[u8],
    kind: &Kind,
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    check_size(body)?;
    let gvk = (kind.group.as_str(), kind.version.as_str(), kind.kind.as_str());
    let mut report = Report::default();
    let object = match &kind.custom {
        Some(definition) => custom::read_applied(body, definition, &mut report),
        None => read(body, Encoding::Yaml, gvk, Shape::AsWritten).map(|(object, found)| {
            report = found;
            object
        }),
    };
    let object =
        object.map_err(|why| Status::bad_request(format!("error decoding YAML: {why}")))?;
    check_type(&object, gvk)?;
    let ambiguous = || patch::ambiguous(&object, &schema::for_kind(kind)?);
    if let Some(why) = undeclared(&report.unknown).or_else(ambiguous) {
        let (namespace, name) = (object.namespace(), object.name());
        let (group, version, kind) = gvk;
        let place = format!("{namespace}/{name}; {group}/{version}, Kind={kind}");
        let why = format!("failed to create typed patch object ({place}): {why}");
        return Err(Status::failure(500, "", why));
    }
    let repeats = !report.strict.is_empty();
    Subject { kind: gvk.2, version: gvk.1 }.judge(report, FieldValidation::Ignore)?;
    let warnings = match validation {
        FieldValidation::Ignore => Vec::new(),
        _ if !repeats => Vec::new(),
        _ => duplicates(body),
    };
    if validation == FieldValidation::Strict && !warnings.is_empty() {
        let all = warnings.join("\n  ");
        let why = format!("error converting YAML to JSON: yaml: unmarshal errors:\n  {all}");
        return Err(Status::bad_request(format!("error strict decoding YAML: {why}")));
    }
    Ok(Decoded { object, warnings })
}

/// What is wrong with fields that the kind does not have.
fn undeclared(paths: &[String]) -> Option<String> {
    let errors: Vec<String> =
        paths.iter().map(|path| format!(".{path}: field not declared in schema")).collect();
    match errors.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(format!("errors:\n  {}", several.join("\n  "))),
    }
}

/// The keys that mappings have twice, with their lines. Only an error tells a line, so the body is read
/// once for each.
fn duplicates(body: &[u8]) -> Vec<String> {
    (0..DUPLICATES_MAX).map_while(|nth| custom::duplicate_key(body, nth)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    fn custom_kind(preserves: bool) -> Kind {
        let mut spec = json!({"type": "object", "properties": {"foo": {"type": "string"}}});
        if preserves {
            spec["x-kubernetes-preserve-unknown-fields"] = true.into();
        }
        let schema = json!({"type": "object", "properties": {"spec": spec}});
        testing::custom_kind(json!({"schema": {"openAPIV3Schema": schema}}))
    }

    #[track_caller]
    fn check(kind: &Kind, body: &str, validation: FieldValidation, want: Result<&[&str], &str>) {
        let decoded = decode_applied(body.as_bytes(), kind, validation);
        let found = decoded.map(|decoded| decoded.warnings).map_err(|status| status.message);
        let want: Result<Vec<String>, String> = match want {
            Ok(warnings) => Ok(warnings.iter().map(|text| (*text).to_owned()).collect()),
            Err(why) => Err(why.to_owned()),
        };
        assert_eq!(found, want, "{body}");
    }

    #[test]
    fn fields_that_nobody_could_own() {
        let unknown = "apiVersion: example.com/v1\nkind: CronTab\nmetadata: {name: x, own: y}\nmore: 1\nspec: {bar: 1}\n";
        let text = "failed to create typed patch object (/x; example.com/v1, Kind=CronTab): errors:\n  .metadata.own: field not declared in schema\n  .more: field not declared in schema\n  .spec.bar: field not declared in schema";
        check(&custom_kind(false), unknown, FieldValidation::Ignore, Err(text));
        let unknown =
            "apiVersion: example.com/v1\nkind: CronTab\nmetadata: {name: x}\nspec: {bar: {a: 1}}\n";
        let text = "failed to create typed patch object (/x; example.com/v1, Kind=CronTab): .spec.bar: field not declared in schema";
        check(&custom_kind(false), unknown, FieldValidation::Warn, Err(text));
        check(&custom_kind(true), unknown, FieldValidation::Strict, Ok(&[]));
        let pod = testing::kind("", "v1", "Pod");
        let unknown = "kind: Pod\nmetadata: {name: a, namespace: n}\nspec: {foo: 1}\nbar: 2\n";
        let text = "failed to create typed patch object (n/a; /v1, Kind=Pod): errors:\n  .spec.foo: field not declared in schema\n  .bar: field not declared in schema";
        check(&pod, unknown, FieldValidation::Ignore, Err(text));
    }

    #[test]
    fn keys_that_occur_twice() {
        let lines =
            ["line 8: key \"foo\" already set in map", "line 11: key \"b\" already set in map"];
        let strict = format!(
            "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  {}",
            lines.join("\n  ")
        );
        let body = "\napiVersion: example.com/v1\nkind: CronTab\nmetadata:\n  name: x\nspec:\n  foo: foo1\n  foo: foo2\n  list:\n  - b: 1\n    b: 2\n";
        let foo = custom_kind(true);
        check(&foo, body, FieldValidation::Strict, Err(&strict));
        check(&foo, body, FieldValidation::Warn, Ok(&lines));
        check(&foo, body, FieldValidation::Ignore, Ok(&[]));
        let json =
            r#"{"apiVersion":"example.com/v1","kind":"CronTab","spec":{"foo":"1","foo":"2"}}"#;
        let line = "line 1: key \"foo\" already set in map";
        check(&foo, json, FieldValidation::Warn, Ok(&[line]));
        let pod = testing::kind("", "v1", "Pod");
        let body = "kind: Pod\nspec:\n  nodeName: a\n  nodeName: b\n";
        let line = "line 4: key \"nodeName\" already set in map";
        check(&pod, body, FieldValidation::Warn, Ok(&[line]));
    }
}

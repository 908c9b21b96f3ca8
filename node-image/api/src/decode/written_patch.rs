//! Patches: any JSON, of which fields that occur twice are told.

use serde::de::DeserializeSeed;
use serde_json::Value;

use super::custom::AnySeed;
use super::report::{Here, Report};

/// What a patch must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchForm {
    /// The operations of a JSON Patch.
    Operations,
    /// Fields of an object.
    Object,
}

/// A patch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecodedPatch {
    /// A list of operations, or an object.
    pub document: Value,
    /// Duplicate fields, and unknown ones of operations.
    pub strict: Vec<String>,
}

/// The fields of an operation, and whether they are text.
const OPERATION: [(&str, bool); 4] =
    [("op", true), ("path", true), ("from", true), ("value", false)];

/// Reads a patch. The error is Go's reason.
pub fn decode_patch(body: &[u8], form: PatchForm) -> Result<DecodedPatch, String> {
    let mut report = Report::default();
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = AnySeed { here: &Here::ROOT, report: &mut report }.deserialize(&mut json);
    let document = read.and_then(|document| json.end().map(|()| document)).map_err(|error| {
        match error.is_eof() {
            true => "unexpected end of JSON input".to_owned(),
            false => error.to_string(),
        }
    })?;
    match (form, document) {
        (PatchForm::Operations, Value::Array(operations)) => {
            let mut strict = report.strict;
            for (index, operation) in operations.iter().enumerate() {
                check_operation(index, operation, &mut strict)?;
            }
            let strict = strict.into_iter().map(|text| format!("json patch {text}")).collect();
            Ok(DecodedPatch { document: Value::Array(operations), strict })
        }
        (PatchForm::Operations, Value::Null) => {
            Ok(DecodedPatch { document: Value::Array(Vec::new()), strict: Vec::new() })
        }
        (PatchForm::Operations, other) => {
            Err(mismatch(&other, "value of type []handlers.jsonPatchOp"))
        }
        (PatchForm::Object, Value::Null) => {
            Ok(DecodedPatch { document: Value::Object(Default::default()), strict: Vec::new() })
        }
        (PatchForm::Object, document @ Value::Object(_)) => {
            Ok(DecodedPatch { document, strict: report.strict })
        }
        (PatchForm::Object, other) => {
            Err(mismatch(&other, "value of type map[string]interface {}"))
        }
    }
}

fn check_operation(
    index: usize,
    operation: &Value,
    strict: &mut Vec<String>,
) -> Result<(), String> {
    let Value::Object(fields) = operation else {
        return Err(mismatch(operation, "value of type handlers.jsonPatchOp"));
    };
    for (name, value) in fields {
        match OPERATION.iter().find(|(known, _)| known == name) {
            Some((_, true)) if !value.is_string() && !value.is_null() => {
                let place = format!("struct field jsonPatchOp.{name} of type string");
                return Err(mismatch(value, &place));
            }
            Some(_) => {}
            None => strict.push(format!("unknown field \"[{index}].{name}\"")),
        }
    }
    Ok(())
}

fn mismatch(found: &Value, place: &str) -> String {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    format!("json: cannot unmarshal {found} into Go {place}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patches() {
        let check = |form: PatchForm, body: &str, expect: Result<(Value, &[&str]), &str>| {
            let got = decode_patch(body.as_bytes(), form);
            let expect = expect.map_err(str::to_owned).map(|(document, strict)| DecodedPatch {
                document,
                strict: strict.iter().map(|text| (*text).to_owned()).collect(),
            });
            assert_eq!(got, expect, "{body}");
        };
        use PatchForm::{Object, Operations};
        check(Object, r#"{"a": {"b": [1]}}"#, Ok((json!({"a": {"b": [1]}}), &[])));
        let twice = r#"{"a": [{"b": 1, "b": 2}], "c": 1, "c": 2}"#;
        let document = json!({"a": [{"b": 2}], "c": 2});
        let strict = [r#"duplicate field "a[0].b""#, r#"duplicate field "c""#];
        check(Object, twice, Ok((document, &strict)));
        check(Object, "null", Ok((json!({}), &[])));
        check(Object, "", Err("unexpected end of JSON input"));
        check(Object, "{} {}", Err("trailing characters at line 1 column 4"));
        let number = "json: cannot unmarshal number into Go value of type map[string]interface {}";
        check(Object, "1", Err(number));
        let operation = json!([{"op": "test", "path": "/a", "value": 1}]);
        check(Operations, &operation.to_string(), Ok((operation, &[])));
        let odd = json!([{"op": "remove", "path": "/a", "force": true}]);
        check(
            Operations,
            &odd.to_string(),
            Ok((odd.clone(), &[r#"json patch unknown field "[0].force""#])),
        );
        check(
            Operations,
            r#"[{"path": []}]"#,
            Err(
                "json: cannot unmarshal array into Go struct field jsonPatchOp.path of type string",
            ),
        );
    }
}

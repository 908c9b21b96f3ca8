//! From a request's body to an object: one pass over JSON or YAML, led by the kind's schema, which
//! refuses wrong types, reports unknown and duplicate fields, drops them, and gives the object the
//! form in which Go would write it again (empty optional fields gone, empty structs there).

mod applied;
mod custom;
mod report;
mod visitor;
mod written_patch;
mod zero;

use serde::de::DeserializeSeed;
use serde_json::{Map, Value};

use crate::kind::split_api_version;
use crate::{Kind, Object, Status, protobuf, schema};
pub use applied::decode_applied;
pub(crate) use custom::typed_metadata;
use report::{Here, Report};
use visitor::Seed;
pub use written_patch::{DecodedPatch, PatchForm, decode_patch};

/// A body that is longer is refused.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`
    Json,
    /// `application/yaml`, and JSON too.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`
    Protobuf,
}

/// What to do about unknown and duplicate fields: the query parameter `fieldValidation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Drop them.
    Ignore,
    /// Drop them and say so.
    #[default]
    Warn,
    /// Refuse the request.
    Strict,
}

impl FieldValidation {
    /// Reads the query parameter; "" is the default.
    pub fn parse(text: &str) -> Option<FieldValidation> {
        Some(match text {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            _ => return None,
        })
    }
}

/// An object that was read, and what the client should be told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// The object, with `apiVersion` and `kind`.
    pub object: Value,
    /// Unknown and duplicate fields: `unknown field "spec.foo"`.
    pub warnings: Vec<String>,
}

/// Reads an object of a kind. `apiVersion` and `kind` may be missing, but not others'.
pub fn decode(
    body: &[u8],
    encoding: Encoding,
    kind: &Kind,
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    if let Some(definition) = &kind.custom {
        return custom::decode(body, encoding, kind, definition, validation);
    }
    let gvk = (kind.group.as_str(), kind.version.as_str(), kind.kind.as_str());
    decode_as(body, encoding, gvk, validation)
}

/// Reads a body by its group, version and kind: for subresources (`policy/v1 Eviction`).
pub fn decode_as(
    body: &[u8],
    encoding: Encoding,
    gvk: (&str, &str, &str),
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    check_size(body)?;
    match read(body, encoding, gvk, Shape::Typed) {
        // No document is one that says nothing.
        Ok((Value::Null, Report { wrong: None, .. })) => {
            finish(body, gvk, validation, read(b"{}", Encoding::Json, gvk, Shape::Typed))
        }
        read => finish(body, gvk, validation, read),
    }
}

/// Judges what was read.
fn finish(
    body: &[u8],
    gvk: (&str, &str, &str),
    validation: FieldValidation,
    read: Result<(Value, Report), String>,
) -> Result<Decoded, Status> {
    let (mut object, report) = read.map_err(|why| unrecognized(body, gvk.2, &why))?;
    if !object.is_object() && report.wrong.is_some() {
        return Err(unrecognized(body, gvk.2, &no_object(body)));
    }
    check_type(&object, gvk)?;
    let subject = Subject { kind: gvk.2, version: gvk.1 };
    let warnings = subject.judge(report, validation)?;
    let (group, version, kind) = gvk;
    object.set_type(&api_version(group, version), kind);
    Ok(Decoded { object, warnings })
}

/// Reads options (`DeleteOptions`), whose group and version may be any; an empty body is none.
pub fn decode_options(body: &[u8], encoding: Encoding, kind: &str) -> Result<Value, Status> {
    check_size(body)?;
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let (object, report) = read(body, encoding, ("", "v1", kind), Shape::AsWritten)
        .map_err(|why| unrecognized(body, kind, &why))?;
    if !object.kind().is_empty() && object.kind() != kind {
        return Err(foreign(&object, ("", "v1", kind)));
    }
    Subject { kind, version: "v1" }.judge(report, FieldValidation::Ignore)?;
    Ok(object)
}

/// An object after a patch, in the form in which Go would write it.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalized {
    /// The object without what its kind does not know.
    pub object: Value,
    /// What was dropped: `unknown field "spec.foo"`.
    pub unknown: Vec<String>,
}

/// Brings an object that was not decoded (the result of a patch) into its kind's form. The error is
/// the reason alone (`json: cannot unmarshal ...`); how it is told depends on the kind of patch.
pub fn normalize(object: Value, kind: &Kind) -> Result<Normalized, String> {
    if let Some(definition) = &kind.custom {
        return custom::normalize(object, definition);
    }
    let Some(schema) = schema::of(&kind.group, &kind.version, &kind.kind) else {
        return Ok(Normalized { object, unknown: Vec::new() });
    };
    let mut report = Report::default();
    let seed = Seed::new(schema, &Here::ROOT, &mut report, Shape::Typed);
    let object = seed.deserialize(&object).map_err(|error| error.to_string())?;
    match report.wrong {
        Some(why) => Err(why),
        None => Ok(Normalized { object: object.unwrap_or_default(), unknown: report.strict }),
    }
}

/// Whether to give an object the form in which Go would write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Typed,
    AsWritten,
}

/// Reads a body of an expected group, version and kind; the error is about its syntax.
fn read(
    body: &[u8],
    encoding: Encoding,
    gvk: (&str, &str, &str),
    shape: Shape,
) -> Result<(Value, Report), String> {
    let mut report = Report::default();
    let schema = schema::of(gvk.0, gvk.1, gvk.2).unwrap_or_else(schema::any);
    let seed = Seed::new(schema, &Here::ROOT, &mut report, shape);
    let object = match encoding {
        Encoding::Json => {
            let mut json = serde_json::Deserializer::from_slice(body);
            let object = seed.deserialize(&mut json).map_err(json_error)?;
            json.end().map_err(json_error)?;
            object
        }
        Encoding::Protobuf => return read_protobuf(body, gvk, shape),
        Encoding::Yaml => {
            let yaml = serde_yaml::Deserializer::from_slice(body);
            seed.deserialize(yaml).map_err(|error| error.to_string())?
        }
    };
    Ok((object.unwrap_or_default(), report))
}

fn read_protobuf(
    body: &[u8],
    gvk: (&str, &str, &str),
    shape: Shape,
) -> Result<(Value, Report), String> {
    let mut report = Report::default();
    let expected = api_version(gvk.0, gvk.1);
    let object = protobuf::decode(body, (&expected, gvk.2)).map_err(|error| error.to_string())?;
    let same = object.kind() == gvk.2 && object.api_version() == expected;
    let Some(schema) = schema::of(gvk.0, gvk.1, gvk.2).filter(|_| same) else {
        return Ok((object, report));
    };
    let seed = Seed::new(schema, &Here::ROOT, &mut report, shape);
    let object = seed.deserialize(&object).map_err(|error| error.to_string())?;
    Ok((object.unwrap_or_default(), report))
}

fn json_error(error: serde_json::Error) -> String {
    let text = match error.is_eof() {
        true => "unexpected end of JSON input".to_owned(),
        false => error.to_string(),
    };
    format!("couldn't get version/kind; json parse error: {text}")
}

/// Why JSON that is no object has no kind, as Go says it.
fn no_object(body: &[u8]) -> String {
    let found = match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "bool",
        _ => "number",
    };
    let expected = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    let why = format!("json: cannot unmarshal {found} into Go value of type {expected}");
    format!("couldn't get version/kind; json parse error: {why}")
}

/// What a body was taken for, as the refusals word it.
struct Subject<'a> {
    kind: &'a str,
    version: &'a str,
}

impl Subject<'_> {
    fn judge(&self, report: Report, validation: FieldValidation) -> Result<Vec<String>, Status> {
        if let Some(why) = report.wrong {
            return Err(self.cannot_be_handled(&why));
        }
        match validation {
            FieldValidation::Ignore => Ok(Vec::new()),
            FieldValidation::Warn => Ok(report.strict),
            FieldValidation::Strict if report.strict.is_empty() => Ok(Vec::new()),
            FieldValidation::Strict => {
                let all = report.strict.join(", ");
                Err(self.cannot_be_handled(&format!("strict decoding error: {all}")))
            }
        }
    }

    fn cannot_be_handled(&self, why: &str) -> Status {
        let Subject { kind, version } = self;
        let text = format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}");
        Status::bad_request(text)
    }
}

fn check_size(body: &[u8]) -> Result<(), Status> {
    if body.len() <= BODY_BYTES_MAX {
        return Ok(());
    }
    let text = format!("Request entity too large: limit is {BODY_BYTES_MAX}");
    Err(Status::failure(413, "RequestEntityTooLarge", text))
}

/// Refuses objects that say they are of another kind or version.
fn check_type(object: &Value, gvk: (&str, &str, &str)) -> Result<(), Status> {
    let expected = api_version(gvk.0, gvk.1);
    let same_version = ["", &expected].contains(&object.api_version());
    let same_kind = ["", gvk.2].contains(&object.kind());
    if same_version && same_kind { Ok(()) } else { Err(foreign(object, gvk)) }
}

/// The refusal of an object of another kind or version.
fn foreign(object: &Value, gvk: (&str, &str, &str)) -> Status {
    let (expected_group, expected_version, expected_kind) = gvk;
    let expected = api_version(expected_group, expected_version);
    let data = if object.api_version().is_empty() { &expected } else { object.api_version() };
    let kind = if object.kind().is_empty() { expected_kind } else { object.kind() };
    let (group, version) = split_api_version(data);
    if !schema::is_registered(group, version, kind) {
        let scheme = "pkg/api/legacyscheme/scheme.go:30";
        return Status::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {expected_kind}: no kind {kind:?} is registered for version {data:?} in scheme {scheme:?}"
        ));
    }
    if kind == expected_kind && data != expected {
        return Status::bad_request(format!(
            "the API version in the data ({data}) does not match the expected API version ({expected})"
        ));
    }
    let package = match expected_group.split('.').next() {
        None | Some("") => "core",
        Some(package) => package,
    };
    Status::bad_request(format!(
        "{kind} in version {version:?} cannot be handled as a {expected_kind}: converting ({version}.{kind}) to ({package}.{expected_kind}): unknown conversion"
    ))
}

/// The refusal of a body that is no object at all.
fn unrecognized(body: &[u8], kind: &str, why: &str) -> Status {
    let text = format!(
        "the object provided is unrecognized (must be of type {kind}): {why} ({})",
        summary(body)
    );
    Status::bad_request(text)
}

const SUMMARY_BYTES_MAX: usize = 30;

/// The beginning of a body, in hexadecimal if it does not look like JSON.
fn summary(body: &[u8]) -> String {
    let start = &body[..body.len().min(SUMMARY_BYTES_MAX)];
    let more = if body.len() > SUMMARY_BYTES_MAX { " ..." } else { "" };
    match start.first() {
        None => "<empty>".into(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(start)),
        Some(_) => start.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + more,
    }
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

#[cfg(test)]
mod tests;

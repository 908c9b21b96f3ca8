//! Custom resources: any JSON, of which duplicate fields are reported; then the metadata gets its
//! type, and what the schema does not know goes.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::report::{Here, Report};
use super::visitor::Seed;
use super::{
    Decoded, Encoding, FieldValidation, Normalized, Shape, Subject, check_size, json_error,
    unrecognized,
};
use crate::custom::CustomKind;
use crate::{Kind, Object, Path, Status, schema};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Reads a custom resource.
pub(super) fn decode(
    body: &[u8],
    encoding: Encoding,
    kind: &Kind,
    custom: &CustomKind,
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    check_size(body)?;
    let mut report = Report::default();
    let read = read(body, encoding, &mut report);
    let mut object = match read? {
        Ok(object) => object,
        Err(why) => return Err(unrecognized(body, &kind.kind, &why)),
    };
    check_type(&object, kind, body)?;
    let subject = Subject { kind: &kind.kind, version: &kind.version };
    match shaped(&mut object, custom) {
        Ok(unknown) => report.strict.extend(unknown),
        Err(why) => return Err(subject.cannot_be_handled(&why)),
    }
    let warnings = subject.judge(report, validation)?;
    Ok(Decoded { object, warnings })
}

/// Brings an object that was not decoded (the result of a patch) into its kind's form.
pub(super) fn normalize(mut object: Value, custom: &CustomKind) -> Result<Normalized, String> {
    let unknown = shaped(&mut object, custom)?;
    Ok(Normalized { object, unknown })
}

/// Metadata in the form in which Go would write it, and the paths in it that have no type; or why
/// it is none.
pub(crate) fn typed_metadata(metadata: &Value) -> Result<(Value, Vec<String>), String> {
    let schema = schema::built_in().by_name(OBJECT_META).unwrap_or_else(schema::any);
    let mut report = Report::default();
    let seed = Seed::new(schema, &Here::ROOT, &mut report, Shape::Typed);
    let typed = seed.deserialize(metadata).map_err(|error| error.to_string())?;
    match report.wrong {
        Some(why) => Err(why),
        None => Ok((typed.unwrap_or_else(|| Value::Object(Map::new())), report.paths)),
    }
}

/// Types the metadata and drops what is unknown, and says what that was.
fn shaped(object: &mut Value, custom: &CustomKind) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    let path = Path::new("metadata");
    if let Some(metadata) = object.get_mut("metadata") {
        let (typed, paths) = typed_metadata(metadata).map_err(|why| format!("metadata: {why}"))?;
        *metadata = typed;
        unknown.extend(paths.iter().map(|field| path.child(field).to_string()));
    }
    unknown.extend(custom.shape(object).map_err(|error| error.to_string())?);
    Ok(unknown.into_iter().map(|path| format!("unknown field {path:?}")).collect())
}

/// The outer error is about the encoding, the inner one about the syntax.
fn read(
    body: &[u8],
    encoding: Encoding,
    report: &mut Report,
) -> Result<Result<Value, String>, Status> {
    let seed = AnySeed { here: &Here::ROOT, report };
    Ok(match encoding {
        Encoding::Json => {
            let mut json = serde_json::Deserializer::from_slice(body);
            let object = seed.deserialize(&mut json);
            object.and_then(|object| json.end().map(|()| object)).map_err(json_error)
        }
        Encoding::Yaml => {
            let yaml = serde_yaml::Deserializer::from_slice(body);
            seed.deserialize(yaml).map_err(|error| error.to_string())
        }
        Encoding::Protobuf => {
            let text = "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml";
            return Err(Status::failure(415, "UnsupportedMediaType", text));
        }
    })
}

fn check_type(object: &Value, kind: &Kind, body: &[u8]) -> Result<(), Status> {
    if object.kind().is_empty() || !object.is_object() {
        let body = String::from_utf8_lossy(body);
        return Err(Status::bad_request(format!("Object 'Kind' is missing in '{body}'")));
    }
    let (data, expected) = (object.api_version(), kind.api_version());
    if data != expected {
        return Err(Status::bad_request(format!(
            "the API version in the data ({data}) does not match the expected API version ({expected})"
        )));
    }
    Ok(())
}

/// Reads any JSON and reports fields that occur twice; the last one counts.
pub(super) struct AnySeed<'p, 'r> {
    pub(super) here: &'p Here<'p>,
    pub(super) report: &'r mut Report,
}

impl<'de> DeserializeSeed<'de> for AnySeed<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnySeed<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::from).ok_or_else(|| E::custom("not a JSON number"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let place = self.here.index(list.len());
            let seed = AnySeed { here: &place, report: self.report };
            let Some(value) = access.next_element_seed(seed)? else { return Ok(list.into()) };
            list.push(value);
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                self.report.duplicate(self.here, &key);
            }
            let place = self.here.key(&key);
            let value = access.next_value_seed(AnySeed { here: &place, report: self.report })?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

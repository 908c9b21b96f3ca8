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
        Ok(paths) => report.strict.extend(unknown_fields(&paths)),
        Err(why) => return Err(subject.cannot_be_handled(&why)),
    }
    let warnings = subject.judge(report, validation)?;
    Ok(Decoded { object, warnings })
}

/// Brings an object that was not decoded (the result of a patch) into its kind's form.
pub(super) fn normalize(mut object: Value, custom: &CustomKind) -> Result<Normalized, String> {
    let unknown = unknown_fields(&shaped(&mut object, custom)?);
    Ok(Normalized { object, unknown })
}

/// Reads an applied configuration as it is written; the error is about its syntax.
pub(super) fn read_applied(
    body: &[u8],
    custom: &CustomKind,
    report: &mut Report,
) -> Result<Value, String> {
    let object = read_yaml(body, report)?;
    // A wrong type is told when the configuration has become an object.
    if let Ok(paths) = shaped(&mut object.clone(), custom) {
        report.unknown = paths;
    }
    Ok(object)
}

/// The line of the key that is the nth to occur twice in its mapping, as Go's YAML says it.
pub(super) fn duplicate_key(body: &[u8], nth: usize) -> Option<String> {
    let mut report = Report { duplicates_left: Some(nth), ..Report::default() };
    let seed = AnySeed { here: &Here::ROOT, report: &mut report };
    let error = seed.deserialize(serde_yaml::Deserializer::from_slice(body)).err()?;
    let (line, key) = (error.location()?.line(), report.last_key?);
    Some(format!("line {line}: key {key:?} already set in map"))
}

fn read_yaml(body: &[u8], report: &mut Report) -> Result<Value, String> {
    let seed = AnySeed { here: &Here::ROOT, report };
    let yaml = serde_yaml::Deserializer::from_slice(body);
    seed.deserialize(yaml).map_err(|error| error.to_string())
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

/// Types the metadata and drops what is unknown; returns the paths of that.
fn shaped(object: &mut Value, custom: &CustomKind) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    let path = Path::new("metadata");
    if let Some(metadata) = object.get_mut("metadata") {
        let (typed, paths) = typed_metadata(metadata).map_err(|why| format!("metadata: {why}"))?;
        *metadata = typed;
        unknown.extend(paths.iter().map(|field| path.child(field).to_string()));
    }
    unknown.extend(custom.shape(object).map_err(|error| error.to_string())?);
    Ok(unknown)
}

fn unknown_fields(paths: &[String]) -> Vec<String> {
    paths.iter().map(|path| format!("unknown field {path:?}")).collect()
}

/// The outer error is about the encoding, the inner one about the syntax.
fn read(
    body: &[u8],
    encoding: Encoding,
    report: &mut Report,
) -> Result<Result<Value, String>, Status> {
    Ok(match encoding {
        Encoding::Json => {
            let seed = AnySeed { here: &Here::ROOT, report };
            let mut json = serde_json::Deserializer::from_slice(body);
            let object = seed.deserialize(&mut json);
            object.and_then(|object| json.end().map(|()| object)).map_err(json_error)
        }
        Encoding::Yaml => read_yaml(body, report),
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
        while let Some(key) =
            access.next_key_seed(KeySeed { map: &map, here: self.here, report: self.report })?
        {
            let place = self.here.key(&key);
            let value = access.next_value_seed(AnySeed { here: &place, report: self.report })?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// Reads a key; may fail at one that is there already, so that the error tells its place.
struct KeySeed<'p, 'r, 'm> {
    map: &'m Map<String, Value>,
    here: &'p Here<'p>,
    report: &'r mut Report,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_, '_, '_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_, '_, '_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        if self.map.contains_key(key) {
            self.report.duplicate(self.here, key);
            match &mut self.report.duplicates_left {
                Some(0) => {
                    self.report.last_key = Some(key.to_owned());
                    return Err(E::custom("this key occurs twice"));
                }
                Some(left) => *left -= 1,
                None => {}
            }
        }
        Ok(key.to_owned())
    }
}

//! What is fed with arbitrary bytes: one function for each input that a client writes. Each returns for any
//! bytes, soon, and holds what it says to the rules that it asserts. The fuzz targets call them, and so
//! do the API server's tests, with mutations of the same seeds.

use std::sync::OnceLock;

use http::Request;
use http_body_util::Full;
use jiff::Timestamp;
use kd_api::decode::{self, Encoding, FieldValidation};
use kd_api::defaults::apply_defaults;
use kd_api::patch::{self, FieldManager};
use kd_api::selector::{FieldSelector, Selector};
use kd_api::table::{IncludeObject, table};
use kd_api::validation::{validate_create, validate_update};
use kd_api::{Kind, Kinds, protobuf, schema, strategy};
use kd_cel::{Activation, Budget, Environment, RUNTIME_BUDGET, Schema, Type};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::server::Server;

/// A name, which is also that of the target and of the folder of seeds, and what takes the bytes.
pub type Entry = (&'static str, fn(&[u8]));

/// Every input.
pub const ENTRIES: &[Entry] = &[
    ("apply", apply),
    ("cel", cel),
    ("field_selector", field_selector),
    ("json", json_body),
    ("json_patch", json_patch),
    ("label_selector", label_selector),
    ("list_query", list_query),
    ("merge_patch", merge_patch),
    ("protobuf", protobuf_body),
    ("strategic_merge_patch", strategic_merge_patch),
    ("yaml", yaml_body),
];

/// The kinds of bodies: the first byte chooses.
const KINDS: [(&str, &str); 10] = [
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("apps/v1", "Deployment"),
    ("batch/v1", "CronJob"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"),
];

/// Divides the object from the patch.
const DIVIDER: u8 = b'\n';

fn kind(choice: u8) -> &'static Kind {
    static CHOSEN: OnceLock<Vec<Kind>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let kinds = Kinds::known();
        let find = |(api_version, kind): (&str, &str)| {
            Kind::clone(kinds.by_api_version(api_version, kind).expect("a built-in kind"))
        };
        KINDS.map(find).to_vec()
    });
    &chosen[usize::from(choice) % chosen.len()]
}

fn json_body(bytes: &[u8]) {
    body(bytes, Encoding::Json);
}

fn yaml_body(bytes: &[u8]) {
    body(bytes, Encoding::Yaml);
}

fn protobuf_body(bytes: &[u8]) {
    body(bytes, Encoding::Protobuf);
}

/// A body as a create takes it. What was read reads the same again, in every encoding.
fn body(bytes: &[u8], encoding: Encoding) {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let kind = kind(*choice);
    let Ok(read) = decode::decode(bytes, encoding, kind, FieldValidation::Ignore) else { return };
    let text = read.object.to_string();
    let again = decode::decode(text.as_bytes(), Encoding::Json, kind, FieldValidation::Strict);
    assert_eq!(again.expect("what was read can be read").object, read.object);
    if let Some(written) = protobuf::encode(&read.object) {
        // A union that is neither of its two things goes the first time.
        let settled = rewritten(kind, &written);
        assert_eq!(rewritten(kind, &settled), settled);
    }
    create(kind, read.object);
}

fn rewritten(kind: &Kind, written: &[u8]) -> Vec<u8> {
    let read = decode::decode(written, Encoding::Protobuf, kind, FieldValidation::Strict);
    let object = read.expect("what was written can be read").object;
    protobuf::encode(&object).expect("the kind has a form")
}

/// As the server goes on with an object.
fn create(kind: &Kind, mut object: Value) {
    apply_defaults(kind, &mut object);
    strategy::prepare_create(kind, &mut object);
    validate_create(kind, &object);
    let mut new = object.clone();
    strategy::prepare_update(kind, "", &mut new, &object);
    validate_update(kind, "", &new, &object);
    table(kind, [&object], &Value::Null, IncludeObject::Object, true, now());
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

/// A kind, an object of it, and the text behind.
fn divided(bytes: &[u8]) -> Option<(&'static Kind, Value, &[u8])> {
    let (choice, bytes) = bytes.split_first()?;
    let place = bytes.iter().position(|byte| *byte == DIVIDER)?;
    let kind = kind(*choice);
    let read = decode::decode(&bytes[..place], Encoding::Json, kind, FieldValidation::Ignore);
    Some((kind, read.ok()?.object, &bytes[place + 1..]))
}

/// Likewise, with a patch in JSON.
fn patched(bytes: &[u8]) -> Option<(&'static Kind, Value, Value)> {
    let (kind, object, patch) = divided(bytes)?;
    Some((kind, object, serde_json::from_slice(patch).ok()?))
}

/// What a patch made becomes an object of its kind, or a reason why it is none.
fn update(kind: &Kind, old: &Value, new: Value) {
    let Ok(normalized) = decode::normalize(new, kind) else { return };
    let again = decode::normalize(normalized.object.clone(), kind);
    assert_eq!(again.expect("the form of its kind").object, normalized.object);
    validate_update(kind, "", &normalized.object, old);
}

fn json_patch(bytes: &[u8]) {
    let Some((kind, object, patch)) = patched(bytes) else { return };
    if let Ok(new) = patch::json(&object, &patch) {
        update(kind, &object, new);
    }
}

/// A second time changes nothing.
fn merge_patch(bytes: &[u8]) {
    let Some((kind, object, patch)) = patched(bytes) else { return };
    let new = patch::merge(&object, &patch);
    assert_eq!(patch::merge(&new, &patch), new);
    update(kind, &object, new);
}

fn strategic_merge_patch(bytes: &[u8]) {
    let Some((kind, object, patch)) = patched(bytes) else { return };
    let schema = schema::for_kind(kind).expect("a built-in kind has a schema");
    if let Ok(new) = patch::strategic(&object, &patch, &schema) {
        update(kind, &object, new);
    }
}

/// A second time changes nothing, and nobody else is in the way.
fn apply(bytes: &[u8]) {
    let Some((kind, object, config)) = divided(bytes) else { return };
    let Ok(config) = decode::decode_applied(config, kind, FieldValidation::Strict) else { return };
    let schema = schema::for_kind(kind).expect("a built-in kind has a schema");
    let api_version = kind.api_version();
    let manager =
        FieldManager { name: "me", api_version: &api_version, subresource: "", now: now() };
    let once = patch::apply(&object, &config.object, &schema, manager, true);
    let Ok(once) = once else { return };
    let twice = patch::apply(&once, &config.object, &schema, manager, false);
    assert_eq!(twice.expect("no conflict with oneself"), once);
    update(kind, &object, once);
}

fn label_selector(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(selector) = Selector::parse(text) else { return };
    selector.matches(&json!({"app": "a", "tier": "1", "": ""}));
    selector.matches(&Value::Null);
}

fn field_selector(bytes: &[u8]) {
    let Some((choice, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let kind = kind(*choice);
    let Ok(selector) = FieldSelector::parse(kind, text) else { return };
    selector
        .matches(&json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"nodeName": 1}}));
}

/// The options of a list, continue tokens among them: an answer that is no fault of the server's.
fn list_query(bytes: &[u8]) {
    static SERVER: OnceLock<(Runtime, Server)> = OnceLock::new();
    let (runtime, server) = SERVER.get_or_init(|| {
        let runtime = Runtime::new().expect("a runtime");
        let server = runtime.block_on(Server::start());
        (runtime, server)
    });
    let Ok(query) = std::str::from_utf8(bytes) else { return };
    let request = Request::get(format!("/api/v1/configmaps?{query}"));
    let Ok(request) = request.body(Full::default()) else { return };
    let answer = runtime.block_on(server.send(request));
    // 504: a revision that is still to come.
    let code = answer.status().as_u16();
    assert!(code < 500 || code == 504, "{query}: {code}");
}

/// An expression over an object whose schema is known and over one of which nothing is.
fn cel(bytes: &[u8]) {
    static ENVIRONMENT: OnceLock<(Environment, std::sync::Arc<Schema>)> = OnceLock::new();
    let (environment, schema) = ENVIRONMENT.get_or_init(|| {
        let schema = json!({"type": "object", "properties": {
            "n": {"type": "integer", "maximum": 9}, "s": {"type": "string", "maxLength": 20},
            "t": {"type": "string", "format": "date-time"}, "b": {"type": "boolean"},
            "d": {"type": "number"}, "e": {"x-kubernetes-int-or-string": true},
            "l": {"type": "array", "maxItems": 5, "items": {"type": "string"}},
            "m": {"type": "object", "additionalProperties": {"type": "integer"}}}});
        let schema = Schema::new(&schema, false).expect("a type that expressions know");
        let schema = std::sync::Arc::new(schema);
        let environment = Environment::new()
            .schema_variable("self", &schema)
            .variable("object", Type::Dyn)
            .with_bindings()
            .with_mutation();
        (environment, schema)
    });
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let program = match environment.compile(text) {
        Ok(program) => program,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let object = json!({"n": 3, "s": "text", "t": "2026-01-02T03:04:05Z", "b": true, "d": 0.5, "e": "1",
        "l": ["a", "b"], "m": {"k": 1}});
    let activation = Activation::new()
        .with("self", kd_cel::Value::with_schema(&object, schema))
        .with("object", kd_cel::Value::from_json(&object));
    let mut budget = Budget::new(RUNTIME_BUDGET);
    let first = program.evaluate(&activation, &mut budget).map(|value| format!("{value:?}"));
    let second = program.evaluate(&activation, &mut Budget::new(RUNTIME_BUDGET));
    assert_eq!(
        first.map_err(|error| error.to_string()),
        second.map(|value| format!("{value:?}")).map_err(|error| error.to_string())
    );
}

//! `patch`: an object is changed by a JSON Patch, a JSON Merge Patch or a strategic merge patch.

use std::sync::{Mutex, PoisonError};

use kd_api::decode::{DecodedPatch, FieldValidation, PatchForm, decode_patch, normalize};
use kd_api::{FieldError, Kind, Object, Path, Status, patch as patches, schema};
use serde_json::Value;

use super::apply::{APPLY, apply};
use super::update::check_name;
use super::write::settle_namespace;
use super::{Proposal, Reply, VerbRequest, update_object};
use crate::negotiate::{media_type, unsupported_media_type};

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// PATCH of an object or of a view of it.
pub(super) async fn patch(
    request: &mut VerbRequest,
    subresource: &'static str,
) -> Result<Reply, Status> {
    let sort = sort(request)?;
    request.wanted()?;
    let Some(sort) = sort else {
        request.check_options("PatchOptions")?;
        return apply(request, subresource).await;
    };
    let body = request.read_body().await?;
    request.check_options("PatchOptions")?;
    let kind = request.kind.clone();
    let validation = request.field_validation()?;
    // What is wrong with a patch is told only where there is an object.
    let patch = Patch::read(sort, &body, validation);
    if let Ok(patch) = &patch {
        request.tell_request(&patch.decoded.document);
    }
    let told = Mutex::new(Vec::new());
    let propose = |old: &Value| {
        let patch = patch.as_ref().map_err(Status::clone)?;
        let patched = patch.applied(&kind, old)?;
        let normalized = normalize(patched, &kind).map_err(|why| patch.invalid(&kind, old, why))?;
        let strict = [patch.decoded.strict.as_slice(), &normalized.unknown].concat();
        if validation == FieldValidation::Strict && !strict.is_empty() {
            let why = format!("strict decoding error: {}", strict.join(", "));
            return Err(patch.invalid(&kind, old, why));
        }
        *told.lock().unwrap_or_else(PoisonError::into_inner) = strict;
        let mut new = normalized.object;
        // What names the object is part of its URL.
        settle_namespace(old.namespace(), &mut new)?;
        check_name(old.name(), &new)?;
        Ok(new)
    };
    let how = Proposal { options: "PatchOptions", ..Proposal::new(subresource) };
    let bytes = update_object(request, how, propose).await?;
    if validation == FieldValidation::Warn {
        request.warnings.extend(told.into_inner().unwrap_or_else(PoisonError::into_inner));
    }
    Ok(Reply::Object(200, bytes))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Json,
    Merge,
    Strategic,
}

/// Which sort of patch it is; None for a configuration to apply.
fn sort(request: &VerbRequest) -> Result<Option<Sort>, Status> {
    let is_custom = request.kind.custom.is_some();
    match media_type(&request.exchange.parts.headers) {
        APPLY => Ok(None),
        JSON => Ok(Some(Sort::Json)),
        MERGE => Ok(Some(Sort::Merge)),
        STRATEGIC if !is_custom => Ok(Some(Sort::Strategic)),
        _ if is_custom => Err(unsupported_media_type(&format!("{JSON}, {MERGE}, {APPLY}"))),
        _ => Err(unsupported_media_type(&format!("{JSON}, {MERGE}, {STRATEGIC}, {APPLY}"))),
    }
}

/// A patch that could be read.
struct Patch {
    sort: Sort,
    decoded: DecodedPatch,
}

impl Patch {
    fn read(sort: Sort, body: &[u8], validation: FieldValidation) -> Result<Patch, Status> {
        let form = if sort == Sort::Json { PatchForm::Operations } else { PatchForm::Object };
        match decode_patch(body, form) {
            Ok(decoded) => Ok(Patch { sort, decoded }),
            // Upstream reads these twice, the first time only to find what is unknown.
            Err(why) if sort != Sort::Strategic && validation != FieldValidation::Ignore => {
                Err(Status::bad_request(format!("error decoding patch: {why}")))
            }
            Err(_) if sort == Sort::Merge => Err(Status::bad_request("Invalid JSON Patch")),
            Err(why) => Err(Status::bad_request(why)),
        }
    }

    fn applied(&self, kind: &Kind, old: &Value) -> Result<Value, Status> {
        let patch = &self.decoded.document;
        match self.sort {
            Sort::Json => patches::json(old, patch),
            Sort::Merge => Ok(patches::merge(old, patch)),
            Sort::Strategic => match schema::for_kind(kind) {
                Some(schema) => patches::strategic(old, patch, &schema),
                None => Err(unsupported_media_type(MERGE)),
            },
        }
    }

    /// What is wrong with what the patch makes of an object, and with what.
    fn invalid(&self, kind: &Kind, old: &Value, why: String) -> Status {
        let shown = match self.sort {
            Sort::Strategic => go_text(&self.decoded.document),
            _ => self.applied(kind, old).unwrap_or_default().to_string(),
        };
        let error = FieldError::invalid(Path::new("patch"), Value::from(shown), why);
        Status::invalid("", "", "", &[error])
    }
}

/// A value as Go prints it: `map[spec:map[replicas:x]]`.
fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(go_text).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| format!("{key}:{}", go_text(value));
            let entries: Vec<String> = map.iter().map(entry).collect();
            format!("map[{}]", entries.join(" "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::server::TestServer;
    use serde_json::json;

    #[test]
    fn values_as_go_prints_them() {
        let value = json!({"b": [1, "x", null, 0.5], "a": {"c": true, "d": {}}});
        assert_eq!(go_text(&value), "map[a:map[c:true d:map[]] b:[1 x <nil> 0.5]]");
    }

    const PATH: &str = "/apis/apps/v1/namespaces/default/deployments";

    async fn server() -> TestServer {
        let server = TestServer::start().await;
        let deployment = json!({"metadata": {"name": "d"}, "spec": {
            "selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": {"app": "a"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
        server.create(PATH, deployment).await;
        server
    }

    /// The code, what the message begins with, and the warnings.
    async fn check(
        server: &TestServer,
        request: &str,
        sort: &str,
        body: &str,
        expect: (u16, &str),
    ) {
        let request = format!("PATCH {PATH}/{request}");
        let got = server.send_text(&request, &[("content-type", sort)], body).await;
        let warnings: Vec<&str> =
            got.headers.get_all("warning").iter().map(|value| value.to_str().unwrap()).collect();
        let said = match got.body["message"].as_str() {
            Some(message) => message.to_owned(),
            None => warnings.join(", "),
        };
        assert_eq!(got.code, expect.0, "{request} {body}: {said}");
        assert!(said.starts_with(expect.1), "{request} {body}: {said}");
        assert!(!expect.1.is_empty() || said.is_empty(), "{request} {body}: {said}");
    }

    #[tokio::test]
    async fn what_is_wrong_with_patches() {
        let server = server().await;
        let of_map = "json: cannot unmarshal array into Go value of type map[string]interface {}";
        let of_list = "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp";
        let prefixed = |why: &str| format!("error decoding patch: {why}");
        let unnamed =
            "the name of the object (d based on URL) was undeterminable: name must be provided";
        for (request, sort, body, code, message) in [
            ("x", MERGE, "{", 404, "deployments.apps \"x\" not found"),
            ("d", MERGE, "{", 400, prefixed("unexpected end of JSON input").as_str()),
            ("d", MERGE, "[]", 400, prefixed(of_map).as_str()),
            ("d?fieldValidation=Ignore", MERGE, "[]", 400, "Invalid JSON Patch"),
            ("d", STRATEGIC, "{", 400, "unexpected end of JSON input"),
            ("d", STRATEGIC, "[]", 400, of_map),
            ("d", JSON, "{}", 400, prefixed(of_list).as_str()),
            ("d?fieldValidation=Ignore", JSON, "[", 400, "unexpected end of JSON input"),
            ("d", JSON, "[1]", 400, prefixed("json: cannot unmarshal number into Go value of type handlers.jsonPatchOp").as_str()),
            ("d", JSON, r#"[{"op": 1}]"#, 400, prefixed("json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string").as_str()),
            ("d", MERGE, r#"{"metadata": {"name": null}}"#, 400, unnamed),
            ("d", MERGE, r#"{"metadata": {"name": "e"}}"#, 400, "the name of the object (e) does not match the name on the URL (d)"),
            ("d", MERGE, r#"{"metadata": {"namespace": "e"}}"#, 400, "the namespace of the provided object does not match the namespace sent on the request"),
            ("d", MERGE, r#"{"spec": {"replicas": "x"}}"#, 422, r#" "" is invalid: patch: Invalid value: "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\","#),
            ("d", STRATEGIC, r#"{"spec": {"replicas": "x"}}"#, 422, r#" "" is invalid: patch: Invalid value: "map[spec:map[replicas:x]]": "#),
            ("d?fieldValidation=Strict", STRATEGIC, r#"{"spec": {"foo": 1}}"#, 422, r#" "" is invalid: patch: Invalid value: "map[spec:map[foo:1]]": strict decoding error: unknown field "spec.foo""#),
        ] {
            check(&server, request, sort, body, (code, message)).await;
        }
    }

    #[tokio::test]
    async fn what_occurs_twice() {
        let server = server().await;
        let twice = r#"{"spec": {"paused": true, "paused": false}}"#;
        let operation =
            r#"[{"op": "add", "op": "add", "path": "/metadata/labels", "value": {}, "x": 1}]"#;
        let warned = r#"299 - "duplicate field \"spec.paused\"""#;
        let operations = r#"299 - "json patch duplicate field \"[0].op\"", 299 - "json patch unknown field \"[0].x\"""#;
        for (sort, body, warning) in
            [(MERGE, twice, warned), (STRATEGIC, twice, warned), (JSON, operation, operations)]
        {
            check(&server, "d?dryRun=All", sort, body, (200, warning)).await;
            check(&server, "d?fieldValidation=Ignore", sort, body, (200, "")).await;
            let request = "d?fieldValidation=Strict";
            check(&server, request, sort, body, (422, r#" "" is invalid: patch: "#)).await;
        }
    }
}

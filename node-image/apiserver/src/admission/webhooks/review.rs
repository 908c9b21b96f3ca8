//! `admission.k8s.io` AdmissionReview: the question, and what is read from the answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kd_api::Object;
use kd_api::kind::split_api_version;
use serde_json::{Map, Value, json};

use super::matching::{Invocation, operation_name};
use crate::authz::user_value;
use crate::request::AdmissionAttributes;

const KIND: &str = "AdmissionReview";

/// The question. `object` and `old` are in the invocation's version.
pub(super) fn question(
    version: &str,
    uid: &str,
    attributes: &AdmissionAttributes<'_>,
    invocation: &Invocation,
    object: &Value,
    old: &Value,
) -> Value {
    let info = attributes.info;
    let kind = |(group, version, kind): (&str, &str, &str)| json!({"group": group, "version": version, "kind": kind});
    let resource = |(group, version, resource): (&str, &str, &str)| json!({"group": group, "version": version, "resource": resource});
    let mut request = json!({
        "uid": uid,
        "kind": kind(borrowed(&invocation.kind)),
        "resource": resource(borrowed(&invocation.resource)),
        "requestKind": kind(attributes.kind),
        "requestResource": resource((&info.group, &info.version, &info.resource)),
        "operation": operation_name(attributes.operation),
        "userInfo": user_value(attributes.user),
        "object": object,
        "oldObject": old,
        "dryRun": attributes.dry_run,
        "options": attributes.options,
    });
    let name = if info.name.is_empty() { attributes.object.name() } else { &info.name };
    for (field, text) in [
        ("subResource", info.subresource.as_str()),
        ("requestSubResource", &info.subresource),
        ("name", name),
        ("namespace", &info.namespace),
    ] {
        if !text.is_empty() {
            request[field] = text.into();
        }
    }
    json!({"kind": KIND, "apiVersion": format!("admission.k8s.io/{version}"), "request": request})
}

fn borrowed(names: &(String, String, String)) -> (&str, &str, &str) {
    (&names.0, &names.1, &names.2)
}

/// What an answer says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Response {
    pub(super) allowed: bool,
    /// Of a refusal; Null if it does not say.
    pub(super) status: Value,
    /// The operations of a JSON Patch, if there are any.
    pub(super) patch: Option<Value>,
    pub(super) warnings: Vec<String>,
    pub(super) audit_annotations: Map<String, Value>,
}

/// Reads an answer; the error follows `received invalid webhook response: `.
pub(super) fn response(
    review: &Value,
    version: &str,
    uid: &str,
    mutating: bool,
) -> Result<Response, String> {
    let (group, given) = split_api_version(review.api_version());
    let untyped = version == "v1beta1" && review.api_version().is_empty();
    if !untyped && (group, given, review.kind()) != ("admission.k8s.io", version, KIND) {
        return Err(format!(
            "expected webhook response of admission.k8s.io/{version}, Kind={KIND}, got {}, Kind={}",
            review.api_version(),
            review.kind()
        ));
    }
    let Some(response) = review.get("response").filter(|response| response.is_object()) else {
        return Err("webhook response was absent".into());
    };
    let answered = response.str_at(&["uid"]);
    if version == "v1" && answered != uid {
        return Err(format!("expected response.uid={uid:?}, got {answered:?}"));
    }
    let patch = if mutating { patch_of(response, version)? } else { None };
    let warnings = response.list_at(&["warnings"]).iter();
    Ok(Response {
        allowed: response.bool_at(&["allowed"]),
        status: response.get("status").cloned().unwrap_or_default(),
        patch,
        warnings: warnings.filter_map(|text| text.as_str().map(str::to_owned)).collect(),
        audit_annotations: response.map_at(&["auditAnnotations"]).cloned().unwrap_or_default(),
    })
}

fn patch_of(response: &Value, version: &str) -> Result<Option<Value>, String> {
    let text = response.str_at(&["patch"]);
    let patch_type = response.get("patchType").filter(|value| !value.is_null());
    if version == "v1" {
        match (text.is_empty(), patch_type) {
            (true, Some(_)) => {
                return Err("webhook returned response.patchType but not response.patch".into());
            }
            (false, None) => {
                return Err("webhook returned response.patch but not response.patchType".into());
            }
            (false, Some(sort)) if sort != "JSONPatch" => {
                return Err(format!("webhook returned invalid response.patchType of {sort}"));
            }
            _ => {}
        }
    }
    if text.is_empty() {
        return Ok(None);
    }
    let bytes = STANDARD.decode(text).map_err(|error| format!("response.patch: {error}"))?;
    let patch: Value =
        serde_json::from_slice(&bytes).map_err(|error| format!("response.patch: {error}"))?;
    let empty = patch.is_null() || patch.as_array().is_some_and(Vec::is_empty);
    Ok((!empty).then_some(patch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Operation;
    use crate::testing::{attributes, resource_info, user};

    #[test]
    fn questions() {
        let (info, who) = (resource_info("create", "pods/exec", "ns", "p"), user("x", &["g"]));
        let mut attributes = attributes(Operation::Connect, &info, &who, json!({"stdin": true}));
        attributes.kind = ("", "v1", "PodExecOptions");
        let invocation = Invocation {
            resource: (String::new(), "v1".into(), "pods".into()),
            kind: (String::new(), "v1".into(), "PodExecOptions".into()),
        };
        let got = question("v1", "u", &attributes, &invocation, &attributes.object, &Value::Null);
        let kind = json!({"group": "", "version": "v1", "kind": "PodExecOptions"});
        let resource = json!({"group": "", "version": "v1", "resource": "pods"});
        let expect = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
            "uid": "u", "kind": kind, "resource": resource, "subResource": "exec",
            "requestKind": kind, "requestResource": resource, "requestSubResource": "exec",
            "name": "p", "namespace": "ns", "operation": "CONNECT",
            "userInfo": {"username": "x", "groups": ["g"]},
            "object": {"stdin": true}, "oldObject": null, "dryRun": false, "options": null}});
        assert_eq!(got, expect);
    }

    #[test]
    fn answers() {
        let review = |response: Value| json!({"kind": KIND, "apiVersion": "admission.k8s.io/v1", "response": response});
        let check = |review: Value, expect: Result<Response, &str>| {
            assert_eq!(response(&review, "v1", "u", true), expect.map_err(str::to_owned));
        };
        let allowed = || Response { allowed: true, ..Response::default() };
        check(review(json!({"uid": "u", "allowed": true})), Ok(allowed()));
        check(
            json!({}),
            Err(
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got , Kind=",
            ),
        );
        check(review(Value::Null), Err("webhook response was absent"));
        check(review(json!({"uid": "v"})), Err(r#"expected response.uid="u", got "v""#));
        let patch = STANDARD.encode(r#"[{"op":"remove","path":"/a"}]"#);
        check(
            review(json!({"uid": "u", "allowed": true, "patch": patch, "patchType": "JSONPatch"})),
            Ok(Response { patch: Some(json!([{"op": "remove", "path": "/a"}])), ..allowed() }),
        );
        check(
            review(json!({"uid": "u", "patch": patch})),
            Err("webhook returned response.patch but not response.patchType"),
        );
        check(
            review(json!({"uid": "u", "patch": patch, "patchType": "Other"})),
            Err(r#"webhook returned invalid response.patchType of "Other""#),
        );
        check(
            review(json!({"uid": "u", "patchType": "JSONPatch"})),
            Err("webhook returned response.patchType but not response.patch"),
        );
    }
}

//! `patch`: an object is changed by a JSON Patch, a JSON Merge Patch or a strategic merge patch.

use kd_api::decode::FieldValidation;
use kd_api::decode::normalize;
use kd_api::{FieldError, Kind, Object, Path, Status, patch as patches, schema};
use serde_json::Value;

use super::apply::{APPLY, apply};
use super::{Proposal, Reply, VerbRequest, update_object};
use crate::negotiate::{media_type, unsupported_media_type};

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// Operations that a JSON Patch may hold.
const OPERATIONS_MAX: usize = 10_000;

/// PATCH of an object or of a view of it.
pub(super) async fn patch(
    request: &mut VerbRequest,
    subresource: &'static str,
) -> Result<Reply, Status> {
    request.wanted()?;
    request.check_options("PatchOptions")?;
    if media_type(&request.exchange.parts.headers) == APPLY {
        return apply(request, subresource).await;
    }
    let patch = Patch::read(request).await?;
    let kind = request.kind.clone();
    let validation = request.field_validation()?;
    let unknown = std::sync::Mutex::new(Vec::new());
    let propose = |old: &Value| {
        let patched = patch.applied(&kind, old)?;
        let normalized = normalize(patched, &kind).map_err(|why| invalid(patch.document(), why))?;
        if validation == FieldValidation::Strict && !normalized.unknown.is_empty() {
            let why = format!("strict decoding error: {}", normalized.unknown.join(", "));
            return Err(invalid(patch.document(), why));
        }
        if let Ok(mut unknown) = unknown.lock() {
            *unknown = normalized.unknown;
        }
        Ok(normalized.object)
    };
    let how = Proposal { options: "PatchOptions", ..Proposal::new(subresource) };
    let bytes = update_object(request, how, propose).await?;
    if validation == FieldValidation::Warn {
        request.warnings.extend(unknown.into_inner().unwrap_or_default());
    }
    Ok(Reply::Object(200, bytes))
}

/// What is wrong with a patch, with the patch.
fn invalid(patch: &Value, why: String) -> Status {
    let error = FieldError::invalid(Path::new("patch"), Value::from(patch.to_string()), why);
    Status::invalid("", "", "", &[error])
}

/// A patch and its sort.
enum Patch {
    Json(Value),
    Merge(Value),
    Strategic(Value),
}

impl Patch {
    async fn read(request: &mut VerbRequest) -> Result<Patch, Status> {
        let sort = media_type(&request.exchange.parts.headers).to_owned();
        if sort == STRATEGIC && request.kind.custom.is_some() {
            return Err(unsupported_media_type(&format!("{JSON}, {MERGE}, {APPLY}")));
        }
        if !matches!(&*sort, JSON | MERGE | STRATEGIC) {
            return Err(unsupported_media_type(&format!("{JSON}, {MERGE}, {STRATEGIC}, {APPLY}")));
        }
        let body = request.read_body().await?;
        let patch: Value = serde_json::from_slice(&body)
            .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
        request.tell_request(&patch);
        match &*sort {
            JSON if patch.as_array().is_some_and(|list| list.len() > OPERATIONS_MAX) => {
                let message = format!(
                    "Request entity too large: The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}",
                    patch.as_array().map_or(0, Vec::len)
                );
                Err(Status::failure(413, "RequestEntityTooLarge", message))
            }
            JSON => Ok(Patch::Json(patch)),
            MERGE => Ok(Patch::Merge(patch)),
            _ => Ok(Patch::Strategic(patch)),
        }
    }

    fn document(&self) -> &Value {
        match self {
            Patch::Json(patch) | Patch::Merge(patch) | Patch::Strategic(patch) => patch,
        }
    }

    fn applied(&self, kind: &Kind, old: &Value) -> Result<Value, Status> {
        let mut new = match self {
            Patch::Json(patch) => patches::json(old, patch)?,
            Patch::Merge(patch) => patches::merge(old, patch),
            Patch::Strategic(patch) => match schema::for_kind(kind) {
                Some(schema) => patches::strategic(old, patch, &schema)?,
                None => return Err(unsupported_media_type(MERGE)),
            },
        };
        if new.name() != old.name() || new.namespace() != old.namespace() {
            // What names the object is part of its URL.
            if new.name().is_empty() {
                new.set_name(old.name());
            }
            if new.namespace().is_empty() {
                new.set_namespace(old.namespace());
            }
        }
        if new.name() != old.name() {
            return Err(Status::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                new.name(),
                old.name()
            )));
        }
        if new.namespace() != old.namespace() {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        Ok(new)
    }
}

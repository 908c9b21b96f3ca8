//! Server-side apply: PATCH with what a manager wants of an object, which need not exist yet.

use bytes::Bytes;
use kd_api::decode::{Decoded, decode_applied, normalize};
use kd_api::patch::PatchSchema;
use kd_api::{Kind, Object, Status, patch, schema};
use serde_json::Value;

use super::owners::{Writer, same_but_times};
use super::write::settle_namespace;
use super::{Proposal, Reply, VerbRequest, create, update_object};
use crate::negotiate::unsupported_media_type;
use crate::storage::key_of;

/// The media type of what is applied.
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

/// kubectl's manager, which takes over what kubectl applied by itself before.
const KUBECTL: &str = "kubectl";
/// What kubectl applied by itself.
const LAST_APPLIED: [&str; 3] =
    ["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"];

/// PATCH of an object or of a view of it by what its manager wants.
pub(super) async fn apply(
    request: &mut VerbRequest,
    subresource: &'static str,
) -> Result<Reply, Status> {
    let kind = request.kind.clone();
    let config = read_config(request, &kind, subresource).await?;
    let (code, bytes) = apply_config(request, subresource, config).await?;
    Ok(Reply::Object(code, bytes))
}

/// Applies a configuration of the request's object; returns the code and what the client sees.
pub(crate) async fn apply_config(
    request: &mut VerbRequest,
    subresource: &'static str,
    config: Value,
) -> Result<(u16, Bytes), Status> {
    let kind = request.kind.clone();
    let Some(schema) = schema::for_kind(&kind) else {
        return Err(unsupported_media_type("application/json-patch+json"));
    };
    let force = request.query().flag("force");
    let writer = Writer::of(request, subresource);
    let api_version = kind.api_version();
    let apply = |live: &Value, force: bool| {
        patch::apply(live, &config, &schema, writer.manager(&api_version), force)
            .map_err(|status| named(status, &kind, config.name()))
    };
    let is_kubectl = request.query().first("fieldManager") == KUBECTL;
    let wanted = |live: &Value| {
        let mut new = match apply(live, force) {
            Err(refused) if is_kubectl && was_applied_by_kubectl(&refused, live, &schema) => {
                apply(live, true)?
            }
            outcome => outcome?,
        };
        if is_kubectl && !live.str_at(&LAST_APPLIED).is_empty() {
            new.set_at(&LAST_APPLIED, last_applied(&config).into());
        }
        // A configuration is owned as it is written; objects have their kind's form.
        normalize(new, &kind).map(|new| new.object).map_err(Status::bad_request)
    };
    let key = key_of(&kind, request.namespace(), request.name());
    if subresource.is_empty() && request.objects().store.get(&key).is_none() {
        if !config.uid().is_empty() {
            let why = format!(
                "Precondition failed: UID in precondition: {}, UID in object meta: ",
                config.uid()
            );
            return Err(Status::conflict(&kind.group, &kind.plural, config.name(), &why));
        }
        let object = wanted(&Value::Null)?;
        let bytes = create::create_owned(request, object).await?;
        return Ok((201, bytes));
    }
    let propose = |old: &Value| {
        let new = wanted(old)?;
        // An apply that changes nothing is no write.
        Ok(if same_but_times(&new, old) { old.clone() } else { new })
    };
    let how = Proposal { options: "PatchOptions", applies: true, ..Proposal::new(subresource) };
    let bytes = update_object(request, how, propose).await?;
    Ok((200, bytes))
}

/// Whether all conflicts are about fields that are as kubectl's annotation says it applied them.
fn was_applied_by_kubectl<S: PatchSchema>(refused: &Status, live: &Value, schema: &S) -> bool {
    let causes = refused.details.iter().flat_map(|details| &details.causes);
    let mut causes = causes.filter(|_| refused.code == 409).peekable();
    let text = live.str_at(&LAST_APPLIED);
    let Ok(last) = serde_json::from_str::<Value>(text) else { return false };
    let own = patch::fields_in_common(&last, live, schema);
    causes.peek().is_some() && causes.all(|cause| own.contains(&cause.field))
}

/// What kubectl's annotation says of a configuration, so that it may go back to its own way.
fn last_applied(config: &Value) -> String {
    let mut config = config.clone();
    let [metadata, annotations, own] = LAST_APPLIED;
    let others = config[metadata].get_mut(annotations).and_then(Value::as_object_mut);
    others.map(|map| map.remove(own));
    format!("{config}\n")
}

/// What is wanted: an object of the request's kind and name, without what is not its manager's.
async fn read_config(
    request: &mut VerbRequest,
    kind: &Kind,
    subresource: &str,
) -> Result<Value, Status> {
    let validation = request.field_validation()?;
    let body = request.read_body().await?;
    let Decoded { object: mut config, warnings } = decode_applied(&body, kind, validation)?;
    request.warnings.extend(warnings);
    request.tell_request(&config);
    settle_namespace(request.namespace(), &mut config)?;
    match config.name() {
        "" => config.set_name(request.name()),
        name if name == request.name() => {}
        name => {
            return Err(Status::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                request.name()
            )));
        }
    }
    // What this path does not change is not its managers' either.
    let foreign = match subresource {
        "" if kind.subresource("status").is_some() => "status",
        "status" => "spec",
        _ => "",
    };
    if let Some(fields) = config.as_object_mut() {
        fields.remove(foreign);
    }
    // Tools write it although it is the server's.
    config.metadata_mut().remove("creationTimestamp");
    Ok(config)
}

/// A conflict tells which object it is about.
fn named(mut status: Status, kind: &Kind, name: &str) -> Status {
    if status.code == 409 {
        let details = status.details.get_or_insert_default();
        details.name = name.to_owned();
        details.group.clone_from(&kind.group);
        details.kind.clone_from(&kind.plural);
    }
    status
}

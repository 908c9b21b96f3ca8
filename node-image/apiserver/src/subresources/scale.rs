//! `scale`: the replicas of a workload, as an `autoscaling/v1` Scale.

use kd_api::custom::{ScalePaths, follow};
use kd_api::decode::{Encoding, decode_as, normalize};
use kd_api::selector::Selector;
use kd_api::{Kind, Object, Status, patch};
use serde_json::{Value, json};

use crate::custom;
use crate::negotiate::{media_type, unsupported_media_type};
use crate::storage::key_of;
use crate::verbs::{APPLY, Proposal, Reply, VerbRequest, View, apply_config, update_object};

const SCALE: (&str, &str, &str) = ("autoscaling", "v1", "Scale");
const MERGE: [&str; 2] = ["application/merge-patch+json", "application/strategic-merge-patch+json"];
const JSON: &str = "application/json-patch+json";

/// GET, PUT and PATCH.
pub(super) async fn scale(request: &mut VerbRequest) -> Result<Reply, Status> {
    match request.info().verb.as_str() {
        "get" => {}
        "update" => request.check_options("UpdateOptions")?,
        _ => request.check_options("PatchOptions")?,
    }
    match request.info().verb.as_str() {
        "get" => get(request).await,
        "update" => {
            let scale = request.read_other(SCALE).await?;
            change(request, "UpdateOptions", |_| Ok(scale.clone())).await
        }
        _ if media_type(&request.exchange.parts.headers) == APPLY => apply(request).await,
        _ => {
            let sort = media_type(&request.exchange.parts.headers).to_owned();
            let body = request.read_body().await?;
            let document: Value = serde_json::from_slice(&body)
                .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
            change(request, "PatchOptions", |old| match sort.as_str() {
                JSON => patch::json(old, &document),
                sort if MERGE.contains(&sort) => Ok(patch::merge(old, &document)),
                _ => Err(unsupported_media_type(&format!("{JSON}, {}", MERGE.join(", ")))),
            })
            .await
        }
    }
}

async fn get(request: &VerbRequest) -> Result<Reply, Status> {
    let key = key_of(&request.kind, request.namespace(), request.name());
    let entry = request.objects().store.get(&key);
    let entry = entry.ok_or_else(|| request.not_found(request.name()))?;
    let entry = custom::present(request.server(), &request.kind, entry).await?;
    let object = request.objects().decode(&request.kind, &entry)?;
    if let Some(paths) = scale_paths(&request.kind)
        && follow(&object, &paths.spec_replicas).is_none()
    {
        let path = paths.spec_replicas.join(".");
        return Err(Status::internal(format!(
            "the spec replicas field \".{path}\" does not exist"
        )));
    }
    Ok(Reply::Value(200, scale_of(&request.kind, &object)?))
}

/// What a manager wants of the replicas becomes what it wants of the object's own field.
async fn apply(request: &mut VerbRequest) -> Result<Reply, Status> {
    let kind = request.kind.clone();
    let body = request.read_body().await?;
    let scale = decode_as(&body, Encoding::Yaml, SCALE, request.field_validation()?)?.object;
    let mut config = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {}});
    config.set_name(request.name());
    config.set_namespace(request.namespace());
    if let Some(replicas) = scale.i64_at(&["spec", "replicas"]) {
        config.set_at(&replicas_path(&kind), replicas.into());
    }
    let (code, bytes) = apply_config(request, "scale", config).await?;
    let object: Value = serde_json::from_slice(&bytes).map_err(Status::internal)?;
    Ok(Reply::Value(code, scale_of(&kind, &object)?))
}

/// Replaces the replicas by those of the Scale that `propose` makes of the current one.
async fn change(
    request: &mut VerbRequest,
    options: &'static str,
    propose: impl Fn(&Value) -> Result<Value, Status>,
) -> Result<Reply, Status> {
    let kind = request.kind.clone();
    let proposal = |old: &Value| merged(&kind, old, &propose(&scale_of(&kind, old)?)?);
    let how = Proposal { view: Some(VIEW), options, ..Proposal::new("scale") };
    let bytes = update_object(request, how, proposal).await?;
    let object: Value = serde_json::from_slice(&bytes).map_err(Status::internal)?;
    Ok(Reply::Value(200, scale_of(&request.kind, &object)?))
}

/// What admission sees.
const VIEW: View = View { kind: SCALE, show: scale_of, merge: merged };

/// The object with the replicas of a Scale.
fn merged(kind: &Kind, old: &Value, scale: &Value) -> Result<Value, Status> {
    let replicas = scale.i64_at(&["spec", "replicas"]).unwrap_or(0);
    if replicas < 0 {
        let field = kd_api::Path::new("spec").child("replicas");
        let why = "must be greater than or equal to 0";
        let error = kd_api::FieldError::invalid(field, replicas, why);
        return Err(Status::invalid(SCALE.0, SCALE.2, old.name(), &[error]));
    }
    let mut new = old.clone();
    new.set_at(&replicas_path(kind), replicas.into());
    // A custom resource is never replaced without its version.
    if kind.custom.is_none() || !scale.resource_version().is_empty() {
        new.set_resource_version(scale.resource_version());
    }
    if !scale.uid().is_empty() {
        new.set_uid(scale.uid());
    }
    Ok(normalize(new, kind).map_err(Status::bad_request)?.object)
}

/// Where the replicas are that are wanted.
fn replicas_path(kind: &Kind) -> Vec<&str> {
    match scale_paths(kind) {
        None => vec!["spec", "replicas"],
        Some(paths) => paths.spec_replicas.iter().map(String::as_str).collect(),
    }
}

fn scale_paths(kind: &Kind) -> Option<&ScalePaths> {
    kind.custom.as_ref()?.scale.as_ref()
}

/// The replicas that are wanted, those that there are, and the selector of the pods.
fn parts(kind: &Kind, object: &Value) -> Result<(Option<i64>, i64, String), Status> {
    if let Some(paths) = scale_paths(kind) {
        let number = |path: &[String]| follow(object, path).and_then(Value::as_i64);
        let selector = paths.label_selector.as_ref().and_then(|path| follow(object, path));
        let selector = selector.and_then(Value::as_str).unwrap_or("").to_owned();
        let there = number(&paths.status_replicas).unwrap_or(0);
        return Ok((number(&paths.spec_replicas), there, selector));
    }
    let selector = object.at(&["spec", "selector"]).unwrap_or(&Value::Null);
    let selector = match kind.kind.as_str() {
        "ReplicationController" => Selector::from_map(selector),
        _ => Selector::from_object(selector)?,
    };
    let wanted = object.i64_at(&["spec", "replicas"]);
    let there = object.i64_at(&["status", "replicas"]).unwrap_or(0);
    Ok((wanted, there, selector.to_string()))
}

fn scale_of(kind: &Kind, object: &Value) -> Result<Value, Status> {
    let (wanted, there, selector) = parts(kind, object)?;
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.at(&["metadata", field]) {
            metadata[field] = value.clone();
        }
    }
    let mut scale = json!({
        "kind": SCALE.2,
        "apiVersion": format!("{}/{}", SCALE.0, SCALE.1),
        "metadata": metadata,
        "spec": {},
        "status": {"replicas": there},
    });
    if let Some(replicas) = wanted.filter(|count| *count != 0) {
        scale["spec"]["replicas"] = replicas.into();
    }
    if !selector.is_empty() {
        scale["status"]["selector"] = selector.into();
    }
    Ok(scale)
}

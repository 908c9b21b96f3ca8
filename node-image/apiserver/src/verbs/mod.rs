//! What is done to objects: one file per verb. A request comes here authorized; admission happens
//! inside the verbs that write.

mod apply;
mod create;
mod delete;
mod delete_collection;
mod effects;
mod get;
mod list;
mod options;
mod owners;
mod patch;
mod request;
mod update;
mod watch;
mod write;

use std::sync::Arc;

use futures::future::BoxFuture;
use kd_api::kind::METRICS_GROUP;
use kd_api::{Kind, Status, StatusDetails};

pub(crate) use apply::{APPLY, apply_config};
pub(crate) use create::set_system_fields;
pub(crate) use delete::{DeleteOptions, delete_object};
pub(crate) use request::{Reply, VerbRequest};
pub(crate) use update::{Proposal, View, update_object};
pub(crate) use write::Write;

use crate::answer::{self, Answer, RequestBody};
use crate::pipeline::Exchange;
use crate::request::RequestInfo;
use crate::{component_statuses, resource_metrics, subresources};

type Verb = for<'a> fn(&'a mut VerbRequest) -> BoxFuture<'a, Result<Reply, Status>>;

/// The verbs of a collection and of its objects.
const VERBS: &[(&str, Verb)] = &[
    ("create", |r| Box::pin(create::create(r))),
    ("delete", |r| Box::pin(delete::delete(r))),
    ("deletecollection", |r| Box::pin(delete_collection::delete_collection(r))),
    ("get", |r| Box::pin(get::get(r))),
    ("list", |r| Box::pin(list::list(r))),
    ("patch", |r| Box::pin(patch::patch(r, ""))),
    ("update", |r| Box::pin(update::update(r, ""))),
    ("watch", |r| Box::pin(watch::watch(r))),
];

/// The verbs of a subresource that is a view of its object (status, scale, ...).
pub(crate) async fn view_verb(
    request: &mut VerbRequest,
    subresource: &'static str,
) -> Result<Reply, Status> {
    match request.info().verb.as_str() {
        "get" => get::get(request).await,
        "patch" => patch::patch(request, subresource).await,
        "update" => update::update(request, subresource).await,
        other => Err(request.no_such_verb(other)),
    }
}

/// Answers a request for a resource.
pub(crate) async fn dispatch(exchange: Exchange, body: RequestBody) -> Answer {
    let info = &exchange.info;
    let kinds = exchange.server.objects.kinds();
    let Some(kind) = kinds.get(&info.group, &info.version, &info.resource).cloned() else {
        // Upstream's groups answer for what is missing in them; outside of them there is nothing.
        return match kinds.kinds_of(&info.group, &info.version).next() {
            Some(_) => answer::failure(&Status::no_such_path()),
            None => answer::page_not_found(),
        };
    };
    if !has_path(&kind, info) {
        return answer::failure(&Status::no_such_path());
    }
    if !has_method(&kind, info) {
        return answer::failure(&no_such_method());
    }
    let mut request = VerbRequest::new(exchange, kind, body);
    request.warnings.extend(deprecation(&request.kind));
    let outcome = match request.info().subresource.as_str() {
        "" => verb(&mut request).await,
        _ => subresources::dispatch(&mut request).await,
    };
    request.answer(outcome)
}

async fn verb(request: &mut VerbRequest) -> Result<Reply, Status> {
    let name = request.info().verb.clone();
    let kind: Arc<Kind> = request.kind.clone();
    // Objects of a definition that is being deleted are changed still, so that they can go.
    let changes = kind.custom.is_some() && matches!(&*name, "update" | "patch" | "create");
    if !kind.has_verb(&name) && !changes {
        return Err(request.no_such_verb(&name));
    }
    if kind.kind == "Binding" && kind.group.is_empty() {
        return subresources::bind(request).await;
    }
    if kind.kind == "ComponentStatus" && kind.group.is_empty() {
        return component_statuses::answer(request);
    }
    if kind.group == METRICS_GROUP {
        return resource_metrics::answer(request).await;
    }
    if !kind.is_stored() {
        return subresources::review(request).await;
    }
    let verb = VERBS.iter().find(|(verb, _)| *verb == name);
    let (_, verb) = verb.ok_or_else(|| request.no_such_verb(&name))?;
    verb(request).await
}

/// What clients are told about kinds that upstream means to give up.
const DEPRECATED: &[(&str, &str)] = &[
    ("ComponentStatus", "v1 ComponentStatus is deprecated in v1.19+"),
    ("Endpoints", "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
];

fn deprecation(kind: &Kind) -> Option<String> {
    if let Some(custom) = &kind.custom {
        return custom.deprecation.clone();
    }
    let row = DEPRECATED.iter().find(|(name, _)| kind.group.is_empty() && *name == kind.kind);
    row.map(|(_, text)| (*text).to_owned())
}

/// Whether the path exists: objects of a namespaced kind only inside a namespace, those of a
/// cluster's kind only outside.
fn has_path(kind: &Kind, info: &RequestInfo) -> bool {
    if kind.namespaced() {
        return !info.namespace.is_empty() || info.name.is_empty() || is_collection(info);
    }
    info.namespace.is_empty() || (kind.plural == "namespaces" && kind.group.is_empty())
}

/// A collection of all namespaces is only read.
fn is_collection(info: &RequestInfo) -> bool {
    matches!(&*info.verb, "list" | "watch")
}

/// What upstream says of a method that a path does not have.
pub(crate) fn no_such_method() -> Status {
    let message = "the server does not allow this method on the requested resource";
    let mut status = Status::failure(405, "MethodNotAllowed", message);
    status.details = Some(StatusDetails::default());
    status
}

/// A collection is posted to, an object is replaced and patched; nothing is done to all namespaces
/// at once.
fn has_method(kind: &Kind, info: &RequestInfo) -> bool {
    if kind.namespaced() && info.namespace.is_empty() && !is_collection(info) {
        return false;
    }
    match info.verb.as_str() {
        "create" => info.name.is_empty() || !info.subresource.is_empty(),
        "update" | "patch" => !info.name.is_empty(),
        _ => true,
    }
}

//! `update`: an object is replaced, through its own path or a subresource's.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use kd_api::defaults::apply_defaults;
use kd_api::object::format_time;
use kd_api::validation::validate_update;
use kd_api::{FieldError, Kind, Object, Path, Status, strategy};
use kd_store::{Entry, Error, Expect, Transaction};
use serde_json::Value;

use super::owners::Writer;
use super::write::{DUPLICATE_OWNERS, Write, settle_namespace, valid};
use super::{Reply, VerbRequest, create, effects};
use crate::admission::expression_errors;
use crate::custom;
use crate::storage::{key_of, store_failed};

/// Times that an update which names no resourceVersion is tried on a newer object.
const ATTEMPTS_MAX: usize = 16;

/// Kinds whose objects are never replaced without naming the resourceVersion.
const CONDITIONAL: &[(&str, &str)] = &[
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("apiregistration.k8s.io", "apiservices"),
    ("coordination.k8s.io", "leases"),
    ("policy", "poddisruptionbudgets"),
];

/// Kinds whose objects an update creates when they are absent.
const CREATED_BY_UPDATE: &[(&str, &str)] = &[
    ("", "endpoints"),
    ("", "events"),
    ("", "limitranges"),
    ("", "services"),
    ("coordination.k8s.io", "leases"),
    ("events.k8s.io", "events"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("rbac.authorization.k8s.io", "roles"),
];

fn is_among(kinds: &[(&str, &str)], kind: &Kind) -> bool {
    kinds.iter().any(|(group, plural)| *group == kind.group && *plural == kind.plural)
}

/// PUT of an object or of a view of it.
pub(super) async fn update(
    request: &mut VerbRequest,
    subresource: &'static str,
) -> Result<Reply, Status> {
    request.wanted()?;
    request.check_options("UpdateOptions")?;
    let mut object = request.read_object().await?;
    settle_namespace(request.namespace(), &mut object)?;
    request.dedup_owners(&mut object, DUPLICATE_OWNERS);
    check_name(request.name(), &object)?;
    let key = key_of(&request.kind, request.namespace(), request.name());
    let creates = subresource.is_empty() && is_among(CREATED_BY_UPDATE, &request.kind);
    if creates && request.objects().store.get(&key).is_none() {
        let bytes = create::create_object(request, object).await?;
        return Ok(Reply::Object(201, bytes));
    }
    let proposal = |_: &Value| Ok(object.clone());
    let bytes = update_object(request, Proposal::new(subresource), proposal).await?;
    Ok(Reply::Object(200, bytes))
}

/// An object that replaces another one says its name.
pub(super) fn check_name(asked: &str, object: &Value) -> Result<(), Status> {
    let why = match object.name() {
        name if name == asked => return Ok(()),
        "" => format!(
            "the name of the object ({asked} based on URL) was undeterminable: name must be provided"
        ),
        name => {
            format!("the name of the object ({name}) does not match the name on the URL ({asked})")
        }
    };
    Err(Status::bad_request(why))
}

/// How an object is changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proposal {
    /// Through which view; "" for the object itself.
    pub(crate) subresource: &'static str,
    /// What admission calls the options.
    pub(crate) options: &'static str,
    /// Whether admission is asked (not for what the server itself does).
    pub(crate) admitted: bool,
    /// Whether the proposal says who owns its fields.
    pub(crate) applies: bool,
    /// What admission sees in the object's place.
    pub(crate) view: Option<View>,
}

/// A part of an object that is written in a form of its own (a Scale).
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Group, version and kind of the form.
    pub(crate) kind: (&'static str, &'static str, &'static str),
    /// The form of an object.
    pub(crate) show: fn(&Kind, &Value) -> Result<Value, Status>,
    /// The object with what its form says.
    pub(crate) merge: fn(&Kind, &Value, &Value) -> Result<Value, Status>,
}

impl Proposal {
    pub(crate) fn new(subresource: &'static str) -> Proposal {
        Proposal {
            subresource,
            options: "UpdateOptions",
            admitted: true,
            applies: false,
            view: None,
        }
    }
}

/// Replaces the request's object by what `propose` makes of it; again, if it changes meanwhile and
/// the proposal names no resourceVersion of its own. Returns what the client sees.
pub(crate) async fn update_object(
    request: &mut VerbRequest,
    proposal: Proposal,
    propose: impl Fn(&Value) -> Result<Value, Status>,
) -> Result<Bytes, Status> {
    let kind = request.kind.clone();
    let key: Arc<str> = key_of(&kind, request.namespace(), request.name()).into();
    for _ in 0..ATTEMPTS_MAX {
        let entry = request.objects().store.get(&key);
        let entry = entry.ok_or_else(|| request.not_found(request.name()))?;
        let shown = custom::present(request.server(), &kind, entry.clone()).await?;
        let old = Arc::new(request.objects().decode(&kind, &shown)?);
        let mut new = propose(&old)?;
        // A patch starts from the object with its version: only another one is a condition.
        let unconditional =
            matches!(new.resource_version(), "" | "0") || proposal.options == "PatchOptions";
        check_preconditions(&kind, &new, &old)?;
        new.set_resource_version("");
        let step = Step { entry: &entry, old, new };
        match step.run(request, proposal).await? {
            Outcome::Done(bytes) => return Ok(bytes),
            Outcome::Changed(changed) if changed != key || unconditional => {}
            Outcome::Changed(_) => return Err(conflict(&kind, request.name())),
        }
    }
    Err(conflict(&kind, request.name()))
}

pub(super) fn conflict(kind: &Kind, name: &str) -> Status {
    Status::modified(&kind.group, &kind.plural, name)
}

fn check_preconditions(kind: &Kind, new: &Value, old: &Value) -> Result<(), Status> {
    let uid = new.uid();
    if !uid.is_empty() && uid != old.uid() {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            old.uid()
        );
        return Err(Status::conflict(&kind.group, &kind.plural, old.name(), &why));
    }
    match new.resource_version() {
        "" | "0" if kind.custom.is_some() || is_among(CONDITIONAL, kind) => {
            let field = Path::new("metadata").child("resourceVersion");
            let why = "must be specified for an update";
            let error = FieldError::invalid(field, Value::from(""), why);
            Err(Status::invalid(&kind.group, &kind.kind, old.name(), &[error]))
        }
        "" | "0" => Ok(()),
        version if version == old.resource_version() => Ok(()),
        _ => Err(conflict(kind, old.name())),
    }
}

enum Outcome {
    Done(Bytes),
    /// This key was changed by someone else.
    Changed(Arc<str>),
}

/// One attempt.
struct Step<'a> {
    entry: &'a Entry,
    old: Arc<Value>,
    new: Value,
}

impl Step<'_> {
    async fn run(self, request: &mut VerbRequest, how: Proposal) -> Result<Outcome, Status> {
        let kind = request.kind.clone();
        let dry_run = request.query().dry_run()?;
        let options = request.options(how.options)?;
        let old = self.old.clone();
        let writer = Writer::of(request, how.subresource);
        let now = (request.server().clock)();
        let mut new = self.new;
        let owners = new.metadata_mut().remove("managedFields");
        let prepare = |object: &mut Value| {
            date_decisions(&kind, how.subresource, object, &old, now);
            prepare(&kind, how.subresource, object, &old)?;
            match (how.applies, owners) {
                (true, Some(owners)) => {
                    object.metadata_mut().insert("managedFields".into(), owners);
                }
                (_, proposed) => writer.track(&kind, proposed, &old, object),
            }
            Ok(())
        };
        match (how.admitted, how.view) {
            (false, _) => prepare(&mut new)?,
            (true, None) => {
                let of = (&*kind.group, &*kind.version, &*kind.kind);
                let info = request.info().clone();
                let old = Some(self.old.clone());
                let write = Write { dry_run, options, old, ..Write::update(&info, of, new) };
                new = request.admit(write, prepare).await?;
            }
            (true, Some(view)) => {
                let info = request.info().clone();
                let old = Some(Arc::new((view.show)(&kind, &self.old)?));
                let shown = (view.show)(&kind, &new)?;
                let write =
                    Write { dry_run, options, old, ..Write::update(&info, view.kind, shown) };
                let whole = &mut new;
                let prepare = |shown: &mut Value| {
                    *whole = (view.merge)(&kind, whole, shown)?;
                    prepare(whole)?;
                    *shown = (view.show)(&kind, whole)?;
                    Ok(())
                };
                request.admit(write, prepare).await?;
            }
        }
        if how.admitted && how.subresource.is_empty() {
            request.warnings.extend(kd_api::warnings(&kind, &new, Some(&self.old)));
        }
        request.warnings.extend(kd_api::custom::warnings(&kind, &new, &self.old));
        commit(request, &kind, self.entry, &self.old, new, dry_run).await
    }
}

/// Conditions of a CertificateSigningRequest that say no time get one.
fn date_decisions(kind: &Kind, subresource: &str, new: &mut Value, old: &Value, now: Timestamp) {
    let dated = kind.kind == "CertificateSigningRequest" && kind.group == "certificates.k8s.io";
    let conditions = new.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    let Some(conditions) = conditions.filter(|_| dated && !subresource.is_empty()) else { return };
    for condition in conditions {
        let before = old.list_at(&["status", "conditions"]).iter();
        let mut same = before.filter(|c| c["type"] == condition["type"]);
        let kept = same.find(|c| c["status"] == condition["status"]);
        let kept = kept.map(|c| c["lastTransitionTime"].clone()).filter(Value::is_string);
        let now = Value::from(format_time(now));
        if condition["lastTransitionTime"].is_null() {
            condition["lastTransitionTime"] = kept.unwrap_or_else(|| now.clone());
        }
        if condition["lastUpdateTime"].is_null() {
            condition["lastUpdateTime"] = now;
        }
    }
}

fn prepare(kind: &Kind, subresource: &str, new: &mut Value, old: &Value) -> Result<(), Status> {
    apply_defaults(kind, new);
    new.metadata_mut().remove("managedFields");
    strategy::prepare_update(kind, subresource, new, old);
    let mut errors = validate_update(kind, subresource, new, old);
    errors.extend(expression_errors(kind, new, Some(old)));
    valid(kind, old.name(), custom::check_rules(kind, new, Some(old), errors))
}

async fn commit(
    request: &VerbRequest,
    kind: &Arc<Kind>,
    entry: &Entry,
    old: &Value,
    mut new: Value,
    dry_run: bool,
) -> Result<Outcome, Status> {
    let server = request.server();
    let objects = &server.objects;
    let expect = Expect::Revision(entry.revision);
    let snapshot = objects.snapshot();
    let deletes = is_last_update(&new, old);
    let effects = match deletes {
        true => effects::of_delete(&snapshot, kind, old),
        false => effects::of_update(server, &snapshot, kind, &mut new, old)?,
    };
    let bytes = custom::stored(server, kind, &new).await?;
    let shown = |revision: u64| objects.show_written(kind, &new, &bytes, revision);
    if dry_run {
        return Ok(Outcome::Done(shown(entry.revision)?));
    }
    let transaction = match deletes {
        true => Transaction::new().delete(entry.key.clone(), expect),
        // Nothing changed: no new version, nobody is told.
        false if bytes == entry.value => return Ok(Outcome::Done(shown(entry.revision)?)),
        false => Transaction::new().put(entry.key.clone(), bytes.clone(), expect),
    };
    match objects.store.commit(transaction.and(effects)).await {
        Ok(revision) => Ok(Outcome::Done(shown(revision)?)),
        Err(Error::Conflict { key, .. }) => Ok(Outcome::Changed(key)),
        Err(other) => Err(store_failed(other)),
    }
}

/// Whether the update takes away the last thing that kept a deleted object.
fn is_last_update(new: &Value, old: &Value) -> bool {
    old.is_terminating()
        && new.finalizers().is_empty()
        && new.deletion_grace_period_seconds().unwrap_or(0) == 0
        && (new.kind() != "Namespace" || new.list_at(&["spec", "finalizers"]).is_empty())
}

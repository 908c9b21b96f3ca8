//! `delete`: an object goes, at once or after its grace period, when nothing keeps it.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kd_api::custom::mark_deleted;
use kd_api::decode::decode_options;
use kd_api::{FieldError, Kind, Object, Path, Status};
use kd_store::{Entry, Error, Expect, Transaction};
use serde_json::{Value, json};

use super::write::{Write, status_success};
use super::{Reply, VerbRequest, effects, update};
use crate::custom;
use crate::negotiate::body_encoding;
use crate::query::Query;
use crate::request::{Operation, RequestInfo};
use crate::storage::{key_of, store_failed};

/// Times that a delete is tried on a newer object.
const ATTEMPTS_MAX: usize = 16;
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
/// Kinds whose deletion answers with the object.
const ANSWERED_WITH_OBJECT: &[&str] = &[
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "podtemplates",
    "resourcequotas",
    "serviceaccounts",
    "services",
];
const POD_GRACE_SECONDS: i64 = 30;

/// `meta/v1` DeleteOptions.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_period_seconds: Option<i64>,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    pub(crate) propagation: Option<Propagation>,
    pub(crate) dry_run: bool,
    /// Whether admission has agreed already (to an eviction).
    pub(crate) admitted: bool,
}

/// What happens to the objects that an object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    Orphan,
    Background,
    Foreground,
}

impl DeleteOptions {
    /// From the body, or else from the query.
    pub(super) async fn of(request: &mut VerbRequest) -> Result<DeleteOptions, Status> {
        let body = request.read_body().await?;
        let value = match body.is_empty() {
            true => query_options(request.query())?,
            false => {
                let encoding = body_encoding(&request.exchange.parts.headers)?;
                decode_options(&body, encoding, "DeleteOptions")?
            }
        };
        request.tell_request(&value);
        let mut options = DeleteOptions::parse(&value)?;
        request.check_options("DeleteOptions")?;
        options.dry_run |= request.query().dry_run()?;
        Ok(options)
    }

    pub(crate) fn parse(value: &Value) -> Result<DeleteOptions, Status> {
        let field = || Path::new("propagationPolicy");
        let policy = value.str_at(&["propagationPolicy"]);
        let orphans = value.get("orphanDependents").filter(|orphans| !orphans.is_null());
        if orphans.is_some() && !policy.is_empty() {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            let error = FieldError::invalid(field(), policy, why);
            return Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", &[error]));
        }
        let propagation = match (policy, orphans) {
            ("", Some(Value::Bool(true))) => Some(Propagation::Orphan),
            ("", Some(Value::Bool(false))) => Some(Propagation::Background),
            ("", _) => None,
            ("Orphan", _) => Some(Propagation::Orphan),
            ("Background", _) => Some(Propagation::Background),
            ("Foreground", _) => Some(Propagation::Foreground),
            (other, _) => {
                let supported = ["Foreground", "Background", "Orphan", "nil"];
                let error = FieldError::not_supported(field(), other, &supported);
                return Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", &[error]));
            }
        };
        Ok(DeleteOptions {
            grace_period_seconds: value.i64_at(&["gracePeriodSeconds"]),
            uid: value.str_at(&["preconditions", "uid"]).into(),
            resource_version: value.str_at(&["preconditions", "resourceVersion"]).into(),
            propagation,
            dry_run: !value.list_at(&["dryRun"]).is_empty(),
            admitted: false,
        })
    }

    /// As admission sees them.
    fn to_value(&self) -> Value {
        let mut value = json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"});
        if let Some(seconds) = self.grace_period_seconds {
            value["gracePeriodSeconds"] = seconds.into();
        }
        if self.dry_run {
            value["dryRun"] = json!(["All"]);
        }
        if let Some(propagation) = self.propagation {
            value["propagationPolicy"] = format!("{propagation:?}").into();
        }
        value
    }

    fn check(&self, kind: &Kind, object: &Value) -> Result<(), Status> {
        let conflict = |what: &str, asked: &str, found: &str| {
            let why = format!(
                "Precondition failed: {what} in precondition: {asked}, {what} in object meta: {found}"
            );
            Err(Status::conflict(&kind.group, &kind.plural, object.name(), &why))
        };
        if !self.uid.is_empty() && self.uid != object.uid() {
            return conflict("UID", &self.uid, object.uid());
        }
        let (asked, found) = (&self.resource_version, object.resource_version());
        match asked.is_empty() || asked == found {
            true => Ok(()),
            false => conflict("ResourceVersion", asked, found),
        }
    }
}

fn query_options(query: &Query) -> Result<Value, Status> {
    let mut value = json!({});
    if let Some(seconds) = query.number("gracePeriodSeconds")? {
        value["gracePeriodSeconds"] = seconds.into();
    }
    if !query.first("propagationPolicy").is_empty() {
        value["propagationPolicy"] = query.first("propagationPolicy").into();
    }
    if !query.first("orphanDependents").is_empty() {
        value["orphanDependents"] = query.flag("orphanDependents").into();
    }
    Ok(value)
}

/// DELETE of one object.
pub(super) async fn delete(request: &mut VerbRequest) -> Result<Reply, Status> {
    request.wanted()?;
    let options = DeleteOptions::of(request).await?;
    let info = request.info().clone();
    delete_object(request, &info, &options).await
}

/// Deletes the object that `info` names.
pub(crate) async fn delete_object(
    request: &mut VerbRequest,
    info: &RequestInfo,
    options: &DeleteOptions,
) -> Result<Reply, Status> {
    let kind = request.kind.clone();
    let namespace = if kind.namespaced() { info.namespace.as_str() } else { "" };
    let key: Arc<str> = key_of(&kind, namespace, &info.name).into();
    for _ in 0..ATTEMPTS_MAX {
        let entry = request.objects().store.get(&key);
        let entry = entry.ok_or_else(|| request.not_found(&info.name))?;
        let entry = custom::present(request.server(), &kind, entry).await?;
        let old = Arc::new(request.objects().decode(&kind, &entry)?);
        options.check(&kind, &old)?;
        if !options.admitted {
            admit(request, info, &old, options).await?;
        }
        let plan = plan(&kind, &old, options, (request.server().clock)());
        let attempt = Attempt { kind: &kind, entry: &entry, old: &old, dry_run: options.dry_run };
        if let Some(reply) = attempt.carry_out(request, plan).await? {
            return Ok(reply);
        }
    }
    Err(update::conflict(&kind, &info.name))
}

async fn admit(
    request: &mut VerbRequest,
    info: &RequestInfo,
    old: &Arc<Value>,
    options: &DeleteOptions,
) -> Result<(), Status> {
    let kind = request.kind.clone();
    let write = Write {
        operation: Operation::Delete,
        info,
        kind: (&kind.group, &kind.version, &kind.kind),
        object: Value::Null,
        old: Some(old.clone()),
        options: options.to_value(),
        dry_run: options.dry_run,
    };
    request.admit(write, |_| Ok(())).await.map(drop)
}

/// What a delete comes to.
#[derive(Debug, PartialEq)]
enum Plan {
    /// Nothing: it is on its way already.
    Nothing,
    /// The object is marked, and goes when what keeps it is gone.
    Mark(Value),
    /// The object is marked so that watchers see it, then goes.
    MarkAndRemove(Value),
    /// The object goes.
    Remove,
}

fn plan(kind: &Kind, old: &Value, options: &DeleteOptions, now: Timestamp) -> Plan {
    let mut new = old.clone();
    if custom::is_definition(kind) && !old.is_terminating() {
        new.set_finalizers(finalizers(old, options.propagation));
        mark_deleted(&mut new, now);
        return Plan::Mark(new);
    }
    let finalizers = finalizers(old, options.propagation);
    let changed_finalizers = finalizers != old.finalizers();
    let kept = !finalizers.is_empty() || has_namespace_finalizers(old);
    new.set_finalizers(finalizers);
    if kind.group.is_empty() && kind.kind == "Namespace" && !old.is_terminating() {
        new.set_at(&["status", "phase"], "Terminating".into());
    }
    let graceful = kind.group.is_empty() && kind.kind == "Pod";
    let marked = match graceful {
        true => mark_pod(&mut new, old, options, now),
        false if old.is_terminating() || !kept => false,
        false => {
            mark(&mut new, now, 0);
            true
        }
    };
    let waits = kept || new.deletion_grace_period_seconds().unwrap_or(0) > 0;
    match (waits, marked || changed_finalizers) {
        (true, true) => Plan::Mark(new),
        (true, false) => Plan::Nothing,
        (false, _) if marked => Plan::MarkAndRemove(new),
        (false, _) => Plan::Remove,
    }
}

/// The finalizers after the garbage collector's are set as the policy wants.
fn finalizers(old: &Value, propagation: Option<Propagation>) -> Vec<String> {
    let mut finalizers: Vec<String> = old.finalizers().into_iter().map(str::to_owned).collect();
    let Some(propagation) = propagation else { return finalizers };
    let wanted = match propagation {
        Propagation::Orphan => Some(ORPHAN),
        Propagation::Foreground => Some(FOREGROUND),
        Propagation::Background => None,
    };
    finalizers.retain(|name| {
        !matches!(name.as_str(), ORPHAN | FOREGROUND) || Some(name.as_str()) == wanted
    });
    if let Some(wanted) = wanted.filter(|wanted| !finalizers.iter().any(|name| name == wanted)) {
        finalizers.push(wanted.to_owned());
    }
    finalizers
}

fn has_namespace_finalizers(old: &Value) -> bool {
    old.kind() == "Namespace" && !old.list_at(&["spec", "finalizers"]).is_empty()
}

/// Marks a pod with its grace period, or shortens the one it has. Whether anything changed.
fn mark_pod(new: &mut Value, old: &Value, options: &DeleteOptions, now: Timestamp) -> bool {
    let asked = options.grace_period_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
    if let Some(deadline) = old.deletion_timestamp() {
        let before = old.deletion_grace_period_seconds().unwrap_or(0);
        let Some(seconds) = asked.filter(|seconds| *seconds < before) else { return false };
        let shortened =
            deadline.checked_add(SignedDuration::from_secs(seconds - before)).unwrap_or(deadline);
        new.set_deletion(shortened, seconds);
        return true;
    }
    let own = old.i64_at(&["spec", "terminationGracePeriodSeconds"]);
    let seconds = asked.or(own).unwrap_or(POD_GRACE_SECONDS).max(0);
    // Nothing runs: there is nothing to wait for.
    let idle = old.str_at(&["spec", "nodeName"]).is_empty()
        || matches!(old.str_at(&["status", "phase"]), "Failed" | "Succeeded");
    mark(new, now, if idle { 0 } else { seconds });
    true
}

fn mark(new: &mut Value, now: Timestamp, seconds: i64) {
    let deadline = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(now);
    new.set_deletion(deadline, seconds);
    if new.generation() > 0 {
        new.set_generation(new.generation() + 1);
    }
}

/// One attempt on one version of an object.
struct Attempt<'a> {
    kind: &'a Arc<Kind>,
    entry: &'a Entry,
    old: &'a Value,
    dry_run: bool,
}

impl Attempt<'_> {
    /// `None` when the object changed meanwhile.
    async fn carry_out(&self, request: &VerbRequest, plan: Plan) -> Result<Option<Reply>, Status> {
        let objects = request.objects();
        match plan {
            Plan::Nothing => Ok(Some(Reply::Object(200, objects.show(self.kind, self.entry)?))),
            Plan::Mark(new) => {
                let Some(revision) = self.put(request, &new).await? else { return Ok(None) };
                let bytes = objects.encode(self.kind, &new);
                let shown = objects.show_written(self.kind, &new, &bytes, revision)?;
                Ok(Some(Reply::Object(200, shown)))
            }
            Plan::MarkAndRemove(new) => {
                let Some(revision) = self.put(request, &new).await? else { return Ok(None) };
                self.remove(request, &new, revision).await
            }
            Plan::Remove => self.remove(request, self.old, self.entry.revision).await,
        }
    }

    async fn put(&self, request: &VerbRequest, new: &Value) -> Result<Option<u64>, Status> {
        if self.dry_run {
            return Ok(Some(self.entry.revision));
        }
        let objects = request.objects();
        let bytes = custom::stored(request.server(), self.kind, new).await?;
        let key = self.entry.key.clone();
        match objects.store.update(key, bytes, self.entry.revision).await {
            Ok(revision) => Ok(Some(revision)),
            Err(Error::Conflict { .. }) => Ok(None),
            Err(other) => Err(store_failed(other)),
        }
    }

    async fn remove(
        &self,
        request: &VerbRequest,
        last: &Value,
        revision: u64,
    ) -> Result<Option<Reply>, Status> {
        let objects = request.objects();
        let mut shown = revision;
        if !self.dry_run {
            let effects = effects::of_delete(&objects.snapshot(), self.kind, last);
            let expect = Expect::Revision(revision);
            let transaction = Transaction::new().delete(self.entry.key.clone(), expect);
            match objects.store.commit(transaction.and(effects)).await {
                Ok(revision) => shown = revision,
                Err(Error::Conflict { .. }) => return Ok(None),
                Err(other) => return Err(store_failed(other)),
            }
        }
        let core = self.kind.group.is_empty();
        if core && ANSWERED_WITH_OBJECT.contains(&self.kind.plural.as_str()) {
            let bytes = objects.encode(self.kind, last);
            return Ok(Some(Reply::Object(200, objects.show_at(self.kind, &bytes, shown)?)));
        }
        let status = status_success(self.kind, last.name(), last.uid());
        let value = serde_json::to_value(status).map_err(Status::internal)?;
        Ok(Some(Reply::Value(200, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kd_api::Kinds;

    #[track_caller]
    fn check(resource: &str, old: Value, options: Value, expect: &str) {
        let kinds = Kinds::built_in();
        let kind = kinds.preferred("", resource).unwrap();
        let mut object = old;
        object["kind"] = kind.kind.as_str().into();
        let options = DeleteOptions::parse(&options).unwrap();
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let show = |new: &Value| {
            let (time, grace) = (
                new.str_at(&["metadata", "deletionTimestamp"]),
                new.deletion_grace_period_seconds(),
            );
            format!("{time} {} [{}]", grace.unwrap_or(-1), new.finalizers().join(","))
        };
        let got = match plan(kind, &object, &options, now) {
            Plan::Nothing => "nothing".to_owned(),
            Plan::Remove => "remove".to_owned(),
            Plan::Mark(new) => format!("mark {}", show(&new)),
            Plan::MarkAndRemove(new) => format!("mark and remove {}", show(&new)),
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn pods() {
        let running = || json!({"metadata": {}, "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}});
        check("pods", running(), json!({}), "mark 2026-01-01T00:00:30Z 30 []");
        check(
            "pods",
            running(),
            json!({"gracePeriodSeconds": 5}),
            "mark 2026-01-01T00:00:05Z 5 []",
        );
        check(
            "pods",
            running(),
            json!({"gracePeriodSeconds": 0}),
            "mark and remove 2026-01-01T00:00:00Z 0 []",
        );
        check(
            "pods",
            running(),
            json!({"gracePeriodSeconds": -3}),
            "mark 2026-01-01T00:00:01Z 1 []",
        );
        check(
            "pods",
            json!({"metadata": {}, "spec": {}}),
            json!({}),
            "mark and remove 2026-01-01T00:00:00Z 0 []",
        );
        let leaving = || {
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:30Z", "deletionGracePeriodSeconds": 30},
            "spec": {"nodeName": "n"}})
        };
        check("pods", leaving(), json!({}), "nothing");
        check("pods", leaving(), json!({"gracePeriodSeconds": 60}), "nothing");
        check(
            "pods",
            leaving(),
            json!({"gracePeriodSeconds": 10}),
            "mark 2026-01-01T00:00:10Z 10 []",
        );
        check(
            "pods",
            leaving(),
            json!({"gracePeriodSeconds": 0}),
            "mark and remove 2026-01-01T00:00:00Z 0 []",
        );
        let mut held = running();
        held.set_finalizers(vec!["x".into()]);
        check("pods", held, json!({"gracePeriodSeconds": 0}), "mark 2026-01-01T00:00:00Z 0 [x]");
    }

    #[test]
    fn others() {
        let plain = || json!({"metadata": {}});
        check("configmaps", plain(), json!({}), "remove");
        check(
            "configmaps",
            plain(),
            json!({"propagationPolicy": "Foreground"}),
            "mark 2026-01-01T00:00:00Z 0 [foregroundDeletion]",
        );
        check(
            "configmaps",
            plain(),
            json!({"orphanDependents": true}),
            "mark 2026-01-01T00:00:00Z 0 [orphan]",
        );
        let held = || json!({"metadata": {"finalizers": ["x"]}});
        check("configmaps", held(), json!({}), "mark 2026-01-01T00:00:00Z 0 [x]");
        check(
            "namespaces",
            json!({"metadata": {}, "spec": {"finalizers": ["kubernetes"]}}),
            json!({}),
            "mark 2026-01-01T00:00:00Z 0 []",
        );
        let leaving = || json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0, "finalizers": ["orphan"]}});
        check("configmaps", leaving(), json!({}), "nothing");
        check("configmaps", leaving(), json!({"propagationPolicy": "Background"}), "remove");
    }
}

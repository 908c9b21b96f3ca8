//! APIServices of what this server answers itself: made for all kinds, available at once.

use std::sync::Arc;

use jiff::Timestamp;
use kd_api::kind::METRICS_GROUP;
use kd_api::object::format_time;
use kd_api::{Kinds, Object};
use serde_json::{Value, json};

use super::priority::local;
use super::{GROUP, is_local};

/// Says who looks after an APIService: for built-in groups until they are changed, for custom ones
/// always.
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
const AT_START: &str = "onstart";
const ALWAYS: &str = "true";

/// What is to be written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// An APIService that is missing.
    Create(Value),
    /// Another state of one that is there; its resourceVersion is the condition.
    Replace(Value),
    /// One that is no longer for anything.
    Delete(Arc<Value>),
}

/// The APIServices of these kinds.
pub(crate) fn registrations(kinds: &Kinds, now: Timestamp) -> Vec<Value> {
    let groups = kinds.groups().iter().filter(|group| group.name != GROUP);
    let versions = groups.flat_map(|group| group.versions.iter().map(move |v| (&group.name, v)));
    versions.map(|(group, version)| registration(group, version, now)).collect()
}

fn registration(group: &str, version: &str, now: Timestamp) -> Value {
    let (priority, built_in) = local(group, version);
    let mut spec = json!({"version": version, "groupPriorityMinimum": priority.group,
        "versionPriority": priority.version});
    if !group.is_empty() {
        spec["group"] = group.into();
    }
    // Upstream leaves metrics to whoever registers them, who finds nobody in the way here either.
    let labels = match (group, built_in) {
        (METRICS_GROUP, _) => json!({}),
        (_, true) => json!({MANAGED: AT_START}),
        (_, false) => json!({MANAGED: ALWAYS}),
    };
    json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": format!("{version}.{group}"), "labels": labels},
        "spec": spec,
        "status": {"conditions": [available(now)]},
    })
}

fn available(now: Timestamp) -> Value {
    json!({"type": "Available", "status": "True", "reason": "Local",
        "message": "Local APIServices are always available", "lastTransitionTime": format_time(now)})
}

/// What to write so that what is stored fits the kinds. What others have made is theirs. Built-in
/// ones are looked after when a server starts, then they may be changed.
pub(super) fn changes(
    kinds: &Kinds,
    stored: &[Arc<Value>],
    at_start: bool,
    now: Timestamp,
) -> Vec<Change> {
    let wanted = registrations(kinds, now);
    let mut changes = Vec::new();
    for new in &wanted {
        let old = stored.iter().find(|old| old.name() == new.name());
        let managed = new.label(MANAGED).unwrap_or_default();
        match old {
            _ if managed != ALWAYS && !at_start => {}
            None => changes.push(Change::Create(new.clone())),
            Some(old) if old.label(MANAGED).is_none() => {}
            Some(old) if same_spec(old, new) => {}
            Some(old) => {
                let mut changed = (**old).clone();
                changed["spec"] = new["spec"].clone();
                changed["status"] = new["status"].clone();
                changed.set_label(MANAGED, managed);
                changes.push(Change::Replace(changed));
            }
        }
    }
    for old in stored {
        let is_wanted = wanted.iter().any(|new| new.name() == old.name());
        let ours = match old.label(MANAGED) {
            Some(ALWAYS) => true,
            Some(AT_START) => at_start,
            _ => false,
        };
        if ours && !is_wanted {
            changes.push(Change::Delete(old.clone()));
        } else if is_local(old) && !is_available(old) {
            let mut changed = (**old).clone();
            changed.set_at(&["status", "conditions"], json!([available(now)]));
            let known = |change: &Change| matches!(change, Change::Replace(new) if new.name() == old.name());
            if !changes.iter().any(known) {
                changes.push(Change::Replace(changed));
            }
        }
    }
    changes
}

fn same_spec(old: &Value, new: &Value) -> bool {
    let part = |object: &Value, field: &str| object["spec"][field].clone();
    is_local(old)
        && ["version", "groupPriorityMinimum", "versionPriority"]
            .into_iter()
            .all(|field| part(old, field) == part(new, field))
}

fn is_available(service: &Value) -> bool {
    let mut conditions = service.list_at(&["status", "conditions"]).iter();
    conditions.any(|c| c["type"] == "Available" && c["status"] == "True" && c["reason"] == "Local")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn check(stored: Vec<Value>, at_start: bool, expect: &[&str]) {
        let kinds = Kinds::known();
        let mut all = registrations(&kinds, now());
        for object in stored {
            all.retain(|old| old.name() != object.name());
            if object.get("spec").is_some() {
                all.push(object);
            }
        }
        let all: Vec<Arc<Value>> = all.into_iter().map(Arc::new).collect();
        let shown = |change: Change| match change {
            Change::Create(new) => format!("create {}", new.name()),
            Change::Replace(new) => format!("replace {}", new.name()),
            Change::Delete(old) => format!("delete {}", old.name()),
        };
        let got: Vec<String> =
            changes(&kinds, &all, at_start, now()).into_iter().map(shown).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn registrations_follow_the_kinds() {
        let gone = |name: &str| json!({"metadata": {"name": name}});
        let of = |name: &str, managed: Value, spec: Value| json!({"metadata": {"name": name, "labels": managed}, "spec": spec});
        let service = json!({"version": "v1", "service": {"name": "s", "namespace": "n"}});
        check(vec![], true, &[]);
        check(vec![gone("v1.apps")], true, &["create v1.apps"]);
        check(vec![gone("v1.apps")], false, &[]);
        let changed = of("v1.apps", json!({MANAGED: AT_START}), service.clone());
        check(vec![changed.clone()], true, &["replace v1.apps"]);
        check(vec![changed], false, &[]);
        check(vec![of("v1.apps", json!({}), service.clone())], true, &[]);
        let custom = of("v1.example.com", json!({MANAGED: ALWAYS}), json!({"version": "v1"}));
        check(vec![custom], false, &["delete v1.example.com"]);
        // Others may register what is answered here, too.
        let foreign = of("v2.example.com", json!({}), json!({"version": "v2"}));
        check(vec![foreign], false, &["replace v2.example.com"]);
        check(vec![of("v3.example.com", json!({}), service)], false, &[]);
    }

    #[test]
    fn the_core_group() {
        let core = registration("", "v1", now());
        assert_eq!(core.name(), "v1.");
        assert_eq!(
            core["spec"],
            json!({"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1})
        );
    }
}

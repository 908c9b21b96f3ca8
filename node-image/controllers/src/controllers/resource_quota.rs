//! Writes what a namespace uses of its ResourceQuotas, counted as admission counts.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kd_api::pod_resources::{Resources, add, quantities};
use kd_api::quota;
use kd_client::{Change, Interest, Object, Resource, View, resources};
use serde_json::{Value, json};

use crate::controller::shared;
use crate::{Controller, Plan, Step, Target};

/// Quota names that stand for objects of the core group by themselves.
const PLAIN_COUNTS: [&str; 5] =
    ["configmaps", "replicationcontrollers", "resourcequotas", "secrets", "services"];
/// Resources of which more than the number of objects counts.
const MEASURED: [&Resource; 3] =
    [&resources::PERSISTENT_VOLUME_CLAIMS, &resources::PODS, &resources::SERVICES];

pub(super) struct ResourceQuotas;

impl Controller for ResourceQuotas {
    fn name(&self) -> &'static str {
        "resourcequota-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        let measured = MEASURED.into_iter().chain([&resources::RESOURCE_QUOTAS]);
        measured.map(Interest::full).collect()
    }

    fn reads_everything(&self) -> bool {
        true
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        let Some(object) = change.object() else { return Vec::new() };
        let resource = shared(&resources::RESOURCE_QUOTAS);
        let mut targets = Vec::new();
        if change.resource.same(&resource) {
            targets.push(Target::of(&resource, object));
        }
        let namespace = object.metadata.namespace.as_str();
        if namespace.is_empty() || !changes_usage(change) {
            return targets;
        }
        let all = view.objects(&resource, Some(namespace));
        targets.extend(all.map(|quota| Target::of(&resource, quota)));
        targets
    }

    fn reconcile(&self, view: &View, target: &Target, _now: Timestamp) -> Plan {
        let Some(object) = view.object(&resources::RESOURCE_QUOTAS, &target.key) else {
            return Plan::nothing();
        };
        let Some(mut quota) = object.decode::<Value>() else { return Plan::nothing() };
        let hard = quantities(quota["spec"].get("hard"));
        let used = used(view, &object.metadata.namespace, &quota, &hard);
        let same = |field: &str, wanted: &Resources| {
            quota["status"].get(field).is_some()
                && quantities(quota["status"].get(field)) == *wanted
        };
        if same("hard", &hard) && same("used", &used) {
            return Plan::nothing();
        }
        let shown: Value = used
            .iter()
            .map(|(name, quantity)| (name.clone(), json!(quantity.to_string())))
            .collect();
        quota["status"] = json!({"hard": quota["spec"]["hard"], "used": shown});
        if quota["spec"]["hard"].is_null() {
            quota["status"]["hard"] = json!({});
        }
        let resource = &resources::RESOURCE_QUOTAS;
        Plan::one(Step::update_status(resource, object.key(), &quota))
    }
}

/// Whether a change can change what is used: an object that comes or goes does, one that is measured
/// may.
fn changes_usage(change: &Change) -> bool {
    let (Some(old), Some(new)) = (&change.old, &change.new) else { return true };
    if !MEASURED.iter().any(|resource| change.resource.same(resource)) {
        return false;
    }
    let usage = |object: &Object| {
        let json: Value = object.decode().unwrap_or_default();
        let spec = &json["spec"];
        let scoped = [&spec["activeDeadlineSeconds"], &spec["volumeAttributesClassName"]];
        let scoped: Vec<Value> = scoped.into_iter().cloned().collect();
        (quota::of(&change.resource.group, &change.resource.plural, &json), scoped)
    };
    usage(old) != usage(new)
}

/// What objects of the namespace take of what the quota limits.
fn used(view: &View, namespace: &str, quota: &Value, hard: &Resources) -> Resources {
    let wanted: BTreeSet<(String, String)> = hard.keys().map(|name| counted(name)).collect();
    let mut total = Resources::new();
    for resource in view.resources() {
        let place = (resource.group.to_string(), resource.plural.to_string());
        if !wanted.contains(&place) {
            continue;
        }
        for object in view.objects(resource, Some(namespace)) {
            let json = object.bytes().and_then(|bytes| serde_json::from_slice(bytes).ok());
            let json: Value = json.unwrap_or_else(|| json!({"metadata": {}}));
            if quota::matches(quota, &place.0, &place.1, &json) {
                add(&mut total, &quota::of(&place.0, &place.1, &json));
            }
        }
    }
    let of_limit = |name: &String| (name.clone(), total.get(name).copied().unwrap_or_default());
    hard.keys().map(of_limit).collect()
}

/// The group and resource whose objects a quota's name counts.
fn counted(name: &str) -> (String, String) {
    let (group, resource) = match name.strip_prefix("count/") {
        Some(counted) => {
            let (resource, group) = counted.split_once('.').unwrap_or((counted, ""));
            (group, resource)
        }
        None if PLAIN_COUNTS.contains(&name) => ("", name),
        None if name.starts_with("services.") => ("", "services"),
        None => {
            let class = name.contains(".storageclass.storage.k8s.io/");
            let volumes = class || matches!(name, "persistentvolumeclaims" | "requests.storage");
            ("", if volumes { "persistentvolumeclaims" } else { "pods" })
        }
    };
    (group.to_owned(), resource.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{body, lines, merge, object, plan, view};

    fn quota(spec: Value, status: Value) -> Value {
        object("ResourceQuota", "a", "q", json!({"spec": spec, "status": status}))
    }

    fn pod(name: &str, more: Value) -> Value {
        let mut all = object(
            "Pod",
            "a",
            name,
            json!({"spec": {"containers": [{"name": "c",
                "resources": {"requests": {"cpu": "300m"}}}]}}),
        );
        merge(&mut all, more);
        all
    }

    fn check(spec: Value, others: &[Value], expect: Value) {
        let all = [&[quota(spec.clone(), json!({}))], others].concat();
        let resource = &resources::RESOURCE_QUOTAS;
        let plan = plan(&ResourceQuotas, &view(&all), resource, ("a", "q"), 1);
        assert_eq!(lines(&plan), ["update resourcequotas/status a/q"]);
        assert_eq!(body(&plan, 0)["status"], json!({"hard": spec["hard"], "used": expect}));
    }

    #[test]
    fn usage() {
        let hard = |name: &str| json!({"hard": {name: "5"}});
        let two = [pod("p", json!({})), pod("q", json!({"status": {"phase": "Succeeded"}}))];
        check(hard("pods"), &two, json!({"pods": "1"}));
        check(hard("count/pods"), &two, json!({"count/pods": "2"}));
        check(hard("requests.cpu"), &two, json!({"requests.cpu": "300m"}));
        check(hard("services"), &two, json!({"services": "0"}));
        let map = object("ConfigMap", "a", "m", json!({}));
        check(hard("configmaps"), &[map], json!({"configmaps": "1"}));
        let set = object("ReplicaSet", "a", "r", json!({}));
        let name = "count/replicasets.apps";
        check(hard(name), &[set], json!({name: "1"}));
        let claim = object(
            "PersistentVolumeClaim",
            "a",
            "c",
            json!({"spec": {"storageClassName": "slow",
                "resources": {"requests": {"storage": "1Gi"}}}}),
        );
        let name = "slow.storageclass.storage.k8s.io/requests.storage";
        check(hard(name), &[claim], json!({name: "1Gi"}));
        let scoped = json!({"hard": {"pods": "5"}, "scopes": ["BestEffort"]});
        let free = pod("f", json!({"spec": {"containers": []}}));
        check(scoped, &[free, pod("p", json!({}))], json!({"pods": "1"}));
    }

    #[test]
    fn what_is_written_is_not_written_again() {
        let status = json!({"hard": {"pods": "5"}, "used": {"pods": "0"}});
        let settled = quota(json!({"hard": {"pods": "5"}}), status);
        let resource = &resources::RESOURCE_QUOTAS;
        let plan = plan(&ResourceQuotas, &view(&[settled]), resource, ("a", "q"), 1);
        assert!(plan.is_empty(), "{plan:?}");
    }
}

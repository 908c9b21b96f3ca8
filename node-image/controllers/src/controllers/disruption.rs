//! PodDisruptionBudgets: how many of the selected pods may be evicted now.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kd_client::{
    Change, Interest, Key, Object, Resource, View, label_selector, resources, selects,
};
use serde_json::Value;

use crate::controller::shared;
use crate::pods::PodState;
use crate::share::resolve;
use crate::{Controller, Plan, Step, Target};

/// An eviction that was allowed but did not delete its pod is forgotten after this time.
const EVICTION_SECONDS: i64 = 120;
const CONDITION: &str = "DisruptionAllowed";
/// Kinds whose `spec.replicas` says how many pods are expected.
const SCALES: [&Resource; 4] = [
    &resources::DEPLOYMENTS,
    &resources::REPLICATION_CONTROLLERS,
    &resources::REPLICA_SETS,
    &resources::STATEFUL_SETS,
];

pub(super) struct Disruption;

impl Controller for Disruption {
    fn name(&self) -> &'static str {
        "disruption-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        let mut all: Vec<Interest> = SCALES.into_iter().map(Interest::full).collect();
        all.push(Interest::full(&resources::POD_DISRUPTION_BUDGETS));
        all.push(Interest::full(&resources::PODS));
        all
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        let Some(object) = change.object() else { return Vec::new() };
        let budgets = shared(&resources::POD_DISRUPTION_BUDGETS);
        if change.resource.same(&budgets) {
            return vec![Target::of(&budgets, object)];
        }
        let states: Vec<&Arc<Object>> = change.old.iter().chain(&change.new).collect();
        let concerned = |budget: &&Arc<Object>| {
            // A scaled controller concerns whichever budget selects its pods.
            !change.resource.same(&resources::PODS)
                || selector_of(budget).is_some_and(|selector| {
                    states.iter().any(|pod| selects(selector, &pod.metadata.labels))
                })
        };
        let all = view.objects(&budgets, Some(&object.metadata.namespace));
        all.filter(concerned).map(|budget| Target::of(&budgets, budget)).collect()
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        let Some(object) = view.object(&resources::POD_DISRUPTION_BUDGETS, &target.key) else {
            return Plan::nothing();
        };
        let Some(budget) = object.decode::<PodDisruptionBudget>() else { return Plan::nothing() };
        let Some(selector) = selector_of(object) else { return Plan::nothing() };
        let namespace = Some(&*target.key.namespace);
        let selected = view.objects(&resources::PODS, namespace);
        let selected = selected.filter(|pod| selects(selector, &pod.metadata.labels));
        let pods: Vec<PodState> = selected.map(PodState::of).filter(|p| !p.has_ended()).collect();
        let (status, again) = status(view, object, &budget, &pods, now);
        if budget.status.as_ref() == Some(&status) {
            return Plan { again, ..Plan::default() };
        }
        let mut updated = budget;
        updated.status = Some(status);
        let resource = &resources::POD_DISRUPTION_BUDGETS;
        let step = Step::update_status(resource, target.key.clone(), &updated);
        Plan { again, ..Plan::one(step) }
    }
}

/// It is asked for with every change of a pod.
fn selector_of(budget: &Arc<Object>) -> Option<&kd_api::selector::Selector> {
    struct Selected(Option<kd_api::selector::Selector>);
    let read = |budget: &Object| {
        let spec = budget.decode::<PodDisruptionBudget>()?.spec?;
        label_selector(spec.selector.as_ref()).ok()
    };
    budget.derived(|budget| Selected(read(budget))).0.as_ref()
}

fn status(
    view: &View,
    object: &Object,
    budget: &PodDisruptionBudget,
    pods: &[PodState],
    now: Timestamp,
) -> (PodDisruptionBudgetStatus, Option<Timestamp>) {
    let before = budget.status.clone().unwrap_or_default();
    let (disrupted, again) = still_disrupted(&before, pods, now);
    let evicted = |pod: &PodState| disrupted.contains_key(&pod.object.metadata.name);
    let counts =
        |pod: &&PodState| pod.is_ready() && !pod.object.metadata.is_deleting() && !evicted(pod);
    let healthy = i32::try_from(pods.iter().filter(counts).count()).unwrap_or(i32::MAX);
    let (expected, desired) = expectations(view, budget, pods);
    let allowed = if expected > 0 { (healthy - desired).max(0) } else { 0 };
    let mut status = PodDisruptionBudgetStatus {
        current_healthy: Some(healthy),
        desired_healthy: Some(desired),
        expected_pods: Some(expected),
        disruptions_allowed: Some(allowed),
        observed_generation: Some(object.metadata.generation),
        disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
        conditions: before.conditions,
    };
    set_condition(&mut status, object.metadata.generation, now);
    (status, again)
}

/// Evictions under way, and when the next of them is given up.
fn still_disrupted(
    before: &PodDisruptionBudgetStatus,
    pods: &[PodState],
    now: Timestamp,
) -> (BTreeMap<String, Time>, Option<Timestamp>) {
    let mut disrupted = before.disrupted_pods.clone().unwrap_or_default();
    let given_up = |since: &Time| since.0 + SignedDuration::from_secs(EVICTION_SECONDS);
    disrupted.retain(|name, since| {
        let pod = pods.iter().find(|pod| pod.object.metadata.name == *name);
        pod.is_some_and(|pod| !pod.object.metadata.is_deleting()) && given_up(since) > now
    });
    let again = disrupted.values().map(given_up).min();
    (disrupted, again)
}

/// How many pods there should be, and how many of them healthy.
fn expectations(view: &View, budget: &PodDisruptionBudget, pods: &[PodState]) -> (i32, i32) {
    let Some(spec) = &budget.spec else { return (0, 0) };
    let found = i32::try_from(pods.len()).unwrap_or(i32::MAX);
    if let Some(unavailable) = &spec.max_unavailable {
        let expected = expected_count(view, pods);
        return (expected, (expected - resolve(Some(unavailable), expected, true)).max(0));
    }
    match &spec.min_available {
        Some(IntOrString::Int(least)) => (found, *least),
        Some(share) => {
            let expected = expected_count(view, pods);
            (expected, resolve(Some(share), expected, true))
        }
        None => (found, 1),
    }
}

/// The sizes of the controllers that the pods belong to, each once.
fn expected_count(view: &View, pods: &[PodState]) -> i32 {
    let mut sizes: BTreeMap<String, i32> = BTreeMap::new();
    for pod in pods {
        if let Some((uid, size)) = scale_of(view, &pod.object, 0) {
            sizes.insert(uid, size);
        }
    }
    sizes.values().sum()
}

/// The topmost controller with a size; a ReplicaSet of a Deployment stands for the Deployment.
fn scale_of(view: &View, object: &Object, depth: u8) -> Option<(String, i32)> {
    const DEPTH_MAX: u8 = 2;
    let owner = object.metadata.controller()?;
    let resource = SCALES.into_iter().find(|r| r.kind == owner.kind && r.group == owner.group())?;
    let found = view.object(resource, &Key::new(&object.metadata.namespace, &owner.name))?;
    if found.metadata.uid != owner.uid {
        return None;
    }
    let above = if depth < DEPTH_MAX { scale_of(view, found, depth + 1) } else { None };
    above.or_else(|| {
        let json: Value = found.decode()?;
        let size = json["spec"]["replicas"].as_i64().unwrap_or(1);
        Some((found.metadata.uid.clone(), i32::try_from(size).ok()?))
    })
}

fn set_condition(status: &mut PodDisruptionBudgetStatus, generation: i64, now: Timestamp) {
    let (value, reason) = match status.disruptions_allowed > Some(0) {
        true => ("True", "SufficientPods"),
        false => ("False", "InsufficientPods"),
    };
    let conditions = status.conditions.get_or_insert_default();
    let known = conditions.iter().position(|c| c.type_ == CONDITION);
    let same = known.map(|index| &conditions[index]).filter(|c| c.status == value);
    let condition = Condition {
        type_: CONDITION.into(),
        status: value.into(),
        reason: reason.into(),
        message: String::new(),
        observed_generation: Some(generation),
        last_transition_time: same.map_or(Time(now), |c| c.last_transition_time.clone()),
    };
    match known {
        Some(index) => conditions[index] = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{body, object, plan, time, view};

    fn pod(name: &str, ready: &str) -> Value {
        object(
            "Pod",
            "a",
            name,
            json!({"metadata": {"labels": {"app": "x"}, "ownerReferences": [{"apiVersion": "apps/v1",
                "kind": "ReplicaSet", "name": "r", "uid": "r-uid", "controller": true}]},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}}),
        )
    }

    fn reconcile(spec: Value, status: Value) -> Value {
        let mut spec = spec;
        spec["selector"] = json!({"matchLabels": {"app": "x"}});
        let objects = [
            object("PodDisruptionBudget", "a", "b", json!({"spec": spec, "status": status})),
            object("ReplicaSet", "a", "r", json!({"spec": {"replicas": 4}})),
            pod("p", "True"),
            pod("q", "True"),
            pod("s", "False"),
        ];
        let resource = &resources::POD_DISRUPTION_BUDGETS;
        let plan = plan(&Disruption, &view(&objects), resource, ("a", "b"), 100);
        body(&plan, 0)["status"].clone()
    }

    #[test]
    fn budgets() {
        let check = |spec: Value, expect: [i64; 4]| {
            let status = reconcile(spec, Value::Null);
            let number = |name: &str| status[name].as_i64().unwrap();
            let names = ["expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed"];
            assert_eq!(names.map(number), expect);
        };
        check(json!({"minAvailable": 1}), [3, 1, 2, 1]);
        check(json!({"minAvailable": "50%"}), [4, 2, 2, 0]);
        check(json!({"maxUnavailable": 3}), [4, 1, 2, 1]);
        check(json!({"maxUnavailable": "25%"}), [4, 3, 2, 0]);
    }

    #[test]
    fn evictions_under_way_count() {
        let before = |second: i64| {
            json!({"disruptedPods": {"p": time(second)},
            "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0, "disruptionsAllowed": 0})
        };
        assert_eq!(reconcile(json!({"minAvailable": 1}), before(99))["disruptionsAllowed"], 0);
        assert_eq!(reconcile(json!({"minAvailable": 1}), before(-30))["disruptionsAllowed"], 1);
    }
}

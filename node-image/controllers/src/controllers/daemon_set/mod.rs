//! DaemonSet: one pod on every node that fits. Pods name their node by affinity, and the scheduler
//! binds them.

mod nodes;
mod pods;
mod rollout;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec};
use k8s_openapi::api::core::v1::PodSpec;
use kd_api::selector::Selector;
use kd_client::{Change, EventType, Interest, Object, Occurrence, View, label_selector, resources};
use serde_json::{Value, json};

use self::nodes::{NodeFit, target_node};
use crate::claims::{Claim, claimants};
use crate::controller::shared;
use crate::history::{History, Need, Revision};
use crate::pods::{PodState, controlled_pods};
use crate::{Controller, Plan, Step, Target, event};

const HASH: &str = "controller-revision-hash";
const GENERATION: &str = "deprecated.daemonset.template.generation";

pub(super) struct DaemonSets;

/// A DaemonSet, the nodes and its pods at one moment.
struct Sync<'a> {
    object: &'a Object,
    set: &'a DaemonSet,
    spec: &'a DaemonSetSpec,
    json: &'a Value,
    /// The spec of its pods, with the tolerations that they get.
    pod_spec: PodSpec,
    /// Hash of the current template.
    hash: String,
    nodes: Vec<NodeFit>,
    /// Pods by the node they are for, oldest first.
    pods: BTreeMap<String, Vec<PodState>>,
    now: Timestamp,
}

impl Controller for DaemonSets {
    fn name(&self) -> &'static str {
        "daemonset-controller"
    }

    fn account(&self) -> &'static str {
        "daemon-set-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![
            Interest::full(&resources::DAEMON_SETS),
            Interest::full(&resources::CONTROLLER_REVISIONS),
            Interest::full(&resources::PODS),
            Interest::full(&resources::NODES),
        ]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        let resource = shared(&resources::DAEMON_SETS);
        if change.resource.same(&resources::NODES) {
            if !nodes::matters(change) {
                return Vec::new();
            }
            let all = view.objects(&resources::DAEMON_SETS, None);
            return all.map(|set| Target::of(&resource, set)).collect();
        }
        if change.resource.same(&resource) {
            return change.object().map(|set| Target::of(&resource, set)).into_iter().collect();
        }
        let selector = |set: &Object| selector_of(set.decode::<DaemonSet>()?.spec.as_ref()?);
        claimants(view, change, &resources::DAEMON_SETS, selector)
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        let Some(object) = view.object(&resources::DAEMON_SETS, &target.key) else {
            return Plan::nothing();
        };
        let Some(set) = object.decode::<DaemonSet>() else { return Plan::nothing() };
        let Some(spec) = &set.spec else { return Plan::nothing() };
        let Some(selector) = selector_of(spec) else { return Plan::nothing() };
        if object.metadata.is_deleting() {
            return Plan::nothing();
        }
        if selector.is_everything() {
            let message =
                "This daemon set is selecting all pods. A non-empty selector is required.";
            let notice = set_event(object, EventType::Warning, "SelectingAll", message);
            return Plan { events: vec![notice], ..Plan::default() };
        }
        let claims = claims(view, object, &selector);
        if !claims.is_empty() {
            return Plan::together(claims);
        }
        let Some(json) = object.decode::<Value>() else { return Plan::nothing() };
        let history = History::of(view, &resources::DAEMON_SETS, object, &json, HASH);
        let collisions = set.status.as_ref().and_then(|s| s.collision_count).unwrap_or(0);
        match history.current(view, collisions) {
            Need::Write(step) => Plan::one(*step),
            Need::Collision => Plan::one(count_collision(object, &set, collisions + 1)),
            Need::Nothing(current) => {
                Sync::of(view, object, &set, spec, &json, &current, now).plan(&history, &current)
            }
        }
    }
}

fn selector_of(spec: &DaemonSetSpec) -> Option<Selector> {
    label_selector(Some(&spec.selector)).ok()
}

fn claims(view: &View, object: &Object, selector: &Selector) -> Vec<Step> {
    let resource = &resources::DAEMON_SETS;
    let claim = Claim { resource, object, selector, finalizer: None, fits: &|_| true };
    let mut steps = claim.settle(view, &resources::PODS, |_| true);
    steps.extend(claim.settle(view, &resources::CONTROLLER_REVISIONS, |_| true));
    steps
}

fn count_collision(object: &Object, set: &DaemonSet, count: i32) -> Step {
    let mut updated = set.clone();
    updated.status.get_or_insert_default().collision_count = Some(count);
    Step::update_status(&resources::DAEMON_SETS, object.key(), &updated)
}

fn set_event(
    object: &Object,
    event_type: EventType,
    reason: &str,
    message: impl Into<String>,
) -> Occurrence {
    event(&resources::DAEMON_SETS, object, event_type, reason, message)
}

impl<'a> Sync<'a> {
    fn of(
        view: &View,
        object: &'a Arc<Object>,
        set: &'a DaemonSet,
        spec: &'a DaemonSetSpec,
        json: &'a Value,
        current: &Revision,
        now: Timestamp,
    ) -> Sync<'a> {
        let mut pod_spec = spec.template.spec.clone().unwrap_or_default();
        pods::add_tolerations(&mut pod_spec);
        let nodes = view.objects(&resources::NODES, None);
        let nodes = nodes::fits(&pod_spec, nodes);
        let mut pods: BTreeMap<String, Vec<PodState>> = BTreeMap::new();
        for pod in controlled_pods(view, &object.metadata.uid) {
            if let Some(node) = target_node(&pod.object) {
                pods.entry(node).or_default().push(pod);
            }
        }
        for pods in pods.values_mut() {
            pods.sort_by_cached_key(|pod| {
                let metadata = &pod.object.metadata;
                (pod.object.node().is_none(), metadata.creation_timestamp, metadata.name.clone())
            });
        }
        let hash = current.label(HASH).unwrap_or_default().to_owned();
        Sync { object, set, spec, json, pod_spec, hash, nodes, pods, now }
    }

    fn plan(&self, history: &History, current: &Revision) -> Plan {
        let mut plan = Plan::nothing();
        let mut changes = self.manage(&mut plan);
        if changes.is_empty() && self.rolls() {
            changes = self.roll(&mut plan);
        }
        let settled = changes.is_empty();
        self.perform(&mut plan, changes);
        if settled {
            plan.then(self.cleanup(history, current));
        }
        if let Some(step) = self.status(&mut plan) {
            plan.also(step);
        }
        plan
    }

    fn cleanup(&self, history: &History, current: &Revision) -> Vec<Step> {
        let hashes =
            self.pods.values().flatten().filter_map(|pod| pod.object.metadata.labels.get(HASH));
        let used: std::collections::BTreeSet<&str> = hashes.map(String::as_str).collect();
        history.cleanup(self.spec.revision_history_limit, |revision| {
            revision.name() == current.name()
                || revision.label(HASH).is_some_and(|hash| used.contains(hash))
        })
    }

    fn rolls(&self) -> bool {
        let strategy = self.spec.update_strategy.as_ref().and_then(|s| s.type_.as_deref());
        strategy.is_none_or(|name| name == "RollingUpdate")
    }

    /// Whether a pod is of the current template.
    fn is_current(&self, pod: &PodState) -> bool {
        pod.object.metadata.labels.get(HASH) == Some(&self.hash)
    }

    fn is_available(&self, pod: &PodState) -> bool {
        let time = pod.available_at(self.spec.min_ready_seconds.unwrap_or(0));
        time.is_some_and(|time| time <= self.now)
    }

    fn generation(&self) -> Value {
        self.json["metadata"]["annotations"][GENERATION].clone()
    }

    fn selector_node(&self, node: &str) -> Value {
        json!({"nodeSelectorTerms": [{"matchFields": [
            {"key": "metadata.name", "operator": "In", "values": [node]}]}]})
    }
}

#[cfg(test)]
mod tests;

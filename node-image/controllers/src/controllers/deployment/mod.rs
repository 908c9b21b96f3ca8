//! Deployment: rolls a template out over ReplicaSets, one per revision.

mod revision;
mod scaling;
mod status;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kd_api::selector::Selector;
use kd_client::{
    Change, DeleteOptions, EventType, Interest, Key, Object, PatchKind, View, label_selector,
    resources,
};
use serde_json::{Value, json};

use crate::claims::{Claim, claimants};
use crate::controller::shared;
use crate::pods::controlled_pods;
use crate::{Controller, Plan, Step, Target, event};

const REVISION: &str = "deployment.kubernetes.io/revision";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";
const HASH: &str = "pod-template-hash";

pub(super) struct Deployments;

/// A Deployment and its ReplicaSets at one moment.
struct Rollout<'a> {
    view: &'a View,
    object: &'a Arc<Object>,
    deployment: Deployment,
    /// The ReplicaSet of the current template.
    new: Option<ReplicaSet>,
    /// All others, oldest first.
    old: Vec<ReplicaSet>,
    now: Timestamp,
}

impl Controller for Deployments {
    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![
            Interest::full(&resources::DEPLOYMENTS),
            Interest::full(&resources::REPLICA_SETS),
            Interest::full(&resources::PODS),
        ]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        let Some(object) = change.object() else { return Vec::new() };
        let resource = shared(&resources::DEPLOYMENTS);
        if change.resource.same(&resource) {
            return vec![Target::of(&resource, object)];
        }
        let namespace = &object.metadata.namespace;
        let owned = |object: &Object| {
            let owner = object.metadata.controller().filter(|o| o.kind == "Deployment")?;
            Some(Target::new(&resource, Key::new(namespace, &owner.name)))
        };
        if change.resource.same(&resources::PODS) {
            // Recreate waits for the last old pod to go.
            let gone = change.old.as_ref().filter(|_| change.new.is_none());
            let set = gone.and_then(|pod| pod.metadata.controller());
            let set = set
                .and_then(|o| view.object(&resources::REPLICA_SETS, &Key::new(namespace, &o.name)));
            return set.and_then(|set| owned(set)).into_iter().collect();
        }
        let selector = |d: &Object| d.decode::<Deployment>().and_then(|d| selector_of(&d));
        claimants(view, change, &resources::DEPLOYMENTS, selector)
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        let Some(object) = view.object(&resources::DEPLOYMENTS, &target.key) else {
            return Plan::nothing();
        };
        let Some(deployment) = object.decode::<Deployment>() else { return Plan::nothing() };
        let Some(selector) = selector_of(&deployment) else { return Plan::nothing() };
        if selector.is_everything() {
            let message =
                "This deployment is selecting all pods. A non-empty selector is required.";
            let notice = deployment_event(object, EventType::Warning, "SelectingAll", message);
            return Plan { events: vec![notice], ..Plan::default() };
        }
        let claims = claim(view, object, &selector);
        if !claims.is_empty() {
            return Plan::together(claims);
        }
        let rollout = Rollout::of(view, object, deployment, now);
        rollout.plan()
    }
}

fn selector_of(deployment: &Deployment) -> Option<Selector> {
    label_selector(Some(&deployment.spec.as_ref()?.selector)).ok()
}

fn deployment_event(
    object: &Object,
    event_type: EventType,
    reason: &str,
    message: impl Into<String>,
) -> kd_client::Occurrence {
    event(&resources::DEPLOYMENTS, object, event_type, reason, message)
}

/// Adopts ReplicaSets that match, releases those that do not any more.
fn claim(view: &View, object: &Object, selector: &Selector) -> Vec<Step> {
    let resource = &resources::DEPLOYMENTS;
    let claim = Claim { resource, object, selector, finalizer: None, fits: &|_| true };
    claim.settle(view, &resources::REPLICA_SETS, |_| true)
}

impl<'a> Rollout<'a> {
    fn of(
        view: &'a View,
        object: &'a Arc<Object>,
        deployment: Deployment,
        now: Timestamp,
    ) -> Rollout<'a> {
        let owned = view.controlled_by(&resources::REPLICA_SETS, &object.metadata.uid);
        let mut sets: Vec<ReplicaSet> = owned.filter_map(|set| set.decode()).collect();
        sets.sort_by_cached_key(|set| {
            let created = set.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (created, set.metadata.name.clone())
        });
        let current = sets.iter().position(|set| revision::same_template(&deployment, set));
        let new = current.map(|index| sets.remove(index));
        Rollout { view, object, deployment, new, old: sets, now }
    }

    fn plan(&self) -> Plan {
        if self.object.metadata.is_deleting() {
            return self.with_status(Vec::new(), Vec::new());
        }
        if let Some(step) = self.pause_condition() {
            return Plan::one(step);
        }
        if let Some(step) = self.annotate() {
            return Plan::one(step);
        }
        if self.paused() || self.is_scaling() {
            let steps = self.resize(&self.scaled());
            let cleanup = if self.paused() { self.cleanup() } else { Vec::new() };
            return self.with_status(steps, cleanup);
        }
        match self.recreates() {
            true => self.recreate(),
            false => self.roll(),
        }
    }

    fn roll(&self) -> Plan {
        if self.new.is_none() {
            return self.create_new();
        }
        let steps = self.resize(&self.rolled());
        let cleanup =
            if steps.is_empty() && self.is_complete() { self.cleanup() } else { Vec::new() };
        self.with_status(steps, cleanup)
    }

    fn recreate(&self) -> Plan {
        let old: Vec<(&ReplicaSet, i32)> =
            self.old.iter().filter(|set| wanted(set) > 0).map(|set| (set, 0)).collect();
        if !old.is_empty() {
            return self.with_status(self.resize(&old), Vec::new());
        }
        let uids = self.old.iter().filter_map(|set| set.metadata.uid.as_deref());
        let mut pods = uids.flat_map(|uid| controlled_pods(self.view, uid));
        if pods.any(|pod| !pod.has_ended()) {
            return self.with_status(Vec::new(), Vec::new());
        }
        let Some(new) = &self.new else { return self.create_new() };
        let steps = match wanted(new) == self.replicas() {
            true => Vec::new(),
            false => self.resize(&[(new, self.replicas())]),
        };
        let cleanup =
            if steps.is_empty() && self.is_complete() { self.cleanup() } else { Vec::new() };
        self.with_status(steps, cleanup)
    }

    fn with_status(&self, steps: Vec<Step>, cleanup: Vec<Step>) -> Plan {
        let mut plan = Plan::together(steps);
        plan.then(cleanup);
        let (step, again) = self.status();
        if let Some(step) = step {
            plan.also(step);
        }
        plan.again = again;
        plan
    }

    /// Steps that give ReplicaSets their new sizes.
    fn resize(&self, sizes: &[(&ReplicaSet, i32)]) -> Vec<Step> {
        let max = self.replicas() + self.max_surge();
        let steps = sizes.iter().filter_map(|(set, size)| {
            let before = wanted(set);
            let annotations = json!({DESIRED: self.replicas().to_string(), MAX: max.to_string()});
            let stale = [DESIRED, MAX]
                .iter()
                .any(|name| annotations[*name].as_str() != annotation(set, name));
            if before == *size && !stale {
                return None;
            }
            let name = set.metadata.name.clone().unwrap_or_default();
            let patch = json!({
                "metadata": {"annotations": annotations,
                    "resourceVersion": set.metadata.resource_version},
                "spec": {"replicas": size},
            });
            let key = Key::new(&self.object.metadata.namespace, &name);
            let step = Step::patch(&resources::REPLICA_SETS, key, "", PatchKind::Merge, patch);
            Some(match before == *size {
                true => step,
                false => step.telling(self.scaled_event(&name, before, *size)),
            })
        });
        steps.collect()
    }

    fn scaled_event(&self, name: &str, before: i32, size: i32) -> kd_client::Occurrence {
        let direction = if size > before { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {name} from {before} to {size}");
        deployment_event(self.object, EventType::Normal, "ScalingReplicaSet", message)
    }

    /// Removes old ReplicaSets beyond the history limit.
    fn cleanup(&self) -> Vec<Step> {
        let spec = self.deployment.spec.as_ref();
        let limit = spec.and_then(|s| s.revision_history_limit).unwrap_or(10);
        if limit == i32::MAX {
            return Vec::new();
        }
        let limit = usize::try_from(limit).unwrap_or(0);
        let alive = |set: &&ReplicaSet| set.metadata.deletion_timestamp.is_none();
        let mut cleanable: Vec<&ReplicaSet> = self.old.iter().filter(alive).collect();
        let surplus = cleanable.len().saturating_sub(limit);
        cleanable.sort_by_key(|set| revision::revision_of(set));
        let idle = |set: &&ReplicaSet| {
            let observed = set.status.as_ref().and_then(|s| s.observed_generation).unwrap_or(0);
            wanted(set) == 0
                && status_count(set, |s| Some(s.replicas)) == 0
                && set.metadata.generation.unwrap_or(0) <= observed
        };
        let steps = cleanable.into_iter().take(surplus).filter(idle).map(|set| {
            let key = set_key(set);
            let options = DeleteOptions::of(set.metadata.uid.as_deref().unwrap_or_default());
            Step::delete(&resources::REPLICA_SETS, key, options)
        });
        steps.collect()
    }

    fn paused(&self) -> bool {
        self.deployment.spec.as_ref().and_then(|s| s.paused) == Some(true)
    }

    fn recreates(&self) -> bool {
        let strategy = self.deployment.spec.as_ref().and_then(|s| s.strategy.as_ref());
        strategy.and_then(|s| s.type_.as_deref()) == Some("Recreate")
    }

    fn replicas(&self) -> i32 {
        self.deployment.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)
    }

    fn all_sets(&self) -> impl Iterator<Item = &ReplicaSet> {
        self.old.iter().chain(&self.new)
    }
}

fn set_key(set: &ReplicaSet) -> Key {
    let metadata = &set.metadata;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Key::new(&text(&metadata.namespace), &text(&metadata.name))
}

fn wanted(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)
}

fn status_count(
    set: &ReplicaSet,
    field: impl Fn(&k8s_openapi::api::apps::v1::ReplicaSetStatus) -> Option<i32>,
) -> i32 {
    set.status.as_ref().and_then(field).unwrap_or(0)
}

fn available(set: &ReplicaSet) -> i32 {
    status_count(set, |s| s.available_replicas)
}

fn annotation<'a>(set: &'a ReplicaSet, name: &str) -> Option<&'a str> {
    set.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

fn number(set: &ReplicaSet, name: &str) -> Option<i32> {
    annotation(set, name)?.parse().ok()
}

fn to_json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;

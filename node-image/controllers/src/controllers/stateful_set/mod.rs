//! StatefulSet: pods with lasting names, volumes and order. A lower ordinal is there and serves
//! before the next one comes, unless the set says Parallel.

mod identity;
mod rollout;
mod status;
mod volume_claims;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use kd_api::selector::Selector;
use kd_client::{Change, EventType, Interest, Object, Occurrence, View, label_selector, resources};
use serde_json::Value;

use self::identity::ordinal_of;
use crate::claims::{Claim, claimants};
use crate::controller::shared;
use crate::history::{History, Need, Revision};
use crate::pods::{PodState, controlled_pods};
use crate::{Controller, Plan, Step, Target, event};

/// Label of a ControllerRevision.
const HASH: &str = "controller.kubernetes.io/hash";
/// Label of a pod: the name of its revision.
const REVISION: &str = "controller-revision-hash";

pub(super) struct StatefulSets;

/// A pod of the set and its place.
struct Member {
    ordinal: i32,
    state: PodState,
}

/// A StatefulSet and its pods at one moment.
struct Sync<'a> {
    view: &'a View,
    object: &'a Object,
    set: &'a StatefulSet,
    spec: &'a StatefulSetSpec,
    json: &'a Value,
    /// What pods were made of before, and what they are to be made of.
    current: Revision,
    update: Revision,
    /// By ordinal.
    members: Vec<Member>,
    now: Timestamp,
}

impl Controller for StatefulSets {
    fn name(&self) -> &'static str {
        "statefulset-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![
            Interest::full(&resources::STATEFUL_SETS),
            Interest::full(&resources::CONTROLLER_REVISIONS),
            Interest::full(&resources::PODS),
            Interest::full(&resources::PERSISTENT_VOLUME_CLAIMS),
        ]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        let Some(object) = change.object() else { return Vec::new() };
        let resource = shared(&resources::STATEFUL_SETS);
        if change.resource.same(&resource) {
            return vec![Target::of(&resource, object)];
        }
        if change.resource.same(&resources::PERSISTENT_VOLUME_CLAIMS) {
            // A pod waits for the old claim of its name to go.
            if change.new.is_some() {
                return Vec::new();
            }
            let all = view.objects(&resource, Some(&object.metadata.namespace));
            return all.map(|set| Target::of(&resource, set)).collect();
        }
        let selector = |set: &Object| selector_of(set.decode::<StatefulSet>()?.spec.as_ref()?);
        claimants(view, change, &resource, selector)
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        let Some(object) = view.object(&resources::STATEFUL_SETS, &target.key) else {
            return Plan::nothing();
        };
        let Some(set) = object.decode::<StatefulSet>() else { return Plan::nothing() };
        let Some(spec) = &set.spec else { return Plan::nothing() };
        let Some(selector) = selector_of(spec) else { return Plan::nothing() };
        let claims = claims(view, object, &selector);
        if !claims.is_empty() {
            return Plan::together(claims);
        }
        let Some(json) = object.decode::<Value>() else { return Plan::nothing() };
        let history = History::of(view, &resources::STATEFUL_SETS, object, &json, HASH);
        let collisions = set.status.as_ref().and_then(|s| s.collision_count).unwrap_or(0);
        let update = match history.current(view, collisions) {
            Need::Nothing(update) => update,
            // A set that goes makes no history any more.
            _ if object.metadata.is_deleting() => return Plan::nothing(),
            Need::Write(step) => return Plan::one(*step),
            Need::Collision => return Plan::one(count_collision(object, &set, collisions + 1)),
        };
        let current = current_revision(&set, &history).unwrap_or(&update).clone();
        let members = members(view, object);
        let sync =
            Sync { view, object, set: &set, spec, json: &json, current, update, members, now };
        sync.plan(&history)
    }
}

fn selector_of(spec: &StatefulSetSpec) -> Option<Selector> {
    label_selector(Some(&spec.selector)).ok()
}

/// Only pods that are called after the set can be its own.
fn claims(view: &View, object: &Object, selector: &Selector) -> Vec<Step> {
    let resource = &resources::STATEFUL_SETS;
    let name = object.metadata.name.as_str();
    let named = |pod: &Arc<Object>| ordinal_of(&pod.metadata.name, name).is_some();
    let claim = Claim { resource, object, selector, finalizer: None, fits: &named };
    let mut steps = claim.settle(view, &resources::PODS, |_| true);
    let claim = Claim { fits: &|_| true, ..claim };
    steps.extend(claim.settle(view, &resources::CONTROLLER_REVISIONS, |_| true));
    steps
}

fn count_collision(object: &Object, set: &StatefulSet, count: i32) -> Step {
    let mut updated = set.clone();
    updated.status.get_or_insert_default().collision_count = Some(count);
    Step::update_status(&resources::STATEFUL_SETS, object.key(), &updated)
}

/// The revision that the pods were made of so far.
fn current_revision<'a>(set: &StatefulSet, history: &'a History) -> Option<&'a Revision> {
    let name = set.status.as_ref()?.current_revision.as_deref()?;
    history.revisions.iter().find(|revision| revision.name() == name)
}

fn members(view: &View, object: &Object) -> Vec<Member> {
    let owned = controlled_pods(view, &object.metadata.uid);
    let mut members: Vec<Member> = owned
        .filter_map(|state| {
            let ordinal = ordinal_of(&state.object.metadata.name, &object.metadata.name)?;
            Some(Member { ordinal, state })
        })
        .collect();
    members.sort_by_key(|member| member.ordinal);
    members
}

impl Sync<'_> {
    fn plan(&self, history: &History) -> Plan {
        let mut plan = Plan::nothing();
        if !self.object.metadata.is_deleting() {
            self.process(&mut plan);
        }
        let settled = plan.is_empty();
        let seconds = self.spec.min_ready_seconds.unwrap_or(0);
        let times = self.members.iter().filter_map(|m| m.state.available_at(seconds));
        if let Some(time) = times.filter(|time| *time > self.now).min() {
            plan.not_later_than(time);
        }
        if let Some(step) = self.status() {
            plan.also(step);
        } else if settled {
            plan.then(self.cleanup(history));
        }
        plan
    }

    fn cleanup(&self, history: &History) -> Vec<Step> {
        history.cleanup(self.spec.revision_history_limit, |revision| {
            let name = revision.name();
            name == self.current.name()
                || name == self.update.name()
                || self.members.iter().any(|member| self.revision_of(member) == Some(name))
        })
    }

    fn revision_of<'m>(&self, member: &'m Member) -> Option<&'m str> {
        member.state.object.metadata.labels.get(REVISION).map(String::as_str)
    }

    fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1).max(0)
    }

    fn start(&self) -> i32 {
        self.spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0)
    }

    fn in_range(&self, ordinal: i32) -> bool {
        ordinal >= self.start() && ordinal < self.start().saturating_add(self.replicas())
    }

    /// Whether pods come and go one after the other.
    fn is_ordered(&self) -> bool {
        self.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    fn rolls(&self) -> bool {
        let strategy = self.spec.update_strategy.as_ref().and_then(|s| s.type_.as_deref());
        strategy.is_none_or(|name| name == "RollingUpdate")
    }

    fn is_available(&self, member: &Member) -> bool {
        let time = member.state.available_at(self.spec.min_ready_seconds.unwrap_or(0));
        is_running_and_ready(member) && time.is_some_and(|time| time <= self.now)
    }

    /// Whether a member serves and is to stay.
    fn serves(&self, member: &Member) -> bool {
        self.is_available(member) && !is_terminating(member)
    }

    fn notice(&self, reason: &str, message: String) -> Occurrence {
        event(&resources::STATEFUL_SETS, self.object, EventType::Normal, reason, message)
    }

    fn warning(&self, reason: &str, message: String) -> Occurrence {
        event(&resources::STATEFUL_SETS, self.object, EventType::Warning, reason, message)
    }
}

fn is_terminating(member: &Member) -> bool {
    member.state.object.metadata.is_deleting()
}

fn is_running_and_ready(member: &Member) -> bool {
    member.state.phase == "Running" && member.state.is_ready()
}

#[cfg(test)]
mod tests;

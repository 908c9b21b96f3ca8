//! ReplicaSet and ReplicationController: so many pods of one template. Pods that match are adopted,
//! pods that stopped matching released, missing ones created in growing batches, surplus ones
//! deleted in the order of what is lost least.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kd_api::selector::Selector;
use kd_client::{Change, Interest, Object, Resource, View, label_selector, resources};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::claims::{Claim, claimants};
use crate::controller::Failure;
use crate::pods::{
    PodState, controlled_pods, deletion_order, growing_batches, pod_creation, pod_deletion,
    pod_from_template,
};
use crate::{Controller, Plan, Step, Target};

/// Pods created or deleted in one plan.
const BURST_PODS: usize = 500;

/// The controller of one of the two kinds.
pub(super) struct ReplicaSets {
    name: &'static str,
    account: &'static str,
    resource: &'static Resource,
}

impl ReplicaSets {
    pub(super) fn of_replica_sets() -> ReplicaSets {
        ReplicaSets {
            name: "replicaset-controller",
            account: "replicaset-controller",
            resource: &resources::REPLICA_SETS,
        }
    }

    pub(super) fn of_replication_controllers() -> ReplicaSets {
        ReplicaSets {
            name: "replication-controller",
            account: "replication-controller",
            resource: &resources::REPLICATION_CONTROLLERS,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wanted {
    replicas: Option<i32>,
    min_ready_seconds: Option<i32>,
    selector: Value,
    template: Value,
}

/// One set, read from its object.
struct Set {
    json: Value,
    replicas: usize,
    min_ready_seconds: i32,
    selector: Selector,
    template: Value,
}

impl Set {
    fn of(resource: &Resource, object: &Object) -> Option<Set> {
        let json: Value = object.decode()?;
        let wanted: Wanted = serde_json::from_value(json["spec"].clone()).ok()?;
        let labels = &wanted.template["metadata"]["labels"];
        let selector = if resource.group.is_empty() {
            let map = if wanted.selector.is_object() { &wanted.selector } else { labels };
            Selector::from_map(map)
        } else {
            let selector: LabelSelector = serde_json::from_value(wanted.selector).ok()?;
            label_selector(Some(&selector)).ok()?
        };
        Some(Set {
            json,
            replicas: usize::try_from(wanted.replicas.unwrap_or(1)).unwrap_or(0),
            min_ready_seconds: wanted.min_ready_seconds.unwrap_or(0),
            selector,
            template: wanted.template,
        })
    }
}

impl Controller for ReplicaSets {
    fn name(&self) -> &'static str {
        self.name
    }

    fn account(&self) -> &'static str {
        self.account
    }

    fn interests(&self) -> Vec<Interest> {
        vec![Interest::full(self.resource), Interest::full(&resources::PODS)]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        let Some(object) = change.object() else { return Vec::new() };
        if change.resource.same(self.resource) {
            return vec![Target::of(&change.resource, object)];
        }
        let selector = |set: &Object| Set::of(self.resource, set).map(|s| s.selector);
        claimants(view, change, self.resource, selector)
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        let Some(object) = view.object(self.resource, &target.key) else {
            return Plan::nothing();
        };
        let Some(set) = Set::of(self.resource, object) else { return Plan::nothing() };
        let deleting = object.metadata.is_deleting();
        let claims = self.claim(view, object, &set);
        if !claims.is_empty() {
            // What is whose has to be settled before anything is counted.
            return Plan::together(claims);
        }
        let (mut pods, terminating) = counted(view, object);
        let mut plan = Plan::nothing();
        if !deleting && pods.len() < set.replicas {
            self.create(&mut plan, object, &set, set.replicas - pods.len());
        } else if !deleting && pods.len() > set.replicas {
            self.delete(&mut plan, view, object, &mut pods, set.replicas);
        }
        let settled = pods.len() == set.replicas;
        let seen = Counted { pods: &pods, terminating };
        if let Some(step) = self.report(object, &set, seen, settled, None, now) {
            plan.also(step);
        }
        let waiting = pods.iter().filter_map(|pod| pod.available_at(set.min_ready_seconds));
        plan.again = waiting.filter(|time| *time > now).min();
        plan
    }

    fn failed(&self, view: &View, target: &Target, now: Timestamp, failure: &Failure) -> Plan {
        let object = view.object(self.resource, &target.key);
        let Some((object, set)) = object.and_then(|o| Some((o, Set::of(self.resource, o)?))) else {
            return Plan::nothing();
        };
        if !failure.resource.same(&resources::PODS) {
            return Plan::nothing();
        }
        let (pods, terminating) = counted(view, object);
        let seen = Counted { pods: &pods, terminating };
        let step = self.report(object, &set, seen, false, Some(failure), now);
        Plan::together(step.into_iter().collect())
    }
}

impl ReplicaSets {
    /// Adopts orphans that match, releases owned pods that do not.
    fn claim(&self, view: &View, object: &Object, set: &Set) -> Vec<Step> {
        let claim = Claim {
            resource: self.resource,
            object,
            selector: &set.selector,
            finalizer: None,
            fits: &|_| true,
        };
        claim.settle(view, &resources::PODS, |pod| !PodState::of(pod).has_ended())
    }

    /// Batches of 1, 2, 4, ...: a template that is refused is refused once, not 500 times.
    fn create(&self, plan: &mut Plan, object: &Object, set: &Set, missing: usize) {
        let mut pod = pod_from_template(self.resource, object, &set.template);
        pod["metadata"]["generateName"] = json!(format!("{}-", object.metadata.name));
        let step = pod_creation(self.resource, object, &pod);
        for batch in growing_batches(missing.min(BURST_PODS)) {
            plan.then(vec![step.clone(); batch]);
        }
    }

    fn delete(
        &self,
        plan: &mut Plan,
        view: &View,
        object: &Object,
        pods: &mut [PodState],
        keep: usize,
    ) {
        deletion_order(pods, &self.crowd(view, object));
        let surplus = (pods.len() - keep).min(BURST_PODS);
        let steps = pods[..surplus].iter();
        let steps = steps.map(|pod| pod_deletion(self.resource, object, &pod.object));
        plan.then(steps.collect());
    }

    /// Active pods by node, over all sets of the same owner: the fuller node gives first.
    fn crowd(&self, view: &View, object: &Object) -> BTreeMap<String, usize> {
        let mut sets = vec![object.metadata.uid.as_str()];
        if let Some(owner) = object.metadata.controller() {
            let siblings = view.controlled_by(self.resource, &owner.uid);
            sets = siblings.map(|set| set.metadata.uid.as_str()).collect();
        }
        let mut crowd = BTreeMap::new();
        for pod in sets.into_iter().flat_map(|uid| controlled_pods(view, uid)) {
            if let Some(node) = pod.object.node().filter(|_| pod.is_active()) {
                *crowd.entry(node.to_owned()).or_insert(0) += 1;
            }
        }
        crowd
    }

    /// The status write, if the status has to change.
    fn report(
        &self,
        object: &Object,
        set: &Set,
        Counted { pods, terminating }: Counted,
        settled: bool,
        failure: Option<&Failure>,
        now: Timestamp,
    ) -> Option<Step> {
        let labels = set.template["metadata"]["labels"].as_object();
        let labelled = |pod: &&PodState| {
            let have = &pod.object.metadata.labels;
            let mut wanted = labels.into_iter().flatten();
            wanted.all(|(k, v)| have.get(k).map(String::as_str) == v.as_str())
        };
        let available = |pod: &&PodState| {
            pod.available_at(set.min_ready_seconds).is_some_and(|time| time <= now)
        };
        let before = &set.json["status"];
        let mut status = json!({"replicas": pods.len(),
            "observedGeneration": object.metadata.generation});
        let counts = [
            ("fullyLabeledReplicas", pods.iter().filter(labelled).count()),
            ("readyReplicas", pods.iter().filter(|p| p.is_ready()).count()),
            ("availableReplicas", pods.iter().filter(available).count()),
        ];
        for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            status[name] = json!(count);
        }
        let conditions = conditions(before, settled, failure, now);
        if !conditions.is_empty() {
            status["conditions"] = json!(conditions);
        }
        // ReplicationControllers have no such field.
        if !self.resource.group.is_empty() {
            status["terminatingReplicas"] = json!(terminating);
        }
        if *before == status {
            return None;
        }
        let mut json = set.json.clone();
        json["status"] = status;
        Some(Step::update_status(self.resource, object.key(), &json))
    }
}

/// The pods of a set.
struct Counted<'a> {
    /// Those that count.
    pods: &'a [PodState],
    /// How many are on their way out.
    terminating: usize,
}

/// The active pods of a set, and how many are on their way out.
fn counted(view: &View, object: &Object) -> (Vec<PodState>, usize) {
    let alive = controlled_pods(view, &object.metadata.uid).filter(|pod| !pod.has_ended());
    let (active, terminating): (Vec<PodState>, Vec<PodState>) =
        alive.partition(PodState::is_active);
    (active, terminating.len())
}

/// ReplicaFailure comes with a failure and goes when the number of pods is right.
fn conditions(
    before: &Value,
    settled: bool,
    failure: Option<&Failure>,
    now: Timestamp,
) -> Vec<Value> {
    const NAME: &str = "ReplicaFailure";
    let known = before["conditions"].as_array().cloned().unwrap_or_default();
    let (failures, mut rest): (Vec<Value>, Vec<Value>) =
        known.into_iter().partition(|c| c["type"] == NAME);
    match failure {
        None if settled => {}
        None => rest.extend(failures),
        Some(failure) => {
            let reason = if failure.create { "FailedCreate" } else { "FailedDelete" };
            let same = failures.first().filter(|c| c["reason"] == reason);
            let since = same.map(|c| c["lastTransitionTime"].clone());
            rest.push(json!({"type": NAME, "status": "True", "reason": reason,
                "message": failure.message,
                "lastTransitionTime": since.unwrap_or_else(|| json!(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()))}));
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, body, lines, merge, object, plan, time, view};

    fn set(replicas: i32, more: Value) -> Value {
        let mut set = object(
            "ReplicaSet",
            "a",
            "r",
            json!({"spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}},
                "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": []}}},
                "status": {"replicas": 0, "observedGeneration": 0}}),
        );
        merge(&mut set, more);
        set
    }

    fn pod(name: &str, label: &str, owned: bool, more: Value) -> Value {
        let mut pod = object(
            "Pod",
            "a",
            name,
            json!({"metadata": {"labels": {"app": label}}, "spec": {"containers": []},
                "status": {"phase": "Running"}}),
        );
        if owned {
            pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1",
                "kind": "ReplicaSet", "name": "r", "uid": "r-uid", "controller": true}]);
        }
        merge(&mut pod, more);
        pod
    }

    fn check(objects: &[Value], expect: &[&str]) -> Plan {
        let sets = ReplicaSets::of_replica_sets();
        let plan = plan(&sets, &view(objects), &resources::REPLICA_SETS, ("a", "r"), 100);
        assert_eq!(lines(&plan), expect);
        plan
    }

    fn ready(second: i64) -> Value {
        json!({"spec": {"nodeName": "n"}, "status": {"conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": time(second)}]}})
    }

    #[test]
    fn batches_grow() {
        let one = "create pods a/";
        let status = "update replicasets/status a/r";
        let plan = check(&[set(4, json!({}))], &[one, status, "--", one, one, "--", one]);
        let pod = body(&plan, 0);
        assert_eq!(pod["metadata"]["generateName"], "r-");
        assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], "r-uid");
        assert_eq!(plan.steps().next().unwrap().done.as_ref().unwrap().reason, "SuccessfulCreate");
    }

    #[test]
    fn adopts_and_releases_first() {
        let objects = [
            set(2, json!({})),
            pod("p", "x", false, json!({})),
            pod("q", "y", true, json!({})),
            pod("r", "y", false, json!({})),
        ];
        let plan = check(&objects, &["patch pods a/p", "patch pods a/q"]);
        assert_eq!(body(&plan, 1)["metadata"]["ownerReferences"][0]["$patch"], "delete");
    }

    #[test]
    fn surplus_goes_where_least_is_lost() {
        let objects = [
            set(1, json!({})),
            pod("old", "x", true, ready(1)),
            pod("new", "x", true, ready(50)),
            pod("waiting", "x", true, json!({"status": {"phase": "Pending"}})),
        ];
        let expect =
            ["delete pods a/waiting", "delete pods a/new", "update replicasets/status a/r"];
        let plan = check(&objects, &expect);
        assert_eq!(
            body_status(&plan),
            json!({"replicas": 3, "fullyLabeledReplicas": 3,
            "readyReplicas": 2, "availableReplicas": 2, "observedGeneration": 0,
            "terminatingReplicas": 0})
        );
    }

    fn body_status(plan: &Plan) -> Value {
        let last = plan.steps().count() - 1;
        let crate::Action::Update(_, body) = &plan.steps().nth(last).unwrap().action else {
            panic!("no update")
        };
        body["status"].clone()
    }

    #[test]
    fn availability_takes_time() {
        let objects =
            [set(1, json!({"spec": {"minReadySeconds": 30}})), pod("p", "x", true, ready(90))];
        let plan = check(&objects, &["update replicasets/status a/r"]);
        assert_eq!(plan.again, Some(at(120)));
        assert_eq!(body_status(&plan)["availableReplicas"], Value::Null);
    }

    #[test]
    fn failures_are_told_and_forgotten() {
        let sets = ReplicaSets::of_replica_sets();
        let failure = Failure {
            resource: resources::PODS.clone(),
            create: true,
            message: "exceeded quota".into(),
        };
        let before = view(&[set(1, json!({}))]);
        let shared = crate::controller::shared(&resources::REPLICA_SETS);
        let target = Target::new(&shared, kd_client::Key::new("a", "r"));
        let plan = sets.failed(&before, &target, at(1), &failure);
        let condition = &body(&plan, 0)["status"]["conditions"][0];
        assert_eq!(
            (&condition["reason"], &condition["message"]),
            (&json!("FailedCreate"), &json!("exceeded quota"))
        );
        let broken = json!({"status": {"conditions": [condition]}});
        let plan = check(
            &[set(1, broken), pod("p", "x", true, json!({}))],
            &["update replicasets/status a/r"],
        );
        assert_eq!(body_status(&plan)["conditions"], Value::Null);
    }
}

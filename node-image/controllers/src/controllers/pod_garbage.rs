//! Removes pods that nobody will: on nodes that are gone, terminating before they were placed, and
//! the oldest of too many that have ended.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kd_client::{Change, DeleteOptions, Interest, Key, Object, PatchKind, View, resources};
use serde_json::json;

use crate::controller::{itself, shared};
use crate::{Config, Controller, Guard, Plan, Step, Target};

/// A node that is not there when its pod is seen may still be about to register.
const QUARANTINE_SECONDS: i64 = 40;

/// The taint by which an administrator says that a node is gone for good.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

pub(super) struct PodGarbage {
    terminated_max: usize,
}

impl PodGarbage {
    pub(super) fn new(config: &Config) -> PodGarbage {
        PodGarbage { terminated_max: config.terminated_pods_max }
    }
}

/// The target that stands for all ended pods together.
fn everything() -> Target {
    Target::new(&shared(&resources::PODS), Key::default())
}

impl Controller for PodGarbage {
    fn name(&self) -> &'static str {
        "pod-garbage-collector-controller"
    }

    fn account(&self) -> &'static str {
        "pod-garbage-collector"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![Interest::full(&resources::PODS), Interest::full(&resources::NODES)]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        if let Some(target) = itself(&resources::PODS, change) {
            let crowded = view.count(&resources::PODS) > self.terminated_max;
            return std::iter::once(target).chain(crowded.then(everything)).collect();
        }
        let Some(node) = change.object() else { return Vec::new() };
        if change.new.as_ref().is_some_and(|node| !is_out_of_service(node)) {
            return Vec::new();
        }
        let pods = shared(&resources::PODS);
        view.on_node(&node.metadata.name).map(|pod| Target::of(&pods, pod)).collect()
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        if target.key.name.is_empty() {
            return self.remove_oldest(view);
        }
        let Some(object) = view.object(&resources::PODS, &target.key) else {
            return Plan::nothing();
        };
        match object.node() {
            None if object.metadata.is_deleting() => in_turn(fail_and_delete(object, None)),
            None => Plan::nothing(),
            Some(name) => match view.object(&resources::NODES, &Key::cluster(name)) {
                None => orphaned(object, name, now),
                Some(node) if object.metadata.is_deleting() && is_out_of_service(node) => {
                    in_turn(fail_and_delete(object, None))
                }
                Some(_) => Plan::nothing(),
            },
        }
    }
}

/// Whether a node that is not ready was declared dead by its administrator: nobody will end its pods.
fn is_out_of_service(node: &Object) -> bool {
    let Some(node) = node.decode::<Node>() else { return false };
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True");
    !ready && taints.into_iter().any(|taint| taint.key == OUT_OF_SERVICE)
}

impl PodGarbage {
    fn remove_oldest(&self, view: &View) -> Plan {
        let ended = |object: &Object| {
            let phase = object.decode::<Pod>().and_then(|pod| pod.status?.phase);
            phase.is_some_and(|phase| phase == "Succeeded" || phase == "Failed")
        };
        let pods = view.objects(&resources::PODS, None).filter(|o| !o.metadata.is_deleting());
        let mut ended: Vec<_> = pods.filter(|o| ended(o)).collect();
        let surplus = ended.len().saturating_sub(self.terminated_max);
        ended.sort_by_key(|o| (o.metadata.creation_timestamp, o.key()));
        let steps = ended.into_iter().take(surplus);
        Plan::together(steps.map(|object| delete(object, None)).collect())
    }
}

fn orphaned(object: &Object, node: &str, now: Timestamp) -> Plan {
    let due = object.observed + jiff::SignedDuration::from_secs(QUARANTINE_SECONDS);
    if now < due {
        return Plan::at(due);
    }
    let absent = Guard::Absent {
        resource: resources::NODES.clone(),
        key: Key::cluster(node),
        uid: String::new(),
    };
    let condition = PodCondition {
        type_: "DisruptionTarget".into(),
        status: "True".into(),
        reason: Some("DeletionByPodGC".into()),
        message: Some("PodGC: node no longer exists".into()),
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    };
    let steps = fail_and_delete(object, Some(condition)).into_iter();
    in_turn(steps.map(|step| step.guarded(absent.clone())))
}

fn in_turn(steps: impl IntoIterator<Item = Step>) -> Plan {
    Plan { stages: steps.into_iter().map(|step| vec![step]).collect(), ..Plan::default() }
}

/// Whoever counts the pod's end needs its phase before it goes.
fn fail_and_delete(object: &Object, condition: Option<PodCondition>) -> Vec<Step> {
    let Some(pod) = object.decode::<Pod>() else { return Vec::new() };
    let phase = pod.status.and_then(|status| status.phase);
    let mut steps = Vec::new();
    if !phase.is_some_and(|phase| phase == "Succeeded" || phase == "Failed") {
        let mut patch =
            json!({"metadata": {"uid": object.metadata.uid}, "status": {"phase": "Failed"}});
        if let Some(condition) = condition {
            patch["status"]["conditions"] = json!([condition]);
        }
        let kind = PatchKind::Strategic;
        steps.push(Step::patch(&resources::PODS, object.key(), "status", kind, patch));
    }
    steps.push(delete(object, Some(0)));
    steps
}

fn delete(object: &Object, grace_period_seconds: Option<i64>) -> Step {
    let options = DeleteOptions { grace_period_seconds, ..DeleteOptions::of(&object.metadata.uid) };
    Step::delete(&resources::PODS, object.key(), options)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{at, lines, object, plan, time, view};

    fn controller(max: usize) -> PodGarbage {
        PodGarbage { terminated_max: max }
    }

    fn pod(name: &str, rest: Value) -> Value {
        let mut pod = object("Pod", "a", name, json!({"spec": {"containers": []}}));
        crate::testing::merge(&mut pod, rest);
        pod
    }

    #[test]
    fn nobody_elses_pods() {
        let check = |objects: &[Value], second: i64, expect: &[&str], again: Option<i64>| {
            let plan = plan(&controller(9), &view(objects), &resources::PODS, ("a", "p"), second);
            assert_eq!(lines(&plan), expect);
            assert_eq!(plan.again, again.map(at));
        };
        let orphan = pod("p", json!({"spec": {"nodeName": "n"}}));
        let both = ["patch pods/status a/p", "--", "delete pods a/p"];
        check(std::slice::from_ref(&orphan), 1, &[], Some(40));
        check(std::slice::from_ref(&orphan), 40, &both, None);
        check(&[orphan, object("Node", "", "n", json!({}))], 40, &[], None);
        let unplaced = pod("p", json!({"metadata": {"deletionTimestamp": time(1)}}));
        check(&[unplaced], 1, &both, None);
        check(&[pod("p", json!({}))], 1, &[], None);
        let going = pod(
            "p",
            json!({"metadata": {"deletionTimestamp": time(1)}, "spec": {"nodeName": "n"}}),
        );
        let node = |ready: &str, taint: &str| {
            object(
                "Node",
                "",
                "n",
                json!({"spec": {"taints": [{"key": taint, "effect": "NoExecute"}]},
                    "status": {"conditions": [{"type": "Ready", "status": ready}]}}),
            )
        };
        check(&[going.clone(), node("Unknown", OUT_OF_SERVICE)], 1, &both, None);
        check(&[going.clone(), node("True", OUT_OF_SERVICE)], 1, &[], None);
        check(&[going, node("Unknown", "x")], 1, &[], None);
    }

    #[test]
    fn the_oldest_of_too_many() {
        let ended = |name: &str, second: i64| {
            pod(
                name,
                json!({"metadata": {"creationTimestamp": time(second)},
                "status": {"phase": "Failed"}}),
            )
        };
        let objects = [ended("x", 3), ended("y", 1), ended("z", 2), pod("w", json!({}))];
        let plan = plan(&controller(2), &view(&objects), &resources::PODS, ("", ""), 9);
        assert_eq!(lines(&plan), ["delete pods a/y"]);
    }
}

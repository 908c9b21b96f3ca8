//! Evicts pods from nodes with NoExecute taints that they do not tolerate (for long enough).

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kd_client::placement::tolerates;
use kd_client::{Change, DeleteOptions, EventType, Interest, Key, Object, View, resources};

use crate::controller::{itself, shared};
use crate::{Controller, Plan, Step, Target, event};

pub(super) struct TaintEviction;

impl Controller for TaintEviction {
    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    fn account(&self) -> &'static str {
        "node-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![Interest::full(&resources::NODES), Interest::full(&resources::PODS)]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        if let Some(target) = itself(&resources::PODS, change) {
            let bound = change.new.as_ref().is_some_and(|pod| pod.node().is_some());
            return if bound { vec![target] } else { Vec::new() };
        }
        let Some(node) = change.new.as_ref() else { return Vec::new() };
        if no_execute(node).is_empty()
            && change.old.as_ref().is_none_or(|o| no_execute(o).is_empty())
        {
            return Vec::new();
        }
        let pods = shared(&resources::PODS);
        view.on_node(&node.metadata.name).map(|pod| Target::of(&pods, pod)).collect()
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        let Some(object) = view.object(&resources::PODS, &target.key) else {
            return Plan::nothing();
        };
        let node = object.node().and_then(|n| view.object(&resources::NODES, &Key::cluster(n)));
        let Some(taints) = node.map(|node| no_execute(node)).filter(|taints| !taints.is_empty())
        else {
            return Plan::nothing();
        };
        let Some(pod) = object.decode::<Pod>().filter(|_| !object.metadata.is_deleting()) else {
            return Plan::nothing();
        };
        match eviction_time(&pod, &taints, now) {
            None => Plan::nothing(),
            Some(time) if time > now => Plan::at(time),
            Some(_) => evict(object, pod, now),
        }
    }
}

fn no_execute(node: &Object) -> Vec<Taint> {
    let spec = node.decode::<Node>().and_then(|node| node.spec);
    let taints = spec.and_then(|spec| spec.taints).unwrap_or_default();
    taints.into_iter().filter(|t| t.effect == "NoExecute").collect()
}

/// When the pod has to go; None for never.
fn eviction_time(pod: &Pod, taints: &[Taint], now: Timestamp) -> Option<Timestamp> {
    let tolerations = pod.spec.as_ref().and_then(|s| s.tolerations.as_deref()).unwrap_or_default();
    let mut earliest: Option<Timestamp> = None;
    for taint in taints {
        let added = taint.time_added.as_ref().map_or(now, |time| time.0);
        let time = match tolerated_seconds(taint, tolerations) {
            Tolerated::No => return Some(now),
            Tolerated::Forever => continue,
            Tolerated::For(seconds) => added + SignedDuration::from_secs(seconds.max(0)),
        };
        earliest = Some(earliest.map_or(time, |known| known.min(time)));
    }
    earliest
}

enum Tolerated {
    No,
    For(i64),
    Forever,
}

fn tolerated_seconds(taint: &Taint, tolerations: &[Toleration]) -> Tolerated {
    let matching = tolerations.iter().filter(|t| tolerates(t, taint));
    let mut answer = Tolerated::No;
    for toleration in matching {
        answer = match (answer, toleration.toleration_seconds) {
            (Tolerated::For(known), Some(seconds)) => Tolerated::For(known.min(seconds)),
            (known @ Tolerated::For(_), None) => known,
            (_, Some(seconds)) => Tolerated::For(seconds),
            (_, None) => Tolerated::Forever,
        };
    }
    answer
}

fn evict(object: &Object, mut pod: Pod, now: Timestamp) -> Plan {
    let target = PodCondition {
        type_: "DisruptionTarget".into(),
        status: "True".into(),
        reason: Some("DeletionByTaintManager".into()),
        message: Some("Taint manager: deleting due to NoExecute taint".into()),
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    };
    let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
    let marked = conditions.iter().any(|c| c.type_ == target.type_ && c.status == target.status);
    let message = format!("Marking for deletion Pod {}", object.key());
    let notice =
        event(&resources::PODS, object, EventType::Normal, "TaintManagerEviction", message);
    let mut plan = Plan::nothing();
    if !marked {
        conditions.retain(|c| c.type_ != target.type_);
        conditions.push(target);
        plan.then(vec![Step::update_status(&resources::PODS, object.key(), &pod)]);
    }
    let options = DeleteOptions::of(&object.metadata.uid);
    plan.then(vec![Step::delete(&resources::PODS, object.key(), options).telling(notice)]);
    plan
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{at, lines, object, plan, time, view};

    fn check(tolerations: Value, second: i64, steps: usize, again: Option<i64>) {
        let taint = json!({"key": "k", "effect": "NoExecute", "timeAdded": time(100)});
        let objects = [
            object("Node", "", "a", json!({"spec": {"taints": [taint]}})),
            object(
                "Pod",
                "x",
                "p",
                json!({"spec": {"nodeName": "a", "containers": [], "tolerations": tolerations}}),
            ),
        ];
        let plan = plan(&TaintEviction, &view(&objects), &resources::PODS, ("x", "p"), second);
        let expect = ["update pods/status x/p", "--", "delete pods x/p"];
        assert_eq!(lines(&plan), expect[..steps]);
        assert_eq!(plan.again, again.map(at));
    }

    #[test]
    fn tolerations() {
        check(json!([]), 100, 3, None);
        check(json!([{"key": "k", "operator": "Exists"}]), 1000, 0, None);
        check(json!([{"operator": "Exists"}]), 1000, 0, None);
        check(json!([{"key": "k", "operator": "Equal", "value": "v"}]), 100, 3, None);
        let five = json!([{"key": "k", "operator": "Exists", "effect": "NoExecute",
            "tolerationSeconds": 300}]);
        check(five.clone(), 399, 0, Some(400));
        check(five, 400, 3, None);
    }
}

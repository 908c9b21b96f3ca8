//! Evicts pods from nodes with NoExecute taints that they do not tolerate (for long enough).

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kd_client::placement::tolerates;
use kd_client::{Change, DeleteOptions, EventType, Interest, Key, Object, View, resources};
use serde_json::{Value, json};

use crate::controller::{itself, shared};
use crate::{Controller, Plan, Step, Target, event};

const NO_EXECUTE: &str = "NoExecute";

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
        let Some(node) = node else { return Plan::nothing() };
        let taints = no_execute(node);
        if taints.is_empty() {
            return Plan::nothing();
        }
        let Some(pod) = object.decode::<Pod>().filter(|_| !object.metadata.is_deleting()) else {
            return Plan::nothing();
        };
        match eviction(&pod, &taints) {
            Eviction::Never => Plan::nothing(),
            Eviction::At(time) if time > now => Plan::at(time),
            Eviction::Now | Eviction::At(_) => evict(object, pod, now),
            Eviction::Undated => date(node, now),
        }
    }
}

fn no_execute(node: &Object) -> Vec<Taint> {
    let spec = node.decode::<Node>().and_then(|node| node.spec);
    let taints = spec.and_then(|spec| spec.taints).unwrap_or_default();
    taints.into_iter().filter(|t| t.effect == NO_EXECUTE).collect()
}

/// When a pod has to go.
enum Eviction {
    Never,
    Now,
    At(Timestamp),
    /// So many seconds after a taint came of which nobody has written when that was.
    Undated,
}

fn eviction(pod: &Pod, taints: &[Taint]) -> Eviction {
    let tolerations = pod.spec.as_ref().and_then(|s| s.tolerations.as_deref()).unwrap_or_default();
    let mut earliest: Option<Timestamp> = None;
    let mut undated = false;
    for taint in taints {
        let seconds = match tolerated_seconds(taint, tolerations) {
            Tolerated::No => return Eviction::Now,
            Tolerated::Forever => continue,
            Tolerated::For(seconds) => SignedDuration::from_secs(seconds.max(0)),
        };
        match &taint.time_added {
            Some(added) => {
                let time = added.0 + seconds;
                earliest = Some(earliest.map_or(time, |known| known.min(time)));
            }
            None => undated = true,
        }
    }
    match earliest {
        _ if undated => Eviction::Undated,
        Some(time) => Eviction::At(time),
        None => Eviction::Never,
    }
}

/// Writes into a node's taints when they came: `kubectl taint` and most other clients do not.
fn date(node: &Object, now: Timestamp) -> Plan {
    let Some(mut updated) = node.decode::<Value>() else { return Plan::nothing() };
    // The field has whole seconds; nothing goes before its time.
    let second = now.as_second() + i64::from(now.subsec_nanosecond() > 0);
    let added = Timestamp::from_second(second).unwrap_or(now);
    let taints = updated["spec"]["taints"].as_array_mut().into_iter().flatten();
    for taint in taints.filter(|t| t["effect"] == NO_EXECUTE && t["timeAdded"].is_null()) {
        taint["timeAdded"] = json!(Time(added));
    }
    Plan::one(Step::update(&resources::NODES, node.key(), &updated))
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
    use super::*;
    use crate::testing::{at, body, lines, object, plan, time, view};

    fn reconcile(taint: &Value, tolerations: Value, second: i64) -> Plan {
        let objects = [
            object("Node", "", "a", json!({"spec": {"taints": [taint]}})),
            object(
                "Pod",
                "x",
                "p",
                json!({"spec": {"nodeName": "a", "containers": [], "tolerations": tolerations}}),
            ),
        ];
        plan(&TaintEviction, &view(&objects), &resources::PODS, ("x", "p"), second)
    }

    fn check(tolerations: Value, second: i64, steps: usize, again: Option<i64>) {
        let taint = json!({"key": "k", "effect": "NoExecute", "timeAdded": time(100)});
        let plan = reconcile(&taint, tolerations, second);
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

    #[test]
    fn seconds_count_from_when_a_taint_was_seen() {
        let mut taint = json!({"key": "k", "effect": "NoExecute"});
        let patient = json!([{"key": "k", "operator": "Exists", "tolerationSeconds": 5}]);
        let dated = reconcile(&taint, patient.clone(), 100);
        assert_eq!(lines(&dated), ["update nodes a"]);
        taint["timeAdded"] = json!(time(100));
        assert_eq!(body(&dated, 0)["spec"]["taints"], json!([taint]));
        assert_eq!(reconcile(&taint, patient, 101).again, Some(at(105)));
    }

    #[test]
    fn without_seconds_no_time_is_needed() {
        let taint = json!({"key": "k", "effect": "NoExecute"});
        let none = reconcile(&taint, json!([]), 100);
        assert_eq!(lines(&none).last().unwrap(), "delete pods x/p");
        assert!(reconcile(&taint, json!([{"operator": "Exists"}]), 100).is_empty());
        let other = json!({"key": "k", "effect": "NoSchedule"});
        assert!(reconcile(&other, json!([]), 100).is_empty());
    }
}

//! Watches over nodes by their Leases: a silent node becomes unknown, its taints follow its
//! conditions, and the pods on it stop being ready.

mod zones;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kd_client::{Change, EventType, Interest, Key, Object, PatchKind, View, resources};
use serde_json::json;

use self::zones::{Eviction, Health, concerned, eviction};
use crate::controller::shared;
use crate::{Config, Controller, Plan, Step, Target, event};

const LEASE_NAMESPACE: &str = "kube-node-lease";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const WATCHED_CONDITIONS: [&str; 4] = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"];
/// Condition, the status that is bad, and the taint it brings (besides those of Ready).
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];

pub(super) struct NodeLifecycle {
    grace: SignedDuration,
}

impl NodeLifecycle {
    pub(super) fn new(config: &Config) -> NodeLifecycle {
        NodeLifecycle { grace: config.node_grace }
    }
}

impl Controller for NodeLifecycle {
    fn name(&self) -> &'static str {
        "node-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![
            Interest::full(&resources::NODES),
            Interest::metadata(&resources::LEASES),
            Interest::full(&resources::PODS),
        ]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        let Some(object) = change.object() else { return Vec::new() };
        if change.resource.same(&resources::NODES) {
            // What becomes of nodes that are not ready depends on the others.
            let others = concerned(view, change).into_iter().filter(|key| *key != object.key());
            let others = others.map(|key| Target::new(&change.resource, key));
            return std::iter::once(Target::of(&change.resource, object)).chain(others).collect();
        }
        let node = match change.resource.same(&resources::LEASES) {
            true if object.metadata.namespace != LEASE_NAMESPACE => return Vec::new(),
            true => Some(object.metadata.name.as_str()),
            // A pod's readiness matters here when it is bound to a node that is not ready.
            false => object.node().filter(|name| {
                let node = view.object(&resources::NODES, &Key::cluster(name));
                node.is_some_and(|node| !Health::of(node).ready)
            }),
        };
        let target = |name: &str| Target::new(&shared(&resources::NODES), Key::cluster(name));
        node.map(target).into_iter().collect()
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        let Some(object) = view.object(&resources::NODES, &target.key) else {
            return Plan::nothing();
        };
        let Some(node) = object.decode::<Node>() else { return Plan::nothing() };
        let deadline = last_sign_of_life(view, object, &node) + self.grace;
        let mut plan = Plan::nothing();
        let mut seen = node.clone();
        if now >= deadline {
            mark_unknown(&mut seen, now);
            if seen.status != node.status {
                plan.also(Step::update_status(&resources::NODES, target.key.clone(), &seen));
            }
        } else {
            plan.not_later_than(deadline);
        }
        if plan.is_empty() {
            let evict = match status_of(&node, "Ready") {
                Some("True") | None => Eviction::Never,
                Some(_) => eviction(view, object, now),
            };
            if let Eviction::At(time) = evict {
                plan.not_later_than(time);
            }
            plan.then(taint(&node, evict == Eviction::Now, now).into_iter().collect());
        }
        let ready = status_of(&seen, "Ready").unwrap_or("");
        if ready == "True" || ready.is_empty() {
            return plan;
        }
        if status_of(&node, "Ready") == Some("True") {
            let message = format!("Node {} status is now: NodeNotReady", target.key.name);
            let notice =
                event(&resources::NODES, object, EventType::Normal, "NodeNotReady", message);
            plan.events.push(notice);
        }
        plan.then(
            view.on_node(&target.key.name).filter_map(|pod| mark_pod_not_ready(pod, now)).collect(),
        );
        plan
    }
}

/// When the node was last heard of. A Lease counts from when it was seen here, not from what its
/// clock says, so that a control plane that was away itself does not blame the nodes.
fn last_sign_of_life(view: &View, object: &Object, node: &Node) -> Timestamp {
    let key = Key::new(LEASE_NAMESPACE, &object.metadata.name);
    let lease = view.object(&resources::LEASES, &key);
    let renewed = lease.map(|l| l.observed);
    let posted = condition(node, "Ready").and_then(|c| c.last_heartbeat_time.as_ref()).map(|t| t.0);
    let created = object.metadata.creation_timestamp;
    renewed.max(posted).or(created).unwrap_or(object.observed)
}

fn condition<'a>(node: &'a Node, name: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == name)
}

fn status_of<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    condition(node, name).map(|c| c.status.as_str())
}

/// Ready stays the last condition: tools read it there.
fn mark_unknown(node: &mut Node, now: Timestamp) {
    let created = node.metadata.creation_timestamp.clone();
    let conditions = node.status.get_or_insert_default().conditions.get_or_insert_default();
    for name in WATCHED_CONDITIONS {
        match conditions.iter_mut().find(|c| c.type_ == name) {
            Some(known) if known.status == "Unknown" => {}
            Some(known) => {
                known.status = "Unknown".into();
                known.reason = Some("NodeStatusUnknown".into());
                known.message = Some("Kubelet stopped posting node status.".into());
                known.last_transition_time = Some(Time(now));
            }
            None => {
                let unknown = NodeCondition {
                    type_: name.into(),
                    status: "Unknown".into(),
                    reason: Some("NodeStatusNeverUpdated".into()),
                    message: Some("Kubelet never posted node status.".into()),
                    last_heartbeat_time: created.clone(),
                    last_transition_time: Some(Time(now)),
                };
                let ready = conditions.iter().position(|c| c.type_ == "Ready");
                conditions.insert(ready.unwrap_or(conditions.len()), unknown);
            }
        }
    }
}

/// The write that gives the node the taints its conditions ask for.
fn taint(node: &Node, evict: bool, now: Timestamp) -> Option<Step> {
    let wanted = wanted_taints(node, evict)?;
    let before = node.spec.as_ref().and_then(|s| s.taints.as_deref()).unwrap_or_default();
    let is_wanted = |t: &Taint| wanted.contains(&(t.key.as_str(), t.effect.as_str()));
    let mut taints: Vec<Taint> =
        before.iter().filter(|t| !is_ours(t) || is_wanted(t)).cloned().collect();
    for (key, effect) in wanted {
        if !taints.iter().any(|t| t.key == key && t.effect == effect) {
            let time_added = Some(Time(now));
            taints.push(Taint { key: key.into(), effect: effect.into(), time_added, value: None });
        }
    }
    if taints == before {
        return None;
    }
    // The list is replaced as a whole; the resourceVersion keeps others' taints from being lost.
    let patch = json!({
        "metadata": {"resourceVersion": node.metadata.resource_version},
        "spec": {"taints": taints},
    });
    let name = node.metadata.name.as_deref()?;
    Some(Step::patch(&resources::NODES, Key::cluster(name), "", PatchKind::Merge, patch))
}

fn is_ours(taint: &Taint) -> bool {
    let pressure = PRESSURES.iter().any(|(_, key)| *key == taint.key);
    let ready = [NOT_READY, UNREACHABLE].contains(&taint.key.as_str());
    match taint.effect.as_str() {
        "NoSchedule" => pressure || ready || taint.key == UNSCHEDULABLE,
        "NoExecute" => ready,
        _ => false,
    }
}

/// None while the node has not told its conditions yet: its first taints stay.
fn wanted_taints(node: &Node, evict: bool) -> Option<Vec<(&'static str, &'static str)>> {
    let mut wanted = Vec::new();
    let readiness = match status_of(node, "Ready")? {
        "True" => None,
        "False" => Some(NOT_READY),
        _ => Some(UNREACHABLE),
    };
    wanted.extend(readiness.map(|key| (key, "NoSchedule")));
    wanted.extend(readiness.filter(|_| evict).map(|key| (key, "NoExecute")));
    let under = PRESSURES.iter().filter(|(name, _)| status_of(node, name) == Some("True"));
    wanted.extend(under.map(|(_, key)| (*key, "NoSchedule")));
    if node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    Some(wanted)
}

fn mark_pod_not_ready(object: &Arc<Object>, now: Timestamp) -> Option<Step> {
    let mut pod: Pod = object.decode()?;
    let conditions = pod.status.as_mut()?.conditions.as_mut()?;
    let ready = conditions.iter_mut().find(|c| c.type_ == "Ready" && c.status == "True")?;
    ready.status = "False".into();
    ready.last_transition_time = Some(Time(now));
    let notice =
        event(&resources::PODS, object, EventType::Warning, "NodeNotReady", "Node is not ready");
    Some(Step::update_status(&resources::PODS, object.key(), &pod).telling(notice))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{body, lines, merge, object, plan, time, view};

    fn node(name: &str, ready: &str, more: Value) -> Value {
        let mut node = object(
            "Node",
            "",
            name,
            json!({"status": {"conditions": [
                {"type": "Ready", "status": ready, "lastHeartbeatTime": time(0)}]}}),
        );
        merge(&mut node, more);
        node
    }

    fn lease(name: &str) -> Value {
        object("Lease", LEASE_NAMESPACE, name, json!({"spec": {}}))
    }

    fn reconcile(objects: &[Value], second: i64) -> Plan {
        let config = Config::new("10.244.0.0/16".parse().unwrap(), 24, "");
        let nodes = NodeLifecycle::new(&config);
        plan(&nodes, &view(objects), &resources::NODES, ("", "a"), second)
    }

    #[test]
    fn a_node_in_time_is_left_alone() {
        let plan = reconcile(&[node("a", "True", json!({})), lease("a")], 10);
        assert_eq!(lines(&plan), [""; 0]);
        assert_eq!(plan.again, Some(crate::testing::at(50)));
    }

    #[test]
    fn a_silent_node_becomes_unknown() {
        let pod = object(
            "Pod",
            "x",
            "p",
            json!({"spec": {"nodeName": "a", "containers": []},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
        );
        let plan = reconcile(
            &[node("a", "True", json!({})), lease("a"), node("b", "True", json!({})), pod],
            50,
        );
        assert_eq!(lines(&plan), ["update nodes/status a", "--", "update pods/status x/p"]);
        let conditions = body(&plan, 0)["status"]["conditions"].as_array().unwrap();
        let names: Vec<&str> = conditions.iter().map(|c| c["type"].as_str().unwrap()).collect();
        assert_eq!(names, WATCHED_CONDITIONS);
        assert_eq!(conditions[3]["reason"], "NodeStatusUnknown");
        assert_eq!(conditions[0]["reason"], "NodeStatusNeverUpdated");
        assert_eq!(plan.events[0].message, "Node a status is now: NodeNotReady");
    }

    #[test]
    fn taints_follow_conditions() {
        let check = |node: Value, expect: &[(&str, &str)]| {
            let plan = reconcile(&[node.clone(), lease("a")], 1);
            let taints = match plan.steps().next() {
                Some(_) => body(&plan, 0)["spec"]["taints"].as_array().unwrap().clone(),
                None => Vec::new(),
            };
            let found: Vec<(&str, &str)> = taints
                .iter()
                .map(|t| (t["key"].as_str().unwrap(), t["effect"].as_str().unwrap()))
                .collect();
            assert_eq!(found, expect);
        };
        let other_ready = [node("a", "False", json!({})), lease("a"), node("b", "True", json!({}))];
        let evicting = reconcile(&other_ready, 1);
        assert_eq!(body(&evicting, 0)["spec"]["taints"][1]["effect"], "NoExecute");
        let other = json!({"key": "x", "effect": "NoExecute"});
        let old = json!({"key": NOT_READY, "effect": "NoSchedule"});
        check(node("a", "True", json!({})), &[]);
        check(node("a", "True", json!({"spec": {"taints": [other, old]}})), &[("x", "NoExecute")]);
        // The only node there is: no eviction.
        check(node("a", "False", json!({})), &[(NOT_READY, "NoSchedule")]);
        check(node("a", "Unknown", json!({})), &[(UNREACHABLE, "NoSchedule")]);
        check(
            node("a", "True", json!({"spec": {"unschedulable": true}})),
            &[(UNSCHEDULABLE, "NoSchedule")],
        );
    }
}

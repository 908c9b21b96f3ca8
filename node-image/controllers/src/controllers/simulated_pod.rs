//! Says of pods on simulated nodes what a kubelet would: they run and are ready at once, those of
//! Jobs succeed, and they go as soon as they are asked to.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;

use jiff::Timestamp;
use kd_client::{Change, DeleteOptions, Interest, Key, Object, View, resources};
use serde_json::{Value, json};

use super::simulated_node::is_simulated;
use crate::controller::shared;
use crate::{Controller, Plan, Step, Target};

/// Addresses of simulated pods are of this range (RFC 6598, shared address space), where nothing
/// answers. They are drawn from the pod's uid.
const ADDRESSES: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);
const ADDRESS_BITS: u32 = 22;

pub(super) struct SimulatedPods;

impl Controller for SimulatedPods {
    fn name(&self) -> &'static str {
        "simulated-pod-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![Interest::full(&resources::NODES), Interest::full(&resources::PODS)]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        let Some(object) = change.object() else { return Vec::new() };
        let pods = shared(&resources::PODS);
        if change.resource.same(&pods) {
            let known = change.new.is_some() && on_simulated(view, object);
            return known.then(|| Target::of(&pods, object)).into_iter().collect();
        }
        // Pods may be there before their node is.
        let appears = change.old.is_none() && is_simulated(object);
        let there = view.on_node(&object.metadata.name).filter(|_| appears);
        there.map(|pod| Target::of(&pods, pod)).collect()
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        let Some(object) = view.object(&resources::PODS, &target.key) else {
            return Plan::nothing();
        };
        if !on_simulated(view, object) {
            return Plan::nothing();
        }
        if object.metadata.is_deleting() {
            let mut options = DeleteOptions::of(&object.metadata.uid);
            options.grace_period_seconds = Some(0);
            return Plan::one(Step::delete(&resources::PODS, target.key.clone(), options));
        }
        let read = object.bytes().and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
        let Some(mut pod) = read else { return Plan::nothing() };
        let of_job = object.metadata.controller().is_some_and(|owner| owner.kind == "Job");
        let status = match (pod["status"]["phase"].as_str(), of_job) {
            (Some("Succeeded" | "Failed"), _) => return Plan::nothing(),
            (Some("Running"), true) => status(&pod, now, true),
            _ => status(&pod, now, false),
        };
        if is_told(&pod["status"], &status) {
            return Plan::nothing();
        }
        pod["status"] = status;
        Plan::one(Step::update_status(&resources::PODS, target.key.clone(), &pod))
    }
}

/// Whether a pod's status says already what it is to say.
fn is_told(now: &Value, wanted: &Value) -> bool {
    let conditions = |status: &Value| -> BTreeMap<String, Value> {
        let all = status["conditions"].as_array().into_iter().flatten();
        all.map(|c| (c["type"].to_string(), c["status"].clone())).collect()
    };
    let containers = |status: &Value| status["containerStatuses"].as_array().map_or(0, Vec::len);
    now["phase"] == wanted["phase"]
        && now["observedGeneration"] == wanted["observedGeneration"]
        && containers(now) == containers(wanted)
        && conditions(now) == conditions(wanted)
}

fn on_simulated(view: &View, pod: &Object) -> bool {
    let node = pod.node().and_then(|name| view.object(&resources::NODES, &Key::cluster(name)));
    node.is_some_and(|node| is_simulated(node))
}

/// The status of a pod that runs, or that has ended well.
fn status(pod: &Value, now: Timestamp, ended: bool) -> Value {
    let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut status = pod["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    status["phase"] = json!(if ended { "Succeeded" } else { "Running" });
    if status["startTime"].is_null() {
        status["startTime"] = json!(time);
    }
    if status["podIP"].is_null() {
        let address = address(pod["metadata"]["uid"].as_str().unwrap_or_default());
        status["podIP"] = json!(address);
        status["podIPs"] = json!([{"ip": address}]);
    }
    let started = status["startTime"].clone();
    let containers = |field: &str, known: &Value, starting: bool| -> Vec<Value> {
        let all = pod["spec"][field].as_array().into_iter().flatten();
        all.map(|container| {
            let over = ended || (starting && container["restartPolicy"] != "Always");
            // An init container that has done its work counts as ready.
            let ready = !over || (starting && !ended);
            container_status(container, known, (over, ready), &started, &time)
        })
        .collect()
    };
    let running = containers("containers", &status["containerStatuses"], false);
    let starting = containers("initContainers", &status["initContainerStatuses"], true);
    status["containerStatuses"] = json!(running);
    if !starting.is_empty() {
        status["initContainerStatuses"] = json!(starting);
    }
    set_conditions(pod, &mut status, &time, ended);
    status
}

fn container_status(
    container: &Value,
    known: &Value,
    (over, ready): (bool, bool),
    started: &Value,
    time: &str,
) -> Value {
    let name = &container["name"];
    let before = known.as_array().into_iter().flatten().find(|status| status["name"] == *name);
    let state = match (over, before) {
        // It has ended already.
        (true, Some(before)) if before["state"]["terminated"].is_object() => {
            before["state"].clone()
        }
        (true, _) => json!({"terminated": {"exitCode": 0, "reason": "Completed",
            "startedAt": started, "finishedAt": time}}),
        (false, _) => json!({"running": {"startedAt": started}}),
    };
    json!({"name": name, "image": container["image"], "imageID": "", "restartCount": 0,
        "ready": ready, "started": !over, "state": state})
}

/// The conditions in the order in which a kubelet writes them; others stay.
fn set_conditions(pod: &Value, status: &mut Value, time: &str, ended: bool) {
    let before = status["conditions"].as_array().cloned().unwrap_or_default();
    let holds = |kind: &Value| before.iter().any(|c| c["type"] == *kind && c["status"] == "True");
    let gates = pod["spec"]["readinessGates"].as_array().into_iter().flatten();
    let gated = gates.map(|gate| &gate["conditionType"]).any(|kind| !holds(kind));
    let done = if ended { "PodCompleted" } else { "" };
    let wanted = [
        ("PodReadyToStartContainers", !ended, ""),
        ("Initialized", true, done),
        ("Ready", !ended && !gated, if gated && !ended { "ReadinessGatesNotReady" } else { done }),
        ("ContainersReady", !ended, done),
        ("PodScheduled", true, ""),
    ];
    let generation = &pod["metadata"]["generation"];
    let mut after = Vec::new();
    for (kind, holds, why) in wanted {
        let known = before.iter().find(|condition| condition["type"] == kind);
        let value = if holds { "True" } else { "False" };
        let mut condition = known.cloned().unwrap_or_else(|| json!({"type": kind}));
        if condition["status"] != value {
            condition = json!({"type": kind, "status": value, "lastProbeTime": null,
                "lastTransitionTime": time});
        }
        if !why.is_empty() {
            condition["reason"] = json!(why);
        }
        if !generation.is_null() {
            condition["observedGeneration"] = generation.clone();
        }
        after.push(condition);
    }
    let others = before.into_iter().filter(|c| wanted.iter().all(|(kind, ..)| c["type"] != *kind));
    after.extend(others);
    status["conditions"] = json!(after);
    if !generation.is_null() {
        status["observedGeneration"] = generation.clone();
    }
}

fn address(uid: &str) -> Ipv4Addr {
    let mut hasher = DefaultHasher::new();
    uid.hash(&mut hasher);
    Ipv4Addr::from_bits(ADDRESSES.to_bits() | (hasher.finish() as u32 & ((1 << ADDRESS_BITS) - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{body, lines, merge, object, plan, view};

    fn node() -> Value {
        object("Node", "", "sim", json!({"metadata": {"labels": {"io.kd/simulated": "true"}}}))
    }

    fn pod(more: Value) -> Value {
        let mut spec = json!({"spec": {"nodeName": "sim", "containers": [
            {"name": "c", "image": "i"}], "initContainers": [{"name": "first", "image": "i"},
            {"name": "beside", "image": "i", "restartPolicy": "Always"}]}});
        merge(&mut spec, more);
        object("Pod", "a", "p", spec)
    }

    fn outcome(objects: &[Value]) -> Plan {
        plan(&SimulatedPods, &view(objects), &resources::PODS, ("a", "p"), 5)
    }

    fn condition<'a>(pod: &'a Value, kind: &str) -> &'a Value {
        let all = pod["status"]["conditions"].as_array().unwrap();
        &all.iter().find(|c| c["type"] == kind).unwrap()["status"]
    }

    #[test]
    fn pods_run_at_once_and_stay() {
        let first = outcome(&[node(), pod(json!({}))]);
        assert_eq!(lines(&first), ["update pods/status a/p"]);
        let running = body(&first, 0);
        let status = &running["status"];
        assert_eq!(
            (&status["phase"], condition(running, "Ready")),
            (&json!("Running"), &json!("True"))
        );
        assert!(status["containerStatuses"][0]["state"]["running"].is_object());
        assert!(status["initContainerStatuses"][0]["state"]["terminated"].is_object());
        assert!(status["initContainerStatuses"][1]["state"]["running"].is_object());
        assert!(status["podIP"].as_str().unwrap().starts_with("100."));
        assert_eq!(lines(&outcome(&[node(), running.clone()])), [""; 0], "nothing more to say");
    }

    #[test]
    fn readiness_waits_for_gates() {
        let gates = json!({"spec": {"readinessGates": [{"conditionType": "example.com/g"}]}});
        let plan = outcome(&[node(), pod(gates.clone())]);
        assert_eq!(condition(body(&plan, 0), "Ready"), "False");
        let mut open = gates;
        merge(
            &mut open,
            json!({"status": {"conditions": [
            {"type": "example.com/g", "status": "True"}]}}),
        );
        assert_eq!(condition(body(&outcome(&[node(), pod(open)]), 0), "Ready"), "True");
    }

    #[test]
    fn jobs_end_and_deleted_pods_go() {
        let owner = json!({"metadata": {"ownerReferences": [{"apiVersion": "batch/v1",
            "kind": "Job", "name": "j", "uid": "u", "controller": true}]}});
        let first = outcome(&[node(), pod(owner)]);
        let ended = outcome(&[node(), body(&first, 0).clone()]);
        assert_eq!(body(&ended, 0)["status"]["phase"], "Succeeded");
        assert_eq!(condition(body(&ended, 0), "Ready"), "False");
        assert_eq!(lines(&outcome(&[node(), body(&ended, 0).clone()])), [""; 0]);
        let going = pod(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
        assert_eq!(lines(&outcome(&[node(), going])), ["delete pods a/p"]);
        let real = object("Node", "", "sim", json!({}));
        assert_eq!(lines(&outcome(&[real, pod(json!({}))])), [""; 0]);
    }
}

//! What is attached to which node, and what is taken away, as tables.

use serde_json::{Value, json};

use super::*;
use crate::testing::{at, body, lines, merge, object, time, view};

const UNIQUE: &str = "kubernetes.io/csi/d^h";

fn name(node: &str) -> String {
    let mut view_of_one = scene(node);
    view_of_one.push(node_object(node, json!({})));
    let all = view(&view_of_one);
    wanted(&all, node).remove(0).attachment
}

fn node_object(name: &str, more: Value) -> Value {
    let mut node = object(
        "Node",
        "",
        name,
        json!({"metadata": {"annotations": {
            "volumes.kubernetes.io/controller-managed-attach-detach": "true"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
    );
    merge(&mut node, more);
    node
}

fn pod(name: &str, node: &str) -> Value {
    object(
        "Pod",
        "a",
        name,
        json!({"spec": {"nodeName": node, "containers": [], "volumes": [
            {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}}),
    )
}

/// A pod on a node with a claim that is bound, and its driver on that node.
fn scene(node: &str) -> Vec<Value> {
    vec![
        pod("p", node),
        object(
            "PersistentVolumeClaim",
            "a",
            "c",
            json!({"spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}}),
        ),
        object(
            "PersistentVolume",
            "",
            "pv",
            json!({"spec": {"accessModes": ["ReadWriteOnce"], "claimRef": {"namespace": "a",
                "name": "c", "uid": "c-uid"}, "csi": {"driver": "d", "volumeHandle": "h"}}}),
        ),
        object("CSINode", "", node, json!({"spec": {"drivers": [{"name": "d", "nodeID": "i"}]}})),
    ]
}

fn attachment(node: &str, more: Value) -> Value {
    let mut made = object(
        "VolumeAttachment",
        "",
        &name(node),
        json!({"spec": {"attacher": "d", "nodeName": node,
            "source": {"persistentVolumeName": "pv"}}, "status": {"attached": true}}),
    );
    merge(&mut made, more);
    made
}

fn decide(objects: &[Value], memory: Value, second: i64) -> Plan {
    let target = Target::new(&shared(&resources::NODES), Key::cluster("n"));
    let answers = Answers { memory, ..Answers::default() };
    AttachDetach.decide(&view(objects), &target, at(second), &answers)
}

fn told(plan: &Plan) -> Vec<String> {
    plan.events.iter().map(|event| event.message.clone()).collect()
}

#[test]
fn what_is_wanted_is_attached() {
    let mut all = scene("n");
    all.push(node_object("n", json!({})));
    let plan = decide(&all, Value::Null, 1);
    assert_eq!(lines(&plan), [format!("create volumeattachments {}", name("n"))]);
    assert_eq!(body(&plan, 0)["spec"]["source"], json!({"persistentVolumeName": "pv"}));
    all.push(attachment("n", json!({"status": {"attached": false}})));
    assert!(decide(&all, Value::Null, 1).is_empty());
    all.pop();
    all.push(attachment("n", json!({})));
    let plan = decide(&all, Value::Null, 1);
    assert_eq!(lines(&plan), ["patch nodes/status n"]);
    let list = &body(&plan, 0)["status"]["volumesAttached"];
    assert_eq!(*list, json!([{"name": UNIQUE, "devicePath": ""}]));
    let done = plan.steps().next().unwrap().done.clone().unwrap();
    assert_eq!(done.message, "AttachVolume.Attach succeeded for volume \"pv\" ");
}

#[test]
fn what_stands_in_the_way_is_told_once() {
    let check = |change: &dyn Fn(&mut Vec<Value>), expect: &str| {
        let mut all = scene("n");
        all.push(node_object("n", json!({})));
        change(&mut all);
        let plan = decide(&all, Value::Null, 1);
        assert_eq!((plan.is_empty(), told(&plan)), (true, vec![expect.to_owned()]));
        let again = decide(&all, plan.remember.unwrap(), 2);
        assert_eq!((again.events.len(), again.remember), (0, None));
    };
    check(
        &|all| drop(all.remove(3)),
        "AttachVolume.Attach failed for volume \"pv\" : CSINode n does not contain driver d",
    );
    check(
        &|all| all.push(attachment("m", json!({}))),
        "Multi-Attach error for volume \"pv\" Volume is already exclusively attached to one node \
         and can't be attached to another",
    );
    check(
        &|all| {
            all.push(attachment("m", json!({})));
            all.push(pod("q", "m"));
        },
        "Multi-Attach error for volume \"pv\" Volume is already used by pod(s) q",
    );
    let error = json!({"status": {"attached": false, "attachError": {"message": "no room"}}});
    check(
        &|all| all.push(attachment("n", error.clone())),
        "AttachVolume.Attach failed for volume \"pv\" : no room",
    );
}

#[test]
fn whose_volumes_are_attached() {
    let check = |change: &dyn Fn(&mut Vec<Value>), expect: bool| {
        let mut all = scene("n");
        all.push(node_object("n", json!({})));
        change(&mut all);
        assert_eq!(!decide(&all, Value::Null, 1).is_empty(), expect);
    };
    check(&|_| {}, true);
    check(&|all| all[0]["status"] = json!({"phase": "Succeeded"}), false);
    check(&|all| all[1]["status"]["phase"] = json!("Pending"), false);
    check(&|all| all[2]["spec"]["claimRef"]["uid"] = json!("other"), false);
    check(&|all| all[4]["metadata"]["annotations"] = json!({}), false);
    check(
        &|all| all.push(object("CSIDriver", "", "d", json!({"spec": {"attachRequired": false}}))),
        false,
    );
    check(
        &|all| {
            all[2]["spec"]["accessModes"] = json!(["ReadWriteMany"]);
            all.push(attachment("m", json!({})));
        },
        true,
    );
}

#[test]
fn what_nobody_wants_is_detached_when_the_node_lets_go() {
    let attached = || json!({"volumesAttached": [{"name": UNIQUE, "devicePath": ""}]});
    let check = |node: Value, memory: Value, expect: &[&str], again: Option<i64>| {
        let all = [node_object("n", node), attachment("n", json!({}))];
        let plan = decide(&all, memory, 1000);
        let lines: Vec<String> =
            lines(&plan).iter().map(|line| line.replace(&name("n"), "it")).collect();
        assert_eq!(lines, expect);
        assert_eq!(plan.again, again.map(at));
    };
    let detached = ["patch nodes/status n", "--", "delete volumeattachments it"];
    check(json!({"status": attached()}), Value::Null, &detached, None);
    let mut used = attached();
    used["volumesInUse"] = json!([UNIQUE]);
    check(json!({"status": used}), Value::Null, &[], None);
    used["conditions"] = json!([{"type": "Ready", "status": "Unknown"}]);
    check(json!({"status": used}), Value::Null, &[], Some(1360));
    let since = |second: i64| json!({"unwanted": {name("n"): time(second)}});
    check(json!({"status": used}), since(700), &[], Some(1060));
    check(json!({"status": used}), since(640), &detached, None);
    let off = json!([{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]);
    check(json!({"status": used, "spec": {"taints": off}}), Value::Null, &detached, None);
}

#[test]
fn the_attachments_of_a_node_that_is_gone_go() {
    let plan = decide(&[attachment("n", json!({}))], Value::Null, 1);
    assert_eq!(lines(&plan), [format!("delete volumeattachments {}", name("n"))]);
    let leaving = json!({"metadata": {"deletionTimestamp": time(0)}});
    assert!(decide(&[attachment("n", leaving)], Value::Null, 1).is_empty());
}

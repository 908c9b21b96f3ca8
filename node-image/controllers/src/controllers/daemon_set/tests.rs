//! DaemonSets as tables: what is there, what is done next.

use super::*;
use crate::testing::{at, body, lines, merge, object, plan, time, view};

fn set(spec: Value) -> Value {
    let mut all = object(
        "DaemonSet",
        "a",
        "d",
        json!({"metadata": {"generation": 1, "annotations": {GENERATION: "1"}},
            "spec": {"selector": {"matchLabels": {"app": "x"}}, "revisionHistoryLimit": 10,
                "updateStrategy": {"type": "RollingUpdate",
                    "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
                "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": []}}}}),
    );
    merge(&mut all, json!({"spec": spec}));
    all
}

/// The revision of a set's template; its hash is `new`.
fn revision(set: &Value) -> Value {
    let mut template = set["spec"]["template"].clone();
    template["$patch"] = json!("replace");
    named_revision("new", 2, template)
}

fn named_revision(hash: &str, number: i64, template: Value) -> Value {
    let mut all = object(
        "ControllerRevision",
        "a",
        &format!("d-{hash}"),
        json!({"metadata": {"labels": {"app": "x", HASH: hash}}, "revision": number,
            "data": {"spec": {"template": template}}}),
    );
    all["metadata"]["ownerReferences"] = owner();
    all
}

fn owner() -> Value {
    json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "d-uid",
        "controller": true}])
}

fn node(name: &str, taints: Value) -> Value {
    object(
        "Node",
        "",
        name,
        json!({"metadata": {"labels": {"name": name}}, "spec": {"taints": taints}}),
    )
}

fn pod(name: &str, node: &str, hash: &str, ready: Option<i64>, more: Value) -> Value {
    let mut all = object(
        "Pod",
        "a",
        name,
        json!({"metadata": {"labels": {"app": "x", HASH: hash}, "ownerReferences": owner()},
            "spec": {"nodeName": node, "containers": []}, "status": {"phase": "Running"}}),
    );
    if let Some(second) = ready {
        all["status"]["conditions"] = json!([{"type": "Ready", "status": "True",
            "lastTransitionTime": time(second)}]);
    }
    merge(&mut all, more);
    all
}

fn reconcile(objects: &[Value]) -> Plan {
    plan(&DaemonSets, &view(objects), &resources::DAEMON_SETS, ("a", "d"), 100)
}

/// The plan's steps on pods.
fn on_pods(set: &Value, objects: &[Value]) -> Vec<String> {
    let all = [&[set.clone(), revision(set)], objects].concat();
    let lines = lines(&reconcile(&all));
    lines.into_iter().filter(|line| line.contains(" pods ")).collect()
}

fn with(spec: Value) -> Value {
    set(json!({"template": {"spec": spec}}))
}

#[test]
fn the_revision_comes_first() {
    let plan = reconcile(&[set(json!({})), node("n", json!([]))]);
    let revision = body(&plan, 0);
    let name = revision["metadata"]["name"].as_str().unwrap();
    assert_eq!(lines(&plan), [format!("create controllerrevisions a/{name}")]);
    assert_eq!(format!("d-{}", revision["metadata"]["labels"][HASH].as_str().unwrap()), name);
    assert_eq!(
        (&revision["revision"], &revision["data"]["spec"]["template"]["$patch"]),
        (&json!(1), &json!("replace"))
    );
    // An earlier template comes back under a new number.
    let current = set(json!({}));
    let objects =
        [current.clone(), revision_of_past(), self::revision(&current), node("n", json!([]))];
    let mut objects = objects.to_vec();
    objects[2]["revision"] = json!(1);
    let plan = reconcile(&objects);
    assert_eq!(lines(&plan), ["patch controllerrevisions a/d-new"]);
    assert_eq!(body(&plan, 0)["revision"], 4);
}

fn revision_of_past() -> Value {
    named_revision("past", 3, json!({"spec": {}}))
}

#[test]
fn every_fitting_node_gets_a_pod() {
    let check = |set: &Value, node: Value, expect: usize| {
        assert_eq!(on_pods(set, &[node]).len(), expect);
    };
    let taint = |key: &str, effect: &str| json!([{"key": key, "effect": effect}]);
    let plain = set(json!({}));
    check(&plain, node("n", json!([])), 1);
    check(&plain, node("n", taint("k", "NoSchedule")), 0);
    check(&plain, node("n", taint("k", "PreferNoSchedule")), 1);
    check(&plain, node("n", taint("node.kubernetes.io/unschedulable", "NoSchedule")), 1);
    let network = taint("node.kubernetes.io/network-unavailable", "NoSchedule");
    check(&plain, node("n", network.clone()), 0);
    check(&with(json!({"hostNetwork": true})), node("n", network), 1);
    check(&with(json!({"nodeSelector": {"name": "n"}})), node("n", json!([])), 1);
    check(&with(json!({"nodeSelector": {"name": "m"}})), node("n", json!([])), 0);
}

#[test]
fn a_pod_names_its_node() {
    let set = set(json!({}));
    let plan = reconcile(&[set.clone(), revision(&set), node("n", json!([]))]);
    let pod = body(&plan, 0);
    let affinity = &pod["spec"]["affinity"]["nodeAffinity"];
    assert_eq!(
        affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"],
        json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}])
    );
    assert_eq!(pod["spec"]["tolerations"].as_array().unwrap().len(), 6);
    assert_eq!(pod["metadata"]["labels"][HASH], "new");
    assert_eq!(pod["metadata"]["labels"]["pod-template-generation"], "1");
    // A pod that waits for the scheduler counts for its node.
    let mut waiting = pod.clone();
    merge(
        &mut waiting,
        json!({"metadata": {"name": "p", "uid": "p-uid", "resourceVersion": "1"},
        "status": {"phase": "Pending"}}),
    );
    assert_eq!(on_pods(&set, &[node("n", json!([])), waiting]), [""; 0]);
}

#[test]
fn pods_that_should_not_be_there_go() {
    let set = set(json!({}));
    let here = |name: &str| pod(name, "n", "new", Some(1), json!({}));
    let taint = |effect: &str| node("n", json!([{"key": "k", "effect": effect}]));
    assert_eq!(on_pods(&set, &[taint("NoSchedule"), here("p")]), [""; 0]);
    assert_eq!(on_pods(&set, &[taint("NoExecute"), here("p")]), ["delete pods a/p"]);
    let twins = [node("n", json!([])), here("p"), here("q")];
    assert_eq!(on_pods(&set, &twins), ["delete pods a/q"]);
    let failed = json!({"status": {"phase": "Failed"}});
    let ended = [node("n", json!([])), pod("p", "n", "new", None, failed.clone())];
    assert_eq!(on_pods(&set, &ended), ["delete pods a/p"]);
    let fresh = json!({"metadata": {"creationTimestamp": time(95)}, "status": {"phase": "Failed"}});
    let fresh =
        [set.clone(), revision(&set), node("n", json!([])), pod("p", "n", "new", None, fresh)];
    assert_eq!(reconcile(&fresh).again, Some(at(105)));
}

#[test]
fn rolling_in_place() {
    let check = |unavailable: Value, pods: &[(&str, Option<i64>)], expect: &[&str]| {
        let set =
            set(json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": unavailable}}}));
        let mut objects = Vec::new();
        for (place, (hash, ready)) in pods.iter().enumerate() {
            let name = format!("n{place}");
            objects.push(node(&name, json!([])));
            objects.push(pod(&format!("p{place}"), &name, hash, *ready, json!({})));
        }
        assert_eq!(on_pods(&set, &objects), expect, "{pods:?}");
    };
    let (good, bad) = (Some(1), None);
    check(json!(1), &[("old", good), ("old", good)], &["delete pods a/p0"]);
    check(json!(2), &[("old", good), ("old", good)], &["delete pods a/p0", "delete pods a/p1"]);
    check(json!("50%"), &[("old", good), ("old", good)], &["delete pods a/p0"]);
    check(json!(1), &[("new", bad), ("old", good)], &[]);
    check(json!(1), &[("new", good), ("old", good)], &["delete pods a/p1"]);
    check(json!(1), &[("old", bad), ("old", good)], &["delete pods a/p0"]);
    check(json!(1), &[("new", good), ("new", good)], &[]);
}

#[test]
fn rolling_by_surge() {
    let set =
        set(json!({"updateStrategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}));
    let nodes = || vec![node("n0", json!([])), node("n1", json!([]))];
    let old = |name: &str, node: &str| pod(name, node, "old", Some(1), json!({}));
    let check = |pods: &[Value], expect: &[&str]| {
        assert_eq!(on_pods(&set, &[nodes(), pods.to_vec()].concat()), expect);
    };
    check(&[old("p", "n0"), old("q", "n1")], &["create pods a/"]);
    let unready = pod("r", "n0", "new", None, json!({}));
    check(&[old("p", "n0"), old("q", "n1"), unready], &[]);
    let ready = pod("r", "n0", "new", Some(50), json!({}));
    check(&[old("p", "n0"), old("q", "n1"), ready.clone()], &["delete pods a/p"]);
    check(&[old("q", "n1"), ready], &["create pods a/"]);
}

#[test]
fn on_delete_waits_for_deletion() {
    let set = set(json!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}));
    let old = pod("p", "n", "old", Some(1), json!({}));
    assert_eq!(on_pods(&set, &[node("n", json!([])), old]), [""; 0]);
}

#[test]
fn status() {
    let set = set(json!({"minReadySeconds": 20}));
    let tainted = node("m", json!([{"key": "k", "effect": "NoSchedule"}]));
    let plan = reconcile(&[
        set.clone(),
        revision(&set),
        node("n", json!([])),
        node("o", json!([])),
        tainted,
        pod("p", "n", "new", Some(90), json!({})),
        pod("q", "o", "old", Some(1), json!({})),
        pod("r", "m", "new", Some(1), json!({})),
    ]);
    let last = plan.steps().count() - 1;
    assert_eq!(
        body(&plan, last)["status"],
        json!({"currentNumberScheduled": 2, "desiredNumberScheduled": 2, "numberAvailable": 1,
            "numberMisscheduled": 1, "numberReady": 2, "numberUnavailable": 1,
            "observedGeneration": 1, "updatedNumberScheduled": 1})
    );
    assert_eq!(plan.again, Some(at(110)));
}

//! Rollouts as tables: what is there, what is done next.

use super::*;
use crate::testing::{at, body, lines, merge, object, plan, time, view};

fn deployment(replicas: i32, more: Value) -> Value {
    let mut all = object(
        "Deployment",
        "a",
        "d",
        json!({"metadata": {"annotations": {REVISION: "1"}, "generation": 1},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}},
            "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": template("v2")}}),
    );
    merge(&mut all, more);
    all
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [
        {"name": "c", "image": image}]}})
}

fn set(name: &str, image: &str, wanted: i32, available: i32, more: Value) -> Value {
    let mut all = object(
        "ReplicaSet",
        "a",
        name,
        json!({"metadata": {"labels": {"app": "x"}, "annotations": {REVISION: "1", DESIRED: "4", MAX: "5"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "d",
                    "uid": "d-uid", "controller": true}]},
            "spec": {"replicas": wanted, "selector": {}, "template": template(image)},
            "status": {"replicas": wanted, "readyReplicas": available,
                "availableReplicas": available}}),
    );
    all["spec"]["template"]["metadata"]["labels"][HASH] = json!("h");
    merge(&mut all, more);
    all
}

fn reconcile(objects: &[Value]) -> Plan {
    plan(&Deployments, &view(objects), &resources::DEPLOYMENTS, ("a", "d"), 100)
}

/// Sizes that the plan gives, by ReplicaSet.
fn sizes(plan: &Plan) -> Vec<(String, i64)> {
    let bodies =
        plan.steps().enumerate().filter(|(_, s)| s.resource.same(&resources::REPLICA_SETS));
    bodies
        .map(|(i, s)| (s.key.name.to_string(), body(plan, i)["spec"]["replicas"].as_i64().unwrap()))
        .collect()
}

fn revision(number: &str) -> Value {
    json!({"metadata": {"annotations": {REVISION: number}}})
}

#[test]
fn the_first_set() {
    let plan = reconcile(&[deployment(4, json!({}))]);
    let set = body(&plan, 0);
    let name = set["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("d-") && name.len() > 6, "{name}");
    assert_eq!(set["metadata"]["annotations"], json!({REVISION: "1", DESIRED: "4", MAX: "5"}));
    let hash = &set["metadata"]["labels"][HASH];
    assert_eq!(&set["spec"]["selector"]["matchLabels"][HASH], hash);
    assert_eq!(&set["spec"]["template"]["metadata"]["labels"][HASH], hash);
    let told = plan.steps().next().unwrap().done.clone().unwrap();
    assert_eq!(told.message, format!("Scaled up replica set {name} from 0 to 4"));
}

#[test]
fn rolling() {
    let check = |new: (i32, i32), old: (i32, i32), expect: &[(&str, i64)]| {
        let plan = reconcile(&[
            deployment(4, revision("2")),
            set("new", "v2", new.0, new.1, revision("2")),
            set("old", "v1", old.0, old.1, json!({})),
        ]);
        let expect: Vec<(String, i64)> =
            expect.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect();
        assert_eq!(sizes(&plan), expect, "{new:?} {old:?}");
    };
    check((1, 0), (4, 4), &[("old", 3)]);
    check((1, 0), (3, 3), &[("new", 2)]);
    check((2, 0), (3, 3), &[]);
    check((2, 1), (3, 3), &[("old", 2)]);
    check((4, 4), (1, 1), &[("old", 0)]);
    // Broken old pods go first.
    check((1, 0), (4, 2), &[("old", 3)]);
    check((4, 4), (0, 0), &[]);
}

#[test]
fn scaling_in_the_middle_is_proportional() {
    let plan = reconcile(&[
        deployment(8, revision("2")),
        set("new", "v2", 2, 2, revision("2")),
        set("old", "v1", 3, 3, json!({})),
    ]);
    assert_eq!(sizes(&plan), [("old".to_owned(), 6), ("new".to_owned(), 4)]);
    assert_eq!(body(&plan, 0)["metadata"]["annotations"][MAX], "10");
}

#[test]
fn recreate_waits_for_old_pods() {
    let recreating = || {
        let mut all = deployment(4, json!({}));
        all["spec"]["strategy"] = json!({"type": "Recreate"});
        all
    };
    let plan = reconcile(&[recreating(), set("old", "v1", 4, 4, json!({}))]);
    assert_eq!(sizes(&plan), [("old".to_owned(), 0)]);
    let pod = object(
        "Pod",
        "a",
        "p",
        json!({"metadata": {"ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "old", "uid": "old-uid",
            "controller": true}]}, "spec": {"containers": []}, "status": {"phase": "Running"}}),
    );
    let old = set("old", "v1", 0, 0, json!({}));
    assert_eq!(sizes(&reconcile(&[recreating(), old.clone(), pod])), []);
    assert_eq!(sizes(&reconcile(&[recreating(), old])).len(), 1);
}

#[test]
fn revisions_move_on() {
    let plan = reconcile(&[
        deployment(4, json!({})),
        set("back", "v2", 0, 0, revision("1")),
        set("old", "v1", 4, 4, revision("2")),
    ]);
    let annotations = &body(&plan, 0)["metadata"]["annotations"];
    assert_eq!(annotations[REVISION], "3");
    assert_eq!(annotations["deployment.kubernetes.io/revision-history"], "1");
}

#[test]
fn a_revision_is_told_through_the_status() {
    let told = reconcile(&[
        deployment(4, json!({})),
        set("new", "v2", 4, 4, revision("2")),
        set("old", "v1", 0, 0, revision("1")),
    ]);
    let first = lines(&told).into_iter().next();
    assert_eq!(first.as_deref(), Some("update deployments/status a/d"), "no new generation");
    assert_eq!(body(&told, 0)["metadata"]["annotations"][REVISION], "2");
}

#[test]
fn conditions() {
    let done = reconcile(&[deployment(4, json!({})), set("new", "v2", 4, 4, json!({}))]);
    assert_eq!(lines(&done), ["update deployments/status a/d"]);
    let status = &body(&done, 0)["status"];
    assert_eq!((&status["updatedReplicas"], &status["availableReplicas"]), (&json!(4), &json!(4)));
    assert_eq!(status["conditions"][0]["reason"], "MinimumReplicasAvailable");
    assert_eq!(
        status["conditions"][1]["message"],
        "ReplicaSet \"new\" has successfully progressed."
    );
    let stuck = json!({"status": {"replicas": 4, "updatedReplicas": 4, "conditions": [
        {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated",
            "lastUpdateTime": time(-600)}]}});
    let late = reconcile(&[deployment(4, stuck.clone()), set("new", "v2", 4, 0, json!({}))]);
    assert_eq!(body(&late, 0)["status"]["conditions"][1]["reason"], "ProgressDeadlineExceeded");
    let mut early = stuck;
    early["status"]["conditions"][0]["lastUpdateTime"] = json!(time(-400));
    let early = reconcile(&[deployment(4, early), set("new", "v2", 4, 0, json!({}))]);
    assert_eq!(early.again, Some(at(200)));
}

#[test]
fn a_pause_is_told_first() {
    let paused = reconcile(&[deployment(4, json!({"spec": {"paused": true}}))]);
    assert_eq!(body(&paused, 0)["status"]["conditions"][0]["reason"], "DeploymentPaused");
}

#[test]
fn history_is_limited() {
    let mut objects = vec![
        deployment(
            4,
            json!({"spec": {"revisionHistoryLimit": 1},
            "metadata": {"annotations": {REVISION: "4"}}}),
        ),
        set("new", "v2", 4, 4, revision("4")),
    ];
    for (name, number) in [("one", "1"), ("two", "2"), ("three", "3")] {
        objects.push(set(name, name, 0, 0, revision(number)));
    }
    let lines = lines(&reconcile(&objects));
    let deletes: Vec<&String> = lines.iter().filter(|l| l.starts_with("delete")).collect();
    assert_eq!(deletes, ["delete replicasets a/one", "delete replicasets a/two"]);
}

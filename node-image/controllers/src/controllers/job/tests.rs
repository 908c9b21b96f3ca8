//! Jobs as tables: what is there, what is done next.

use serde_json::json;

use super::*;
use crate::testing::{at, body, lines, merge, object, plan, time, view};

fn job(spec: Value, status: Value) -> Value {
    let mut all = object(
        "Job",
        "a",
        "j",
        json!({"spec": {"parallelism": 1, "completions": 1, "backoffLimit": 6,
            "podReplacementPolicy": "TerminatingOrFailed", "completionMode": "NonIndexed",
            "selector": {"matchLabels": {"job": "j"}},
            "template": {"metadata": {"labels": {"job": "j"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}},
            "status": {"startTime": time(0)}}),
    );
    merge(&mut all, json!({"spec": spec, "status": status}));
    all
}

fn pod(name: &str, phase: &str, more: Value) -> Value {
    let mut pod = object(
        "Pod",
        "a",
        name,
        json!({"metadata": {"labels": {"job": "j"}, "finalizers": [FINALIZER],
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "j",
                "uid": "j-uid", "controller": true}]},
            "spec": {"containers": []}, "status": {"phase": phase}}),
    );
    merge(&mut pod, more);
    pod
}

fn indexed(name: &str, phase: &str, index: usize) -> Value {
    pod(name, phase, json!({"metadata": {"annotations": {INDEX: index.to_string()}}}))
}

fn untracked(mut pod: Value) -> Value {
    pod["metadata"]["finalizers"] = json!([]);
    pod
}

fn reconcile(objects: &[Value]) -> Plan {
    plan(&Jobs, &view(objects), &resources::JOBS, ("a", "j"), 100)
}

fn check(objects: &[Value], expect: &[&str]) -> Plan {
    let plan = reconcile(objects);
    assert_eq!(lines(&plan), expect);
    plan
}

/// The status that a plan writes.
fn status(plan: &Plan) -> Value {
    let writes = plan.steps().find_map(|step| match &step.action {
        crate::Action::Update("status", body) => Some(body["status"].clone()),
        _ => None,
    });
    writes.unwrap_or_default()
}

fn conditions(plan: &Plan) -> Vec<String> {
    let status = status(plan);
    let all = status["conditions"].as_array().cloned().unwrap_or_default();
    let text = |c: &Value, field: &str| c[field].as_str().unwrap_or_default().to_owned();
    all.iter()
        .map(|c| format!("{}={} {}", text(c, "type"), text(c, "status"), text(c, "reason")))
        .collect()
}

#[test]
fn the_first_pods() {
    let first = json!({"startTime": null});
    let plan = check(
        &[job(json!({"parallelism": 2, "completions": 5}), first)],
        &["create pods a/", "--", "create pods a/", "--", "update jobs/status a/j"],
    );
    let pod = body(&plan, 0);
    assert_eq!(pod["metadata"]["generateName"], "j-");
    assert_eq!(pod["metadata"]["finalizers"], json!([FINALIZER]));
    assert_eq!(
        status(&plan),
        json!({"active": 2, "ready": 0, "terminating": 0, "startTime": time(100),
            "uncountedTerminatedPods": {}})
    );
}

#[test]
fn indexes_are_given_out_in_order() {
    let spec = json!({"parallelism": 3, "completions": 4, "completionMode": "Indexed",
        "template": {"spec": {"containers": [{"name": "c", "env": [{"name": "A"}]}]}}});
    let plan =
        reconcile(&[job(spec, json!({"completedIndexes": "0"})), indexed("p", "Running", 2)]);
    let created: Vec<&Value> = (0..2).map(|n| body(&plan, n)).collect();
    let names: Vec<&Value> = created.iter().map(|pod| &pod["metadata"]["generateName"]).collect();
    assert_eq!(names, ["j-1-", "j-3-"]);
    let first = created[0];
    assert_eq!(first["spec"]["hostname"], "j-1");
    assert_eq!(first["metadata"]["labels"][INDEX], "1");
    assert_eq!(first["metadata"]["annotations"][INDEX], "1");
    let path = format!("metadata.labels['{INDEX}']");
    assert_eq!(
        first["spec"]["containers"][0]["env"],
        json!([{"name": "A"}, {"name": "JOB_COMPLETION_INDEX",
            "valueFrom": {"fieldRef": {"fieldPath": path}}}])
    );
    assert_eq!(status(&plan)["succeeded"], 1);
}

#[test]
fn each_ended_pod_is_counted_once() {
    let run = json!({"parallelism": 2, "completions": 3});
    // First its uid is written down, then the finalizer goes.
    let ended = [
        job(run.clone(), json!({"active": 2, "ready": 0, "terminating": 0})),
        pod("p", "Succeeded", json!({})),
        pod("q", "Running", json!({})),
    ];
    let plan =
        check(&ended, &["create pods a/", "--", "update jobs/status a/j", "--", "patch pods a/p"]);
    let uncounted = json!({"succeeded": ["p-uid"]});
    assert_eq!(status(&plan)["uncountedTerminatedPods"], uncounted);
    assert_eq!(status(&plan)["succeeded"], Value::Null);
    assert_eq!(
        body(&plan, 2)["metadata"]["$deleteFromPrimitiveList/finalizers"],
        json!([FINALIZER])
    );
    // Once the pod has lost it, or is gone, the uid becomes a count.
    let listed = json!({"uncountedTerminatedPods": uncounted, "active": 2, "ready": 0,
        "terminating": 0});
    for gone in [vec![], vec![untracked(pod("p", "Succeeded", json!({})))]] {
        let running = ["q", "r"].map(|name| pod(name, "Running", json!({})));
        let objects = [vec![job(run.clone(), listed.clone())], gone, running.to_vec()].concat();
        let plan = check(&objects, &["update jobs/status a/j"]);
        assert_eq!(status(&plan)["succeeded"], 1);
        assert_eq!(status(&plan)["uncountedTerminatedPods"], json!({}));
    }
}

#[test]
fn completion_comes_last() {
    let over = pod("p", "Succeeded", json!({}));
    let plan = reconcile(&[job(json!({}), json!({})), over.clone()]);
    assert_eq!(conditions(&plan), ["SuccessCriteriaMet=True CompletionsReached"]);
    let met = status(&plan);
    let plan = check(&[job(json!({}), met), untracked(over)], &["update jobs/status a/j"]);
    assert_eq!(
        conditions(&plan),
        ["SuccessCriteriaMet=True CompletionsReached", "Complete=True CompletionsReached"]
    );
    assert_eq!(status(&plan)["completionTime"], time(100));
    let told = plan.steps().next().unwrap().done.clone().unwrap();
    assert_eq!((told.reason.as_str(), told.message.as_str()), ("Completed", "Job completed"));
    // Nothing is done about a Job that has ended.
    check(&[job(json!({}), status(&plan))], &[]);
}

#[test]
fn without_completions_one_success_is_enough() {
    let mut work = job(json!({"parallelism": 3}), json!({}));
    work["spec"]["completions"] = Value::Null;
    let plan = reconcile(&[work, pod("p", "Succeeded", json!({})), pod("q", "Running", json!({}))]);
    assert_eq!(conditions(&plan), [""; 0]);
    assert_eq!(status(&plan)["active"], 1);
}

#[test]
fn failures_end_a_job() {
    let verdict = |objects: &[Value], expect: &str| {
        let plan = reconcile(objects);
        assert_eq!(conditions(&plan), [format!("FailureTarget=True {expect}")]);
        plan
    };
    let failed = |n: i32| json!({"failed": n});
    let plan = verdict(
        &[
            job(json!({"backoffLimit": 2}), failed(2)),
            pod("p", "Failed", json!({})),
            pod("q", "Running", json!({})),
        ],
        "BackoffLimitExceeded",
    );
    assert_eq!(
        lines(&plan),
        [
            "delete pods a/q",
            "--",
            "update jobs/status a/j",
            "--",
            "patch pods a/p",
            "patch pods a/q"
        ]
    );
    // What still runs counts as failed.
    assert_eq!(status(&plan)["uncountedTerminatedPods"]["failed"], json!(["p-uid", "q-uid"]));
    assert_eq!(status(&plan)["terminating"], 1);
    verdict(
        &[job(json!({"activeDeadlineSeconds": 100}), json!({})), pod("p", "Running", json!({}))],
        "DeadlineExceeded",
    );
    let restarts = json!({"status": {"containerStatuses": [{"name": "c", "restartCount": 6}]}});
    let on_failure = json!({"template": {"spec": {"restartPolicy": "OnFailure"}}});
    verdict(&[job(on_failure, json!({})), pod("p", "Running", restarts)], "BackoffLimitExceeded");
    let rules = json!({"podFailurePolicy": {"rules": [{"action": "FailJob",
        "onExitCodes": {"operator": "In", "values": [42]}}]}});
    let code = json!({"status": {"containerStatuses": [{"name": "c", "restartCount": 0,
        "state": {"terminated": {"exitCode": 42}}}]}});
    verdict(&[job(rules, json!({})), pod("p", "Failed", code)], "PodFailurePolicy");
}

#[test]
fn failure_is_final_when_all_pods_are_gone() {
    let target = json!({"conditions": [{"type": "FailureTarget", "status": "True",
        "reason": "BackoffLimitExceeded", "message": "m"}]});
    let leaving = json!({"metadata": {"deletionTimestamp": time(90)}});
    let plan =
        reconcile(&[job(json!({}), target.clone()), untracked(pod("p", "Running", leaving))]);
    assert_eq!(conditions(&plan).len(), 1);
    let plan = reconcile(&[job(json!({}), target)]);
    assert_eq!(conditions(&plan)[1], "Failed=True BackoffLimitExceeded");
    let told = plan.steps().next().unwrap().done.clone().unwrap();
    assert_eq!((told.reason.as_str(), told.message.as_str()), ("BackoffLimitExceeded", "m"));
}

#[test]
fn failures_slow_down_new_pods() {
    let failed = |at: i64| {
        json!({"status": {"containerStatuses": [{"name": "c", "restartCount": 0,
            "state": {"terminated": {"exitCode": 1, "finishedAt": time(at)}}}]}})
    };
    let again = |failures: &[i64]| {
        let pods = failures.iter().enumerate();
        let pods = pods.map(|(n, at)| pod(&format!("p{n}"), "Failed", failed(*at)));
        let objects: Vec<Value> = std::iter::once(job(json!({}), json!({}))).chain(pods).collect();
        reconcile(&objects).again
    };
    assert_eq!(again(&[95]), Some(at(105)));
    assert_eq!(again(&[80, 95]), Some(at(115)));
    assert_eq!(again(&[80]), None);
}

#[test]
fn suspension() {
    let suspended = json!({"suspend": true});
    let plan = check(
        &[job(suspended, json!({})), pod("p", "Running", json!({}))],
        &["patch pods a/p", "--", "delete pods a/p", "--", "update jobs/status a/j"],
    );
    assert_eq!(conditions(&plan), ["Suspended=True JobSuspended"]);
    assert_eq!(plan.events[0].reason, "Suspended");
    let was = json!({"conditions": [{"type": "Suspended", "status": "True"}]});
    let plan = reconcile(&[job(json!({}), was)]);
    assert_eq!(conditions(&plan), ["Suspended=False JobResumed"]);
    assert_eq!(status(&plan)["startTime"], time(100));
}

#[test]
fn each_index_has_its_own_limit() {
    let spec = json!({"parallelism": 2, "completions": 2, "completionMode": "Indexed",
        "backoffLimitPerIndex": 1});
    let failures = |name: &str, index: usize, count: usize| {
        let mut pod = indexed(name, "Failed", index);
        pod["metadata"]["annotations"][FAILURE_COUNT] = json!(count.to_string());
        pod
    };
    // The failed pod is kept until its replacement carries the count.
    let plan =
        reconcile(&[job(spec.clone(), json!({})), failures("p", 0, 0), indexed("q", "Running", 1)]);
    assert_eq!(lines(&plan), ["create pods a/", "--", "update jobs/status a/j"]);
    assert_eq!(body(&plan, 0)["metadata"]["annotations"][FAILURE_COUNT], "1");
    assert_eq!(status(&plan)["failedIndexes"], "");
    // At its limit the index has failed.
    let plan =
        reconcile(&[job(spec.clone(), json!({})), failures("p", 0, 1), indexed("q", "Running", 1)]);
    assert_eq!(status(&plan)["failedIndexes"], "0");
    assert_eq!(lines(&plan), ["update jobs/status a/j", "--", "patch pods a/p"]);
    let plan =
        reconcile(&[job(spec, json!({})), failures("p", 0, 1), indexed("q", "Succeeded", 1)]);
    assert_eq!(conditions(&plan), ["FailureTarget=True FailedIndexes"]);
}

#[test]
fn only_failed_pods_are_replaced() {
    let leaving = || pod("p", "Running", json!({"metadata": {"deletionTimestamp": time(90)}}));
    let soon = reconcile(&[job(json!({}), json!({})), leaving()]);
    assert_eq!(status(&soon)["uncountedTerminatedPods"]["failed"], json!(["p-uid"]));
    let patient = json!({"podReplacementPolicy": "Failed"});
    let plan = check(&[job(patient, json!({})), leaving()], &["update jobs/status a/j"]);
    assert_eq!(status(&plan)["terminating"], 1);
}

#[test]
fn twins_of_an_index_are_removed() {
    let spec = json!({"parallelism": 3, "completions": 3, "completionMode": "Indexed"});
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True",
        "lastTransitionTime": time(1)}]}});
    let mut first = indexed("p", "Running", 0);
    merge(&mut first, ready);
    let plan = reconcile(&[
        job(spec, json!({})),
        first,
        indexed("q", "Running", 0),
        indexed("r", "Running", 7),
    ]);
    let deleted: Vec<String> =
        lines(&plan).into_iter().filter(|line| line.starts_with("delete")).collect();
    assert_eq!(deleted, ["delete pods a/r", "delete pods a/q"]);
}

#[test]
fn claims_come_with_the_finalizer() {
    let mut orphan = untracked(pod("p", "Running", json!({})));
    orphan["metadata"]["ownerReferences"] = json!([]);
    let stray = pod("q", "Running", json!({"metadata": {"labels": {"job": "other"}}}));
    let plan =
        check(&[job(json!({}), json!({})), orphan, stray], &["patch pods a/p", "patch pods a/q"]);
    assert_eq!(body(&plan, 0)["metadata"]["finalizers"], json!([FINALIZER]));
    let released = &body(&plan, 1)["metadata"];
    assert_eq!(released["$deleteFromPrimitiveList/finalizers"], json!([FINALIZER]));
}

#[test]
fn orphans_are_let_go() {
    let check = |objects: &[Value], released: bool| {
        let target = plan(&Jobs, &view(objects), &resources::PODS, ("a", "p"), 100);
        assert_eq!(!target.is_empty(), released);
    };
    let orphan = || pod("p", "Running", json!({}));
    check(&[orphan()], true);
    check(&[orphan(), job(json!({}), json!({}))], false);
    let ended = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    check(&[orphan(), job(json!({}), ended.clone())], true);
    check(&[orphan(), job(json!({"managedBy": "x.io/y"}), ended)], false);
    check(&[untracked(orphan())], false);
}

#[test]
fn others_manage_their_own() {
    check(&[job(json!({"managedBy": "x.io/y"}), json!({}))], &[]);
}

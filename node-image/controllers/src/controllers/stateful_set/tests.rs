//! StatefulSets as tables: what is there, what is done next.

use serde_json::json;

use super::*;
use crate::testing::{at, body, lines, merge, object, plan, time, view};

fn set(spec: Value) -> Value {
    let mut all = object(
        "StatefulSet",
        "a",
        "s",
        json!({"metadata": {"generation": 1},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "x"}},
                "serviceName": "peers", "podManagementPolicy": "OrderedReady",
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": []}}},
            "status": {"replicas": 0, "currentRevision": "s-old"}}),
    );
    merge(&mut all, json!({"spec": spec}));
    all
}

fn revisions(set: &Value) -> [Value; 2] {
    let mut template = set["spec"]["template"].clone();
    template["$patch"] = json!("replace");
    let old = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "old"}]},
        "$patch": "replace"});
    let revision = |name: &str, number: i64, template: Value| {
        let mut all = object(
            "ControllerRevision",
            "a",
            name,
            json!({"metadata": {"labels": {"app": "x"}}, "revision": number,
                "data": {"spec": {"template": template}}}),
        );
        all["metadata"]["ownerReferences"] = owner();
        all
    };
    [revision("s-old", 1, old), revision("s-new", 2, template)]
}

fn owner() -> Value {
    json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "s", "uid": "s-uid",
        "controller": true}])
}

/// `0n` is an old pod 0 that is ready if it ends with `+`, e.g. `0o+`, `1n`, `2n+x` (being deleted).
fn pods(text: &str) -> Vec<Value> {
    text.split_whitespace().map(pod).collect()
}

fn pod(text: &str) -> Value {
    let ordinal = &text[..1];
    let name = format!("s-{ordinal}");
    let revision = if text.contains('n') { "s-new" } else { "s-old" };
    let phase = match text {
        text if text.contains('f') => "Failed",
        text if text.contains('p') => "Pending",
        _ => "Running",
    };
    let mut all = object(
        "Pod",
        "a",
        &name,
        json!({"metadata": {"labels": {"app": "x", REVISION: revision,
                "statefulset.kubernetes.io/pod-name": name,
                "apps.kubernetes.io/pod-index": ordinal}, "ownerReferences": owner()},
            "spec": {"containers": []}, "status": {"phase": phase}}),
    );
    if text.contains('+') {
        all["status"]["conditions"] = json!([{"type": "Ready", "status": "True",
            "lastTransitionTime": time(1)}]);
    }
    if text.contains('x') {
        all["metadata"]["deletionTimestamp"] = json!(time(90));
    }
    all
}

fn reconcile(set: &Value, others: &[Value]) -> Plan {
    let all = [std::slice::from_ref(set), revisions(set).as_slice(), others].concat();
    plan(&StatefulSets, &view(&all), &resources::STATEFUL_SETS, ("a", "s"), 100)
}

/// The plan's steps on pods and claims.
fn check(spec: Value, have: &str, expect: &[&str]) {
    let lines = lines(&reconcile(&set(spec.clone()), &pods(have)));
    let concerned: Vec<&String> =
        lines.iter().filter(|l| l.contains(" pods ") || l.contains("claims ")).collect();
    assert_eq!(concerned, expect, "{spec} {have}");
}

#[test]
fn pods_come_in_order() {
    check(json!({}), "", &["create pods a/s-0"]);
    check(json!({}), "0n", &[]);
    check(json!({}), "0n+", &["create pods a/s-1"]);
    check(json!({}), "1n+ 2n+", &["create pods a/s-0"]);
    check(json!({}), "0n+ 1n+x", &[]);
    check(json!({"minReadySeconds": 200}), "0n+", &[]);
    check(json!({"ordinals": {"start": 5}}), "", &["create pods a/s-5"]);
    let parallel = json!({"podManagementPolicy": "Parallel"});
    check(parallel, "1n", &["create pods a/s-0", "create pods a/s-2"]);
}

#[test]
fn ended_pods_are_replaced() {
    check(json!({}), "0n+ 1nf", &["delete pods a/s-1"]);
    check(json!({}), "0n+ 1nfx", &[]);
}

#[test]
fn pods_go_from_the_highest() {
    let one = || json!({"replicas": 1});
    check(one(), "0n+ 1n+ 2n+", &["delete pods a/s-2"]);
    check(one(), "0n+ 1n+ 2n+x", &[]);
    // Only the first unhealthy one may go while it is unhealthy.
    check(one(), "0n+ 1n 2n+", &["delete pods a/s-2"]);
    check(one(), "0n+ 1n 2n", &[]);
    check(one(), "0n+ 1n", &["delete pods a/s-1"]);
    check(one(), "0n 1n+", &[]);
    let parallel = json!({"replicas": 1, "podManagementPolicy": "Parallel"});
    check(parallel, "0n 1n 2n+", &["delete pods a/s-2", "delete pods a/s-1"]);
}

#[test]
fn rolling() {
    let with = |rolling: Value| json!({"updateStrategy": {"rollingUpdate": rolling}});
    check(json!({}), "0o+ 1o+ 2o+", &["delete pods a/s-2"]);
    check(json!({}), "0o+ 1o+ 2n+", &["delete pods a/s-1"]);
    check(json!({}), "0o+ 1o+ 2n", &[]);
    check(with(json!({"partition": 2})), "0o+ 1o+ 2n+", &[]);
    check(with(json!({"partition": 1})), "0o+ 1o+ 2n+", &["delete pods a/s-1"]);
    check(
        with(json!({"maxUnavailable": 2})),
        "0o+ 1o+ 2o+",
        &["delete pods a/s-2", "delete pods a/s-1"],
    );
    check(json!({"updateStrategy": {"type": "OnDelete"}}), "0o+ 1o+ 2o+", &[]);
    let parallel = || json!({"podManagementPolicy": "Parallel"});
    check(parallel(), "0o+ 1o 2n+", &["delete pods a/s-1"]);
    check(parallel(), "0o+ 1o 2n", &[]);
}

#[test]
fn a_pod_below_the_partition_is_made_of_the_old_template() {
    let partition = json!({"updateStrategy": {"rollingUpdate": {"partition": 1}}});
    let plan = reconcile(&set(partition), &pods("1n+ 2n+"));
    let pod = body(&plan, 0);
    assert_eq!(pod["metadata"]["labels"][REVISION], "s-old");
    assert_eq!(pod["spec"]["containers"][0]["name"], "old");
}

fn claim(name: &str, more: Value) -> Value {
    let mut all = object("PersistentVolumeClaim", "a", name, json!({"spec": {}}));
    merge(&mut all, more);
    all
}

fn with_claims(policy: Value) -> Value {
    json!({"volumeClaimTemplates": [{"metadata": {"name": "data", "labels": {"k": "v"}},
        "spec": {"accessModes": ["ReadWriteOnce"]}}],
        "persistentVolumeClaimRetentionPolicy": policy,
        "template": {"spec": {"volumes": [{"name": "data"}, {"name": "other"}]}}})
}

#[test]
fn identity_and_storage() {
    let set = set(with_claims(json!({"whenDeleted": "Delete", "whenScaled": "Retain"})));
    let plan = reconcile(&set, &[]);
    let expect = [
        "create persistentvolumeclaims a/data-s-0",
        "update statefulsets/status a/s",
        "--",
        "create pods a/s-0",
    ];
    assert_eq!(lines(&plan), expect);
    let claim = &body(&plan, 0)["metadata"];
    assert_eq!(claim["labels"], json!({"app": "x", "k": "v"}));
    assert_eq!(claim["ownerReferences"][0]["kind"], "StatefulSet");
    let pod = body(&plan, 2);
    assert_eq!(
        (&pod["spec"]["hostname"], &pod["spec"]["subdomain"]),
        (&json!("s-0"), &json!("peers"))
    );
    assert_eq!(
        pod["spec"]["volumes"],
        json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data-s-0"}},
            {"name": "other"}])
    );
    assert_eq!(
        pod["metadata"]["labels"],
        json!({"app": "x", "statefulset.kubernetes.io/pod-name": "s-0",
            "apps.kubernetes.io/pod-index": "0", REVISION: "s-new"})
    );
}

#[test]
fn a_claim_of_an_earlier_pod_has_to_go_first() {
    let set = set(with_claims(json!({})));
    let check = |claim: Value, expect: &[&str]| {
        let lines = lines(&reconcile(&set, &[claim]));
        let pods: Vec<&String> = lines.iter().filter(|l| l.contains(" pods ")).collect();
        assert_eq!(pods, expect);
    };
    check(claim("data-s-0", json!({})), &["create pods a/s-0"]);
    check(claim("data-s-0", json!({"metadata": {"deletionTimestamp": time(1)}})), &[]);
    let earlier = json!([{"apiVersion": "v1", "kind": "Pod", "name": "s-0", "uid": "before"}]);
    check(claim("data-s-0", json!({"metadata": {"ownerReferences": earlier}})), &[]);
}

#[test]
fn claims_are_given_to_pods_that_are_scaled_away() {
    let check = |policy: Value, expect: Value| {
        let mut spec = with_claims(policy);
        spec["replicas"] = json!(0);
        let plan = reconcile(&set(spec), &[claim("data-s-0", json!({})), pod("0n+")]);
        let update = plan.steps().find_map(|step| match &step.action {
            crate::Action::Update("", body) => Some(body["metadata"]["ownerReferences"].clone()),
            _ => None,
        });
        let kinds: Vec<Value> = update
            .iter()
            .flat_map(|owners| owners.as_array().unwrap())
            .map(|owner| owner["kind"].clone())
            .collect();
        assert_eq!(json!(kinds), expect);
    };
    check(json!({"whenDeleted": "Retain", "whenScaled": "Retain"}), json!([]));
    check(json!({"whenDeleted": "Delete", "whenScaled": "Retain"}), json!(["StatefulSet"]));
    check(json!({"whenDeleted": "Retain", "whenScaled": "Delete"}), json!(["Pod"]));
    check(json!({"whenDeleted": "Delete", "whenScaled": "Delete"}), json!(["Pod"]));
}

#[test]
fn status() {
    let check = |have: &str, expect: Value| {
        let plan = reconcile(&set(json!({})), &pods(have));
        let status = plan.steps().find_map(|step| match &step.action {
            crate::Action::Update("status", body) => Some(body["status"].clone()),
            _ => None,
        });
        assert_eq!(status.unwrap(), expect, "{have}");
    };
    check(
        "0o+ 1o+ 2n",
        json!({"replicas": 3, "readyReplicas": 2, "availableReplicas": 2, "currentReplicas": 2,
            "updatedReplicas": 1, "collisionCount": 0, "currentRevision": "s-old",
            "updateRevision": "s-new", "observedGeneration": 1}),
    );
    check(
        "0n+ 1n+ 2n+",
        json!({"replicas": 3, "readyReplicas": 3, "availableReplicas": 3, "currentReplicas": 3,
            "updatedReplicas": 3, "collisionCount": 0, "currentRevision": "s-new",
            "updateRevision": "s-new", "observedGeneration": 1}),
    );
}

#[test]
fn availability_takes_time() {
    let plan = reconcile(&set(json!({"minReadySeconds": 200})), &pods("0n+"));
    assert_eq!(plan.again, Some(at(201)));
}

#[test]
fn a_set_that_goes_makes_nothing() {
    let mut going = set(json!({}));
    going["metadata"]["deletionTimestamp"] = json!(time(90));
    let lines = lines(&reconcile(&going, &[]));
    assert!(lines.iter().all(|line| !line.contains("create")), "{lines:?}");
}

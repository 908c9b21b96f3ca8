//! Claims of pods as tables: what is there, what is done next.

use super::*;
use crate::testing::{body, lines, merge, object, plan, time, view};

fn pod(more: Value) -> Value {
    let mut all = object(
        "Pod",
        "a",
        "p",
        json!({"spec": {"containers": [], "resourceClaims": [
            {"name": "gpu", "resourceClaimTemplateName": "t"},
            {"name": "own", "resourceClaimName": "mine"}]}}),
    );
    merge(&mut all, more);
    all
}

fn template() -> Value {
    object(
        "ResourceClaimTemplate",
        "a",
        "t",
        json!({"spec": {"metadata": {"labels": {"k": "v"}}, "spec": {"devices": {}}}}),
    )
}

fn claim(name: &str, more: Value) -> Value {
    let mut all = object("ResourceClaim", "a", name, json!({"spec": {}}));
    merge(&mut all, more);
    all
}

fn made() -> Value {
    json!({"metadata": {"annotations": {POD_CLAIM_NAME: "gpu"}, "ownerReferences": [
        {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p-uid", "controller": true}]}})
}

fn reserved(pods: &[&str]) -> Value {
    let all: Vec<Value> = pods
        .iter()
        .map(|name| json!({"resource": "pods", "name": name, "uid": format!("{name}-uid")}))
        .collect();
    json!({"metadata": {"finalizers": [FINALIZER]},
        "status": {"reservedFor": all, "allocation": {"devices": {}}}})
}

fn check(objects: &[Value], resource: &kd_client::Resource, name: &str, expect: &[&str]) -> Plan {
    let plan = plan(&ResourceClaims, &view(objects), resource, ("a", name), 1);
    assert_eq!(lines(&plan), expect);
    plan
}

#[test]
fn a_claim_is_made_and_told() {
    let pods = &resources::PODS;
    let lost = check(&[pod(json!({}))], pods, "p", &[]);
    assert_eq!(
        lost.events[0].message,
        "PodResourceClaim gpu: resource claim template \"t\": \
         resourceclaimtemplate.resource.k8s.io \"t\" not found"
    );
    let created = check(&[pod(json!({})), template()], pods, "p", &["create resourceclaims a/"]);
    let metadata = &body(&created, 0)["metadata"];
    assert_eq!(metadata["generateName"], "p-gpu-");
    assert_eq!(metadata["annotations"], json!({POD_CLAIM_NAME: "gpu"}));
    assert_eq!(metadata["labels"], json!({"k": "v"}));
    let found = claim("p-gpu-x", made());
    let told =
        check(&[pod(json!({})), template(), found.clone()], pods, "p", &["patch pods/status a/p"]);
    assert_eq!(
        body(&told, 0)["status"]["resourceClaimStatuses"],
        json!([{"name": "gpu", "resourceClaimName": "p-gpu-x"}])
    );
    let knows = json!({"status": {"resourceClaimStatuses":
        [{"name": "gpu", "resourceClaimName": "p-gpu-x"}]}});
    check(&[pod(knows.clone()), template(), found], pods, "p", &[]);
    // It was deleted by mistake: another one.
    check(&[pod(knows), template()], pods, "p", &["create resourceclaims a/"]);
    let unneeded = json!({"status": {"resourceClaimStatuses": [{"name": "gpu"}]}});
    check(&[pod(unneeded), template()], pods, "p", &[]);
}

#[test]
fn a_pod_that_nobody_scheduled_reserves() {
    let placed = json!({"spec": {"nodeName": "n"},
        "status": {"resourceClaimStatuses": [{"name": "gpu"}]}});
    let mine = claim("mine", json!({"status": {"allocation": {"devices": {}}}}));
    let expect = ["update resourceclaims/status a/mine"];
    let plan = check(&[pod(placed.clone()), mine], &resources::PODS, "p", &expect);
    assert_eq!(body(&plan, 0)["status"]["reservedFor"][0]["uid"], "p-uid");
    check(&[pod(placed), claim("mine", reserved(&["p"]))], &resources::PODS, "p", &[]);
}

#[test]
fn claims_are_given_back() {
    let claims = &resources::RESOURCE_CLAIMS;
    let (update, patch) = ("update resourceclaims/status a/c", "patch resourceclaims a/c");
    let running = pod(json!({"status": {"phase": "Running"}}));
    check(&[claim("c", reserved(&["p"])), running.clone()], claims, "c", &[]);
    let one = check(&[claim("c", reserved(&["p", "q"])), running], claims, "c", &[update]);
    assert_eq!(one.steps().next().unwrap().guards.len(), 1);
    assert_eq!(body(&one, 0)["status"]["reservedFor"].as_array().unwrap().len(), 1);
    assert!(body(&one, 0)["status"]["allocation"].is_object());
    let done = pod(json!({"status": {"phase": "Succeeded"}}));
    let all = [claim("c", reserved(&["p"])), done.clone()];
    let freed = check(&all, claims, "c", &[update, "--", patch]);
    assert!(body(&freed, 0)["status"]["allocation"].is_null());
    let mut own = reserved(&["p"]);
    merge(&mut own, made());
    own["metadata"]["finalizers"] = json!([FINALIZER]);
    let delete = "delete resourceclaims a/c";
    check(&[claim("c", own), done], claims, "c", &[update, "--", patch, "--", delete]);
    // Allocated and unused is fine, until it is deleted.
    check(&[claim("c", reserved(&[]))], claims, "c", &[]);
    let mut going = reserved(&[]);
    going["metadata"]["deletionTimestamp"] = json!(time(1));
    check(&[claim("c", going)], claims, "c", &[update, "--", patch]);
}

#[test]
fn long_names_are_cut() {
    assert_eq!(base_name("p", "gpu"), "p-gpu-");
    let cut = base_name(&"p".repeat(80), &"g".repeat(20));
    assert!(cut.len() <= NAME_BASE_LEN_MAX && cut.contains("p-g"), "{cut}");
}

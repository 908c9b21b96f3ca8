//! Claims and volumes as tables: what is there, what is done next.

use serde_json::{Value, json};

use super::*;
use crate::testing::{body, lines, merge, object, plan, view};

fn claim(more: Value) -> Value {
    let mut all = object(
        "PersistentVolumeClaim",
        "a",
        "c",
        json!({"spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "2Gi"}}}, "status": {"phase": "Pending"}}),
    );
    merge(&mut all, more);
    all
}

fn volume(name: &str, size: &str, more: Value) -> Value {
    let mut all = object(
        "PersistentVolume",
        "",
        name,
        json!({"spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/x"}},
            "status": {"phase": "Available"}}),
    );
    merge(&mut all, more);
    all
}

fn class(mode: &str) -> Value {
    object(
        "StorageClass",
        "",
        "slow",
        json!({"provisioner": "x.io/disks", "volumeBindingMode": mode}),
    )
}

fn for_claim(objects: &[Value], expect: &[&str], reasons: &[&str]) -> Plan {
    let resource = &resources::PERSISTENT_VOLUME_CLAIMS;
    let plan = plan(&PersistentVolumeBinder, &view(objects), resource, ("a", "c"), 100);
    let told: Vec<&str> = plan.events.iter().map(|event| event.reason.as_str()).collect();
    assert_eq!(
        (lines(&plan), told),
        (expect.iter().map(|l| (*l).to_owned()).collect(), reasons.to_vec())
    );
    plan
}

fn for_volume(objects: &[Value], expect: &[&str]) -> Plan {
    let resource = &resources::PERSISTENT_VOLUMES;
    let plan = plan(&PersistentVolumeBinder, &view(objects), resource, ("", "v"), 100);
    assert_eq!(lines(&plan), expect);
    plan
}

fn taken(uid: &str) -> Value {
    json!({"spec": {"claimRef": {"namespace": "a", "name": "c", "uid": uid}}})
}

#[test]
fn the_smallest_that_fits() {
    let objects = [
        claim(json!({})),
        volume("big", "10Gi", json!({})),
        volume("fit", "3Gi", json!({})),
        volume("small", "1Gi", json!({})),
        volume("shared", "2Gi", json!({"spec": {"accessModes": ["ReadOnlyMany"]}})),
        volume("classy", "2Gi", json!({"spec": {"storageClassName": "slow"}})),
        volume("raw", "2Gi", json!({"spec": {"volumeMode": "Block"}})),
        volume("other", "2Gi", json!({"spec": {"claimRef": {"namespace": "a", "name": "d"}}})),
        volume("used", "2Gi", json!({"status": {"phase": "Released"}})),
    ];
    let plan = for_claim(&objects, &["update persistentvolumes fit"], &[]);
    let bound = body(&plan, 0);
    assert_eq!(bound["spec"]["claimRef"]["uid"], "c-uid");
    assert_eq!(bound["metadata"]["annotations"][BOUND_BY_CONTROLLER], "yes");
    let kept = json!({"spec": {"claimRef": {"namespace": "a", "name": "c"}}});
    let objects = [claim(json!({})), volume("fit", "3Gi", json!({})), volume("kept", "9Gi", kept)];
    for_claim(&objects, &["update persistentvolumes kept"], &[]);
    let labelled = json!({"spec": {"selector": {"matchLabels": {"k": "v"}}}});
    let objects = [
        claim(labelled),
        volume("plain", "3Gi", json!({})),
        volume("labelled", "9Gi", json!({"metadata": {"labels": {"k": "v"}}})),
    ];
    for_claim(&objects, &["update persistentvolumes labelled"], &[]);
}

#[test]
fn step_by_step() {
    let ours = || volume("v", "3Gi", taken("c-uid"));
    let plan = for_claim(&[claim(json!({})), ours()], &["update persistentvolumeclaims a/c"], &[]);
    let named = body(&plan, 0);
    assert_eq!(named["spec"]["volumeName"], "v");
    assert_eq!(
        named["metadata"]["annotations"],
        json!({BIND_COMPLETED: "yes", BOUND_BY_CONTROLLER: "yes"})
    );
    let plan =
        for_claim(&[named.clone(), ours()], &["update persistentvolumeclaims/status a/c"], &[]);
    let bound = body(&plan, 0);
    assert_eq!(
        bound["status"],
        json!({"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "3Gi"}})
    );
    for_claim(&[bound.clone(), ours()], &[], &[]);
    let plan = for_volume(&[bound.clone(), ours()], &["update persistentvolumes/status v"]);
    assert_eq!(body(&plan, 0)["status"]["phase"], "Bound");
}

#[test]
fn claims_that_have_to_wait() {
    let slow = || json!({"spec": {"storageClassName": "slow"}});
    for_claim(&[claim(json!({}))], &[], &["FailedBinding"]);
    for_claim(&[claim(slow())], &[], &["ProvisioningFailed"]);
    for_claim(&[claim(slow()), class("WaitForFirstConsumer")], &[], &["WaitForFirstConsumer"]);
    let update = ["update persistentvolumeclaims a/c"];
    let plan = for_claim(&[claim(slow()), class("Immediate")], &update, &[]);
    assert_eq!(body(&plan, 0)["metadata"]["annotations"][PROVISIONER], "x.io/disks");
    let asked = body(&plan, 0).clone();
    for_claim(&[asked, class("Immediate")], &[], &["ExternalProvisioning"]);
    let mut placed = claim(slow());
    placed["metadata"]["annotations"] = json!({SELECTED_NODE: "n"});
    for_claim(&[placed, class("WaitForFirstConsumer")], &update, &[]);
    // Before its pod is placed a claim gets no volume but one that is kept for it.
    let free = || volume("v", "3Gi", slow());
    for_claim(
        &[claim(slow()), free(), class("WaitForFirstConsumer")],
        &[],
        &["WaitForFirstConsumer"],
    );
    let mut kept = free();
    merge(&mut kept, taken("c-uid"));
    for_claim(&[claim(slow()), kept, class("WaitForFirstConsumer")], &update, &[]);
}

#[test]
fn a_claim_may_name_its_volume() {
    let wants = || claim(json!({"spec": {"volumeName": "v"}}));
    for_claim(&[wants()], &[], &[]);
    for_claim(&[wants(), volume("v", "3Gi", json!({}))], &["update persistentvolumes v"], &[]);
    for_claim(&[wants(), volume("v", "1Gi", json!({}))], &[], &["VolumeMismatch"]);
    for_claim(&[wants(), volume("v", "3Gi", taken("other"))], &[], &[]);
}

#[test]
fn losses_are_told() {
    let bound = |volume: &str| {
        claim(json!({"metadata": {"annotations": {BIND_COMPLETED: "yes"}},
            "spec": {"volumeName": volume}, "status": {"phase": "Bound"}}))
    };
    let status = ["update persistentvolumeclaims/status a/c"];
    for_claim(&[bound("")], &status, &["ClaimLost"]);
    for_claim(&[bound("v")], &status, &["ClaimLost"]);
    for_claim(&[bound("v"), volume("v", "3Gi", taken("other"))], &status, &["ClaimMisbound"]);
}

#[test]
fn released_volumes() {
    let check = |more: Value, expect: &[&str]| {
        let mut all = volume("v", "3Gi", taken("gone"));
        merge(&mut all, more);
        for_volume(&[all, claim(json!({}))], expect);
    };
    let status = ["update persistentvolumes/status v"];
    check(json!({"status": {"phase": "Bound"}}), &status);
    let released = |policy: &str| json!({"spec": {"persistentVolumeReclaimPolicy": policy}, "status": {"phase": "Released"}});
    check(released("Retain"), &[]);
    check(released("Delete"), &["delete persistentvolumes v"]);
    check(released("Recycle"), &status);
    let mut provisioned = released("Delete");
    provisioned["metadata"] = json!({"annotations": {PROVISIONED_BY: "x.io/disks"}});
    check(provisioned, &[]);
    for_volume(&[volume("v", "3Gi", json!({"status": {"phase": "Pending"}}))], &status);
}

#[test]
fn a_volume_whose_claim_went_elsewhere_is_free_again() {
    let elsewhere = claim(json!({"spec": {"volumeName": "w"}}));
    let mut ours = volume("v", "3Gi", taken("c-uid"));
    ours["metadata"]["annotations"] = json!({BOUND_BY_CONTROLLER: "yes"});
    let plan = for_volume(&[elsewhere, ours], &["update persistentvolumes v"]);
    assert_eq!(body(&plan, 0)["spec"]["claimRef"], Value::Null);
}

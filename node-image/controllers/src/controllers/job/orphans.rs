//! Pods that still carry the finalizer when no Job will count them any more: it is gone, or it has
//! ended.

use k8s_openapi::api::batch::v1::Job;
use kd_client::{Change, Key, Object, OwnerReference, PatchKind, View, resources};
use serde_json::json;

use super::{FINALIZER, is_finished, is_ours};
use crate::controller::shared;
use crate::{Plan, Step, Target};

/// The pod of a change, if it is such an orphan.
pub(super) fn of_pod(view: &View, change: &Change) -> Option<Target> {
    let pod = change.new.as_ref()?;
    is_orphan(view, pod).then(|| Target::of(&shared(&resources::PODS), pod))
}

/// The pods that a Job leaves behind.
pub(super) fn of_job<'a>(view: &'a View, job: &'a Object) -> impl Iterator<Item = Target> {
    let resource = shared(&resources::PODS);
    let pods = view.controlled_by(&resources::PODS, &job.metadata.uid);
    pods.filter(|pod| is_orphan(view, pod)).map(move |pod| Target::of(&resource, pod))
}

/// Lets an orphan go.
pub(super) fn release(view: &View, target: &Target) -> Plan {
    match view.object(&resources::PODS, &target.key) {
        Some(pod) if is_orphan(view, pod) => Plan::one(untrack(pod)),
        _ => Plan::nothing(),
    }
}

/// Removes the finalizer from a pod.
pub(super) fn untrack(pod: &Object) -> Step {
    let patch = json!({"metadata": {"uid": pod.metadata.uid,
        "$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
    Step::patch(&resources::PODS, pod.key(), "", PatchKind::Strategic, patch)
}

fn is_orphan(view: &View, pod: &Object) -> bool {
    if !pod.metadata.finalizers.iter().any(|f| f == FINALIZER) {
        return false;
    }
    let Some(owner) = pod.metadata.controller() else { return true };
    if owner.kind != resources::JOBS.kind || owner.group() != resources::JOBS.group {
        return false;
    }
    match owning_job(view, &pod.metadata.namespace, owner) {
        None => true,
        Some(job) => is_ours(&job) && is_finished(&job),
    }
}

fn owning_job(view: &View, namespace: &str, owner: &OwnerReference) -> Option<Job> {
    let object = view.object(&resources::JOBS, &Key::new(namespace, &owner.name))?;
    if object.metadata.uid != owner.uid {
        return None;
    }
    object.decode()
}

//! What controllers ask of a pod's state, read without the rest of the pod; and the steps by which
//! pods come and go.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kd_client::{DeleteOptions, EventType, Object, Resource, View, resources};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::claims::owner_reference;
use crate::{Step, event};

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// A pod's state.
#[derive(Clone, Debug)]
pub struct PodState {
    /// The object.
    pub object: Arc<Object>,
}

/// What a pod tells of its state. It is read once for all who ask.
#[derive(Debug)]
pub struct Told {
    /// Its phase.
    pub phase: String,
    /// Since when it is ready; None when it is not.
    pub ready_since: Option<Timestamp>,
    /// Restarts of all its containers.
    pub restarts: i64,
    /// The annotation that makes it cheaper or dearer to delete.
    pub deletion_cost: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    metadata: MetadataHead,
    status: StatusHead,
}

impl Deref for PodState {
    type Target = Told;

    fn deref(&self) -> &Told {
        self.object.derived(Told::of)
    }
}

impl Told {
    fn of(object: &Object) -> Told {
        let head: Head = object.decode().unwrap_or_default();
        let conditions = head.status.conditions;
        let ready = conditions.iter().find(|c| c.name == "Ready" && c.status == "True");
        let created = object.metadata.creation_timestamp;
        let cost = head.metadata.annotations.get(DELETION_COST);
        Told {
            phase: head.status.phase,
            ready_since: ready
                .map(|c| c.last_transition_time.or(created).unwrap_or(Timestamp::UNIX_EPOCH)),
            restarts: head.status.container_statuses.iter().map(|c| c.restart_count).sum(),
            deletion_cost: cost.and_then(|cost| cost.parse().ok()).unwrap_or(0),
        }
    }
}

/// What is read of a pod's metadata.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct MetadataHead {
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StatusHead {
    phase: String,
    conditions: Vec<ConditionHead>,
    container_statuses: Vec<ContainerHead>,
}

/// What is read of a pod's condition.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConditionHead {
    /// Its type.
    #[serde(rename = "type")]
    pub name: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// When its status changed.
    pub last_transition_time: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerHead {
    restart_count: i64,
}

impl PodState {
    /// Reads a pod; one that cannot be read counts as pending.
    pub fn of(object: &Arc<Object>) -> PodState {
        PodState { object: object.clone() }
    }

    /// Whether it counts: neither ended nor being deleted.
    pub fn is_active(&self) -> bool {
        !self.has_ended() && !self.object.metadata.is_deleting()
    }

    /// Whether it has succeeded or failed.
    pub fn has_ended(&self) -> bool {
        self.phase == "Succeeded" || self.phase == "Failed"
    }

    /// Whether it is ready.
    pub fn is_ready(&self) -> bool {
        self.ready_since.is_some()
    }

    /// When it has been ready for long enough; None when it is not ready.
    pub fn available_at(&self, min_ready_seconds: i32) -> Option<Timestamp> {
        Some(self.ready_since? + SignedDuration::from_secs(i64::from(min_ready_seconds)))
    }
}

/// The pods that an object controls.
pub fn controlled_pods<'a>(view: &'a View, uid: &'a str) -> impl Iterator<Item = PodState> {
    view.controlled_by(&resources::PODS, uid).map(PodState::of)
}

/// The order in which surplus pods go: first those that lose least. `crowd` is how many related pods
/// share a pod's node.
pub fn deletion_order(pods: &mut [PodState], crowd: &BTreeMap<String, usize>) {
    pods.sort_by_cached_key(|pod| {
        let node = pod.object.node();
        let phase = match pod.phase.as_str() {
            "Running" => 2,
            "Unknown" => 1,
            _ => 0,
        };
        let crowded = node.and_then(|name| crowd.get(name)).copied().unwrap_or(0);
        (
            node.is_some(),
            phase,
            pod.is_ready(),
            pod.deletion_cost,
            std::cmp::Reverse(crowded),
            std::cmp::Reverse(pod.ready_since),
            std::cmp::Reverse(pod.restarts),
            std::cmp::Reverse(pod.object.metadata.creation_timestamp),
            pod.object.key(),
        )
    });
}

/// A pod of a workload's template, controlled by the workload; it has no name yet.
pub fn pod_from_template(resource: &Resource, object: &Object, template: &Value) -> Value {
    let mut metadata = json!({
        "namespace": object.metadata.namespace,
        "ownerReferences": [owner_reference(resource, object)],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if !template["metadata"][field].is_null() {
            metadata[field] = template["metadata"][field].clone();
        }
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}

/// Creates a pod of a workload, and tells it there.
pub fn pod_creation(resource: &Resource, object: &Object, pod: &Value) -> Step {
    let tell = |event_type, reason, message| event(resource, object, event_type, reason, message);
    Step::create(&resources::PODS, &object.metadata.namespace, pod)
        .telling(tell(EventType::Normal, "SuccessfulCreate", "Created pod: {}"))
        .complaining(tell(EventType::Warning, "FailedCreate", "Error creating: {}"))
}

/// Deletes a pod of a workload, and tells it there.
pub fn pod_deletion(resource: &Resource, object: &Object, pod: &Object) -> Step {
    let done = format!("Deleted pod: {}", pod.metadata.name);
    let done = event(resource, object, EventType::Normal, "SuccessfulDelete", done);
    let failed = "Error deleting: {}";
    let failed = event(resource, object, EventType::Warning, "FailedDelete", failed);
    Step::delete(&resources::PODS, pod.key(), DeleteOptions::of(&pod.metadata.uid))
        .telling(done)
        .complaining(failed)
}

/// Sizes of batches 1, 2, 4, ...: a template that is refused is refused once, not 500 times.
pub fn growing_batches(mut left: usize) -> impl Iterator<Item = usize> {
    let mut batch = 1;
    std::iter::from_fn(move || {
        let size = batch.min(left);
        left -= size;
        batch *= 2;
        (size > 0).then_some(size)
    })
}

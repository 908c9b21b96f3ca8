//! What a Job asks of its pods.

use std::sync::Arc;

use jiff::Timestamp;
use kd_client::Object;
use serde::Deserialize;

use super::{FAILURE_COUNT, FINALIZER, IGNORED_FAILURE_COUNT, INDEX};
use crate::pods::{ConditionHead, MetadataHead, PodState};

/// A pod of a Job.
pub(super) struct JobPod {
    pub state: PodState,
    /// Its completion index, if it has a valid one.
    pub index: Option<usize>,
    /// Whether it still carries the finalizer, and so is not counted yet.
    pub tracked: bool,
    /// Failures of its index before it.
    pub index_failures: u32,
    /// Failures of its index that the failure policy ignored.
    pub index_ignored_failures: u32,
    pub containers: Vec<ContainerEnd>,
    pub init_containers: Vec<ContainerEnd>,
    pub conditions: Vec<ConditionHead>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    metadata: MetadataHead,
    status: StatusHead,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StatusHead {
    conditions: Vec<ConditionHead>,
    container_statuses: Vec<ContainerEnd>,
    init_container_statuses: Vec<ContainerEnd>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerEnd {
    pub name: String,
    pub restart_count: i32,
    state: StateHead,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StateHead {
    terminated: Option<Terminated>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terminated {
    exit_code: i32,
    finished_at: Option<Timestamp>,
}

impl ContainerEnd {
    /// Its exit code, once it has ended.
    pub fn exit_code(&self) -> Option<i32> {
        self.state.terminated.as_ref().map(|end| end.exit_code)
    }
}

impl JobPod {
    pub fn of(object: &Arc<Object>) -> JobPod {
        let head: Head = object.decode().unwrap_or_default();
        let annotations = &head.metadata.annotations;
        let number = |name: &str| annotations.get(name).and_then(|text| text.parse().ok());
        JobPod {
            state: PodState::of(object),
            index: annotations.get(INDEX).and_then(|text| text.parse().ok()),
            tracked: object.metadata.finalizers.iter().any(|f| f == FINALIZER),
            index_failures: number(FAILURE_COUNT).unwrap_or(0),
            index_ignored_failures: number(IGNORED_FAILURE_COUNT).unwrap_or(0),
            containers: head.status.container_statuses,
            init_containers: head.status.init_container_statuses,
            conditions: head.status.conditions,
        }
    }

    pub fn uid(&self) -> &str {
        &self.state.object.metadata.uid
    }

    pub fn is_deleting(&self) -> bool {
        self.state.object.metadata.is_deleting()
    }

    pub fn has_succeeded(&self) -> bool {
        self.state.phase == "Succeeded"
    }

    /// Whether it is on its way out and has not ended.
    pub fn is_terminating(&self) -> bool {
        self.is_deleting() && !self.state.has_ended()
    }

    /// Whether it counts as failed. Where failed pods alone are replaced, one that is only being
    /// deleted may still succeed.
    pub fn has_failed(&self, replaces_only_failed: bool) -> bool {
        match self.state.phase.as_str() {
            "Failed" => true,
            "Succeeded" => false,
            _ => !replaces_only_failed && self.is_deleting(),
        }
    }

    /// Restarts of all its containers.
    pub fn restarts(&self) -> i32 {
        let all = self.init_containers.iter().chain(&self.containers);
        all.map(|container| container.restart_count).sum()
    }

    /// When it ended, as well as that can be told.
    pub fn finished_at(&self) -> Timestamp {
        let ends = self.containers.iter().map(|c| c.state.terminated.as_ref()?.finished_at);
        let last = ends.collect::<Option<Vec<Timestamp>>>().and_then(|all| all.into_iter().max());
        let unready = || {
            let ready = self.conditions.iter().find(|c| c.name == "Ready");
            ready.filter(|c| c.status == "False").and_then(|c| c.last_transition_time)
        };
        let metadata = &self.state.object.metadata;
        last.or_else(unready)
            .or(metadata.deletion_timestamp)
            .or(metadata.creation_timestamp)
            .unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

//! Pods, sandboxes and containers for tests.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kd_runtime::{
    ContainerSpec, ContainerState, ContainerStatus, Exit, SandboxSpec, SandboxStatus,
};
use serde_json::{Value, json};

use super::{Observation, annotation, container_hash};
use crate::pod::PodExt;

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(crate) fn pod(spec: Value) -> Pod {
    serde_json::from_value(
        json!({"metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 3}, "spec": spec}),
    )
    .unwrap()
}

pub(crate) fn running() -> ContainerState {
    ContainerState::Running { started_at: at(1) }
}

pub(crate) fn exited(code: i32) -> ContainerState {
    ContainerState::Exited(Exit {
        started_at: Some(at(1)),
        finished_at: at(100),
        code,
        signal: None,
        oom_killed: false,
        lost: false,
        error: None,
    })
}

/// A container of the pod; its id is `name-attempt`.
pub(crate) fn container(
    pod: &Pod,
    name: &str,
    attempt: u32,
    state: ContainerState,
) -> ContainerStatus {
    let hash = pod.member(name).map(|m| container_hash(&m.container)).unwrap_or_default();
    ContainerStatus {
        id: format!("{name}-{attempt}"),
        sandbox_id: "s".into(),
        spec: ContainerSpec {
            name: name.into(),
            attempt,
            image: "nginx".into(),
            annotations: [(annotation::HASH.to_owned(), hash)].into(),
            ..ContainerSpec::default()
        },
        state,
        created_at: at(1),
        log_path: "/log".into(),
        pid: None,
        user: None,
    }
}

pub(crate) fn sandbox(
    attempt: u32,
    ready: bool,
    containers: Vec<ContainerStatus>,
) -> SandboxStatus {
    let mut spec = SandboxSpec::default();
    spec.pod.attempt = attempt;
    SandboxStatus {
        id: format!("s{attempt}"),
        spec,
        ready,
        created_at: at(1),
        netns: None,
        containers,
    }
}

/// A ready sandbox with these containers: name, attempt, state.
pub(crate) fn seen(pod: &Pod, containers: &[(&str, u32, ContainerState)]) -> Observation {
    let made = containers.iter().map(|(n, a, s)| container(pod, n, *a, s.clone())).collect();
    Observation { sandboxes: vec![sandbox(0, true, made)], ..Observation::default() }
}

//! `status` of a pod as a whole.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStatus as Status, HostIP, Pod, PodIP,
    PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conditions::{set_all_restarting, set_conditions, set_disrupted, set_resizing};
use super::container_status::{Listed, MESSAGE_UNKNOWN, REASON_UNKNOWN, container_statuses};
use super::observation::{Memory, Observation};
use super::phase::phase;
use super::pod_resources::set_pod_resources;
use super::restart::{all_restart_at, may_restart_all};
use crate::pod::{PodExt, Role};
use crate::qos::qos_class;

pub use super::conditions::is_owned as is_owned_condition;

/// The status of a pod. `node` are the node's addresses.
pub fn pod_status(
    pod: &Pod,
    seen: &Observation,
    memory: &Memory,
    node: &[IpAddr],
    now: Timestamp,
) -> PodStatus {
    let before = &memory.status;
    let mut status = PodStatus {
        conditions: before.conditions.clone(),
        start_time: before.start_time.clone().or(Some(Time(memory.seen_at))),
        qos_class: Some(qos_class(pod).as_str().to_owned()),
        observed_generation: pod.metadata.generation,
        nominated_node_name: before.nominated_node_name.clone(),
        // Others write these.
        resource_claim_statuses: before.resource_claim_statuses.clone(),
        extended_resource_claim_status: before.extended_resource_claim_status.clone(),
        node_allocatable_resource_claim_statuses: before
            .node_allocatable_resource_claim_statuses
            .clone(),
        ..PodStatus::default()
    };
    if !memory.rejected {
        set_containers(pod, seen, memory, now, &mut status);
        set_addresses(pod, memory, node, &mut status);
    }
    set_phase(pod, memory, &mut status);
    let ready_sandbox = seen.sandbox().is_some_and(|s| s.ready);
    let on_network = ready_sandbox && !memory.finished && status.pod_ip.is_some();
    set_conditions(pod, &mut status, on_network, now);
    let told = before.conditions.as_deref().unwrap_or_default();
    set_resizing(pod, &mut status, &memory.resizing, told, now);
    if may_restart_all(pod) {
        let over_at = all_restart_at(pod, seen);
        let is_over = |name: &str| {
            let latest = seen.latest(name);
            over_at.is_some_and(|at| latest.is_some_and(|c| c.created_at <= at))
        };
        let restarting =
            pod.members().iter().any(|m| m.role != Role::Ephemeral && is_over(m.name()));
        set_all_restarting(pod, &mut status, restarting, told, now);
    }
    if let Some(stop) = memory.stop.as_ref().filter(|stop| stop.disrupts) {
        set_disrupted(pod, &mut status, &stop.message, now);
    }
    delay_end(memory, &mut status);
    end_what_never_ran(&mut status);
    if !memory.rejected {
        set_pod_resources(pod, seen, &mut status);
    }
    status
}

/// In a pod that is over, a container that was to run and did not is told of as ended.
fn end_what_never_ran(status: &mut PodStatus) {
    let over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let succeeded = |c: &Status| {
        let ended = c.state.as_ref().and_then(|state| state.terminated.as_ref());
        ended.is_some_and(|ended| ended.exit_code == 0)
    };
    let done = |c: &Status| c.ready || c.started == Some(true) || succeeded(c);
    let initialized = status.init_container_statuses.iter().flatten().all(done);
    if !over || !initialized {
        return;
    }
    let never = |c: &&mut Status| {
        let ended = c.state.as_ref().is_some_and(|s| s.terminated.is_some() || s.running.is_some());
        !ended
    };
    for container in status.container_statuses.iter_mut().flatten().filter(never) {
        container.state = Some(ContainerState {
            terminated: Some(ContainerStateTerminated {
                exit_code: 137,
                reason: Some(REASON_UNKNOWN.into()),
                message: Some(MESSAGE_UNKNOWN.into()),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        });
    }
}

/// A pod is not over while one of its containers runs: others may count on what it holds. (Its
/// conditions already tell that it ends.)
fn delay_end(memory: &Memory, status: &mut PodStatus) {
    let ended = |phase: Option<&str>| matches!(phase, Some("Succeeded" | "Failed"));
    let before = memory.status.phase.as_deref();
    if !ended(status.phase.as_deref()) || ended(before) {
        return;
    }
    let init = status.init_container_statuses.iter().flatten();
    let mut all = init.chain(status.container_statuses.iter().flatten());
    if all.any(|c| c.state.as_ref().is_some_and(|state| state.running.is_some())) {
        status.phase = Some(before.unwrap_or("Running").to_owned());
        status.reason.clone_from(&memory.status.reason);
        status.message.clone_from(&memory.status.message);
    }
}

fn set_containers(
    pod: &Pod,
    seen: &Observation,
    memory: &Memory,
    now: Timestamp,
    status: &mut PodStatus,
) {
    let list =
        |wanted: fn(Role) -> bool| -> Listed { container_statuses(pod, seen, memory, wanted, now) };
    let some = |list: Listed| (!list.is_empty()).then_some(list);
    status.init_container_statuses = some(list(|role| matches!(role, Role::Init | Role::Sidecar)));
    status.container_statuses = some(list(|role| role == Role::Main));
    status.ephemeral_container_statuses = some(list(|role| role == Role::Ephemeral));
}

fn set_phase(pod: &Pod, memory: &Memory, status: &mut PodStatus) {
    let init = status.init_container_statuses.as_deref().unwrap_or_default();
    let main = status.container_statuses.as_deref().unwrap_or_default();
    let before = memory.status.phase.as_deref();
    let mut now = phase(pod, init, main, memory.finished);
    if let Some(stop) = &memory.stop {
        now = "Failed";
        status.reason = Some(stop.reason.clone());
        status.message = Some(stop.message.clone());
    } else if let Some(ended @ ("Succeeded" | "Failed")) = before {
        // A phase that ended does not come back.
        now = if ended == "Failed" { "Failed" } else { "Succeeded" };
        status.reason.clone_from(&memory.status.reason);
        status.message.clone_from(&memory.status.message);
    }
    status.phase = Some(now.to_owned());
}

fn set_addresses(pod: &Pod, memory: &Memory, node: &[IpAddr], status: &mut PodStatus) {
    let text = |list: &[IpAddr]| list.iter().map(IpAddr::to_string).collect::<Vec<_>>();
    let host = text(node);
    status.host_ip = host.first().cloned();
    status.host_ips = Some(host.iter().map(|ip| HostIP { ip: ip.clone() }).collect());
    let own = match pod.on_host_network() {
        true => host,
        false if memory.addresses.is_empty() => {
            // The address of a pod that ended stays in its status.
            memory.status.pod_ips.iter().flatten().map(|p| p.ip.clone()).collect()
        }
        false => text(&memory.addresses),
    };
    status.pod_ip = own.first().cloned();
    status.pod_ips = (!own.is_empty()).then(|| own.into_iter().map(|ip| PodIP { ip }).collect());
}

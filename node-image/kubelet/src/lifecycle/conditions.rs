//! `status.conditions`: the kubelet's five, with transition times, beside those of others.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::pod::{PodExt, Role};
use crate::resize::Resizing;

/// The kubelet's conditions, in upstream's order.
pub const OWNED: [&str; 5] =
    ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// Conditions that the kubelet sets and takes away as things happen.
const PASSING: [&str; 3] = ["PodResizeInProgress", "PodResizePending", ALL_RESTARTING];
/// In pods whose containers may all start anew together.
const ALL_RESTARTING: &str = "AllContainersRestarting";
/// What the kubelet writes into `DisruptionTarget`, which others write too.
const DISRUPTED: &str = "TerminationByKubelet";

/// Whether a condition is the kubelet's to write.
pub fn is_owned(kind: &str, reason: &str) -> bool {
    OWNED.contains(&kind)
        || PASSING.contains(&kind)
        || (kind == "DisruptionTarget" && reason == DISRUPTED)
}

/// What a condition says before its times are known.
struct Verdict {
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn holds() -> Verdict {
        Verdict { holds: true, reason: "", message: String::new() }
    }

    fn fails(reason: &'static str, message: String) -> Verdict {
        Verdict { holds: false, reason, message }
    }
}

/// Replaces the kubelet's conditions in `status` by those its other fields ask for. `status` still
/// holds the conditions known so far.
pub fn set_conditions(pod: &Pod, status: &mut PodStatus, on_network: bool, now: Timestamp) {
    let containers_ready = containers_ready(pod, status);
    let ready = ready(pod, status, &containers_ready);
    let verdicts = [
        Verdict { holds: on_network, reason: "", message: String::new() },
        initialized(pod, status),
        ready,
        containers_ready,
        Verdict::holds(),
    ];
    let known = status.conditions.take().unwrap_or_default();
    let mut conditions: Vec<PodCondition> =
        known.iter().filter(|c| !OWNED.contains(&c.type_.as_str())).cloned().collect();
    conditions.retain(|c| !PASSING.contains(&c.type_.as_str()));
    for (name, verdict) in OWNED.iter().zip(verdicts) {
        let before = known.iter().find(|c| c.type_ == *name);
        conditions.push(condition(name, verdict, before, pod.metadata.generation, now));
    }
    status.conditions = Some(conditions);
}

/// Adds what a resize has to tell. `before` are the conditions told before.
pub fn set_resizing(
    pod: &Pod,
    status: &mut PodStatus,
    resizing: &Resizing,
    before: &[PodCondition],
    now: Timestamp,
) {
    let mut add = |kind: &str, reason: &'static str, message: &str| {
        let known = before.iter().find(|c| c.type_ == kind);
        let verdict = Verdict { holds: true, reason, message: message.to_owned() };
        let made = condition(kind, verdict, known, pod.metadata.generation, now);
        status.conditions.get_or_insert_default().push(made);
    };
    if let Some(pending) = &resizing.pending {
        add("PodResizePending", pending.reason, &pending.message);
    }
    match &resizing.error {
        Some(error) => add("PodResizeInProgress", "Error", error),
        None if resizing.in_progress => add("PodResizeInProgress", "", ""),
        None => {}
    }
}

/// Whether all containers are about to start anew; `before` are the conditions told before.
pub fn set_all_restarting(
    pod: &Pod,
    status: &mut PodStatus,
    restarting: bool,
    before: &[PodCondition],
    now: Timestamp,
) {
    let verdict = match (status.phase.as_deref(), restarting) {
        (Some("Succeeded"), _) => Verdict::fails("PodCompleted", String::new()),
        (Some("Failed"), _) => Verdict::fails("PodFailed", String::new()),
        (_, false) => Verdict::fails("", String::new()),
        (_, true) => Verdict {
            holds: true,
            reason: "RestartAllContainersStarted",
            message: "container exited with restart policy rule".into(),
        },
    };
    let known = before.iter().find(|c| c.type_ == ALL_RESTARTING);
    let made = condition(ALL_RESTARTING, verdict, known, pod.metadata.generation, now);
    status.conditions.get_or_insert_default().push(made);
}

/// The kubelet ends the pod for a reason of its own.
pub fn set_disrupted(pod: &Pod, status: &mut PodStatus, message: &str, now: Timestamp) {
    const KIND: &str = "DisruptionTarget";
    let conditions = status.conditions.get_or_insert_default();
    if !conditions.iter().any(|known| known.type_ == KIND && known.status == "True") {
        let verdict = Verdict { holds: true, reason: DISRUPTED, message: message.to_owned() };
        conditions.push(condition(KIND, verdict, None, pod.metadata.generation, now));
    }
}

fn condition(
    name: &str,
    verdict: Verdict,
    before: Option<&PodCondition>,
    generation: Option<i64>,
    now: Timestamp,
) -> PodCondition {
    let status = if verdict.holds { "True" } else { "False" };
    let since = before.filter(|c| c.status == status).and_then(|c| c.last_transition_time.clone());
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    PodCondition {
        type_: name.to_owned(),
        status: status.to_owned(),
        reason: text(verdict.reason),
        message: text(&verdict.message),
        last_transition_time: Some(since.unwrap_or(Time(now))),
        last_probe_time: before.and_then(|c| c.last_probe_time.clone()),
        observed_generation: generation,
    }
}

fn initialized(pod: &Pod, status: &PodStatus) -> Verdict {
    if status.phase.as_deref() == Some("Succeeded") {
        return Verdict { holds: true, reason: "PodCompleted", message: String::new() };
    }
    if any_main_ran(status) {
        return Verdict::holds();
    }
    let incomplete = |role: Role, s: Option<&ContainerStatus>| match role {
        Role::Sidecar => s.is_none_or(|s| s.started != Some(true)),
        _ => s.is_none_or(|s| !s.ready),
    };
    let statuses = status.init_container_statuses.as_deref().unwrap_or_default();
    let names: Vec<String> = pod
        .members()
        .iter()
        .filter(|m| matches!(m.role, Role::Init | Role::Sidecar))
        .filter(|m| incomplete(m.role, statuses.iter().find(|s| s.name == m.name())))
        .map(|m| m.name().to_owned())
        .collect();
    if names.is_empty() {
        return Verdict::holds();
    }
    let message = format!("containers with incomplete status: [{}]", names.join(" "));
    Verdict::fails("ContainersNotInitialized", message)
}

fn any_main_ran(status: &PodStatus) -> bool {
    let ran = |s: &ContainerStatus| {
        let state = s.state.as_ref();
        s.last_state.as_ref().is_some_and(|l| l.terminated.is_some())
            || state.is_some_and(|s| s.running.is_some() || s.terminated.is_some())
    };
    status.container_statuses.iter().flatten().any(ran)
}

fn containers_ready(pod: &Pod, status: &PodStatus) -> Verdict {
    match status.phase.as_deref() {
        Some("Succeeded") => return Verdict::fails("PodCompleted", String::new()),
        Some("Failed") => return Verdict::fails("PodFailed", String::new()),
        _ => {}
    }
    let (mut unknown, mut unready) = (Vec::new(), Vec::new());
    let init = status.init_container_statuses.iter().flatten();
    let all: Vec<&ContainerStatus> =
        init.chain(status.container_statuses.iter().flatten()).collect();
    for member in pod.members() {
        if !matches!(member.role, Role::Main | Role::Sidecar) {
            continue;
        }
        match all.iter().find(|s| s.name == member.name()) {
            None => unknown.push(member.name().to_owned()),
            Some(s) if !s.ready => unready.push(member.name().to_owned()),
            Some(_) => {}
        }
    }
    let list = |what: &str, names: &[String]| {
        (!names.is_empty()).then(|| format!("containers with {what} status: [{}]", names.join(" ")))
    };
    let parts: Vec<String> =
        [list("unknown", &unknown), list("unready", &unready)].into_iter().flatten().collect();
    match parts.is_empty() {
        true => Verdict::holds(),
        false => Verdict::fails("ContainersNotReady", parts.join(", ")),
    }
}

fn ready(pod: &Pod, status: &PodStatus, containers: &Verdict) -> Verdict {
    if !containers.holds {
        return Verdict::fails(containers.reason, containers.message.clone());
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let mut missing = Vec::new();
    for gate in pod.spec().readiness_gates.iter().flatten() {
        let name = &gate.condition_type;
        match conditions.iter().find(|c| c.type_ == *name) {
            None => missing.push(format!(
                "corresponding condition of pod readiness gate \"{name}\" does not exist."
            )),
            Some(c) if c.status != "True" => missing.push(format!(
                "the status of pod readiness gate \"{name}\" is not \"True\", but {}",
                c.status
            )),
            Some(_) => {}
        }
    }
    match missing.is_empty() {
        true => Verdict::holds(),
        false => Verdict::fails("ReadinessGatesNotReady", missing.join(", ")),
    }
}

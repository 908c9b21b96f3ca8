//! When a container that ended runs again, and when one that runs must be replaced.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, Pod};
use kd_runtime::{ContainerState, ContainerStatus};

use super::observation::{Observation, annotation};
use crate::pod::{Member, PodExt, Role};

const RESTART_ALL: &str = "RestartAllContainers";
/// The actions by which a container runs again.
const RESTARTING: [&str; 2] = ["Restart", RESTART_ALL];

/// Whether a container in this state is to be started (again).
pub fn should_start(pod: &Pod, member: &Member<'_>, status: Option<&ContainerStatus>) -> bool {
    let Some(status) = status else { return true };
    match &status.state {
        ContainerState::Running { .. } => false,
        ContainerState::Created => true,
        ContainerState::Exited(exit) => restarts(pod, member, exit.code),
    }
}

/// Whether a container that ended with `code` runs again.
pub fn restarts(pod: &Pod, member: &Member<'_>, code: i32) -> bool {
    match member.role {
        Role::Sidecar => return true,
        Role::Ephemeral => return false,
        Role::Init | Role::Main => {}
    }
    let rules = member.container.restart_policy_rules.iter().flatten();
    if rules
        .into_iter()
        .any(|rule| RESTARTING.contains(&rule.action.as_str()) && matches(rule, code))
    {
        return true;
    }
    let own = member.container.restart_policy.as_deref().filter(|policy| !policy.is_empty());
    match own.unwrap_or(pod.restart_policy()) {
        "Never" => false,
        "OnFailure" => code != 0,
        // An init container that succeeded is done whatever the policy.
        _ => member.role != Role::Init || code != 0,
    }
}

/// When a container of the newest sandbox has ended with a code for which all containers of the pod start
/// anew. What was made before that is over.
pub fn all_restart_at(pod: &Pod, seen: &Observation) -> Option<Timestamp> {
    if !may_restart_all(pod) {
        return None;
    }
    let members = pod.members();
    let ends = seen.sandbox()?.containers.iter().filter_map(|container| {
        let ContainerState::Exited(exit) = &container.state else { return None };
        let member = members.iter().find(|member| member.name() == container.spec.name)?;
        let mut rules = member.container.restart_policy_rules.iter().flatten();
        let all = rules.any(|rule| rule.action == RESTART_ALL && matches(rule, exit.code));
        all.then_some(exit.finished_at)
    });
    ends.max()
}

/// Whether a container of the pod has a rule by which all of them start anew.
pub fn may_restart_all(pod: &Pod) -> bool {
    let has = |member: &Member<'_>| {
        let mut rules = member.container.restart_policy_rules.iter().flatten();
        rules.any(|rule| rule.action == RESTART_ALL)
    };
    pod.members().iter().any(has)
}

fn matches(rule: &ContainerRestartRule, code: i32) -> bool {
    let Some(codes) = &rule.exit_codes else { return false };
    let listed = codes.values.iter().flatten().any(|value| *value == code);
    match codes.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    }
}

/// Whether the container was made from another specification than the pod has now.
pub fn definition_changed(container: &Container, status: &ContainerStatus) -> bool {
    let made_from = status.spec.annotations.get(annotation::HASH);
    made_from.is_some_and(|hash| *hash != container_hash(container))
}

/// A stable hash of what cannot change in place: name and image, as upstream's.
pub fn container_hash(container: &Container) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let image = container.image.as_deref().unwrap_or_default();
    for byte in container.name.bytes().chain([0]).chain(image.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}

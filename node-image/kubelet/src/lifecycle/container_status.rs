//! `status.containerStatuses` and its two sisters.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState as State, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus as Status, ContainerUser, LinuxContainerUser, Pod,
    PodStatus, ResourceRequirements, VolumeMount, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kd_runtime::{ContainerState, ContainerStatus, Exit};

use super::observation::{Memory, Observation, Outcome, ProbeKind, annotation};
use super::resize::actual;
use super::restart::restarts;
use crate::pod::{Member, PodExt, Role};

/// The scheme of `containerID`.
pub const ID_SCHEME: &str = "kd://";

/// The reason of a container that is gone without a trace.
pub const REASON_UNKNOWN: &str = "ContainerStatusUnknown";
/// Its message.
pub const MESSAGE_UNKNOWN: &str = "The container could not be located when the pod was terminated";

/// Of all termination messages of a pod.
const MESSAGES_BYTES_MAX: usize = 12 * 1024;

/// Statuses in the order of the specification.
pub type Listed = Vec<Status>;

/// The statuses of the containers with a wanted role.
pub fn container_statuses(
    pod: &Pod,
    seen: &Observation,
    memory: &Memory,
    wanted: fn(Role) -> bool,
    now: Timestamp,
) -> Listed {
    let members = pod.members();
    let has_init = members.iter().any(|m| matches!(m.role, Role::Init | Role::Sidecar));
    let context = Context { pod, seen, memory, has_init, now };
    members.iter().filter(|m| wanted(m.role)).map(|m| context.status(m)).collect()
}

/// The attempt after the one that a status tells of, for containers the runtime no longer knows.
pub fn attempt_after(status: &PodStatus, name: &str) -> u32 {
    let Some(known) = find_status(status, name).filter(|s| ran(s)) else { return 0 };
    u32::try_from(known.restart_count).unwrap_or(0) + u32::from(known.container_id.is_some())
}

fn ran(status: &Status) -> bool {
    let past = |s: &State| s.running.is_some() || s.terminated.is_some();
    status.state.as_ref().is_some_and(past) || status.last_state.as_ref().is_some_and(past)
}

/// What a pod's status tells of a container of any sort.
pub fn find_status<'a>(status: &'a PodStatus, name: &str) -> Option<&'a Status> {
    let lists = [
        &status.init_container_statuses,
        &status.container_statuses,
        &status.ephemeral_container_statuses,
    ];
    lists.into_iter().flatten().flatten().find(|s| s.name == name)
}

struct Context<'a> {
    pod: &'a Pod,
    seen: &'a Observation,
    memory: &'a Memory,
    has_init: bool,
    now: Timestamp,
}

impl Context<'_> {
    fn status(&self, member: &Member<'_>) -> Status {
        let mut status = match self.seen.latest(member.name()) {
            Some(container) => self.known(member, container),
            None => self.unknown(member),
        };
        status.volume_mounts = mounts(member);
        if member.role == Role::Main {
            status.allocated_resources_status = self.seen.devices.get(member.name()).cloned();
        }
        status
    }

    fn known(&self, member: &Member<'_>, container: &ContainerStatus) -> Status {
        let note = |key| container.spec.annotations.get(key).cloned();
        let mut status = Status {
            name: member.name().to_owned(),
            container_id: Some(format!("{ID_SCHEME}{}", container.id)),
            image: note(annotation::IMAGE_NAME).unwrap_or_else(|| container.spec.image.clone()),
            image_id: note(annotation::IMAGE_REFERENCE)
                .unwrap_or_else(|| container.spec.image_id.clone()),
            restart_count: i32::try_from(container.spec.attempt).unwrap_or(i32::MAX),
            state: Some(self.state(container)),
            last_state: Some(self.last_state(member.name())),
            started: Some(false),
            user: user(container),
            ..Status::default()
        };
        self.set_resources(member, container, &mut status);
        self.set_ready(member, container, &mut status);
        self.set_waiting(member, container, &mut status);
        status
    }

    fn state(&self, container: &ContainerStatus) -> State {
        match &container.state {
            ContainerState::Created => waiting("ContainerCreating", ""),
            ContainerState::Running { started_at } => State {
                running: Some(ContainerStateRunning { started_at: Some(Time(*started_at)) }),
                ..State::default()
            },
            ContainerState::Exited(exit) => {
                let message = self.seen.messages.get(&container.id);
                terminated(container, exit, message.map(|message| self.shortened(message)))
            }
        }
    }

    /// A termination message's share of what the messages of a pod may take together.
    fn shortened<'m>(&self, message: &'m str) -> &'m str {
        let share = MESSAGES_BYTES_MAX / self.pod.members().len().max(1);
        let mut end = share.min(message.len());
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        &message[..end]
    }

    fn last_state(&self, name: &str) -> State {
        match self.seen.previous(name) {
            Some(before) => match &before.state {
                ContainerState::Exited(_) => self.state(before),
                _ => State::default(),
            },
            // Its container was lost or removed: what was told of it still holds.
            None => find_status(&self.memory.status, name)
                .filter(|known| {
                    self.seen.latest(name).is_some_and(|c| c.spec.attempt > 0 && is_of(known, c))
                })
                .and_then(|known| known.last_state.clone())
                .unwrap_or_default(),
        }
    }

    fn set_ready(&self, member: &Member<'_>, container: &ContainerStatus, status: &mut Status) {
        match &container.state {
            ContainerState::Running { .. } => {
                let started =
                    self.memory.started(container, member.container.startup_probe.is_some());
                let probed = match member.container.readiness_probe {
                    Some(_) => {
                        self.memory.probe(container, ProbeKind::Readiness) == Some(Outcome::Success)
                    }
                    None => true,
                };
                status.started = Some(started);
                // A plain init container is ready only when it is done.
                status.ready = started
                    && match member.role {
                        Role::Main | Role::Sidecar => probed && !self.memory.finished,
                        Role::Init | Role::Ephemeral => false,
                    };
            }
            ContainerState::Exited(exit) => {
                status.ready = member.role == Role::Init && exit.code == 0;
            }
            ContainerState::Created => {}
        }
    }

    /// A container that ended and is to run again shows what it waits for.
    fn set_waiting(&self, member: &Member<'_>, container: &ContainerStatus, status: &mut Status) {
        let ended = match &container.state {
            ContainerState::Exited(exit) => Some(exit),
            ContainerState::Running { .. } => return,
            ContainerState::Created => None,
        };
        let ending =
            self.memory.finished || self.memory.stop.is_some() || self.pod.deleted_at().is_some();
        if ending || ended.is_some_and(|exit| !restarts(self.pod, member, exit.code)) {
            return;
        }
        let Some(why) = self.memory.waiting.get(member.name()) else { return };
        let state = status.state.replace(waiting(&why.reason, &why.message));
        if ended.is_some() {
            status.last_state = state;
        }
    }

    /// The runtime knows no container of this name: not made yet, or lost.
    fn unknown(&self, member: &Member<'_>) -> Status {
        let mut status = Status {
            name: member.name().to_owned(),
            image: member.container.image.clone().unwrap_or_default(),
            last_state: Some(State::default()),
            started: Some(false),
            ..Status::default()
        };
        let known = find_status(&self.memory.status, member.name());
        if let Some(known) = known.filter(|known| ran(known)) {
            return self.lost(known);
        }
        let reason = if self.has_init { "PodInitializing" } else { "ContainerCreating" };
        status.state = Some(match self.memory.waiting.get(member.name()) {
            Some(why) => waiting(&why.reason, &why.message),
            None => waiting(reason, ""),
        });
        status
    }

    /// A container that ran by what was told of it, and is gone without a trace.
    fn lost(&self, known: &Status) -> Status {
        let mut status = known.clone();
        status.ready =
            status.ready && status.state.as_ref().is_some_and(|s| s.terminated.is_some());
        status.started = Some(false);
        let ended = known.state.as_ref().and_then(|s| s.terminated.clone());
        let ending = self.memory.finished || self.pod.deleted_at().is_some();
        let last = State {
            terminated: Some(ended.unwrap_or_else(|| self.vanished(known))),
            ..State::default()
        };
        if ending || known.state.as_ref().is_some_and(|s| s.terminated.is_some()) {
            status.state = Some(last);
        } else {
            if known.state.as_ref().is_some_and(|s| s.running.is_some()) {
                status.last_state = Some(last);
            }
            let why = self.memory.waiting.get(&known.name);
            status.state = Some(match why {
                Some(why) => waiting(&why.reason, &why.message),
                None => waiting("ContainerCreating", ""),
            });
        }
        status
    }

    fn vanished(&self, known: &Status) -> ContainerStateTerminated {
        let started_at = known
            .state
            .as_ref()
            .and_then(|s| s.running.as_ref())
            .and_then(|r| r.started_at.clone());
        ContainerStateTerminated {
            exit_code: 137,
            reason: Some(REASON_UNKNOWN.into()),
            message: Some(MESSAGE_UNKNOWN.into()),
            started_at,
            finished_at: Some(Time(self.now)),
            container_id: known.container_id.clone(),
            signal: None,
        }
    }

    fn set_resources(&self, member: &Member<'_>, container: &ContainerStatus, status: &mut Status) {
        if member.role == Role::Ephemeral {
            return;
        }
        let granted = member.container.resources.clone().unwrap_or_default();
        status.allocated_resources = granted.requests.clone().filter(|r| !r.is_empty());
        let has = match container.state {
            ContainerState::Running { .. } => actual(self.pod, member, container),
            _ => granted,
        };
        status.resources = Some(ResourceRequirements { claims: None, ..has });
    }
}

/// Whether a told status is about this container or the one right before it.
fn is_of(known: &Status, container: &ContainerStatus) -> bool {
    known.container_id.as_deref().and_then(|id| id.strip_prefix(ID_SCHEME)) == Some(&container.id)
}

fn waiting(reason: &str, message: &str) -> State {
    State {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message: (!message.is_empty()).then(|| message.to_owned()),
        }),
        ..State::default()
    }
}

fn terminated(container: &ContainerStatus, exit: &Exit, message: Option<&str>) -> State {
    let reason = match (&exit.error, exit.oom_killed, exit.code) {
        _ if exit.lost => "Unknown",
        (Some(_), _, 128) => "StartError",
        (Some(_), ..) => "ContainerCannotRun",
        (None, true, _) => "OOMKilled",
        (None, false, 0) => "Completed",
        (None, false, _) => "Error",
    };
    let message = message.filter(|m| !m.is_empty()).or(exit.error.as_deref());
    State {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(format!("{ID_SCHEME}{}", container.id)),
            exit_code: exit.code,
            signal: None,
            reason: Some(reason.to_owned()),
            message: message.map(str::to_owned),
            started_at: exit.started_at.or(Some(Timestamp::UNIX_EPOCH)).map(Time),
            finished_at: Some(Time(exit.finished_at)),
        }),
        ..State::default()
    }
}

fn user(container: &ContainerStatus) -> Option<ContainerUser> {
    let user = container.user.as_ref()?;
    Some(ContainerUser {
        linux: Some(LinuxContainerUser {
            uid: user.uid,
            gid: user.gid,
            supplemental_groups: Some(user.supplemental_groups.clone()),
        }),
    })
}

fn mounts(member: &Member<'_>) -> Option<Vec<VolumeMountStatus>> {
    let mounts = member.container.volume_mounts.as_ref()?;
    let told = mounts.iter().map(|m| VolumeMountStatus {
        name: m.name.clone(),
        mount_path: m.mount_path.clone(),
        read_only: m.read_only.filter(|read_only| *read_only),
        recursive_read_only: (m.read_only == Some(true)).then(|| recursive(m).into()),
        volume_status: None,
    });
    Some(told.collect())
}

/// How a mount that is read-only was made: what is to be so if possible is so here.
fn recursive(mount: &VolumeMount) -> &'static str {
    match mount.recursive_read_only.as_deref() {
        Some("Enabled" | "IfPossible") => "Enabled",
        _ => "Disabled",
    }
}

//! `status.phase` from the states of the containers.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};

use super::restart::restarts;
use crate::pod::{Member, PodExt, Role};

/// The phase of a pod whose containers have these statuses. `finished`: nothing of it will run
/// again.
pub fn phase(
    pod: &Pod,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
    finished: bool,
) -> &'static str {
    let count = Count::of(pod, init, main);
    if count.init_failed {
        return "Failed";
    }
    if finished && count.all_ended() {
        return if count.succeeded == count.ended { "Succeeded" } else { "Failed" };
    }
    if count.init_pending || count.waiting > 0 || count.missing > 0 {
        return "Pending";
    }
    if count.running > 0 || count.sidecar_runs {
        return "Running";
    }
    if count.ended == 0 {
        return "Pending";
    }
    match count.restarting > 0 || pod.restart_policy() == "Always" {
        true => "Running",
        false if count.succeeded == count.ended => "Succeeded",
        false => "Failed",
    }
}

#[derive(Default)]
struct Count {
    init_pending: bool,
    /// An init container failed and is not tried again.
    init_failed: bool,
    sidecar_runs: bool,
    running: usize,
    waiting: usize,
    missing: usize,
    ended: usize,
    succeeded: usize,
    /// Of those that ended.
    restarting: usize,
}

impl Count {
    fn of(pod: &Pod, init: &[ContainerStatus], main: &[ContainerStatus]) -> Count {
        let mut count = Count::default();
        let initialized = main.iter().any(|c| ended(c).is_some() || runs(c));
        for member in pod.members() {
            let list = if member.role == Role::Main { main } else { init };
            let status = list.iter().find(|c| c.name == member.name());
            match member.role {
                Role::Init => count.init(pod, &member, status, initialized),
                Role::Sidecar => count.sidecar(status, initialized),
                Role::Main => count.main(pod, &member, status),
                Role::Ephemeral => {}
            }
        }
        count
    }

    fn all_ended(&self) -> bool {
        self.running == 0 && self.waiting == 0 && self.missing == 0 && self.ended > 0
    }

    fn init(
        &mut self,
        pod: &Pod,
        member: &Member<'_>,
        status: Option<&ContainerStatus>,
        initialized: bool,
    ) {
        match status.and_then(ended) {
            Some(0) => {}
            Some(code) if !restarts(pod, member, code) && !initialized => self.init_failed = true,
            _ => self.init_pending |= !initialized,
        }
    }

    fn sidecar(&mut self, status: Option<&ContainerStatus>, initialized: bool) {
        let started = status.is_some_and(|s| s.started == Some(true));
        self.sidecar_runs |= status.is_some_and(runs) && initialized;
        self.init_pending |= !started && !initialized;
    }

    fn main(&mut self, pod: &Pod, member: &Member<'_>, status: Option<&ContainerStatus>) {
        let Some(status) = status else {
            self.missing += 1;
            return;
        };
        match ended(status) {
            _ if runs(status) => self.running += 1,
            Some(code) => {
                self.ended += 1;
                self.succeeded += usize::from(code == 0);
                self.restarting += usize::from(restarts(pod, member, code));
            }
            None => self.waiting += 1,
        }
    }
}

fn runs(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|s| s.running.is_some())
}

/// The exit code of a container that ended, also when it waits for its next start.
fn ended(status: &ContainerStatus) -> Option<i32> {
    let code = |s: &ContainerState| s.terminated.as_ref().map(|t| t.exit_code);
    let state = status.state.as_ref()?;
    match state.waiting {
        Some(_) => status.last_state.as_ref().and_then(code),
        None => code(state),
    }
}

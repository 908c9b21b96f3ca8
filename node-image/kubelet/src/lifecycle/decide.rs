//! What to do next with a pod that is to run.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Probe};
use kd_runtime::{ContainerState, ContainerStatus};

use super::backoff::later;
use super::observation::{Memory, Observation, Outcome, ProbeKind, Waiting, is_running};
use super::resize::{Change, change};
use super::restart::{all_restart_at, container_hash, definition_changed, restarts, should_start};
use crate::pod::{Member, PodExt, Role};

/// Actions on a pod, in the order in which they are carried out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Make a new sandbox with this attempt number (after stopping older ones).
    pub sandbox: Option<u32>,
    /// Containers to stop.
    pub kill: Vec<Kill>,
    /// Containers to create and start, in order.
    pub start: Vec<Start>,
    /// Containers that wait for their back-off.
    pub held: Vec<Held>,
    /// Nothing of the pod runs or will run again.
    pub finished: bool,
    /// When to decide again without an event.
    pub wake_at: Option<Timestamp>,
}

/// A container to start.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Its name.
    pub name: String,
    /// How many containers of this name the pod had before.
    pub attempt: u32,
}

/// A container to stop.
#[derive(Clone, Debug, PartialEq)]
pub struct Kill {
    /// Its runtime id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The sentence of the `Killing` event.
    pub message: String,
    /// Overrides the pod's grace period.
    pub grace: Option<Duration>,
}

/// A container in crash-loop back-off.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Its name.
    pub name: String,
    /// What its status says.
    pub waiting: Waiting,
}

/// Decides what to do next with a pod that is to run. Reads everything, remembers nothing; called
/// again after every event, it finds the same answer until something changed.
pub fn decide(pod: &Pod, seen: &Observation, memory: &Memory, now: Timestamp) -> Plan {
    let over_at = all_restart_at(pod, seen);
    let plan = Plan::default();
    let mut decision = Decision { pod, seen, memory, now, fresh: false, over_at, plan };
    decision.run();
    decision.plan
}

/// The key of a container's crash-loop back-off: another image starts afresh.
pub fn backoff_key(member: &Member<'_>) -> String {
    format!("{}_{}", member.name(), container_hash(&member.container))
}

struct Decision<'a> {
    pod: &'a Pod,
    seen: &'a Observation,
    memory: &'a Memory,
    now: Timestamp,
    /// A new sandbox is needed: containers of older ones do not count as running.
    fresh: bool,
    /// All containers start anew: those that were made before are over.
    over_at: Option<Timestamp>,
    plan: Plan,
}

/// What to do with the containers after this one.
enum Next {
    /// It is done or runs beside the others.
    Proceed,
    /// The others wait for it.
    Wait,
    /// It failed for good: the pod ends.
    Fail,
}

impl<'a> Decision<'a> {
    fn run(&mut self) {
        let members = self.pod.members();
        self.fresh = !self.seen.sandbox().is_some_and(|s| s.ready);
        if self.fresh && !self.plan_sandbox(&members) {
            return;
        }
        if !self.fresh && self.kill_what_is_over(&members) {
            return;
        }
        let initialized = self.has_initialized(&members);
        if !self.init_containers(&members, initialized) {
            return;
        }
        self.ephemeral_containers(&members);
        self.main_containers(&members);
    }

    /// Whether to go on, with a new sandbox.
    fn plan_sandbox(&mut self, members: &[Member<'a>]) -> bool {
        let attempt = self.seen.sandbox().map_or(0, |s| s.spec.pod.attempt + 1);
        let wanted = attempt == 0 || self.any_would_start(members);
        if !wanted {
            self.plan.finished = true;
            return false;
        }
        if let Some(waiting) = &self.memory.sandbox_waiting
            && self.now < waiting.retry_at
        {
            self.wake(waiting.retry_at);
            return false;
        }
        self.plan.sandbox = Some(attempt);
        true
    }

    /// A pod whose main containers all ended for good needs no new sandbox.
    fn any_would_start(&self, members: &[Member<'a>]) -> bool {
        let mut mains = members.iter().filter(|m| m.role == Role::Main);
        mains.any(|m| match self.seen.latest(m.name()).map(|c| &c.state) {
            Some(ContainerState::Exited(exit)) => restarts(self.pod, m, exit.code),
            // Lost with its sandbox: counted as a failure.
            Some(ContainerState::Running { .. }) => restarts(self.pod, m, 137),
            Some(ContainerState::Created) | None => true,
        })
    }

    fn current(&self, name: &str) -> Option<&'a ContainerStatus> {
        if self.fresh { None } else { self.seen.current(name).filter(|c| !self.is_over(c)) }
    }

    fn is_over(&self, container: &ContainerStatus) -> bool {
        self.over_at.is_some_and(|at| container.created_at <= at)
    }

    /// All containers start anew: whether one of before still runs, which the others wait for.
    fn kill_what_is_over(&mut self, members: &[Member<'a>]) -> bool {
        let mut runs = false;
        for member in members.iter().filter(|m| m.role != Role::Ephemeral) {
            let Some(container) = self.seen.current(member.name()) else { continue };
            if !self.is_over(container) || !is_running(&container.state) {
                continue;
            }
            runs = true;
            if !self.memory.stopping.contains(&container.id) {
                let name = member.name();
                self.plan.kill.push(Kill {
                    id: container.id.clone(),
                    name: name.to_owned(),
                    message: format!("Container {name} will be restarted with all others"),
                    grace: None,
                });
            }
        }
        runs
    }

    /// Init containers are over once a main container was made.
    fn has_initialized(&self, members: &[Member<'a>]) -> bool {
        members.iter().any(|m| m.role == Role::Main && self.current(m.name()).is_some())
    }

    /// Whether the main containers may run.
    fn init_containers(&mut self, members: &[Member<'a>], initialized: bool) -> bool {
        for member in members {
            let next = match member.role {
                Role::Init if initialized => Next::Proceed,
                Role::Init => self.init_container(member),
                Role::Sidecar => match self.running_or_start(member) {
                    true => Next::Proceed,
                    false if initialized => Next::Proceed,
                    false => Next::Wait,
                },
                Role::Main | Role::Ephemeral => Next::Proceed,
            };
            match next {
                Next::Proceed => {}
                Next::Wait => return false,
                Next::Fail => {
                    self.plan = Plan { finished: true, ..Plan::default() };
                    return false;
                }
            }
        }
        true
    }

    fn init_container(&mut self, member: &Member<'a>) -> Next {
        match self.current(member.name()).map(|c| &c.state) {
            Some(ContainerState::Exited(exit)) if exit.code == 0 => Next::Proceed,
            Some(ContainerState::Exited(exit)) if !restarts(self.pod, member, exit.code) => {
                Next::Fail
            }
            Some(ContainerState::Running { .. }) => {
                self.running_or_start(member);
                Next::Wait
            }
            _ => {
                self.start(member);
                Next::Wait
            }
        }
    }

    /// Keeps a container running; true once it has started.
    fn running_or_start(&mut self, member: &Member<'a>) -> bool {
        let status = self.current(member.name());
        match status {
            Some(status) if matches!(status.state, ContainerState::Running { .. }) => {
                let killed = self.kill_if_needed(member, status);
                let has_startup_probe = member.container.startup_probe.is_some();
                !killed && self.memory.started(status, has_startup_probe)
            }
            _ => {
                if should_start(self.pod, member, status) {
                    self.start(member);
                }
                false
            }
        }
    }

    fn main_containers(&mut self, members: &[Member<'a>]) {
        let mut alive = false;
        for member in members.iter().filter(|m| m.role == Role::Main) {
            let status = self.current(member.name());
            let runs = status.is_some_and(|s| matches!(s.state, ContainerState::Running { .. }));
            alive |= runs || should_start(self.pod, member, status);
            self.running_or_start(member);
        }
        if !alive {
            self.plan = Plan { finished: true, ..Plan::default() };
        }
    }

    fn ephemeral_containers(&mut self, members: &[Member<'a>]) {
        for member in members.iter().filter(|m| m.role == Role::Ephemeral) {
            if self.seen.latest(member.name()).is_none() {
                self.start(member);
            }
        }
    }

    fn kill_if_needed(&mut self, member: &Member<'a>, status: &ContainerStatus) -> bool {
        if self.memory.stopping.contains(&status.id) {
            return true;
        }
        let Some((message, grace)) = self.reason_to_kill(member, status) else { return false };
        self.plan.kill.push(Kill {
            id: status.id.clone(),
            name: member.name().to_owned(),
            message,
            grace,
        });
        true
    }

    fn reason_to_kill(
        &self,
        member: &Member<'a>,
        status: &ContainerStatus,
    ) -> Option<(String, Option<Duration>)> {
        let name = member.name();
        if definition_changed(&member.container, status) {
            return Some((format!("Container {name} definition changed, will be restarted"), None));
        }
        if change(self.pod, member, status) == Some(Change::Restart) {
            return Some((format!("Container {name} resize requires restart"), None));
        }
        let failed = |kind| self.memory.probe(status, kind) == Some(Outcome::Failure);
        if failed(ProbeKind::Liveness) {
            let message = format!("Container {name} failed liveness probe, will be restarted");
            return Some((message, probe_grace(member.container.liveness_probe.as_ref())));
        }
        if failed(ProbeKind::Startup) {
            let message = format!("Container {name} failed startup probe, will be restarted");
            return Some((message, probe_grace(member.container.startup_probe.as_ref())));
        }
        None
    }

    /// Starts a container unless a delay holds, or it is on its way already.
    fn start(&mut self, member: &Member<'a>) {
        if self.memory.starting.contains(member.name()) {
            return;
        }
        if let Some(waiting) = self.memory.waiting.get(member.name())
            && self.now < waiting.retry_at
        {
            return self.wake(waiting.retry_at);
        }
        if let Some(held) = self.crash_loop(member) {
            self.wake(held.waiting.retry_at);
            return self.plan.held.push(held);
        }
        let attempt = self.next_attempt(member.name());
        self.plan.start.push(Start { name: member.name().to_owned(), attempt });
    }

    fn crash_loop(&self, member: &Member<'a>) -> Option<Held> {
        let ContainerState::Exited(exit) = &self.seen.latest(member.name())?.state else {
            return None;
        };
        let key = backoff_key(member);
        let (delay, until) = self.memory.backoff.holds(&key, exit.finished_at, self.now)?;
        let message = format!(
            "back-off {} restarting failed container={} pod={}",
            shown(delay),
            member.name(),
            self.pod.described()
        );
        let reason = "CrashLoopBackOff".to_owned();
        let waiting = Waiting { reason, message, retry_at: until };
        Some(Held { name: member.name().to_owned(), waiting })
    }

    /// Counts on from the runtime's containers, or from the status when those are lost.
    fn next_attempt(&self, name: &str) -> u32 {
        let known = self.seen.latest(name).map(|c| c.spec.attempt + 1);
        known.unwrap_or_else(|| super::container_status::attempt_after(&self.memory.status, name))
    }

    fn wake(&mut self, at: Timestamp) {
        let earlier = self.plan.wake_at.map_or(at, |known| known.min(at));
        self.plan.wake_at = Some(earlier);
    }
}

fn probe_grace(probe: Option<&Probe>) -> Option<Duration> {
    let seconds = probe?.termination_grace_period_seconds?;
    Some(Duration::from_secs(seconds.max(1).unsigned_abs()))
}

/// A delay as Go prints it: `10s`, `1m20s`, `5m0s`.
pub fn shown(delay: Duration) -> String {
    match (delay.as_secs() / 60, delay.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

/// The time after which a pod with `activeDeadlineSeconds` is over.
pub fn deadline(pod: &Pod, memory: &Memory) -> Option<Timestamp> {
    let seconds = pod.spec().active_deadline_seconds?;
    let started = memory.status.start_time.as_ref()?.0;
    Some(later(started, Duration::from_secs(seconds.max(0).unsigned_abs())))
}

//! One task per probe of a running container.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Probe};
use kd_runtime::{ContainerState, ContainerStatus, Runtime};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::target::{Target, port_number};
use super::thresholds::Thresholds;
use super::{Look, Timing, exec, grpc, http, tcp};
use crate::events::{EventType, Recorder};
use crate::lifecycle::backoff::since;
use crate::lifecycle::{Outcome, ProbeKind};
use crate::pod::{Member, PodExt};
use crate::stats::ProbeCounts;

/// What probes are made with.
#[derive(Clone)]
pub struct ProbeContext {
    /// For exec probes.
    pub runtime: Arc<dyn Runtime>,
    /// For `Unhealthy`.
    pub events: Arc<Recorder>,
    /// How often each probe found what.
    pub counts: ProbeCounts,
    /// Where results go.
    pub results: mpsc::UnboundedSender<Probed>,
}

/// A result after thresholds.
#[derive(Clone, Debug, PartialEq)]
pub struct Probed {
    /// The container's runtime id.
    pub id: String,
    /// Which probe.
    pub kind: ProbeKind,
    /// What it found.
    pub outcome: Outcome,
}

/// The probes of one pod's containers.
#[derive(Default)]
pub struct Probers {
    tasks: HashMap<(String, ProbeKind), AbortHandle>,
}

impl Drop for Probers {
    fn drop(&mut self) {
        self.keep(|_| false);
    }
}

impl Probers {
    /// Starts what is missing for a running container: the startup probe alone until `started`.
    pub fn watch(
        &mut self,
        context: &ProbeContext,
        pod: &Arc<Pod>,
        member: &Member<'_>,
        container: &ContainerStatus,
        pod_ip: &str,
        started: bool,
    ) {
        let ContainerState::Running { started_at } = container.state else { return };
        let spec = &member.container;
        let kinds = [
            (ProbeKind::Startup, spec.startup_probe.as_ref().filter(|_| !started)),
            (ProbeKind::Liveness, spec.liveness_probe.as_ref().filter(|_| started)),
            (ProbeKind::Readiness, spec.readiness_probe.as_ref().filter(|_| started)),
        ];
        for (kind, probe) in kinds {
            let key = (container.id.clone(), kind);
            let Some(probe) = probe.filter(|_| !self.tasks.contains_key(&key)) else { continue };
            let task = ProbeTask {
                context: context.clone(),
                pod: Arc::clone(pod),
                name: member.name().to_owned(),
                id: container.id.clone(),
                pod_ip: pod_ip.to_owned(),
                kind,
                timing: Timing::of(probe),
                probe: probe.clone(),
            };
            let first =
                task.timing.initial_delay.saturating_sub(since(started_at, Timestamp::now()));
            let handle = tokio::spawn(task.run(first));
            self.tasks.insert(key, handle.abort_handle());
        }
    }

    /// Ends the probes of containers that are not to be watched any more.
    pub fn keep(&mut self, keep: impl Fn(&(String, ProbeKind)) -> bool) {
        self.tasks.retain(|key, task| {
            let kept = keep(key);
            if !kept {
                task.abort();
            }
            kept
        });
    }
}

struct ProbeTask {
    context: ProbeContext,
    pod: Arc<Pod>,
    name: String,
    id: String,
    pod_ip: String,
    kind: ProbeKind,
    timing: Timing,
    probe: Probe,
}

/// The first of the extra looks, see [`ProbeTask::early`].
const EARLY_MIN: Duration = Duration::from_millis(50);
/// How long looks count for nothing at most.
const EARLY_MAX: Duration = Duration::from_secs(2);

impl ProbeTask {
    async fn run(self, first: Duration) {
        tokio::time::sleep(first).await;
        let mut thresholds = Thresholds::default();
        let mut reported = None;
        let mut next = Instant::now();
        if let Some(at) = self.early(next).await {
            next = at;
        }
        loop {
            tokio::time::sleep_until(next).await;
            let look = self.look().await;
            self.tell(&look);
            if let Some(outcome) = thresholds.count(&look, &self.timing)
                && reported != Some(outcome)
            {
                reported = Some(outcome);
                let probed = Probed { id: self.id.clone(), kind: self.kind, outcome };
                if self.context.results.send(probed).is_err() {
                    return;
                }
                // The container is replaced after these; looking on tells nothing.
                let over = match self.kind {
                    ProbeKind::Startup => true,
                    ProbeKind::Liveness => outcome == Outcome::Failure,
                    ProbeKind::Readiness => false,
                };
                if over {
                    return;
                }
            }
            next = (next + self.timing.period).max(Instant::now());
        }
    }

    /// A server that needs a moment to listen would be found ready a whole period late. For a
    /// moment, looks with doubling pauses that count for nothing and tell nothing
    /// find the moment; the first success is then repeated as a look that counts. Commands may
    /// have effects, so they are never run between the periods. Returns when the first look that
    /// counts is due.
    async fn early(&self, begin: Instant) -> Option<Instant> {
        if self.kind == ProbeKind::Liveness || self.probe.exec.is_some() {
            return None;
        }
        let end = begin + self.timing.period.min(EARLY_MAX);
        let mut pause = EARLY_MIN;
        loop {
            if matches!(self.look().await, Look::Success | Look::Warning(_)) {
                return Some(Instant::now());
            }
            let next = Instant::now() + pause;
            if next >= end {
                return Some(end);
            }
            tokio::time::sleep_until(next).await;
            pause *= 2;
        }
    }

    async fn look(&self) -> Look {
        let pod = &self.pod;
        let timeout = self.timing.timeout;
        let Some(member) = pod.member(&self.name) else {
            return Look::Unknown(format!("container {} is gone", self.name));
        };
        if let Some(action) = &self.probe.exec {
            let command = action.command.clone().unwrap_or_default();
            return exec::look(self.context.runtime.as_ref(), &self.id, command, timeout).await;
        }
        if let Some(action) = &self.probe.http_get {
            return match Target::http(action, &member.container, &self.pod_ip) {
                Ok(target) => http::look(&target, timeout).await,
                Err(error) => Look::Unknown(error),
            };
        }
        if let Some(action) = &self.probe.tcp_socket {
            let host = action.host.as_deref().filter(|host| !host.is_empty());
            return match port_number(&action.port, &member.container) {
                Ok(port) => tcp::look(host.unwrap_or(&self.pod_ip), port, timeout).await,
                Err(error) => Look::Unknown(error),
            };
        }
        if let Some(action) = &self.probe.grpc {
            let service = action.service.as_deref().unwrap_or_default();
            return match u16::try_from(action.port) {
                Ok(port) => grpc::look(&self.pod_ip, port, service, timeout).await,
                Err(_) => Look::Unknown(format!("invalid port number: {}", action.port)),
            };
        }
        Look::Unknown("missing probe handler".into())
    }

    fn tell(&self, look: &Look) {
        let Some(member) = self.pod.member(&self.name) else { return };
        let kind = match self.kind {
            ProbeKind::Startup => "Startup",
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Readiness => "Readiness",
        };
        let (reason, message) = match look {
            Look::Success => return self.count(kind, "successful"),
            Look::Warning(text) => ("ProbeWarning", format!("{kind} probe warning: {text}")),
            Look::Failure(text) => ("Unhealthy", format!("{kind} probe failed: {text}")),
            Look::Unknown(text) => {
                ("Unhealthy", format!("{kind} probe errored and resulted in unknown state: {text}"))
            }
        };
        self.count(
            kind,
            match look {
                Look::Success | Look::Warning(_) => "successful",
                Look::Failure(_) => "failed",
                Look::Unknown(_) => "unknown",
            },
        );
        self.context.events.container(&self.pod, &member, EventType::Warning, reason, message);
    }

    fn count(&self, kind: &str, result: &str) {
        let pod = &self.pod;
        let series = [&self.name, pod.namespace(), pod.name(), pod.uid(), kind, result];
        self.context.counts.count(series.map(str::to_owned));
    }
}

//! What a decision stands on: the runtime's state of one pod, and what its worker remembers.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PodStatus, ResourceStatus};
use kd_runtime::{ContainerState, ContainerStatus, SandboxStatus};

use super::backoff::BackOff;
use crate::resize::Resizing;

/// Annotations the kubelet keeps on its containers.
pub mod annotation {
    /// Hash of the specification the container was made from.
    pub const HASH: &str = "io.kubernetes.container.hash";
    /// Normalised name of the image.
    pub const IMAGE_NAME: &str = "io.kd.image-name";
    /// What `status.imageID` shows: a repository digest if there is one.
    pub const IMAGE_REFERENCE: &str = "io.kd.image-reference";
    /// The termination message's file on the node.
    pub const MESSAGE_FILE: &str = "io.kd.termination-message-file";
    /// `terminationMessagePolicy`.
    pub const MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
    /// Grace period of the pod, seconds, for containers whose pod is gone.
    pub const GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";
    /// The pod's address, on sandboxes.
    pub const ADDRESS: &str = "io.kd.pod-address";
}

/// The runtime's state of one pod.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// By attempt, oldest first.
    pub sandboxes: Vec<SandboxStatus>,
    /// Termination messages by container id.
    pub messages: HashMap<String, String>,
    /// Of the devices that containers were given, by the names of these.
    pub devices: HashMap<String, Vec<ResourceStatus>>,
}

impl Observation {
    /// The newest sandbox.
    pub fn sandbox(&self) -> Option<&SandboxStatus> {
        self.sandboxes.last()
    }

    /// The newest container of a name in the newest sandbox.
    pub fn current(&self, name: &str) -> Option<&ContainerStatus> {
        let containers = &self.sandbox()?.containers;
        containers.iter().filter(|c| c.spec.name == name).max_by_key(|c| c.spec.attempt)
    }

    /// The newest container of a name in any sandbox.
    pub fn latest<'a>(&'a self, name: &str) -> Option<&'a ContainerStatus> {
        self.all(name).max_by_key(|c| c.spec.attempt)
    }

    /// The container of that name before the newest one.
    pub fn previous<'a>(&'a self, name: &str) -> Option<&'a ContainerStatus> {
        let newest = self.latest(name)?.spec.attempt;
        self.all(name).filter(|c| c.spec.attempt < newest).max_by_key(|c| c.spec.attempt)
    }

    /// Every container of the pod.
    pub fn containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.sandboxes.iter().flat_map(|s| &s.containers)
    }

    /// Whether a process of the pod runs.
    pub fn runs(&self) -> bool {
        self.containers().any(|c| is_running(&c.state))
    }

    fn all<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a ContainerStatus> + use<'a, 'n> {
        self.containers().filter(move |c| c.spec.name == name)
    }
}

/// Whether the state is Running.
pub fn is_running(state: &ContainerState) -> bool {
    matches!(state, ContainerState::Running { .. })
}

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeKind {
    /// `startupProbe`
    Startup,
    /// `livenessProbe`
    Liveness,
    /// `readinessProbe`
    Readiness,
}

/// What a probe found, after thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded.
    Success,
    /// It failed.
    Failure,
}

/// Why a container is not running and what is shown for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// `state.waiting.reason`
    pub reason: String,
    /// `state.waiting.message`
    pub message: String,
    /// Not tried again before.
    pub retry_at: Timestamp,
}

/// Why a pod as a whole ends, and what its status says.
#[derive(Clone, Debug, PartialEq)]
pub struct Stop {
    /// `status.reason`
    pub reason: String,
    /// `status.message`
    pub message: String,
    /// How long its containers get, when that is not the pod's own grace.
    pub grace: Option<Duration>,
    /// Whether the pod is told to be disrupted (condition `DisruptionTarget`).
    pub disrupts: bool,
}

impl Stop {
    /// An end in the pod's own time.
    pub fn of(reason: &str, message: impl Into<String>) -> Stop {
        Stop { reason: reason.to_owned(), message: message.into(), grace: None, disrupts: false }
    }
}

/// What a pod's worker remembers between decisions.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The status last computed; the API server's at first.
    pub status: PodStatus,
    /// Start failures by container name.
    pub waiting: HashMap<String, Waiting>,
    /// The sandbox could not be made; tried again at its time.
    pub sandbox_waiting: Option<Waiting>,
    /// Crash loops by container name and hash.
    pub backoff: BackOff,
    /// Results of probes by container id.
    pub probes: HashMap<(String, ProbeKind), Outcome>,
    /// Containers whose postStart hook has not returned.
    pub hooks: HashSet<String>,
    /// Containers that are being stopped.
    pub stopping: HashSet<String>,
    /// Names of the containers that a plan under way is about to start.
    pub starting: HashSet<String>,
    /// The pod's address, while its sandbox is on the network.
    pub addresses: Vec<IpAddr>,
    /// Set when the kubelet itself ends the pod.
    pub stop: Option<Stop>,
    /// Where a change of its resources stands.
    pub resizing: Resizing,
    /// Whether the kubelet never let it start (admission).
    pub rejected: bool,
    /// Whether nothing of the pod will run again.
    pub finished: bool,
    /// When the kubelet first saw the pod.
    pub seen_at: Timestamp,
}

impl Memory {
    /// What a probe says of a container.
    pub fn probe(&self, container: &ContainerStatus, kind: ProbeKind) -> Option<Outcome> {
        self.probes.get(&(container.id.clone(), kind)).copied()
    }

    /// Whether a running container has started: its hook returned and its startup probe succeeded.
    pub fn started(&self, container: &ContainerStatus, has_startup_probe: bool) -> bool {
        !self.hooks.contains(&container.id)
            && (!has_startup_probe
                || self.probe(container, ProbeKind::Startup) == Some(Outcome::Success))
    }
}

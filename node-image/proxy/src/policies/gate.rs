//! A pod network whose pods are guarded: a pod gets its link when its policies are in force.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ipnet::IpNet;
use kd_network::{OtherNode, PodLink, PodNetwork, Result, ServicePort};
use tokio::sync::{mpsc, oneshot, watch};

/// How long a pod waits for its policies.
const ENFORCED_TIMEOUT: Duration = Duration::from_secs(5);
/// Pods that wait at a time; more wait for a place.
const WAITING_MAX: usize = 256;

/// A pod that is about to get an address.
pub(super) struct Arrival {
    pub pod: String,
    pub addresses: Vec<IpAddr>,
    pub guarded: oneshot::Sender<()>,
}

/// Where pods are announced.
#[derive(Clone)]
pub struct PolicyGate(mpsc::Sender<Arrival>);

/// What the enforcer hears of pods.
pub struct Arrivals(pub(super) mpsc::Receiver<Arrival>);

/// The two ends: one for the pod network, one for the enforcer.
pub fn policy_gate() -> (PolicyGate, Arrivals) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (PolicyGate(sender), Arrivals(receiver))
}

impl PolicyGate {
    /// Returns once a pod's policies are in force for its addresses, or when they stay unknown: a
    /// node must be able to start its pods while the API server is away.
    async fn wait(&self, pod: &str, addresses: &[IpAddr]) {
        let (guarded, done) = oneshot::channel();
        let addresses = addresses.to_vec();
        let arrival = Arrival { pod: pod.to_owned(), addresses, guarded };
        let asked = async {
            let sent = self.0.send(arrival).await.is_ok();
            sent && done.await.is_ok()
        };
        if !matches!(tokio::time::timeout(ENFORCED_TIMEOUT, asked).await, Ok(true)) {
            tracing::warn!(pod, "the pod starts before its network policies are known");
        }
    }
}

/// A pod network behind a gate.
pub struct GuardedNetwork {
    network: Arc<dyn PodNetwork>,
    gate: PolicyGate,
}

impl GuardedNetwork {
    /// Guards a network.
    pub fn new(network: Arc<dyn PodNetwork>, gate: PolicyGate) -> GuardedNetwork {
        GuardedNetwork { network, gate }
    }
}

#[async_trait]
impl PodNetwork for GuardedNetwork {
    fn own_addresses(&self) -> Option<watch::Receiver<bool>> {
        self.network.own_addresses()
    }

    async fn attach(&self, pod: &PodLink) -> Result<Vec<IpAddr>> {
        self.gate.wait(&pod.uid, &pod.addresses).await;
        self.network.attach(pod).await
    }

    async fn detach(&self, pod: &str) -> Result<()> {
        self.network.detach(pod).await
    }

    async fn attached(&self) -> Result<Vec<(String, Vec<IpAddr>)>> {
        self.network.attached().await
    }

    async fn set_nodes(&self, own: &[IpNet], others: &[OtherNode]) -> Result<()> {
        self.network.set_nodes(own, others).await
    }

    async fn set_masquerade(&self, pods: &[IpNet], others: &[IpNet]) -> Result<()> {
        self.network.set_masquerade(pods, others).await
    }

    async fn set_host_ports(&self, ports: Vec<ServicePort>) -> Result<()> {
        self.network.set_host_ports(ports).await
    }
}

//! A pod network whose pods are guarded: a pod gets its link when its policies are in force, and not
//! before. While they cannot be known, new pods wait.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ipnet::IpNet;
use kd_network::{Error, OtherNode, PodLink, PodNetwork, Result, ServicePort};
use tokio::sync::{mpsc, oneshot, watch};

/// How long a pod waits for its policies; then its kubelet says so, and tries again later.
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
    /// Returns once a pod's policies are in force for its addresses; an error when they stay unknown.
    async fn wait(&self, pod: &str, addresses: &[IpAddr]) -> Result<()> {
        let (guarded, done) = oneshot::channel();
        let addresses = addresses.to_vec();
        let arrival = Arrival { pod: pod.to_owned(), addresses, guarded };
        let asked = async {
            let sent = self.0.send(arrival).await.is_ok();
            sent && done.await.is_ok()
        };
        match tokio::time::timeout(ENFORCED_TIMEOUT, asked).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Error {
                operation: "wait until the pod's network policies are in force".to_owned(),
                source: io::ErrorKind::TimedOut.into(),
            }),
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
        self.gate.wait(&pod.uid, &pod.addresses).await?;
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Remembers the pods that got a link.
    #[derive(Default)]
    struct Links(Mutex<Vec<String>>);

    #[async_trait]
    impl PodNetwork for Links {
        async fn attach(&self, pod: &PodLink) -> Result<Vec<IpAddr>> {
            self.0.lock().unwrap().push(pod.uid.clone());
            Ok(pod.addresses.clone())
        }
        async fn detach(&self, _: &str) -> Result<()> {
            Ok(())
        }
        async fn attached(&self) -> Result<Vec<(String, Vec<IpAddr>)>> {
            Ok(Vec::new())
        }
        async fn set_nodes(&self, _: &[IpNet], _: &[OtherNode]) -> Result<()> {
            Ok(())
        }
        async fn set_masquerade(&self, _: &[IpNet], _: &[IpNet]) -> Result<()> {
            Ok(())
        }
        async fn set_host_ports(&self, _: Vec<ServicePort>) -> Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_without_its_policies_gets_no_link() {
        let links = Arc::new(Links::default());
        let (gate, mut arrivals) = policy_gate();
        let network = GuardedNetwork::new(links.clone(), gate);
        let pod = |uid: &str| PodLink { uid: uid.to_owned(), ..PodLink::default() };
        let late = network.attach(&pod("late")).await.unwrap_err();
        assert!(late.to_string().contains("network policies"), "{late}");
        let _unanswered = arrivals.0.recv().await.unwrap();
        let guard = async { arrivals.0.recv().await.unwrap().guarded.send(()).unwrap() };
        let guarded = pod("guarded");
        let (attached, ()) = tokio::join!(network.attach(&guarded), guard);
        attached.unwrap();
        drop(arrivals);
        assert!(network.attach(&pod("at the end")).await.is_err());
        assert_eq!(*links.0.lock().unwrap(), ["guarded"]);
    }
}

//! The end of the node: containers get their signal and some time before the kernel ends everything.
//! Their pods stay as they are told and go on when the node is started again, unless the kubelet was given
//! a grace period for them: then they end and are told to, and the node says that it is not ready.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Node, Pod};
use kd_runtime::ContainerStatus;

use crate::entry::PodEntry;
use crate::eviction::is_critical;
use crate::hooks;
use crate::kubelet::Kubelet;
use crate::lifecycle::{Stop, is_running};
use crate::pod::PodExt;
use crate::static_pods::is_static;

/// Longer than the node lives.
const NEVER: Duration = Duration::from_secs(3600);
/// The part of the time that is kept for pods that matter to the others.
const CRITICAL_SHARE: u32 = 4;

/// How long the API server may take to hear of something: it may be gone already.
const TOLD_MAX: Duration = Duration::from_secs(1);
/// What is told of pods that end with the node.
const REASON: &str = "Terminated";
const MESSAGE: &str = "Pod was terminated in response to imminent node shutdown.";

/// Lets no pod in that would have to end at once.
pub(crate) fn admit_at_end(kubelet: &Kubelet) -> Result<(), Stop> {
    match *kubelet.ending().borrow() {
        true => Err(Stop::of("NodeShutdown", "Pod was rejected as the node is shutting down.")),
        false => Ok(()),
    }
}

impl Kubelet {
    /// If pods are left time to end with the node: tells that it ends, then ends them. Call it while
    /// [`Kubelet::run`] still runs.
    pub async fn begin_shutdown(&self) {
        let all = self.config().shutdown_grace;
        if all.is_zero() {
            // A node that is not ready would lose its pods when it is started again after a long time.
            return;
        }
        let mut node = self.node_changes();
        self.ending().send_replace(true);
        let told = node.wait_for(|node| node.as_ref().is_some_and(is_not_ready));
        if tokio::time::timeout(TOLD_MAX, told).await.is_err() {
            tracing::info!("the API server was not told that the node ends");
        }
        let kept = self.config().shutdown_grace_critical.min(all);
        let pods =
            self.pods().into_iter().filter(|entry| !entry.has_ended() && !is_static(&entry.pod()));
        let (last, first): (Vec<_>, Vec<_>) = pods.partition(|entry| is_critical(&entry.pod()));
        end_pods(&first, all - kept).await;
        end_pods(&last, kept).await;
    }

    /// Asks all containers to stop, those of critical pods last. Call it when [`Kubelet::run`] has ended:
    /// workers would start them again.
    pub async fn stop_containers(self: &Arc<Self>, within: Duration) {
        let sandboxes = self.runtime().list().await.unwrap_or_default();
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for entry in self.pods() {
            let (pod, known) = (entry.pod(), entry.sandboxes());
            let own = sandboxes.iter().filter(|sandbox| known.contains(&sandbox.id));
            let running = own.flat_map(|s| &s.containers).filter(|c| is_running(&c.state));
            let list = if is_critical(&pod) { &mut last } else { &mut first };
            let address = entry.status().pod_ip.clone().unwrap_or_default();
            list.extend(running.map(|c| (Arc::clone(&pod), c.clone(), address.clone())));
        }
        let kept = if last.is_empty() { Duration::ZERO } else { within / CRITICAL_SHARE };
        for (containers, within) in [(first, within - kept), (last, kept)] {
            let stops = containers
                .iter()
                .map(|(pod, container, address)| self.stop_at_end(pod, container, address, within));
            join_all(stops).await;
        }
    }

    async fn stop_at_end(
        &self,
        pod: &Pod,
        container: &ContainerStatus,
        address: &str,
        within: Duration,
    ) {
        let grace = pod.grace().min(within);
        let begun = tokio::time::Instant::now();
        let member = pod.member(&container.spec.name);
        let hook = member.as_ref().and_then(|member| {
            Some((member, member.container.lifecycle.as_ref()?.pre_stop.as_ref()?))
        });
        if let Some((member, hook)) = hook {
            let running = hooks::run(self.runtime().as_ref(), &container.id, member, hook, address);
            // Nobody is left to be told of a hook that failed or took too long.
            let _ = tokio::time::timeout(grace, running).await;
        }
        let left = grace.saturating_sub(begun.elapsed());
        // What does not end by itself is not killed here: it is lost with the node, and told so.
        let stopping = self.runtime().stop_container(&container.id, left + NEVER);
        if let Ok(Err(error)) = tokio::time::timeout(left, stopping).await {
            tracing::warn!(pod = pod.described(), %error, "cannot stop a container");
        }
    }
}

fn is_not_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status != "True")
}

/// Ends pods, and waits until the API server has heard of that.
async fn end_pods(pods: &[Arc<PodEntry>], within: Duration) {
    for entry in pods {
        let grace = Some(entry.pod().grace().min(within));
        entry.stop(Stop { grace, disrupts: true, ..Stop::of(REASON, MESSAGE) });
    }
    let over = join_all(pods.iter().map(|entry| async {
        entry.ended().await;
        entry.told_as_over().await;
    }));
    if tokio::time::timeout(within + TOLD_MAX, over).await.is_err() {
        tracing::warn!("not all pods have ended in the time that the node has left");
    }
}

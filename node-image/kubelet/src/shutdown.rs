//! The end of the node: containers get their signal and some time before the kernel ends everything.
//! Their pods stay as they are told, and go on when the node is started again.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kd_runtime::ContainerStatus;

use crate::eviction::is_critical;
use crate::hooks;
use crate::kubelet::Kubelet;
use crate::lifecycle::is_running;
use crate::pod::PodExt;

/// Longer than the node lives.
const NEVER: Duration = Duration::from_secs(3600);
/// The part of the time that is kept for pods that matter to the others.
const CRITICAL_SHARE: u32 = 4;

impl Kubelet {
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

//! Changing the resources of a pod that runs: what is granted, then what is carried out.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kd_runtime::{ContainerStatus, Resources, SandboxStatus};
use serde_json::json;

use super::{News, Worker};
use crate::events::EventType;
use crate::kubelet::Kubelet;
use crate::lifecycle::backoff::later;
use crate::lifecycle::resize::{Change, change, group_differs};
use crate::lifecycle::{Observation, is_running};
use crate::pod::PodExt;
use crate::qos::{container_limits, pod_limits};
use crate::resize::{Allocation, granted};

/// How long a change that failed rests.
const RETRY: Duration = Duration::from_secs(10);

impl Worker {
    /// Grants what the specification asks for now, if the node has room.
    pub(super) fn allocate(&mut self) {
        let pod = self.entry.pod();
        let asked = Allocation::asked(&pod);
        if !self.admitted {
            return self.entry.set_allocation(asked);
        }
        let directory = self.kubelet.config().pod_directory(pod.uid());
        let Some(has) = self.entry.allocation().or_else(|| Allocation::read(&directory)) else {
            return self.entry.set_allocation(asked);
        };
        if has == asked {
            self.entry.set_allocation(has);
            self.entry.set_deferred(false);
            self.memory.resizing.pending = None;
            return;
        }
        let others = self.kubelet.admitted_besides(pod.uid());
        let others: Vec<&Pod> = others.iter().map(Arc::as_ref).collect();
        match granted(&pod, &others, self.kubelet.machine().allocatable()) {
            Ok(()) => {
                if let Err(error) = asked.write(&directory) {
                    tracing::warn!(pod = pod.described(), %error, "a resize is not remembered");
                }
                self.entry.set_allocation(asked);
                self.entry.set_deferred(false);
                self.memory.resizing.pending = None;
                self.memory.resizing.error = None;
                self.resize_at = None;
                self.tell_resize(&pod, EventType::Normal, "ResizeStarted", "started", None);
                // Another pod may have waited for what this one gives back.
                self.kubelet.retry_resizes();
            }
            Err(pending) => {
                self.entry.set_allocation(has);
                self.entry.set_deferred(pending.reason == "Deferred");
                if self.memory.resizing.pending.as_ref() != Some(&pending) {
                    let reason = format!("Resize{}", pending.reason);
                    let why = Some(pending.message.as_str());
                    self.tell_resize(&pod, EventType::Warning, &reason, pending.reason, why);
                }
                self.memory.resizing.pending = Some(pending);
            }
        }
    }

    fn tell_resize(
        &self,
        pod: &Pod,
        kind: EventType,
        reason: &str,
        what: &str,
        error: Option<&str>,
    ) {
        let containers: Vec<_> = pod
            .spec()
            .containers
            .iter()
            .map(|c| json!({"name": c.name, "resources": c.resources}))
            .collect();
        let mut told = json!({"containers": containers, "generation": pod.metadata.generation});
        if let Some(error) = error {
            told["error"] = json!(error);
        }
        self.kubelet.events().pod(pod, kind, reason, format!("Pod resize {what}: {told}"));
    }

    /// Changes the limits of running containers to what was granted; when to look again.
    pub(super) fn resize_running(
        &mut self,
        pod: &Arc<Pod>,
        seen: &Observation,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let memory_bytes = self.kubelet.machine().memory_bytes();
        let mut restarts = false;
        let mut changes: Vec<(ContainerStatus, Resources)> = Vec::new();
        for member in pod.members() {
            let Some(container) = seen.current(member.name()) else { continue };
            if !is_running(&container.state) {
                continue;
            }
            match change(pod, &member, container) {
                Some(Change::InPlace(mut limits)) => {
                    let wanted = container_limits(pod, &member, memory_bytes);
                    limits.oom_score_adj = wanted.oom_score_adj;
                    changes.push((container.clone(), limits));
                }
                Some(Change::Restart) => restarts = true,
                None => {}
            }
        }
        let before = self.memory.resizing.in_progress;
        let sandbox = seen.sandbox().filter(|sandbox| sandbox.ready);
        let wanted = pod_limits(pod, self.kubelet.config().pod_pids_max);
        let whole = sandbox.is_some_and(|s| group_differs(&s.spec.resources, &wanted));
        self.memory.resizing.in_progress = restarts || whole || !changes.is_empty();
        if !self.memory.resizing.in_progress {
            self.memory.resizing.error = None;
            if before {
                self.tell_resize(pod, EventType::Normal, "ResizeCompleted", "completed", None);
            }
            return None;
        }
        // The pod does not shrink before its containers that start anew have.
        let grows = |s: &SandboxStatus| {
            group_differs(&s.spec.resources, &grown(&s.spec.resources, &wanted))
        };
        let due = if restarts { sandbox.is_some_and(grows) } else { whole };
        if (changes.is_empty() && !due) || self.resizing {
            return None;
        }
        if let Some(at) = self.resize_at.filter(|at| *at > now) {
            return Some(at);
        }
        let sandbox = sandbox.cloned()?;
        self.resizing = true;
        let (kubelet, tell) = (Arc::clone(&self.kubelet), self.tell.clone());
        tokio::spawn(async move {
            let result = carry_out(&kubelet, &sandbox, wanted, changes, !restarts).await;
            let _ = tell.send(News::Resized { result });
        });
        None
    }

    pub(super) fn resized(&mut self, result: Result<(), String>) {
        self.resizing = false;
        match result {
            Ok(()) => {
                self.resize_at = None;
                self.memory.resizing.error = None;
            }
            Err(error) => {
                let pod = self.entry.pod();
                if self.memory.resizing.error.as_ref() != Some(&error) {
                    let why = Some(error.as_str());
                    self.tell_resize(&pod, EventType::Warning, "ResizeError", "error", why);
                }
                self.memory.resizing.error = Some(error);
                self.resize_at = Some(later(Timestamp::now(), RETRY));
            }
        }
    }
}

/// The pod's own limits first grow, then its containers change, then it shrinks: no container ever
/// has more than its pod.
async fn carry_out(
    kubelet: &Kubelet,
    sandbox: &SandboxStatus,
    wanted: Resources,
    changes: Vec<(ContainerStatus, Resources)>,
    shrinks: bool,
) -> Result<(), String> {
    let (runtime, has) = (kubelet.runtime(), &sandbox.spec.resources);
    for (container, limits) in &changes {
        checked_memory(kubelet, container, limits).await?;
    }
    let grown = grown(has, &wanted);
    let failed = |error: kd_runtime::Error| error.to_string();
    runtime.update_sandbox(&sandbox.id, grown).await.map_err(failed)?;
    for (container, limits) in changes {
        runtime.update_resources(&container.id, limits).await.map_err(failed)?;
    }
    if !shrinks {
        return Ok(());
    }
    runtime.update_sandbox(&sandbox.id, unlimited(has, wanted)).await.map_err(failed)
}

/// A limit below what is in use would have the kernel kill.
async fn checked_memory(
    kubelet: &Kubelet,
    container: &ContainerStatus,
    limits: &Resources,
) -> Result<(), String> {
    let Some(limit) = limits.memory_limit_bytes.filter(|limit| *limit > 0) else { return Ok(()) };
    let before = container.spec.resources.memory_limit_bytes.filter(|limit| *limit > 0);
    if before.is_some_and(|before| limit >= before) {
        return Ok(());
    }
    let used = kubelet.runtime().container_stats(&container.id).await;
    let used = used.map(|stats| stats.memory_usage_bytes).unwrap_or(0);
    match used > limit.unsigned_abs() {
        true => Err(format!(
            "attempting to set container {:?} memory limit ({limit}) below current usage ({used})",
            container.spec.name
        )),
        false => Ok(()),
    }
}

/// The looser of two limits each; none is the loosest.
fn grown(has: &Resources, wanted: &Resources) -> Resources {
    let looser = |a: Option<i64>, b: Option<i64>| match (a.filter(|v| *v > 0), b.filter(|v| *v > 0))
    {
        (Some(a), Some(b)) => Some(a.max(b)),
        _ => Some(-1),
    };
    Resources {
        cpu_shares: has.cpu_shares.max(wanted.cpu_shares),
        cpu_quota_us: looser(has.cpu_quota_us, wanted.cpu_quota_us),
        cpu_period_us: wanted.cpu_period_us.or(has.cpu_period_us),
        memory_limit_bytes: looser(has.memory_limit_bytes, wanted.memory_limit_bytes),
        ..wanted.clone()
    }
}

/// A limit that there was and is to be no more is named as none.
fn unlimited(has: &Resources, mut wanted: Resources) -> Resources {
    if has.cpu_quota_us.is_some() {
        wanted.cpu_quota_us.get_or_insert(-1);
    }
    if has.memory_limit_bytes.is_some() {
        wanted.memory_limit_bytes.get_or_insert(-1);
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_container_has_more_than_its_pod() {
        let limits = |quota: Option<i64>, memory: Option<i64>| Resources {
            cpu_shares: Some(2),
            cpu_quota_us: quota,
            memory_limit_bytes: memory,
            ..Resources::default()
        };
        let check = |has: Resources,
                     wanted: Resources,
                     first: (i64, i64),
                     last: (Option<i64>, Option<i64>)| {
            let begin = grown(&has, &wanted);
            assert_eq!(
                (begin.cpu_quota_us, begin.memory_limit_bytes),
                (Some(first.0), Some(first.1))
            );
            let end = unlimited(&has, wanted);
            assert_eq!((end.cpu_quota_us, end.memory_limit_bytes), last);
        };
        check(limits(Some(5), Some(9)), limits(Some(7), Some(3)), (7, 9), (Some(7), Some(3)));
        check(limits(Some(5), None), limits(None, Some(3)), (-1, -1), (Some(-1), Some(3)));
        // What was carried out as far as it goes is not carried out again.
        let (has, wanted) = (limits(Some(5), None), limits(Some(7), Some(3)));
        let begun = grown(&has, &wanted);
        assert!(group_differs(&has, &begun) && !group_differs(&begun, &grown(&begun, &wanted)));
        assert!(!group_differs(&unlimited(&begun, wanted.clone()), &wanted));
    }
}

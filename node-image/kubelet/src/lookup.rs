//! What the kubelet's server asks: pods and containers by name, their logs and sandboxes.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use k8s_openapi::api::core::v1::PodStatus;
use kd_runtime::{ContainerState, ContainerStatus, SandboxStatus};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::entry::PodEntry;
use crate::error::{Error, Result};
use crate::kubelet::Kubelet;
use crate::lifecycle::find_status;
use crate::logs::{LogOptions, read_log};
use crate::pod::PodExt;

/// A container found by its names.
#[derive(Clone, Debug)]
pub struct FoundContainer {
    /// The sandbox it is in.
    pub sandbox_id: String,
    /// The runtime's state of it.
    pub status: ContainerStatus,
}

impl Kubelet {
    /// A pod by namespace and name, and by uid when given.
    pub fn find_pod(
        &self,
        namespace: &str,
        name: &str,
        uid: Option<&str>,
    ) -> Result<Arc<PodEntry>> {
        let fits = |entry: &Arc<PodEntry>| {
            let pod = entry.pod();
            pod.namespace() == namespace
                && pod.name() == name
                && uid.is_none_or(|uid| pod.uid() == uid)
        };
        let mut found: Vec<Arc<PodEntry>> = self.pods().into_iter().filter(fits).collect();
        // A pod that is going may have a successor of the same name.
        found.sort_by_key(|entry| entry.is_removed());
        let missing = || Error::NotFound(format!("pod {name}_{namespace} not found"));
        found.into_iter().next().ok_or_else(missing)
    }

    /// The newest sandbox of a pod.
    pub async fn sandbox_of(&self, entry: &PodEntry) -> Result<SandboxStatus> {
        let pod = entry.pod();
        let sandboxes = entry.sandboxes();
        let missing =
            || Error::NotFound(format!("pod {}_{} has no sandbox", pod.name(), pod.namespace()));
        let id = sandboxes.last().ok_or_else(missing)?;
        Ok(self.runtime().sandbox(id).await?)
    }

    /// The newest container of a name.
    pub async fn find_container(
        &self,
        entry: &PodEntry,
        container: &str,
    ) -> Result<FoundContainer> {
        self.attempts(entry, container).await?.into_iter().next().ok_or_else(|| {
            let pod = entry.pod();
            Error::NotFound(format!(
                "container {container} not found in pod {}_{}",
                pod.name(),
                pod.namespace()
            ))
        })
    }

    /// The newest container of a name, which must be running: for exec, attach and probes.
    pub async fn find_running(&self, entry: &PodEntry, container: &str) -> Result<FoundContainer> {
        let found = self.find_container(entry, container).await?;
        match found.status.state {
            ContainerState::Running { .. } => Ok(found),
            _ => Err(Error::BadRequest(format!("container not found (\"{container}\")"))),
        }
    }

    /// A container's log. Errors are upstream's sentences for a container that has none.
    pub async fn container_log(
        self: &Arc<Self>,
        entry: &Arc<PodEntry>,
        container: &str,
        previous: bool,
        options: LogOptions,
    ) -> Result<mpsc::Receiver<std::io::Result<Bytes>>> {
        let (path, id) = self.log_of(entry, container, previous).await?;
        let ended = CancellationToken::new();
        match id {
            Some(id) if options.follow => self.cancel_when_ended(id, ended.clone()),
            _ => ended.cancel(),
        }
        Ok(read_log(path, options, ended))
    }

    /// Containers of a name, newest first.
    async fn attempts(&self, entry: &PodEntry, container: &str) -> Result<Vec<FoundContainer>> {
        let mut found = Vec::new();
        for id in entry.sandboxes() {
            let sandbox = match self.runtime().sandbox(&id).await {
                Ok(sandbox) => sandbox,
                Err(kd_runtime::Error::NotFound { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let named = sandbox.containers.into_iter().filter(|c| c.spec.name == container);
            found.extend(named.map(|status| FoundContainer { sandbox_id: id.clone(), status }));
        }
        found.sort_by_key(|c| std::cmp::Reverse(c.status.spec.attempt));
        Ok(found)
    }

    /// The log's file, and the id of the container if it may still write.
    async fn log_of(
        &self,
        entry: &PodEntry,
        container: &str,
        previous: bool,
    ) -> Result<(PathBuf, Option<String>)> {
        let pod = entry.pod();
        if pod.member(container).is_none() {
            let text = format!("container {container} is not valid for pod {}", pod.name());
            return Err(Error::BadRequest(text));
        }
        let attempts = self.attempts(entry, container).await?;
        let last = last_terminated(&entry.status(), container);
        let chosen = match previous {
            true => attempts.iter().find(|c| Some(&c.status.id) == last.as_ref()),
            false => attempts.iter().find(|c| !matches!(c.status.state, ContainerState::Created)),
        };
        if let Some(chosen) = chosen {
            let runs = matches!(chosen.status.state, ContainerState::Running { .. });
            return Ok((chosen.status.log_path.clone(), runs.then(|| chosen.status.id.clone())));
        }
        Err(Error::BadRequest(match previous {
            true => format!(
                "previous terminated container \"{container}\" in pod \"{}\" not found",
                pod.name()
            ),
            false => self.waiting_message(entry, container),
        }))
    }

    fn waiting_message(&self, entry: &PodEntry, container: &str) -> String {
        let (pod, status) = (entry.pod(), entry.status());
        let state = find_status(&status, container).and_then(|s| s.state.as_ref());
        let waiting = state.and_then(|s| s.waiting.as_ref());
        let reason = waiting.and_then(|w| w.reason.as_deref()).unwrap_or("ContainerCreating");
        let name = pod.name();
        match reason {
            "ErrImagePull" | "ImagePullBackOff" => format!(
                "container \"{container}\" in pod \"{name}\" is waiting to start: trying and failing to pull image"
            ),
            "ErrImageNeverPull"
            | "InvalidImageName"
            | "ContainerCreating"
            | "PodInitializing"
            | "CreateContainerConfigError"
            | "CreateContainerError" => {
                format!("container \"{container}\" in pod \"{name}\" is waiting to start: {reason}")
            }
            _ => format!("container \"{container}\" in pod \"{name}\" is not available"),
        }
    }

    /// Cancels when a container's process ends.
    fn cancel_when_ended(self: &Arc<Self>, id: String, ended: CancellationToken) {
        let mut events = self.runtime().events();
        let runtime = Arc::clone(self.runtime());
        tokio::spawn(async move {
            loop {
                let running = runtime.container(&id).await;
                if !running.is_ok_and(|c| matches!(c.state, ContainerState::Running { .. })) {
                    return ended.cancel();
                }
                // Any event of this container, or a lag, is a reason to look again.
                loop {
                    match events.recv().await {
                        Ok(kd_runtime::RuntimeEvent::ContainerExited { container_id, .. })
                            if container_id == id =>
                        {
                            break;
                        }
                        Ok(kd_runtime::RuntimeEvent::SandboxLost { .. }) => break,
                        Ok(_) => {}
                        Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => break,
                        Err(tokio::sync::broadcast::error::RecvError::Closed) => {
                            return ended.cancel();
                        }
                    }
                }
            }
        });
    }
}

/// The runtime's id of what a container's status tells as its last termination: that is what
/// `previous` means, also while the container waits for its restart.
fn last_terminated(status: &PodStatus, container: &str) -> Option<String> {
    let known = find_status(status, container)?;
    let terminated = known.last_state.as_ref()?.terminated.as_ref()?;
    let id = terminated.container_id.as_deref()?;
    Some(id.rsplit('/').next().unwrap_or(id).to_owned())
}

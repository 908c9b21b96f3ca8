//! Stopping containers with their hooks and grace, and taking a pod away.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kd_runtime::{ContainerStatus, Runtime, SandboxStatus};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{News, Stage, Worker};
use crate::error::Error;
use crate::events::EventType;
use crate::hooks;
use crate::host_ports::{has_host_ports, publish};
use crate::kubelet::Kubelet;
use crate::lifecycle::{Kill, Observation, annotation, is_running};
use crate::pod::{PodExt, Role};
use crate::volumes::{release_one_pod_volumes, release_sub_paths, remove_all};

/// A container has at least this long between its stop signal and the end, whatever its hook took.
const GRACE_MIN: Duration = Duration::from_secs(2);
/// How long taking a pod away rests after a failure.
const RETRY: Duration = Duration::from_secs(2);
/// The longest rest, for a volume whose driver is gone.
const RETRY_MAX: Duration = Duration::from_secs(122);

impl Worker {
    /// Stops one container of a pod that goes on.
    pub(super) fn stop_one(&mut self, pod: &Arc<Pod>, kill: Kill) {
        let by = Instant::now() + kill.grace.unwrap_or(pod.grace());
        // Kept alive by the task: nobody shortens the time of a single container.
        let (keep, by) = watch::channel(by);
        let stopping = self.stopping(pod, &kill.name, &kill.id, kill.message);
        let tell = self.tell.clone();
        tokio::spawn(async move {
            stopping.run(by).await;
            drop(keep);
            let _ = tell.send(News::Stopped { id: stopping.id });
        });
    }

    /// Stops everything, for good.
    pub(super) fn stop_all(&mut self, pod: &Arc<Pod>, seen: &Observation) {
        if let Some(starting) = &self.starting {
            // What is half-made is awaited: the next step sees it and comes here again.
            starting.cancel();
            return;
        }
        self.stage = Stage::Stopping;
        let own = self.memory.stop.as_ref().and_then(|stop| stop.grace);
        let (stop_by, by) = watch::channel(Instant::now() + own.unwrap_or(pod.grace()));
        self.stop_by = Some(stop_by);
        let (mut first, mut sidecars) = (Vec::new(), Vec::new());
        let order: HashMap<String, (usize, Role)> = pod
            .members()
            .iter()
            .enumerate()
            .map(|(at, m)| (m.name().to_owned(), (at, m.role)))
            .collect();
        for container in seen.containers().filter(|c| is_running(&c.state)) {
            let name = &container.spec.name;
            let stopping =
                self.stopping(pod, name, &container.id, format!("Stopping container {name}"));
            match order.get(name) {
                Some((at, Role::Sidecar)) => sidecars.push((*at, stopping)),
                _ => first.push(stopping),
            }
        }
        // Sidecars outlive the main containers and go in reverse order.
        sidecars.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let tell = self.tell.clone();
        tokio::spawn(async move {
            join_all(first.iter().map(|stopping| stopping.run(by.clone()))).await;
            for (_, sidecar) in sidecars {
                sidecar.run(by.clone()).await;
            }
            let _ = tell.send(News::AllStopped);
        });
    }

    fn stopping(&self, pod: &Arc<Pod>, name: &str, id: &str, message: String) -> Stopping {
        Stopping {
            kubelet: Arc::clone(&self.kubelet),
            pod: Arc::clone(pod),
            name: name.to_owned(),
            id: id.to_owned(),
            message,
            address: self.address(pod),
        }
    }

    /// Takes network, namespaces and volumes away.
    pub(super) fn clean_up(&mut self) {
        self.stage = Stage::CleaningUp;
        self.stop_by = None;
        self.memory.finished = true;
        self.memory.hooks.clear();
        // Before the end is told: whoever hears of it may send a pod that wants the same devices.
        self.kubelet.devices().release(self.entry.pod().uid());
        let (kubelet, entry) = (Arc::clone(&self.kubelet), Arc::clone(&self.entry));
        let (volumes, tell) = (Arc::clone(&self.volumes), self.tell.clone());
        tokio::spawn(async move {
            let pod = entry.pod();
            kubelet.puller().forget(&pod);
            while let Err(error) = take_away(&kubelet, &pod, &entry.sandboxes()).await {
                tracing::warn!(pod = pod.described(), %error, "cannot take the pod away yet");
                tokio::time::sleep(RETRY).await;
            }
            volumes.lock().await.release();
            release_one_pod_volumes(kubelet.one_pod_volumes(), pod.uid());
            let _ = tell.send(News::CleanedUp);
        });
    }

    /// Removes the last traces of a pod that is gone from the API server.
    pub(super) async fn forget(&mut self, seen: &Observation) {
        let pod = self.entry.pod();
        for sandbox in &seen.sandboxes {
            remove_sandbox(&self.kubelet, sandbox).await;
        }
        let config = self.kubelet.config();
        let (directory, logs) = (
            config.pod_directory(pod.uid()),
            config.pod_logs(pod.namespace(), pod.name(), pod.uid()),
        );
        remove_in_background(vec![directory, logs]).await;
        self.kubelet.forget_pod(pod.uid());
    }
}

/// One container to stop.
struct Stopping {
    kubelet: Arc<Kubelet>,
    pod: Arc<Pod>,
    name: String,
    id: String,
    message: String,
    address: String,
}

impl Stopping {
    /// Runs the preStop hook, then stops the container; all within the time that `by` says, which
    /// may be shortened meanwhile.
    async fn run(&self, mut by: watch::Receiver<Instant>) {
        let runtime = self.kubelet.runtime();
        if let Some(member) = self.pod.member(&self.name) {
            let message = self.message.clone();
            self.kubelet.events().container(
                &self.pod,
                &member,
                EventType::Normal,
                "Killing",
                message,
            );
            let lifecycle = member.container.lifecycle.as_ref();
            if let Some(hook) = lifecycle.and_then(|l| l.pre_stop.as_ref()) {
                let hook = hooks::run(runtime.as_ref(), &self.id, &member, hook, &self.address);
                let ended = tokio::select! {
                    ended = hook => ended,
                    () = passed(&mut by) => Err("the grace period is over".into()),
                };
                if let Err(error) = ended {
                    tracing::info!(
                        pod = self.pod.described(),
                        container = self.name,
                        error,
                        "preStop hook failed"
                    );
                    let events = self.kubelet.events();
                    events.container(
                        &self.pod,
                        &member,
                        EventType::Warning,
                        "FailedPreStopHook",
                        "PreStopHook failed",
                    );
                }
            }
        }
        let left = by.borrow_and_update().saturating_duration_since(Instant::now());
        // Pods deleted with less than the minimum keep what they were given.
        let left = if self.pod.grace() < GRACE_MIN { left } else { left.max(GRACE_MIN) };
        self.stop_within(runtime.as_ref(), left, by).await;
    }

    async fn stop_within(
        &self,
        runtime: &dyn Runtime,
        mut left: Duration,
        mut by: watch::Receiver<Instant>,
    ) {
        loop {
            tokio::select! {
                stopped = runtime.stop_container(&self.id, left) => match stopped {
                    Ok(()) | Err(kd_runtime::Error::NotFound { .. }) => return,
                    Err(error) => {
                        tracing::warn!(id = self.id, %error, "cannot stop a container; killing it");
                        tokio::time::sleep(RETRY).await;
                        left = Duration::ZERO;
                    }
                },
                Ok(()) = by.changed() => {
                    left = by.borrow_and_update().saturating_duration_since(Instant::now());
                }
            }
        }
    }
}

/// Waits until the time in `by`, whatever it becomes.
async fn passed(by: &mut watch::Receiver<Instant>) {
    loop {
        let at = *by.borrow_and_update();
        tokio::select! {
            () = tokio::time::sleep_until(at) => return,
            Ok(()) = by.changed() => {}
        }
    }
}

async fn take_away(kubelet: &Arc<Kubelet>, pod: &Pod, sandboxes: &[String]) -> Result<(), Error> {
    let uid = pod.uid();
    if !pod.on_host_network() {
        kubelet.network().detach(uid).await?;
        kubelet.addresses().release(uid);
        if has_host_ports(pod) {
            publish(kubelet).await?;
        }
    }
    for id in sandboxes {
        kubelet.runtime().stop_sandbox(id).await?;
    }
    kubelet.resource_claims().release(uid).await.map_err(Error::Pod)?;
    kubelet.csi().take_away(uid).await.map_err(Error::Pod)?;
    let directory = kubelet.config().pod_directory(uid);
    let removed = tokio::task::spawn_blocking(move || {
        release_sub_paths(&directory.join("volume-subpaths"))?;
        remove_all(&directory.join("volumes"))
    });
    let removed = removed.await.map_err(|error| Error::Pod(error.to_string()))?;
    removed.map_err(Error::system(format!("remove the volumes of pod {}", pod.described())))
}

async fn remove_sandbox(kubelet: &Kubelet, sandbox: &SandboxStatus) {
    for container in &sandbox.containers {
        remove_log_link(kubelet, container, &sandbox.spec.pod.name, &sandbox.spec.pod.namespace);
    }
    if let Err(error) = kubelet.runtime().remove_sandbox(&sandbox.id).await {
        tracing::warn!(sandbox = sandbox.id, %error, "cannot remove a sandbox");
    }
    kubelet.disown_sandbox(&sandbox.id);
}

pub(super) fn remove_log_link(
    kubelet: &Kubelet,
    container: &ContainerStatus,
    pod: &str,
    namespace: &str,
) {
    let name = format!("{pod}_{namespace}_{}-{}.log", container.spec.name, container.id);
    let link = kubelet.config().container_log_directory.join(name);
    // It may never have been made.
    let _ = std::fs::remove_file(link);
}

/// Removes directories with what is mounted below them.
pub(crate) async fn remove_in_background(directories: Vec<std::path::PathBuf>) {
    let removal = tokio::task::spawn_blocking(move || {
        for directory in directories {
            if let Err(error) = remove_all(&directory) {
                tracing::warn!(directory = %directory.display(), %error, "cannot remove a directory");
            }
        }
    });
    // Only a shutdown ends it early.
    let _ = removal.await;
}

/// Stops and removes the sandboxes of a pod that the API server does not know.
pub(crate) async fn remove_orphan(
    kubelet: Arc<Kubelet>,
    uid: String,
    sandboxes: Vec<SandboxStatus>,
) {
    let grace = |sandbox: &SandboxStatus| {
        let written = sandbox.spec.annotations.get(annotation::GRACE);
        Duration::from_secs(written.and_then(|text| text.parse().ok()).unwrap_or(30))
    };
    for sandbox in &sandboxes {
        let running = sandbox.containers.iter().filter(|c| is_running(&c.state));
        let stops = running.map(|c| kubelet.runtime().stop_container(&c.id, grace(sandbox)));
        for error in join_all(stops).await.into_iter().filter_map(Result::err) {
            tracing::warn!(uid, %error, "cannot stop a container of an orphaned pod");
        }
    }
    if let Err(error) = kubelet.network().detach(&uid).await {
        tracing::warn!(uid, %error, "cannot detach an orphaned pod");
    }
    kubelet.addresses().release(&uid);
    kubelet.id_ranges().release(&uid);
    for sandbox in &sandboxes {
        remove_sandbox(&kubelet, sandbox).await;
    }
    take_back_from_drivers(&kubelet, &uid).await;
    let config = kubelet.config();
    let mut directories = vec![config.pod_directory(&uid)];
    directories.extend(
        sandboxes.first().map(|s| config.pod_logs(&s.spec.pod.namespace, &s.spec.pod.name, &uid)),
    );
    remove_in_background(directories).await;
}

/// Removes what is left of pods that neither the server nor the runtime knows, then what is staged
/// for no pod.
pub(crate) async fn remove_old(kubelet: Arc<Kubelet>, uids: HashSet<String>) {
    // A driver that is gone holds up its own pods only.
    let old = uids.iter().map(|uid| async {
        take_back_from_drivers(&kubelet, uid).await;
        remove_in_background(vec![kubelet.config().pod_directory(uid)]).await;
    });
    futures::future::join(join_all(old), kubelet.csi().remove_leftovers()).await;
}

/// Nothing is removed below a driver's volume before the driver has taken it away; likewise for
/// devices that a driver has prepared.
async fn take_back_from_drivers(kubelet: &Kubelet, uid: &str) {
    let mut delay = RETRY;
    loop {
        let released = kubelet.resource_claims().release(uid).await;
        let Err(error) = released.and(kubelet.csi().take_away(uid).await) else { return };
        tracing::warn!(uid, error, "what drivers gave to a pod that is gone is not taken back yet");
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(RETRY_MAX);
    }
}

//! Carrying out the starting half of a plan: volumes, sandbox, then container after container.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kd_runtime::{Device, Mount, RegistryAuth};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::{News, Worker, files, sandbox};
use crate::container_spec::{Parts, checked, container_spec, file_mounts, propagation};
use crate::entry::PodEntry;
use crate::environment::{
    FieldContext, Sources, environment, expand, read_env_file, referenced, referenced_files,
};
use crate::events::EventType;
use crate::hooks;
use crate::kubelet::Kubelet;
use crate::lifecycle::backoff::later;
use crate::lifecycle::{Observation, Start, Waiting};
use crate::pod::{Member, PodExt};
use crate::pull_secrets::credentials;
use crate::qos::container_limits;
use crate::volumes::{self, Claimed, MountError, PodVolumes, VolumeContext, make_sub_path};

/// How long after a failure the same is tried again, unless an event comes first.
const RETRY: Duration = Duration::from_secs(10);
/// How long the worker waits for the server when it brings volumes up to date.
const REFRESH_MAX: Duration = Duration::from_secs(10);
/// The same for sandboxes, which often wait for something short.
const SANDBOX_RETRY: Duration = Duration::from_secs(1);
/// Volumes are tried again after this long, then twice as long (upstream's figures).
const MOUNT_RETRY_MIN: Duration = Duration::from_millis(500);
const MOUNT_RETRY_MAX: Duration = Duration::from_secs(122);

impl Worker {
    pub(super) fn start(
        &mut self,
        pod: &Arc<Pod>,
        seen: &Observation,
        new_sandbox: Option<u32>,
        starts: Vec<Start>,
    ) {
        let cancel = CancellationToken::new();
        self.starting = Some(cancel.clone());
        let job = StartJob {
            kubelet: Arc::clone(&self.kubelet),
            entry: Arc::clone(&self.entry),
            pod: Arc::clone(pod),
            volumes: Arc::clone(&self.volumes),
            mounted: self.mounted,
            mount_failures: self.mount_failures,
            sandbox: seen.sandbox().map(|s| s.id.clone()),
            older: seen.sandboxes.iter().map(|s| s.id.clone()).collect(),
            addresses: self.memory.addresses.clone(),
            tell: self.tell.clone(),
            cancel,
        };
        tokio::spawn(job.run(new_sandbox, starts));
    }

    /// Brings live volumes up to date when something changed or a token is to be renewed; when to
    /// do so next.
    pub(super) async fn refresh(&mut self, pod: &Pod, now: Timestamp) -> Option<Timestamp> {
        // A job that holds the volumes brings them up to date itself.
        if !self.mounted || self.starting.is_some() {
            return None;
        }
        if self.refresh_due || self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_due = false;
            let context =
                self.kubelet.volume_context(&fields(&self.kubelet, pod, &self.memory.addresses));
            let directory = self.kubelet.config().pod_directory(pod.uid());
            let mut volumes = self.volumes.lock().await;
            let refreshing = volumes.mount(&context, pod, &directory, now);
            let refreshed = tokio::time::timeout(REFRESH_MAX, refreshing).await;
            self.entry.set_claimed(volumes.claimed().clone());
            self.refresh_at = match refreshed.unwrap_or_else(|_| Err(MountError::too_late())) {
                Ok(()) => volumes.renew_at(),
                Err(error) => {
                    let events = self.kubelet.events();
                    events.pod(pod, EventType::Warning, error.event_reason(), error.to_string());
                    Some(later(now, super::REFRESH_RETRY))
                }
            };
        }
        self.refresh_at
    }
}

/// What downward fields tell of the pod's addresses.
pub(super) fn fields(kubelet: &Kubelet, pod: &Pod, addresses: &[IpAddr]) -> FieldContext {
    let text = |list: &[IpAddr]| list.iter().map(IpAddr::to_string).collect::<Vec<_>>();
    let host_ips = text(&kubelet.config().node_ips);
    let pod_ips = if pod.on_host_network() { host_ips.clone() } else { text(addresses) };
    FieldContext { pod_ips, host_ips }
}

/// The devices behind claims that a container has.
fn volume_devices(
    member: &Member<'_>,
    claimed: &HashMap<String, Claimed>,
) -> Result<Vec<Device>, String> {
    let wanted = member.container.volume_devices.iter().flatten();
    let found = wanted.map(|device| match claimed.get(&device.name).filter(|c| c.block) {
        Some(claimed) => Ok(Device {
            host_path: claimed.path.clone(),
            container_path: device.device_path.clone().into(),
            permissions: if claimed.read_only { "r".into() } else { "mrw".into() },
        }),
        None => Err(format!(
            "cannot find volume \"{}\" to pass into container \"{}\"",
            device.name,
            member.name()
        )),
    });
    found.collect()
}

struct StartJob {
    kubelet: Arc<Kubelet>,
    entry: Arc<PodEntry>,
    pod: Arc<Pod>,
    volumes: Arc<Mutex<PodVolumes>>,
    mounted: bool,
    /// How often in a row the volumes could not be made.
    mount_failures: u32,
    sandbox: Option<String>,
    older: Vec<String>,
    addresses: Vec<IpAddr>,
    tell: mpsc::UnboundedSender<News>,
    cancel: CancellationToken,
}

impl StartJob {
    async fn run(mut self, new_sandbox: Option<u32>, starts: Vec<Start>) {
        if self.prepare(new_sandbox).await {
            for start in starts {
                if self.cancel.is_cancelled() {
                    break;
                }
                self.start(start).await;
            }
        }
        self.say(News::StartOver);
    }

    /// The worker may have gone; then nobody needs the news.
    fn say(&self, news: News) {
        let _ = self.tell.send(news);
    }

    fn context(&self) -> VolumeContext {
        self.kubelet.volume_context(&fields(&self.kubelet, &self.pod, &self.addresses))
    }

    /// Whether containers can be started.
    async fn prepare(&mut self, new_sandbox: Option<u32>) -> bool {
        if !self.mounted && !self.mount().await {
            return false;
        }
        match new_sandbox {
            Some(attempt) => self.make_sandbox(attempt).await,
            None => self.sandbox.is_some(),
        }
    }

    async fn mount(&self) -> bool {
        let directory = self.kubelet.config().pod_directory(self.pod.uid());
        let mut volumes = self.volumes.lock().await;
        let context = self.context();
        let mounting = volumes.mount(&context, &self.pod, &directory, Timestamp::now());
        let mounted = tokio::select! {
            mounted = mounting => mounted,
            () = self.cancel.cancelled() => return false,
        };
        match mounted {
            Ok(()) => {
                self.entry.set_claimed(volumes.claimed().clone());
                self.say(News::Mounted { renew_at: volumes.renew_at() });
                true
            }
            Err(error) => {
                let text = error.to_string();
                let (events, reason) = (self.kubelet.events(), error.event_reason());
                events.pod(&self.pod, EventType::Warning, reason, text.clone());
                let doubled = 1 << self.mount_failures.min(16);
                let delay = MOUNT_RETRY_MIN.saturating_mul(doubled).min(MOUNT_RETRY_MAX);
                self.no_sandbox("FailedMount", text, delay);
                false
            }
        }
    }

    fn no_sandbox(&self, reason: &str, message: String, delay: Duration) {
        let retry_at = later(Timestamp::now(), delay);
        self.say(News::NoSandbox(Waiting { reason: reason.to_owned(), message, retry_at }));
    }

    async fn make_sandbox(&mut self, attempt: u32) -> bool {
        let events = self.kubelet.events();
        if attempt > 0 {
            let message = "Pod sandbox changed, it will be killed and re-created.";
            events.pod(&self.pod, EventType::Normal, "SandboxChanged", message);
        }
        let claims = self.kubelet.resource_claims();
        if let Err(error) = claims.prepare(self.kubelet.client(), &self.pod).await {
            let reason = "FailedPrepareDynamicResources";
            let message = format!("Failed to prepare dynamic resources: {error}");
            events.pod(&self.pod, EventType::Warning, reason, message.clone());
            self.no_sandbox(reason, message, SANDBOX_RETRY);
            return false;
        }
        let stopped = sandbox::stop_older(&self.kubelet, &self.pod, &self.older).await;
        let made = match stopped {
            Ok(()) => sandbox::make(&self.kubelet, &self.pod, attempt).await,
            Err(error) => Err(error),
        };
        match made {
            Ok((sandbox, addresses)) => {
                self.kubelet.own_sandbox(&sandbox.id, &self.entry);
                self.addresses.clone_from(&addresses);
                self.sandbox = Some(sandbox.id.clone());
                self.say(News::Sandbox { id: sandbox.id, addresses });
                true
            }
            Err(error) => {
                let message = format!("Failed to create pod sandbox: {error}");
                events.pod(
                    &self.pod,
                    EventType::Warning,
                    "FailedCreatePodSandBox",
                    message.clone(),
                );
                self.no_sandbox("FailedCreatePodSandBox", message, SANDBOX_RETRY);
                false
            }
        }
    }

    async fn start(&self, start: Start) {
        let Some(member) = self.pod.member(&start.name) else { return };
        if let Err(waiting) = self.try_start(&member, start.attempt).await {
            self.say(News::Waiting { name: start.name, waiting });
        }
    }

    async fn try_start(&self, member: &Member<'_>, attempt: u32) -> Result<(), Waiting> {
        let Some(sandbox) = &self.sandbox else { return Ok(()) };
        let events = self.kubelet.events();
        let pulled =
            self.kubelet.puller().ensure(&self.pod, member, async || self.pull_auth(member).await);
        let image = tokio::select! {
            image = pulled => image?,
            () = self.cancel.cancelled() => return Ok(()),
        };
        let spec = self.spec(member, attempt, image).await.map_err(|message| {
            events.container(
                &self.pod,
                member,
                EventType::Warning,
                "Failed",
                format!("Error: {message}"),
            );
            self.waiting("CreateContainerConfigError", message)
        })?;
        if self.cancel.is_cancelled() {
            return Ok(());
        }
        let failed = |reason: &str, error: kd_runtime::Error| {
            let message = format!("Error: {error}");
            events.container(&self.pod, member, EventType::Warning, "Failed", message);
            self.waiting(reason, error.to_string())
        };
        let runtime = self.kubelet.runtime();
        let created = runtime.create_container(sandbox, spec).await;
        let id = created.map_err(|error| failed("CreateContainerError", error))?;
        events.container(&self.pod, member, EventType::Normal, "Created", "Container created");
        let started = runtime.start_container(&id).await;
        self.link_log(member, &id).await;
        started.map_err(|error| Waiting {
            // The container has ended: its back-off decides when it is tried again.
            retry_at: Timestamp::now(),
            ..failed("RunContainerError", error)
        })?;
        events.container(&self.pod, member, EventType::Normal, "Started", "Container started");
        self.started(member, id).await
    }

    /// Tells of a started container and runs its postStart hook.
    async fn started(&self, member: &Member<'_>, id: String) -> Result<(), Waiting> {
        let lifecycle = member.container.lifecycle.as_ref();
        let hook = lifecycle.and_then(|l| l.post_start.as_ref());
        let name = member.name().to_owned();
        self.say(News::Started { name, id: id.clone(), hook: hook.is_some() });
        let Some(hook) = hook else { return Ok(()) };
        let address = fields(&self.kubelet, &self.pod, &self.addresses).pod_ips;
        let address = address.first().map(String::as_str).unwrap_or_default();
        let running = hooks::run(self.kubelet.runtime().as_ref(), &id, member, hook, address);
        let returned = tokio::select! {
            returned = running => returned,
            () = self.cancel.cancelled() => Ok(()),
        };
        let Err(error) = returned else {
            self.say(News::HookReturned { id });
            return Ok(());
        };
        let events = self.kubelet.events();
        let message = "PostStartHook failed".to_owned();
        tracing::info!(pod = self.pod.described(), container = member.name(), error, "{message}");
        events.container(
            &self.pod,
            member,
            EventType::Warning,
            "FailedPostStartHook",
            message.clone(),
        );
        events.container(&self.pod, member, EventType::Normal, "Killing", "FailedPostStartHook");
        let stopped = self.kubelet.runtime().stop_container(&id, self.pod.grace()).await;
        if let Err(error) = stopped {
            tracing::warn!(pod = self.pod.described(), %error, "cannot stop a container");
        }
        self.say(News::HookReturned { id });
        Err(Waiting { retry_at: Timestamp::now(), ..self.waiting("PostStartHookError", message) })
    }

    fn waiting(&self, reason: &str, message: String) -> Waiting {
        let retry_at = later(Timestamp::now(), RETRY);
        Waiting { reason: reason.to_owned(), message, retry_at }
    }

    /// A link named after pod and container, for log collectors.
    async fn link_log(&self, member: &Member<'_>, id: &str) {
        let Ok(status) = self.kubelet.runtime().container(id).await else { return };
        let (pod, config) = (&self.pod, self.kubelet.config());
        let name = format!("{}_{}_{}-{id}.log", pod.name(), pod.namespace(), member.name());
        let link = config.container_log_directory.join(name);
        let made = std::fs::create_dir_all(&config.container_log_directory)
            .and_then(|()| std::os::unix::fs::symlink(&status.log_path, &link));
        if let Err(error) = made {
            tracing::debug!(link = %link.display(), %error, "cannot link a log");
        }
    }

    async fn spec(
        &self,
        member: &Member<'_>,
        attempt: u32,
        image: kd_runtime::Image,
    ) -> Result<kd_runtime::ContainerSpec, String> {
        checked(member)?;
        let config = self.kubelet.config();
        let own = environment(&self.pod, &member.container, &self.sources(member).await?)?;
        let mut given = self.kubelet.devices().given(self.pod.uid(), member.name()).await?;
        given.cdi.extend(self.kubelet.resource_claims().devices_of(&self.pod, &member.container));
        given.resolve()?;
        let env: Vec<(String, String)> = given.env.into_iter().chain(own).collect();
        let text = |error: crate::error::Error| error.to_string();
        let files = files::write(config, &self.pod, &self.addresses).map_err(text)?;
        let message_file =
            files::message_file(config, &self.pod, member.name(), attempt).map_err(text)?;
        let claimed = self.volumes.lock().await.claimed().clone();
        let mut mounts = self.volume_mounts(member, &env, &claimed)?;
        mounts.extend(file_mounts(member, &files, &message_file));
        mounts.extend(given.mounts);
        let mut devices = volume_devices(member, &claimed)?;
        devices.extend(given.devices);
        let memory_bytes = self.kubelet.machine().memory_bytes();
        let parts = Parts {
            attempt,
            image,
            env,
            mounts,
            devices,
            resources: container_limits(&self.pod, member, memory_bytes),
            message_file,
            seccomp_directory: config.seccomp_directory.clone(),
        };
        let mut spec = container_spec(&self.pod, member, parts)?;
        spec.annotations.extend(given.annotations);
        Ok(spec)
    }

    async fn sources(&self, member: &Member<'_>) -> Result<Sources, String> {
        let (config_maps, secrets) = referenced(&member.container);
        let context = self.context();
        let mut sources = Sources {
            services: self.kubelet.services().await,
            allocatable: context.allocatable.clone(),
            addresses: context.fields.clone(),
            ..Sources::default()
        };
        let mut volumes = self.volumes.lock().await;
        let directory = self.kubelet.config().pod_directory(self.pod.uid());
        for (name, path) in referenced_files(&member.container) {
            let known = self.pod.spec().volumes.iter().flatten().find(|v| v.name == name);
            let place = known.and_then(|volume| volumes::path(&directory, volume));
            let place = place.ok_or_else(|| {
                format!("cannot find the volume {name:?} referenced by FileKeyRef")
            })?;
            if let Ok(text) = read_env_file(&place, path) {
                sources.files.insert((name.to_owned(), path.to_owned()), text);
            }
        }
        for name in config_maps {
            if let Some(map) = volumes.config_map(&context, self.pod.namespace(), name).await? {
                sources.config_maps.insert(name.to_owned(), map.as_ref().clone());
            }
        }
        for name in secrets {
            if let Some(secret) = volumes.secret(&context, self.pod.namespace(), name).await? {
                sources.secrets.insert(name.to_owned(), secret.as_ref().clone());
            }
        }
        Ok(sources)
    }

    fn volume_mounts(
        &self,
        member: &Member<'_>,
        env: &[(String, String)],
        claimed: &HashMap<String, Claimed>,
    ) -> Result<Vec<Mount>, String> {
        let pod_directory = self.kubelet.config().pod_directory(self.pod.uid());
        let volumes = self.pod.spec().volumes.as_deref().unwrap_or_default();
        let mut made = Vec::new();
        for (position, mount) in member.container.volume_mounts.iter().flatten().enumerate() {
            let volume = volumes.iter().find(|v| v.name == mount.name);
            let behind = claimed.get(&mount.name).filter(|claimed| !claimed.block);
            let source = match behind {
                Some(claimed) => Some(claimed.path.clone()),
                None => volume.and_then(|v| volumes::path(&pod_directory, v)),
            };
            let Some(mut source) = source else {
                return Err(format!(
                    "cannot find volume \"{}\" to mount into container \"{}\"",
                    mount.name,
                    member.name()
                ));
            };
            let lookup =
                |name: &str| env.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.clone());
            let sub_path = match mount.sub_path_expr.as_deref().filter(|e| !e.is_empty()) {
                Some(expression) => expand(expression, lookup),
                None => mount.sub_path.clone().unwrap_or_default(),
            };
            if !sub_path.is_empty() {
                let pins = pod_directory.join("volume-subpaths").join(&mount.name);
                let pin = pins.join(member.name()).join(position.to_string());
                source = make_sub_path(&source, &sub_path, &pin)?;
            }
            let image = volume.is_some_and(|v| v.image.is_some());
            let read_only = mount.read_only == Some(true)
                || image
                || behind.is_some_and(|claimed| claimed.read_only);
            made.push(Mount {
                source,
                target: mount.mount_path.clone().into(),
                read_only,
                recursive_read_only: read_only
                    && matches!(
                        mount.recursive_read_only.as_deref(),
                        Some("Enabled" | "IfPossible")
                    ),
                propagation: propagation(mount.mount_propagation.as_deref()),
            });
        }
        Ok(made)
    }

    async fn pull_auth(&self, member: &Member<'_>) -> Vec<RegistryAuth> {
        let image = member.container.image.as_deref().unwrap_or_default();
        let context = self.context();
        let mut volumes = self.volumes.lock().await;
        let mut found = Vec::new();
        for reference in self.pod.spec().image_pull_secrets.iter().flatten() {
            match volumes.secret(&context, self.pod.namespace(), &reference.name).await {
                Ok(Some(secret)) => found.extend(credentials(&secret, image)),
                _ => {
                    let message = format!(
                        "Unable to retrieve some image pull secrets ({}); attempting to pull the \
                         image may not succeed.",
                        reference.name
                    );
                    self.kubelet.events().pod(
                        &self.pod,
                        EventType::Warning,
                        "FailedToRetrieveImagePullSecret",
                        message,
                    );
                }
            }
        }
        found
    }
}

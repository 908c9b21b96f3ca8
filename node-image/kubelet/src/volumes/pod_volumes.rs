//! The volumes of one pod as its worker holds them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ConfigMap, EmptyDirVolumeSource, ImageVolumeSource, Node, Pod, ProjectedVolumeSource, Secret,
    Volume, VolumeProjection,
};
use kd_runtime::{Images, RegistryAuth};
use tokio::sync::watch;

use super::atomic_writer::{self, Payload};
use super::claims::{self, Claimed, OnePodVolumes};
use super::csi::{Csi, WantedVolume};
use super::ownership::{Ownership, shared_user};
use super::payload::{self, MODE_DEFAULT, Wanted, mode_of};
use super::token::{self, Token};
use super::{Kind, directory, host_path, image, path};
use crate::environment::FieldContext;
use crate::events::Recorder;
use crate::lifecycle::backoff::later;
use crate::objects::{Held, ObjectCache};
use crate::pod::PodExt;
use crate::pull_secrets::credentials;
use crate::quantity::{Resources, whole};

/// What volumes are made with.
#[derive(Clone)]
pub struct VolumeContext {
    /// For tokens.
    pub client: kube::Client,
    /// ConfigMaps of the node's pods.
    pub config_maps: Arc<ObjectCache<ConfigMap>>,
    /// Secrets of the node's pods.
    pub secrets: Arc<ObjectCache<Secret>>,
    /// The node's allocatable resources, for downward volumes.
    pub allocatable: Resources,
    /// Addresses, for downward volumes.
    pub fields: FieldContext,
    /// The node's own object, for volumes that are bound to nodes.
    pub node: watch::Receiver<Option<Node>>,
    /// The node's images.
    pub images: Arc<dyn Images>,
    /// Volumes that one pod at a time may use.
    pub one_pod_volumes: OnePodVolumes,
    /// Volumes of drivers.
    pub csi: Arc<Csi>,
    /// For what is told of volumes.
    pub events: Arc<Recorder>,
}

/// A volume that could not be made, as the `FailedMount` event says.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum MountError {
    /// It cannot be made.
    #[error("MountVolume.SetUp failed for volume \"{volume}\" : {reason}")]
    SetUp {
        /// The volume's name; that of the PersistentVolume behind a claim.
        volume: String,
        /// Why.
        reason: String,
    },
    /// A step on the way to it failed.
    #[error("{operation} failed for volume \"{volume}\" : {reason}")]
    Step {
        /// Upstream's name of the step.
        operation: &'static str,
        /// The volume's name; that of the PersistentVolume behind a claim.
        volume: String,
        /// Why.
        reason: String,
    },
    /// Nobody has attached it to the node in time.
    #[error(
        "Unable to attach or mount volumes: unmounted volumes=[{volume}], unattached \
         volumes=[{volume}], failed to process volumes=[]: context deadline exceeded"
    )]
    Unattached {
        /// The volume's name in the pod.
        volume: String,
    },
    /// There is no telling yet which volume is meant.
    #[error(
        "Unable to attach or mount volumes: unmounted volumes=[{volume}], unattached volumes=[], \
         failed to process volumes=[{volume}]: {reason}"
    )]
    Unprocessed {
        /// The volume's name in the pod.
        volume: String,
        /// Why.
        reason: String,
    },
    /// The volume is for other nodes.
    #[error(
        "MountVolume.NodeAffinity check failed for volume \"{volume}\" : no matching \
         NodeSelectorTerms"
    )]
    WrongNode {
        /// The PersistentVolume's name.
        volume: String,
    },
}

impl MountError {
    /// It cannot be made.
    pub fn set_up(volume: &str, reason: impl Into<String>) -> MountError {
        MountError::SetUp { volume: volume.to_owned(), reason: reason.into() }
    }

    /// The reason of the event that tells of it.
    pub fn event_reason(&self) -> &'static str {
        match self {
            MountError::Step { operation, .. } if operation.starts_with("MapVolume") => {
                "FailedMapVolume"
            }
            _ => "FailedMount",
        }
    }

    /// The API server took too long.
    pub fn too_late() -> MountError {
        MountError::set_up("*", "timed out waiting for the API server")
    }
}

/// Nodes may not watch claims and volumes: whether one has grown is looked up this often, and
/// volumes that are published again and again are published as often (upstream's figure).
const RECHECK_EVERY: Duration = Duration::from_secs(60);

/// The volumes of one pod.
#[derive(Default)]
pub struct PodVolumes {
    config_maps: HashMap<String, Held<ConfigMap>>,
    secrets: HashMap<String, Held<Secret>>,
    /// By volume and position in its sources.
    tokens: BTreeMap<(String, usize), Token>,
    /// By the volume's name in the pod.
    claimed: HashMap<String, Claimed>,
    /// When drivers' volumes are to be looked at again.
    rechecks: HashMap<String, Timestamp>,
}

impl PodVolumes {
    /// Makes all volumes, or brings those with live content up to date. All are tried; the first
    /// failure is returned.
    pub async fn mount(
        &mut self,
        context: &VolumeContext,
        pod: &Pod,
        pod_directory: &Path,
        now: Timestamp,
    ) -> Result<(), MountError> {
        let mut failed = None;
        let used = used_volumes(pod);
        let volumes = pod.spec().volumes.iter().flatten();
        for volume in volumes.filter(|volume| used.contains(&volume.name)) {
            let made = match Kind::of(volume) {
                Some(Kind::Claim | Kind::Csi) => self.claim(context, pod, volume, now).await,
                _ => {
                    let made = self.mount_one(context, pod, volume, pod_directory, now).await;
                    made.map_err(|reason| MountError::set_up(&volume.name, reason))
                }
            };
            if let Err(error) = made {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// The volumes behind claims that were prepared, by their names in the pod.
    pub fn claimed(&self) -> &HashMap<String, Claimed> {
        &self.claimed
    }

    async fn claim(
        &mut self,
        context: &VolumeContext,
        pod: &Pod,
        volume: &Volume,
        now: Timestamp,
    ) -> Result<(), MountError> {
        let due = self.rechecks.get(&volume.name).is_some_and(|at| *at <= now);
        if self.claimed.contains_key(&volume.name) && !due {
            return Ok(());
        }
        let claimed = match &volume.csi {
            Some(source) => {
                let wanted = WantedVolume::inline(pod, &volume.name, source);
                context.csi.mount(context, pod, &volume.name, &wanted).await?
            }
            None => claims::prepare(context, pod, volume).await?,
        };
        if claimed.csi.as_ref().is_some_and(|csi| csi.is_rechecked) {
            self.rechecks.insert(volume.name.clone(), later(now, RECHECK_EVERY));
        }
        self.claimed.insert(volume.name.clone(), claimed);
        Ok(())
    }

    /// When a token is to be renewed, or a volume looked at again.
    pub fn renew_at(&self) -> Option<Timestamp> {
        let tokens = self.tokens.values().map(|token| token.renew_at);
        tokens.chain(self.rechecks.values().copied()).min()
    }

    /// Watches the ConfigMap and returns it as it is now.
    pub async fn config_map(
        &mut self,
        context: &VolumeContext,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<ConfigMap>>, String> {
        let hold = || context.config_maps.hold(namespace, name);
        self.config_maps.entry(name.to_owned()).or_insert_with(hold).value().await
    }

    /// Watches the Secret and returns it as it is now.
    pub async fn secret(
        &mut self,
        context: &VolumeContext,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Secret>>, String> {
        let hold = || context.secrets.hold(namespace, name);
        self.secrets.entry(name.to_owned()).or_insert_with(hold).value().await
    }

    /// Stops watching.
    pub fn release(&mut self) {
        *self = PodVolumes::default();
    }

    async fn mount_one(
        &mut self,
        context: &VolumeContext,
        pod: &Pod,
        volume: &Volume,
        pod_directory: &Path,
        now: Timestamp,
    ) -> Result<(), String> {
        let target = path(pod_directory, volume);
        let (Some(kind), Some(target)) = (Kind::of(volume), target) else {
            return Err(unsupported(volume));
        };
        if let (Kind::HostPath, Some(source)) = (kind, &volume.host_path) {
            return host_path::prepare(source);
        }
        if let (Kind::EmptyDir, Some(source)) = (kind, &volume.empty_dir) {
            return empty_dir(source, &target, &Ownership::of(pod));
        }
        if let (Kind::Image, Some(source)) = (kind, &volume.image) {
            let auth = self.pull_auth(context, pod, source).await;
            return image::mount(context.images.as_ref(), source, &auth, &target).await;
        }
        let payload = self.payload(context, pod, volume, now).await?;
        let ownership = Ownership::of(pod);
        let made = directory::mount_memory_or_directory(kind, &target)
            .and_then(|()| atomic_writer::write(&target, &payload, &ownership, now).map(drop));
        made.map_err(|error| error.to_string())
    }

    /// Credentials for an image volume; Secrets that are not there are left out.
    async fn pull_auth(
        &mut self,
        context: &VolumeContext,
        pod: &Pod,
        source: &ImageVolumeSource,
    ) -> Vec<RegistryAuth> {
        let image = source.reference.as_deref().unwrap_or_default();
        let mut found = Vec::new();
        for reference in pod.spec().image_pull_secrets.iter().flatten() {
            if let Ok(Some(secret)) = self.secret(context, pod.namespace(), &reference.name).await {
                found.extend(credentials(&secret, image));
            }
        }
        found
    }

    async fn payload(
        &mut self,
        context: &VolumeContext,
        pod: &Pod,
        volume: &Volume,
        now: Timestamp,
    ) -> Result<Payload, String> {
        let namespace = pod.namespace();
        if let Some(source) = &volume.config_map {
            let map = self.config_map(context, namespace, &source.name).await?;
            let wanted = Wanted {
                items: source.items.as_deref(),
                mode: mode_of(source.default_mode, MODE_DEFAULT),
                optional: source.optional == Some(true),
            };
            return payload::config_map(&source.name, map.as_deref(), &wanted);
        }
        if let Some(source) = &volume.secret {
            let name = source.secret_name.as_deref().unwrap_or_default();
            let secret = self.secret(context, namespace, name).await?;
            let wanted = Wanted {
                items: source.items.as_deref(),
                mode: mode_of(source.default_mode, MODE_DEFAULT),
                optional: source.optional == Some(true),
            };
            return payload::secret(name, secret.as_deref(), &wanted);
        }
        if let Some(source) = &volume.downward_api {
            let items = source.items.as_deref().unwrap_or_default();
            let mode = mode_of(source.default_mode, MODE_DEFAULT);
            return payload::downward(pod, items, mode, &context.fields, &context.allocatable);
        }
        match &volume.projected {
            Some(source) => self.projected(context, pod, &volume.name, source, now).await,
            None => Err(unsupported(volume)),
        }
    }

    async fn projected(
        &mut self,
        context: &VolumeContext,
        pod: &Pod,
        volume: &str,
        source: &ProjectedVolumeSource,
        now: Timestamp,
    ) -> Result<Payload, String> {
        let mode = mode_of(source.default_mode, MODE_DEFAULT);
        let mut all = Payload::new();
        for (position, part) in source.sources.iter().flatten().enumerate() {
            let place = (volume.to_owned(), position);
            all.extend(self.projection(context, pod, place, part, mode, now).await?);
        }
        Ok(all)
    }

    async fn projection(
        &mut self,
        context: &VolumeContext,
        pod: &Pod,
        place: (String, usize),
        part: &VolumeProjection,
        mode: u32,
        now: Timestamp,
    ) -> Result<Payload, String> {
        let namespace = pod.namespace();
        if let Some(source) = &part.config_map {
            let map = self.config_map(context, namespace, &source.name).await?;
            let optional = source.optional == Some(true);
            let wanted = Wanted { items: source.items.as_deref(), mode, optional };
            return payload::config_map(&source.name, map.as_deref(), &wanted);
        }
        if let Some(source) = &part.secret {
            let secret = self.secret(context, namespace, &source.name).await?;
            let optional = source.optional == Some(true);
            let wanted = Wanted { items: source.items.as_deref(), mode, optional };
            return payload::secret(&source.name, secret.as_deref(), &wanted);
        }
        if let Some(source) = &part.downward_api {
            let items = source.items.as_deref().unwrap_or_default();
            return payload::downward(pod, items, mode, &context.fields, &context.allocatable);
        }
        if let Some(source) = &part.service_account_token {
            let known = self.tokens.get(&place).filter(|token| now < token.renew_at);
            let text = match known {
                Some(token) => token.text.clone(),
                None => {
                    let token = token::request(&context.client, pod, source, now).await?;
                    let text = token.text.clone();
                    self.tokens.insert(place, token);
                    text
                }
            };
            return Ok(token_payload(pod, &source.path, &text, mode));
        }
        Err("clusterTrustBundle and podCertificate projections are not supported".into())
    }
}

/// Names of the volumes that a container of the pod has. The others are not made.
fn used_volumes(pod: &Pod) -> HashSet<String> {
    let mut used = HashSet::new();
    for member in pod.members() {
        let mounts = member.container.volume_mounts.iter().flatten().map(|m| m.name.clone());
        used.extend(mounts);
        let devices = member.container.volume_devices.iter().flatten().map(|d| d.name.clone());
        used.extend(devices);
    }
    used
}

/// A token is readable by the pod's own user or group alone when that is known.
fn token_payload(pod: &Pod, path: &str, text: &str, mode: u32) -> Payload {
    let user = shared_user(pod);
    let private = user.is_some() || Ownership::of(pod).is_set();
    let mut file = payload::file(text.as_bytes(), if private { 0o600 } else { mode });
    file.user = user;
    Payload::from([(path.to_owned(), file)])
}

fn empty_dir(
    source: &EmptyDirVolumeSource,
    target: &Path,
    ownership: &Ownership,
) -> Result<(), String> {
    // Anyone in the pod may use it.
    const MODE: u32 = 0o777;
    let made = match source.medium.as_deref().unwrap_or_default() {
        "" if target.is_dir() => return Ok(()),
        "" => directory::make(target, MODE),
        "Memory" => {
            let size = source.size_limit.as_ref().map(whole).filter(|bytes| *bytes > 0);
            directory::mount_memory(target, size.map(i64::unsigned_abs), MODE)
        }
        other => return Err(format!("emptyDir medium {other:?} is not supported")),
    };
    let owned = made.and_then(|()| ownership.apply_writable(target));
    owned.map_err(|error| error.to_string())
}

fn unsupported(volume: &Volume) -> String {
    let written = serde_json::to_value(volume).unwrap_or_default();
    let kind = written.as_object().and_then(|o| o.keys().find(|k| *k != "name")).cloned();
    format!("volumes of type {} are not supported", kind.unwrap_or_else(|| "unknown".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tokens_are_private_to_a_shared_user() {
        let check = |spec, mode: u32, user: Option<u32>| {
            let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            let payload = token_payload(&pod, "token", "t", 0o644);
            assert_eq!((payload["token"].mode, payload["token"].user), (mode, user));
        };
        let container = json!({"name": "c"});
        check(json!({"containers": [container]}), 0o644, None);
        check(
            json!({"containers": [container], "securityContext": {"runAsUser": 5}}),
            0o600,
            Some(5),
        );
        check(json!({"containers": [container], "securityContext": {"fsGroup": 5}}), 0o600, None);
        let other = json!({"name": "d", "securityContext": {"runAsUser": 6}});
        check(
            json!({"containers": [container, other], "securityContext": {"runAsUser": 5}}),
            0o644,
            None,
        );
    }

    #[test]
    fn unsupported_kinds_are_named() {
        let volume =
            serde_json::from_value(json!({"name": "v", "nfs": {"server": "s", "path": "/"}}));
        assert_eq!(unsupported(&volume.unwrap()), "volumes of type nfs are not supported");
    }
}

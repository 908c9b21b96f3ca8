//! Mounting: stage on the node, publish for the pod, give to the pod's group.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::core::v1::{Pod, Secret, SecretReference};
use k8s_openapi::api::storage::v1::CSIDriver;
use kube::Api;

use super::node_service::{Capabilities, Contexts, NodeService, Usage};
use super::paths::attachment_name;
use super::policy::Policy;
use super::record::{Lifecycle, Record, gone};
use super::wanted::WantedVolume;
use super::{Csi, CsiVolume};
use crate::error::{api_code, api_message};
use crate::pod::PodExt;
use crate::volumes::directory::is_mounted;
use crate::volumes::ownership::Ownership;
use crate::volumes::token::request_status;
use crate::volumes::{Claimed, MountError, VolumeContext};

/// Upstream's mode of the directories it makes.
const MODE: u32 = 0o750;
/// What upstream's messages begin with.
const PREFIX: &str = "kubernetes.io/csi: ";

/// One mount in progress.
struct Mounting<'a> {
    csi: &'a Csi,
    context: &'a VolumeContext,
    pod: &'a Pod,
    wanted: &'a WantedVolume,
    policy: Policy,
    driver: NodeService,
    known: Capabilities,
    publish_context: BTreeMap<String, String>,
}

impl Csi {
    /// Mounts a volume for a pod. Doing it again changes nothing, but for volumes that their driver
    /// wants published again.
    pub async fn mount(
        &self,
        context: &VolumeContext,
        pod: &Pod,
        name_in_pod: &str,
        wanted: &WantedVolume,
    ) -> Result<Claimed, MountError> {
        let failed = |operation: &'static str| {
            move |reason: String| MountError::Step {
                operation,
                volume: wanted.name.clone(),
                reason,
            }
        };
        const CHOICE: &str = "MountVolume.NewMounter initialization";
        let policy = policy_of(context, &wanted.id.driver).await.map_err(failed(CHOICE))?;
        policy.checked(&wanted.id.driver, wanted.lifecycle).map_err(failed(CHOICE))?;
        let persistent = wanted.lifecycle == Lifecycle::Persistent;
        let attached = persistent && policy.is_attached();
        let mut publish_context = BTreeMap::new();
        if persistent {
            self.note_use(wanted, pod.uid(), attached);
        }
        if attached {
            let volume = (name_in_pod, wanted.name.as_str());
            publish_context = self.wait_for_attach(context, volume, &wanted.id).await?;
        }
        let _alone = self.lock(&wanted.id).await;
        let (stage_step, publish_step) = match wanted.usage.block {
            true => ("MapVolume.SetUpDevice", "MapVolume.MapPodDevice"),
            false => ("MountVolume.MountDevice", "MountVolume.SetUp"),
        };
        let first = if persistent { stage_step } else { publish_step };
        if wanted.target(&self.places, pod.uid()).exists() {
            self.wait_for_driver(&wanted.id.driver).await;
        }
        let driver = self.driver(&wanted.id.driver).map_err(|reason| match persistent {
            true => format!(
                "{PREFIX}attacher.MountDevice failed to create newCsiDriverClient: {reason}"
            ),
            false => format!("{PREFIX}mounter.SetUpAt failed to get CSI client: {reason}"),
        });
        let driver = driver.map_err(failed(first))?;
        let known = driver.capabilities().await;
        let known = known.map_err(|status| failed(first)(status.to_string()))?;
        let mounting =
            Mounting { csi: self, context, pod, wanted, policy, driver, known, publish_context };
        if persistent {
            mounting.stage().await.map_err(failed(stage_step))?;
        }
        mounting.publish().await.map_err(failed(publish_step))?;
        Ok(mounting.claimed())
    }
}

async fn policy_of(context: &VolumeContext, driver: &str) -> Result<Policy, String> {
    let api: Api<CSIDriver> = Api::all(context.client.clone());
    match api.get(driver).await {
        Ok(found) => Ok(Policy::of(Some(found))),
        Err(error) if api_code(&error) == Some(404) => Ok(Policy::of(None)),
        Err(error) => Err(api_message(&error)),
    }
}

impl Mounting<'_> {
    fn usage(&self) -> Usage {
        let group = match self.known.mount_group {
            true => Ownership::of(self.pod).group().map(|group| group.to_string()),
            false => None,
        };
        Usage { group: group.unwrap_or_default(), ..self.wanted.usage.clone() }
    }

    async fn stage(&self) -> Result<(), String> {
        let wanted = self.wanted;
        let staging = wanted.staging(&self.csi.places);
        if !wanted.usage.block && is_mounted(&staging).map_err(|error| error.to_string())? {
            return Ok(());
        }
        let data = match wanted.usage.block {
            true => self.csi.places.block_data(&wanted.name),
            false => staging.parent().unwrap_or(&staging).to_owned(),
        };
        let failed = |error: std::io::Error| {
            format!("{PREFIX}attacher.MountDevice failed to create dir {staging:?}:  {error}")
        };
        // Kept also for drivers that do not stage: it tells who has the volume.
        crate::volumes::directory::make(&staging, MODE).map_err(failed)?;
        self.record().save(&data).map_err(failed)?;
        if !self.known.stage {
            return Ok(());
        }
        let secrets =
            self.secrets(wanted.stage_secret.as_ref()).await.map_err(|(name, reason)| {
                format!("fetching NodeStageSecretRef {name} failed: {reason}")
            })?;
        let contexts = Contexts {
            publish: self.publish_context.clone(),
            volume: wanted.attributes.clone(),
            secrets,
        };
        let staged = self
            .driver
            .stage(&wanted.id.handle, &staging, &self.usage(), &self.known, &contexts)
            .await;
        staged.map_err(|status| status.to_string())
    }

    fn record(&self) -> Record {
        let id = &self.wanted.id;
        let attached = self.wanted.lifecycle == Lifecycle::Persistent && self.policy.is_attached();
        let attachment = attachment_name(&id.driver, &id.handle, &self.csi.node_name);
        Record {
            name: self.wanted.name.clone(),
            handle: id.handle.clone(),
            driver: id.driver.clone(),
            node: self.csi.node_name.clone(),
            attachment: if attached { attachment } else { String::new() },
            lifecycle: self.wanted.lifecycle,
        }
    }

    async fn publish(&self) -> Result<(), String> {
        let (wanted, uid) = (self.wanted, self.pod.uid());
        let target = wanted.target(&self.csi.places, uid);
        let there = match wanted.usage.block {
            true => target.exists(),
            false => is_mounted(&target).map_err(|error| error.to_string())?,
        };
        if there && !self.policy.is_republished() {
            return Ok(());
        }
        self.prepare(&target)?;
        let contexts = self.publish_contexts().await?;
        let staging = Some(wanted.staging(&self.csi.places));
        let staging = staging.filter(|_| self.is_staged());
        let paths = (target.as_path(), staging.as_deref());
        let published = self
            .driver
            .publish(
                &wanted.id.handle,
                paths,
                &self.usage(),
                &self.known,
                &contexts,
                wanted.read_only,
            )
            .await;
        if let Err(status) = published {
            if status.is_final() && !there {
                // What the driver left must not stand in the way of the next try.
                let _ = gone(std::fs::remove_dir(&target));
            }
            return Err(status.to_string());
        }
        self.give_to_group(&target, there)
    }

    fn is_staged(&self) -> bool {
        self.known.stage && self.wanted.lifecycle == Lifecycle::Persistent
    }

    /// The directory that the driver makes the target in, and the record of it.
    fn prepare(&self, target: &Path) -> Result<(), String> {
        let parent = target.parent().unwrap_or(target);
        let failed = |error: std::io::Error| {
            format!("{PREFIX}mounter.SetUpAt failed to create dir {parent:?}:  {error}")
        };
        crate::volumes::directory::make(parent, MODE).map_err(failed)?;
        if !self.wanted.usage.block {
            return self.record().save(parent).map_err(failed);
        }
        let links = self.csi.places.devices_of(self.pod.uid());
        std::fs::create_dir_all(&links).map_err(failed)?;
        let link = links.join(&self.wanted.name);
        match std::os::unix::fs::symlink(target, link) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(failed(error)),
            _ => Ok(()),
        }
    }

    async fn publish_contexts(&self) -> Result<Contexts, String> {
        let wanted = self.wanted;
        let mut secrets =
            self.secrets(wanted.publish_secret.as_ref()).await.map_err(|(name, reason)| {
                format!("fetching NodePublishSecretRef {name} failed: {reason}")
            })?;
        let mut volume = wanted.attributes.clone();
        volume.extend(self.policy.pod_info(self.pod, wanted.lifecycle));
        let tokens = self.tokens().await.map_err(|reason| {
            format!(
                "{PREFIX}mounter.SetUpAt failed to get service account token attributes: {reason}"
            )
        })?;
        if let Some(tokens) = tokens {
            let place = match self.policy.has_secret_tokens() {
                true => &mut secrets,
                false => &mut volume,
            };
            place.insert("csi.storage.k8s.io/serviceAccount.tokens".into(), tokens);
        }
        Ok(Contexts { publish: self.publish_context.clone(), volume, secrets })
    }

    /// The tokens of the pod's account that the driver wants, by audience.
    async fn tokens(&self) -> Result<Option<String>, String> {
        let mut tokens = serde_json::Map::new();
        for asked in self.policy.tokens() {
            let (audience, lifetime) = (Some(asked.audience.as_str()), asked.expiration_seconds);
            let status = request_status(&self.context.client, self.pod, audience, lifetime).await?;
            let told = serde_json::json!({"token": status.token,
                "expirationTimestamp": status.expiration_timestamp});
            tokens.insert(asked.audience.clone(), told);
        }
        Ok((!tokens.is_empty()).then(|| serde_json::Value::Object(tokens).to_string()))
    }

    async fn secrets(
        &self,
        reference: Option<&SecretReference>,
    ) -> Result<BTreeMap<String, String>, (String, String)> {
        secret_of(self.context, reference).await
    }

    fn give_to_group(&self, target: &Path, there: bool) -> Result<(), String> {
        let wanted = self.wanted;
        let ownership = Ownership::of(self.pod);
        let modes = wanted.access_modes.as_deref();
        let ours = self.policy.gives_to_group(&wanted.usage.fs_type, modes, wanted.read_only);
        if wanted.usage.block || self.known.mount_group || there || !ours || !ownership.is_set() {
            return Ok(());
        }
        let applied = ownership.apply_to_persistent(target);
        applied
            .map_err(|error| format!("applyFSGroup failed for vol {}: {error}", wanted.id.handle))
    }

    fn claimed(&self) -> Claimed {
        let wanted = self.wanted;
        let persistent = wanted.lifecycle == Lifecycle::Persistent;
        let csi = CsiVolume {
            id: wanted.id.clone(),
            staging: Some(wanted.staging(&self.csi.places)).filter(|_| self.is_staged()),
            has_stats: self.known.stats,
            is_rechecked: self.policy.is_republished() || (persistent && self.known.expand),
        };
        Claimed {
            path: wanted.target(&self.csi.places, self.pod.uid()),
            block: wanted.usage.block,
            read_only: wanted.read_only,
            csi: Some(Box::new(csi)),
        }
    }
}

/// The content of a Secret that a volume names; the error comes with the Secret's name.
pub(super) async fn secret_of(
    context: &VolumeContext,
    reference: Option<&SecretReference>,
) -> Result<BTreeMap<String, String>, (String, String)> {
    let Some(reference) = reference else { return Ok(BTreeMap::new()) };
    let namespace = reference.namespace.as_deref().unwrap_or_default();
    let name = reference.name.as_deref().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let found = api.get(name).await.map_err(|error| {
        let reason = format!(
            "{PREFIX}failed to find the secret {name} in the namespace {namespace} with error: {}",
            api_message(&error)
        );
        (format!("{namespace}/{name}"), reason)
    })?;
    let data = found.data.unwrap_or_default().into_iter();
    Ok(data.map(|(key, value)| (key, String::from_utf8_lossy(&value.0).into_owned())).collect())
}

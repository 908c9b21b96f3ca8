//! Volumes behind claims: `persistentVolumeClaim` and `ephemeral` volumes, whose PersistentVolumes
//! are a driver's, local, or on the host's paths.

use std::collections::HashMap;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::{
    Node, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec, Pod, Volume,
};
use kube::Api;

use super::csi::{CsiVolume, WantedVolume};
use super::ownership::Ownership;
use super::{MountError, VolumeContext, host_path, local_path};
use crate::admission::selects_node;
use crate::error::api_message;
use crate::pod::PodExt;

/// The only access mode that keeps other pods away.
const ONE_POD: &str = "ReadWriteOncePod";

/// A volume that a claim led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Where it is on the node.
    pub path: PathBuf,
    /// Whether it is a device.
    pub block: bool,
    /// Whether the pod may only read it.
    pub read_only: bool,
    /// The driver's part, if it has a driver.
    pub csi: Option<Box<CsiVolume>>,
}

/// Names of volumes that one pod at a time may use, with the uid of that pod.
pub type OnePodVolumes = Arc<Mutex<HashMap<String, String>>>;

/// A claim as a pod refers to it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reference {
    claim: String,
    /// Made for the pod, and owned by it.
    generated: bool,
    read_only: bool,
}

fn reference(pod: &Pod, volume: &Volume) -> Option<Reference> {
    if let Some(source) = &volume.persistent_volume_claim {
        let read_only = source.read_only == Some(true);
        return Some(Reference { claim: source.claim_name.clone(), generated: false, read_only });
    }
    volume.ephemeral.as_ref()?;
    let claim = format!("{}-{}", pod.name(), volume.name);
    Some(Reference { claim, generated: true, read_only: false })
}

/// Finds and prepares the volume behind a claim.
pub async fn prepare(
    context: &VolumeContext,
    pod: &Pod,
    volume: &Volume,
) -> Result<Claimed, MountError> {
    let Some(reference) = reference(pod, volume) else {
        return Err(MountError::set_up(&volume.name, "the volume names no claim"));
    };
    let found = find(context, pod, volume, &reference).await;
    let (claim, found) = found.map_err(|reason| MountError::Unprocessed {
        volume: volume.name.clone(),
        reason: format!("error processing PVC {}/{}: {reason}", pod.namespace(), reference.claim),
    })?;
    let name = found.metadata.name.clone().unwrap_or_default();
    let spec = found.spec.clone().unwrap_or_default();
    checked_node(&name, &spec, context.node.borrow().as_ref())?;
    if let Some(source) = &spec.csi {
        let failed = |reason| MountError::set_up(&name, reason);
        taken(&context.one_pod_volumes, &name, &spec, pod.uid()).map_err(failed)?;
        let wanted = WantedVolume::persistent(&name, &spec, source, reference.read_only);
        let mounted = context.csi.mount(context, pod, &volume.name, &wanted).await?;
        context.csi.expand(context, pod, &claim, &found, &mounted, &wanted).await;
        return Ok(mounted);
    }
    local_path::make(&found).map_err(|reason| MountError::set_up(&name, reason))?;
    let made = place(&spec, reference.read_only).and_then(|claimed| {
        taken(&context.one_pod_volumes, &name, &spec, pod.uid())?;
        give_to_group(&claimed, &spec, pod)?;
        Ok(claimed)
    });
    made.map_err(|reason| MountError::set_up(&name, reason))
}

async fn find(
    context: &VolumeContext,
    pod: &Pod,
    volume: &Volume,
    reference: &Reference,
) -> Result<(PersistentVolumeClaim, PersistentVolume), String> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), pod.namespace());
    let claim = api
        .get(&reference.claim)
        .await
        .map_err(|error| format!("failed to fetch PVC from API server: {}", api_message(&error)))?;
    let name = bound_volume(pod, &claim, reference.generated)?;
    let api: Api<PersistentVolume> = Api::all(context.client.clone());
    let found = api.get(name).await.map_err(|error| {
        format!("failed to fetch PV {name} from API server: {}", api_message(&error))
    })?;
    checked_volume(pod, volume, &claim, &found)?;
    Ok((claim, found))
}

/// The volume that a claim is bound to.
fn bound_volume<'a>(
    pod: &Pod,
    claim: &'a PersistentVolumeClaim,
    generated: bool,
) -> Result<&'a str, String> {
    let owners = claim.metadata.owner_references.as_deref().unwrap_or_default();
    let owned = owners.iter().any(|o| o.controller == Some(true) && o.uid == pod.uid());
    if generated && !owned {
        return Err(format!(
            "PVC {}/{} was not created for pod {}/{} (pod is not owner)",
            pod.namespace(),
            claim.metadata.name.as_deref().unwrap_or_default(),
            pod.namespace(),
            pod.name()
        ));
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Err("PVC is being deleted".into());
    }
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    if phase != Some("Bound") {
        return Err("PVC is not bound".into());
    }
    let name = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref());
    name.filter(|name| !name.is_empty()).ok_or_else(|| "PVC has empty pvc.Spec.VolumeName".into())
}

/// Whether the volume is the claim's, and of the mode that the pod's containers expect.
fn checked_volume(
    pod: &Pod,
    volume: &Volume,
    claim: &PersistentVolumeClaim,
    found: &PersistentVolume,
) -> Result<(), String> {
    let name = found.metadata.name.as_deref().unwrap_or_default();
    let spec = found.spec.as_ref();
    let Some(claimer) = spec.and_then(|spec| spec.claim_ref.as_ref()) else {
        return Err(format!(
            "found PV object {name} but it has a nil pv.Spec.ClaimRef indicating it is not yet \
             bound to the claim"
        ));
    };
    let (bound, own) = (claimer.uid.as_deref(), claim.metadata.uid.as_deref());
    if bound != own {
        return Err(format!(
            "found PV object {name} but its pv.Spec.ClaimRef.UID {} does not point to claim.UID {}",
            bound.unwrap_or_default(),
            own.unwrap_or_default()
        ));
    }
    let block = spec.is_some_and(is_block);
    let members = pod.members();
    let mounted = members
        .iter()
        .flat_map(|m| m.container.volume_mounts.iter().flatten())
        .any(|mount| mount.name == volume.name);
    let mapped = members
        .iter()
        .flat_map(|m| m.container.volume_devices.iter().flatten())
        .any(|device| device.name == volume.name);
    let mismatch = |mode: &str, list: &str| {
        Err(format!("volume {} has volumeMode {mode}, but is specified in {list}", volume.name))
    };
    match block {
        true if mounted => mismatch("Block", "volumeMounts"),
        false if mapped => mismatch("Filesystem", "volumeDevices"),
        _ => Ok(()),
    }
}

fn is_block(spec: &PersistentVolumeSpec) -> bool {
    spec.volume_mode.as_deref() == Some("Block")
}

/// Volumes may be bound to nodes; who names the node of a pod by hand may get it wrong.
fn checked_node(
    name: &str,
    spec: &PersistentVolumeSpec,
    node: Option<&Node>,
) -> Result<(), MountError> {
    let required = spec.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref());
    match (required, node) {
        (Some(selector), Some(node)) if !selects_node(selector, node) => {
            Err(MountError::WrongNode { volume: name.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Where a volume is, made if its kind says so.
fn place(spec: &PersistentVolumeSpec, read_only: bool) -> Result<Claimed, String> {
    let block = is_block(spec);
    if let Some(source) = spec.host_path.as_ref().filter(|_| !block) {
        host_path::prepare(source)?;
        return Ok(Claimed { path: PathBuf::from(&source.path), block, read_only, csi: None });
    }
    if let Some(source) = &spec.local {
        let path = PathBuf::from(&source.path);
        let Ok(metadata) = std::fs::metadata(&path) else {
            return Err(format!("path \"{}\" does not exist", source.path));
        };
        let is_device = metadata.file_type().is_block_device();
        return match (block, is_device, metadata.is_dir()) {
            (true, true, _) | (false, false, true) => {
                Ok(Claimed { path, block, read_only, csi: None })
            }
            (true, false, _) => Err(format!("path \"{}\" is not a block device", source.path)),
            (false, ..) => Err(format!(
                "path \"{}\" is not a directory; file systems are not made on devices here",
                source.path
            )),
        };
    }
    let written = serde_json::to_value(spec).unwrap_or_default();
    const KINDS: [&str; 5] = ["fc", "hostPath", "iscsi", "local", "nfs"];
    let kind = KINDS.iter().find(|kind| written.get(**kind).is_some()).unwrap_or(&"unknown");
    Err(format!("persistent volumes of type {kind} are not supported here"))
}

/// Takes a volume of mode ReadWriteOncePod for this pod.
fn taken(
    volumes: &OnePodVolumes,
    name: &str,
    spec: &PersistentVolumeSpec,
    uid: &str,
) -> Result<(), String> {
    if !spec.access_modes.iter().flatten().any(|mode| mode == ONE_POD) {
        return Ok(());
    }
    let mut volumes = volumes.lock().unwrap_or_else(PoisonError::into_inner);
    match volumes.entry(name.to_owned()).or_insert_with(|| uid.to_owned()) {
        user if user == uid => Ok(()),
        _ => {
            Err("volume uses the ReadWriteOncePod access mode and is already in use by another pod"
                .into())
        }
    }
}

/// Gives back what a pod had for itself.
pub fn release(volumes: &OnePodVolumes, uid: &str) {
    volumes.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, user| user != uid);
}

/// The files of local volumes belong to the pod's group; those on paths of the host are let alone.
fn give_to_group(claimed: &Claimed, spec: &PersistentVolumeSpec, pod: &Pod) -> Result<(), String> {
    if spec.local.is_none() || claimed.block || claimed.read_only {
        return Ok(());
    }
    let applied = Ownership::of(pod).apply_to_persistent(&claimed.path);
    applied
        .map_err(|error| format!("applyFSGroup failed for vol {}: {error}", claimed.path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value) -> Pod {
        let pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec});
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn claims_that_can_be_used() {
        let check = |generated: bool, claim: Value, expect: Result<&str, &str>| {
            let claim = serde_json::from_value(claim).unwrap();
            let found = bound_volume(&pod(json!({"containers": []})), &claim, generated);
            assert_eq!(found, expect.map_err(str::to_owned));
        };
        let bound = json!({"spec": {"volumeName": "v"}, "status": {"phase": "Bound"}});
        check(false, bound.clone(), Ok("v"));
        check(false, json!({"spec": {}, "status": {"phase": "Pending"}}), Err("PVC is not bound"));
        check(false, json!({}), Err("PVC is not bound"));
        let mut going = bound.clone();
        going["metadata"] = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        check(false, going, Err("PVC is being deleted"));
        let mut made = bound.clone();
        made["metadata"] = json!({"name": "p-v", "ownerReferences": [
            {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true}]});
        check(true, made, Ok("v"));
        let mut foreign = bound;
        foreign["metadata"] = json!({"name": "p-v"});
        let text = "PVC n/p-v was not created for pod n/p (pod is not owner)";
        check(true, foreign, Err(text));
    }

    #[test]
    fn volumes_that_fit_their_claim() {
        let check = |spec: Value, container: Value, expect: Result<(), &str>| {
            let pod = pod(json!({"containers": [container]}));
            let volume = serde_json::from_value(json!({"name": "v"})).unwrap();
            let claim = serde_json::from_value(json!({"metadata": {"uid": "c"}})).unwrap();
            let found =
                serde_json::from_value(json!({"metadata": {"name": "pv"}, "spec": spec})).unwrap();
            let checked = checked_volume(&pod, &volume, &claim, &found);
            assert_eq!(checked, expect.map_err(str::to_owned));
        };
        let mounts = || json!({"name": "a", "volumeMounts": [{"name": "v", "mountPath": "/v"}]});
        let maps =
            || json!({"name": "a", "volumeDevices": [{"name": "v", "devicePath": "/dev/v"}]});
        let mine = |mode: &str| json!({"claimRef": {"uid": "c"}, "volumeMode": mode});
        check(mine("Filesystem"), mounts(), Ok(()));
        check(mine("Block"), maps(), Ok(()));
        let text = "volume v has volumeMode Block, but is specified in volumeMounts";
        check(mine("Block"), mounts(), Err(text));
        let text = "volume v has volumeMode Filesystem, but is specified in volumeDevices";
        check(mine("Filesystem"), maps(), Err(text));
        let text =
            "found PV object pv but its pv.Spec.ClaimRef.UID x does not point to claim.UID c";
        check(json!({"claimRef": {"uid": "x"}}), mounts(), Err(text));
    }

    #[test]
    fn places() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let check = |spec: Value, expect: Result<&str, &str>| {
            let spec = serde_json::from_value(spec).unwrap();
            let found = place(&spec, false).map(|c| c.path.to_string_lossy().into_owned());
            assert_eq!(found, expect.map(str::to_owned).map_err(str::to_owned));
        };
        let text = path.to_str().unwrap();
        let missing = format!("path \"{text}\" does not exist");
        check(json!({"local": {"path": text}}), Err(&missing));
        check(json!({"hostPath": {"path": text, "type": "DirectoryOrCreate"}}), Ok(text));
        check(json!({"local": {"path": text}}), Ok(text));
        let device = format!("path \"{text}\" is not a block device");
        check(json!({"local": {"path": text}, "volumeMode": "Block"}), Err(&device));
        let text = "persistent volumes of type nfs are not supported here";
        check(json!({"nfs": {"server": "s", "path": "/"}}), Err(text));
    }

    #[test]
    fn one_pod_at_a_time() {
        let volumes = OnePodVolumes::default();
        let spec = |mode: &str| serde_json::from_value(json!({"accessModes": [mode]})).unwrap();
        let check = |mode: &str, uid: &str, ok: bool| {
            assert_eq!(taken(&volumes, "v", &spec(mode), uid).is_ok(), ok, "{mode} {uid}");
        };
        check(ONE_POD, "a", true);
        check(ONE_POD, "a", true);
        check(ONE_POD, "b", false);
        check("ReadWriteMany", "b", true);
        release(&volumes, "a");
        check(ONE_POD, "b", true);
    }
}

//! Volumes of the built-in provisioner, which are directories of a node: made for everybody to use,
//! and removed when their volume is deleted.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::Api;

use super::directory;
use crate::kubelet::Kubelet;
use crate::reflector::{Update, reflect};

/// The provisioner's name, and the annotation that it leaves on its volumes.
const PROVISIONER: &str = "kd.dev/local-path";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// Where its directories are. Nothing else is ever removed.
const DIRECTORY: &str = "/var/local-path-provisioner";
/// Whoever a pod runs as may write.
const MODE: u32 = 0o777;

/// Makes the directory of a volume of ours; others are let alone.
pub fn make(volume: &PersistentVolume) -> Result<(), String> {
    match own_directory(volume) {
        Some(path) if !path.exists() => directory::make(&path, MODE)
            .map_err(|error| format!("mkdir {}: {error}", path.display())),
        _ => Ok(()),
    }
}

/// The directory of a volume that the provisioner made.
fn own_directory(volume: &PersistentVolume) -> Option<PathBuf> {
    let annotations = volume.metadata.annotations.as_ref()?;
    let path = PathBuf::from(&volume.spec.as_ref()?.host_path.as_ref()?.path);
    let below: Vec<Component<'_>> = path.strip_prefix(DIRECTORY).ok()?.components().collect();
    let plain = matches!(below.as_slice(), [Component::Normal(_)]);
    (plain && annotations.get(PROVISIONED_BY).is_some_and(|name| name == PROVISIONER))
        .then_some(path)
}

/// The directory that goes with a deleted volume: those whose policy is to keep them stay.
fn doomed(volume: &PersistentVolume) -> Option<PathBuf> {
    let policy = volume.spec.as_ref()?.persistent_volume_reclaim_policy.as_deref();
    own_directory(volume).filter(|_| policy == Some("Delete"))
}

/// Removes the directories of volumes that are deleted from now on.
pub(crate) async fn remove_with_volumes(kubelet: Arc<Kubelet>) {
    let api: Api<PersistentVolume> = Api::all(kubelet.client().clone());
    reflect(api, None, |update| match update {
        Update::Deleted(volume) => {
            if let Some(path) = doomed(&volume) {
                tokio::task::spawn_blocking(move || remove(&path));
            }
        }
        Update::Failed(error) => tracing::warn!(error, "volumes cannot be watched"),
        Update::Replaced(_) | Update::Applied(_) => {}
    })
    .await;
}

/// It is on one node only: the others have nothing to remove.
fn remove(path: &Path) {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "a volume's directory stays");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_goes() {
        let check = |path: &str, by: &str, policy: &str, ours: bool, goes: bool| {
            let volume: PersistentVolume = serde_json::from_value(json!({
                "metadata": {"annotations": {PROVISIONED_BY: by}},
                "spec": {"hostPath": {"path": path}, "persistentVolumeReclaimPolicy": policy}}))
            .unwrap();
            assert_eq!(own_directory(&volume).is_some(), ours, "{path}");
            assert_eq!(doomed(&volume).is_some(), goes, "{path}");
        };
        let path = "/var/local-path-provisioner/pvc-1_n_c";
        check(path, PROVISIONER, "Delete", true, true);
        check(path, PROVISIONER, "Retain", true, false);
        check(path, "example.com/other", "Delete", false, false);
        check("/var/local-path-provisioner", PROVISIONER, "Delete", false, false);
        check("/var/local-path-provisioner/../lib", PROVISIONER, "Delete", false, false);
        check("/var/local-path-provisioner/a/b", PROVISIONER, "Delete", false, false);
        check("/etc", PROVISIONER, "Delete", false, false);
    }
}

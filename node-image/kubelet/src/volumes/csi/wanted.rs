//! A CSI volume that a pod wants, whichever way it asks for it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{
    CSIPersistentVolumeSource, CSIVolumeSource, PersistentVolumeSpec, Pod, SecretReference,
};

use super::VolumeId;
use super::node_service::Usage;
use super::paths::{Places, ephemeral_handle};
use super::record::Lifecycle;
use crate::pod::PodExt;

/// What is asked.
#[derive(Clone, Debug)]
pub struct WantedVolume {
    /// The PersistentVolume's name, or the volume's in the pod.
    pub name: String,
    /// Which volume.
    pub id: VolumeId,
    /// How long it lives.
    pub(super) lifecycle: Lifecycle,
    /// How it is to be used.
    pub(super) usage: Usage,
    /// All access modes; none for a volume of a pod alone.
    pub(super) access_modes: Option<Vec<String>>,
    /// The driver's attributes.
    pub(super) attributes: BTreeMap<String, String>,
    /// Whether the pod may only read.
    pub read_only: bool,
    pub(super) stage_secret: Option<SecretReference>,
    pub(super) publish_secret: Option<SecretReference>,
    pub(super) expand_secret: Option<SecretReference>,
}

impl WantedVolume {
    /// A PersistentVolume.
    pub fn persistent(
        name: &str,
        spec: &PersistentVolumeSpec,
        source: &CSIPersistentVolumeSource,
        read_only: bool,
    ) -> WantedVolume {
        let modes = spec.access_modes.clone().unwrap_or_default();
        let usage = Usage {
            block: spec.volume_mode.as_deref() == Some("Block"),
            fs_type: source.fs_type.clone().unwrap_or_default(),
            flags: spec.mount_options.clone().unwrap_or_default(),
            group: String::new(),
            access_mode: modes.first().cloned().unwrap_or_else(|| "ReadWriteOnce".into()),
        };
        WantedVolume {
            name: name.to_owned(),
            id: VolumeId { driver: source.driver.clone(), handle: source.volume_handle.clone() },
            lifecycle: Lifecycle::Persistent,
            usage,
            access_modes: Some(modes),
            attributes: source.volume_attributes.clone().unwrap_or_default(),
            read_only,
            stage_secret: source.node_stage_secret_ref.clone(),
            publish_secret: source.node_publish_secret_ref.clone(),
            expand_secret: source.node_expand_secret_ref.clone(),
        }
    }

    /// A volume that a pod has for itself.
    pub fn inline(pod: &Pod, name: &str, source: &CSIVolumeSource) -> WantedVolume {
        let usage = Usage {
            fs_type: source.fs_type.clone().unwrap_or_default(),
            access_mode: "ReadWriteOnce".into(),
            ..Usage::default()
        };
        let secret = source.node_publish_secret_ref.as_ref().map(|secret| SecretReference {
            name: Some(secret.name.clone()),
            namespace: Some(pod.namespace().to_owned()),
        });
        let handle = ephemeral_handle(pod.uid(), name);
        WantedVolume {
            name: name.to_owned(),
            id: VolumeId { driver: source.driver.clone(), handle },
            lifecycle: Lifecycle::Ephemeral,
            usage,
            access_modes: None,
            attributes: source.volume_attributes.clone().unwrap_or_default(),
            read_only: source.read_only == Some(true),
            stage_secret: None,
            publish_secret: secret,
            expand_secret: None,
        }
    }

    /// Where it is staged.
    pub(super) fn staging(&self, places: &Places) -> PathBuf {
        match self.usage.block {
            true => places.block_staging(&self.name),
            false => places.staging(&self.id.driver, &self.id.handle),
        }
    }

    /// Where a pod has it.
    pub(super) fn target(&self, places: &Places, uid: &str) -> PathBuf {
        match self.usage.block {
            true => places.block_published(&self.name).join(uid),
            false => places.volume(uid, &self.name).join("mount"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn persistent(spec: Value) -> WantedVolume {
        let spec: PersistentVolumeSpec = serde_json::from_value(spec).unwrap();
        WantedVolume::persistent("pv", &spec, spec.csi.as_ref().unwrap(), false)
    }

    #[test]
    fn what_is_asked() {
        let places = Places::new("/k".as_ref());
        let files = persistent(json!({"accessModes": ["ReadWriteMany"], "mountOptions": ["x"],
            "csi": {"driver": "d", "volumeHandle": "h", "fsType": "ext4"}}));
        assert_eq!(files.usage.access_mode, "ReadWriteMany");
        assert_eq!((files.usage.fs_type.as_str(), files.usage.flags.len()), ("ext4", 1));
        let target = files.target(&places, "u");
        assert_eq!(target, PathBuf::from("/k/pods/u/volumes/kubernetes.io~csi/pv/mount"));
        let device = persistent(json!({"volumeMode": "Block",
            "csi": {"driver": "d", "volumeHandle": "h"}}));
        assert!(device.usage.block);
        assert_eq!(device.usage.access_mode, "ReadWriteOnce");
        assert!(device.target(&places, "u").ends_with("volumeDevices/publish/pv/u"));
    }

    #[test]
    fn what_a_pod_has_for_itself() {
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"namespace": "n", "uid": "u"}})).unwrap();
        let source = serde_json::from_value(json!({"driver": "d", "readOnly": true,
            "nodePublishSecretRef": {"name": "s"}}))
        .unwrap();
        let wanted = WantedVolume::inline(&pod, "v", &source);
        assert!(wanted.read_only && wanted.id.handle.starts_with("csi-"));
        let secret = wanted.publish_secret.unwrap();
        assert_eq!((secret.namespace.as_deref(), secret.name.as_deref()), (Some("n"), Some("s")));
    }
}

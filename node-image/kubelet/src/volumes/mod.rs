//! The volumes of a pod: made before its sandbox, kept fresh while it runs, removed after it.

mod atomic_writer;
mod claims;
mod csi;
mod directory;
mod host_path;
mod image;
mod local_path;
mod ownership;
mod payload;
mod pod_volumes;
mod sub_path;
mod token;

pub use claims::{Claimed, OnePodVolumes, release as release_one_pod_volumes};
pub use csi::{Csi, CsiVolume, VolumeStats, csi_node};
pub use directory::{make as make_directory, remove_all};
pub(crate) use local_path::remove_with_volumes;
pub use pod_volumes::{MountError, PodVolumes, VolumeContext};
pub use sub_path::{make_sub_path, release_sub_paths};

use k8s_openapi::api::core::v1::Volume;
use std::path::{Path, PathBuf};

/// The kinds of volumes that are mounted here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `persistentVolumeClaim` and `ephemeral`
    Claim,
    /// `configMap`
    ConfigMap,
    /// `csi`
    Csi,
    /// `downwardAPI`
    DownwardApi,
    /// `emptyDir`
    EmptyDir,
    /// `hostPath`
    HostPath,
    /// `image`
    Image,
    /// `projected`
    Projected,
    /// `secret`
    Secret,
}

impl Kind {
    /// The kind of a volume; none when it is one that kd does not mount.
    pub fn of(volume: &Volume) -> Option<Kind> {
        let claims = volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some();
        let table = [
            (claims, Kind::Claim),
            (volume.config_map.is_some(), Kind::ConfigMap),
            (volume.csi.is_some(), Kind::Csi),
            (volume.downward_api.is_some(), Kind::DownwardApi),
            (volume.empty_dir.is_some(), Kind::EmptyDir),
            (volume.host_path.is_some(), Kind::HostPath),
            (volume.image.is_some(), Kind::Image),
            (volume.projected.is_some(), Kind::Projected),
            (volume.secret.is_some(), Kind::Secret),
        ];
        table.into_iter().find_map(|(is, kind)| is.then_some(kind))
    }

    /// The directory of volumes of this kind in a pod's directory.
    fn directory(self) -> &'static str {
        match self {
            Kind::Claim => "kubernetes.io~claim",
            Kind::ConfigMap => "kubernetes.io~configmap",
            Kind::Csi => "kubernetes.io~csi",
            Kind::DownwardApi => "kubernetes.io~downward-api",
            Kind::EmptyDir => "kubernetes.io~empty-dir",
            Kind::HostPath => "kubernetes.io~host-path",
            Kind::Image => "kubernetes.io~image",
            Kind::Projected => "kubernetes.io~projected",
            Kind::Secret => "kubernetes.io~secret",
        }
    }
}

/// Where a volume is on the node that is neither a claim's nor a driver's; none when kd does not
/// mount its kind.
pub fn path(pod_directory: &Path, volume: &Volume) -> Option<PathBuf> {
    match &volume.host_path {
        Some(host) => Some(PathBuf::from(&host.path)),
        None => {
            let kind = Kind::of(volume).filter(|kind| !matches!(kind, Kind::Claim | Kind::Csi))?;
            Some(pod_directory.join("volumes").join(kind.directory()).join(&volume.name))
        }
    }
}

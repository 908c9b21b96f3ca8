//! Where things of CSI volumes are on a node, and what they are called: places and names that
//! drivers and other programs know from upstream.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The plugin's directory below the kubelet's root.
const PLUGIN: &str = "plugins/kubernetes.io/csi";
/// The directory of CSI volumes below a pod's `volumes` and `volumeDevices`.
const ESCAPED_PLUGIN: &str = "kubernetes.io~csi";

/// The places of one kubelet.
#[derive(Clone, Debug)]
pub struct Places {
    root: PathBuf,
}

impl Places {
    /// Those below the kubelet's root directory.
    pub fn new(root: &Path) -> Places {
        Places { root: root.to_owned() }
    }

    /// Where all drivers' staged volumes are, a directory per driver.
    pub fn plugin(&self) -> PathBuf {
        self.root.join(PLUGIN)
    }

    /// Where a volume is staged.
    pub fn staging(&self, driver: &str, handle: &str) -> PathBuf {
        self.plugin().join(driver).join(sha256(handle)).join("globalmount")
    }

    /// A pod's CSI volumes, a directory per volume.
    pub fn volumes_of(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(uid).join("volumes").join(ESCAPED_PLUGIN)
    }

    /// A volume of a pod: its record and its mount point.
    pub fn volume(&self, uid: &str, name: &str) -> PathBuf {
        self.volumes_of(uid).join(escaped(name))
    }

    /// A pod's links to its block volumes, by their names.
    pub fn devices_of(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(uid).join("volumeDevices").join(ESCAPED_PLUGIN)
    }

    /// Where a block volume is staged.
    pub fn block_staging(&self, name: &str) -> PathBuf {
        self.plugin().join("volumeDevices/staging").join(escaped(name))
    }

    /// Where a block volume is published for pods, a file per pod.
    pub fn block_published(&self, name: &str) -> PathBuf {
        self.plugin().join("volumeDevices/publish").join(escaped(name))
    }

    /// The directory of a block volume's record.
    pub fn block_data(&self, name: &str) -> PathBuf {
        self.plugin().join("volumeDevices").join(escaped(name)).join("data")
    }

    /// All pods' directories.
    pub fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }
}

/// A name as one component of a path.
fn escaped(name: &str) -> String {
    name.replace('/', "~")
}

/// The name by which Node objects list a volume as attached and in use.
pub fn unique_name(driver: &str, handle: &str) -> String {
    format!("kubernetes.io/csi/{driver}^{handle}")
}

/// The name of the VolumeAttachment of a volume and a node.
pub fn attachment_name(driver: &str, handle: &str, node: &str) -> String {
    format!("csi-{}", sha256(&format!("{handle}{driver}{node}")))
}

/// The handle of a volume that lives and dies with its pod.
pub fn ephemeral_handle(uid: &str, volume: &str) -> String {
    format!("csi-{}", sha256(&format!("{uid}{volume}")))
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_things_are() {
        let places = Places::new(Path::new("/var/lib/kubelet"));
        let check = |path: PathBuf, expect: &str| assert_eq!(path, Path::new(expect));
        check(
            places.staging("d.example.com", "a"),
            "/var/lib/kubelet/plugins/kubernetes.io/csi/d.example.com/\
             ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb/globalmount",
        );
        check(
            places.volume("u", "pvc-1"),
            "/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/pvc-1",
        );
        check(
            places.block_published("v"),
            "/var/lib/kubelet/plugins/kubernetes.io/csi/volumeDevices/publish/v",
        );
    }

    #[test]
    fn names() {
        assert_eq!(unique_name("d", "h"), "kubernetes.io/csi/d^h");
        let name = attachment_name("d", "h", "n");
        assert_eq!(name, format!("csi-{}", sha256("hdn")));
        assert_eq!(ephemeral_handle("u", "v"), format!("csi-{}", sha256("uv")));
    }
}

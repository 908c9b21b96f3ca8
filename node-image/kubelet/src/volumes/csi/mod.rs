//! CSI volumes on a node: registered drivers, staged and published volumes and who uses them. What
//! must survive a restart is on disk in upstream's places.

mod attach;
mod expand;
mod mount;
mod node_service;
mod paths;
mod policy;
mod record;
mod registration;
mod unmount;
mod wanted;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;

use node_service::NodeService;
pub use node_service::VolumeStats;
use paths::{Places, unique_name};
pub use registration::csi_node;
pub use wanted::WantedVolume;

/// How long the driver of a volume that is mounted already may take to register.
const DRIVER_MAX: Duration = Duration::from_secs(5);

/// A volume of a driver.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VolumeId {
    /// The driver's name.
    pub driver: String,
    /// The driver's name of the volume.
    pub handle: String,
}

impl VolumeId {
    fn unique_name(&self) -> String {
        unique_name(&self.driver, &self.handle)
    }
}

/// A mounted CSI volume of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsiVolume {
    /// Which.
    pub id: VolumeId,
    /// Where it is staged; none when its driver does not stage.
    pub staging: Option<PathBuf>,
    /// Whether the driver tells how full it is.
    pub has_stats: bool,
    /// Whether it is to be looked at again: it may grow, or is published again.
    pub is_rechecked: bool,
}

/// A persistent volume that is used on this node.
#[derive(Clone, Debug, Default)]
struct Use {
    /// The uids of pods that have it or want it.
    pods: BTreeSet<String>,
    /// Somebody else attaches it, and must be told that it is in use.
    attached: bool,
    /// The PersistentVolume's name, if it is a device.
    block: Option<String>,
}

/// A registered driver.
#[derive(Clone, Debug)]
struct Driver {
    service: NodeService,
    /// The socket that it was registered by: it goes with this one only.
    registrar: PathBuf,
}

/// The CSI volumes and drivers of a node.
pub struct Csi {
    places: Places,
    node_name: String,
    drivers: watch::Sender<HashMap<String, Driver>>,
    users: Mutex<BTreeMap<VolumeId, Use>>,
    in_use: watch::Sender<Vec<String>>,
    /// One thing at a time with a volume, by its unique name.
    locks: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    /// One driver at a time writes to the node's objects.
    registering: tokio::sync::Mutex<()>,
}

impl Csi {
    /// Finds what an earlier kubelet has left.
    pub fn open(root: &Path, node_name: &str) -> Csi {
        let csi = Csi {
            places: Places::new(root),
            node_name: node_name.to_owned(),
            drivers: watch::Sender::default(),
            users: Mutex::default(),
            in_use: watch::Sender::default(),
            locks: Mutex::default(),
            registering: tokio::sync::Mutex::default(),
        };
        csi.find_used();
        csi
    }

    /// Changes with the volumes that this node has mounted or is about to mount.
    pub fn in_use(&self) -> watch::Receiver<Vec<String>> {
        self.in_use.subscribe()
    }

    fn driver(&self, name: &str) -> Result<NodeService, String> {
        self.drivers.borrow().get(name).map(|driver| driver.service.clone()).ok_or_else(|| {
            format!("driver name {name} not found in the list of registered CSI drivers")
        })
    }

    /// After a start, drivers register a moment later than their volumes are looked at again.
    async fn wait_for_driver(&self, name: &str) {
        let mut drivers = self.drivers.subscribe();
        let known = drivers.wait_for(|drivers| drivers.contains_key(name));
        // What stands in the way is told by whoever asks for the driver next.
        let _ = tokio::time::timeout(DRIVER_MAX, known).await;
    }

    fn users(&self) -> MutexGuard<'_, BTreeMap<VolumeId, Use>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_users(&self, change: impl FnOnce(&mut BTreeMap<VolumeId, Use>)) {
        let mut users = self.users();
        change(&mut users);
        let attached = users.iter().filter(|(_, user)| user.attached);
        let names: Vec<String> = attached.map(|(volume, _)| volume.unique_name()).collect();
        self.in_use.send_if_modified(|known| {
            let differs = *known != names;
            *known = names;
            differs
        });
    }

    async fn lock(&self, volume: &VolumeId) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| lock.strong_count() > 0);
            let entry = locks.entry(volume.unique_name()).or_default();
            entry.upgrade().unwrap_or_else(|| {
                let lock = Arc::default();
                *entry = Arc::downgrade(&lock);
                lock
            })
        };
        lock.lock_owned().await
    }

    /// How full a volume is, if its driver tells.
    pub async fn stats(&self, volume: &CsiVolume, path: &Path) -> Option<VolumeStats> {
        let driver = self.driver(&volume.id.driver).ok().filter(|_| volume.has_stats)?;
        let told = driver.stats(&volume.id.handle, path, volume.staging.as_deref()).await;
        told.inspect_err(|error| tracing::debug!(%error, "a volume's use is not known")).ok()
    }
}

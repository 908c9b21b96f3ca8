//! How much pods and the node use: measured when somebody asks, and told as upstream's summary and
//! as Prometheus pages.

mod cadvisor;
mod collect;
mod disks;
mod network;
mod own;
mod page;
mod rates;
mod resource;
mod summary;

pub use cadvisor::cadvisor_page;
pub use collect::{Detail, collect, measure_pod};
pub use disks::Disks;
pub use own::{ProbeCounts, own_page};
pub use rates::Rates;
pub use resource::resource_page;
pub use summary::{ephemeral, summary};

use std::path::Path;

use jiff::Timestamp;
use kd_runtime::{DiskUse, Stats};
use network::Interface;

/// What the node and its pods use.
#[derive(Clone, Debug, Default)]
pub struct NodeUse {
    /// The node's name.
    pub name: String,
    /// When the machine was started.
    pub started: Option<Timestamp>,
    /// The node's own group.
    pub own: Measured,
    /// The group of all pods.
    pub pods_group: Measured,
    /// Bytes of memory it has.
    pub memory_bytes: u64,
    /// Thousandths of cores it has.
    pub cpu_milli: i64,
    /// Its network interfaces.
    pub network: Vec<Interface>,
    /// The file system of pods.
    pub disk: FileSystem,
    /// Bytes of all images.
    pub images_bytes: u64,
    /// Most process ids, and those in use.
    pub pids: Option<(u64, u64)>,
    /// Its pods.
    pub pods: Vec<PodUse>,
}

/// What a pod uses.
#[derive(Clone, Debug, Default)]
pub struct PodUse {
    /// `metadata.name`
    pub name: String,
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.uid`
    pub uid: String,
    /// `status.startTime`
    pub started: Option<Timestamp>,
    /// Its group's path below the node's.
    pub group: String,
    /// The whole of it.
    pub whole: Measured,
    /// Its network interfaces; none on the host's network.
    pub network: Vec<Interface>,
    /// Its running containers.
    pub containers: Vec<ContainerUse>,
    /// Its volumes, when they were measured.
    pub volumes: Vec<VolumeUse>,
}

/// What a running container uses.
#[derive(Clone, Debug, Default)]
pub struct ContainerUse {
    /// Its name.
    pub name: String,
    /// The runtime's id.
    pub id: String,
    /// Its image.
    pub image: String,
    /// When its process was started.
    pub started: Option<Timestamp>,
    /// What it uses.
    pub measured: Measured,
    /// What it wrote over its image, when that was measured.
    pub written: Option<DiskUse>,
    /// Its logs, likewise.
    pub logs: Option<DiskUse>,
    /// `cpu.shares`
    pub cpu_shares: Option<u64>,
    /// Quota and period, microseconds.
    pub cpu_quota: Option<(i64, u64)>,
}

/// What a volume takes.
#[derive(Clone, Debug, Default)]
pub struct VolumeUse {
    /// Its name in the pod.
    pub name: String,
    /// Namespace and name of its claim.
    pub claim: Option<(String, String)>,
    /// Its own bytes.
    pub used: DiskUse,
    /// The file system that it is on.
    pub disk: FileSystem,
    /// It is a driver's, not on the node's own disk.
    pub by_driver: bool,
}

/// Numbers of a group, and when they were read.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// When.
    pub at: Timestamp,
    /// What.
    pub stats: Stats,
    /// CPU used per second, billionths of a core, since the last time that somebody asked.
    pub cpu_nano_cores: Option<u64>,
}

/// A file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileSystem {
    /// Bytes it has.
    pub capacity_bytes: u64,
    /// Bytes that are free for everybody.
    pub available_bytes: u64,
    /// Bytes in use.
    pub used_bytes: u64,
    /// Inodes it has.
    pub inodes: u64,
    /// Free inodes.
    pub inodes_free: u64,
}

impl FileSystem {
    /// The file system of a path, or of its nearest parent that exists.
    pub fn of(path: &Path) -> Option<FileSystem> {
        let existing = path.ancestors().find(|p| p.exists())?;
        let stat = nix::sys::statvfs::statvfs(existing).ok()?;
        let unit = stat.fragment_size();
        Some(FileSystem {
            capacity_bytes: stat.blocks() * unit,
            available_bytes: stat.blocks_available() * unit,
            used_bytes: stat.blocks().saturating_sub(stat.blocks_free()) * unit,
            inodes: stat.files(),
            inodes_free: stat.files_free(),
        })
    }
}

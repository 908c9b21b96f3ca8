//! Measuring: control groups, network namespaces, disks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kd_runtime::{ContainerState, ContainerStatus, DiskUse, SandboxStatus, Stats};

use super::disks::AGE_MAX;
use super::network::{Interface, interfaces};
use super::{ContainerUse, FileSystem, Measured, NodeUse, PodUse, VolumeUse};
use crate::entry::PodEntry;
use crate::kubelet::Kubelet;
use crate::pod::PodExt;
use crate::volumes::{self, CsiVolume, VolumeStats};

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// CPU, memory, network.
    Groups,
    /// Disks too, as they were a short while ago.
    Disks,
    /// Disks as they are now, which takes reading directories.
    DisksNow,
}

impl Detail {
    /// How old what is told of a disk may be; none when nothing is told.
    fn disks(self) -> Option<Duration> {
        match self {
            Detail::Groups => None,
            Detail::Disks => Some(AGE_MAX),
            Detail::DisksNow => Some(Duration::ZERO),
        }
    }
}

/// Measures the node and its pods.
pub async fn collect(kubelet: &Kubelet, detail: Detail) -> NodeUse {
    let sandboxes = kubelet.runtime().list().await.unwrap_or_default();
    let config = kubelet.config();
    let mut pods = Vec::new();
    for entry in kubelet.pods() {
        let uid = entry.pod().uid().to_owned();
        let newest = sandboxes.iter().filter(|s| s.spec.pod.uid == uid);
        let newest = newest.max_by_key(|s| (s.spec.pod.attempt, s.created_at));
        if let Some(sandbox) = newest.filter(|s| s.ready) {
            pods.push(pod_use(kubelet, &entry, sandbox, detail).await);
        }
    }
    pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    let machine = kubelet.machine();
    let images = kubelet.images().list().await.unwrap_or_default();
    kubelet.rates().forget_before(Timestamp::now());
    NodeUse {
        name: config.node_name.clone(),
        started: machine.started(),
        own: group(kubelet, "").await,
        pods_group: group(kubelet, &config.cgroup_root).await,
        memory_bytes: machine.memory_bytes(),
        cpu_milli: machine.cpu_milli(),
        network: interfaces("self"),
        disk: FileSystem::of(&config.root_directory).unwrap_or_default(),
        images_bytes: images.iter().map(|image| image.size_bytes).sum(),
        pids: machine.pids(),
        pods,
    }
}

/// Measures one pod with its disks; none when it has no sandbox that is ready.
pub async fn measure_pod(kubelet: &Kubelet, entry: &Arc<PodEntry>) -> Option<PodUse> {
    let sandbox = kubelet.sandbox_of(entry).await.ok().filter(|sandbox| sandbox.ready)?;
    Some(pod_use(kubelet, entry, &sandbox, Detail::DisksNow).await)
}

async fn group(kubelet: &Kubelet, path: &str) -> Measured {
    let stats = kubelet.runtime().group_stats(path).await.unwrap_or_default();
    measured(kubelet, &format!("group {path}"), stats)
}

fn measured(kubelet: &Kubelet, name: &str, stats: Stats) -> Measured {
    let at = Timestamp::now();
    let cpu_nano_cores = kubelet.rates().take(name, stats.cpu_usage_ns, at);
    Measured { at, stats, cpu_nano_cores }
}

async fn pod_use(
    kubelet: &Kubelet,
    entry: &Arc<PodEntry>,
    sandbox: &SandboxStatus,
    detail: Detail,
) -> PodUse {
    let (pod, status) = (entry.pod(), entry.status());
    let stats = kubelet.runtime().sandbox_stats(&sandbox.id).await.unwrap_or_default();
    let running: Vec<&ContainerStatus> =
        sandbox.containers.iter().filter(|c| c.pid.is_some()).collect();
    let mut containers = Vec::new();
    for container in &running {
        containers.extend(container_use(kubelet, container, detail).await);
    }
    let process = running.iter().find_map(|c| c.pid).filter(|_| !sandbox.spec.host_network);
    PodUse {
        name: pod.name().to_owned(),
        namespace: pod.namespace().to_owned(),
        uid: pod.uid().to_owned(),
        started: status.start_time.as_ref().map(|time| time.0),
        group: sandbox.spec.cgroup_parent.clone(),
        whole: measured(kubelet, &format!("pod {}", pod.uid()), stats),
        network: process.map(own_interfaces).unwrap_or_default(),
        containers,
        volumes: match detail.disks() {
            None => Vec::new(),
            Some(age_max) => volume_uses(kubelet, entry, age_max).await,
        },
    }
}

fn own_interfaces(pid: i32) -> Vec<Interface> {
    interfaces(&pid.to_string())
}

async fn container_use(
    kubelet: &Kubelet,
    container: &ContainerStatus,
    detail: Detail,
) -> Option<ContainerUse> {
    // One that has ended meanwhile uses nothing.
    let stats = kubelet.runtime().container_stats(&container.id).await.ok()?;
    let started = match &container.state {
        ContainerState::Running { started_at } => Some(*started_at),
        _ => None,
    };
    let (mut written, mut logs) = (None, None);
    if let Some(age_max) = detail.disks() {
        written = written_by(kubelet, &container.id, age_max).await;
        if let Some(directory) = container.log_path.parent() {
            logs = kubelet.disks().of(directory, age_max).await;
        }
    }
    let limits = &container.spec.resources;
    Some(ContainerUse {
        name: container.spec.name.clone(),
        id: container.id.clone(),
        image: container.spec.image.clone(),
        started,
        measured: measured(kubelet, &container.id, stats),
        written,
        logs,
        cpu_shares: limits.cpu_shares,
        cpu_quota: limits.cpu_quota_us.zip(limits.cpu_period_us),
    })
}

/// What a container wrote over its image.
async fn written_by(kubelet: &Kubelet, id: &str, age_max: Duration) -> Option<DiskUse> {
    let now = Timestamp::now();
    if let Some(used) = kubelet.disks().known(id, now, age_max) {
        return Some(used);
    }
    let used = kubelet.runtime().container_disk(id).await.ok()?;
    kubelet.disks().note(id, used, now);
    Some(used)
}

/// A volume to measure.
struct Place {
    /// Its driver measures it.
    csi: Option<Box<CsiVolume>>,
    name: String,
    claim: Option<(String, String)>,
    path: PathBuf,
}

fn told_use(name: String, claim: Option<(String, String)>, told: VolumeStats) -> VolumeUse {
    let (capacity_bytes, available_bytes, used_bytes) = told.bytes;
    let (inodes, inodes_free, inodes_used) = told.inodes;
    let disk = FileSystem { capacity_bytes, available_bytes, used_bytes, inodes, inodes_free };
    let used = DiskUse { bytes: used_bytes, inodes: inodes_used };
    VolumeUse { name, claim, used, disk, by_driver: true }
}

/// The volumes whose content is the pod's own or a claim's; those of the host are not measured.
async fn volume_uses(
    kubelet: &Kubelet,
    entry: &Arc<PodEntry>,
    age_max: Duration,
) -> Vec<VolumeUse> {
    let pod = entry.pod();
    let directory = kubelet.config().pod_directory(pod.uid());
    let claimed = entry.claimed();
    let mut places: Vec<Place> = Vec::new();
    for volume in pod.spec().volumes.iter().flatten().filter(|v| v.host_path.is_none()) {
        let name = volume.name.clone();
        if let Some(found) = claimed.get(&name).filter(|found| !found.block) {
            let claim = match &volume.persistent_volume_claim {
                Some(source) => Some(source.claim_name.clone()),
                None => volume.ephemeral.as_ref().map(|_| format!("{}-{name}", pod.name())),
            };
            let claim = claim.map(|claim| (pod.namespace().to_owned(), claim));
            let csi = found.csi.clone();
            places.push(Place { csi, name, claim, path: found.path.clone() });
        } else if let Some(path) = volumes::path(&directory, volume) {
            places.push(Place { csi: None, name, claim: None, path });
        }
    }
    let mut measured = Vec::new();
    for place in places {
        if let Some(volume) = &place.csi {
            let told = kubelet.csi().stats(volume, &place.path).await;
            measured.extend(told.map(|told| told_use(place.name, place.claim, told)));
            continue;
        }
        let used = kubelet.disks().of(&place.path, age_max).await.unwrap_or_default();
        let disk = FileSystem::of(&place.path).unwrap_or_default();
        let (name, claim) = (place.name, place.claim);
        measured.push(VolumeUse { name, claim, used, disk, by_driver: false });
    }
    measured
}

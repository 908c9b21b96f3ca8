//! What a kubelet is told: plain data.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Everything a kubelet is told. Addresses are those of today; nothing here is stored.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the Node object.
    pub node_name: String,
    /// The node's addresses, the primary one first; one per family.
    pub node_ips: Vec<IpAddr>,
    /// Labels of the Node object besides the well-known ones.
    pub node_labels: BTreeMap<String, String>,
    /// Taints given when the Node object is created: `key=value:effect`.
    pub node_taints: Vec<String>,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
    /// Address of the cluster's DNS service.
    pub cluster_dns: Vec<IpAddr>,
    /// Address ranges of all pods: what leaves them is masqueraded.
    pub cluster_cidrs: Vec<IpNet>,
    /// What pods send there keeps their addresses.
    pub non_masquerade_cidrs: Vec<IpNet>,
    /// Volumes and files of pods.
    pub root_directory: PathBuf,
    /// Logs of pods, `/var/log/pods` upstream.
    pub pod_log_directory: PathBuf,
    /// Links to the logs of containers, `/var/log/containers` upstream.
    pub container_log_directory: PathBuf,
    /// The resolver file that pods with `dnsPolicy: Default` inherit.
    pub resolv_conf: PathBuf,
    /// The node's own hosts file, for pods on the host network.
    pub hosts_file: PathBuf,
    /// Manifests of static pods; none when there are no static pods.
    pub static_pod_directory: Option<PathBuf>,
    /// Where profiles of `seccompProfile: Localhost` are.
    pub seccomp_directory: PathBuf,
    /// Sysctls besides the safe ones that pods may set; `kernel.msg*` allows all that begin so.
    pub unsafe_sysctls: Vec<String>,
    /// Most pods on this node.
    pub pods_max: u32,
    /// Most tasks in one pod; none is the node's own limit.
    pub pod_pids_max: Option<i64>,
    /// `v1.36.x+kd`.
    pub kubelet_version: String,
    /// `kd://...`, shown in `nodeInfo.containerRuntimeVersion`.
    pub container_runtime_version: String,
    /// The HTTPS port told to the API server in `daemonEndpoints`.
    pub port: u16,
    /// The cgroup of all pods, relative to the hierarchy the node owns.
    pub cgroup_root: String,
    /// Resources set aside for the system: not for pods (`systemReserved` and `kubeReserved`).
    pub reserved: BTreeMap<String, Quantity>,
    /// When the node is under pressure.
    pub pressure: Pressure,
    /// Pulls at the same time.
    pub pulls_max: usize,
    /// When images go.
    pub image_gc: ImageCollection,
    /// When container logs rotate.
    pub log_rotation: LogRotation,
    /// How long pods have to end, and are told to, when the node is shut down. Zero: they are stopped with
    /// it and go on when it is started again.
    pub shutdown_grace: Duration,
    /// The part of it that is kept for critical pods.
    pub shutdown_grace_critical: Duration,
    /// How often the lease is renewed.
    pub lease_renew_every: Duration,
    /// How long others wait for a renewal.
    pub lease_duration: Duration,
    /// How often the node's state is looked at.
    pub node_check_every: Duration,
    /// How often an unchanged node status is sent.
    pub node_report_every: Duration,
}

/// Limits below which the node reports pressure and evicts pods. Zero turns a signal off.
#[derive(Clone, Debug, PartialEq)]
pub struct Pressure {
    /// Available memory, bytes.
    pub memory_available_bytes_min: u64,
    /// Free space of the root directory's file system, percent.
    pub disk_available_percent_min: u8,
    /// The same for images, which are on the same file system.
    pub images_available_percent_min: u8,
    /// Free inodes of it, percent.
    pub inodes_free_percent_min: u8,
    /// Free process ids, percent of the limit.
    pub pids_available_percent_min: u8,
    /// How long a condition outlasts its shortage.
    pub transition: Duration,
}

impl Default for Pressure {
    /// Upstream's hard thresholds.
    fn default() -> Pressure {
        Pressure {
            memory_available_bytes_min: 100 << 20,
            disk_available_percent_min: 10,
            images_available_percent_min: 15,
            inodes_free_percent_min: 5,
            pids_available_percent_min: 0,
            transition: Duration::from_secs(300),
        }
    }
}

/// When images that nothing uses are removed.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageCollection {
    /// Above this use of the disk, percent; 100 turns it off.
    pub high_percent: u8,
    /// Until this use of the disk, percent.
    pub low_percent: u8,
    /// Not before they were here for so long.
    pub age_min: Duration,
    /// Always when they were not used for so long.
    pub age_max: Option<Duration>,
    /// How often it is looked.
    pub every: Duration,
}

impl Default for ImageCollection {
    /// Upstream's.
    fn default() -> ImageCollection {
        ImageCollection {
            high_percent: 85,
            low_percent: 80,
            age_min: Duration::from_secs(120),
            age_max: None,
            every: Duration::from_secs(300),
        }
    }
}

impl ImageCollection {
    /// Whether nothing is ever removed.
    pub fn is_off(&self) -> bool {
        self.high_percent >= 100 && self.age_max.is_none()
    }
}

/// When container logs rotate.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRotation {
    /// A log grown past this is rotated.
    pub size_bytes_max: u64,
    /// Files kept of one container, the current one included.
    pub files_max: usize,
    /// How often sizes are looked at.
    pub check_every: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            node_name: String::new(),
            node_ips: Vec::new(),
            node_labels: BTreeMap::new(),
            node_taints: Vec::new(),
            cluster_domain: "cluster.local".into(),
            cluster_dns: Vec::new(),
            cluster_cidrs: Vec::new(),
            non_masquerade_cidrs: Vec::new(),
            root_directory: "/var/lib/kubelet".into(),
            pod_log_directory: "/var/log/pods".into(),
            container_log_directory: "/var/log/containers".into(),
            resolv_conf: "/etc/resolv.conf".into(),
            hosts_file: "/etc/hosts".into(),
            static_pod_directory: None,
            seccomp_directory: "/var/lib/kubelet/seccomp".into(),
            unsafe_sysctls: Vec::new(),
            pods_max: 110,
            pod_pids_max: None,
            kubelet_version: concat!("v1.36.0+kd", env!("CARGO_PKG_VERSION")).into(),
            container_runtime_version: concat!("kd://", env!("CARGO_PKG_VERSION")).into(),
            port: 10250,
            cgroup_root: "kubepods".into(),
            reserved: BTreeMap::new(),
            pressure: Pressure::default(),
            pulls_max: 4,
            image_gc: ImageCollection::default(),
            log_rotation: LogRotation::default(),
            shutdown_grace: Duration::ZERO,
            shutdown_grace_critical: Duration::ZERO,
            lease_renew_every: Duration::from_secs(10),
            lease_duration: Duration::from_secs(40),
            node_check_every: Duration::from_secs(10),
            node_report_every: Duration::from_secs(300),
        }
    }
}

impl Default for LogRotation {
    fn default() -> LogRotation {
        LogRotation { size_bytes_max: 10 << 20, files_max: 5, check_every: Duration::from_secs(10) }
    }
}

impl Config {
    /// Volumes and files of one pod.
    pub fn pod_directory(&self, uid: &str) -> PathBuf {
        self.root_directory.join("pods").join(uid)
    }

    /// Logs of one pod: `<namespace>_<name>_<uid>`.
    pub fn pod_logs(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.pod_log_directory.join(format!("{namespace}_{name}_{uid}"))
    }

    /// The node's first address.
    pub fn node_ip(&self) -> Option<IpAddr> {
        self.node_ips.first().copied()
    }
}

//! The kubelet's shared handle: what workers, the node agent and the server have in common.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Secret, Service};
use kd_network::PodNetwork;
use kd_runtime::{Images, Runtime, RuntimeEvent, SandboxStatus};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::addresses::Addresses;
use crate::config::Config;
use crate::devices::{Devices, follow_health, serve_pod_resources, serve_registrations};
use crate::entry::PodEntry;
use crate::environment::FieldContext;
use crate::events::Recorder;
use crate::eviction::{Pressures, Signal, run_eviction};
use crate::image_gc::run_image_gc;
use crate::images::Puller;
use crate::lifecycle::annotation;
use crate::logs::rotate;
use crate::node::{Machine, follow_network, pod_ranges, run_lease, run_node_agent, watch_nodes};
use crate::objects::ObjectCache;
use crate::plugins::watch_plugins;
use crate::pod::PodExt;
use crate::qos_groups::QosGroups;
use crate::reflector::{Update, reflect};
use crate::resource_claims::ResourceClaims;
use crate::source::watch_pods;
use crate::static_pods::{StaticPods, keep_mirrors};
use crate::stats::{Disks, ProbeCounts, Rates};
use crate::user_namespaces::IdRanges;
use crate::volumes::{Csi, OnePodVolumes, VolumeContext, remove_with_volumes};

/// By namespace and name.
type Services = HashMap<(String, String), Service>;

/// A node's kubelet.
pub struct Kubelet {
    config: Config,
    client: kube::Client,
    runtime: Arc<dyn Runtime>,
    images: Arc<dyn Images>,
    network: Arc<dyn PodNetwork>,
    publishing: tokio::sync::Mutex<Arc<dyn PodNetwork>>,
    events: Arc<Recorder>,
    puller: Puller,
    machine: Machine,
    addresses: Addresses,
    id_ranges: IdRanges,
    qos_groups: QosGroups,
    config_maps: Arc<ObjectCache<ConfigMap>>,
    secrets: Arc<ObjectCache<Secret>>,
    object_changes: Mutex<Option<mpsc::UnboundedReceiver<(String, String)>>>,
    services: watch::Sender<Option<Arc<Services>>>,
    node: watch::Sender<Option<Node>>,
    node_deletions: watch::Sender<()>,
    pods: RwLock<HashMap<String, Arc<PodEntry>>>,
    sandbox_owners: RwLock<HashMap<String, Arc<PodEntry>>>,
    one_pod_volumes: OnePodVolumes,
    csi: Arc<Csi>,
    devices: Devices,
    resource_claims: ResourceClaims,
    static_pods: StaticPods,
    pressures: watch::Sender<Pressures>,
    probe_counts: ProbeCounts,
    rates: Rates,
    disks: Disks,
    /// The node is about to end.
    ending: watch::Sender<bool>,
    /// Ends the workers.
    over: CancellationToken,
}

impl Kubelet {
    /// A kubelet that does nothing yet.
    pub fn new(
        config: Config,
        client: kube::Client,
        runtime: Arc<dyn Runtime>,
        images: Arc<dyn Images>,
        network: Arc<dyn PodNetwork>,
    ) -> Arc<Kubelet> {
        let events = Arc::new(Recorder::new(&config.node_name));
        let (changes, object_changes) = mpsc::unbounded_channel();
        Arc::new(Kubelet {
            puller: Puller::new(Arc::clone(&images), Arc::clone(&events), config.pulls_max),
            machine: Machine::read(&config),
            addresses: Addresses::new(network.own_addresses().is_some()),
            id_ranges: IdRanges::default(),
            qos_groups: QosGroups::default(),
            config_maps: Arc::new(ObjectCache::new(client.clone(), changes.clone())),
            secrets: Arc::new(ObjectCache::new(client.clone(), changes)),
            object_changes: Mutex::new(Some(object_changes)),
            services: watch::Sender::new(None),
            node: watch::Sender::new(None),
            node_deletions: watch::Sender::new(()),
            pods: RwLock::default(),
            sandbox_owners: RwLock::default(),
            one_pod_volumes: OnePodVolumes::default(),
            resource_claims: ResourceClaims::open(&config.root_directory, &config.node_name),
            devices: Devices::open(&config.root_directory),
            csi: Arc::new(Csi::open(&config.root_directory, &config.node_name)),
            static_pods: StaticPods::default(),
            pressures: watch::Sender::default(),
            probe_counts: ProbeCounts::default(),
            rates: Rates::default(),
            disks: Disks::default(),
            ending: watch::Sender::new(false),
            over: CancellationToken::new(),
            config,
            client,
            runtime,
            images,
            publishing: tokio::sync::Mutex::new(Arc::clone(&network)),
            network,
            events,
        })
    }

    /// Runs until `shutdown`; containers go on running after it.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut tasks = JoinSet::new();
        let events = Arc::clone(&self.events);
        let client = self.client.clone();
        tasks.spawn(async move { events.run(client).await });
        // Before pods are looked at: no event may be missed.
        let runtime_events = self.runtime.events();
        tasks.spawn(Arc::clone(&self).follow_runtime(runtime_events));
        tasks.spawn(Arc::clone(&self).follow_objects());
        tasks.spawn(Arc::clone(&self).follow_services());
        tasks.spawn(watch_nodes(Arc::clone(&self)));
        tasks.spawn(run_node_agent(Arc::clone(&self)));
        tasks.spawn(run_lease(Arc::clone(&self)));
        tasks.spawn(run_eviction(Arc::clone(&self)));
        tasks.spawn(run_image_gc(Arc::clone(&self)));
        tasks.spawn(remove_with_volumes(Arc::clone(&self)));
        tasks.spawn(serve_registrations(Arc::clone(&self)));
        tasks.spawn(serve_pod_resources(Arc::clone(&self)));
        tasks.spawn(follow_health(Arc::clone(&self)));
        tasks.spawn(watch_plugins(Arc::clone(&self)));
        tasks.spawn(keep_mirrors(Arc::clone(&self)));
        tasks.spawn(Arc::clone(&self).rotate_logs());
        tasks.spawn(follow_network(Arc::clone(&self)));
        self.masquerade().await;
        self.make_groups().await;
        tasks.spawn(watch_pods(Arc::clone(&self)));
        tokio::select! {
            () = shutdown.cancelled() => {}
            Some(ended) = tasks.join_next() => {
                tracing::error!(?ended, "a part of the kubelet ended");
            }
        }
        self.over.cancel();
    }

    async fn masquerade(&self) {
        let (pods, others) = (&self.config.cluster_cidrs, &self.config.non_masquerade_cidrs);
        if let Err(error) = self.network.set_masquerade(pods, others).await {
            tracing::error!(%error, "pods will not reach the outside");
        }
    }

    /// Cancelled when the kubelet is to end.
    pub(crate) fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// What it was told.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The API server.
    pub fn client(&self) -> &kube::Client {
        &self.client
    }

    /// The runtime.
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }

    /// The node's images.
    pub fn images(&self) -> &Arc<dyn Images> {
        &self.images
    }

    /// What the machine has.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Its pods, in no order.
    pub fn pods(&self) -> Vec<Arc<PodEntry>> {
        self.pods.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The addresses of its pods.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    pub(crate) fn network(&self) -> &Arc<dyn PodNetwork> {
        &self.network
    }

    /// The network, for the one who changes the node's ports.
    pub(crate) fn publishing(&self) -> &tokio::sync::Mutex<Arc<dyn PodNetwork>> {
        &self.publishing
    }

    pub(crate) fn events(&self) -> &Arc<Recorder> {
        &self.events
    }

    pub(crate) fn puller(&self) -> &Puller {
        &self.puller
    }

    pub(crate) fn volume_context(&self, fields: &FieldContext) -> VolumeContext {
        VolumeContext {
            client: self.client.clone(),
            config_maps: Arc::clone(&self.config_maps),
            secrets: Arc::clone(&self.secrets),
            allocatable: self.machine.allocatable().clone(),
            fields: fields.clone(),
            node: self.node.subscribe(),
            images: Arc::clone(&self.images),
            one_pod_volumes: Arc::clone(&self.one_pod_volumes),
            csi: Arc::clone(&self.csi),
            events: Arc::clone(&self.events),
        }
    }

    pub(crate) fn static_pods(&self) -> &StaticPods {
        &self.static_pods
    }

    /// What the node is short of.
    pub(crate) fn pressures(&self) -> Pressures {
        self.pressures.borrow().clone()
    }

    /// Changes when a pressure begins or ends.
    pub(crate) fn pressure_changes(&self) -> watch::Receiver<Pressures> {
        self.pressures.subscribe()
    }

    /// These are short now. Wakes others only when a condition begins or ends.
    pub(crate) fn note_pressure(&self, short: &[Signal], now: jiff::Timestamp) {
        self.pressures.send_if_modified(|pressures| {
            let before = pressures.conditions();
            pressures.note(short, now);
            pressures.expire(now, self.config.pressure.transition);
            pressures.conditions() != before
        });
    }

    pub(crate) fn probe_counts(&self) -> &ProbeCounts {
        &self.probe_counts
    }

    pub(crate) fn disks(&self) -> &Disks {
        &self.disks
    }

    pub(crate) fn rates(&self) -> &Rates {
        &self.rates
    }

    pub(crate) fn devices(&self) -> &Devices {
        &self.devices
    }

    pub(crate) fn resource_claims(&self) -> &ResourceClaims {
        &self.resource_claims
    }

    pub(crate) fn csi(&self) -> &Arc<Csi> {
        &self.csi
    }

    pub(crate) fn one_pod_volumes(&self) -> &OnePodVolumes {
        &self.one_pod_volumes
    }

    /// Whether the node is about to end.
    pub(crate) fn ending(&self) -> &watch::Sender<bool> {
        &self.ending
    }

    /// Its own Node object as the API server has it, when that is known.
    pub(crate) fn node_changes(&self) -> watch::Receiver<Option<Node>> {
        self.node.subscribe()
    }

    /// Its own Node object, once it is registered.
    pub(crate) async fn node(&self) -> Node {
        let mut node = self.node.subscribe();
        // The sender lives as long as this handle.
        let known = node.wait_for(Option::is_some).await;
        known.ok().and_then(|node| node.clone()).unwrap_or_default()
    }

    /// All services, once they were listed.
    pub(crate) async fn services(&self) -> Vec<Service> {
        let mut services = self.services.subscribe();
        let known = services.wait_for(Option::is_some).await;
        let known = known.ok().and_then(|services| services.clone()).unwrap_or_default();
        known.values().cloned().collect()
    }

    /// Changes when the node has learned its pod range.
    pub(crate) fn addresses_ready(&self) -> watch::Receiver<bool> {
        self.addresses.readiness()
    }

    /// Changes when somebody has deleted the own node: it is to be registered again.
    pub(crate) fn node_deletions(&self) -> watch::Receiver<()> {
        self.node_deletions.subscribe()
    }

    /// The server's newest version of the own node.
    pub(crate) fn set_own_node(&self, node: Node) {
        self.addresses.set_ranges(pod_ranges(&node));
        self.node.send_replace(Some(node));
    }

    /// The watch has seen the own node.
    pub(crate) fn own_node_changed(&self, node: Node, exists: bool) {
        // Before registration nothing is known to be replaced; a deleted node registers again.
        if exists && self.node.borrow().is_some() {
            self.set_own_node(node);
        } else if !exists {
            self.node_deletions.send_replace(());
        }
    }

    /// Pods that count against a new one: admitted and not ended.
    pub(crate) fn admitted_besides(&self, uid: &str) -> Vec<Arc<Pod>> {
        let others = self.pods();
        let counted = others.iter().filter(|e| e.is_admitted() && !e.has_ended());
        counted.map(|e| e.granted_pod()).filter(|pod| pod.uid() != uid).collect()
    }

    /// Room was made: resizes that wait for it are tried again.
    pub(crate) fn retry_resizes(self: &Arc<Self>) {
        self.share_out();
        self.pods().iter().filter(|entry| entry.is_deferred()).for_each(|entry| entry.wake());
    }

    pub(crate) fn add_pod(&self, entry: &Arc<PodEntry>) {
        let uid = entry.pod().uid().to_owned();
        for sandbox in entry.sandboxes() {
            self.own_sandbox(&sandbox, entry);
        }
        self.pods.write().unwrap_or_else(PoisonError::into_inner).insert(uid, Arc::clone(entry));
    }

    pub(crate) fn pod_by_uid(&self, uid: &str) -> Option<Arc<PodEntry>> {
        self.pods.read().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }

    pub(crate) fn forget_pod(self: &Arc<Self>, uid: &str) {
        self.probe_counts.forget(uid);
        self.id_ranges.release(uid);
        self.pods.write().unwrap_or_else(PoisonError::into_inner).remove(uid);
        self.retry_resizes();
    }

    pub(crate) fn own_sandbox(&self, sandbox: &str, entry: &Arc<PodEntry>) {
        let mut owners = self.sandbox_owners.write().unwrap_or_else(PoisonError::into_inner);
        owners.insert(sandbox.to_owned(), Arc::clone(entry));
    }

    pub(crate) fn disown_sandbox(&self, sandbox: &str) {
        let mut owners = self.sandbox_owners.write().unwrap_or_else(PoisonError::into_inner);
        owners.remove(sandbox);
    }

    pub(crate) fn qos_groups(&self) -> &QosGroups {
        &self.qos_groups
    }

    /// The ids of pods with user namespaces.
    pub(crate) fn id_ranges(&self) -> &IdRanges {
        &self.id_ranges
    }

    /// Takes over the ids and the addresses that a sandbox has already.
    pub(crate) fn adopt(&self, sandbox: &SandboxStatus) -> Vec<IpAddr> {
        let uid = &sandbox.spec.pod.uid;
        if let Some(range) = sandbox.spec.user_namespace {
            self.id_ranges.adopt(uid, range);
        }
        let Some(written) = sandbox.spec.annotations.get(annotation::ADDRESS) else {
            return self.addresses.of(uid);
        };
        let addresses: Vec<IpAddr> = match sandbox.ready {
            true => written.split(',').filter_map(|text| text.parse().ok()).collect(),
            false => Vec::new(),
        };
        if !addresses.is_empty() {
            self.addresses.adopt(uid, addresses.clone());
        }
        addresses
    }

    async fn follow_runtime(self: Arc<Self>, mut events: broadcast::Receiver<RuntimeEvent>) {
        loop {
            match events.recv().await {
                Ok(
                    RuntimeEvent::ContainerStarted { sandbox_id, .. }
                    | RuntimeEvent::ContainerExited { sandbox_id, .. }
                    | RuntimeEvent::SandboxLost { sandbox_id },
                ) => {
                    let owners = self.sandbox_owners.read().unwrap_or_else(PoisonError::into_inner);
                    if let Some(entry) = owners.get(&sandbox_id) {
                        entry.wake();
                    }
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    self.pods().iter().for_each(|entry| entry.wake());
                }
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    /// Wakes the pods of a namespace whose ConfigMaps or Secrets changed. Their workers compare:
    /// a pod that does not use the object finds nothing to do.
    async fn follow_objects(self: Arc<Self>) {
        let taken = self.object_changes.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut changes) = taken else { return };
        while let Some((namespace, _)) = changes.recv().await {
            for entry in self.pods() {
                if entry.pod().namespace() == namespace && !entry.has_ended() {
                    entry.input_changed();
                }
            }
        }
    }

    async fn follow_services(self: Arc<Self>) {
        let api = kube::Api::<Service>::all(self.client.clone());
        let key = |service: &Service| {
            let text = |t: &Option<String>| t.clone().unwrap_or_default();
            (text(&service.metadata.namespace), text(&service.metadata.name))
        };
        let mut all = Services::new();
        let kubelet = Arc::clone(&self);
        reflect(api, None, move |update| {
            match update {
                Update::Replaced(services) => {
                    all = services.into_iter().map(|s| (key(&s), s)).collect();
                }
                Update::Applied(service) => drop(all.insert(key(&service), service)),
                Update::Deleted(service) => drop(all.remove(&key(&service))),
                Update::Failed(error) => {
                    return tracing::warn!(error, "the services cannot be watched");
                }
            }
            kubelet.services.send_replace(Some(Arc::new(all.clone())));
        })
        .await;
    }

    async fn rotate_logs(self: Arc<Self>) {
        let rules = self.config.log_rotation.clone();
        let mut ticks = tokio::time::interval(rules.check_every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for (id, log) in self.running_logs().await {
                let now = jiff::Timestamp::now();
                let rotated = rotate(&log, rules.size_bytes_max, rules.files_max, now);
                let reopened = match rotated {
                    Ok(false) => continue,
                    Ok(true) => self.runtime.reopen_log(&id).await.map_err(|e| e.to_string()),
                    Err(error) => Err(error.to_string()),
                };
                if let Err(error) = reopened {
                    tracing::warn!(log = %log.display(), error, "a log could not be rotated");
                }
            }
        }
    }

    async fn running_logs(&self) -> Vec<(String, std::path::PathBuf)> {
        let sandboxes = self.runtime.list().await.unwrap_or_default();
        let containers = sandboxes.into_iter().flat_map(|s| s.containers);
        let running = containers.filter(|c| c.pid.is_some());
        running.map(|c| (c.id, c.log_path)).collect()
    }
}

//! The scheduler's loop: watches feed the cluster's state and the queue, cycles decide, binds and
//! status patches are performed beside it. It wakes on changes and on back-off times only.

mod attempt;
mod claims;
mod volumes;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Node, Pod, ReplicationController, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kd_client::{
    Client, DeleteOptions, Error, EventApi, EventType, Keep, Key, Object, Occurrence, PatchKind,
    Recorder, Reference, Resource, Selectors, Watch, WatchEvent, resources,
};
use kd_contract::scheduler::SchedulerConfiguration;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::budget::Budget;
use crate::cluster::Cluster;
use crate::cycle::{Diagnosis, Turn};
use crate::devices::ClaimWrite;
use crate::extender::Extender;
use crate::metrics::{Ending, Metrics};
use crate::plugin::ClusterEvent;
use crate::pod::PodFacts;
use crate::preemption::{Candidate, Victim};
use crate::profile::Profile;
use crate::queue::{Attempt, Limits, Queue};
use attempt::Outcome;
use volumes::{Unbound, VolumesWritten};

/// Binds and other writes under way at once.
const WRITES_MAX: usize = 256;

/// What the scheduler is told.
pub struct Config {
    /// It places the pods of these profiles' names.
    pub profiles: Vec<Profile>,
    /// Where it runs, for events; may be empty.
    pub host: String,
    /// Programs to ask besides.
    pub extenders: Vec<Extender>,
    /// How long failed pods wait.
    pub limits: Limits,
}

impl Config {
    /// What a configuration file asks for; without one upstream's defaults.
    pub fn of(file: Option<&SchedulerConfiguration>, host: &str) -> Result<Config, String> {
        let plain = Config { host: host.to_owned(), ..Config::default() };
        let Some(file) = file else { return Ok(plain) };
        let ignored: Vec<String> = Extender::ignored_resources(&file.extenders).collect();
        let seconds = |count: i64| {
            Duration::from_secs(u64::try_from(count).unwrap_or_default().min(u32::MAX.into()))
        };
        Ok(Config {
            profiles: file.resolved()?.iter().map(|p| Profile::of(p, &ignored)).collect(),
            extenders: file.extenders.iter().map(Extender::of).collect::<Result<_, _>>()?,
            limits: Limits {
                backoff_min: seconds(file.pod_initial_backoff_seconds),
                backoff_max: seconds(file.pod_max_backoff_seconds),
            },
            ..plain
        })
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            profiles: vec![Profile::default()],
            host: String::new(),
            extenders: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// The scheduler.
pub struct Scheduler {
    client: Client,
    profiles: Arc<[Profile]>,
    extenders: Arc<[Extender]>,
    /// By profile, in the same order.
    recorders: Vec<Recorder>,
    cluster: Cluster,
    queue: Queue,
    /// Waiting pods for which room is being made.
    nominated: HashMap<Key, Arc<PodFacts>>,
    /// What is to be written of the claims of placed pods that are not bound.
    reserved: HashMap<Key, Vec<ClaimWrite>>,
    /// Placed pods whose volumes are being bound.
    unbound: HashMap<Key, Unbound>,
    writes: JoinSet<Option<Written>>,
    turn: Turn,
    metrics: Arc<Metrics>,
}

/// The end of a write that is waited for.
enum Written {
    Pod(Bound),
    Volumes(VolumesWritten),
}

/// The end of a bind.
struct Bound {
    pod: Arc<PodFacts>,
    attempt: Option<Attempt>,
    claims: claims::Stored,
    result: Result<(), Failed>,
}

/// What failed of a bind.
enum Failed {
    Claims(Error),
    Extender(String),
    Binding(Error),
}

impl Failed {
    /// What is told of it; nothing when the pod is gone.
    fn message(&self) -> Option<String> {
        match self {
            Failed::Claims(error) => {
                Some(format!("running PreBind plugin \"DynamicResources\": {}", error.message()))
            }
            Failed::Extender(why) => Some(format!("binding rejected: {why}")),
            Failed::Binding(error) if error.is_not_found() => None,
            Failed::Binding(error) => Some(format!("binding rejected: {}", error.message())),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Pods,
    Nodes,
    Namespaces,
    Claims,
    Volumes,
    Classes,
    CsiCapacities,
    CsiDrivers,
    CsiNodes,
    Budgets,
    Services,
    ReplicaSets,
    StatefulSets,
    ReplicationControllers,
    DeviceClasses,
    ResourceClaims,
    ResourceSlices,
}

type Fed = (Source, WatchEvent);

impl Scheduler {
    /// A scheduler that acts through this client (user `system:kube-scheduler`). Needs a tokio
    /// runtime.
    pub fn new(client: kube::Client, config: Config) -> Scheduler {
        let client = Client::from(client);
        let recorder = |profile: &Profile| {
            let (client, name) = (client.clone(), &profile.scheduler_name);
            Recorder::start(client, EventApi::Events, name, &config.host)
        };
        Scheduler {
            recorders: config.profiles.iter().map(recorder).collect(),
            profiles: config.profiles.into(),
            extenders: config.extenders.into(),
            client,
            cluster: Cluster::default(),
            queue: Queue::new(config.limits),
            nominated: HashMap::new(),
            reserved: HashMap::new(),
            unbound: HashMap::new(),
            writes: JoinSet::new(),
            turn: Turn::default(),
            metrics: Arc::default(),
        }
    }

    /// What it counts, for whoever shows it.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// Runs until `shutdown` completes.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        let mut events = self.watch();
        // Budgets and selectors only make better choices of good ones: nothing waits for them.
        let mut unsynced = vec![
            Source::Pods,
            Source::Nodes,
            Source::Namespaces,
            Source::Claims,
            Source::Volumes,
            Source::Classes,
            Source::CsiCapacities,
            Source::CsiDrivers,
            Source::CsiNodes,
            Source::DeviceClasses,
            Source::ResourceClaims,
            Source::ResourceSlices,
        ];
        loop {
            if unsynced.is_empty() {
                self.schedule().await;
            }
            self.metrics.queue(self.queue.waiting(), self.queue.take_arrivals());
            let timer = self.queue.next_time().filter(|_| unsynced.is_empty());
            let timer = timer.into_iter().chain(self.volumes_deadline()).min();
            let alarm = async {
                match timer {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = &mut shutdown => return,
                Some((source, event)) = events.next() => {
                    if matches!(event, WatchEvent::Synced(_)) {
                        unsynced.retain(|waiting| *waiting != source);
                    }
                    self.take(source, &event);
                }
                Some(done) = self.writes.join_next() => {
                    match done {
                        Ok(Some(Written::Pod(bound))) => self.bound(bound),
                        Ok(Some(Written::Volumes(written))) => self.volumes_written(written),
                        _ => {}
                    }
                }
                () = alarm => self.look_at_volumes(),
            }
        }
    }

    fn watch(&self) -> SelectAll<BoxStream<'static, Fed>> {
        let running = Selectors {
            fields: "status.phase!=Succeeded,status.phase!=Failed".into(),
            ..Selectors::default()
        };
        let all = Selectors::default;
        let sources: [(Source, &Resource, Selectors, Keep); 17] = [
            (Source::DeviceClasses, &resources::DEVICE_CLASSES, all(), Keep::Once),
            (Source::ResourceClaims, &resources::RESOURCE_CLAIMS, all(), Keep::Once),
            (Source::ResourceSlices, &resources::RESOURCE_SLICES, all(), Keep::Once),
            (Source::Nodes, &resources::NODES, all(), Keep::Once),
            (Source::Namespaces, &resources::NAMESPACES, all(), Keep::Metadata),
            (Source::Claims, &resources::PERSISTENT_VOLUME_CLAIMS, all(), Keep::Once),
            (Source::Volumes, &resources::PERSISTENT_VOLUMES, all(), Keep::Once),
            (Source::Classes, &resources::STORAGE_CLASSES, all(), Keep::Once),
            (Source::CsiCapacities, &resources::CSI_STORAGE_CAPACITIES, all(), Keep::Once),
            (Source::CsiDrivers, &resources::CSI_DRIVERS, all(), Keep::Once),
            (Source::CsiNodes, &resources::CSI_NODES, all(), Keep::Once),
            (Source::Budgets, &resources::POD_DISRUPTION_BUDGETS, all(), Keep::Once),
            (Source::Services, &resources::SERVICES, all(), Keep::Once),
            (Source::ReplicaSets, &resources::REPLICA_SETS, all(), Keep::Once),
            (Source::StatefulSets, &resources::STATEFUL_SETS, all(), Keep::Once),
            (
                Source::ReplicationControllers,
                &resources::REPLICATION_CONTROLLERS,
                all(),
                Keep::Once,
            ),
            (Source::Pods, &resources::PODS, running, Keep::Once),
        ];
        let mut streams = SelectAll::new();
        for (source, resource, selectors, keep) in sources {
            let watch = Watch::new(self.client.clone(), resource.clone(), selectors, keep);
            streams.push(watch.into_stream().map(move |event| (source, event)).boxed());
        }
        streams
    }

    fn take(&mut self, source: Source, event: &WatchEvent) {
        let (object, gone) = match event {
            WatchEvent::Applied { new, .. } => (new, false),
            WatchEvent::Deleted(last) => (last, true),
            WatchEvent::Synced(_) => return,
        };
        match source {
            Source::Pods if gone => self.pod_gone(&object.key()),
            Source::Pods => {
                if let Some(pod) = object.decode::<Pod>() {
                    let mut pod = PodFacts::of(pod);
                    if self.profile_of(&pod).is_some_and(|index| !self.profiles[index].gates) {
                        Arc::make_mut(&mut pod.wishes).gates.clear();
                    }
                    self.pod_changed(Arc::new(pod));
                }
            }
            Source::Nodes => self.node_changed(object, gone),
            Source::Namespaces => {
                let name = object.metadata.name.clone();
                let labels = (!gone).then(|| object.metadata.labels.clone());
                self.cluster.set_namespace(&name, labels);
                self.happened(&ClusterEvent::Namespace);
            }
            Source::Claims => self.claim_changed(object, gone),
            Source::Volumes => self.volume_changed(object, gone),
            Source::Classes => self.class_changed(object, gone),
            Source::CsiCapacities | Source::CsiDrivers | Source::CsiNodes => {
                self.csi_changed(source, object, gone);
            }
            Source::Budgets => {
                let budgets = Arc::make_mut(&mut self.cluster.budgets);
                match object.decode().filter(|_| !gone) {
                    Some(budget) => drop(budgets.insert(object.key(), Budget::of(budget))),
                    None => drop(budgets.remove(&object.key())),
                }
            }
            Source::DeviceClasses | Source::ResourceClaims | Source::ResourceSlices => {
                self.devices_changed(source, event);
            }
            other => self.siblings_changed(other, object, gone),
        }
    }

    fn pod_changed(&mut self, pod: Arc<PodFacts>) {
        if pod.terminal {
            return self.pod_gone(&pod.key);
        }
        if pod.node.is_some() {
            self.queue.remove(&pod.key);
            self.nominated.remove(&pod.key);
            self.forget_volumes(&pod.key);
            let before = self.cluster.placed(&pod.key).cloned();
            let news = before.is_none_or(|before| before.wishes.labels != pod.wishes.labels);
            self.cluster.place(pod.clone());
            if news {
                self.happened(&ClusterEvent::PodPlaced(pod));
            }
        } else if pod.waits() && self.profile_of(&pod).is_some() {
            match pod.nominated {
                Some(_) => self.nominated.insert(pod.key.clone(), pod.clone()),
                None => self.nominated.remove(&pod.key),
            };
            self.queue.put(pod, Instant::now());
        } else {
            self.queue.remove(&pod.key);
            self.nominated.remove(&pod.key);
            self.forget_volumes(&pod.key);
        }
    }

    fn pod_gone(&mut self, key: &Key) {
        self.queue.remove(key);
        self.nominated.remove(key);
        self.forget_volumes(key);
        if let Some(pod) = self.cluster.unplace(key) {
            self.happened(&ClusterEvent::PodRemoved(pod));
        }
    }

    fn node_changed(&mut self, object: &Object, gone: bool) {
        let name = &object.metadata.name;
        if gone {
            return self.cluster.remove_node(name);
        }
        let Some(node) = object.decode::<Node>() else { return };
        if self.cluster.set_node(node)
            && let Some(facts) = self.cluster.node(name).cloned()
        {
            self.happened(&ClusterEvent::Node(facts));
        }
    }

    /// A Service or a controller of pods changed what it selects.
    fn siblings_changed(&mut self, source: Source, object: &Object, gone: bool) {
        let siblings = Arc::make_mut(&mut self.cluster.siblings);
        let key = object.key();
        if source == Source::Services {
            let service = object.decode::<Service>().filter(|_| !gone);
            return siblings.set_service(key, service.and_then(|s| s.spec?.selector));
        }
        let (kind, selector) = match source {
            Source::ReplicaSets => {
                let set = object.decode::<ReplicaSet>();
                ("ReplicaSet", set.and_then(|set| Some(set.spec?.selector)))
            }
            Source::StatefulSets => {
                let set = object.decode::<StatefulSet>();
                ("StatefulSet", set.and_then(|set| Some(set.spec?.selector)))
            }
            _ => {
                let labels = object.decode::<ReplicationController>();
                let labels = labels.and_then(|controller| controller.spec?.selector);
                let selector = labels.map(|labels| LabelSelector {
                    match_labels: Some(labels),
                    ..LabelSelector::default()
                });
                ("ReplicationController", selector)
            }
        };
        siblings.set_controller(kind, key, selector.filter(|_| !gone));
    }

    fn happened(&mut self, event: &ClusterEvent) {
        let profiles = self.profiles.clone();
        let helps = |pod: &PodFacts, by: &[&'static str]| {
            let profile = profiles.iter().find(|p| p.scheduler_name == pod.wishes.scheduler_name);
            profile.is_some_and(|profile| profile.helped(by, event, pod))
        };
        self.queue.happened(helps, event.name(), Instant::now());
    }

    /// The profile that places a pod.
    fn profile_of(&self, pod: &PodFacts) -> Option<usize> {
        let name = &pod.wishes.scheduler_name;
        self.profiles.iter().position(|profile| profile.scheduler_name == *name)
    }

    /// Takes the pod as placed at once and tells the API server beside the loop.
    fn bind(&mut self, pod: &Arc<PodFacts>, node: String) {
        let assumed = PodFacts::placed_on(pod, &node);
        self.cluster.place(assumed.clone());
        if let Err(why) = self.reserve_devices(&assumed) {
            self.pod_unassumed(&pod.key);
            let message = format!("running Reserve plugin \"DynamicResources\": {why}");
            return self.fail(pod, message);
        }
        if !self.bind_volumes(&assumed) {
            self.bind_pod(assumed);
        }
    }

    fn bind_pod(&mut self, assumed: Arc<PodFacts>) {
        let node = assumed.node.clone().unwrap_or_default();
        let client = self.client.clone();
        let writes = self.reserved.get(&assumed.key).cloned().unwrap_or_default();
        let extenders = self.extenders.clone();
        let attempt = self.queue.attempt(&assumed.key);
        self.writes.spawn(async move {
            let (claims, written) = claims::write(&client, &writes).await;
            let result = match written {
                Ok(()) => match extenders.iter().find(|e| e.binds() && e.is_interested(&assumed)) {
                    Some(binder) => binder.bind(&assumed, &node).await.map_err(Failed::Extender),
                    None => post_binding(&client, &assumed, &node).await.map_err(Failed::Binding),
                },
                Err(error) => Err(Failed::Claims(error)),
            };
            Some(Written::Pod(Bound { pod: assumed, attempt, claims, result }))
        });
    }

    fn bound(&mut self, Bound { pod, attempt, claims, result }: Bound) {
        let node = pod.node.clone().unwrap_or_default();
        self.claims_stored(&claims);
        self.release_devices(&pod.key);
        match result {
            Ok(()) => {
                self.attempted(&pod, attempt, Ending::Scheduled);
                let message = format!("Successfully assigned {} to {node}", pod.key);
                self.record(&pod, EventType::Normal, "Scheduled", "Binding", message);
                self.queue.remove(&pod.key);
                self.nominated.remove(&pod.key);
                self.happened(&ClusterEvent::PodPlaced(pod));
            }
            Err(failed) => {
                // Unless the watch has told since where the pod really is.
                let ours = |placed: &Arc<PodFacts>| placed.resource_version == pod.resource_version;
                if self.cluster.placed(&pod.key).is_some_and(ours) {
                    self.pod_unassumed(&pod.key);
                }
                self.attempted(&pod, attempt, Ending::Error);
                if let Some(message) = failed.message() {
                    tracing::info!(pod = %pod.key, node, message, "binding failed");
                    let kind = EventType::Warning;
                    self.record(&pod, kind, "FailedScheduling", "Scheduling", message);
                }
                self.queue.failed(&pod.key, Instant::now());
            }
        }
    }

    /// Counts an attempt that ended.
    fn attempted(&self, pod: &PodFacts, attempt: Option<Attempt>, ending: Ending) {
        let Some(Attempt { count, begun, since }) = attempt else { return };
        self.metrics.attempted(&pod.wishes.scheduler_name, ending, begun.elapsed());
        if ending == Ending::Scheduled {
            self.metrics.bound(count, since.elapsed());
        }
    }

    fn pod_unassumed(&mut self, key: &Key) {
        self.release_devices(key);
        if let Some(pod) = self.cluster.unplace(key) {
            self.happened(&ClusterEvent::PodRemoved(pod));
        }
    }

    fn refuse(&mut self, pod: &Arc<PodFacts>, diagnosis: &Diagnosis, outcome: Outcome) {
        self.attempted(pod, self.queue.attempt(&pod.key), Ending::Unschedulable);
        self.queue.refused(&pod.key, diagnosis.plugins(), Instant::now());
        let (nominated, preemption) = match outcome {
            Outcome::Nothing(why) => (None, why),
            Outcome::Room(Candidate { node, victims }) => {
                self.metrics.victims(victims.len());
                for victim in victims {
                    self.evict(pod, &node, victim);
                }
                self.take_room_from_lower(pod, &node);
                (Some(node), String::new())
            }
        };
        let nominated = nominated
            .or_else(|| pod.nominated.clone().filter(|_| preemption.contains("terminating pod")));
        let message = diagnosis.message(&preemption);
        self.record(pod, EventType::Warning, "FailedScheduling", "Scheduling", message.clone());
        if let Some(node) = &nominated {
            let waiting = PodFacts { nominated: Some(node.clone()), ..PodFacts::clone(pod) };
            self.nominated.insert(pod.key.clone(), Arc::new(waiting));
        }
        let Some(patch) = refusal_patch(pod, &message, nominated.as_deref()) else { return };
        let (client, key) = (self.client.clone(), pod.key.clone());
        self.writes.spawn(async move {
            patch_status(&client, &key, &patch).await;
            None
        });
    }

    /// Pods that come after this one have no room on the node any more.
    fn take_room_from_lower(&mut self, pod: &PodFacts, node: &str) {
        let lower = self.nominated.values().filter(|other| {
            other.nominated.as_deref() == Some(node) && other.wishes.priority < pod.wishes.priority
        });
        let keys: Vec<Key> = lower.map(|other| other.key.clone()).collect();
        for key in keys {
            self.nominated.remove(&key);
            let client = self.client.clone();
            self.writes.spawn(async move {
                let patch = json!({"status": {"nominatedNodeName": null}});
                patch_status(&client, &key, &patch).await;
                None
            });
        }
    }

    /// Trying a pod failed for another reason than the cluster's state.
    fn fail(&mut self, pod: &Arc<PodFacts>, message: String) {
        self.attempted(pod, self.queue.attempt(&pod.key), Ending::Error);
        self.record(pod, EventType::Warning, "FailedScheduling", "Scheduling", message);
        self.queue.failed(&pod.key, Instant::now());
    }

    fn evict(&mut self, pod: &PodFacts, node: &str, victim: Victim) {
        let object = reference(&victim.key, &victim.uid, "");
        let occurrence = Occurrence {
            object,
            event_type: EventType::Normal,
            reason: "Preempted".into(),
            action: "Preempting".into(),
            message: format!("Preempted by pod {} on node {node}", pod.uid),
        };
        self.tell(pod, occurrence);
        let (client, name) = (self.client.clone(), pod.wishes.scheduler_name.clone());
        self.writes.spawn(async move {
            let message = format!("{name}: preempting to accommodate a higher priority pod");
            let condition = json!({"type": "DisruptionTarget", "status": "True",
                "reason": "PreemptionByScheduler", "message": message,
                "lastTransitionTime": now()});
            let patch = json!({"status": {"conditions": [condition]}});
            patch_status(&client, &victim.key, &patch).await;
            let options = DeleteOptions::of(&victim.uid);
            let (namespace, pod) = (&victim.key.namespace, &victim.key.name);
            let deleted = client.delete(&resources::PODS, namespace, pod, &options).await;
            if let Err(error) = deleted.or_else(|e| if e.is_not_found() { Ok(()) } else { Err(e) })
            {
                tracing::info!(victim = %victim.key, %error, "cannot remove a pod to make room");
            }
            None
        });
    }

    fn record(
        &self,
        pod: &PodFacts,
        event_type: EventType,
        reason: &str,
        action: &str,
        message: String,
    ) {
        let occurrence = Occurrence {
            object: reference(&pod.key, &pod.uid, &pod.resource_version),
            event_type,
            reason: reason.into(),
            action: action.into(),
            message,
        };
        self.tell(pod, occurrence);
    }

    /// Records an event in the name of the scheduler that a pod asks for.
    fn tell(&self, pod: &PodFacts, occurrence: Occurrence) {
        let recorder = self.profile_of(pod).and_then(|index| self.recorders.get(index));
        if let Some(recorder) = recorder {
            recorder.record(occurrence, Timestamp::now());
        }
    }
}

async fn post_binding(client: &Client, pod: &PodFacts, node: &str) -> Result<(), Error> {
    let (namespace, name) = (&*pod.key.namespace, &*pod.key.name);
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": name, "namespace": namespace, "uid": pod.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    client.post(&resources::PODS, namespace, name, "binding", &binding).await.map(drop)
}

fn reference(key: &Key, uid: &str, resource_version: &str) -> Reference {
    Reference {
        api_version: "v1".into(),
        kind: "Pod".into(),
        namespace: key.namespace.to_string(),
        name: key.name.to_string(),
        uid: uid.into(),
        resource_version: resource_version.into(),
        field_path: String::new(),
    }
}

fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What a refused pod's status has to say that it does not say yet.
fn refusal_patch(pod: &PodFacts, message: &str, nominated: Option<&str>) -> Option<Value> {
    let known = pod.scheduled.as_ref();
    let told = known.is_some_and(|c| {
        c.status == "False"
            && c.reason.as_deref() == Some("Unschedulable")
            && c.message.as_deref() == Some(message)
    });
    if told && pod.nominated.as_deref() == nominated {
        return None;
    }
    let mut condition = json!({"type": "PodScheduled", "status": "False", "lastProbeTime": null,
        "reason": "Unschedulable", "message": message, "observedGeneration": pod.generation});
    if known.is_none_or(|c| c.status != "False") {
        condition["lastTransitionTime"] = json!(now());
    }
    Some(json!({
        "metadata": {"uid": pod.uid},
        "status": {"conditions": [condition], "nominatedNodeName": nominated},
    }))
}

async fn patch_status(client: &Client, key: &Key, patch: &Value) {
    let kind = PatchKind::Strategic;
    let (namespace, name) = (&key.namespace, &key.name);
    match client.patch(&resources::PODS, namespace, name, "status", kind, patch).await {
        Ok(_) => {}
        Err(error) if error.is_not_found() => {}
        Err(error) => tracing::info!(pod = %key, %error, "cannot tell why a pod is not placed"),
    }
}

//! The scheduler's loop: watches feed the cluster's state and the queue, cycles decide, binds and
//! status patches are performed beside it. It wakes on changes and on back-off times only.

mod volumes;

use std::borrow::Cow;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

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
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::budget::Budget;
use crate::cluster::Cluster;
use crate::cycle::{Diagnosis, choose};
use crate::plugin::{ClusterEvent, Plugin};
use crate::plugins::plugins;
use crate::pod::PodFacts;
use crate::preemption::{Preemption, Victim, preempt};
use crate::queue::Queue;
use volumes::{Unbound, VolumesWritten};

/// Binds and other writes under way at once.
const WRITES_MAX: usize = 64;

/// What the scheduler is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// It places pods whose `schedulerName` is this.
    pub name: String,
    /// Where it runs, for events; may be empty.
    pub host: String,
}

impl Default for Config {
    fn default() -> Config {
        Config { name: "default-scheduler".into(), host: String::new() }
    }
}

/// The scheduler.
pub struct Scheduler {
    config: Config,
    client: Client,
    recorder: Recorder,
    plugins: Vec<Box<dyn Plugin>>,
    cluster: Cluster,
    queue: Queue,
    /// Waiting pods for which room is being made.
    nominated: HashMap<Key, Arc<PodFacts>>,
    /// Placed pods whose volumes are being bound.
    unbound: HashMap<Key, Unbound>,
    writes: JoinSet<Option<Written>>,
    turn: usize,
}

/// The end of a write that is waited for.
enum Written {
    Pod(Bound),
    Volumes(VolumesWritten),
}

/// The end of a bind.
struct Bound {
    pod: Arc<PodFacts>,
    result: Result<(), Error>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Pods,
    Nodes,
    Namespaces,
    Claims,
    Volumes,
    Classes,
    Budgets,
    Services,
    ReplicaSets,
    StatefulSets,
    ReplicationControllers,
}

type Fed = (Source, WatchEvent);

impl Scheduler {
    /// A scheduler that acts through this client (user `system:kube-scheduler`). Needs a tokio
    /// runtime.
    pub fn new(client: kube::Client, config: Config) -> Scheduler {
        let client = Client::from(client);
        let recorder =
            Recorder::start(client.clone(), EventApi::Events, &config.name, &config.host);
        Scheduler {
            config,
            client,
            recorder,
            plugins: plugins(),
            cluster: Cluster::default(),
            queue: Queue::default(),
            nominated: HashMap::new(),
            unbound: HashMap::new(),
            writes: JoinSet::new(),
            turn: 0,
        }
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
        ];
        loop {
            if unsynced.is_empty() {
                self.schedule();
            }
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
        let sources: [(Source, &Resource, Selectors, Keep); 11] = [
            (Source::Nodes, &resources::NODES, all(), Keep::Once),
            (Source::Namespaces, &resources::NAMESPACES, all(), Keep::Metadata),
            (Source::Claims, &resources::PERSISTENT_VOLUME_CLAIMS, all(), Keep::Once),
            (Source::Volumes, &resources::PERSISTENT_VOLUMES, all(), Keep::Once),
            (Source::Classes, &resources::STORAGE_CLASSES, all(), Keep::Once),
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
                    self.pod_changed(Arc::new(PodFacts::of(pod)));
                }
            }
            Source::Nodes => self.node_changed(object, gone),
            Source::Namespaces => {
                let name = object.metadata.name.clone();
                if gone {
                    self.cluster.namespaces.remove(&name);
                } else {
                    self.cluster.namespaces.insert(name, object.metadata.labels.clone());
                    self.happened(&ClusterEvent::Namespace);
                }
            }
            Source::Claims => self.claim_changed(object, gone),
            Source::Volumes => self.volume_changed(object, gone),
            Source::Classes => self.class_changed(object, gone),
            Source::Budgets => {
                let budgets = Arc::make_mut(&mut self.cluster.budgets);
                match object.decode().filter(|_| !gone) {
                    Some(budget) => drop(budgets.insert(object.key(), Budget::of(budget))),
                    None => drop(budgets.remove(&object.key())),
                }
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
            self.cluster.place(pod);
            if news {
                self.happened(&ClusterEvent::PodPlaced);
            }
        } else if pod.is_ours_to_place(&self.config.name) {
            match pod.nominated {
                Some(_) => self.nominated.insert(pod.key.clone(), pod.clone()),
                None => self.nominated.remove(&pod.key),
            };
            self.queue.put(pod);
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
        self.queue.happened(event, &self.plugins, Instant::now());
    }

    /// Tries every pod that is ready.
    fn schedule(&mut self) {
        while self.writes.len() < WRITES_MAX {
            let Some(pod) = self.queue.pop(Instant::now()) else { return };
            self.turn = self.turn.wrapping_add(1);
            let cluster = self.with_nominated(&pod);
            match choose(&self.plugins, &cluster, &pod, self.turn) {
                Ok(node) => self.bind(&pod, node),
                Err(diagnosis) => {
                    let found = preempt(&self.plugins, &cluster, &pod, &diagnosis);
                    self.refuse(&pod, &diagnosis, found);
                }
            }
        }
    }

    /// The cluster with the pods for which room is being made, as far as they come first.
    fn with_nominated(&self, pod: &PodFacts) -> Cow<'_, Cluster> {
        let first = |other: &&Arc<PodFacts>| {
            other.key != pod.key && other.wishes.priority >= pod.wishes.priority
        };
        let mut cluster = Cow::Borrowed(&self.cluster);
        for other in self.nominated.values().filter(first) {
            let node = other.nominated.clone();
            cluster.to_mut().place(Arc::new(PodFacts { node, ..PodFacts::clone(other) }));
        }
        cluster
    }

    /// Takes the pod as placed at once and tells the API server beside the loop.
    fn bind(&mut self, pod: &Arc<PodFacts>, node: String) {
        let assumed = Arc::new(PodFacts { node: Some(node), ..PodFacts::clone(pod) });
        self.cluster.place(assumed.clone());
        if !self.bind_volumes(&assumed) {
            self.bind_pod(assumed);
        }
    }

    fn bind_pod(&mut self, assumed: Arc<PodFacts>) {
        let node = assumed.node.clone().unwrap_or_default();
        let client = self.client.clone();
        self.writes.spawn(async move {
            let (namespace, name) = (&*assumed.key.namespace, &*assumed.key.name);
            let binding = json!({
                "apiVersion": "v1", "kind": "Binding",
                "metadata": {"name": name, "namespace": namespace, "uid": assumed.uid},
                "target": {"apiVersion": "v1", "kind": "Node", "name": node},
            });
            let sent = client.post(&resources::PODS, namespace, name, "binding", &binding).await;
            Some(Written::Pod(Bound { pod: assumed, result: sent.map(drop) }))
        });
    }

    fn bound(&mut self, Bound { pod, result }: Bound) {
        let node = pod.node.clone().unwrap_or_default();
        match result {
            Ok(()) => {
                let message = format!("Successfully assigned {} to {node}", pod.key);
                self.record(&pod, EventType::Normal, "Scheduled", "Binding", message);
                self.queue.remove(&pod.key);
                self.nominated.remove(&pod.key);
                self.happened(&ClusterEvent::PodPlaced);
            }
            Err(error) => {
                // Unless the watch has told since where the pod really is.
                let ours = |placed: &Arc<PodFacts>| placed.resource_version == pod.resource_version;
                if self.cluster.placed(&pod.key).is_some_and(ours) {
                    self.pod_unassumed(&pod.key);
                }
                tracing::info!(pod = %pod.key, node, %error, "binding failed");
                if !error.is_not_found() {
                    let message = format!("binding rejected: {}", error.message());
                    self.record(
                        &pod,
                        EventType::Warning,
                        "FailedScheduling",
                        "Scheduling",
                        message,
                    );
                }
                self.queue.failed(&pod.key, Instant::now());
            }
        }
    }

    fn pod_unassumed(&mut self, key: &Key) {
        if let Some(pod) = self.cluster.unplace(key) {
            self.happened(&ClusterEvent::PodRemoved(pod));
        }
    }

    fn refuse(&mut self, pod: &Arc<PodFacts>, diagnosis: &Diagnosis, found: Preemption) {
        self.queue.refused(&pod.key, diagnosis.plugins(), Instant::now());
        let (nominated, preemption) = match found {
            Preemption::Nothing(why) => (None, why),
            Preemption::Victims { node, victims } => {
                for victim in victims {
                    self.evict(pod, &node, victim);
                }
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

    fn evict(&mut self, pod: &PodFacts, node: &str, victim: Victim) {
        let object = reference(&victim.key, &victim.uid, "");
        let occurrence = Occurrence {
            object,
            event_type: EventType::Normal,
            reason: "Preempted".into(),
            action: "Preempting".into(),
            message: format!("Preempted by pod {} on node {node}", pod.uid),
        };
        self.recorder.record(occurrence, Timestamp::now());
        let (client, name) = (self.client.clone(), self.config.name.clone());
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
        self.recorder.record(occurrence, Timestamp::now());
    }
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

//! Events about pods and the node: counted when they repeat, merged when they are alike, and bounded.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Event, EventSource, Node, ObjectReference, PersistentVolumeClaim, Pod,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::mpsc;

use crate::error::api_code;
use crate::lifecycle::backoff::since;
use crate::pod::{Member, PodExt};

/// Events waiting to be sent; more are dropped.
const QUEUE_MAX: usize = 1000;
/// Series remembered for counting; the oldest are forgotten.
const SERIES_MAX: usize = 4096;
/// A series that was quiet this long starts anew.
const SERIES_QUIET_MAX: Duration = Duration::from_secs(600);
/// Alike events (all but the message the same) within that time before they are merged.
const ALIKE_MAX: usize = 10;
/// Events of one object at once, and the time that gives one more.
const BURST_MAX: f64 = 25.0;
const REFILL_EVERY: Duration = Duration::from_secs(300);
/// Longest message, bytes.
const MESSAGE_BYTES_MAX: usize = 1024;

/// `type` of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// Nothing is wrong.
    Normal,
    /// Something is.
    Warning,
}

/// Takes events; sending happens in [`Recorder::run`].
pub struct Recorder {
    node: String,
    queue: mpsc::Sender<Event>,
    receiver: Mutex<Option<mpsc::Receiver<Event>>>,
}

impl Recorder {
    /// A recorder of the kubelet on `node`.
    pub fn new(node: &str) -> Recorder {
        let (queue, receiver) = mpsc::channel(QUEUE_MAX);
        Recorder { node: node.to_owned(), queue, receiver: Mutex::new(Some(receiver)) }
    }

    /// An event about a pod.
    pub fn pod(&self, pod: &Pod, kind: EventType, reason: &str, message: impl Into<String>) {
        self.record(pod_reference(pod, None), kind, reason, message.into());
    }

    /// An event about a claim.
    pub fn claim(
        &self,
        claim: &PersistentVolumeClaim,
        kind: EventType,
        reason: &str,
        message: impl Into<String>,
    ) {
        let metadata = claim.metadata.clone();
        let reference = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("PersistentVolumeClaim".into()),
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            field_path: None,
        };
        self.record(reference, kind, reason, message.into());
    }

    /// An event about a container of a pod.
    pub fn container(
        &self,
        pod: &Pod,
        member: &Member<'_>,
        kind: EventType,
        reason: &str,
        message: impl Into<String>,
    ) {
        self.record(pod_reference(pod, Some(member.field_path())), kind, reason, message.into());
    }

    /// An event about the node. Like upstream's, its uid is the node's name.
    pub fn node(&self, kind: EventType, reason: &str, message: impl Into<String>) {
        let reference = ObjectReference {
            kind: Some("Node".into()),
            name: Some(self.node.clone()),
            uid: Some(self.node.clone()),
            ..ObjectReference::default()
        };
        self.record(reference, kind, reason, message.into());
    }

    fn record(&self, object: ObjectReference, kind: EventType, reason: &str, mut message: String) {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        let namespace = object.namespace.clone().unwrap_or_else(|| "default".into());
        let now = Timestamp::now();
        let event = Event {
            metadata: ObjectMeta { namespace: Some(namespace), ..ObjectMeta::default() },
            involved_object: object,
            reason: Some(reason.to_owned()),
            message: Some(message),
            type_: Some(format!("{kind:?}")),
            source: Some(EventSource {
                component: Some("kubelet".into()),
                host: Some(self.node.clone()),
            }),
            reporting_component: Some("kubelet".into()),
            reporting_instance: Some(self.node.clone()),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            count: Some(1),
            ..Event::default()
        };
        if self.queue.try_send(event).is_err() {
            tracing::warn!(reason, "too many events are waiting; one is dropped");
        }
    }

    /// Sends events as they come. Ends when dropped.
    pub async fn run(&self, client: kube::Client) {
        let taken = self.receiver.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let Some(mut receiver) = taken else { return };
        let mut correlator = Correlator::default();
        while let Some(event) = receiver.recv().await {
            let Some(step) = correlator.step(event, Timestamp::now()) else { continue };
            send(&client, &mut correlator, step).await;
        }
    }
}

/// Tries the server may take to accept one event before it is dropped.
const SENDS_MAX: u32 = 12;

async fn send(client: &kube::Client, correlator: &mut Correlator, step: Step) {
    let namespace = step.event.metadata.namespace.clone().unwrap_or_default();
    let name = step.event.metadata.name.clone().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
    let mut repeats = step.repeats;
    for attempt in 0..SENDS_MAX {
        let result = match repeats {
            true => {
                let patch = json!({"count": step.event.count, "message": step.event.message,
                    "lastTimestamp": step.event.last_timestamp});
                api.patch(&name, &PatchParams::default(), &Patch::Strategic(patch)).await
            }
            false => api.create(&PostParams::default(), &step.event).await,
        };
        match result {
            Ok(_) => return,
            // The event expired on the server: it begins again.
            Err(error) if repeats && api_code(&error) == Some(404) => repeats = false,
            Err(error) if api_code(&error).is_some() => {
                tracing::debug!(%error, name, "the server refused an event");
                return correlator.forget(&step.key);
            }
            Err(error) => {
                tracing::debug!(%error, name, "an event could not be sent");
                let delay = Duration::from_millis(100) * 2u32.pow(attempt.min(7));
                tokio::time::sleep(delay).await;
            }
        }
    }
    correlator.forget(&step.key);
}

fn pod_reference(pod: &Pod, field_path: Option<String>) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        name: Some(pod.name().to_owned()),
        namespace: Some(pod.namespace().to_owned()),
        uid: Some(pod.uid().to_owned()),
        resource_version: pod.metadata.resource_version.clone(),
        field_path,
    }
}

/// A reference to a Node object, for owners.
pub fn node_owner(node: &Node) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
    k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: node.metadata.name.clone().unwrap_or_default(),
        uid: node.metadata.uid.clone().unwrap_or_default(),
        ..Default::default()
    }
}

/// What to send.
struct Step {
    event: Event,
    key: String,
    /// Patch the count of a known event instead of creating one.
    repeats: bool,
}

/// Decides what becomes of an event. Pure but for what it remembers.
#[derive(Default)]
struct Correlator {
    series: HashMap<String, Series>,
    alike: HashMap<String, Alike>,
    budgets: HashMap<String, Budget>,
}

struct Series {
    name: String,
    first: Timestamp,
    last: Timestamp,
    count: i32,
}

struct Alike {
    messages: std::collections::HashSet<String>,
    last: Timestamp,
}

struct Budget {
    tokens: f64,
    at: Timestamp,
}

impl Correlator {
    /// `None`: the object has had too many events.
    fn step(&mut self, mut event: Event, now: Timestamp) -> Option<Step> {
        let group = group_key(&event);
        let message = event.message.clone().unwrap_or_default();
        let merged = self.is_merged(&group, &message, now);
        if merged {
            event.message = Some(format!("(combined from similar events): {message}"));
        }
        let key = if merged { group } else { format!("{group}\0{message}") };
        if !self.has_budget(&event, now) {
            return None;
        }
        self.bound();
        let known = self.series.get_mut(&key).filter(|s| since(s.last, now) <= SERIES_QUIET_MAX);
        let repeats = known.is_some();
        match known {
            Some(series) => {
                series.count += 1;
                series.last = now;
                event.metadata.name = Some(series.name.clone());
                event.first_timestamp = Some(Time(series.first));
                event.count = Some(series.count);
            }
            None => {
                let object = event.involved_object.name.clone().unwrap_or_default();
                let name = format!("{object}.{:x}", now.as_nanosecond());
                event.metadata.name = Some(name.clone());
                self.series.insert(key.clone(), Series { name, first: now, last: now, count: 1 });
            }
        }
        Some(Step { event, key, repeats })
    }

    fn forget(&mut self, key: &str) {
        self.series.remove(key);
    }

    fn is_merged(&mut self, group: &str, message: &str, now: Timestamp) -> bool {
        let empty = || Alike { messages: Default::default(), last: now };
        let alike = self.alike.entry(group.to_owned()).or_insert_with(empty);
        if since(alike.last, now) > SERIES_QUIET_MAX {
            alike.messages.clear();
        }
        alike.last = now;
        if alike.messages.len() < ALIKE_MAX {
            alike.messages.insert(message.to_owned());
        }
        alike.messages.len() >= ALIKE_MAX && !alike.messages.contains(message)
    }

    fn has_budget(&mut self, event: &Event, now: Timestamp) -> bool {
        let object = &event.involved_object;
        let text = |t: &Option<String>| t.clone().unwrap_or_default();
        let key = [&object.kind, &object.namespace, &object.name, &object.uid].map(text).join("\0");
        let budget = self.budgets.entry(key).or_insert(Budget { tokens: BURST_MAX, at: now });
        let gained = since(budget.at, now).as_secs_f64() / REFILL_EVERY.as_secs_f64();
        budget.tokens = (budget.tokens + gained).min(BURST_MAX);
        budget.at = now;
        let enough = budget.tokens >= 1.0;
        if enough {
            budget.tokens -= 1.0;
        }
        enough
    }

    fn bound(&mut self) {
        if self.series.len() >= SERIES_MAX {
            let oldest = self.series.iter().min_by_key(|(_, s)| s.last).map(|(k, _)| k.clone());
            oldest.map(|key| self.series.remove(&key));
        }
        if self.alike.len() >= SERIES_MAX {
            self.alike.clear();
        }
        if self.budgets.len() >= SERIES_MAX {
            self.budgets.clear();
        }
    }
}

fn group_key(event: &Event) -> String {
    let object = &event.involved_object;
    let parts = [
        &object.kind,
        &object.namespace,
        &object.name,
        &object.uid,
        &object.field_path,
        &event.type_,
        &event.reason,
    ];
    parts.map(|p| p.clone().unwrap_or_default()).join("\0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(message: &str) -> Event {
        Event { message: Some(message.into()), ..Event::default() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn repeats_are_counted() {
        let mut correlator = Correlator::default();
        let first = correlator.step(event("a"), at(1)).unwrap();
        assert!(!first.repeats);
        let second = correlator.step(event("a"), at(2)).unwrap();
        assert!(second.repeats);
        assert_eq!(second.event.count, Some(2));
        assert_eq!(second.event.metadata.name, first.event.metadata.name);
        assert_eq!(second.event.first_timestamp, Some(Time(at(1))));
        assert!(!correlator.step(event("a"), at(700)).unwrap().repeats, "quiet for too long");
    }

    #[test]
    fn alike_ones_are_merged_and_floods_end() {
        let mut correlator = Correlator::default();
        let mut sent = Vec::new();
        for n in 0..40 {
            sent.extend(correlator.step(event(&n.to_string()), at(1)));
        }
        assert_eq!(sent.len(), BURST_MAX as usize);
        let last = sent.last().unwrap();
        assert!(last.repeats);
        assert!(last.event.message.as_deref().unwrap().starts_with("(combined from similar"));
        assert!(correlator.step(event("x"), at(400)).is_some(), "one more after a while");
    }
}

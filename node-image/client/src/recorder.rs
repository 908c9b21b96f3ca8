//! Events as people read them in `kubectl describe`: repeats are counted on one object, many similar
//! ones are combined, and one noisy object cannot flood the store. Recording never waits.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::resource::resources;
use crate::{Client, Error, Object, PatchKind, Resource};

/// Events waiting to be written; more are dropped.
const QUEUE_EVENTS_MAX: usize = 1000;
/// Series remembered; the oldest are forgotten beyond.
const SERIES_MAX: usize = 4096;
/// Repeats farther apart than this are separate events.
const SERIES_SECONDS: i64 = 600;
/// More different messages than this in one series are combined.
const SIMILAR_MAX: usize = 10;
/// Events of one object at once, and the time that earns one more.
const BURST: f64 = 25.0;
const REFILL_SECONDS: f64 = 300.0;

/// Which of the two event APIs a component writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventApi {
    /// core/v1: kubelet and controllers.
    Core,
    /// events.k8s.io/v1: the scheduler.
    Events,
}

/// Whether something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// No.
    Normal,
    /// Yes.
    Warning,
}

impl EventType {
    fn name(self) -> &'static str {
        match self {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        }
    }
}

/// The object an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reference {
    /// `v1`, `apps/v1`.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace, or "".
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// The version that was seen.
    pub resource_version: String,
    /// `spec.containers{name}`, or "".
    pub field_path: String,
}

impl Reference {
    /// A reference to an object.
    pub fn of(resource: &Resource, object: &Object) -> Reference {
        Reference {
            api_version: resource.api_version(),
            kind: resource.kind.to_string(),
            namespace: object.metadata.namespace.clone(),
            name: object.metadata.name.clone(),
            uid: object.metadata.uid.clone(),
            resource_version: object.metadata.resource_version.clone(),
            field_path: String::new(),
        }
    }

    fn json(&self) -> Value {
        let fields = [
            ("apiVersion", &self.api_version),
            ("kind", &self.kind),
            ("namespace", &self.namespace),
            ("name", &self.name),
            ("uid", &self.uid),
            ("resourceVersion", &self.resource_version),
            ("fieldPath", &self.field_path),
        ];
        let set = fields.into_iter().filter(|(_, value)| !value.is_empty());
        Value::Object(set.map(|(name, value)| (name.into(), json!(value))).collect())
    }

    fn same_object(&self) -> (String, String, String) {
        (self.uid.clone(), self.name.clone(), self.field_path.clone())
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Occurrence {
    /// To which object.
    pub object: Reference,
    /// Whether it is bad.
    pub event_type: EventType,
    /// In one word: `Scheduled`.
    pub reason: String,
    /// What was attempted (`Binding`); only written to events.k8s.io.
    pub action: String,
    /// In a sentence.
    pub message: String,
}

/// Writes events of one component.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<(Occurrence, Timestamp)>,
}

impl Recorder {
    /// A recorder for a component (`deployment-controller`, `kubelet`) on a host ("" for none).
    pub fn start(client: Client, api: EventApi, component: &str, host: &str) -> Recorder {
        let (queue, mut occurrences) = mpsc::channel::<(Occurrence, Timestamp)>(QUEUE_EVENTS_MAX);
        let source = Source { api, component: component.to_owned(), host: host.to_owned() };
        tokio::spawn(async move {
            let mut correlator = Correlator::default();
            while let Some((occurrence, now)) = occurrences.recv().await {
                if let Some(write) = correlator.accept(&source, occurrence, now) {
                    perform(&client, &mut correlator, write).await;
                }
            }
        });
        Recorder { queue }
    }

    /// Records an event. When the queue is full it is lost, as events may be.
    pub fn record(&self, occurrence: Occurrence, now: Timestamp) {
        if let Err(error) = self.queue.try_send((occurrence, now)) {
            tracing::debug!(%error, "an event is lost");
        }
    }
}

async fn perform(client: &Client, correlator: &mut Correlator, write: Write) {
    let Write { resource, namespace, name, create, patch, series } = write;
    if let Some(patch) = patch {
        let kind = PatchKind::Strategic;
        match client.patch(resource, &namespace, &name, "", kind, &patch).await {
            Ok(_) => return,
            // The event expired since: begin again.
            Err(error) if error.is_not_found() => {}
            Err(error) => return tracing::debug!(%error, "cannot count an event"),
        }
    }
    match client.create(resource, &namespace, &create).await {
        Ok(_) => {}
        Err(error) => {
            correlator.series.remove(&series);
            let refused = matches!(error, Error::Api { .. });
            tracing::debug!(%error, refused, "cannot record an event");
        }
    }
}

struct Source {
    api: EventApi,
    component: String,
    host: String,
}

type SeriesKey = (Reference, &'static str, String, String);
type SimilarKey = (Reference, &'static str, String);

struct Series {
    name: String,
    first: Timestamp,
    last: Timestamp,
    count: u64,
}

struct Bucket {
    tokens: f64,
    at: Timestamp,
}

/// What is remembered of past events.
#[derive(Default)]
struct Correlator {
    series: HashMap<SeriesKey, Series>,
    similar: HashMap<SimilarKey, (HashSet<String>, Timestamp)>,
    buckets: HashMap<(String, String, String), Bucket>,
}

struct Write {
    resource: &'static Resource,
    namespace: String,
    name: String,
    create: Value,
    patch: Option<Value>,
    series: SeriesKey,
}

impl Correlator {
    fn accept(&mut self, source: &Source, mut it: Occurrence, now: Timestamp) -> Option<Write> {
        self.forget(now);
        if !self.admit(&it.object, now) {
            return None;
        }
        let mut object = it.object.clone();
        object.resource_version.clear();
        let event_type = it.event_type.name();
        let similar = (object.clone(), event_type, it.reason.clone());
        let (messages, at) = self.similar.entry(similar).or_insert((HashSet::new(), now));
        *at = now;
        messages.insert(it.message.clone());
        let mut distinct = it.message.clone();
        if messages.len() > SIMILAR_MAX {
            distinct.clear();
            it.message = format!("(combined from similar events): {}", it.message);
        }
        let key = (object, event_type, it.reason.clone(), distinct);
        let fresh =
            || Series { name: event_name(&it.object.name, now), first: now, last: now, count: 0 };
        let series = self.series.entry(key.clone()).or_insert_with(fresh);
        series.count += 1;
        series.last = now;
        Some(source.write(&it, series, key))
    }

    fn admit(&mut self, object: &Reference, now: Timestamp) -> bool {
        let full = Bucket { tokens: BURST, at: now };
        let bucket = self.buckets.entry(object.same_object()).or_insert(full);
        let earned = (seconds_since(bucket.at, now) as f64) / REFILL_SECONDS;
        bucket.tokens = (bucket.tokens + earned).min(BURST);
        if earned > 0.0 {
            bucket.at = now;
        }
        let admitted = bucket.tokens >= 1.0;
        if admitted {
            bucket.tokens -= 1.0;
        }
        admitted
    }

    fn forget(&mut self, now: Timestamp) {
        let recent = |at: Timestamp| seconds_since(at, now) < SERIES_SECONDS;
        if self.series.len() + self.similar.len() > SERIES_MAX {
            self.series.retain(|_, s| recent(s.last));
            self.similar.retain(|_, (_, at)| recent(*at));
        }
        if self.series.len() + self.similar.len() > SERIES_MAX {
            self.series.clear();
            self.similar.clear();
        }
        if self.buckets.len() > SERIES_MAX {
            let refilled = (BURST * REFILL_SECONDS) as i64;
            self.buckets.retain(|_, b| seconds_since(b.at, now) < refilled);
        }
        self.similar.retain(|_, (messages, at)| recent(*at) || messages.is_empty());
        self.series.retain(|_, s| recent(s.last));
    }
}

fn seconds_since(then: Timestamp, now: Timestamp) -> i64 {
    now.as_second().saturating_sub(then.as_second())
}

fn event_name(object: &str, now: Timestamp) -> String {
    format!("{object}.{:x}", now.as_nanosecond())
}

impl Source {
    fn write(&self, it: &Occurrence, series: &Series, key: SeriesKey) -> Write {
        let namespace = match it.object.namespace.as_str() {
            "" => "default".to_owned(),
            namespace => namespace.to_owned(),
        };
        let repeated = series.count > 1;
        let (resource, create, patch) = match self.api {
            EventApi::Core => (
                &resources::EVENTS,
                self.core_event(it, series, &namespace),
                json!({"count": series.count, "lastTimestamp": seconds(series.last),
                    "message": it.message}),
            ),
            EventApi::Events => (
                &resources::EVENTS_V1,
                self.new_event(it, series, &namespace),
                json!({"series": {"count": series.count, "lastObservedTime": micros(series.last)},
                    "note": it.message}),
            ),
        };
        let name = series.name.clone();
        Write { resource, namespace, name, create, patch: repeated.then_some(patch), series: key }
    }

    fn core_event(&self, it: &Occurrence, series: &Series, namespace: &str) -> Value {
        let mut source = json!({"component": self.component});
        if !self.host.is_empty() {
            source["host"] = json!(self.host);
        }
        json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": series.name, "namespace": namespace},
            "involvedObject": it.object.json(),
            "reason": it.reason, "message": it.message, "type": it.event_type.name(),
            "source": source,
            "firstTimestamp": seconds(series.first), "lastTimestamp": seconds(series.last),
            "count": series.count, "eventTime": null,
            "reportingComponent": self.component, "reportingInstance": self.host,
        })
    }

    fn new_event(&self, it: &Occurrence, series: &Series, namespace: &str) -> Value {
        let instance = match self.host.as_str() {
            "" => self.component.clone(),
            host => format!("{}-{host}", self.component),
        };
        json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": series.name, "namespace": namespace},
            "regarding": it.object.json(),
            "reason": it.reason, "action": it.action, "note": it.message,
            "type": it.event_type.name(), "eventTime": micros(series.first),
            "reportingController": self.component, "reportingInstance": instance,
            "deprecatedSource": {}, "deprecatedFirstTimestamp": null,
            "deprecatedLastTimestamp": null,
        })
    }
}

fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn micros(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occurrence(message: &str) -> Occurrence {
        Occurrence {
            object: Reference { name: "p".into(), uid: "u".into(), ..Reference::default() },
            event_type: EventType::Warning,
            reason: "BackOff".into(),
            action: String::new(),
            message: message.into(),
        }
    }

    fn source(api: EventApi) -> Source {
        Source { api, component: "kubelet".into(), host: "n".into() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn repeats_are_counted() {
        let mut correlator = Correlator::default();
        let core = source(EventApi::Core);
        let first = correlator.accept(&core, occurrence("a"), at(1)).unwrap();
        assert_eq!((first.patch, first.name.as_str()), (None, "p.3b9aca00"));
        assert_eq!(first.create["source"]["component"], "kubelet");
        assert_eq!(first.namespace, "default");
        let second = correlator.accept(&core, occurrence("a"), at(2)).unwrap();
        assert_eq!(second.patch.unwrap()["count"], 2);
        assert_eq!(second.name, "p.3b9aca00");
        let later = correlator.accept(&core, occurrence("a"), at(2 + SERIES_SECONDS)).unwrap();
        assert!(later.patch.is_none(), "a new series");
    }

    #[test]
    fn similar_events_are_combined_and_floods_stopped() {
        let mut correlator = Correlator::default();
        let core = source(EventApi::Core);
        let mut written = 0;
        for i in 0..40 {
            let Some(write) = correlator.accept(&core, occurrence(&i.to_string()), at(1)) else {
                continue;
            };
            written += 1;
            let message = write.create["message"].as_str().unwrap().to_owned();
            assert_eq!(
                message.starts_with("(combined from similar events): "),
                i >= 10,
                "{message}"
            );
        }
        assert_eq!(written, 25);
    }

    #[test]
    fn the_new_api_counts_in_a_series() {
        let mut correlator = Correlator::default();
        let events = source(EventApi::Events);
        let first = correlator.accept(&events, occurrence("a"), at(1)).unwrap();
        assert_eq!(first.create["eventTime"], "1970-01-01T00:00:01.000000Z");
        assert_eq!(first.create["reportingInstance"], "kubelet-n");
        let second = correlator.accept(&events, occurrence("a"), at(2)).unwrap();
        assert_eq!(second.patch.unwrap()["series"]["count"], 2);
    }
}

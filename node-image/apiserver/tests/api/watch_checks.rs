//! What clients of a watch stand on, under concurrent writers, restarts of the server and a loss of
//! history: told in order, each change once, whole, without a gap, resumable, with honest bookmarks,
//! and of the selected objects only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use k8s_openapi::api::core::v1::ConfigMap;
use kd_api::Kinds;
use kd_apiserver::{ApiServer, BoxError, Config, LocalService, UserInfo};
use kd_store::{Durability, HistoryLimits, SqliteStore, Store};
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::client::Body;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

const PREFIX: &str = "/configmaps/";
const WRITERS: usize = 4;
const OBJECTS_EACH: usize = 4;
/// Writes that are acknowledged before the server is restarted.
const WRITES_A_ROUND: usize = 150;
const ROUNDS: usize = 5;
/// The round in which history is lost as well.
const LOSSY_ROUND: usize = 3;

/// A change as the store has it.
#[derive(Clone, Debug)]
struct Change {
    revision: u64,
    /// Namespace and name.
    place: (String, String),
    /// The labels before and after; none if there was no object.
    before: Option<Value>,
    after: Option<Value>,
}

/// What a watcher was told.
#[derive(Clone, Debug)]
enum Told {
    Listed {
        revision: u64,
        objects: BTreeMap<(String, String), u64>,
    },
    Event {
        name: &'static str,
        revision: u64,
        place: (String, String),
    },
    Bookmark(u64),
    /// That it has to list again.
    Expired,
}

/// Which objects a watcher wants.
#[derive(Clone, Copy, Debug)]
enum Filter {
    All,
    Namespace,
    Label,
    Name,
}

impl Filter {
    fn matches(self, place: &(String, String), labels: &Value) -> bool {
        match self {
            Filter::All => true,
            Filter::Namespace => place.0 == "default",
            Filter::Label => labels["on"] == "yes",
            Filter::Name => place.0 == "default" && place.1 == "w0-0",
        }
    }

    /// What a change is to this watcher.
    fn event(self, change: &Change) -> Option<&'static str> {
        let selects = |labels: &Option<Value>| {
            labels.as_ref().is_some_and(|labels| self.matches(&change.place, labels))
        };
        match (selects(&change.before), selects(&change.after)) {
            (false, false) => None,
            (false, true) => Some("ADDED"),
            (true, true) => Some("MODIFIED"),
            (true, false) => Some("DELETED"),
        }
    }

    fn api(self, client: &kube::Client) -> Api<ConfigMap> {
        match self {
            Filter::Namespace | Filter::Name => Api::namespaced(client.clone(), "default"),
            _ => Api::all(client.clone()),
        }
    }

    fn selectors(self) -> (Option<String>, Option<String>) {
        match self {
            Filter::Label => (Some("on=yes".into()), None),
            Filter::Name => (None, Some("metadata.name=w0-0".into())),
            _ => (None, None),
        }
    }
}

/// Holds what a watcher was told against what happened.
fn check(truth: &[Change], told: &[Told], filter: Filter) -> Result<(), String> {
    let mut at = 0;
    for (index, one) in told.iter().enumerate() {
        let wrong = |why: String| Err(format!("{filter:?}, {index}: {one:?} after {at}: {why}"));
        let next = |from: u64| {
            let later = truth.iter().filter(move |change| change.revision > from);
            later.filter_map(|change| Some((filter.event(change)?, change))).next()
        };
        match one {
            Told::Expired => {}
            Told::Listed { revision, objects } => {
                let expect = state_at(truth, *revision, filter);
                if *revision < at || *objects != expect {
                    return wrong(format!("there was {expect:?}"));
                }
                at = *revision;
            }
            Told::Event { name, revision, place } => {
                match next(at) {
                    Some((event, change))
                        if (event, change.revision, &change.place) == (name, *revision, place) => {}
                    other => return wrong(format!("expected {other:?}")),
                }
                at = *revision;
            }
            Told::Bookmark(revision) => {
                if *revision < at {
                    return wrong("behind what was told".into());
                }
                if let Some((event, change)) = next(at).filter(|(_, c)| c.revision <= *revision) {
                    return wrong(format!("{event} {change:?} was not told"));
                }
                at = *revision;
            }
        }
    }
    Ok(())
}

fn state_at(truth: &[Change], revision: u64, filter: Filter) -> BTreeMap<(String, String), u64> {
    let mut state = BTreeMap::new();
    for change in truth.iter().filter(|change| change.revision <= revision) {
        match &change.after {
            Some(labels) if filter.matches(&change.place, labels) => {
                state.insert(change.place.clone(), change.revision);
            }
            _ => drop(state.remove(&change.place)),
        }
    }
    state
}

/// A server that can be stopped and started again on the same log.
struct Site {
    file: PathBuf,
    current: Mutex<Option<LocalService>>,
    store: Mutex<Weak<SqliteStore>>,
    /// Counts starts and ends.
    changes: watch::Sender<u64>,
    truth: Mutex<Vec<Change>>,
    /// Up to where the truth is known.
    known: AtomicU64,
    acknowledged: AtomicUsize,
    written: Mutex<BTreeSet<u64>>,
    /// The revision at which everyone may stop.
    last: watch::Sender<u64>,
}

impl Site {
    async fn start(self: &Arc<Site>) {
        let limits = HistoryLimits::default();
        let store = loop {
            match SqliteStore::open(&self.file, Durability::Process, limits) {
                Ok(store) => break Arc::new(store),
                // Background work of the server before is about to end.
                Err(kd_store::Error::InUse(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        *self.store.lock().unwrap() = Arc::downgrade(&store);
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let config = Config::new(key, String::new(), "10.96.0.0/16".parse().unwrap());
        let server = ApiServer::build(
            config,
            store as Arc<dyn Store>,
            Kinds::built_in(),
            Arc::new(jiff::Timestamp::now),
            Arc::new(rand::random::<u128>),
        );
        let user = UserInfo {
            username: "admin".into(),
            groups: vec!["system:masters".into()],
            ..UserInfo::default()
        };
        let service = server.await.unwrap().service(user);
        *self.current.lock().unwrap() = Some(service);
        self.changes.send_modify(|count| *count += 1);
    }

    /// As if the process had died: connections break, answers are lost.
    async fn stop(&self, loses_history: bool) {
        *self.current.lock().unwrap() = None;
        let store = self.store.lock().unwrap().upgrade().unwrap();
        self.changes.send_modify(|count| *count += 1);
        self.collect(&*store);
        if loses_history {
            // What is written still is part of the truth.
            let newest = store.revision();
            self.collect(&*store);
            store.compact(newest).await.unwrap();
        }
    }

    /// Takes down what happened since this was asked before.
    fn collect(&self, store: &dyn Store) {
        let mut truth = self.truth.lock().unwrap();
        let newest = store.revision();
        let mut changes = store.watch(PREFIX, self.known.load(Ordering::SeqCst)).unwrap();
        self.known.store(newest, Ordering::SeqCst);
        while let Some(event) = changes.try_next().unwrap() {
            let labels = |entry: &Option<kd_store::Entry>| {
                let object: Value = serde_json::from_slice(&entry.as_ref()?.value).unwrap();
                Some(object["metadata"]["labels"].clone())
            };
            let mut words = event.key.rsplit('/').map(str::to_owned);
            let (name, namespace) = (words.next().unwrap(), words.next().unwrap());
            self.known.fetch_max(event.revision, Ordering::SeqCst);
            truth.push(Change {
                revision: event.revision,
                place: (namespace, name),
                before: labels(&event.previous),
                after: labels(&event.current),
            });
        }
    }

    fn client(self: &Arc<Site>) -> kube::Client {
        let site = self.clone();
        let service = tower::service_fn(move |request| site.clone().answer(request));
        kube::Client::new(service, "default")
    }

    async fn answer(
        self: Arc<Site>,
        request: Request<Body>,
    ) -> Result<Response<impl http_body::Body<Data = Bytes, Error = BoxError> + Send>, BoxError>
    {
        let mut changes = self.changes.subscribe();
        let service = self.current.lock().unwrap().clone().ok_or("connection refused")?;
        let answer = tokio::select! {
            answer = service.oneshot(request) => answer?,
            _ = changes.changed() => return Err("connection reset".into()),
        };
        let (parts, body) = answer.into_parts();
        let frames = stream::unfold(Some((body, changes)), |state| async move {
            let (mut body, mut changes) = state?;
            tokio::select! {
                frame = body.frame() => Some((frame?.map_err(BoxError::from), Some((body, changes)))),
                _ = changes.changed() => Some((Err::<Frame<Bytes>, _>("reset".into()), None)),
            }
        });
        Ok(Response::from_parts(parts, StreamBody::new(frames)))
    }

    /// Until the server is up again, or down.
    async fn change(&self) {
        let mut changes = self.changes.subscribe();
        if self.current.lock().unwrap().is_none() {
            changes.changed().await.unwrap();
        }
    }

    fn acknowledge(&self, revision: &str) {
        self.written.lock().unwrap().insert(revision.parse().unwrap());
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
    }
}

fn map(namespace: &str, name: &str, value: u32, on: bool) -> ConfigMap {
    let on = if on { "yes" } else { "no" };
    serde_json::from_value(json!({"data": {"v": value.to_string()},
        "metadata": {"name": name, "namespace": namespace, "labels": {"on": on}}}))
    .unwrap()
}

/// Creates, replaces, patches and deletes its own objects, until everyone may stop.
async fn write(site: Arc<Site>, writer: usize, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed + writer as u64);
    let client = site.client();
    while *site.last.borrow() == 0 {
        site.change().await;
        let namespace = if random.random() { "default" } else { "kube-public" };
        let name = format!("w{writer}-{}", random.random_range(0..OBJECTS_EACH));
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let object = map(namespace, &name, random.random(), random.random());
        let outcome = match random.random_range(0..5) {
            0 => api.create(&PostParams::default(), &object).await,
            1 => api.replace(&name, &PostParams::default(), &object).await,
            2 => {
                let deleted = api.delete(&name, &DeleteParams::default()).await;
                deleted.map(|_| ConfigMap::default())
            }
            _ => api.patch(&name, &PatchParams::default(), &Patch::Merge(&object)).await,
        };
        if let Some(revision) = outcome.ok().and_then(|object| object.metadata.resource_version) {
            site.acknowledge(&revision);
        }
        tokio::task::yield_now().await;
    }
}

fn told(event: WatchEvent<ConfigMap>) -> Told {
    let of = |name: &'static str, object: ConfigMap| Told::Event {
        name,
        revision: object.metadata.resource_version.unwrap().parse().unwrap(),
        place: (object.metadata.namespace.unwrap(), object.metadata.name.unwrap()),
    };
    match event {
        WatchEvent::Added(object) => of("ADDED", object),
        WatchEvent::Modified(object) => of("MODIFIED", object),
        WatchEvent::Deleted(object) => of("DELETED", object),
        WatchEvent::Bookmark(bookmark) => {
            Told::Bookmark(bookmark.metadata.resource_version.parse().unwrap())
        }
        WatchEvent::Error(status) => {
            assert_eq!(status.code, 410, "{status:?}");
            Told::Expired
        }
    }
}

/// Lists and watches as client libraries do, until the last revision was told.
async fn follow(site: Arc<Site>, filter: Filter) -> Vec<Told> {
    let api = filter.api(&site.client());
    let (labels, fields) = filter.selectors();
    let mut all = Vec::new();
    let mut at: Option<u64> = None;
    while *site.last.borrow() == 0 || at.is_none_or(|at| at < *site.last.borrow()) {
        site.change().await;
        let Some(revision) = at else {
            let mut params = ListParams::default();
            (params.label_selector, params.field_selector) = (labels.clone(), fields.clone());
            let Ok(list) = api.list(&params).await else { continue };
            let revision = list.metadata.resource_version.unwrap().parse().unwrap();
            let object = |item: ConfigMap| {
                let metadata = item.metadata;
                let place = (metadata.namespace.unwrap(), metadata.name.unwrap());
                (place, metadata.resource_version.unwrap().parse().unwrap())
            };
            let objects = list.items.into_iter().map(object).collect();
            all.push(Told::Listed { revision, objects });
            at = Some(revision);
            continue;
        };
        let mut params = WatchParams::default().timeout(1);
        (params.label_selector, params.field_selector) = (labels.clone(), fields.clone());
        let Ok(events) = api.watch(&params, &revision.to_string()).await else { continue };
        let mut events = events.boxed();
        while let Ok(Some(event)) = events.try_next().await {
            let one = told(event);
            at = match &one {
                Told::Event { revision, .. } | Told::Bookmark(revision) => Some(*revision),
                _ => None,
            };
            all.push(one);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hold_under_writers_and_restarts() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let directory = tempfile::tempdir().unwrap();
    let site = Arc::new(Site {
        file: directory.path().join("store.db"),
        current: Mutex::default(),
        store: Mutex::default(),
        changes: watch::Sender::new(0),
        truth: Mutex::default(),
        known: AtomicU64::new(0),
        acknowledged: AtomicUsize::new(0),
        written: Mutex::default(),
        last: watch::Sender::new(0),
    });
    site.start().await;
    let filters = [Filter::All, Filter::All, Filter::Namespace, Filter::Label, Filter::Name];
    let followers: Vec<_> =
        filters.map(|filter| (filter, tokio::spawn(follow(site.clone(), filter)))).into();
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write(site.clone(), writer, seed))).collect();
    for round in 1..=ROUNDS {
        while site.acknowledged.load(Ordering::SeqCst) < round * WRITES_A_ROUND {
            tokio::task::yield_now().await;
        }
        site.stop(round == LOSSY_ROUND).await;
        site.start().await;
    }
    // The last write is one that all watchers are told of.
    let api: Api<ConfigMap> = Api::namespaced(site.client(), "default");
    let apply = PatchParams::apply("end").force();
    let end = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"end": "yes"},
        "metadata": {"name": "w0-0", "labels": {"on": "yes"}}});
    for writer in &writers {
        writer.abort();
    }
    for writer in writers {
        assert!(writer.await.is_err_and(|error| error.is_cancelled()));
    }
    let end = api.patch("w0-0", &apply, &Patch::Apply(&end)).await.unwrap();
    let last: u64 = end.metadata.resource_version.unwrap().parse().unwrap();
    site.last.send_replace(last);
    let mut told = Vec::new();
    for (filter, follower) in followers {
        told.push((filter, follower.await.unwrap()));
    }
    let store = site.store.lock().unwrap().upgrade().unwrap();
    site.collect(&*store);
    let truth = site.truth.lock().unwrap();
    let revisions: BTreeSet<u64> = truth.iter().map(|change| change.revision).collect();
    let written = site.written.lock().unwrap();
    assert!(written.is_subset(&revisions), "what was acknowledged is there");
    let mut expired = 0;
    for (filter, told) in &told {
        check(&truth, told, *filter).unwrap_or_else(|why| panic!("{why}"));
        expired += told.iter().filter(|one| matches!(one, Told::Expired)).count();
    }
    assert!(expired > 0, "nobody was told that history is gone");
}

#[test]
fn what_is_wrong_is_found() {
    let change = |revision, before: Option<&str>, after: Option<&str>| Change {
        revision,
        place: ("default".into(), "w0-0".into()),
        before: before.map(|on| json!({ "on": on })),
        after: after.map(|on| json!({ "on": on })),
    };
    let truth = [
        change(2, None, Some("no")),
        change(3, Some("no"), Some("yes")),
        change(5, Some("yes"), Some("no")),
        change(7, Some("no"), None),
    ];
    let event = |name, revision| {
        let place = ("default".to_owned(), "w0-0".to_owned());
        Told::Event { name, revision, place }
    };
    let holds = |filter, told: &[Told], expect: bool| {
        assert_eq!(check(&truth, told, filter).is_ok(), expect, "{told:?}");
    };
    let all = [event("ADDED", 2), event("MODIFIED", 3), event("MODIFIED", 5), event("DELETED", 7)];
    holds(Filter::All, &all, true);
    holds(Filter::All, &all[1..], false);
    holds(Filter::All, &[all[0].clone(), all[2].clone()], false);
    holds(Filter::All, &[all[0].clone(), all[0].clone()], false);
    holds(Filter::Label, &[event("ADDED", 3), event("DELETED", 5)], true);
    holds(Filter::Label, &all, false);
    holds(Filter::Label, &[event("ADDED", 3), Told::Bookmark(4)], true);
    holds(Filter::Label, &[event("ADDED", 3), Told::Bookmark(5)], false);
    holds(Filter::Label, &[event("ADDED", 3), Told::Bookmark(2)], false);
    let listed = |revision, objects: &[u64]| {
        let place = ("default".to_owned(), "w0-0".to_owned());
        let objects = objects.iter().map(|at| (place.clone(), *at)).collect();
        Told::Listed { revision, objects }
    };
    holds(Filter::All, &[listed(4, &[3]), event("MODIFIED", 5)], true);
    holds(Filter::All, &[listed(4, &[2])], false);
    holds(Filter::All, &[listed(6, &[5]), listed(4, &[3])], false);
    holds(Filter::Label, &[listed(6, &[])], true);
}

//! What every store promises, checked on each implementation.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kd_store::{
    Durability, Error, Event, Expect, HistoryLimits, MemoryStore, Seal, Snapshot, SqliteStore,
    Store, Transaction,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A store that closes and opens again, if it can.
trait Subject {
    type Store: Store;
    fn open(&self, limits: HistoryLimits) -> Self::Store;
    const KEEPS: bool;
    /// How its copies are sealed.
    fn seal() -> Option<Arc<dyn Seal>> {
        None
    }
}

struct Memory;
struct Sqlite(tempfile::TempDir, Durability);
struct Sealed(tempfile::TempDir);

/// Turns every bit over.
struct Inverted;

impl Seal for Inverted {
    fn seal(&self, _: &str, value: &Bytes) -> Result<Bytes, String> {
        Ok(value.iter().map(|byte| !byte).collect())
    }

    fn open(&self, key: &str, stored: Bytes) -> Result<(Bytes, bool), String> {
        Ok((self.seal(key, &stored)?, false))
    }
}

impl Subject for Sealed {
    type Store = SqliteStore;
    const KEEPS: bool = true;
    fn open(&self, limits: HistoryLimits) -> SqliteStore {
        let path = self.0.path().join("log.db");
        SqliteStore::open_sealed(&path, Durability::Process, limits, Sealed::seal()).unwrap()
    }
    fn seal() -> Option<Arc<dyn Seal>> {
        Some(Arc::new(Inverted))
    }
}

impl Subject for Memory {
    type Store = MemoryStore;
    const KEEPS: bool = false;
    fn open(&self, limits: HistoryLimits) -> MemoryStore {
        MemoryStore::new(limits)
    }
}

impl Subject for Sqlite {
    type Store = SqliteStore;
    const KEEPS: bool = true;
    fn open(&self, limits: HistoryLimits) -> SqliteStore {
        SqliteStore::open(&self.0.path().join("log.db"), self.1, limits).unwrap()
    }
}

async fn conformance<S: Subject>(subject: impl Fn() -> S) {
    basics(&subject().open(HistoryLimits::default())).await;
    transactions(&subject().open(HistoryLimits::default())).await;
    snapshots(&subject().open(HistoryLimits::default())).await;
    watches(&subject().open(HistoryLimits::default())).await;
    compaction(&subject().open(HistoryLimits::default())).await;
    limits(&subject().open(HistoryLimits { events_max: 10, bytes_max: 1 << 20 })).await;
    slow_watch(&subject().open(HistoryLimits::default())).await;
    backup(&subject().open(HistoryLimits::default()), S::seal()).await;
    if S::KEEPS {
        reopen(&subject()).await;
    }
    for seed in 0..4 {
        concurrent(Arc::new(subject().open(HistoryLimits::default())), seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sealed() {
    conformance(|| Sealed(tempfile::tempdir().unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory() {
    conformance(|| Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite() {
    conformance(|| Sqlite(tempfile::tempdir().unwrap(), Durability::Process)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_full() {
    conformance(|| Sqlite(tempfile::tempdir().unwrap(), Durability::Full)).await;
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn text(snapshot: &Snapshot, key: &str) -> Option<String> {
    snapshot.get(key).map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
}

/// `+key=value@revision`, `~key=...` for a change, `-key=old@revision` for a deletion.
fn show(event: &Event) -> String {
    let (sign, entry) = match (&event.previous, &event.current) {
        (None, Some(entry)) => ('+', entry),
        (Some(_), Some(entry)) => ('~', entry),
        (Some(entry), None) => ('-', entry),
        (None, None) => panic!("an event without entries"),
    };
    let value = String::from_utf8(entry.value.to_vec()).unwrap();
    format!("{sign}{}={value}@{}", event.key, event.revision)
}

async fn basics(store: &impl Store) {
    assert_eq!(store.revision(), 0);
    assert_eq!(store.create("/a/1".into(), bytes("x")).await.unwrap(), 1);
    assert_eq!(store.get("/a/1").unwrap().revision, 1);
    let again = store.create("/a/1".into(), bytes("y")).await.unwrap_err();
    assert!(matches!(again, Error::Conflict { found: Some(found), .. } if found.revision == 1));
    assert_eq!(store.revision(), 1, "a refused commit takes no revision");
    assert_eq!(store.update("/a/1".into(), bytes("y"), 1).await.unwrap(), 2);
    assert!(matches!(
        store.update("/a/1".into(), bytes("z"), 1).await,
        Err(Error::Conflict { .. })
    ));
    assert!(matches!(
        store.update("/a/2".into(), bytes("z"), 1).await,
        Err(Error::Conflict { found: None, .. })
    ));
    assert!(matches!(store.delete("/a/1".into(), 1).await, Err(Error::Conflict { .. })));
    assert_eq!(store.delete("/a/1".into(), 2).await.unwrap(), 3);
    assert!(store.get("/a/1").is_none());
    assert_eq!(store.create("/a/1".into(), bytes("")).await.unwrap(), 4);
    assert_eq!(store.get("/a/1").unwrap().value, "");
}

async fn transactions(store: &impl Store) {
    let both = Transaction::new().create("/a", bytes("1")).create("/b", bytes("1"));
    assert_eq!(store.commit(both.clone()).await.unwrap(), 1);
    assert!(store.commit(both).await.is_err());
    let mixed = Transaction::new()
        .check("/a", Expect::Revision(1))
        .put("/b", bytes("2"), Expect::Any)
        .delete("/c", Expect::Any);
    assert_eq!(store.commit(mixed).await.unwrap(), 2);
    assert_eq!(text(&store.snapshot(), "/b").as_deref(), Some("2"));
    let half =
        Transaction::new().put("/a", bytes("3"), Expect::Any).check("/b", Expect::Revision(1));
    assert!(matches!(store.commit(half).await, Err(Error::Conflict { key, .. }) if &*key == "/b"));
    assert_eq!(text(&store.snapshot(), "/a").as_deref(), Some("1"));
    let twice = Transaction::new().create("/x", bytes("")).create("/x", bytes(""));
    assert!(matches!(store.commit(twice).await, Err(Error::Transaction(_))));
    assert_eq!(store.commit(Transaction::new()).await.unwrap(), 2);
}

async fn snapshots(store: &impl Store) {
    for key in ["/a/3", "/a/1", "/b/1", "/a/2", "/ab"] {
        store.create(key.into(), bytes(key)).await.unwrap();
    }
    let then = store.snapshot();
    let change = Transaction::new().delete("/a/2", Expect::Any).create("/a/4", bytes(""));
    store.commit(change).await.unwrap();
    let keys = |snapshot: &Snapshot, after: &str| -> Vec<String> {
        snapshot.list_after("/a/", after).map(|entry| entry.key.to_string()).collect()
    };
    let now = store.snapshot();
    assert_eq!(now.list("/a/").count(), 3);
    assert_eq!(keys(&now, ""), ["/a/1", "/a/3", "/a/4"]);
    assert_eq!(keys(&now, "/a/1"), ["/a/3", "/a/4"]);
    assert_eq!(keys(&then, "/a/1"), ["/a/2", "/a/3"]);
    let read_again = store.snapshot_at(then.revision()).unwrap();
    assert_eq!(read_again.revision(), 5);
    assert!(read_again.list("").eq(then.list("")));
    assert_eq!(store.snapshot_at(0).unwrap().len(), 0);
    assert!(matches!(store.snapshot_at(7), Err(Error::Future { requested: 7, newest: 6 })));
}

async fn watches(store: &impl Store) {
    store.create("/a/1".into(), bytes("x")).await.unwrap();
    store.create("/b/1".into(), bytes("x")).await.unwrap();
    let mut all = store.watch("/a/", 0).unwrap();
    let mut late = store.watch("/a/", 2).unwrap();
    assert!(matches!(store.watch("/a/", 3), Err(Error::Future { .. })));
    assert_eq!(all.progress(), None);
    assert_eq!(late.progress(), Some(2));
    let before = store.last_change("/a/");
    store.update("/a/1".into(), bytes("y"), 1).await.unwrap();
    assert_eq!(store.last_change("/a/"), 3);
    assert!(before < 3);
    store.delete("/a/1".into(), 3).await.unwrap();
    store.create("/b/2".into(), bytes("x")).await.unwrap();
    assert_eq!(store.last_change("/a/"), 4);
    for expect in ["+/a/1=x@1", "~/a/1=y@3", "-/a/1=y@4"] {
        assert_eq!(show(&all.next().await.unwrap()), expect);
    }
    assert_eq!(all.try_next().unwrap(), None);
    assert_eq!(all.progress(), Some(5));
    assert_eq!(show(&late.next().await.unwrap()), "~/a/1=y@3");
    assert_eq!(late.progress(), None);
}

async fn compaction(store: &impl Store) {
    for revision in 0..5 {
        let write = Transaction::new().put("/a", bytes(&revision.to_string()), Expect::Any);
        store.commit(write).await.unwrap();
    }
    let mut old = store.watch("/a", 1).unwrap();
    store.compact(3).await.unwrap();
    assert!(matches!(store.snapshot_at(2), Err(Error::Compacted { requested: 2, oldest: 3 })));
    assert!(matches!(store.watch("/a", 2), Err(Error::Compacted { .. })));
    assert_eq!(text(&store.snapshot_at(3).unwrap(), "/a").as_deref(), Some("2"));
    assert_eq!(show(&store.watch("/a", 3).unwrap().next().await.unwrap()), "~/a=3@4");
    assert_eq!(show(&old.next().await.unwrap()), "~/a=1@2", "what a watch has, it keeps");
    assert!(matches!(store.compact(6).await, Err(Error::Future { .. })));
    store.compact(2).await.unwrap();
    assert!(store.snapshot_at(3).is_ok());
}

async fn limits(store: &impl Store) {
    for index in 0..30 {
        store.create(format!("/{index}").into(), bytes("x")).await.unwrap();
    }
    assert!(matches!(store.watch("/", 19), Err(Error::Compacted { oldest: 20, .. })));
    assert!(store.watch("/", 20).is_ok());
    assert_eq!(store.snapshot().len(), 30);
}

async fn slow_watch(store: &impl Store) {
    let mut watch = store.watch("/", 0).unwrap();
    for index in 0..1500 {
        let pair = Transaction::new().put("/a", bytes(&index.to_string()), Expect::Any).put(
            "/b",
            bytes(&index.to_string()),
            Expect::Any,
        );
        store.commit(pair).await.unwrap();
    }
    for index in 0..3000u64 {
        let event = watch.next().await.unwrap();
        assert_eq!(
            (event.revision, &*event.key),
            (index / 2 + 1, ["/a", "/b"][index as usize % 2])
        );
    }
    assert_eq!(watch.try_next().unwrap(), None);
    let mut lost = store.watch("/", 1500).unwrap();
    for index in 0..1000 {
        let write = Transaction::new().put("/a", bytes(&index.to_string()), Expect::Any);
        store.commit(write).await.unwrap();
    }
    store.compact(2400).await.unwrap();
    let mut seen = 0;
    let error = loop {
        match lost.next().await {
            Ok(_) => seen += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Compacted { .. }), "{error} after {seen}");
}

async fn backup(store: &impl Store, seal: Option<Arc<dyn Seal>>) {
    store.create("/a".into(), bytes("x")).await.unwrap();
    store.update("/a".into(), bytes("y"), 1).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.db");
    store.backup(&path).await.unwrap();
    assert!(store.backup(&path).await.is_err(), "never over another file");
    store.create("/later".into(), bytes("")).await.unwrap();
    let limits = HistoryLimits::default();
    let copy = SqliteStore::open_sealed(&path, Durability::Process, limits, seal).unwrap();
    assert_eq!(copy.revision(), 2);
    assert_eq!(copy.get("/a").unwrap().value, "y");
    assert!(copy.get("/later").is_none());
}

async fn reopen<S: Subject>(subject: &S) {
    let limits = HistoryLimits { events_max: 4, bytes_max: 1 << 20 };
    let store = subject.open(limits);
    for index in 0..6 {
        store.create(format!("/{index}").into(), bytes("x")).await.unwrap();
    }
    for index in 0..6u64 {
        store.delete(format!("/{index}").into(), index + 1).await.unwrap();
    }
    let oldest = store.revision() - 4;
    drop(store);
    let store = subject.open(limits);
    assert_eq!(store.revision(), 12);
    assert!(store.snapshot().is_empty());
    let mut watch = store.watch("/", oldest).unwrap();
    assert_eq!(show(&watch.next().await.unwrap()), "-/2=x@9");
    store.compact(12).await.unwrap();
    drop(store);
    let store = subject.open(limits);
    assert_eq!(store.revision(), 12, "a revision is never used again");
    assert!(matches!(store.watch("/", 11), Err(Error::Compacted { .. })));
    assert_eq!(store.create("/new".into(), bytes("")).await.unwrap(), 13);
}

const WRITERS: u64 = 4;
const WRITES: usize = 150;

/// Writers at random, watchers that begin and resume at random: each sees every change of its
/// prefix once, in order, whole commits, and ends with what is stored.
async fn concurrent(store: Arc<impl Store>, seed: u64) {
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        tasks.push(tokio::spawn(write_at_random(store, seed * 100 + writer)));
    }
    let mut watchers = Vec::new();
    for watcher in 0..6u64 {
        let store = store.clone();
        let prefix = if watcher % 2 == 0 { "/" } else { "/a/" };
        watchers.push(tokio::spawn(follow(store, prefix, seed * 100 + 50 + watcher)));
    }
    for task in tasks {
        task.await.unwrap();
    }
    store.create("/a/end".into(), bytes("end")).await.unwrap();
    for watcher in watchers {
        watcher.await.unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
}

async fn write_at_random(store: Arc<impl Store>, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    for count in 0..WRITES {
        let key = |random: &mut StdRng| {
            format!("/{}/{}", ["a", "b"][random.random_range(0..2)], random.random_range(0..8))
        };
        let (first, second) = (key(&mut random), key(&mut random));
        let value = bytes(&format!("{seed}-{count}"));
        let mut transaction = Transaction::new().put(&*first, value.clone(), Expect::Any);
        if second != first {
            transaction = match random.random_bool(0.5) {
                true => transaction.delete(&*second, Expect::Any),
                false => transaction.put(&*second, value, Expect::Any),
            };
        }
        store.commit(transaction).await.unwrap();
        if random.random_bool(0.1) {
            tokio::task::yield_now().await;
        }
    }
}

async fn follow(store: Arc<impl Store>, prefix: &str, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let start = store.snapshot();
    let mut model: BTreeMap<String, (u64, Bytes)> =
        start.list(prefix).map(|e| (e.key.to_string(), (e.revision, e.value.clone()))).collect();
    let mut whole = start.revision();
    let mut watch = store.watch(prefix, whole).unwrap();
    let mut last = (whole, String::new());
    while !model.contains_key("/a/end") {
        if random.random_bool(0.05)
            && let Some(revision) = watch.progress()
        {
            // Resume where the bookmark says.
            whole = whole.max(revision);
            check(&store, prefix, whole, &model);
            watch = store.watch(prefix, whole).unwrap();
        }
        let event = watch.next().await.unwrap();
        assert!(event.key.starts_with(prefix));
        assert!(event.revision >= last.0, "seed {seed}: ordered");
        assert!(
            (event.revision, event.key.to_string()) != last && event.revision > whole,
            "seed {seed}: unique"
        );
        let known = model.get(&*event.key).map(|(revision, _)| *revision);
        assert_eq!(known, event.previous.as_ref().map(|e| e.revision), "seed {seed}: reliable");
        match &event.current {
            Some(entry) => {
                model.insert(event.key.to_string(), (entry.revision, entry.value.clone()));
            }
            None => drop(model.remove(&*event.key)),
        }
        last = (event.revision, event.key.to_string());
    }
    check(&store, prefix, last.0, &model);
}

/// The model is what the store held at the revision.
fn check(
    store: &Arc<impl Store>,
    prefix: &str,
    revision: u64,
    model: &BTreeMap<String, (u64, Bytes)>,
) {
    let snapshot = store.snapshot_at(revision).unwrap();
    let stored: BTreeMap<String, (u64, Bytes)> =
        snapshot.list(prefix).map(|e| (e.key.to_string(), (e.revision, e.value.clone()))).collect();
    assert_eq!(&stored, model, "atomic at {revision}");
}

//! ConfigMaps and Secrets that pods of this node use, each watched by name while it is used.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use k8s_openapi::NamespaceResourceScope;
use kube::api::Api;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::reflector::{Update, reflect};

/// What is known of an object.
#[derive(Clone, Debug)]
enum Seen<K> {
    Unknown,
    Failed(String),
    Absent,
    Present(Arc<K>),
}

type Key = (String, String);

/// Told whenever an object of a namespace that is held changes.
pub type Changes = mpsc::UnboundedSender<Key>;

/// Objects of one kind by namespace and name, watched while held.
pub struct ObjectCache<K> {
    client: kube::Client,
    changes: Changes,
    entries: Mutex<HashMap<Key, Entry<K>>>,
}

struct Entry<K> {
    holders: Weak<Watched>,
    seen: watch::Receiver<Seen<K>>,
}

/// Ends the watch when the last holder is gone.
struct Watched {
    task: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps an object watched.
pub struct Held<K> {
    _watched: Arc<Watched>,
    seen: watch::Receiver<Seen<K>>,
}

impl<K> ObjectCache<K>
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static,
{
    /// An empty cache; `changes` is told of every change after the first reading.
    pub fn new(client: kube::Client, changes: Changes) -> ObjectCache<K> {
        ObjectCache { client, changes, entries: Mutex::default() }
    }

    /// Watches an object until the result and its clones are dropped.
    pub fn hold(&self, namespace: &str, name: &str) -> Held<K> {
        let key = (namespace.to_owned(), name.to_owned());
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| entry.holders.strong_count() > 0);
        if let Some(entry) = entries.get(&key)
            && let Some(watched) = entry.holders.upgrade()
        {
            return Held { _watched: watched, seen: entry.seen.clone() };
        }
        let (sender, seen) = watch::channel(Seen::Unknown);
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let changes = self.changes.clone();
        let told = key.clone();
        let fields = Some(format!("metadata.name={name}"));
        let task = tokio::spawn(reflect(api, fields, move |update| {
            let first = matches!(*sender.borrow(), Seen::Unknown);
            sender.send_replace(applied(update));
            if !first {
                // The receiver lives as long as the kubelet.
                let _ = changes.send(told.clone());
            }
        }));
        let watched = Arc::new(Watched { task: task.abort_handle() });
        let entry = Entry { holders: Arc::downgrade(&watched), seen: seen.clone() };
        entries.insert(key, entry);
        Held { _watched: watched, seen }
    }
}

fn applied<K>(update: Update<K>) -> Seen<K> {
    match update {
        Update::Replaced(mut objects) => match objects.pop() {
            Some(object) => Seen::Present(Arc::new(object)),
            None => Seen::Absent,
        },
        Update::Applied(object) => Seen::Present(Arc::new(object)),
        Update::Deleted(_) => Seen::Absent,
        Update::Failed(error) => Seen::Failed(error),
    }
}

impl<K> Held<K> {
    /// The object once it was looked for; `None` when there is none.
    pub async fn value(&self) -> Result<Option<Arc<K>>, String> {
        let mut seen = self.seen.clone();
        let known = seen.wait_for(|seen| !matches!(seen, Seen::Unknown)).await;
        match known.as_deref() {
            Ok(Seen::Present(object)) => Ok(Some(object.clone())),
            Ok(Seen::Absent) => Ok(None),
            Ok(Seen::Failed(error)) => Err(error.clone()),
            Ok(Seen::Unknown) | Err(_) => Err("the kubelet is shutting down".into()),
        }
    }
}

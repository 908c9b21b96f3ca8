//! What stages inside the server read: always the newest state, decoded when asked.

use std::sync::Arc;

use kd_api::Object;
use kd_store::Entry;
use serde_json::Value;
use tokio::sync::watch;

use super::{Objects, resource_prefix};
use crate::request::Reader;

/// Reads from the store.
#[derive(Clone)]
pub struct StoreReader {
    objects: Objects,
}

impl StoreReader {
    pub(crate) fn new(objects: Objects) -> StoreReader {
        StoreReader { objects }
    }
}

impl Reader for StoreReader {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let mut key = resource_prefix(group, resource);
        if !namespace.is_empty() {
            key.push_str(namespace);
            key.push('/');
        }
        key.push_str(name);
        self.objects.store.get(&key).and_then(|entry| decoded(&entry))
    }

    fn list(&self, group: &str, resource: &str, namespace: Option<&str>) -> Vec<Arc<Value>> {
        let mut prefix = resource_prefix(group, resource);
        if let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) {
            prefix.push_str(namespace);
            prefix.push('/');
        }
        self.objects.snapshot().list(&prefix).filter_map(decoded).collect()
    }

    fn generation(&self, group: &str, resource: &str) -> u64 {
        self.objects.store.last_change(&resource_prefix(group, resource))
    }

    fn versions(&self, group: &str, resource: &str, namespace: &str) -> Vec<(String, u64)> {
        let prefix = format!("{}{namespace}/", resource_prefix(group, resource));
        let snapshot = self.objects.snapshot();
        let named = |entry: &Entry| (entry.key[prefix.len()..].to_owned(), entry.revision);
        snapshot.list(&prefix).map(named).collect()
    }

    fn revisions(&self) -> watch::Receiver<u64> {
        self.objects.store.revisions()
    }
}

fn decoded(entry: &Entry) -> Option<Arc<Value>> {
    let mut value: Value = serde_json::from_slice(&entry.value).ok()?;
    value.set_resource_version(&entry.revision.to_string());
    Some(Arc::new(value))
}

//! Aggregation: APIServices say which server answers for a group and version. Local ones are
//! registered for every kind that is served here; requests for the others go on to their Service.

mod availability;
mod client;
mod controller;
mod discovery;
mod forward;
mod local;
mod openapi;
mod priority;
mod remote;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use kd_api::Object;
use serde_json::Value;

pub(crate) use controller::Controller;
pub(crate) use discovery::{aggregated, group, group_list};
pub(crate) use forward::{forward, forward_document};
pub(crate) use local::registrations;
pub(crate) use openapi::{foreign_openapi, openapi_index};
pub(crate) use remote::Remote;

use crate::request::Reader;
use crate::webhook::Identity;

const GROUP: &str = "apiregistration.k8s.io";
const RESOURCE: &str = "apiservices";

/// By group and version.
type Remotes = BTreeMap<(String, String), Arc<Remote>>;

/// The APIServices that lead elsewhere.
pub(crate) struct Aggregator {
    reader: Arc<dyn Reader>,
    /// How this server shows itself to them.
    identity: Option<Identity>,
    remotes: RwLock<Arc<Remotes>>,
}

impl Aggregator {
    pub(crate) fn new(reader: Arc<dyn Reader>, identity: Option<Identity>) -> Aggregator {
        Aggregator { reader, identity, remotes: RwLock::default() }
    }

    /// All that there are.
    pub(crate) fn remotes(&self) -> Arc<Remotes> {
        self.remotes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who answers for a path instead of this server.
    pub(crate) fn remote_of(&self, path: &str) -> Option<Arc<Remote>> {
        let remotes = self.remotes();
        if remotes.is_empty() {
            return None;
        }
        let mut segments = path.trim_start_matches('/').split('/');
        let (group, version) = match segments.next()? {
            "api" => ("", segments.next()?),
            "apis" => (segments.next()?, segments.next()?),
            _ => return None,
        };
        remotes.get(&(group.to_owned(), version.to_owned())).cloned()
    }

    /// Takes up what is stored. What has not changed keeps its connections.
    fn load(&self) {
        let before = self.remotes();
        let services = self.reader.list(GROUP, RESOURCE, None);
        let remote = |service: &Arc<Value>| {
            let key = Remote::key_of(service);
            let kept = before.get(&key).filter(|known| known.is_of(service)).cloned();
            let remote = kept.unwrap_or_else(|| {
                Arc::new(Remote::new(service, self.identity.clone(), &self.reader))
            });
            (key, remote)
        };
        let remotes = services.iter().filter(|service| service["spec"]["service"].is_object());
        let remotes: Remotes = remotes.map(remote).collect();
        *self.remotes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(remotes);
    }
}

/// Whether an APIService's group and version are answered by this server.
fn is_local(service: &Value) -> bool {
    service.at(&["spec", "service"]).is_none_or(Value::is_null)
}

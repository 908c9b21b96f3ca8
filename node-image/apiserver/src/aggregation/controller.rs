//! What keeps APIServices: registers local ones, asks after the others when something about them
//! changes and every half minute, and writes what it found.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kd_api::object::format_time;
use kd_api::{Kind, Object, Status};
use kd_store::{Error, Event, Expect, Transaction, Watch};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::availability::{Condition, check, with_condition};
use super::local::{Change, changes};
use super::remote::{Documents, Remote};
use super::{Aggregator, GROUP, RESOURCE};
use crate::config::{Clock, Random};
use crate::pipeline::uuid;
use crate::request::Reader;
use crate::storage::{Objects, StoreReader, key_of, resource_prefix};

/// A server that is there is asked again after this long.
const RECHECK: Duration = Duration::from_secs(30);
/// One that does not answer is asked again after this long, then after twice as long, and so on.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Times that a write is tried on a newer object.
const ATTEMPTS_MAX: usize = 8;

/// Keeps APIServices.
pub(crate) struct Controller {
    pub(crate) objects: Objects,
    pub(crate) aggregator: Arc<Aggregator>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
}

/// When a remote server is asked next.
struct Due {
    at: Instant,
    retry: Duration,
    /// Who it was: another spec is asked at once.
    remote: Arc<Remote>,
    running: bool,
    /// Whether something changed while it was asked.
    again: bool,
}

type Checked = (Arc<Remote>, Condition, Option<Documents>);

/// The changes that matter.
struct Changes {
    services: Watch,
    endpoints: Watch,
    registrations: Watch,
}

impl Changes {
    fn after(objects: &Objects, revision: u64) -> Result<Changes, Error> {
        let watch = |group: &str, resource: &str| {
            objects.store.watch(&resource_prefix(group, resource), revision)
        };
        Ok(Changes {
            services: watch("", "services")?,
            endpoints: watch("discovery.k8s.io", "endpointslices")?,
            registrations: watch(GROUP, RESOURCE)?,
        })
    }

    async fn next(&mut self) -> Result<Arc<Event>, Error> {
        tokio::select! {
            event = self.registrations.next() => event,
            event = self.services.next() => event,
            event = self.endpoints.next() => event,
        }
    }
}

impl Controller {
    /// Runs until the store is closed.
    pub(crate) async fn run(self) {
        let mut at_start = true;
        loop {
            match self.follow(at_start).await {
                // Too far behind: everything is looked at again.
                Err(Error::Compacted { .. }) => at_start = false,
                _ => return,
            }
        }
    }

    async fn follow(&self, at_start: bool) -> Result<(), Error> {
        let mut kinds = self.objects.subscribe();
        let mut changes = Changes::after(&self.objects, self.objects.store.revision())?;
        let mut due: HashMap<String, Due> = HashMap::new();
        let mut checks: JoinSet<Checked> = JoinSet::new();
        self.register(at_start).await;
        self.aggregator.load();
        self.schedule(&mut due);
        loop {
            self.start(&mut due, &mut checks);
            let next = due.values().filter(|due| !due.running).map(|due| due.at).min();
            let timer = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = changes.next() => self.changed(&*event?, &mut due).await,
                changed = kinds.changed() => match changed {
                    Ok(()) => self.register(false).await,
                    Err(_) => return Ok(()),
                },
                Some(Ok(checked)) = checks.join_next() => self.checked(checked, &mut due).await,
                () = timer => {}
            }
        }
    }

    /// Registers what this server answers itself.
    async fn register(&self, at_start: bool) {
        let reader = StoreReader::new(self.objects.clone());
        let kinds = self.objects.kinds();
        let Some(kind) = kinds.preferred(GROUP, RESOURCE).cloned() else { return };
        let stored = reader.list(GROUP, RESOURCE, None);
        for change in changes(&kinds, &stored, at_start, (self.clock)()) {
            // A conflict is a change, of which this controller hears.
            if let Err(error) = self.write(&kind, change).await {
                tracing::debug!(%error, "an APIService was not written");
            }
        }
    }

    async fn write(&self, kind: &Arc<Kind>, change: Change) -> Result<(), Error> {
        let key = |object: &Value| key_of(kind, "", object.name());
        let revision = |object: &Value| {
            Expect::Revision(object.resource_version().parse().unwrap_or_default())
        };
        let transaction = match change {
            Change::Create(mut new) => {
                new.set_uid(&uuid((self.random)()));
                new.set_creation_timestamp((self.clock)());
                Transaction::new().create(key(&new), self.objects.encode(kind, &new))
            }
            Change::Replace(new) => {
                let bytes = self.objects.encode(kind, &new);
                Transaction::new().put(key(&new), bytes, revision(&new))
            }
            Change::Delete(old) => Transaction::new().delete(key(&old), revision(&old)),
        };
        self.objects.store.commit(transaction).await.map(drop)
    }

    /// Takes up the remotes that there are now.
    fn schedule(&self, due: &mut HashMap<String, Due>) {
        let remotes = self.aggregator.remotes();
        due.retain(|name, _| remotes.values().any(|remote| remote.name == *name));
        for remote in remotes.values() {
            let known = due.get(&remote.name).is_some_and(|due| Arc::ptr_eq(&due.remote, remote));
            if !known {
                let running = due.get(&remote.name).is_some_and(|due| due.running);
                due.insert(
                    remote.name.clone(),
                    Due {
                        at: Instant::now(),
                        retry: RETRY_MIN,
                        remote: remote.clone(),
                        running,
                        again: running,
                    },
                );
            }
        }
    }

    /// Asks those whose time has come.
    fn start(&self, due: &mut HashMap<String, Due>, checks: &mut JoinSet<Checked>) {
        let now = Instant::now();
        for due in due.values_mut().filter(|due| !due.running && due.at <= now) {
            due.running = true;
            let remote = due.remote.clone();
            let reader = StoreReader::new(self.objects.clone());
            checks.spawn(async move {
                let (condition, documents) = check(&reader, &remote).await;
                (remote, condition, documents)
            });
        }
    }

    async fn changed(&self, event: &Event, due: &mut HashMap<String, Due>) {
        if event.key.starts_with(&resource_prefix(GROUP, RESOURCE)) {
            self.aggregator.load();
            self.schedule(due);
            // One that others made, or took from us, may be local.
            return self.register(false).await;
        }
        let slices = resource_prefix("discovery.k8s.io", "endpointslices");
        for due in due.values_mut() {
            let Remote { namespace, service, .. } = &*due.remote;
            let concerned = *event.key == *format!("/services/{namespace}/{service}")
                || event.key.starts_with(&format!("{slices}{namespace}/"));
            if concerned {
                due.at = Instant::now();
                due.again = due.running;
            }
        }
    }

    async fn checked(&self, checked: Checked, due: &mut HashMap<String, Due>) {
        let (remote, condition, documents) = checked;
        if let Some(documents) = documents {
            remote.set_documents(documents);
        }
        remote.set_available(condition.available);
        if let Some(due) = due.get_mut(&remote.name) {
            let wait = match condition.reason {
                _ if due.again => Duration::ZERO,
                "FailedDiscoveryCheck" => {
                    due.retry = (due.retry * 2).min(RETRY_MAX);
                    due.retry
                }
                _ => RECHECK,
            };
            if condition.available {
                due.retry = RETRY_MIN;
            }
            due.at = Instant::now() + wait;
            (due.running, due.again) = (false, false);
        }
        if let Err(status) = self.write_condition(&remote, &condition).await {
            tracing::warn!(remote = remote.name, %status, "its condition was not written");
        }
    }

    async fn write_condition(&self, remote: &Remote, condition: &Condition) -> Result<(), Status> {
        let kinds = self.objects.kinds();
        let kind = kinds.preferred(GROUP, RESOURCE).cloned().ok_or_else(Status::no_such_path)?;
        let key: Arc<str> = key_of(&kind, "", &remote.name).into();
        for _ in 0..ATTEMPTS_MAX {
            let Some(entry) = self.objects.store.get(&key) else { return Ok(()) };
            let mut object = self.objects.decode(&kind, &entry)?;
            if !remote.is_of(&object) {
                // The next check is about what it is now.
                return Ok(());
            }
            let now = format_time((self.clock)());
            let old = object.list_at(&["status", "conditions"]).to_vec();
            let new = with_condition(&old, condition, &now);
            if new == old {
                return Ok(());
            }
            object.set_at(&["status", "conditions"], json!(new));
            let bytes = self.objects.encode(&kind, &object);
            match self.objects.store.update(key.clone(), bytes, entry.revision).await {
                Err(Error::Conflict { .. }) => {}
                Err(other) => return Err(crate::storage::store_failed(other)),
                Ok(_) => return Ok(()),
            }
        }
        Err(Status::internal("it changed again and again"))
    }
}

//! CustomResourceDefinitions at work: each change of one settles its status and the kinds that are
//! served; one that is deleted goes when its objects are gone.

mod cleanup;
mod conversion;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use kd_api::custom::{CLEANUP_FINALIZER, kinds_of, status_of};
use kd_api::{FieldError, Kind, Kinds, Object, Status};
use kd_store::{Entry, Error, Expect, Transaction, Watch};
use serde_json::{Value, json};

use crate::config::Clock;
use crate::server::ApiServer;
use crate::storage::{Objects, key_of, prefix_of, store_failed};

pub(crate) use conversion::{in_version, is_converted, present, present_all, stored};

/// What the rules of a custom kind, or of a definition, add to what is wrong with an object.
pub(crate) fn check_rules(
    kind: &Kind,
    new: &Value,
    old: Option<&Value>,
    errors: Vec<FieldError>,
) -> Vec<FieldError> {
    match is_definition(kind) {
        true if errors.is_empty() => rules::definition_errors(new, old),
        true => errors,
        false => rules::check(kind, new, old, errors),
    }
}

const GROUP: &str = "apiextensions.k8s.io";
const PLURAL: &str = "customresourcedefinitions";
/// Times that a definition is settled anew because it changed meanwhile.
const ATTEMPTS_MAX: usize = 16;

/// Serves the kinds of the definitions that are there, and follows their changes in the background.
pub(crate) async fn start(server: &Arc<ApiServer>) -> Result<(), Status> {
    let base = server.objects.kinds();
    let Some(kind) = base.preferred(GROUP, PLURAL).cloned() else { return Ok(()) };
    let mut definitions = Definitions {
        server: Arc::downgrade(server),
        objects: server.objects.clone(),
        clock: server.clock.clone(),
        kind,
        base,
        known: BTreeMap::new(),
        leaving: Arc::default(),
    };
    let watch = definitions.load().await.map_err(store_failed)?;
    server.spawn(definitions.run(watch));
    Ok(())
}

/// Whether a kind is that of the definitions.
pub(crate) fn is_definition(kind: &Kind) -> bool {
    kind.group == GROUP && kind.plural == PLURAL
}

/// A definition that was settled.
struct Known {
    revision: u64,
    group: String,
    /// Its `status.acceptedNames`, as an object that has nothing else.
    names: Value,
    /// Whether it has all the names that it wants.
    satisfied: bool,
    kinds: Vec<Kind>,
}

struct Definitions {
    server: Weak<ApiServer>,
    objects: Objects,
    clock: Clock,
    kind: Arc<Kind>,
    /// The kinds that need no definition.
    base: Kinds,
    known: BTreeMap<String, Known>,
    /// The uids of the definitions whose objects are being deleted.
    leaving: Arc<Mutex<BTreeSet<String>>>,
}

impl Definitions {
    /// Settles all definitions; the watch tells what changes behind that.
    async fn load(&mut self) -> Result<Watch, Error> {
        let prefix = prefix_of(&self.kind, "");
        loop {
            let snapshot = self.objects.snapshot();
            let entries: Vec<Entry> = snapshot.list(&prefix).cloned().collect();
            let there: BTreeSet<&str> = entries.iter().map(name_of).collect();
            self.known.retain(|name, _| there.contains(name.as_str()));
            // Names that were accepted come first: nobody else may take them.
            for entry in &entries {
                let definition = self.decode(entry);
                self.remember(&definition, entry.revision);
            }
            self.publish();
            for entry in entries {
                self.settle(entry).await?;
            }
            match self.objects.store.watch(&prefix, snapshot.revision()) {
                Err(Error::Compacted { .. }) => {}
                other => return other,
            }
        }
    }

    /// For ever.
    async fn run(mut self, mut watch: Watch) {
        loop {
            let outcome = match watch.next().await {
                Ok(event) => match &event.current {
                    Some(entry) => self.changed(entry.clone()).await,
                    None => self.removed(event.key.rsplit('/').next().unwrap_or("")).await,
                },
                Err(error) => Err(error),
            };
            match outcome {
                Ok(()) => {}
                Err(Error::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, "definitions of custom resources are read anew");
                    match self.load().await {
                        Ok(anew) => watch = anew,
                        Err(_) => return,
                    }
                }
            }
        }
    }

    async fn changed(&mut self, entry: Entry) -> Result<(), Error> {
        // What was written here is known.
        let known = self.known.get(name_of(&entry));
        match known.is_some_and(|known| known.revision >= entry.revision) {
            true => Ok(()),
            false => self.settle(entry).await,
        }
    }

    async fn removed(&mut self, name: &str) -> Result<(), Error> {
        let Some(known) = self.known.remove(name) else { return Ok(()) };
        self.publish();
        self.settle_waiting(&known.group).await
    }

    /// Gives a definition the status that it should have. Its kinds are served before it says so.
    async fn settle(&mut self, entry: Entry) -> Result<(), Error> {
        let mut entry = Some(entry);
        for _ in 0..ATTEMPTS_MAX {
            let Some(current) = entry.take() else { return Ok(()) };
            let definition = self.decode(&current);
            let (name, group) = (definition.name().to_owned(), group_of(&definition));
            let others = self.known.iter().filter(|(other, k)| **other != name && k.group == group);
            let others: Vec<&Value> = others.map(|(_, known)| &known.names).collect();
            let mut new = definition.clone();
            new["status"] = status_of(&definition, &others, (self.clock)());
            let names_changed = self.remember(&new, current.revision);
            self.publish();
            if new == definition {
                self.clean_up(&new);
                return self.settle_others(names_changed, &group).await;
            }
            let bytes = self.objects.encode(&self.kind, &new);
            let expect = Expect::Revision(current.revision);
            let write = Transaction::new().put(current.key.clone(), bytes, expect);
            match self.objects.store.commit(write).await {
                Ok(revision) => {
                    if let Some(known) = self.known.get_mut(&name) {
                        known.revision = revision;
                    }
                    self.clean_up(&new);
                    return self.settle_others(names_changed, &group).await;
                }
                Err(Error::Conflict { .. }) => entry = self.objects.store.get(&current.key),
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    async fn settle_others(&mut self, names_changed: bool, group: &str) -> Result<(), Error> {
        match names_changed {
            true => self.settle_waiting(group).await,
            false => Ok(()),
        }
    }

    /// Names may have become free.
    async fn settle_waiting(&mut self, group: &str) -> Result<(), Error> {
        let waiting = self.known.iter().filter(|(_, k)| k.group == group && !k.satisfied);
        let waiting: Vec<String> = waiting.map(|(name, _)| name.clone()).collect();
        for name in waiting {
            if let Some(entry) = self.objects.store.get(&key_of(&self.kind, "", &name)) {
                Box::pin(self.settle(entry)).await?;
            }
        }
        Ok(())
    }

    fn decode(&self, entry: &Entry) -> Value {
        // The server's own bytes; an object that is none has no kinds.
        self.objects.decode(&self.kind, entry).unwrap_or_default()
    }

    /// Takes a definition down; whether the names that it has are others than before.
    fn remember(&mut self, definition: &Value, revision: u64) -> bool {
        let names = json!({"status": {"acceptedNames": definition["status"]["acceptedNames"]}});
        let mut kinds = kinds_of(definition, revision);
        let before = self.known.remove(definition.name());
        let names_changed = before.as_ref().is_none_or(|before| before.names != names);
        if let Some(before) = before.filter(|before| before.kinds == kinds) {
            kinds = before.kinds;
        }
        let satisfied = definition
            .list_at(&["status", "conditions"])
            .iter()
            .any(|c| c["type"] == "NamesAccepted" && c["status"] == "True");
        let group = group_of(definition);
        let known = Known { revision, group, names, satisfied, kinds };
        self.known.insert(definition.name().to_owned(), known);
        names_changed
    }

    fn publish(&self) {
        let custom = self.known.values().flat_map(|known| known.kinds.iter().cloned());
        self.objects.set_kinds(self.base.with(custom));
    }

    /// Begins to delete the objects of a definition that is being deleted.
    fn clean_up(&self, definition: &Value) {
        if !definition.is_terminating() || !definition.finalizers().contains(&CLEANUP_FINALIZER) {
            return;
        }
        let Some(server) = self.server.upgrade() else { return };
        let uid = definition.uid().to_owned();
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        if !leaving.insert(uid.clone()) {
            return;
        }
        let (weak, all) = (self.server.clone(), self.leaving.clone());
        let (kind, name) = (self.kind.clone(), definition.name().to_owned());
        server.spawn(async move {
            if let Err(error) = cleanup::run(&weak, &kind, &name, &uid).await {
                tracing::warn!(%error, name, "the objects of a definition could not be deleted");
            }
            all.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
        });
    }
}

fn name_of(entry: &Entry) -> &str {
    entry.key.rsplit('/').next().unwrap_or("")
}

fn group_of(definition: &Value) -> String {
    definition.str_at(&["spec", "group"]).to_owned()
}

//! A small API server with its objects' history, a clock, and chance: everything that a plan meets
//! outside, from one seed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use kd_api::defaults::apply_defaults;
use kd_api::{Kind, Kinds, patch, schema, strategy};
use kd_client::{DeleteOptions, Keep, Key, Object, PatchKind, Resource, View, resources};
use serde_json::{Value, json};

use crate::testing::{KNOWN, at};
use crate::{Action, Guard, Step};

/// What a watch has not told yet, at most.
const PENDING_MAX: usize = 40;
/// Where nodes' Leases are.
pub const LEASES: &str = "kube-node-lease";

/// Pseudo-random numbers (SplitMix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit.max(1) as u64).unwrap_or(0)
    }

    pub fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
}

/// Why a write was not done.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// The object is gone, or was never there.
    Gone,
    /// Something else was written first.
    Conflict,
}

pub struct World {
    kinds: Kinds,
    objects: BTreeMap<(String, Key), Value>,
    revision: u64,
    names: u64,
    /// Seconds.
    pub clock: i64,
    pub random: Random,
    /// Everything as it is.
    truth: View,
    /// What the watches have told so far; each resource has a watch of its own.
    shown: View,
    pending: BTreeMap<String, VecDeque<Told>>,
}

/// A change that a watch tells.
struct Told {
    resource: Resource,
    key: Key,
    revision: u64,
    /// None when the object is gone.
    json: Option<Vec<u8>>,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut view = View::of(KNOWN.into_iter().cloned());
        for resource in KNOWN {
            view.sync(resource, 1);
        }
        World {
            kinds: Kinds::known(),
            objects: BTreeMap::new(),
            revision: 1,
            names: 0,
            clock: 0,
            random: Random::new(seed),
            truth: view.clone(),
            shown: view,
            pending: BTreeMap::new(),
        }
    }

    pub fn now(&self) -> Timestamp {
        at(self.clock)
    }

    /// The revision of a resource's last write.
    pub fn revision(&self, resource: &Resource) -> u64 {
        self.truth.revision(resource)
    }

    /// Everything as it is.
    pub fn view(&self) -> View {
        self.truth.clone()
    }

    /// What the watches have told so far.
    pub fn shown(&self) -> View {
        self.shown.clone()
    }

    /// Some watch tells some of what it knows.
    pub fn deliver(&mut self) {
        let slow: Vec<String> = self.pending.keys().cloned().collect();
        let Some(name) = slow.get(self.random.below(slow.len())).cloned() else { return };
        let count = self.random.below(self.pending[&name].len()) + 1;
        self.tell(&name, count);
    }

    /// All watches tell everything, as after a restart.
    pub fn deliver_all(&mut self) {
        for name in self.pending.keys().cloned().collect::<Vec<_>>() {
            self.tell(&name, usize::MAX);
        }
    }

    fn tell(&mut self, name: &str, count: usize) {
        let now = self.now();
        let Some(pending) = self.pending.get_mut(name) else { return };
        let count = count.min(pending.len());
        for told in pending.drain(..count) {
            put(&mut self.shown, &told, now);
        }
        if pending.is_empty() {
            self.pending.remove(name);
        }
    }

    pub fn all(&self, resource: &Resource) -> Vec<Value> {
        let ours = self.objects.iter().filter(|((plural, _), _)| *plural == resource.plural);
        ours.map(|(_, object)| object.clone()).collect()
    }

    pub fn get(&self, resource: &Resource, name: &str) -> Value {
        let place = (resource.plural.to_string(), key_of(resource, name));
        self.objects.get(&place).cloned().unwrap_or_default()
    }

    fn kind(&self, resource: &Resource) -> Arc<Kind> {
        let kind = self.kinds.by_api_version(&resource.api_version(), &resource.kind);
        kind.expect("a kind with a row").clone()
    }

    pub fn create(&mut self, resource: &Resource, mut object: Value) -> Result<(), Refused> {
        self.names += 1;
        let metadata = &mut object["metadata"];
        if let Some(prefix) = metadata["generateName"].as_str() {
            metadata["name"] = json!(format!("{prefix}{}", self.names));
        }
        metadata["uid"] = json!(format!("uid-{}", self.names));
        metadata["creationTimestamp"] = json!(at(self.clock).to_string());
        let name = metadata["name"].as_str().unwrap_or_default().to_owned();
        let key = key_of(resource, &name);
        if resource.namespaced {
            metadata["namespace"] = json!(&*key.namespace);
        }
        if self.objects.contains_key(&(resource.plural.to_string(), key.clone())) {
            return Err(Refused::Conflict);
        }
        let kind = self.kind(resource);
        apply_defaults(&kind, &mut object);
        strategy::prepare_create(&kind, &mut object);
        self.write(resource, key, object);
        Ok(())
    }

    /// Changes an object as a user or a kubelet does.
    pub fn change(&mut self, resource: &Resource, name: &str, change: impl FnOnce(&mut Value)) {
        let key = key_of(resource, name);
        let place = (resource.plural.to_string(), key.clone());
        let Some(old) = self.objects.get(&place).cloned() else { return };
        let mut new = old.clone();
        change(&mut new);
        if new["spec"] != old["spec"] {
            new["metadata"]["generation"] =
                json!(old["metadata"]["generation"].as_i64().unwrap_or(1) + 1);
        }
        self.settle(resource, key, new);
    }

    /// What a delete does: pods that run take their time unless they get none, finalizers are waited
    /// for, and the way of propagation is one of them.
    pub fn delete(
        &mut self,
        resource: &Resource,
        key: &Key,
        options: &DeleteOptions,
    ) -> Result<(), Refused> {
        let place = (resource.plural.to_string(), key.clone());
        let mut object = self.objects.get(&place).cloned().ok_or(Refused::Gone)?;
        let hold = match options.propagation_policy {
            Some("Foreground") => Some("foregroundDeletion"),
            Some("Orphan") => Some("orphan"),
            _ => None,
        };
        let before = object.clone();
        if let Some(name) = hold.filter(|_| object["metadata"]["deletionTimestamp"].is_null()) {
            let mut all = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
            all.push(json!(name));
            object["metadata"]["finalizers"] = json!(all);
        }
        let runs = resource.same(&resources::PODS) && object["spec"]["nodeName"].is_string();
        let ended = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        let at_once = options.grace_period_seconds == Some(0);
        if (runs && !ended && !at_once) || has_finalizers(&object) {
            if object["metadata"]["deletionTimestamp"].is_null() {
                object["metadata"]["deletionTimestamp"] = json!(at(self.clock).to_string());
            }
            if object != before {
                self.write(resource, key.clone(), object);
            }
            return Ok(());
        }
        self.remove(resource, key);
        Ok(())
    }

    fn holds(&self, guard: &Guard) -> bool {
        match guard {
            Guard::Absent { resource, key, uid } => {
                let place = (resource.plural.to_string(), key.clone());
                let found = self.objects.get(&place);
                found.is_none_or(|object| !uid.is_empty() && object["metadata"]["uid"] != **uid)
            }
            Guard::Empty { resource, namespace } => {
                let mut all = self.objects.keys();
                !all.any(|(plural, key)| {
                    *plural == resource.plural && *key.namespace == **namespace
                })
            }
        }
    }

    /// Performs a step as the API server would.
    pub fn perform(&mut self, step: &Step) -> Result<(), Refused> {
        if !step.guards.iter().all(|guard| self.holds(guard)) {
            return Err(Refused::Conflict);
        }
        let place = (step.resource.plural.to_string(), step.key.clone());
        let old = self.objects.get(&place).cloned();
        match &step.action {
            Action::Create(object) => self.create(&step.resource, object.clone()),
            Action::Update(subresource, body) => {
                let old = old.ok_or(Refused::Gone)?;
                let based_on = &body["metadata"]["resourceVersion"];
                if !based_on.is_null() && *based_on != old["metadata"]["resourceVersion"] {
                    return Err(Refused::Conflict);
                }
                let mut new = if subresource.is_empty() { body.clone() } else { old.clone() };
                let status = if subresource.is_empty() { &old } else { body };
                new["status"] = status["status"].clone();
                if let Some(annotations) = body["metadata"].get("annotations") {
                    new["metadata"]["annotations"] = annotations.clone();
                }
                self.settle(&step.resource, step.key.clone(), new);
                Ok(())
            }
            Action::Patch(_, kind, body) => {
                let old = old.ok_or(Refused::Gone)?;
                for field in ["uid", "resourceVersion"] {
                    let wanted = &body["metadata"][field];
                    if !wanted.is_null() && *wanted != old["metadata"][field] {
                        return Err(Refused::Conflict);
                    }
                }
                let new = match kind {
                    PatchKind::Strategic => {
                        let kind = self.kind(&step.resource);
                        let schema = schema::for_kind(&kind).expect("a schema");
                        patch::strategic(&old, body, &schema).expect("a patch that applies")
                    }
                    _ => patch::merge(&old, body),
                };
                self.settle(&step.resource, step.key.clone(), new);
                Ok(())
            }
            Action::Delete(options) => {
                let old = old.ok_or(Refused::Gone)?;
                let uid = options.preconditions.uid.as_deref();
                let version = options.preconditions.resource_version.as_deref();
                if uid.is_some_and(|uid| old["metadata"]["uid"] != uid)
                    || version.is_some_and(|v| old["metadata"]["resourceVersion"] != v)
                {
                    return Err(Refused::Conflict);
                }
                self.delete(&step.resource, &step.key, options)
            }
            other => panic!("no controller here does {other:?}"),
        }
    }

    /// Writes an object, or removes it when nothing holds it any more.
    fn settle(&mut self, resource: &Resource, key: Key, object: Value) {
        let ended = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        let runs = resource.same(&resources::PODS) && object["spec"]["nodeName"].is_string();
        let goes = object["metadata"]["deletionTimestamp"].is_string();
        if goes && !has_finalizers(&object) && (!runs || ended) {
            return self.remove(resource, &key);
        }
        let place = (resource.plural.to_string(), key.clone());
        if self.objects.get(&place) != Some(&object) {
            self.write(resource, key, object);
        }
    }

    fn write(&mut self, resource: &Resource, key: Key, mut object: Value) {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let json = serde_json::to_vec(&object).expect("JSON");
        self.objects.insert((resource.plural.to_string(), key.clone()), object);
        self.show(resource, key, Some(json));
    }

    fn remove(&mut self, resource: &Resource, key: &Key) {
        self.revision += 1;
        self.objects.remove(&(resource.plural.to_string(), key.clone()));
        self.show(resource, key.clone(), None);
    }

    fn show(&mut self, resource: &Resource, key: Key, json: Option<Vec<u8>>) {
        let told = Told { resource: resource.clone(), key, revision: self.revision, json };
        let now = self.now();
        put(&mut self.truth, &told, now);
        let name = resource.plural.to_string();
        let pending = self.pending.entry(name.clone()).or_default();
        pending.push_back(told);
        if pending.len() > PENDING_MAX {
            self.tell(&name, 1);
        }
    }
}

fn put(view: &mut View, told: &Told, now: Timestamp) {
    match &told.json {
        Some(json) => {
            let object = Object::parse(&told.resource, json, Keep::Full, now).expect("an object");
            view.insert(&told.resource, object);
        }
        None => view.remove(&told.resource, &told.key),
    }
    view.sync(&told.resource, told.revision);
}

/// Everything is in one namespace, but for nodes' Leases.
fn key_of(resource: &Resource, name: &str) -> Key {
    match resource.namespaced {
        true if resource.same(&resources::LEASES) => Key::new(LEASES, name),
        true => Key::new("a", name),
        false => Key::cluster(name),
    }
}

fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty())
}

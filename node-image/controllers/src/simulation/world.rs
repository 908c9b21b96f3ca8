//! A small API server with its objects' history, a clock, and chance: everything that a plan meets
//! outside, from one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use kd_api::defaults::apply_defaults;
use kd_api::{Kind, Kinds, patch, schema, strategy};
use kd_client::{Keep, Key, Object, PatchKind, Resource, View, resources};
use serde_json::{Value, json};

use crate::testing::{KNOWN, at};
use crate::{Action, Step};

/// Views that a controller may still be shown.
const PAST_MAX: usize = 12;

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
    /// Views by the revision that they show, newest last.
    past: Vec<(u64, View)>,
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
            past: vec![(1, view)],
        }
    }

    pub fn now(&self) -> Timestamp {
        at(self.clock)
    }

    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The newest View.
    pub fn view(&self) -> View {
        self.past[self.past.len() - 1].1.clone()
    }

    /// A View that may lag behind, but shows this revision.
    pub fn view_since(&mut self, revision: u64) -> View {
        let shown = self.past.iter().position(|(r, _)| *r >= revision).unwrap_or(0);
        let place = shown + self.random.below(self.past.len() - shown);
        self.past[place].1.clone()
    }

    pub fn all(&self, resource: &Resource) -> Vec<Value> {
        let ours = self.objects.iter().filter(|((plural, _), _)| *plural == resource.plural);
        ours.map(|(_, object)| object.clone()).collect()
    }

    pub fn get(&self, resource: &Resource, name: &str) -> Value {
        let place = (resource.plural.to_string(), Key::new("a", name));
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
        let namespace = if resource.namespaced { "a" } else { "" };
        if resource.namespaced {
            metadata["namespace"] = json!(namespace);
        }
        let key = Key::new(namespace, &name);
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
        let key = Key::new(if resource.namespaced { "a" } else { "" }, name);
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

    /// What a delete does: pods that run take their time, finalizers are waited for.
    pub fn delete(&mut self, resource: &Resource, key: &Key) -> Result<(), Refused> {
        let place = (resource.plural.to_string(), key.clone());
        let mut object = self.objects.get(&place).cloned().ok_or(Refused::Gone)?;
        let runs = resource.same(&resources::PODS) && object["spec"]["nodeName"].is_string();
        let ended = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        if (runs && !ended) || has_finalizers(&object) {
            if object["metadata"]["deletionTimestamp"].is_null() {
                object["metadata"]["deletionTimestamp"] = json!(at(self.clock).to_string());
                self.write(resource, key.clone(), object);
            }
            return Ok(());
        }
        self.remove(resource, key);
        Ok(())
    }

    /// Deletes what has lost all its owners, as the garbage collector does. Whether there was any.
    pub fn collect(&mut self) -> bool {
        let uids: BTreeSet<String> = self.objects.values().map(uid_of).collect();
        let lost = |object: &Value| {
            let owners = object["metadata"]["ownerReferences"].as_array();
            owners.is_some_and(|all| {
                !all.is_empty()
                    && all.iter().all(|o| !uids.contains(o["uid"].as_str().unwrap_or_default()))
            })
        };
        let lost: Vec<(String, Key)> = self
            .objects
            .iter()
            .filter(|(_, object)| lost(object) && object["metadata"]["deletionTimestamp"].is_null())
            .map(|(place, _)| place.clone())
            .collect();
        for (plural, key) in &lost {
            let resource = KNOWN.into_iter().find(|r| r.plural == *plural);
            let _ = resource.map(|resource| self.delete(resource, key));
        }
        !lost.is_empty()
    }

    /// Performs a step as the API server would.
    pub fn perform(&mut self, step: &Step) -> Result<(), Refused> {
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
                if uid.is_some_and(|uid| old["metadata"]["uid"] != uid) {
                    return Err(Refused::Conflict);
                }
                self.delete(&step.resource, &step.key)
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
        let bytes = serde_json::to_vec(&object).expect("JSON");
        let parsed = Object::parse(resource, &bytes, Keep::Full, self.now()).expect("an object");
        let mut view = self.view();
        view.insert(resource, parsed);
        self.objects.insert((resource.plural.to_string(), key), object);
        self.show(view);
    }

    fn remove(&mut self, resource: &Resource, key: &Key) {
        self.revision += 1;
        let mut view = self.view();
        view.remove(resource, key);
        self.objects.remove(&(resource.plural.to_string(), key.clone()));
        self.show(view);
    }

    fn show(&mut self, view: View) {
        self.past.push((self.revision, view));
        if self.past.len() > PAST_MAX {
            self.past.remove(0);
        }
    }
}

fn uid_of(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty())
}

//! The history of a workload's template in ControllerRevisions: numbered, and named for the hash of
//! what they hold. DaemonSets and StatefulSets share it.

use std::sync::Arc;

use kd_client::{DeleteOptions, Key, Object, PatchKind, Resource, View, resources};
use serde_json::{Value, json};

use crate::Step;
use crate::claims::owner_reference;

/// No vowels: names must not spell words.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A short name for a template: FNV-1a over its JSON and the number of collisions so far.
pub fn template_hash(template: &Value, collisions: i32) -> String {
    let mut text = template.to_string();
    if collisions > 0 {
        text += &collisions.to_string();
    }
    let hash = text
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let letters = hash.to_string();
    letters.bytes().map(|b| char::from(ALPHABET[usize::from(b) % ALPHABET.len()])).collect()
}

/// One revision.
#[derive(Clone, Debug)]
pub struct Revision {
    /// The object.
    pub object: Arc<Object>,
    /// Its number.
    pub number: i64,
    /// The patch that brings the template back.
    pub data: Value,
}

impl Revision {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.object.metadata.name
    }

    /// A label of it.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.object.metadata.labels.get(name).map(String::as_str)
    }

    /// The template that it holds.
    pub fn template(&self) -> Value {
        let mut template = self.data["spec"]["template"].clone();
        if let Some(fields) = template.as_object_mut() {
            fields.remove("$patch");
        }
        template
    }
}

/// A workload and its revisions.
pub struct History<'a> {
    resource: &'a Resource,
    object: &'a Object,
    /// The label that carries the hash.
    hash_label: &'a str,
    data: Value,
    labels: Value,
    annotations: Value,
    /// Oldest first.
    pub revisions: Vec<Revision>,
}

/// What the history needs first.
pub enum Need {
    /// Nothing: this revision is the current one.
    Nothing(Revision),
    /// A write.
    Write(Box<Step>),
    /// Another name: one more collision has to be counted.
    Collision,
}

impl<'a> History<'a> {
    /// The history of a workload, given as JSON.
    pub fn of(
        view: &View,
        resource: &'a Resource,
        object: &'a Object,
        json: &Value,
        hash_label: &'a str,
    ) -> History<'a> {
        let mut template = json["spec"]["template"].clone();
        template["$patch"] = json!("replace");
        let owned = view.controlled_by(&resources::CONTROLLER_REVISIONS, &object.metadata.uid);
        let mut revisions: Vec<Revision> = owned
            .filter_map(|revision| {
                let json: Value = revision.decode()?;
                let number = json["revision"].as_i64().unwrap_or(0);
                Some(Revision { object: revision.clone(), number, data: json["data"].clone() })
            })
            .collect();
        revisions.sort_by_key(|r| (r.number, r.object.metadata.creation_timestamp, r.object.key()));
        History {
            resource,
            object,
            hash_label,
            labels: json["spec"]["template"]["metadata"]["labels"].clone(),
            annotations: json["metadata"]["annotations"].clone(),
            data: json!({"spec": {"template": template}}),
            revisions,
        }
    }

    /// Finds the revision of the current template, or what has to be written to have it.
    pub fn current(&self, view: &View, collisions: i32) -> Need {
        let next = self.revisions.last().map_or(1, |last| last.number + 1);
        if let Some(same) = self.revisions.iter().rev().find(|r| r.data == self.data) {
            if same.number + 1 >= next {
                return Need::Nothing(same.clone());
            }
            // An earlier template came back: its revision becomes the newest.
            let patch = json!({"revision": next,
                "metadata": {"resourceVersion": same.object.metadata.resource_version}});
            let key = same.object.key();
            let revisions = &resources::CONTROLLER_REVISIONS;
            let step = Step::patch(revisions, key, "", PatchKind::Merge, patch);
            return Need::Write(Box::new(step));
        }
        let hash = template_hash(&self.data, collisions);
        let name = format!("{}-{hash}", self.object.metadata.name);
        let key = Key::new(&self.object.metadata.namespace, &name);
        if view.object(&resources::CONTROLLER_REVISIONS, &key).is_some() {
            return Need::Collision;
        }
        Need::Write(Box::new(self.create(&name, &hash, next)))
    }

    fn create(&self, name: &str, hash: &str, number: i64) -> Step {
        let mut labels = self.labels.clone();
        labels[self.hash_label] = json!(hash);
        let mut metadata = json!({"name": name, "namespace": self.object.metadata.namespace,
            "labels": labels, "ownerReferences": [owner_reference(self.resource, self.object)]});
        if !self.annotations.is_null() {
            metadata["annotations"] = self.annotations.clone();
        }
        let revision = json!({"apiVersion": "apps/v1", "kind": "ControllerRevision",
            "metadata": metadata, "data": self.data, "revision": number});
        let resource = &resources::CONTROLLER_REVISIONS;
        Step::create(resource, &self.object.metadata.namespace, &revision)
    }

    /// Removes the oldest revisions beyond the limit, of those that are not in use.
    pub fn cleanup(&self, limit: Option<i32>, in_use: impl Fn(&Revision) -> bool) -> Vec<Step> {
        let limit = usize::try_from(limit.unwrap_or(10)).unwrap_or(0);
        let idle: Vec<&Revision> = self.revisions.iter().filter(|r| !in_use(r)).collect();
        let surplus = idle.len().saturating_sub(limit);
        let steps = idle.into_iter().take(surplus).map(|revision| {
            let options = DeleteOptions::of(&revision.object.metadata.uid);
            Step::delete(&resources::CONTROLLER_REVISIONS, revision.object.key(), options)
        });
        steps.collect()
    }
}

//! Whose is it: a workload adopts objects that match its selector and have no controller, and
//! releases those of its own that stopped matching.

use std::sync::Arc;

use kd_api::selector::Selector;
use kd_client::{Change, Key, Object, PatchKind, Resource, View, selects};
use serde_json::{Value, json};

use crate::controller::shared;
use crate::{Step, Target};

/// Who claims, and what is its own.
pub struct Claim<'a> {
    /// The claimant's resource.
    pub resource: &'a Resource,
    /// The claimant.
    pub object: &'a Object,
    /// What it selects.
    pub selector: &'a Selector,
    /// A finalizer that its objects carry while they are its own.
    pub finalizer: Option<&'a str>,
    /// What must hold besides the selector.
    pub fits: &'a dyn Fn(&Arc<Object>) -> bool,
}

impl Claim<'_> {
    /// The steps that settle what is whose among the claimant's namespace's objects of a resource.
    /// `adoptable` is asked of orphans only.
    pub fn settle(
        &self,
        view: &View,
        claimed: &Resource,
        adoptable: impl Fn(&Arc<Object>) -> bool,
    ) -> Vec<Step> {
        let uid = self.object.metadata.uid.as_str();
        let namespace = Some(self.object.metadata.namespace.as_str());
        let objects = view.objects(claimed, namespace).filter(|o| !o.metadata.is_deleting());
        let steps = objects.filter_map(|object| {
            let matches = selects(self.selector, &object.metadata.labels) && (self.fits)(object);
            let patch = match object.metadata.controller() {
                Some(owner) if owner.uid == uid && !matches => self.release(object),
                None if matches && !self.object.metadata.is_deleting() && adoptable(object) => {
                    self.adopt(object)
                }
                _ => return None,
            };
            Some(Step::patch(claimed, object.key(), "", PatchKind::Strategic, patch))
        });
        steps.collect()
    }

    fn adopt(&self, object: &Object) -> Value {
        let mut metadata = json!({"uid": object.metadata.uid,
            "ownerReferences": [owner_reference(self.resource, self.object)]});
        if let Some(finalizer) = self.finalizer {
            metadata["finalizers"] = json!([finalizer]);
        }
        json!({"metadata": metadata})
    }

    fn release(&self, object: &Object) -> Value {
        let uid = &self.object.metadata.uid;
        let mut metadata = json!({"uid": object.metadata.uid,
            "ownerReferences": [{"$patch": "delete", "uid": uid}]});
        if let Some(finalizer) = self.finalizer {
            metadata["$deleteFromPrimitiveList/finalizers"] = json!([finalizer]);
        }
        json!({"metadata": metadata})
    }
}

/// The reference that makes an object the controller of another.
pub fn owner_reference(resource: &Resource, object: &Object) -> Value {
    json!({"apiVersion": resource.api_version(), "kind": resource.kind,
        "name": object.metadata.name, "uid": object.metadata.uid,
        "controller": true, "blockOwnerDeletion": true})
}

/// The workloads of a resource that a change of an owned object concerns: its controllers before and
/// after, or, for an orphan, whichever would select it.
pub fn claimants(
    view: &View,
    change: &Change,
    resource: &Resource,
    selector_of: impl Fn(&Object) -> Option<Selector>,
) -> Vec<Target> {
    let Some(object) = change.object() else { return Vec::new() };
    let resource = shared(resource);
    let namespace = &object.metadata.namespace;
    let states = change.old.iter().chain(&change.new);
    let owners = states.filter_map(|state| state.metadata.controller());
    let ours = owners.filter(|o| o.kind == resource.kind && o.group() == resource.group);
    let mut targets: Vec<Target> =
        ours.map(|o| Target::new(&resource, Key::new(namespace, &o.name))).collect();
    targets.dedup();
    if change.new.as_ref().is_some_and(|new| new.metadata.controller().is_none()) {
        let all = view.objects(&resource, Some(namespace));
        let matching = all.filter(|workload| {
            selector_of(workload).is_some_and(|s| selects(&s, &object.metadata.labels))
        });
        targets.extend(matching.map(|workload| Target::of(&resource, workload)));
    }
    targets
}

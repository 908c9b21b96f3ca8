//! Binds PersistentVolumeClaims and PersistentVolumes to each other, asks provisioners for volumes,
//! and says what becomes of volumes whose claim is gone. One write at a time: volume, then claim.

mod claim;
mod matching;
mod volume;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use kd_client::{Change, Interest, Key, Object, View, resources};
use serde::Deserialize;

use crate::controller::shared;
use crate::{Controller, Plan, Target};

const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// Which provisioner made a volume.
pub(super) const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// Which provisioner is to make a claim's volume; the second is the older name.
pub(super) const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
const OLD_PROVISIONER: &str = "volume.beta.kubernetes.io/storage-provisioner";
/// For which node the scheduler wants a claim's volume.
pub(super) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub(super) struct PersistentVolumeBinder;

impl Controller for PersistentVolumeBinder {
    fn name(&self) -> &'static str {
        "persistentvolume-controller"
    }

    fn account(&self) -> &'static str {
        "persistent-volume-binder"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![
            Interest::full(&resources::PERSISTENT_VOLUME_CLAIMS),
            Interest::full(&resources::PERSISTENT_VOLUMES),
            Interest::full(&resources::STORAGE_CLASSES),
        ]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        let Some(object) = change.object() else { return Vec::new() };
        let claims = shared(&resources::PERSISTENT_VOLUME_CLAIMS);
        let volumes = shared(&resources::PERSISTENT_VOLUMES);
        if change.resource.same(&claims) {
            let states = change.old.iter().chain(&change.new);
            let named = states.filter_map(|claim| volume_of(claim));
            let mut targets: Vec<Target> =
                named.map(|name| Target::new(&volumes, Key::cluster(&name))).collect();
            targets.extend(volume_for(view, &object.key()).map(|v| Target::of(&volumes, v)));
            targets.dedup();
            targets.push(Target::of(&claims, object));
            return targets;
        }
        let unbound = |all: &View| -> Vec<Target> {
            let waiting = all.objects(&claims, None).filter(|claim| volume_of(claim).is_none());
            waiting.map(|claim| Target::of(&claims, claim)).collect()
        };
        if change.resource.same(&resources::STORAGE_CLASSES) {
            return unbound(view);
        }
        let mut targets = vec![Target::of(&volumes, object)];
        match claim_of(object) {
            Some(key) => targets.push(Target::new(&claims, key)),
            // Any claim that waits may want it.
            None => targets.extend(unbound(view)),
        }
        targets
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        let Some(object) = view.object(&target.resource, &target.key) else {
            return Plan::nothing();
        };
        if target.resource.same(&resources::PERSISTENT_VOLUMES) {
            return volume::reconcile(view, object, now);
        }
        claim::reconcile(view, object)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    spec: SpecHead,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SpecHead {
    volume_name: String,
    claim_ref: Option<ObjectReference>,
}

/// The volume that a claim names.
fn volume_of(claim: &Object) -> Option<String> {
    let name = claim.decode::<Head>()?.spec.volume_name;
    (!name.is_empty()).then_some(name)
}

/// The claim that a volume names.
fn claim_of(volume: &Object) -> Option<Key> {
    let reference = volume.decode::<Head>()?.spec.claim_ref?;
    Some(Key::new(&reference.namespace.unwrap_or_default(), &reference.name.unwrap_or_default()))
}

fn volume_for<'a>(view: &'a View, claim: &'a Key) -> Option<&'a std::sync::Arc<Object>> {
    let mut volumes = view.objects(&resources::PERSISTENT_VOLUMES, None);
    volumes.find(|volume| claim_of(volume).as_ref() == Some(claim))
}

fn annotation<'a>(
    metadata: &'a k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    name: &str,
) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

/// A claim's class, "" for none.
pub(super) fn class_of_claim(claim: &PersistentVolumeClaim) -> &str {
    let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    annotation(&claim.metadata, OLD_CLASS).or(class).unwrap_or_default()
}

/// A volume's class, "" for none.
fn class_of_volume(volume: &PersistentVolume) -> &str {
    let class = volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    annotation(&volume.metadata, OLD_CLASS).or(class).unwrap_or_default()
}

#[cfg(test)]
mod tests;

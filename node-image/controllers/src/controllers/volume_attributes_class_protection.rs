//! Keeps VolumeAttributesClasses while claims or volumes have them.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kd_client::{Change, Interest, Key, Object, View, resources};
use serde_json::{Value, json};

use crate::controller::shared;
use crate::{Controller, Plan, Step, Target};

const FINALIZER: &str = "kubernetes.io/vac-protection";

pub(super) struct VolumeAttributesClassProtection;

impl Controller for VolumeAttributesClassProtection {
    fn name(&self) -> &'static str {
        "volumeattributesclass-protection-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![
            Interest::full(&resources::VOLUME_ATTRIBUTES_CLASSES),
            Interest::full(&resources::PERSISTENT_VOLUME_CLAIMS),
            Interest::full(&resources::PERSISTENT_VOLUMES),
        ]
    }

    fn targets(&self, _view: &View, change: &Change) -> Vec<Target> {
        let classes = shared(&resources::VOLUME_ATTRIBUTES_CLASSES);
        if change.resource.same(&classes) {
            return change.object().map(|class| Target::of(&classes, class)).into_iter().collect();
        }
        // Whoever had a class may have been the last.
        let mut names: Vec<String> =
            change.old.iter().flat_map(|object| classes_of(&change.resource, object)).collect();
        names.dedup();
        names.iter().map(|name| Target::new(&classes, Key::cluster(name))).collect()
    }

    fn reconcile(&self, view: &View, target: &Target, _now: Timestamp) -> Plan {
        let resource = &resources::VOLUME_ATTRIBUTES_CLASSES;
        let Some(object) = view.object(resource, &target.key) else { return Plan::nothing() };
        let Some(mut json) = object.decode::<Value>() else { return Plan::nothing() };
        let mut finalizers = object.metadata.finalizers.clone();
        let protected = finalizers.iter().any(|finalizer| finalizer == FINALIZER);
        match (object.metadata.is_deleting(), protected) {
            (false, false) => finalizers.push(FINALIZER.to_owned()),
            (true, true) if !is_used(view, &object.metadata.name) => {
                finalizers.retain(|finalizer| finalizer != FINALIZER);
            }
            _ => return Plan::nothing(),
        }
        json["metadata"]["finalizers"] = json!(finalizers);
        Plan::one(Step::update(resource, object.key(), &json))
    }
}

fn is_used(view: &View, class: &str) -> bool {
    [&resources::PERSISTENT_VOLUME_CLAIMS, &resources::PERSISTENT_VOLUMES].into_iter().any(|kind| {
        let mut objects = view.objects(kind, None);
        objects.any(|object| classes_of(kind, object).iter().any(|name| name == class))
    })
}

/// The classes that a claim or a volume has, or is about to have.
fn classes_of(resource: &kd_client::Resource, object: &Object) -> Vec<String> {
    if resource.same(&resources::PERSISTENT_VOLUMES) {
        let volume: Option<PersistentVolume> = object.decode();
        let class = volume.and_then(|volume| volume.spec?.volume_attributes_class_name);
        return class.into_iter().collect();
    }
    let Some(claim) = object.decode::<PersistentVolumeClaim>() else { return Vec::new() };
    let status = claim.status.unwrap_or_default();
    let wanted = claim.spec.and_then(|spec| spec.volume_attributes_class_name);
    let target = status.modify_volume_status.and_then(|s| s.target_volume_attributes_class_name);
    [wanted, status.current_volume_attributes_class_name, target].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{body, object, plan, time, view};

    #[test]
    fn classes_in_use_stay() {
        let check = |deleting: bool, protected: bool, users: &[Value], expect: Option<usize>| {
            let mut class = object("VolumeAttributesClass", "", "gold", json!({}));
            if deleting {
                class["metadata"]["deletionTimestamp"] = json!(time(1));
            }
            if protected {
                class["metadata"]["finalizers"] = json!([FINALIZER]);
            }
            let all = [&[class], users].concat();
            let resource = &resources::VOLUME_ATTRIBUTES_CLASSES;
            let plan =
                plan(&VolumeAttributesClassProtection, &view(&all), resource, ("", "gold"), 1);
            let left = (!plan.is_empty())
                .then(|| body(&plan, 0)["metadata"]["finalizers"].as_array().unwrap().len());
            assert_eq!(left, expect);
        };
        let claim = |rest: Value| object("PersistentVolumeClaim", "a", "c", rest);
        check(false, false, &[], Some(1));
        check(false, true, &[], None);
        check(true, true, &[], Some(0));
        check(
            true,
            true,
            &[claim(json!({"spec": {"volumeAttributesClassName": "other"}}))],
            Some(0),
        );
        check(true, true, &[claim(json!({"spec": {"volumeAttributesClassName": "gold"}}))], None);
        let had = json!({"status": {"currentVolumeAttributesClassName": "gold"}});
        check(true, true, &[claim(had)], None);
        let volume = json!({"spec": {"volumeAttributesClassName": "gold"}});
        check(true, true, &[object("PersistentVolume", "", "v", volume)], None);
    }
}

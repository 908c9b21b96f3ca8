//! Keeps claims while pods use them, and volumes while they are bound: a finalizer goes when nothing
//! needs the object any more.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kd_client::{Change, Interest, Key, Object, Resource, View, resources};
use serde_json::{Value, json};

use crate::controller::shared;
use crate::{Controller, Plan, Step, Target};

/// The controller of one of the two kinds.
pub(super) struct VolumeProtection {
    name: &'static str,
    account: &'static str,
    resource: &'static Resource,
    finalizer: &'static str,
}

impl VolumeProtection {
    pub(super) fn of_claims() -> VolumeProtection {
        VolumeProtection {
            name: "persistentvolumeclaim-protection-controller",
            account: "pvc-protection-controller",
            resource: &resources::PERSISTENT_VOLUME_CLAIMS,
            finalizer: "kubernetes.io/pvc-protection",
        }
    }

    pub(super) fn of_volumes() -> VolumeProtection {
        VolumeProtection {
            name: "persistentvolume-protection-controller",
            account: "pv-protection-controller",
            resource: &resources::PERSISTENT_VOLUMES,
            finalizer: "kubernetes.io/pv-protection",
        }
    }

    fn is_used(&self, view: &View, object: &Object, json: &Value) -> bool {
        if self.resource.same(&resources::PERSISTENT_VOLUMES) {
            return json["status"]["phase"] == "Bound";
        }
        let namespace = Some(object.metadata.namespace.as_str());
        // A pod that is on no node yet would not be started with a claim that is being deleted.
        let placed = view.objects(&resources::PODS, namespace).filter(|pod| pod.node().is_some());
        placed.into_iter().any(|pod| claims_of(pod).contains(&object.metadata.name))
    }
}

/// The claims that a pod's volumes name.
fn claims_of(object: &Object) -> Vec<String> {
    let Some(pod) = object.decode::<Pod>() else { return Vec::new() };
    let volumes = pod.spec.and_then(|spec| spec.volumes).unwrap_or_default();
    let names = volumes.into_iter().filter_map(|volume| {
        let generated = format!("{}-{}", object.metadata.name, volume.name);
        let named = volume.persistent_volume_claim.map(|source| source.claim_name);
        named.or(volume.ephemeral.map(|_| generated))
    });
    names.collect()
}

impl Controller for VolumeProtection {
    fn name(&self) -> &'static str {
        self.name
    }

    fn account(&self) -> &'static str {
        self.account
    }

    fn interests(&self) -> Vec<Interest> {
        let mut interests = vec![Interest::full(self.resource)];
        if self.resource.same(&resources::PERSISTENT_VOLUME_CLAIMS) {
            interests.push(Interest::full(&resources::PODS));
        }
        interests
    }

    fn targets(&self, _view: &View, change: &Change) -> Vec<Target> {
        let Some(object) = change.object() else { return Vec::new() };
        let resource = shared(self.resource);
        if change.resource.same(&resource) {
            return vec![Target::of(&resource, object)];
        }
        // Only the end of a pod lets its claims go.
        if change.new.is_some() {
            return Vec::new();
        }
        let namespace = &object.metadata.namespace;
        let claims = claims_of(object).into_iter();
        claims.map(|name| Target::new(&resource, Key::new(namespace, &name))).collect()
    }

    fn reconcile(&self, view: &View, target: &Target, _now: Timestamp) -> Plan {
        let Some(object) = view.object(self.resource, &target.key) else {
            return Plan::nothing();
        };
        let Some(mut json) = object.decode::<Value>() else { return Plan::nothing() };
        let mut finalizers = object.metadata.finalizers.clone();
        let protected = finalizers.iter().any(|f| f == self.finalizer);
        match (object.metadata.is_deleting(), protected) {
            (false, false) => finalizers.push(self.finalizer.to_owned()),
            (true, true) if !self.is_used(view, object, &json) => {
                finalizers.retain(|f| f != self.finalizer);
            }
            _ => return Plan::nothing(),
        }
        json["metadata"]["finalizers"] = json!(finalizers);
        Plan::one(Step::update(self.resource, object.key(), &json))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{body, object, plan, time, view};

    fn pod(node: &str, volume: Value) -> Value {
        object(
            "Pod",
            "a",
            "p",
            json!({"spec": {"containers": [], "nodeName": node, "volumes": [volume]}}),
        )
    }

    #[test]
    fn claims_in_use_stay() {
        let check = |deleting: bool, protected: bool, pods: &[Value], expect: Option<usize>| {
            let mut claim = object("PersistentVolumeClaim", "a", "c", json!({}));
            if deleting {
                claim["metadata"]["deletionTimestamp"] = json!(time(1));
            }
            if protected {
                claim["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection"]);
            }
            let all = [&[claim], pods].concat();
            let controller = VolumeProtection::of_claims();
            let plan = plan(&controller, &view(&all), controller.resource, ("a", "c"), 1);
            let left = (!plan.is_empty())
                .then(|| body(&plan, 0)["metadata"]["finalizers"].as_array().unwrap().len());
            assert_eq!(left, expect);
        };
        let uses = || json!({"name": "x", "persistentVolumeClaim": {"claimName": "c"}});
        check(false, false, &[], Some(1));
        check(false, true, &[], None);
        check(true, true, &[], Some(0));
        check(true, true, &[pod("n", uses())], None);
        check(true, true, &[pod("", uses())], Some(0));
        check(true, true, &[pod("n", json!({"name": "x"}))], Some(0));
        check(true, false, &[], None);
    }

    #[test]
    fn bound_volumes_stay() {
        let check = |phase: &str, goes: bool| {
            let volume = object(
                "PersistentVolume",
                "",
                "v",
                json!({"metadata": {"deletionTimestamp": time(1),
                    "finalizers": ["kubernetes.io/pv-protection"]}, "status": {"phase": phase}}),
            );
            let controller = VolumeProtection::of_volumes();
            let plan = plan(&controller, &view(&[volume]), controller.resource, ("", "v"), 1);
            assert_eq!(!plan.is_empty(), goes, "{phase}");
        };
        check("Bound", false);
        check("Released", true);
    }
}

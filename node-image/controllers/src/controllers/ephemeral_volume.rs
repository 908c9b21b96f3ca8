//! Makes the claims of pods' ephemeral volumes; they belong to the pod and go with it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Volume};
use kd_client::{Change, EventType, Interest, Key, Object, View, resources};
use serde_json::json;

use crate::claims::owner_reference;
use crate::controller::shared;
use crate::{Controller, Plan, Step, Target, event};

pub(super) struct EphemeralVolumes;

impl Controller for EphemeralVolumes {
    fn name(&self) -> &'static str {
        "ephemeral-volume-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![Interest::full(&resources::PODS), Interest::full(&resources::PERSISTENT_VOLUME_CLAIMS)]
    }

    fn targets(&self, _view: &View, change: &Change) -> Vec<Target> {
        let Some(object) = change.object() else { return Vec::new() };
        let pods = shared(&resources::PODS);
        if !change.resource.same(&resources::PERSISTENT_VOLUME_CLAIMS) {
            return vec![Target::of(&pods, object)];
        }
        // A claim that is gone is made again, as long as its pod is there.
        let owner = object.metadata.controller().filter(|o| o.kind == "Pod");
        let owner = owner.filter(|_| change.new.is_none());
        let key = owner.map(|owner| Key::new(&object.metadata.namespace, &owner.name));
        key.map(|key| Target::new(&pods, key)).into_iter().collect()
    }

    fn reconcile(&self, view: &View, target: &Target, _now: Timestamp) -> Plan {
        let Some(object) = view.object(&resources::PODS, &target.key) else {
            return Plan::nothing();
        };
        if object.metadata.is_deleting() {
            return Plan::nothing();
        }
        let spec = object.decode::<Pod>().and_then(|pod| pod.spec);
        let volumes = spec.and_then(|spec| spec.volumes).unwrap_or_default();
        let mut plan = Plan::nothing();
        for volume in volumes.iter().filter(|volume| volume.ephemeral.is_some()) {
            look_after(view, object, volume, &mut plan);
        }
        plan
    }
}

fn look_after(view: &View, pod: &Object, volume: &Volume, plan: &mut Plan) {
    let name = format!("{}-{}", pod.metadata.name, volume.name);
    let key = Key::new(&pod.metadata.namespace, &name);
    if let Some(claim) = view.object(&resources::PERSISTENT_VOLUME_CLAIMS, &key) {
        if claim.metadata.controller().is_none_or(|owner| owner.uid != pod.metadata.uid) {
            let message = format!(
                "ephemeral volume {}: PVC {key} was not created for pod {} (pod is not owner)",
                volume.name,
                pod.key()
            );
            let kind = EventType::Warning;
            plan.events.push(event(&resources::PODS, pod, kind, "FailedBinding", message));
        }
        return;
    }
    let template =
        volume.ephemeral.as_ref().and_then(|source| source.volume_claim_template.as_ref());
    let Some(template) = template else { return };
    let given = template.metadata.clone().unwrap_or_default();
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": pod.metadata.namespace, "labels": given.labels,
            "annotations": given.annotations,
            "ownerReferences": [owner_reference(&resources::PODS, pod)]},
        "spec": template.spec});
    let failed = format!("ephemeral volume {}: create PVC {key}: {{}}", volume.name);
    let failed = event(&resources::PODS, pod, EventType::Warning, "FailedBinding", failed);
    let resource = &resources::PERSISTENT_VOLUME_CLAIMS;
    plan.also(Step::create(resource, &pod.metadata.namespace, &claim).complaining(failed));
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{body, lines, object, plan, view};

    #[test]
    fn claims_of_a_pod() {
        let pod = object(
            "Pod",
            "a",
            "p",
            json!({"spec": {"containers": [], "volumes": [{"name": "x"}, {"name": "scratch",
                "ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": {"k": "v"}},
                    "spec": {"accessModes": ["ReadWriteOnce"]}}}}]}}),
        );
        let check = |others: &[Value], expect: &[&str], events: usize| {
            let all = [std::slice::from_ref(&pod), others].concat();
            let plan = plan(&EphemeralVolumes, &view(&all), &resources::PODS, ("a", "p"), 1);
            assert_eq!(
                (lines(&plan), plan.events.len()),
                (expect.iter().map(|l| (*l).to_owned()).collect(), events)
            );
            plan
        };
        let made = check(&[], &["create persistentvolumeclaims a/p-scratch"], 0);
        let claim = body(&made, 0);
        assert_eq!(claim["metadata"]["ownerReferences"][0]["uid"], "p-uid");
        assert_eq!(claim["metadata"]["labels"], json!({"k": "v"}));
        let mut stored = object("PersistentVolumeClaim", "a", "p-scratch", json!({}));
        check(std::slice::from_ref(&stored), &[], 1);
        stored["metadata"]["ownerReferences"] = claim["metadata"]["ownerReferences"].clone();
        check(&[stored], &[], 0);
    }
}

//! The built-in provisioner: a volume is a directory of the node that the pod was placed on.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kd_client::{Change, DeleteOptions, EventType, Interest, Key, Object, View, resources};
use serde_json::{Value, json};

use super::persistent_volume_binder::{PROVISIONED_BY, PROVISIONER, SELECTED_NODE, class_of_claim};
use crate::controller::itself;
use crate::{Controller, Plan, Step, Target, event};

/// The name by which classes ask for it.
const NAME: &str = "kd.dev/local-path";
/// Where the directories are, on every node.
const DIRECTORY: &str = "/var/local-path-provisioner";
const HOST_NAME: &str = "kubernetes.io/hostname";

pub(super) struct LocalPathProvisioner;

impl Controller for LocalPathProvisioner {
    fn name(&self) -> &'static str {
        "local-path-provisioner"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![
            Interest::full(&resources::PERSISTENT_VOLUME_CLAIMS),
            Interest::full(&resources::PERSISTENT_VOLUMES),
            Interest::full(&resources::STORAGE_CLASSES),
            Interest::full(&resources::NODES),
        ]
    }

    fn targets(&self, _view: &View, change: &Change) -> Vec<Target> {
        let claim = itself(&resources::PERSISTENT_VOLUME_CLAIMS, change);
        claim.or_else(|| itself(&resources::PERSISTENT_VOLUMES, change)).into_iter().collect()
    }

    fn reconcile(&self, view: &View, target: &Target, _now: Timestamp) -> Plan {
        let Some(object) = view.object(&target.resource, &target.key) else {
            return Plan::nothing();
        };
        if target.resource.same(&resources::PERSISTENT_VOLUMES) {
            return remove(object);
        }
        let Some(claim) = object.decode::<PersistentVolumeClaim>() else { return Plan::nothing() };
        provision(view, object, &claim).unwrap_or_default()
    }
}

fn provision(view: &View, object: &Object, claim: &PersistentVolumeClaim) -> Option<Plan> {
    let annotations = claim.metadata.annotations.as_ref()?;
    let spec = claim.spec.as_ref()?;
    let ours = annotations.get(PROVISIONER).is_some_and(|name| name == NAME);
    let bound = spec.volume_name.as_ref().is_some_and(|name| !name.is_empty());
    if !ours || bound || object.metadata.is_deleting() {
        return None;
    }
    let name = format!("pvc-{}", object.metadata.uid);
    if view.object(&resources::PERSISTENT_VOLUMES, &Key::cluster(&name)).is_some() {
        return None;
    }
    let class: StorageClass = view.get("", class_of_claim(claim))?;
    let selected = annotations.get(SELECTED_NODE).cloned();
    let chosen: Node = match selected {
        Some(node) => view.get("", &node)?,
        // Nobody says where: any node is as good as another.
        None => view.list::<Node>(None).into_iter().next()?,
    };
    let volume = volume(&name, claim, &class, &chosen);
    let title = format!("\"{}\"", object.key());
    let tell = |event_type, reason: &str, message: String| {
        event(&resources::PERSISTENT_VOLUME_CLAIMS, object, event_type, reason, message)
    };
    let done = format!("Successfully provisioned volume {name}");
    let failed = format!("failed to provision volume for claim {title}: {{}}");
    let step = Step::create(&resources::PERSISTENT_VOLUMES, "", &volume)
        .telling(tell(EventType::Normal, "ProvisioningSucceeded", done))
        .complaining(tell(EventType::Warning, "ProvisioningFailed", failed));
    let mut plan = Plan::one(step);
    let message = format!("External provisioner is provisioning volume for claim {title}");
    plan.events.push(tell(EventType::Normal, "Provisioning", message));
    Some(plan)
}

fn volume(name: &str, claim: &PersistentVolumeClaim, class: &StorageClass, node: &Node) -> Value {
    let metadata = &claim.metadata;
    let (namespace, own) = (metadata.namespace.as_deref(), metadata.name.as_deref());
    let (namespace, own) = (namespace.unwrap_or_default(), own.unwrap_or_default());
    let node_name = node.metadata.name.as_deref().unwrap_or_default();
    let labels = node.metadata.labels.as_ref();
    let host = labels.and_then(|labels| labels.get(HOST_NAME)).map_or(node_name, String::as_str);
    let spec = claim.spec.clone().unwrap_or_default();
    let requests = spec.resources.and_then(|resources| resources.requests).unwrap_or_default();
    json!({
    "apiVersion": "v1", "kind": "PersistentVolume",
    "metadata": {"name": name, "annotations": {PROVISIONED_BY: NAME}},
    "spec": {
        "accessModes": spec.access_modes,
        "capacity": {"storage": requests.get("storage")},
        "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "namespace": namespace, "name": own, "uid": metadata.uid,
            "resourceVersion": metadata.resource_version},
        "persistentVolumeReclaimPolicy": class.reclaim_policy.as_deref().unwrap_or("Delete"),
        "storageClassName": class_of_claim(claim),
        "mountOptions": class.mount_options,
        "volumeMode": spec.volume_mode,
        "hostPath": {"path": format!("{DIRECTORY}/{name}_{namespace}_{own}"),
            "type": "DirectoryOrCreate"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": HOST_NAME, "operator": "In", "values": [host]}]}]}},
    }})
}

/// A volume of ours that was released goes, if its policy says so.
fn remove(object: &Object) -> Plan {
    let Some(volume) = object.decode::<PersistentVolume>() else { return Plan::nothing() };
    let annotations = volume.metadata.annotations.as_ref();
    let ours = annotations.and_then(|all| all.get(PROVISIONED_BY)).is_some_and(|name| name == NAME);
    let policy = volume.spec.as_ref().and_then(|s| s.persistent_volume_reclaim_policy.as_deref());
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    let due = ours && policy == Some("Delete") && phase == Some("Released");
    if !due || object.metadata.is_deleting() {
        return Plan::nothing();
    }
    let options = DeleteOptions::of(&object.metadata.uid);
    Plan::one(Step::delete(&resources::PERSISTENT_VOLUMES, object.key(), options))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{body, lines, merge, object, plan, view};

    fn claim(annotations: Value, more: Value) -> Value {
        let mut all = object(
            "PersistentVolumeClaim",
            "a",
            "c",
            json!({"metadata": {"annotations": annotations},
                "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "standard",
                    "resources": {"requests": {"storage": "1Gi"}}}}),
        );
        merge(&mut all, more);
        all
    }

    fn check(claim: Value, expect: &[&str]) -> Plan {
        let class = object(
            "StorageClass",
            "",
            "standard",
            json!({"provisioner": NAME, "reclaimPolicy": "Delete"}),
        );
        let node = object("Node", "", "n", json!({"metadata": {"labels": {HOST_NAME: "host"}}}));
        let resource = &resources::PERSISTENT_VOLUME_CLAIMS;
        let plan =
            plan(&LocalPathProvisioner, &view(&[claim, class, node]), resource, ("a", "c"), 1);
        assert_eq!(lines(&plan), expect);
        plan
    }

    #[test]
    fn directories_of_the_chosen_node() {
        let ours = || json!({PROVISIONER: NAME, SELECTED_NODE: "n"});
        let plan = check(claim(ours(), json!({})), &["create persistentvolumes pvc-c-uid"]);
        let volume = &body(&plan, 0)["spec"];
        assert_eq!(
            volume["hostPath"],
            json!({"path": "/var/local-path-provisioner/pvc-c-uid_a_c",
                "type": "DirectoryOrCreate"})
        );
        let term = &volume["nodeAffinity"]["required"]["nodeSelectorTerms"][0];
        assert_eq!(term["matchExpressions"][0]["values"], json!(["host"]));
        assert_eq!(volume["capacity"], json!({"storage": "1Gi"}));
        check(claim(json!({PROVISIONER: "x.io/disks"}), json!({})), &[]);
        check(claim(ours(), json!({"spec": {"volumeName": "v"}})), &[]);
        check(claim(json!({PROVISIONER: NAME, SELECTED_NODE: "gone"}), json!({})), &[]);
    }

    #[test]
    fn released_directories_go() {
        let check = |policy: &str, phase: &str, by: &str, expect: &[&str]| {
            let volume = object(
                "PersistentVolume",
                "",
                "v",
                json!({"metadata": {"annotations": {PROVISIONED_BY: by}},
                    "spec": {"persistentVolumeReclaimPolicy": policy}, "status": {"phase": phase}}),
            );
            let resource = &resources::PERSISTENT_VOLUMES;
            let plan = plan(&LocalPathProvisioner, &view(&[volume]), resource, ("", "v"), 1);
            assert_eq!(lines(&plan), expect, "{policy} {phase} {by}");
        };
        check("Delete", "Released", NAME, &["delete persistentvolumes v"]);
        check("Retain", "Released", NAME, &[]);
        check("Delete", "Bound", NAME, &[]);
        check("Delete", "Released", "x.io/disks", &[]);
    }
}

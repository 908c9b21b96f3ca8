//! VolumeBinding: bound volumes decide which nodes can have a pod; claims that wait for their first
//! consumer get a fitting volume, or a provisioner's, on the node that is chosen.

use std::collections::BTreeSet;

use kd_client::Key;

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Plugin, Prepared, Refusal};
use crate::pod::{ClaimUse, PodFacts};
use crate::storage::{ClaimFacts, Conflict, Storage};

pub(super) struct VolumeBinding;

struct Claims<'a> {
    storage: &'a Storage,
    claims: Vec<&'a ClaimFacts>,
}

/// The claims of a pod, all of which must exist and, unless they wait for it, be bound.
pub fn claims_of<'a>(storage: &'a Storage, pod: &PodFacts) -> Result<Vec<&'a ClaimFacts>, String> {
    let mut claims = Vec::new();
    let mut unbound = false;
    for wanted in &pod.wishes.claims {
        let claim = usable(storage, pod, wanted)?;
        unbound |= !claim.bound && !storage.waits_for_consumer(claim);
        claims.push(claim);
    }
    match unbound {
        true => Err("pod has unbound immediate PersistentVolumeClaims".into()),
        false => Ok(claims),
    }
}

fn usable<'a>(
    storage: &'a Storage,
    pod: &PodFacts,
    wanted: &ClaimUse,
) -> Result<&'a ClaimFacts, String> {
    let name = &wanted.name;
    let Some(claim) = storage.claim(&Key::new(&pod.key.namespace, name)) else {
        return Err(match wanted.ephemeral {
            true => format!(
                "waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}"
            ),
            false => format!("persistentvolumeclaim {name:?} not found"),
        });
    };
    if claim.lost {
        let volume = &claim.volume;
        return Err(format!(
            "persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"
        ));
    }
    if claim.deleting {
        return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
    }
    if wanted.ephemeral && claim.owner != pod.uid {
        return Err(format!(
            "PVC {} was not created for pod {} (pod is not owner)",
            claim.key, pod.key
        ));
    }
    Ok(claim)
}

impl Plugin for VolumeBinding {
    fn name(&self) -> &'static str {
        "VolumeBinding"
    }

    fn prepare<'a>(
        &'a self,
        cluster: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        let storage = &*cluster.storage;
        let claims = claims_of(storage, pod).map_err(Refusal::fixed)?;
        let none = claims.is_empty();
        Ok((!none).then(|| Box::new(Claims { storage, claims }) as Box<dyn Prepared>))
    }

    fn helped_by(&self, event: &ClusterEvent, _: &PodFacts) -> bool {
        matches!(event, ClusterEvent::Storage | ClusterEvent::Node(_))
    }
}

impl Prepared for Claims<'_> {
    fn filter(&self, node: &NodeFacts) -> Vec<Refusal> {
        let Err(conflicts) = self.storage.plan(&self.claims, node) else { return Vec::new() };
        let reasons: BTreeSet<&str> = conflicts.into_iter().map(reason).collect();
        reasons.into_iter().map(Refusal::fixed).collect()
    }
}

fn reason(conflict: Conflict) -> &'static str {
    match conflict {
        Conflict::Affinity => "node(s) didn't match PersistentVolume's node affinity",
        Conflict::NoVolume => "node(s) didn't find available persistent volumes to bind",
        Conflict::NoRoom => "node(s) did not have enough free storage",
        Conflict::Gone => {
            "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::storage::{ClassFacts, VolumeFacts, VolumePlan};
    use crate::testing::{cluster, decide, node, pod};

    fn storage(objects: &[Value]) -> Storage {
        let mut storage = Storage::default();
        for object in objects {
            let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
            match object["kind"].as_str().unwrap() {
                "PersistentVolumeClaim" => {
                    let claim = serde_json::from_value(object.clone()).unwrap();
                    storage.set_claim(ClaimFacts::of(claim));
                }
                "PersistentVolume" => {
                    let volume = serde_json::from_value(object.clone()).unwrap();
                    storage.set_volume(VolumeFacts::of(volume));
                }
                _ => {
                    let class = serde_json::from_value(object.clone()).unwrap();
                    storage.set_class(&text("name"), ClassFacts::of(class));
                }
            }
        }
        storage
    }

    fn claim(name: &str, class: &str, more: Value) -> Value {
        let mut claim = json!({"kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": "n", "uid": format!("{name}-uid")},
            "spec": {"storageClassName": class, "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}}}});
        for (path, value) in more.as_object().unwrap() {
            *claim.pointer_mut(path).unwrap() = value.clone();
        }
        claim
    }

    fn bound(name: &str, volume: &str) -> Value {
        let mut claim = claim(name, "", json!({}));
        claim["spec"]["volumeName"] = json!(volume);
        claim["metadata"]["annotations"] = json!({"pv.kubernetes.io/bind-completed": "yes"});
        claim
    }

    fn volume(name: &str, class: &str, size: &str, host: &str) -> Value {
        let mut volume = json!({"kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {"storageClassName": class, "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": size}},
            "status": {"phase": "Available"}});
        if !host.is_empty() {
            volume["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In",
                    "values": [host]}]}]}});
        }
        volume
    }

    fn class(name: &str, provisioner: &str, mode: &str) -> Value {
        json!({"kind": "StorageClass", "metadata": {"name": name}, "provisioner": provisioner,
            "volumeBindingMode": mode})
    }

    fn consumer(claim: &str) -> PodFacts {
        pod(
            "p",
            json!({"spec": {"volumes": [
            {"name": "v", "persistentVolumeClaim": {"claimName": claim}}]}}),
        )
    }

    fn outcome(objects: &[Value], pod: &PodFacts) -> Result<(String, VolumePlan), String> {
        let mut cluster = cluster(&[node("a", json!({})), node("b", json!({}))], &[]);
        cluster.storage = Arc::new(storage(objects));
        let chosen = decide(&cluster, pod).map_err(|diagnosis| diagnosis.message(""))?;
        let claims = claims_of(&cluster.storage, pod)?;
        let plan = cluster.storage.plan(&claims, cluster.node(&chosen).unwrap()).unwrap();
        Ok((chosen, plan))
    }

    #[test]
    fn who_is_refused() {
        let check = |objects: &[Value], expect: &str| {
            let expect = format!("0/2 nodes are available: {expect}.");
            assert_eq!(outcome(objects, &consumer("c")).unwrap_err(), expect);
        };
        check(&[], "persistentvolumeclaim \"c\" not found");
        let immediate = class("now", "p", "Immediate");
        let unbound = "pod has unbound immediate PersistentVolumeClaims";
        check(&[claim("c", "now", json!({})), immediate], unbound);
        check(&[claim("c", "", json!({}))], unbound);
        check(
            &[bound("c", "gone")],
            "2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
        );
        check(
            &[bound("c", "v"), volume("v", "", "1Gi", "z")],
            "2 node(s) didn't match PersistentVolume's node affinity",
        );
        let manual = class("w", "kubernetes.io/no-provisioner", "WaitForFirstConsumer");
        check(
            &[claim("c", "w", json!({})), manual, volume("small", "w", "1Mi", "a")],
            "2 node(s) didn't find available persistent volumes to bind",
        );
    }

    #[test]
    fn what_is_planned() {
        let check = |objects: &[Value], node: &str, prebind: &[&str], provision: usize| {
            let (chosen, plan) = outcome(objects, &consumer("c")).unwrap();
            let volumes: Vec<&str> =
                plan.prebind.iter().map(|(volume, _)| volume.as_str()).collect();
            assert_eq!((chosen.as_str(), volumes.as_slice()), (node, prebind));
            assert_eq!(plan.provision.len(), provision);
        };
        check(&[bound("c", "v"), volume("v", "", "1Gi", "b")], "b", &[], 0);
        let waiting = || claim("c", "w", json!({}));
        let manual = || class("w", "kubernetes.io/no-provisioner", "WaitForFirstConsumer");
        check(
            &[waiting(), manual(), volume("big", "w", "9Gi", "b"), volume("v", "w", "2Gi", "b")],
            "b",
            &["v"],
            0,
        );
        let mut reserved = volume("r", "other", "9Gi", "a");
        reserved["spec"]["claimRef"] = json!({"namespace": "n", "name": "c"});
        check(&[waiting(), manual(), volume("v", "w", "2Gi", "b"), reserved], "a", &["r"], 0);
        let dynamic = || class("w", "example.com/p", "WaitForFirstConsumer");
        let mut selected = waiting();
        selected["metadata"]["annotations"] = json!({"volume.kubernetes.io/selected-node": "b"});
        check(&[selected, dynamic()], "b", &[], 1);
        let mut zoned = dynamic();
        zoned["allowedTopologies"] = json!([{"matchLabelExpressions":
            [{"key": "kubernetes.io/hostname", "values": ["b"]}]}]);
        check(&[waiting(), zoned], "b", &[], 1);
    }

    #[test]
    fn ephemeral_claims_belong_to_their_pod() {
        let pod = pod("p", json!({"spec": {"volumes": [{"name": "v", "ephemeral": {}}]}}));
        let refused = |objects: &[Value]| outcome(objects, &pod).unwrap_err();
        assert!(refused(&[]).contains("waiting for ephemeral volume controller to create"));
        assert!(refused(&[bound("p-v", "v")]).contains("PVC n/p-v was not created for pod n/p"));
        let mut owned = bound("p-v", "v");
        owned["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Pod",
            "name": "p", "uid": "p-uid", "controller": true}]);
        assert!(outcome(&[owned, volume("v", "", "1Gi", "")], &pod).is_ok());
    }
}

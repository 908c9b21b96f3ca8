//! Binding the volumes of a placed pod before the pod itself: what the plan says is written, then
//! the binder and the provisioners are waited for.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kd_client::{Client, Error, EventType, Key, Object, PatchKind, resources};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Scheduler, Source, Written};
use crate::plugin::ClusterEvent;
use crate::plugins::claims_of;
use crate::pod::PodFacts;
use crate::storage::{
    BOUND_BY_CONTROLLER, ClaimFacts, ClassFacts, SELECTED_NODE, Standing, Storage, VolumeFacts,
    VolumePlan,
};
use std::sync::Arc;

/// A placed pod whose volumes are not all bound.
pub(super) struct Unbound {
    pod: Arc<PodFacts>,
    claims: Vec<Key>,
    plan: VolumePlan,
    /// Whether the plan's writes have returned.
    written: bool,
    deadline: Instant,
}

/// The end of a plan's writes: what is stored now.
pub(super) struct VolumesWritten {
    pod: Arc<PodFacts>,
    claims: Vec<Object>,
    volumes: Vec<Object>,
    result: Result<(), Error>,
}

impl Scheduler {
    /// Begins to bind the volumes of a pod that is assumed on its node. False when there is nothing
    /// to bind.
    pub(super) fn bind_volumes(&mut self, pod: &Arc<PodFacts>) -> bool {
        let storage = &self.cluster.storage;
        let node = pod.node.as_deref().and_then(|name| self.cluster.node(name));
        let (Some(node), Ok(claims)) = (node, claims_of(storage, pod)) else { return false };
        if claims.iter().all(|claim| claim.bound) {
            return false;
        }
        let Ok(plan) = storage.plan(&claims, node) else { return false };
        let patches = patches(storage, &plan, &node.name);
        let claims: Vec<Key> = claims.iter().map(|claim| claim.key.clone()).collect();
        self.storage_mut().assume(&plan);
        let waits = self.profile_of(pod).map(|index| self.profiles[index].volumes_max);
        let deadline = Instant::now() + waits.unwrap_or_default();
        let unbound = Unbound { pod: pod.clone(), claims, plan, written: false, deadline };
        self.unbound.insert(pod.key.clone(), unbound);
        let (client, pod) = (self.client.clone(), pod.clone());
        self.writes.spawn(async move { Some(Written::Volumes(write(client, pod, patches).await)) });
        true
    }

    /// The writes of a plan have returned.
    pub(super) fn volumes_written(&mut self, written: VolumesWritten) {
        for claim in &written.claims {
            self.claim_changed(claim, false);
        }
        for volume in &written.volumes {
            self.volume_changed(volume, false);
        }
        let key = &written.pod.key;
        let Some(unbound) = self.unbound.get_mut(key) else { return };
        if unbound.pod.uid != written.pod.uid {
            return;
        }
        unbound.written = true;
        let plan = unbound.plan.clone();
        self.storage_mut().release(&plan);
        match written.result {
            Ok(()) => self.look_at_volumes(),
            Err(error) => {
                tracing::info!(pod = %key, %error, "volumes could not be bound");
                self.volumes_failed(&key.clone(), &error.message());
            }
        }
    }

    /// Binds the pods whose volumes are bound by now; gives up those whose volumes will not be.
    pub(super) fn look_at_volumes(&mut self) {
        let now = Instant::now();
        let mut settled = Vec::new();
        for (key, unbound) in self.unbound.iter().filter(|(_, unbound)| unbound.written) {
            let node = unbound.pod.node.as_deref().and_then(|name| self.cluster.node(name));
            let standing = match node {
                Some(node) => self.cluster.storage.standing(&unbound.claims, node),
                None => Standing::Failed("the node is gone".into()),
            };
            match standing {
                Standing::Pending if unbound.deadline > now => {}
                Standing::Pending => {
                    settled.push((key.clone(), Err("context deadline exceeded".to_owned())));
                }
                Standing::Bound => settled.push((key.clone(), Ok(()))),
                Standing::Failed(why) => settled.push((key.clone(), Err(why))),
            }
        }
        for (key, outcome) in settled {
            match outcome {
                Ok(()) => {
                    if let Some(unbound) = self.unbound.remove(&key) {
                        self.bind_pod(unbound.pod);
                    }
                }
                Err(why) => self.volumes_failed(&key, &why),
            }
        }
    }

    /// When the next pod has waited too long for its volumes.
    pub(super) fn volumes_deadline(&self) -> Option<Instant> {
        let looked_at = self.unbound.values().filter(|unbound| unbound.written);
        looked_at.map(|unbound| unbound.deadline).min()
    }

    /// The pod is not to be placed any more.
    pub(super) fn forget_volumes(&mut self, key: &Key) {
        if let Some(unbound) = self.unbound.remove(key) {
            self.storage_mut().release(&unbound.plan);
            self.pod_unassumed(key);
        }
    }

    fn volumes_failed(&mut self, key: &Key, why: &str) {
        let Some(unbound) = self.unbound.get(key) else { return };
        let pod = unbound.pod.clone();
        self.forget_volumes(key);
        let message = format!("running PreBind plugin \"VolumeBinding\": binding volumes: {why}");
        self.record(&pod, EventType::Warning, "FailedScheduling", "Scheduling", message);
        self.queue.failed(key, Instant::now());
    }

    fn storage_mut(&mut self) -> &mut Storage {
        Arc::make_mut(&mut self.cluster.storage)
    }

    pub(super) fn claim_changed(&mut self, object: &Object, gone: bool) {
        if gone {
            self.storage_mut().remove_claim(&object.key());
            return self.storage_changed(true);
        }
        let Some(claim) = object.decode::<PersistentVolumeClaim>() else { return };
        let news = self.storage_mut().set_claim(ClaimFacts::of(claim));
        self.storage_changed(news);
    }

    pub(super) fn volume_changed(&mut self, object: &Object, gone: bool) {
        if gone {
            self.storage_mut().remove_volume(&object.metadata.name);
            return self.storage_changed(true);
        }
        let Some(volume) = object.decode::<PersistentVolume>() else { return };
        let news = self.storage_mut().set_volume(VolumeFacts::of(volume));
        self.storage_changed(news);
    }

    pub(super) fn class_changed(&mut self, object: &Object, gone: bool) {
        let name = &object.metadata.name;
        if gone {
            self.storage_mut().remove_class(name);
            return;
        }
        let Some(class) = object.decode::<StorageClass>() else { return };
        let news = self.storage_mut().set_class(name, ClassFacts::of(class));
        self.storage_changed(news);
    }

    pub(super) fn csi_changed(&mut self, source: Source, object: &Object, gone: bool) {
        let (key, name) = (object.key(), &object.metadata.name);
        let csi = &mut self.storage_mut().csi;
        let news = match source {
            Source::CsiDrivers => csi.set_driver(name, object.decode().filter(|_| !gone)),
            Source::CsiNodes => csi.set_node(name, object.decode().filter(|_| !gone)),
            _ => csi.set_room(key, object.decode().filter(|_| !gone)),
        };
        self.storage_changed(news);
    }

    fn storage_changed(&mut self, news: bool) {
        if news {
            self.happened(&ClusterEvent::Storage);
            self.look_at_volumes();
        }
    }
}

/// What is written for a plan: names and patches.
struct Patches {
    volumes: Vec<(String, Value)>,
    claims: Vec<(Key, Value)>,
}

fn patches(storage: &Storage, plan: &VolumePlan, node: &str) -> Patches {
    let volumes = plan.prebind.iter().filter_map(|(name, key)| {
        let (volume, claim) = (storage.volume(name)?, storage.claim(key)?);
        Some((name.clone(), volume_patch(volume, claim)))
    });
    let claims = plan.provision.iter().filter_map(|key| {
        let claim = storage.claim(key)?;
        let chosen = claim.selected_node.as_deref() == Some(node);
        (!chosen).then(|| (key.clone(), claim_patch(claim, node)))
    });
    Patches { volumes: volumes.collect(), claims: claims.collect() }
}

fn volume_patch(volume: &VolumeFacts, claim: &ClaimFacts) -> Value {
    let mut patch = json!({
        "metadata": {"uid": volume.uid, "resourceVersion": volume.resource_version},
        "spec": {"claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "namespace": &*claim.key.namespace, "name": &*claim.key.name, "uid": claim.uid,
            "resourceVersion": claim.resource_version}}});
    // A reference that a user wrote is not the binder's to take away again.
    if volume.claim.is_none() {
        patch["metadata"]["annotations"] = json!({BOUND_BY_CONTROLLER: "yes"});
    }
    patch
}

fn claim_patch(claim: &ClaimFacts, node: &str) -> Value {
    json!({"metadata": {"uid": claim.uid, "resourceVersion": claim.resource_version,
        "annotations": {SELECTED_NODE: node}}})
}

async fn write(client: Client, pod: Arc<PodFacts>, patches: Patches) -> VolumesWritten {
    let (mut claims, mut volumes) = (Vec::new(), Vec::new());
    let mut result = Ok(());
    let kind = PatchKind::Merge;
    for (name, patch) in &patches.volumes {
        match client.patch(&resources::PERSISTENT_VOLUMES, "", name, "", kind, patch).await {
            Ok(volume) => volumes.push(volume),
            Err(error) => {
                result = Err(error);
                return VolumesWritten { pod, claims, volumes, result };
            }
        }
    }
    for (key, patch) in &patches.claims {
        let resource = &resources::PERSISTENT_VOLUME_CLAIMS;
        match client.patch(resource, &key.namespace, &key.name, "", kind, patch).await {
            Ok(claim) => claims.push(claim),
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    VolumesWritten { pod, claims, volumes, result }
}

//! Taking the devices of a placed pod's claims: they are spoken for at once, and written to the
//! claims just before the pod is bound.

use std::sync::Arc;

use kd_client::{Client, Error, Key, Object, PatchKind, WatchEvent, resources};
use serde_json::{Value, json};

use super::{Scheduler, Source};
use crate::devices::{ClaimWrite, Devices};
use crate::plugin::ClusterEvent;
use crate::pod::PodFacts;

/// What has been written of claims.
pub(super) type Stored = Vec<Object>;

impl Scheduler {
    /// Takes devices for a pod that is assumed on its node.
    pub(super) fn reserve_devices(&mut self, pod: &PodFacts) -> Result<(), String> {
        if pod.wishes.device_claims.is_empty() {
            return Ok(());
        }
        let node = pod.node.as_deref().and_then(|name| self.cluster.node(name));
        let node = node.ok_or("the node is gone")?;
        let writes = self.cluster.devices.claims_of(pod)?.writes(pod, node)?;
        self.devices_mut().assume(&writes);
        self.reserved.insert(pod.key.clone(), writes);
        Ok(())
    }

    /// The pod is bound, or is not to be: its claims are what is stored.
    pub(super) fn release_devices(&mut self, key: &Key) {
        if let Some(writes) = self.reserved.remove(key) {
            self.devices_mut().release(&writes);
            self.happened(&ClusterEvent::Devices);
        }
    }

    /// Answers to writes of claims.
    pub(super) fn claims_stored(&mut self, stored: &Stored) {
        for claim in stored {
            self.devices_mut().set_claim(&claim.key(), read(claim));
        }
    }

    pub(super) fn devices_changed(&mut self, source: Source, event: &WatchEvent) {
        let (object, gone) = match event {
            WatchEvent::Applied { new, .. } => (new, false),
            WatchEvent::Deleted(last) => (last, true),
            WatchEvent::Synced(_) => return,
        };
        let now = if gone { None } else { read(object) };
        let name = &object.metadata.name;
        match source {
            Source::DeviceClasses => self.devices_mut().set_class(name, now.as_ref()),
            Source::ResourceSlices => self.devices_mut().set_slice(name, now.as_ref()),
            _ => self.devices_mut().set_claim(&object.key(), now),
        }
        self.happened(&ClusterEvent::Devices);
    }

    fn devices_mut(&mut self) -> &mut Devices {
        Arc::make_mut(&mut self.cluster.devices)
    }
}

fn read(object: &Object) -> Option<Value> {
    serde_json::from_slice(object.bytes()?).ok()
}

/// Writes what pods take of claims; what was written until an error stays.
pub(super) async fn write(client: &Client, writes: &[ClaimWrite]) -> (Stored, Result<(), Error>) {
    let mut stored = Vec::new();
    for write in writes {
        let mut version = write.after["metadata"]["resourceVersion"].clone();
        let uid = &write.after["metadata"]["uid"];
        if let Some(finalizers) = &write.finalizers {
            let patch = json!({"metadata": {"uid": uid, "resourceVersion": version,
                "finalizers": finalizers}});
            match patch_claim(client, &write.key, "", &patch).await {
                Ok(claim) => {
                    version = json!(claim.metadata.resource_version);
                    stored.push(claim);
                }
                Err(error) => return (stored, Err(error)),
            }
        }
        let patch = json!({"metadata": {"uid": uid, "resourceVersion": version},
            "status": write.status});
        match patch_claim(client, &write.key, "status", &patch).await {
            Ok(claim) => stored.push(claim),
            Err(error) => return (stored, Err(error)),
        }
    }
    (stored, Ok(()))
}

async fn patch_claim(
    client: &Client,
    key: &Key,
    subresource: &str,
    patch: &Value,
) -> Result<Object, Error> {
    let (resource, kind) = (&resources::RESOURCE_CLAIMS, PatchKind::Merge);
    client.patch(resource, &key.namespace, &key.name, subresource, kind, patch).await
}

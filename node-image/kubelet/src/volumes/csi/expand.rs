//! Growing the file system of a volume whose PersistentVolume has grown (KEP 284 and 1790).

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::Csi;
use super::mount::secret_of;
use super::wanted::WantedVolume;
use crate::error::api_message;
use crate::events::EventType;
use crate::pod::PodExt;
use crate::quantity::whole;
use crate::volumes::{Claimed, VolumeContext};

/// What a claim's `allocatedResourceStatuses` tells while a node is to do its part.
const IN_PROGRESS: &str = "NodeResizeInProgress";
const INFEASIBLE: &str = "NodeResizeInfeasible";

impl Csi {
    /// Lets the driver grow the volume when it is smaller than it should be. What goes wrong is told
    /// as an event; the pod goes on.
    pub async fn expand(
        &self,
        context: &VolumeContext,
        pod: &Pod,
        claim: &PersistentVolumeClaim,
        volume: &PersistentVolume,
        mounted: &Claimed,
        wanted: &WantedVolume,
    ) {
        let Some(size) = due(claim, volume).filter(|_| !mounted.read_only) else { return };
        let _alone = self.lock(&wanted.id).await;
        let grown = self.grow(context, claim, &size, mounted, wanted).await;
        let name = &wanted.name;
        let (kind, reason, message) = match grown {
            Ok(true) => (
                EventType::Normal,
                "FileSystemResizeSuccessful",
                format!(
                    "MountVolume.NodeExpandVolume succeeded for volume \"{name}\" {}",
                    self.node_name
                ),
            ),
            Ok(false) => return,
            Err(error) => (
                EventType::Warning,
                "VolumeResizeFailed",
                format!("NodeExpandVolume.NodeExpandVolume failed for volume \"{name}\" : {error}"),
            ),
        };
        context.events.pod(pod, kind, reason, message.clone());
        context.events.claim(claim, kind, reason, message);
        tracing::debug!(pod = pod.described(), volume = name, "the volume was to grow");
    }

    /// Whether it was for this node to do.
    async fn grow(
        &self,
        context: &VolumeContext,
        claim: &PersistentVolumeClaim,
        size: &Quantity,
        mounted: &Claimed,
        wanted: &WantedVolume,
    ) -> Result<bool, String> {
        let driver = self.driver(&wanted.id.driver)?;
        let known = driver.capabilities().await.map_err(|status| status.to_string())?;
        if !known.expand {
            return Ok(false);
        }
        write(context, claim, &statuses(IN_PROGRESS)).await?;
        let secrets = secret_of(context, wanted.expand_secret.as_ref()).await;
        let secrets = secrets.map_err(|(name, reason)| {
            format!("fetching NodeExpandSecretRef {name} failed: {reason}")
        })?;
        let staging = mounted.csi.as_ref().and_then(|csi| csi.staging.as_deref());
        let paths = (mounted.path.as_path(), staging);
        let (handle, usage) = (&wanted.id.handle, &wanted.usage);
        let grown = driver.expand(handle, paths, whole(size), usage, &known, &secrets).await;
        match grown {
            Ok(()) => write(context, claim, &done(claim, size)).await.map(|()| true),
            Err(status) => {
                if status.is_final() {
                    write(context, claim, &statuses(INFEASIBLE)).await?;
                }
                Err(status.to_string())
            }
        }
    }
}

/// The size that the file system is to have, if it is smaller.
fn due(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Option<Quantity> {
    let size = volume.spec.as_ref()?.capacity.as_ref()?.get("storage")?;
    let status = claim.status.as_ref()?;
    let state = status.allocated_resource_statuses.as_ref().and_then(|all| all.get("storage"));
    let known = status.capacity.as_ref()?.get("storage")?;
    let refused = state.is_some_and(|state| state == INFEASIBLE);
    (whole(size) > whole(known) && !refused).then(|| size.clone())
}

fn statuses(state: &str) -> Value {
    json!({"allocatedResourceStatuses": {"storage": state}})
}

/// The status of a claim that has grown.
fn done(claim: &PersistentVolumeClaim, size: &Quantity) -> Value {
    let known = claim.status.as_ref().and_then(|status| status.conditions.clone());
    let about = ["Resizing", "FileSystemResizePending"];
    let left: Vec<_> = known
        .into_iter()
        .flatten()
        .filter(|condition| !about.contains(&condition.type_.as_str()))
        .collect();
    json!({"capacity": {"storage": size}, "conditions": left,
        "allocatedResourceStatuses": {"storage": null}})
}

async fn write(
    context: &VolumeContext,
    claim: &PersistentVolumeClaim,
    status: &Value,
) -> Result<(), String> {
    let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), namespace);
    let patch = Patch::Merge(json!({ "status": status }));
    let written = api.patch_status(name, &PatchParams::default(), &patch).await;
    written.map(drop).map_err(|error| api_message(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(status: Value) -> PersistentVolumeClaim {
        serde_json::from_value(json!({ "status": status })).unwrap()
    }

    #[test]
    fn what_is_to_grow() {
        let check = |size: &str, status: Value, expect: Option<&str>| {
            let volume = json!({"spec": {"capacity": {"storage": size}}});
            let found = due(&claim(status), &serde_json::from_value(volume).unwrap());
            assert_eq!(found.map(|size| size.0).as_deref(), expect);
        };
        let has = |size: &str| json!({"capacity": {"storage": size}});
        check("1Gi", has("1Gi"), None);
        check("2Gi", has("1Gi"), Some("2Gi"));
        check("1Gi", has("2Gi"), None);
        check("2Gi", json!({}), None);
        let refused = json!({"capacity": {"storage": "1Gi"},
            "allocatedResourceStatuses": {"storage": INFEASIBLE}});
        check("2Gi", refused, None);
    }

    #[test]
    fn what_has_grown() {
        let before = claim(json!({"conditions": [
            {"type": "FileSystemResizePending", "status": "True"}, {"type": "Other", "status": "True"}]}));
        let after = done(&before, &Quantity("2Gi".into()));
        assert_eq!(after["conditions"].as_array().unwrap().len(), 1);
        assert_eq!(after["capacity"]["storage"], "2Gi");
    }
}

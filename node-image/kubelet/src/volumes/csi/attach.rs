//! Waiting until a volume is attached to the node, which the attach-detach controller and the
//! driver's own controller see to.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::Api;

use super::paths::attachment_name;
use super::{Csi, VolumeId};
use crate::error::api_message;
use crate::volumes::{MountError, VolumeContext};

/// How long the kubelet waits before it says so and begins again (upstream's figure).
const WAIT_MAX: Duration = Duration::from_secs(123);

impl Csi {
    /// What attaching the volume has told, once it is attached and the node is known to use it.
    pub(super) async fn wait_for_attach(
        &self,
        context: &VolumeContext,
        volume: (&str, &str),
        id: &VolumeId,
    ) -> Result<BTreeMap<String, String>, MountError> {
        let (name_in_pod, name) = volume;
        let unique = id.unique_name();
        let mut node = context.node.clone();
        let attached =
            node.wait_for(|node| node.as_ref().is_some_and(|node| is_attached(node, &unique)));
        if tokio::time::timeout(WAIT_MAX, attached).await.is_err() {
            return Err(MountError::Unattached { volume: name_in_pod.to_owned() });
        }
        let failed = |reason| MountError::Step {
            operation: "MountVolume.WaitForAttach",
            volume: name.to_owned(),
            reason,
        };
        let attachment = attachment_name(&id.driver, &id.handle, &self.node_name);
        let api: Api<VolumeAttachment> = Api::all(context.client.clone());
        let found = api.get(&attachment).await.map_err(|error| {
            failed(format!(
                "volume {} has GET error for volume attachment {attachment}: {}",
                id.handle,
                api_message(&error)
            ))
        })?;
        told(&id.handle, found).map_err(failed)
    }
}

/// Whether the volume is attached, and those who would detach it know that it is needed.
fn is_attached(node: &Node, unique: &str) -> bool {
    let Some(status) = &node.status else { return false };
    let attached = status.volumes_attached.iter().flatten().any(|volume| volume.name == unique);
    attached && status.volumes_in_use.iter().flatten().any(|name| name == unique)
}

fn told(handle: &str, found: VolumeAttachment) -> Result<BTreeMap<String, String>, String> {
    if found.metadata.deletion_timestamp.is_some() {
        return Err(format!("volume attachment is being deleted for volume {handle}"));
    }
    let status = found.status.unwrap_or_default();
    match (status.attached, status.attach_error.and_then(|error| error.message)) {
        (true, _) => Ok(status.attachment_metadata.unwrap_or_default()),
        (false, Some(message)) => Err(message),
        (false, None) => Err(format!("volume {handle} is not attached")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn attached_and_known_to_be_used() {
        let check = |attached: &str, used: &str, expect: bool| {
            let node = serde_json::from_value(json!({"status": {
                "volumesAttached": [{"name": attached, "devicePath": ""}],
                "volumesInUse": [used]}}));
            assert_eq!(is_attached(&node.unwrap(), "v"), expect);
        };
        check("v", "v", true);
        check("v", "w", false);
        check("w", "v", false);
    }

    #[test]
    fn what_attaching_told() {
        let check = |status: Value, expect: Result<usize, &str>| {
            let attachment = json!({"metadata": {}, "status": status,
                "spec": {"attacher": "d", "nodeName": "n", "source": {}}});
            let found = told("h", serde_json::from_value(attachment).unwrap());
            assert_eq!(found.map(|map| map.len()), expect.map_err(str::to_owned));
        };
        check(json!({"attached": true, "attachmentMetadata": {"a": "b"}}), Ok(1));
        check(json!({"attached": false}), Err("volume h is not attached"));
        check(json!({"attached": false, "attachError": {"message": "no"}}), Err("no"));
    }
}

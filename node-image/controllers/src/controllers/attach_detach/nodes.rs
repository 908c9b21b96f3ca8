//! What Nodes, CSINodes and VolumeAttachments tell, and which nodes a change concerns.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeStatus, PersistentVolume, Pod};
use k8s_openapi::api::storage::v1::{CSINode, VolumeAttachment};
use kd_client::{Change, Object, View, resources};

use super::volumes::claims_of;

/// On Nodes whose volumes are attached from here.
const MANAGED: &str = "volumes.kubernetes.io/controller-managed-attach-detach";
/// The taint by which somebody vouches that a node is off.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// `csi-` and a SHA-256 in hexadecimal digits.
const NAME_LENGTH: usize = 4 + 64;

/// An attachment of a node.
#[derive(Clone, Debug)]
pub struct Attached {
    /// Of which object.
    pub uid: String,
    /// The driver has attached it.
    pub attached: bool,
    /// It is to be detached.
    pub deleting: bool,
    /// What the driver said last.
    pub error: Option<String>,
}

/// The attachments of a node that were made here, by their names.
pub fn attachments(view: &View, node: &str) -> BTreeMap<String, Attached> {
    let all = view.objects(&resources::VOLUME_ATTACHMENTS, None);
    let ours = all.filter(|object| {
        let name = &object.metadata.name;
        name.starts_with("csi-") && name.len() == NAME_LENGTH
    });
    let found = ours.filter_map(|object| {
        let decoded = object.decode::<VolumeAttachment>()?;
        if decoded.spec.node_name != node {
            return None;
        }
        let status = decoded.status.unwrap_or_default();
        let attached = Attached {
            uid: object.metadata.uid.clone(),
            attached: status.attached,
            deleting: object.metadata.is_deleting(),
            error: status.attach_error.and_then(|error| error.message),
        };
        Some((object.metadata.name.clone(), attached))
    });
    found.collect()
}

/// Whether a driver is registered on a node.
pub fn has_driver(view: &View, node: &str, driver: &str) -> bool {
    let found: Option<CSINode> = view.get("", node);
    found.is_some_and(|node| node.spec.drivers.iter().any(|known| known.name == driver))
}

/// Whether the node's volumes are attached from here.
pub fn is_managed(node: &Node) -> bool {
    let annotations = node.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(MANAGED)).is_some_and(|value| value == "true")
}

/// Whether the node is said to be off for good.
pub fn is_out_of_service(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    taints.iter().any(|taint| taint.key == OUT_OF_SERVICE)
}

/// Whether the node is well.
pub fn is_ready(node: &Node) -> bool {
    let conditions = status(node).and_then(|status| status.conditions.as_deref());
    conditions.unwrap_or_default().iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// `status.volumesInUse`
pub fn told_in_use(node: &Node) -> Vec<String> {
    status(node).and_then(|status| status.volumes_in_use.clone()).unwrap_or_default()
}

/// The names of `status.volumesAttached`.
pub fn told_attached(node: &Node) -> Vec<String> {
    let told = status(node).and_then(|status| status.volumes_attached.as_deref());
    told.unwrap_or_default().iter().map(|volume| volume.name.clone()).collect()
}

fn status(node: &Node) -> Option<&NodeStatus> {
    node.status.as_ref()
}

/// The nodes that a change concerns.
pub fn concerned(view: &View, change: &Change) -> Vec<String> {
    let states: Vec<&Object> = change.old.iter().chain(&change.new).map(AsRef::as_ref).collect();
    let Some(object) = states.last() else { return Vec::new() };
    let is = |resource| change.resource.same(resource);
    let mut names: Vec<String> = if is(&resources::PODS) {
        states.iter().filter_map(|pod| pod.node().map(str::to_owned)).collect()
    } else if is(&resources::PERSISTENT_VOLUME_CLAIMS) {
        users_of(view, &object.metadata.namespace, &object.metadata.name)
    } else if is(&resources::PERSISTENT_VOLUMES) {
        users_of_volume(view, &object.metadata.name)
    } else if is(&resources::VOLUME_ATTACHMENTS) {
        let found = object.decode::<VolumeAttachment>();
        let mut names = Vec::new();
        if let Some(found) = found {
            // Others may wait for it.
            let volume = found.spec.source.persistent_volume_name.filter(|_| change.new.is_none());
            names.extend(volume.into_iter().flat_map(|name| users_of_volume(view, &name)));
            names.push(found.spec.node_name);
        }
        names
    } else if is(&resources::CSI_DRIVERS) {
        view.nodes_with_pods().map(str::to_owned).collect()
    } else {
        vec![object.metadata.name.clone()]
    };
    names.sort_unstable();
    names.dedup();
    names
}

fn users_of_volume(view: &View, name: &str) -> Vec<String> {
    let volume: Option<PersistentVolume> = view.get("", name);
    let claim = volume.and_then(|volume| volume.spec).and_then(|spec| spec.claim_ref);
    let Some(claim) = claim else { return Vec::new() };
    users_of(view, &claim.namespace.unwrap_or_default(), &claim.name.unwrap_or_default())
}

/// The nodes of the pods that use a claim.
fn users_of(view: &View, namespace: &str, claim: &str) -> Vec<String> {
    let pods = view.objects(&resources::PODS, Some(namespace));
    let users = pods.filter_map(|object| {
        let node = object.node()?;
        let pod = object.decode::<Pod>()?;
        claims_of(object, &pod).iter().any(|name| name == claim).then(|| node.to_owned())
    });
    users.collect()
}

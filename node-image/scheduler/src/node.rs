//! What scheduling needs to know of a node and of the pods on it, kept up to date pod by pod.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Taint};

use crate::pod::PodFacts;
use crate::resource_amounts::Amounts;
use crate::topology::Slot;

/// A node. What its object says is shared between states of it.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    /// Name.
    pub name: String,
    /// Its place in the cluster's list.
    pub slot: Slot,
    /// Whether the Node object exists (pods may be bound to a node that is not there any more).
    pub exists: bool,
    /// Labels.
    pub labels: Arc<BTreeMap<String, String>>,
    /// Taints.
    pub taints: Arc<[Taint]>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// What it has for pods.
    pub allocatable: Amounts,
    /// How many pods it takes.
    pub pods_max: i64,
    /// Image names and their sizes.
    pub images: Arc<HashMap<String, i64>>,
    /// The pods on it, those about to be bound included.
    pub pods: Vec<Arc<PodFacts>>,
    /// How many of them take ports of the node.
    pub pods_with_ports: usize,
    /// What they asked for.
    pub requested: Amounts,
    /// Likewise for scoring.
    pub scoring: Amounts,
}

impl NodeFacts {
    /// Takes over what the Node object says.
    pub fn update(&mut self, node: Node) {
        let spec = node.spec.unwrap_or_default();
        let status = node.status.unwrap_or_default();
        self.exists = true;
        self.name = node.metadata.name.unwrap_or_default();
        self.labels = Arc::new(node.metadata.labels.unwrap_or_default());
        self.taints = spec.taints.unwrap_or_default().into();
        self.unschedulable = spec.unschedulable.unwrap_or(false);
        let allocatable = status.allocatable.as_ref().or(status.capacity.as_ref());
        self.allocatable = Amounts::of(allocatable);
        let pods = allocatable.and_then(|list| list.get("pods"));
        let parsed = pods.and_then(|q| q.0.parse::<kd_api::quantity::Quantity>().ok());
        self.pods_max = parsed.map_or(0, |quantity| quantity.value());
        let mut images = HashMap::new();
        for image in status.images.unwrap_or_default() {
            let size = image.size_bytes.unwrap_or(0);
            images.extend(image.names.unwrap_or_default().into_iter().map(|name| (name, size)));
        }
        self.images = Arc::new(images);
    }

    /// Whether both say the same of the node itself.
    pub fn same_node(&self, other: &NodeFacts) -> bool {
        self.exists == other.exists
            && self.labels == other.labels
            && self.taints == other.taints
            && self.unschedulable == other.unschedulable
            && self.allocatable == other.allocatable
            && self.pods_max == other.pods_max
    }

    /// Adds a pod.
    pub fn add(&mut self, pod: Arc<PodFacts>) {
        self.requested.add(&pod.wishes.requests);
        self.scoring.add(&pod.wishes.scoring);
        self.pods_with_ports += usize::from(!pod.wishes.ports.is_empty());
        self.pods.push(pod);
    }

    /// Removes a pod.
    pub fn remove(&mut self, pod: &PodFacts) {
        let Some(place) = self.pods.iter().position(|p| p.key == pod.key) else { return };
        let gone = self.pods.swap_remove(place);
        self.requested.subtract(&gone.wishes.requests);
        self.scoring.subtract(&gone.wishes.scoring);
        self.pods_with_ports -= usize::from(!gone.wishes.ports.is_empty());
    }
}

//! What scheduling needs to know of a node and of the pods on it, kept up to date pod by pod.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Taint};

use crate::pod::PodFacts;
use crate::resource_amounts::Amounts;

/// A node.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    /// Name.
    pub name: String,
    /// Whether the Node object exists (pods may be bound to a node that is not there any more).
    pub exists: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Taints.
    pub taints: Vec<Taint>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// What it has for pods.
    pub allocatable: Amounts,
    /// How many pods it takes.
    pub pods_max: i64,
    /// Image names and their sizes.
    pub images: HashMap<String, i64>,
    /// The pods on it, those about to be bound included.
    pub pods: Vec<Arc<PodFacts>>,
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
        self.labels = node.metadata.labels.unwrap_or_default();
        self.taints = spec.taints.unwrap_or_default();
        self.unschedulable = spec.unschedulable.unwrap_or(false);
        let allocatable = status.allocatable.as_ref().or(status.capacity.as_ref());
        self.allocatable = Amounts::of(allocatable);
        let pods = allocatable.and_then(|list| list.get("pods"));
        let parsed = pods.and_then(|q| q.0.parse::<kd_api::quantity::Quantity>().ok());
        self.pods_max = parsed.map_or(0, |quantity| quantity.value());
        self.images.clear();
        for image in status.images.unwrap_or_default() {
            let size = image.size_bytes.unwrap_or(0);
            self.images
                .extend(image.names.unwrap_or_default().into_iter().map(|name| (name, size)));
        }
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
        self.scoring.add(&pod.scoring);
        self.pods.push(pod);
    }

    /// Removes a pod.
    pub fn remove(&mut self, pod: &PodFacts) {
        let Some(place) = self.pods.iter().position(|p| p.key == pod.key) else { return };
        let gone = self.pods.swap_remove(place);
        self.requested.subtract(&gone.wishes.requests);
        self.scoring.subtract(&gone.scoring);
    }
}

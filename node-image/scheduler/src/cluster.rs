//! The state that scheduling decides on: nodes with their pods, assumed ones included. Cloning
//! shares the nodes, so that preemption can try things out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use kd_client::Key;

use crate::budget::Budget;
use crate::node::NodeFacts;
use crate::pod::PodFacts;
use crate::siblings::Siblings;
use crate::storage::Storage;

/// Nodes, pods, namespaces and storage.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    nodes: BTreeMap<String, Arc<NodeFacts>>,
    placed: HashMap<Key, Arc<PodFacts>>,
    /// Labels of namespaces, for selectors over them.
    pub namespaces: HashMap<String, BTreeMap<String, String>>,
    /// PersistentVolumes, their claims and classes.
    pub storage: Arc<Storage>,
    /// PodDisruptionBudgets.
    pub budgets: Arc<HashMap<Key, Budget>>,
    /// What selects the pods that belong together.
    pub siblings: Arc<Siblings>,
}

impl Cluster {
    /// The nodes that exist, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<NodeFacts>> {
        self.nodes.values().filter(|node| node.exists)
    }

    /// A node that exists.
    pub fn node(&self, name: &str) -> Option<&Arc<NodeFacts>> {
        self.nodes.get(name).filter(|node| node.exists)
    }

    /// A pod that is on a node, or about to be.
    pub fn placed(&self, key: &Key) -> Option<&Arc<PodFacts>> {
        self.placed.get(key)
    }

    /// All pods that are on a node, or about to be.
    pub fn all_placed(&self) -> impl Iterator<Item = &Arc<PodFacts>> {
        self.placed.values()
    }

    /// A node is new or changed; tells whether that matters to scheduling.
    pub fn set_node(&mut self, node: Node) -> bool {
        let name = node.metadata.name.clone().unwrap_or_default();
        let facts = Arc::make_mut(self.nodes.entry(name).or_default());
        let before = NodeFacts { pods: Vec::new(), ..facts.clone() };
        facts.update(node);
        !facts.same_node(&before)
    }

    /// A node is gone; its pods may outlive it for a while.
    pub fn remove_node(&mut self, name: &str) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        if node.pods.is_empty() {
            self.nodes.remove(name);
        } else {
            Arc::make_mut(node).exists = false;
        }
    }

    /// A pod is on its node, or assumed there.
    pub fn place(&mut self, pod: Arc<PodFacts>) {
        self.unplace(&pod.key);
        let Some(name) = pod.node.clone() else { return };
        let node = Arc::make_mut(self.nodes.entry(name.clone()).or_default());
        if node.name.is_empty() {
            node.name = name;
        }
        node.add(pod.clone());
        self.placed.insert(pod.key.clone(), pod);
    }

    /// A pod is not on a node any more; tells what it was.
    pub fn unplace(&mut self, key: &Key) -> Option<Arc<PodFacts>> {
        let pod = self.placed.remove(key)?;
        let name = pod.node.as_deref()?;
        let node = Arc::make_mut(self.nodes.get_mut(name)?);
        node.remove(&pod);
        if node.pods.is_empty() && !node.exists {
            self.nodes.remove(name);
        }
        Some(pod)
    }
}

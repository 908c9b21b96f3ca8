//! NodeVolumeLimits: a node has no more volumes of a CSI driver than the driver says it can have.

use std::collections::{BTreeMap, BTreeSet};

use kd_client::Key;

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Plugin, Prepared, Refusal};
use crate::pod::PodFacts;
use crate::storage::Storage;

const REASON: &str = "node(s) exceed max volume count";

pub(super) struct NodeVolumeLimits;

/// Volumes by their drivers.
type Volumes = BTreeMap<String, BTreeSet<String>>;

struct New<'a> {
    storage: &'a Storage,
    volumes: Volumes,
}

/// Adds the volumes of a pod, those that are still to be made under their claims' names.
fn add(storage: &Storage, pod: &PodFacts, volumes: &mut Volumes) {
    for used in &pod.wishes.claims {
        let claim = storage.claim(&Key::new(&pod.key.namespace, &used.name));
        if let Some((driver, volume)) = claim.and_then(|claim| storage.driver_of(claim)) {
            volumes.entry(driver).or_default().insert(volume);
        }
    }
}

impl Plugin for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        "NodeVolumeLimits"
    }

    fn prepare<'a>(
        &'a self,
        cluster: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        let (storage, mut volumes) = (&*cluster.storage, Volumes::new());
        add(storage, pod, &mut volumes);
        let none = volumes.is_empty();
        Ok((!none).then(|| Box::new(New { storage, volumes }) as Box<dyn Prepared>))
    }

    fn helped_by(&self, event: &ClusterEvent, _: &PodFacts) -> bool {
        matches!(event, ClusterEvent::Storage | ClusterEvent::PodRemoved(_) | ClusterEvent::Node(_))
    }
}

impl Prepared for New<'_> {
    fn filter(&self, node: &NodeFacts) -> Vec<Refusal> {
        if !self.storage.csi.has_limits(&node.name) {
            return Vec::new();
        }
        let mut there = Volumes::new();
        for pod in &node.pods {
            add(self.storage, pod, &mut there);
        }
        let none = BTreeSet::new();
        let exceeds = |(driver, wanted): (&String, &BTreeSet<String>)| {
            let limit = self.storage.csi.limit(&node.name, driver);
            let there = there.get(driver).unwrap_or(&none);
            let all = i64::try_from(there.union(wanted).count()).unwrap_or(i64::MAX);
            // What is there already needs no room.
            limit.is_some_and(|limit| all > limit) && !wanted.is_subset(there)
        };
        match self.volumes.iter().any(exceeds) {
            true => vec![Refusal::resolvable(REASON)],
            false => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::storage::{ClaimFacts, VolumeFacts};
    use crate::testing::{cluster, decide, node, pod};

    fn uses(claims: &[&str], node: &str) -> Value {
        let volume =
            |name: &&str| json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
        let volumes: Vec<Value> = claims.iter().map(volume).collect();
        json!({"spec": {"nodeName": node, "volumes": volumes}})
    }

    fn storage(limit: i32) -> Storage {
        let mut storage = Storage::default();
        for name in ["a", "b", "c"] {
            let claim = json!({"metadata": {"name": name, "namespace": "n"},
                "spec": {"volumeName": name}, "status": {"phase": "Bound"}});
            storage.set_claim(ClaimFacts::of(serde_json::from_value(claim).unwrap()));
            let volume = json!({"metadata": {"name": name},
                "spec": {"csi": {"driver": "d", "volumeHandle": name}}});
            storage.set_volume(VolumeFacts::of(serde_json::from_value(volume).unwrap()));
        }
        let driver = json!({"name": "d", "nodeID": "i", "allocatable": {"count": limit}});
        let told = json!({"metadata": {"name": "x"}, "spec": {"drivers": [driver]}});
        storage.csi.set_node("x", serde_json::from_value(told).ok());
        storage
    }

    #[test]
    fn no_more_than_the_limit() {
        let check = |limit: i32, there: &[&str], wanted: &[&str], ok: bool| {
            let pods = [pod("q", uses(there, "x"))];
            let mut cluster = cluster(&[node("x", json!({}))], &pods);
            cluster.storage = Arc::new(storage(limit));
            let refused = decide(&cluster, &pod("p", uses(wanted, ""))).map_err(|d| d.message(""));
            match ok {
                true => assert!(refused.is_ok(), "{refused:?}"),
                false => {
                    let text = format!("0/1 nodes are available: 1 {REASON}.");
                    assert_eq!(refused.unwrap_err(), text);
                }
            }
        };
        check(2, &["a"], &["b"], true);
        check(1, &["a"], &["b"], false);
        check(1, &["a"], &["a"], true);
        check(2, &["a"], &["b", "c"], false);
        check(0, &[], &["a"], false);
    }
}

//! VolumeRestrictions: a claim of mode ReadWriteOncePod has one pod at a time, on any node.

use kd_client::Key;

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Plugin, Prepared, Refusal};
use crate::pod::PodFacts;

const REASON: &str = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access \
    mode already in-use by another pod";

pub(super) struct VolumeRestrictions;

struct InUse;

impl Plugin for VolumeRestrictions {
    fn name(&self) -> &'static str {
        "VolumeRestrictions"
    }

    fn prepare<'a>(
        &'a self,
        cluster: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        let namespace = &pod.key.namespace;
        let one_pod = |name: &str| {
            let claim = cluster.storage.claim(&Key::new(namespace, name));
            claim.is_some_and(|claim| claim.one_pod)
        };
        let mut exclusive = pod
            .wishes
            .claims
            .iter()
            .map(|wanted| wanted.name.as_str())
            .filter(|name| one_pod(name));
        let taken = exclusive.any(|name| uses(cluster, namespace, name));
        Ok(taken.then(|| Box::new(InUse) as Box<dyn Prepared>))
    }

    fn helped_by(&self, event: &ClusterEvent, _: &PodFacts) -> bool {
        matches!(event, ClusterEvent::PodRemoved(_) | ClusterEvent::Storage)
    }
}

fn uses(cluster: &Cluster, namespace: &str, name: &str) -> bool {
    let uses = |pod: &PodFacts| {
        *pod.key.namespace == *namespace && pod.wishes.claims.iter().any(|used| used.name == name)
    };
    cluster.all_placed().any(|pod| uses(pod))
}

impl Prepared for InUse {
    fn filter(&self, _: &NodeFacts) -> Vec<Refusal> {
        vec![Refusal::resolvable(REASON)]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::storage::{ClaimFacts, Storage, VolumeFacts};
    use crate::testing::{cluster, decide, node, pod};

    #[test]
    fn one_pod_at_a_time() {
        let check = |mode: &str, ok: bool| {
            let mut storage = Storage::default();
            let claim = json!({"metadata": {"name": "c", "namespace": "n"},
                "spec": {"volumeName": "v", "accessModes": [mode]}, "status": {"phase": "Bound"}});
            storage.set_claim(ClaimFacts::of(serde_json::from_value(claim).unwrap()));
            let volume = json!({"metadata": {"name": "v"}, "spec": {}});
            storage.set_volume(VolumeFacts::of(serde_json::from_value(volume).unwrap()));
            let spec = |node: &str| {
                json!({"spec": {"nodeName": node, "volumes": [
                    {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}})
            };
            let mut cluster = cluster(&[node("a", json!({}))], &[pod("q", spec("a"))]);
            cluster.storage = Arc::new(storage);
            let refused = decide(&cluster, &pod("p", spec(""))).map_err(|d| d.message(""));
            match ok {
                true => assert!(refused.is_ok()),
                false => {
                    let text = format!("0/1 nodes are available: 1 {REASON}.");
                    assert_eq!(refused.unwrap_err(), text);
                }
            }
        };
        check("ReadWriteOnce", true);
        check("ReadWriteOncePod", false);
    }
}

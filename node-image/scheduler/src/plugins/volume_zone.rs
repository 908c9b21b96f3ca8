//! VolumeZone: a pod goes where its bound volumes' zone and region labels say that they are.

use kd_client::Key;

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Plugin, Prepared, Refusal};
use crate::pod::PodFacts;

const REASON: &str = "node(s) had no available volume zone";
/// The labels that count, with the names that they had before.
const LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
];
/// Between the zones of a volume that is in several.
const SEPARATOR: &str = "__";

pub(super) struct VolumeZone;

/// A label, its other name, and the values that a node may have.
struct Places<'a>(Vec<(&'static str, &'static str, Vec<&'a str>)>);

impl Plugin for VolumeZone {
    fn name(&self) -> &'static str {
        "VolumeZone"
    }

    fn prepare<'a>(
        &'a self,
        cluster: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        let storage = &*cluster.storage;
        let claims = pod.wishes.claims.iter().filter_map(|used| {
            storage.claim(&Key::new(&pod.key.namespace, &used.name)).filter(|claim| claim.bound)
        });
        let volumes = claims.filter_map(|claim| storage.volume(&claim.volume));
        let places: Vec<_> = volumes
            .flat_map(|volume| {
                LABELS.iter().filter_map(|(label, other)| {
                    let value = volume.labels.get(*label)?;
                    Some((*label, *other, value.split(SEPARATOR).collect()))
                })
            })
            .collect();
        let none = places.is_empty();
        Ok((!none).then(|| Box::new(Places(places)) as Box<dyn Prepared>))
    }

    fn helped_by(&self, event: &ClusterEvent, _: &PodFacts) -> bool {
        matches!(event, ClusterEvent::Storage | ClusterEvent::Node(_))
    }
}

impl Prepared for Places<'_> {
    fn filter(&self, node: &NodeFacts) -> Vec<Refusal> {
        // A node that is nowhere in particular is taken to be everywhere.
        if !LABELS.iter().any(|(label, _)| node.labels.contains_key(*label)) {
            return Vec::new();
        }
        let fits = |(label, other, values): &(&str, &str, Vec<&str>)| {
            let place = node.labels.get(*label).or_else(|| node.labels.get(*other));
            place.is_some_and(|place| values.contains(&place.as_str()))
        };
        match self.0.iter().all(fits) {
            true => Vec::new(),
            false => vec![Refusal::fixed(REASON)],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::storage::{ClaimFacts, Storage, VolumeFacts};
    use crate::testing::{cluster, decide, node, pod};

    #[test]
    fn where_the_volume_is() {
        let check = |volume: Value, labels: Value, ok: bool| {
            let mut storage = Storage::default();
            let claim = json!({"metadata": {"name": "c", "namespace": "n"},
                "spec": {"volumeName": "v"}, "status": {"phase": "Bound"}});
            storage.set_claim(ClaimFacts::of(serde_json::from_value(claim).unwrap()));
            let volume = json!({"metadata": {"name": "v", "labels": volume}, "spec": {}});
            storage.set_volume(VolumeFacts::of(serde_json::from_value(volume).unwrap()));
            let mut cluster = cluster(&[node("x", json!({"metadata": {"labels": labels}}))], &[]);
            cluster.storage = Arc::new(storage);
            let wanted = json!({"spec": {"volumes": [
                {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}});
            let found = decide(&cluster, &pod("p", wanted)).map_err(|d| d.message(""));
            let text = format!("0/1 nodes are available: 1 {REASON}.");
            assert_eq!(found, if ok { Ok("x".to_owned()) } else { Err(text) });
        };
        let zone = |value: &str| json!({"topology.kubernetes.io/zone": value});
        check(zone("a"), zone("a"), true);
        check(zone("a"), zone("b"), false);
        check(zone("a__b"), zone("b"), true);
        check(zone("a"), json!({}), true);
        check(json!({}), zone("b"), true);
        check(zone("a"), json!({"failure-domain.beta.kubernetes.io/zone": "a"}), true);
        check(zone("a"), json!({"topology.kubernetes.io/region": "r"}), false);
    }
}

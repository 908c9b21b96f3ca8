//! VolumeBinding, the minimum: a pod waits until each of its claims has a volume.

use kd_client::Key;

use crate::cluster::{Claim, Cluster};
use crate::plugin::{ClusterEvent, Plugin, Prepared, Refusal};
use crate::pod::PodFacts;

pub(super) struct VolumeBinding;

impl Plugin for VolumeBinding {
    fn name(&self) -> &'static str {
        "VolumeBinding"
    }

    fn prepare<'a>(
        &self,
        cluster: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        for name in &pod.wishes.claims {
            match cluster.claims.get(&Key::new(&pod.key.namespace, name)) {
                Some(Claim::Bound) => {}
                Some(Claim::Unbound) => {
                    return Err(Refusal::fixed("pod has unbound immediate PersistentVolumeClaims"));
                }
                None => {
                    return Err(Refusal::fixed(format!(
                        "persistentvolumeclaim {name:?} not found"
                    )));
                }
            }
        }
        Ok(None)
    }

    fn helped_by(&self, event: &ClusterEvent, _: &PodFacts) -> bool {
        matches!(event, ClusterEvent::Claim)
    }
}

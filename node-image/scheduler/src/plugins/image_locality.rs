//! ImageLocality: a node that has the pod's images already is better, the more so the larger they
//! are and the more nodes have them.

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Plugin, Prepared, Refusal, SCORE_MAX};
use crate::pod::PodFacts;

const BYTES_MIN: i64 = 23 * 1024 * 1024;
const BYTES_MAX_PER_CONTAINER: i64 = 1000 * 1024 * 1024;

pub(super) struct ImageLocality;

struct Images {
    /// Name and share of the nodes that have it.
    wanted: Vec<(String, f64)>,
}

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn prepare<'a>(
        &'a self,
        cluster: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        let total = cluster.count().max(1) as f64;
        let share = |name: &str| cluster.nodes_with_image(name) as f64 / total;
        let names = pod.wishes.images.iter().map(|image| normalized(image));
        let wanted = names.map(|name| (name.clone(), share(&name))).collect();
        Ok(Some(Box::new(Images { wanted })))
    }

    fn helped_by(&self, _: &ClusterEvent, _: &PodFacts) -> bool {
        false
    }
}

/// Nodes list images with their tag.
fn normalized(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || image.contains('@') {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

impl Prepared for Images {
    fn filters(&self) -> bool {
        false
    }

    fn prepare_scores(&mut self, _: &[&NodeFacts]) -> bool {
        self.wanted.iter().any(|(_, share)| *share > 0.0)
    }

    fn score(&self, node: &NodeFacts) -> i64 {
        let bytes: i64 = self
            .wanted
            .iter()
            .filter_map(|(name, share)| Some((*node.images.get(name)? as f64 * share) as i64))
            .sum();
        let most = BYTES_MAX_PER_CONTAINER * self.wanted.len().max(1) as i64;
        SCORE_MAX * (bytes.clamp(BYTES_MIN, most) - BYTES_MIN) / (most - BYTES_MIN)
    }
}

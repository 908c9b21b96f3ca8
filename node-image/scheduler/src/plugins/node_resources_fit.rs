//! NodeResourcesFit: a node has to have what a pod asks for. By default the emptier node is better;
//! profiles may want the fuller one, or score by a function of use.

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Plugin, Prepared, Refusal, SCORE_MAX};
use crate::pod::PodFacts;
use crate::resource_amounts::ResourceName;

/// A resource that is scored, and its weight.
pub type Weighed = (String, i64);

/// How nodes are scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The emptier the better.
    Least,
    /// The fuller the better.
    Most,
    /// By a function from use (percent) to score (0 to 100), as points with straight lines between.
    Shape(Vec<(i64, i64)>),
}

/// The plugin.
pub struct NodeResourcesFit {
    /// How it scores.
    pub strategy: Strategy,
    /// By which resources.
    pub resources: Vec<Weighed>,
    /// Extended resources that it does not look at.
    pub ignored: Vec<String>,
    /// Likewise, by the part before the slash.
    pub ignored_groups: Vec<String>,
}

/// CPU and memory alike.
pub fn cpu_and_memory() -> Vec<Weighed> {
    ["cpu", "memory"].map(|name| (name.to_owned(), 1)).into()
}

impl Default for NodeResourcesFit {
    fn default() -> NodeResourcesFit {
        NodeResourcesFit {
            strategy: Strategy::Least,
            resources: cpu_and_memory(),
            ignored: Vec::new(),
            ignored_groups: Vec::new(),
        }
    }
}

struct Fit<'a> {
    plugin: &'a NodeResourcesFit,
    pod: &'a PodFacts,
    /// What is scored: how much the pod asks for, and the weight.
    scored: Vec<(ResourceName<'a>, i64, i64)>,
}

impl<'a> Fit<'a> {
    fn of(plugin: &'a NodeResourcesFit, pod: &'a PodFacts) -> Fit<'a> {
        let scored = |(name, weight): &'a Weighed| {
            let name = ResourceName::of(name);
            (name, pod.wishes.scoring.get(name), *weight)
        };
        Fit { plugin, pod, scored: plugin.resources.iter().map(scored).collect() }
    }
}

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn prepare<'a>(
        &'a self,
        _: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        Ok(Some(Box::new(Fit::of(self, pod))))
    }

    fn helped_by(&self, event: &ClusterEvent, pod: &PodFacts) -> bool {
        match event {
            ClusterEvent::Node(node) => Fit::of(self, pod).filter(node).is_empty(),
            ClusterEvent::PodRemoved(_) => true,
            _ => false,
        }
    }
}

impl NodeResourcesFit {
    fn ignores(&self, name: &str) -> bool {
        let group = name.split('/').next().unwrap_or_default();
        self.ignored.iter().any(|ignored| ignored == name)
            || self.ignored_groups.iter().any(|ignored| ignored == group)
    }

    fn score(&self, have: i64, used: i64) -> i64 {
        match &self.strategy {
            Strategy::Least if used > have => 0,
            Strategy::Least => (have - used).saturating_mul(SCORE_MAX) / have,
            Strategy::Most => used.min(have).saturating_mul(SCORE_MAX) / have,
            Strategy::Shape(points) if used > have => on_shape(points, 100),
            Strategy::Shape(points) => on_shape(points, used.saturating_mul(100) / have),
        }
    }
}

/// The value of a function of points at a place.
fn on_shape(points: &[(i64, i64)], at: i64) -> i64 {
    let after = points.iter().position(|(x, _)| *x >= at);
    match (after, points) {
        (_, []) => 0,
        (None, [.., (_, last)]) => *last,
        (Some(0), [(_, first), ..]) => *first,
        (Some(index), points) => {
            let ((x0, y0), (x1, y1)) = (points[index - 1], points[index]);
            y0 + (y1 - y0) * (at - x0) / (x1 - x0)
        }
    }
}

/// What every node has, and what is told of nodes with too little of it.
const NATIVE: [(ResourceName<'static>, &str); 3] = [
    (ResourceName::Cpu, "Insufficient cpu"),
    (ResourceName::Memory, "Insufficient memory"),
    (ResourceName::Ephemeral, "Insufficient ephemeral-storage"),
];

/// Whether too little is left; then, whether removing pods could change that.
fn lacks(wanted: i64, have: i64, used: i64) -> Option<bool> {
    (wanted > 0 && wanted > have - used).then_some(wanted <= have)
}

impl Prepared for Fit<'_> {
    fn filter(&self, node: &NodeFacts) -> Vec<Refusal> {
        let wanted = &self.pod.wishes.requests;
        let (have, used) = (&node.allocatable, &node.requested);
        let mut refusals = Vec::new();
        if node.pods.len() as i64 + 1 > node.pods_max {
            refusals.push(Refusal::resolvable("Too many pods"));
        }
        for (name, reason) in NATIVE {
            if let Some(resolvable) = lacks(wanted.get(name), have.get(name), used.get(name)) {
                refusals.push(Refusal { reason: reason.into(), resolvable });
            }
        }
        for (name, amount) in wanted.extended.iter().filter(|(name, _)| !self.plugin.ignores(name))
        {
            let extended = ResourceName::Extended(name);
            if let Some(resolvable) = lacks(*amount, have.get(extended), used.get(extended)) {
                let reason = format!("Insufficient {name}").into();
                refusals.push(Refusal { reason, resolvable });
            }
        }
        refusals
    }

    fn score(&self, node: &NodeFacts) -> i64 {
        let (mut total, mut weights) = (0, 0);
        for (name, wanted, weight) in &self.scored {
            let have = node.allocatable.get(*name);
            // What neither the node has nor the pod asks for says nothing.
            if have == 0 || (*wanted == 0 && !name.is_native()) {
                continue;
            }
            let score = self.plugin.score(have, node.scoring.get(*name) + wanted);
            // Shapes leave out what they score 0.
            if score > 0 || !matches!(self.plugin.strategy, Strategy::Shape(_)) {
                total += score * weight;
                weights += weight;
            }
        }
        match &self.plugin.strategy {
            _ if weights == 0 => 0,
            Strategy::Shape(_) => (total + weights / 2) / weights,
            _ => total / weights,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{cluster, node, pod};

    #[test]
    fn strategies() {
        let check = |strategy: Strategy, expect: i64| {
            let plugin = NodeResourcesFit { strategy, ..NodeResourcesFit::default() };
            let cluster = cluster(&[node("a", json!({}))], &[]);
            // Half of 4 CPUs, a quarter of 8 GiB.
            let pod = pod(
                "p",
                json!({"spec": {"containers": [{"name": "c", "resources": {
                "requests": {"cpu": "2", "memory": "2Gi"}}}]}}),
            );
            let fit = plugin.prepare(&cluster, &pod).unwrap().unwrap();
            assert_eq!(fit.score(cluster.node("a").unwrap()), expect, "{:?}", plugin.strategy);
        };
        check(Strategy::Least, (50 + 75) / 2);
        check(Strategy::Most, (50 + 25) / 2);
        check(Strategy::Shape(vec![(0, 0), (100, 100)]), 38);
        check(Strategy::Shape(vec![(0, 100), (50, 0)]), 50);
    }

    #[test]
    fn what_is_not_looked_at() {
        let check = |plugin: NodeResourcesFit, fits: bool| {
            let cluster = cluster(&[node("a", json!({}))], &[]);
            let pod = pod(
                "p",
                json!({"spec": {"containers": [{"name": "c", "resources": {
                "requests": {"example.com/gpu": "1"}}}]}}),
            );
            let fit = plugin.prepare(&cluster, &pod).unwrap().unwrap();
            assert_eq!(fit.filter(cluster.node("a").unwrap()).is_empty(), fits);
        };
        check(NodeResourcesFit::default(), false);
        let ignored = vec!["example.com/gpu".into()];
        check(NodeResourcesFit { ignored, ..NodeResourcesFit::default() }, true);
        let ignored_groups = vec!["example.com".into()];
        check(NodeResourcesFit { ignored_groups, ..NodeResourcesFit::default() }, true);
    }
}

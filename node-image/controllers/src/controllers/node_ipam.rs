//! Gives every node a range of pod addresses. One target stands for all nodes, so that no two are
//! given the same range.

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use kd_client::{Change, EventType, Interest, Key, Object, Occurrence, PatchKind, View, resources};
use serde::Deserialize;
use serde_json::json;

use super::simulated_node::is_simulated;
use crate::controller::shared;
use crate::{Config, Controller, Plan, Step, Target, event};

pub(super) struct NodeIpam {
    /// With the prefix length of a node's part.
    cluster: Vec<(IpNet, u8)>,
}

impl NodeIpam {
    pub(super) fn new(config: &Config) -> NodeIpam {
        NodeIpam { cluster: config.cluster_cidrs.clone() }
    }
}

impl Controller for NodeIpam {
    fn name(&self) -> &'static str {
        "node-ipam-controller"
    }

    fn account(&self) -> &'static str {
        "node-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![Interest::full(&resources::NODES)]
    }

    fn targets(&self, _: &View, change: &Change) -> Vec<Target> {
        // A node that goes leaves its range to one that has none.
        let wants = match &change.new {
            Some(node) => !is_simulated(node) && Ranges::of(node).0.is_empty(),
            None => change.object().is_some_and(|node| !is_simulated(node)),
        };
        let target = || Target::new(&shared(&resources::NODES), Key::default());
        wants.then(target).into_iter().collect()
    }

    fn reconcile(&self, view: &View, _: &Target, _: Timestamp) -> Plan {
        // Nobody routes to simulated nodes.
        let real = view.objects(&resources::NODES, None).filter(|node| !is_simulated(node));
        let (with, without): (Vec<&Arc<Object>>, Vec<&Arc<Object>>) =
            real.partition(|node| !Ranges::of(node).0.is_empty());
        if without.is_empty() {
            return Plan::nothing();
        }
        let used: BTreeSet<IpNet> = with.iter().flat_map(|n| &Ranges::of(n).0).copied().collect();
        let overlaps = |range: &IpNet| used.iter().any(|u| u.contains(range) || range.contains(u));
        let parts = |(range, prefix): &(IpNet, u8)| range.subnets(*prefix).into_iter().flatten();
        let mut free: Vec<_> =
            self.cluster.iter().map(|range| parts(range).filter(|r| !overlaps(r))).collect();
        let mut plan = Plan::nothing();
        for node in without {
            let name = &node.metadata.name;
            // All or none: a node has a range of every family of the cluster.
            match free.iter_mut().map(Iterator::next).collect::<Option<Vec<IpNet>>>() {
                Some(ranges) => plan.also(assign(name, &ranges).telling(registered(node))),
                None => plan.events.push(exhausted(node)),
            }
        }
        plan
    }
}

/// The ranges that a node has.
struct Ranges(Vec<IpNet>);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    spec: SpecHead,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecHead {
    #[serde(rename = "podCIDR")]
    pod_cidr: String,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Vec<String>,
}

impl Ranges {
    /// They are asked for often, of all nodes.
    fn of(node: &Object) -> &Ranges {
        node.derived(|node| {
            let SpecHead { pod_cidr, pod_cidrs } = node.decode::<Head>().unwrap_or_default().spec;
            let all = pod_cidrs.iter().chain(std::iter::once(&pod_cidr));
            Ranges(all.filter_map(|range| range.parse().ok()).collect())
        })
    }
}

fn assign(node: &str, ranges: &[IpNet]) -> Step {
    let ranges: Vec<String> = ranges.iter().map(IpNet::to_string).collect();
    let patch = json!({"spec": {"podCIDR": ranges.first(), "podCIDRs": ranges}});
    Step::patch(&resources::NODES, Key::cluster(node), "", PatchKind::Strategic, patch)
}

/// What upstream tells of a node that it sees for the first time: this is when.
fn registered(node: &Object) -> Occurrence {
    let name = &node.metadata.name;
    let message = format!("Node {name} event: Registered Node {name} in Controller");
    event(&resources::NODES, node, EventType::Normal, "RegisteredNode", message)
}

fn exhausted(node: &Object) -> Occurrence {
    let message = format!("Node {} status is now: CIDRNotAvailable", node.metadata.name);
    event(&resources::NODES, node, EventType::Normal, "CIDRNotAvailable", message)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::simulated_node::LABEL;
    use super::*;
    use crate::testing::{body, lines, object, plan, view};

    fn node(name: &str, range: &str) -> Value {
        object("Node", "", name, json!({"spec": {"podCIDR": range}}))
    }

    #[test]
    fn who_has_a_range_is_left_alone() {
        let check = |old: Option<Value>, new: Option<Value>, expect: usize| {
            let state = |node: Option<Value>| {
                let view = view(&node.into_iter().collect::<Vec<Value>>());
                view.object(&resources::NODES, &Key::cluster("a")).cloned()
            };
            let resource = Arc::new(resources::NODES.clone());
            let change = Change { resource, old: state(old), new: state(new) };
            let config = Config::new("10.244.0.0/22".parse().unwrap(), 24, "");
            let targets = NodeIpam::new(&config).targets(&View::default(), &change);
            assert_eq!(targets.len(), expect);
        };
        let (with, without) = (node("a", "10.244.0.0/24"), node("a", ""));
        let simulated = object("Node", "", "a", json!({"metadata": {"labels": {LABEL: "true"}}}));
        check(None, Some(without.clone()), 1);
        check(Some(without), Some(with.clone()), 0);
        check(Some(with.clone()), Some(with.clone()), 0);
        check(Some(with), None, 1);
        check(None, Some(simulated), 0);
    }

    #[test]
    fn the_lowest_free_range() {
        let config = Config::new("10.244.0.0/22".parse().unwrap(), 24, "");
        let ipam = NodeIpam::new(&config);
        let nodes = [
            node("a", "10.244.0.0/24"),
            node("b", ""),
            node("c", "10.244.2.0/24"),
            node("d", ""),
            node("e", ""),
        ];
        let plan = plan(&ipam, &view(&nodes), &resources::NODES, ("", ""), 0);
        assert_eq!(lines(&plan), ["patch nodes b", "patch nodes d"]);
        assert_eq!(body(&plan, 0)["spec"]["podCIDR"], "10.244.1.0/24");
        assert_eq!(body(&plan, 1)["spec"]["podCIDRs"], json!(["10.244.3.0/24"]));
        assert_eq!(plan.events[0].reason, "CIDRNotAvailable");
    }

    #[test]
    fn one_of_each_family() {
        let mut config = Config::new("10.244.0.0/16".parse().unwrap(), 24, "");
        config.cluster_cidrs.push(("fd00:10:244::/56".parse().unwrap(), 64));
        let ipam = NodeIpam::new(&config);
        let nodes = [node("a", "10.244.0.0/24"), node("b", "")];
        let plan = plan(&ipam, &view(&nodes), &resources::NODES, ("", ""), 0);
        let expect = json!({"podCIDR": "10.244.1.0/24",
            "podCIDRs": ["10.244.1.0/24", "fd00:10:244::/64"]});
        assert_eq!(body(&plan, 0)["spec"], expect);
    }
}

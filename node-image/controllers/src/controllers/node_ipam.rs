//! Gives every node a range of pod addresses. One target stands for all nodes, so that no two are
//! given the same range.

use std::collections::BTreeSet;

use ipnet::IpNet;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kd_client::{Change, EventType, Interest, Key, PatchKind, View, resources};
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

    fn targets(&self, _: &View, _: &Change) -> Vec<Target> {
        vec![Target::new(&shared(&resources::NODES), Key::default())]
    }

    fn reconcile(&self, view: &View, _: &Target, _: Timestamp) -> Plan {
        // Nobody routes to simulated nodes.
        let real = view.objects(&resources::NODES, None).filter(|node| !is_simulated(node));
        let nodes: Vec<Node> = real.filter_map(|node| node.decode()).collect();
        let (with, without): (Vec<&Node>, Vec<&Node>) =
            nodes.iter().partition(|node| ranges_of(node).next().is_some());
        if without.is_empty() {
            return Plan::nothing();
        }
        let used: BTreeSet<IpNet> =
            with.iter().flat_map(|n| ranges_of(n)).filter_map(|r| r.parse().ok()).collect();
        let overlaps = |range: &IpNet| used.iter().any(|u| u.contains(range) || range.contains(u));
        let parts = |(range, prefix): &(IpNet, u8)| range.subnets(*prefix).into_iter().flatten();
        let mut free: Vec<_> =
            self.cluster.iter().map(|range| parts(range).filter(|r| !overlaps(r))).collect();
        let mut plan = Plan::nothing();
        for node in without {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            // All or none: a node has a range of every family of the cluster.
            match free.iter_mut().map(Iterator::next).collect::<Option<Vec<IpNet>>>() {
                Some(ranges) => plan.also(match registered(view, name) {
                    Some(notice) => assign(name, &ranges).telling(notice),
                    None => assign(name, &ranges),
                }),
                None => plan.events.extend(exhausted(view, name)),
            }
        }
        plan
    }
}

fn ranges_of(node: &Node) -> impl Iterator<Item = &str> {
    let spec = node.spec.as_ref();
    let list = spec.and_then(|s| s.pod_cidrs.as_ref()).into_iter().flatten();
    let single = spec.and_then(|s| s.pod_cidr.as_ref());
    list.chain(single).map(String::as_str).filter(|range| !range.is_empty())
}

fn assign(node: &str, ranges: &[IpNet]) -> Step {
    let ranges: Vec<String> = ranges.iter().map(IpNet::to_string).collect();
    let patch = json!({"spec": {"podCIDR": ranges.first(), "podCIDRs": ranges}});
    Step::patch(&resources::NODES, Key::cluster(node), "", PatchKind::Strategic, patch)
}

/// What upstream tells of a node that it sees for the first time: this is when.
fn registered(view: &View, node: &str) -> Option<kd_client::Occurrence> {
    let object = view.object(&resources::NODES, &Key::cluster(node))?;
    let message = format!("Node {node} event: Registered Node {node} in Controller");
    Some(event(&resources::NODES, object, EventType::Normal, "RegisteredNode", message))
}

fn exhausted(view: &View, node: &str) -> Option<kd_client::Occurrence> {
    let object = view.object(&resources::NODES, &Key::cluster(node))?;
    let message = format!("Node {node} status is now: CIDRNotAvailable");
    Some(event(&resources::NODES, object, EventType::Normal, "CIDRNotAvailable", message))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{body, lines, object, plan, view};

    fn node(name: &str, range: &str) -> Value {
        object("Node", "", name, json!({"spec": {"podCIDR": range}}))
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

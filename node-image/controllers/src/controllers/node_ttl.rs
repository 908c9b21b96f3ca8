//! Tells every node for how long it may trust what it knows of Secrets and ConfigMaps: the longer
//! the more nodes there are.

use jiff::Timestamp;
use kd_client::{Change, Interest, PatchKind, View, resources};
use serde::Deserialize;
use serde_json::json;

use crate::controller::shared;
use crate::pods::MetadataHead;
use crate::{Controller, Plan, Step, Target};

const TTL: &str = "node.alpha.kubernetes.io/ttl";
/// Up to so many nodes, so many seconds.
const SECONDS: [(usize, u32); 5] = [(100, 0), (500, 15), (1000, 30), (2000, 60), (usize::MAX, 300)];

pub(super) struct NodeTtl;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    metadata: MetadataHead,
}

impl Controller for NodeTtl {
    fn name(&self) -> &'static str {
        "ttl-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![Interest::full(&resources::NODES)]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        let Some(object) = change.object() else { return Vec::new() };
        let nodes = view.count(&resources::NODES);
        // The number of nodes reaches a boundary when one comes or goes.
        let came = change.old.is_none() != change.new.is_none();
        let boundary =
            SECONDS.iter().any(|(most, _)| nodes == *most || nodes.saturating_sub(1) == *most);
        if came && boundary {
            let all = view.objects(&resources::NODES, None);
            return all.map(|node| Target::of(&shared(&resources::NODES), node)).collect();
        }
        vec![Target::of(&change.resource, object)]
    }

    fn reconcile(&self, view: &View, target: &Target, _now: Timestamp) -> Plan {
        let Some(object) = view.object(&resources::NODES, &target.key) else {
            return Plan::nothing();
        };
        let nodes = view.count(&resources::NODES);
        let seconds = SECONDS.iter().find(|(most, _)| nodes <= *most).map_or(0, |row| row.1);
        let wanted = seconds.to_string();
        let head: Head = object.decode().unwrap_or_default();
        if head.metadata.annotations.get(TTL) == Some(&wanted) {
            return Plan::nothing();
        }
        let patch = json!({"metadata": {"annotations": {TTL: wanted}}});
        Plan::one(Step::patch(&resources::NODES, object.key(), "", PatchKind::Merge, patch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{body, object, plan, view};

    #[test]
    fn the_more_nodes_the_longer() {
        let check = |nodes: usize, annotation: &str, expect: Option<&str>| {
            let all: Vec<_> = (0..nodes)
                .map(|i| {
                    let ttl = json!({"metadata": {"annotations": {TTL: annotation}}});
                    object("Node", "", &format!("n{i}"), ttl)
                })
                .collect();
            let plan = plan(&NodeTtl, &view(&all), &resources::NODES, ("", "n0"), 0);
            let written =
                (!plan.is_empty()).then(|| body(&plan, 0)["metadata"]["annotations"][TTL].clone());
            assert_eq!(written, expect.map(|text| json!(text)));
        };
        check(1, "", Some("0"));
        check(100, "0", None);
        check(101, "0", Some("15"));
        check(101, "15", None);
    }
}

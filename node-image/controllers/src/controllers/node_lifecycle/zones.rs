//! How fast the pods of nodes that are not ready are given up: zone by zone, one node after the
//! other, slower or not at all where so many nodes are away that the network may be to blame.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kd_client::{Change, Key, Object, View, resources};
use serde::Deserialize;

use super::{NOT_READY, UNREACHABLE};

const ZONE: &str = "topology.kubernetes.io/zone";
const REGION: &str = "topology.kubernetes.io/region";
/// A label of nodes that do not count for the health of their zone.
const UNCOUNTED: &str = "node.kubernetes.io/exclude-disruption";
/// Between two nodes of a zone.
const INTERVAL: SignedDuration = SignedDuration::from_secs(10);
/// The same in a large zone of which a good part is away.
const INTERVAL_DISRUPTED: SignedDuration = SignedDuration::from_secs(100);
/// A zone of more nodes is large; in a small one nobody is given up while a good part is away.
const LARGE_NODES: usize = 50;
/// So many percent of a zone's nodes, and more than so many nodes, are a good part.
const UNHEALTHY_PERCENT: usize = 55;
const UNHEALTHY_NODES: usize = 2;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    spec: Spec,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    taints: Vec<TaintHead>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TaintHead {
    key: String,
    effect: String,
    time_added: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<crate::pods::ConditionHead>,
}

/// What is read of a node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Health {
    zone: (String, String),
    counts: bool,
    pub ready: bool,
    /// Since when it is as ready as it is; None when it has not told yet.
    since: Option<Timestamp>,
    /// Whether its pods are being given up, and since when.
    given_up: Option<Option<Timestamp>>,
}

impl Health {
    /// It is asked for often, of all nodes.
    pub fn of(object: &Object) -> &Health {
        object.derived(Health::read)
    }

    fn read(object: &Object) -> Health {
        let head: Head = object.decode().unwrap_or_default();
        let ready = head.status.conditions.iter().find(|condition| condition.name == "Ready");
        let mut taints = head.spec.taints.iter();
        let given_up = taints.find(|taint| {
            taint.effect == "NoExecute" && [NOT_READY, UNREACHABLE].contains(&taint.key.as_str())
        });
        let labels = &object.metadata.labels;
        let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
        Health {
            zone: (label(REGION), label(ZONE)),
            counts: !labels.contains_key(UNCOUNTED),
            ready: ready.is_some_and(|condition| condition.status == "True"),
            since: ready.map(|c| c.last_transition_time.unwrap_or(Timestamp::UNIX_EPOCH)),
            given_up: given_up.map(|taint| taint.time_added),
        }
    }
}

/// What is done about a node that is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Eviction {
    /// Its pods are given up.
    Now,
    /// They are not before this time.
    At(Timestamp),
    /// They are not, as things are.
    Never,
}

/// What is done about a node that is not ready, given all nodes.
pub(super) fn eviction(view: &View, object: &Object, now: Timestamp) -> Eviction {
    let own = Health::of(object);
    let nodes = || view.objects(&resources::NODES, None);
    if own.given_up.is_some() {
        // It goes on, unless no node is left that is ready: then it is more likely us who are away.
        let any = nodes().any(|node| Health::of(node).ready);
        return if any { Eviction::Now } else { Eviction::Never };
    }
    let all: Vec<(&str, &Health)> =
        nodes().map(|node| (node.metadata.name.as_str(), Health::of(node))).collect();
    decide(&all, &object.metadata.name, own, now)
}

/// The nodes that may have to be decided on anew when the health of one changes: in each zone the one
/// that is given up next, and, when nodes may be ready for the first time or not any more, those that
/// are given up.
pub(super) fn concerned(view: &View, change: &Change) -> Vec<Key> {
    let [before, after] = [&change.old, &change.new].map(|state| state.as_deref().map(Health::of));
    if before == after {
        return Vec::new();
    }
    let turned = before.is_some_and(|node| node.ready) != after.is_some_and(|node| node.ready);
    let (mut given_up, mut others_ready) = (Vec::new(), 0);
    let mut first: BTreeMap<&(String, String), (Option<Timestamp>, &str)> = BTreeMap::new();
    for node in view.objects(&resources::NODES, None) {
        let (name, health) = (node.metadata.name.as_str(), Health::of(node));
        if health.ready {
            let itself = change.object().is_some_and(|changed| changed.metadata.name == name);
            others_ready += usize::from(!itself);
        } else if health.given_up.is_some() {
            given_up.push(name);
        } else if health.since.is_some() {
            let next = (health.since, name);
            first.entry(&health.zone).and_modify(|known| *known = next.min(*known)).or_insert(next);
        }
    }
    if !turned || others_ready > 0 {
        given_up.clear();
    }
    first.into_values().map(|(_, name)| name).chain(given_up).map(Key::cluster).collect()
}

fn decide(all: &[(&str, &Health)], name: &str, own: &Health, now: Timestamp) -> Eviction {
    if !all.iter().any(|(_, node)| node.ready) {
        return Eviction::Never;
    }
    let zone = || all.iter().filter(|(_, node)| node.zone == own.zone);
    let Some(interval) = interval(zone().map(|(_, node)| *node)) else { return Eviction::Never };
    // Whoever has been away for longest is first.
    let waiting = zone().filter(|(_, n)| !n.ready && n.given_up.is_none() && n.since.is_some());
    let first = waiting.min_by_key(|(name, node)| (node.since, *name));
    if first.is_some_and(|(first, _)| *first != name) {
        // The first one's taint is a change, which leads back here.
        return Eviction::Never;
    }
    let last = zone().filter_map(|(_, node)| node.given_up.flatten()).max();
    match last.and_then(|last| last.checked_add(interval).ok()) {
        Some(time) if time > now => Eviction::At(time),
        _ => Eviction::Now,
    }
}

/// The time between two nodes of a zone; None when none is given up.
fn interval<'a>(zone: impl Iterator<Item = &'a Health>) -> Option<SignedDuration> {
    let (mut total, mut away) = (0, 0);
    for node in zone {
        total += usize::from(node.counts);
        away += usize::from(node.counts && !node.ready);
    }
    // A zone that is away as a whole is given up, as there are others.
    let disrupted =
        away < total && away > UNHEALTHY_NODES && away * 100 >= total * UNHEALTHY_PERCENT;
    match disrupted {
        false => Some(INTERVAL),
        true => (total > LARGE_NODES).then_some(INTERVAL_DISRUPTED),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{at, object, time, view};

    fn node(zone: &str, ready: bool, since: i64, given_up: Option<i64>) -> Health {
        Health {
            zone: (String::new(), zone.to_owned()),
            counts: true,
            ready,
            since: Some(at(since)),
            given_up: given_up.map(|second| Some(at(second))),
        }
    }

    fn check(nodes: &[(&'static str, Health)], name: &str, expect: Eviction) {
        let all: Vec<(&str, &Health)> = nodes.iter().map(|(name, node)| (*name, node)).collect();
        let (_, own) = all.iter().find(|(known, _)| *known == name).unwrap();
        assert_eq!(decide(&all, name, own, at(100)), expect, "{name} of {nodes:?}");
    }

    #[test]
    fn one_node_after_the_other() {
        let fine = || node("", true, 0, None);
        let away = |since| node("", false, since, None);
        check(&[("a", away(50)), ("b", fine())], "a", Eviction::Now);
        check(&[("a", away(50)), ("b", away(50))], "a", Eviction::Never);
        let two = [("a", away(60)), ("b", away(50)), ("c", fine())];
        check(&two, "b", Eviction::Now);
        check(&two, "a", Eviction::Never);
        let silent = Health { since: None, ..away(0) };
        check(&[("a", away(50)), ("b", silent), ("c", fine())], "a", Eviction::Now);
        let next =
            |second| [("a", away(60)), ("b", node("", false, 50, Some(second))), ("c", fine())];
        check(&next(95), "a", Eviction::At(at(105)));
        check(&next(90), "a", Eviction::Now);
    }

    #[test]
    fn zones_by_themselves() {
        let zone = |name: &str, ready| node(name, ready, 0, None);
        // The other zone's nodes do not count.
        let other =
            [("a", zone("x", false)), ("b", node("y", false, 0, Some(95))), ("c", zone("y", true))];
        check(&other, "a", Eviction::Now);
        // Most of a small zone is away: nobody is given up.
        let mut most: Vec<(&str, Health)> =
            ["a", "b", "c"].into_iter().map(|name| (name, zone("x", false))).collect();
        most.push(("d", zone("x", true)));
        check(&most, "a", Eviction::Never);
        // All of it is, and another zone is there.
        most[3].1 = zone("y", true);
        check(&most, "a", Eviction::Now);
    }

    #[test]
    fn large_zones_are_slowed_down() {
        let names: Vec<String> = (0..60).map(|i| format!("n{i:02}")).collect();
        let (fine, away) = (node("", true, 0, None), node("", false, 0, None));
        let first = node("", false, 0, Some(95));
        let health = |i| match i {
            0 => &first,
            1..40 => &away,
            _ => &fine,
        };
        let all: Vec<(&str, &Health)> =
            names.iter().enumerate().map(|(i, name)| (name.as_str(), health(i))).collect();
        assert_eq!(decide(&all, "n01", &away, at(100)), Eviction::At(at(195)));
    }

    #[test]
    fn whom_a_change_concerns() {
        let node = |name: &str, zone: &str, ready: &str, since: i64, given_up: bool| {
            let taint = json!({"key": NOT_READY, "effect": "NoExecute", "timeAdded": time(since)});
            object(
                "Node",
                "",
                name,
                json!({"metadata": {"labels": {ZONE: zone}},
                    "spec": {"taints": if given_up { json!([taint]) } else { json!([]) }},
                    "status": {"conditions": [{"type": "Ready", "status": ready,
                        "lastTransitionTime": time(since)}]}}),
            )
        };
        let check = |others: &[Value], old: Value, new: Value, expect: &[&str]| {
            let before = view(&[old]);
            let all: Vec<Value> = others.iter().cloned().chain([new]).collect();
            let after = view(&all);
            let state = |view: &View| view.object(&resources::NODES, &Key::cluster("x")).cloned();
            let resource = Arc::new(resources::NODES.clone());
            let change = Change { resource, old: state(&before), new: state(&after) };
            let names: Vec<String> =
                concerned(&after, &change).iter().map(|key| key.name.to_string()).collect();
            assert_eq!(names, expect);
        };
        let fine = || node("x", "a", "True", 0, false);
        let others = [
            node("a1", "a", "False", 20, false),
            node("a2", "a", "False", 10, false),
            node("b1", "b", "False", 30, false),
            node("b2", "b", "False", 5, true),
        ];
        check(&others, fine(), fine(), &[]);
        // The last ready node goes: whoever is given up already is to be looked at as well.
        check(&others, fine(), node("x", "a", "False", 40, false), &["a2", "b1", "b2"]);
        let ready = [node("c1", "c", "True", 0, false)];
        let with_ready: Vec<Value> = others.iter().chain(&ready).cloned().collect();
        check(&with_ready, fine(), node("x", "a", "False", 1, false), &["x", "b1"]);
        check(&with_ready, node("x", "a", "False", 1, false), fine(), &["a2", "b1"]);
    }
}

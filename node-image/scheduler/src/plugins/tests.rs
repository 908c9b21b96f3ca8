//! What each plugin lets through and prefers, as tables.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::plugins::plugins;
use crate::pod::PodFacts;
use crate::testing::{cluster, decide, node, pod};

/// Checks where a pod goes: a node's name, or the beginning of the reasons why nowhere.
fn check(nodes: &[Value], pods: &[PodFacts], wanted: Value, expect: &str) {
    let pod = pod("p", wanted);
    let found = match decide(&cluster(nodes, pods), &pod) {
        Ok(name) => name,
        Err(diagnosis) => {
            let message = diagnosis.message("");
            message.split_once(": ").map_or(message.clone(), |(_, reasons)| reasons.to_owned())
        }
    };
    assert_eq!(found, expect, "{pod:#?}");
}

fn zoned(name: &str, zone: &str) -> Value {
    node(name, json!({"metadata": {"labels": {"zone": zone}}}))
}

fn placed(name: &str, node: &str, more: Value) -> PodFacts {
    let mut placed = pod(name, more);
    placed.node = Some(node.to_owned());
    placed
}

fn labelled(name: &str, node: &str) -> PodFacts {
    placed(name, node, json!({"metadata": {"labels": {"app": "x"}}}))
}

#[test]
fn names_are_unique() {
    let mut names: Vec<&str> = plugins().iter().map(|p| p.name()).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn node_affinity() {
    let nodes = [zoned("a", "1"), zoned("b", "2")];
    let required = |term: Value| {
        json!({"spec": {"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}}})
    };
    let expression = |operator: &str, values: Value| {
        required(
            json!({"matchExpressions": [{"key": "zone", "operator": operator, "values": values}]}),
        )
    };
    let reason = "2 node(s) didn't match Pod's node affinity/selector.";
    check(&nodes, &[], json!({"spec": {"nodeSelector": {"zone": "2"}}}), "b");
    check(&nodes, &[], json!({"spec": {"nodeSelector": {"zone": "3"}}}), reason);
    check(&nodes, &[], expression("In", json!(["2", "3"])), "b");
    check(&nodes, &[], expression("NotIn", json!(["2"])), "a");
    check(&nodes, &[], expression("Gt", json!(["1"])), "b");
    check(&nodes, &[], expression("DoesNotExist", json!([])), reason);
    check(&nodes, &[], required(json!({})), reason);
    let field =
        json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]});
    check(&nodes, &[], required(field), "b");
    let preferred = json!({"spec": {"affinity": {"nodeAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference":
            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["2"]}]}}]}}}});
    check(&nodes, &[], preferred, "b");
}

#[test]
fn taints() {
    let tainted = |effect: &str| {
        [
            node("a", json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": effect}]}})),
            node("b", json!({"spec": {"unschedulable": true}})),
        ]
    };
    let tolerating = |toleration: Value| json!({"spec": {"tolerations": [toleration]}});
    let both = "1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.";
    check(&tainted("NoSchedule"), &[], json!({}), both);
    check(&tainted("NoExecute"), &[], json!({}), both);
    check(&tainted("PreferNoSchedule"), &[], json!({}), "a");
    check(&tainted("NoSchedule"), &[], tolerating(json!({"key": "k", "value": "v"})), "a");
    check(&tainted("NoSchedule"), &[], tolerating(json!({"key": "k", "value": "w"})), both);
    check(&tainted("NoSchedule"), &[], tolerating(json!({"key": "k", "operator": "Exists"})), "a");
    let soft = [
        node("a", json!({"spec": {"taints": [{"key": "k", "effect": "PreferNoSchedule"}]}})),
        node("b", json!({})),
    ];
    check(&soft, &[], json!({}), "b");
}

#[test]
fn ports() {
    let port = |more: Value| json!({"spec": {"containers": [{"name": "c", "ports": [more]}]}});
    let taken = || placed("q", "a", port(json!({"containerPort": 1, "hostPort": 80})));
    let nodes = [node("a", json!({}))];
    let reason = "1 node(s) didn't have free ports for the requested pod ports.";
    check(&nodes, &[taken()], port(json!({"containerPort": 2, "hostPort": 80})), reason);
    check(&nodes, &[taken()], port(json!({"containerPort": 2, "hostPort": 81})), "a");
    let udp = json!({"containerPort": 2, "hostPort": 80, "protocol": "UDP"});
    check(&nodes, &[taken()], port(udp), "a");
}

#[test]
fn the_emptier_node_and_the_one_with_the_image() {
    let busy = placed(
        "q",
        "a",
        json!({"spec": {"containers": [
        {"name": "c", "resources": {"requests": {"cpu": "2", "memory": "4Gi"}}}]}}),
    );
    check(&[node("a", json!({})), node("b", json!({}))], &[busy], json!({}), "b");
    let image = json!({"status": {"images": [{"names": ["x:1"], "sizeBytes": 900_000_000}]}});
    let wanted = json!({"spec": {"containers": [{"name": "c", "image": "x:1"}]}});
    check(&[node("a", json!({})), node("b", image)], &[], wanted, "b");
    let gpu = json!({"spec": {"containers": [{"name": "c", "resources": {
        "requests": {"example.com/gpu": "1"}}}]}});
    let with = node("b", json!({"status": {"allocatable": {"example.com/gpu": "1"}}}));
    check(&[node("a", json!({})), with], &[], gpu.clone(), "b");
    check(&[node("a", json!({}))], &[], gpu, "1 Insufficient example.com/gpu.");
}

#[test]
fn pod_affinity() {
    let nodes = [zoned("a", "1"), zoned("b", "2"), zoned("c", "2")];
    let term = json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "x"}}});
    let rule = |kind: &str| {
        json!({"spec": {"affinity": {kind: {
            "requiredDuringSchedulingIgnoredDuringExecution": [term]}}}})
    };
    let (near, away) = (rule("podAffinity"), rule("podAntiAffinity"));
    check(&nodes, &[labelled("q", "a")], near.clone(), "a");
    check(&nodes[..2], &[labelled("q", "a")], away.clone(), "b");
    check(&nodes, &[], near.clone(), "3 node(s) didn't match pod affinity rules.");
    // The first of its group may go anywhere.
    let mut first = near;
    first["metadata"] = json!({"labels": {"app": "x"}});
    check(&nodes[..1], &[], first, "a");
    let both = [labelled("q", "a"), labelled("r", "b")];
    check(&nodes, &both, away.clone(), "3 node(s) didn't match pod anti-affinity rules.");
    let shy = [placed("q", "a", away)];
    let labels = json!({"metadata": {"labels": {"app": "x"}}});
    let reason = "1 node(s) didn't satisfy existing pods anti-affinity rules.";
    check(&nodes[..1], &shy, labels.clone(), reason);
    check(&nodes[..2], &shy, labels, "b");
    let mut elsewhere = labelled("q", "a");
    elsewhere.key = kd_client::Key::new("other", "q");
    check(&nodes, &[elsewhere], rule("podAffinity"), "3 node(s) didn't match pod affinity rules.");
}

#[test]
fn spreading() {
    let nodes = [zoned("a", "1"), zoned("b", "2"), node("c", json!({}))];
    let spread = |when: &str| {
        json!({"metadata": {"labels": {"app": "x"}}, "spec": {"topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": when,
                "labelSelector": {"matchLabels": {"app": "x"}}}]}})
    };
    let crowded = [labelled("q", "a")];
    check(&nodes, &crowded, spread("DoNotSchedule"), "b");
    check(&nodes[..2], &crowded, spread("ScheduleAnyway"), "b");
    let label = "1 node(s) didn't match pod topology spread constraints (missing required label).";
    check(&nodes[2..], &[], spread("DoNotSchedule"), label);
    let mut pinned = spread("DoNotSchedule");
    pinned["spec"]["topologySpreadConstraints"][0]["nodeAffinityPolicy"] = json!("Ignore");
    pinned["spec"]["nodeSelector"] = json!({"zone": "1"});
    let reason = "1 node(s) didn't match Pod's node affinity/selector, \
        1 node(s) didn't match pod topology spread constraints.";
    check(&nodes[..2], &crowded, pinned, reason);
}

#[test]
fn siblings_are_spread_by_default() {
    let nodes = [node("a", json!({})), node("b", json!({}))];
    let mut cluster = cluster(&nodes, &[labelled("q", "a")]);
    let busy = json!({"spec": {"containers": [
        {"name": "c", "resources": {"requests": {"cpu": "400m", "memory": "400Mi"}}}]}});
    cluster.place(Arc::new(placed("r", "b", busy)));
    let pod = pod("p", json!({"metadata": {"labels": {"app": "x"}}}));
    assert_eq!(decide(&cluster, &pod).unwrap(), "a");
    let selector = [("app".to_owned(), "x".to_owned())].into();
    let key = kd_client::Key::new("n", "x");
    Arc::make_mut(&mut cluster.siblings).set_service(key, Some(selector));
    assert_eq!(decide(&cluster, &pod).unwrap(), "b");
}

#[test]
fn who_takes_part_in_spreading() {
    let constraint = |more: Value| {
        let mut constraint = json!({"maxSkew": 1, "topologyKey": "zone",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "x"}}});
        for (key, value) in more.as_object().unwrap() {
            constraint[key] = value.clone();
        }
        json!({"metadata": {"labels": {"app": "x", "hash": "2"}},
            "spec": {"topologySpreadConstraints": [constraint]}})
    };
    let nodes = [zoned("a", "1"), zoned("b", "2")];
    let both = [labelled("q", "a"), labelled("r", "b")];
    check(&nodes[..1], &both[..1], constraint(json!({})), "a");
    let reason = "1 node(s) didn't match pod topology spread constraints.";
    // With too few domains the emptiest one counts as empty.
    check(&nodes[..1], &both[..1], constraint(json!({"minDomains": 2})), reason);
    check(&nodes, &both, constraint(json!({"minDomains": 2})), "a");
    // Pods of another revision do not count.
    let crowded = [labelled("q", "a"), labelled("r", "a"), labelled("s", "b")];
    check(&nodes[..1], &crowded, constraint(json!({"matchLabelKeys": ["hash"]})), "a");
    // The tainted zone is empty, and cannot be filled.
    let taint = json!([{"key": "k", "effect": "NoSchedule"}]);
    let closed =
        node("c", json!({"metadata": {"labels": {"zone": "3"}}, "spec": {"taints": taint}}));
    let three = [nodes[0].clone(), nodes[1].clone(), closed];
    let ignoring = "1 node(s) had untolerated taint(s), \
        2 node(s) didn't match pod topology spread constraints.";
    check(&three, &both, constraint(json!({})), ignoring);
    let honoring = constraint(json!({"nodeTaintsPolicy": "Honor"}));
    let pod = pod("p", honoring);
    assert!(decide(&cluster(&three, &both), &pod).is_ok());
}

#[test]
fn only_the_named_node_is_looked_at() {
    let nodes = [node("a", json!({})), node("b", json!({})), node("c", json!({}))];
    let pinned = |names: Value| {
        json!({"spec": {"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": names}]}]}}},
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "9"}}}]}})
    };
    let reason = "1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity].";
    check(&nodes, &[], pinned(json!(["b"])), reason);
    let nowhere = "3 node(s) didn't satisfy plugin(s) [NodeAffinity].";
    check(&nodes, &[], pinned(json!(["z"])), nowhere);
}

#[test]
fn namespaces_by_label() {
    let nodes = [zoned("a", "1"), zoned("b", "2")];
    let away = json!({"spec": {"affinity": {"podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone",
            "labelSelector": {"matchLabels": {"app": "x"}},
            "namespaceSelector": {"matchLabels": {"team": "t"}}}]}}}});
    let mut other = labelled("q", "a");
    other.key = kd_client::Key::new("other", "q");
    let mut cluster = cluster(&nodes, &[other]);
    let pod = pod("p", away);
    let profile = crate::profile::Profile::default();
    cluster.follow(&profile.counts(&cluster, &pod));
    let team = |name: &str| Some([("team".to_owned(), name.to_owned())].into());
    cluster.set_namespace("other", team("t"));
    assert_eq!(decide(&cluster, &pod).unwrap(), "b");
    cluster.set_namespace("other", team("u"));
    cluster.remove_node("b");
    assert_eq!(decide(&cluster, &pod).unwrap(), "a");
}

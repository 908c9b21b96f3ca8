//! Flows that meet at few seats.

use std::task::Poll;

use futures::poll;
use kd_api::flow_control::bootstrap_objects;
use serde_json::{Value, json};

use super::*;
use crate::testing::{FakeReader, resource_info, user};

fn fairness(objects: impl IntoIterator<Item = Value>, seats: usize) -> Arc<Fairness> {
    Fairness::new(FakeReader::with(objects), seats)
}

#[test]
fn upstreams_schemas() {
    let fairness = fairness(bootstrap_objects(), 600);
    let check = |who: &UserInfo, info: RequestInfo, expect: &str| {
        let flow = fairness.classify(who, &info);
        assert_eq!(format!("{} {}", flow.names.schema, flow.names.level), expect);
    };
    let known = |name: &str, group: &str| user(name, &[group, "system:authenticated"]);
    let pods = || resource_info("list", "pods", "a", "");
    let lease =
        |namespace: &str| resource_info("update", "coordination.k8s.io:leases", namespace, "l");
    check(&known("admin", "system:masters"), pods(), "exempt exempt");
    let node = known("system:node:a", "system:nodes");
    check(&node, pods(), "system-nodes system");
    check(&node, lease("kube-node-lease"), "system-node-high node-high");
    check(&node, resource_info("patch", "nodes/status", "", "a"), "system-node-high node-high");
    let account = |namespace: &str| {
        known(&format!("system:serviceaccount:{namespace}:x"), "system:serviceaccounts")
    };
    check(&account("kube-system"), pods(), "kube-system-service-accounts workload-high");
    check(&account("a"), pods(), "service-accounts workload-low");
    check(
        &known("system:kube-scheduler", ""),
        lease("kube-system"),
        "system-leader-election leader-election",
    );
    check(&known("jane", "dev"), pods(), "global-default global-default");
    let health =
        RequestInfo { path: "/healthz".into(), verb: "get".into(), ..RequestInfo::default() };
    check(&user("system:anonymous", &["system:unauthenticated"]), health, "probes exempt");
    let flow = |name: &str| fairness.classify(&known(name, "dev"), &pods()).hash;
    assert!(flow("jane") == flow("jane") && flow("jane") != flow("joe"));
}

/// One level of all seats for all users.
fn one_level(response: Value) -> [Value; 2] {
    [
        json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
            "metadata": {"name": "l", "uid": "level"},
            "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "limitResponse": response}}}),
        schema("l"),
    ]
}

fn schema(level: &str) -> Value {
    json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema",
        "metadata": {"name": format!("s-{level}"), "uid": "schema"},
        "spec": {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": 1,
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [{"subjects": [{"kind": "Group", "group": {"name": level}}],
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true}]}]}})
}

fn queue(queues: usize, length: usize) -> Value {
    json!({"type": "Queue", "queuing": {"queues": queues, "handSize": 1, "queueLengthLimit": length}})
}

fn pods() -> RequestInfo {
    resource_info("list", "pods", "a", "")
}

#[tokio::test]
async fn who_finds_no_seat_waits_or_is_refused() {
    let fairness = fairness(one_level(queue(1, 1)), 1);
    let flow = fairness.classify(&user("x", &["l"]), &pods());
    assert_eq!(
        (flow.names.schema_uid.clone().unwrap(), flow.names.level_uid.clone().unwrap()),
        ("schema".parse().unwrap(), "level".parse().unwrap())
    );
    let info = pods();
    let first = fairness.enter(&flow, &info, 1).await.unwrap();
    let mut second = Box::pin(fairness.enter(&flow, &info, 1));
    assert!(poll!(second.as_mut()).is_pending());
    let refused = fairness.enter(&flow, &info, 1).await.err().unwrap();
    assert_eq!((refused.code, refused.details.unwrap().retry_after_seconds), (429, Some(1)));
    assert_eq!(fairness.lanes(), [("mutating", 0, 0), ("readOnly", 1, 1)]);
    drop(first);
    let Poll::Ready(Ok(seat)) = poll!(second.as_mut()) else { panic!("it has the seat") };
    drop((seat, second));
    assert_eq!(fairness.lanes(), [("mutating", 0, 0), ("readOnly", 0, 0)]);
    let mut text = String::new();
    expose(&mut text, &fairness);
    let labels = r#"{flow_schema="s-l",priority_level="l""#;
    for line in [
        format!("apiserver_flowcontrol_dispatched_requests_total{labels}}} 2"),
        format!("apiserver_flowcontrol_rejected_requests_total{labels},reason=\"queue-full\"}} 1"),
        "apiserver_flowcontrol_nominal_limit_seats{priority_level=\"l\"} 1".to_owned(),
    ] {
        assert!(text.contains(&line), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_and_who_leaves_leaves_nothing() {
    let fairness = fairness(one_level(queue(1, 9)), 1);
    let flow = fairness.classify(&user("x", &["l"]), &pods());
    let info = pods();
    let first = fairness.enter(&flow, &info, 1).await.unwrap();
    assert_eq!(fairness.enter(&flow, &info, 1).await.err().unwrap().code, 429);
    let mut gone = Box::pin(fairness.enter(&flow, &info, 1));
    let mut called = Box::pin(fairness.enter(&flow, &info, 1));
    let mut last = Box::pin(fairness.enter(&flow, &info, 1));
    for waiting in [&mut gone, &mut called, &mut last] {
        assert!(poll!(waiting.as_mut()).is_pending());
    }
    drop(gone);
    // The next has the seat without knowing, and goes: it is the last one's then.
    drop(first);
    drop(called);
    assert!(poll!(last.as_mut()).is_ready());
    drop(last);
    assert_eq!(fairness.lanes(), [("mutating", 0, 0), ("readOnly", 0, 0)]);
}

#[tokio::test]
async fn no_tenant_starves_another() {
    let fairness = fairness(one_level(queue(64, 100)), 1);
    let flow = |name: &str| fairness.classify(&user(name, &["l"]), &pods());
    let (noisy, quiet) = (flow("noisy"), flow("quiet"));
    let info = pods();
    let first = fairness.enter(&noisy, &info, 1).await.unwrap();
    let mut waiting: Vec<_> = (0..50).map(|_| Box::pin(fairness.enter(&noisy, &info, 1))).collect();
    for entering in &mut waiting {
        assert!(poll!(entering.as_mut()).is_pending());
    }
    let mut late = Box::pin(fairness.enter(&quiet, &info, 1));
    assert!(poll!(late.as_mut()).is_pending());
    drop(first);
    let Poll::Ready(Ok(seat)) = poll!(waiting[0].as_mut()) else { panic!("the first of all") };
    drop(seat);
    assert!(poll!(late.as_mut()).is_ready(), "one tenant's queue is as good as another's");
}

#[tokio::test]
async fn idle_seats_are_lent() {
    let level = |name: &str, lendable: i64| {
        json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
            "metadata": {"name": name}, "spec": {"type": "Limited", "limited":
                {"nominalConcurrencyShares": 1, "lendablePercent": lendable, "limitResponse": {"type": "Reject"}}}})
    };
    let objects = [level("a", 0), level("b", 50), schema("a"), schema("b")];
    let fairness = fairness(objects, 8);
    let info = pods();
    let flow = |group: &str| fairness.classify(&user("x", &[group]), &info);
    let mut seats = Vec::new();
    for _ in 0..6 {
        seats.push(fairness.enter(&flow("a"), &info, 1).await.unwrap());
    }
    assert!(fairness.enter(&flow("a"), &info, 1).await.is_err(), "two of b's seats are not lent");
    for _ in 0..4 {
        seats.push(fairness.enter(&flow("b"), &info, 1).await.unwrap());
    }
    assert!(fairness.enter(&flow("b"), &info, 1).await.is_err());
}

#[tokio::test]
async fn lists_take_more_seats_than_gets() {
    // 20 seats: a request has at most 3 of them.
    let fairness = fairness(one_level(queue(1, 9)), 20);
    let flow = fairness.classify(&user("x", &["l"]), &pods());
    let info = pods();
    let mut lists = Vec::new();
    for _ in 0..6 {
        lists.push(fairness.enter(&flow, &info, 10).await.unwrap());
    }
    let mut wide = Box::pin(fairness.enter(&flow, &info, 10));
    assert!(poll!(wide.as_mut()).is_pending(), "two seats are left");
    let mut narrow = Box::pin(fairness.enter(&flow, &info, 1));
    assert!(poll!(narrow.as_mut()).is_pending(), "nobody overtakes in a queue");
    let mut text = String::new();
    expose(&mut text, &fairness);
    let labels = r#"{flow_schema="s-l",priority_level="l"}"#;
    for line in [
        format!("apiserver_flowcontrol_current_executing_requests{labels} 6"),
        format!("apiserver_flowcontrol_current_executing_seats{labels} 18"),
    ] {
        assert!(text.contains(&line), "{text}");
    }
    lists.pop();
    assert!(poll!(wide.as_mut()).is_ready() && poll!(narrow.as_mut()).is_ready());
    drop((lists, wide, narrow));
    assert_eq!(fairness.lanes(), [("mutating", 0, 0), ("readOnly", 0, 0)]);
}

#[test]
fn hands() {
    for (deck, hand) in [(1, 1), (8, 8), (64, 6), (128, 6)] {
        for seed in 0..100_u64 {
            let mut cards = level::deal(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), deck, hand);
            assert!(cards.iter().all(|card| *card < deck), "{cards:?}");
            cards.sort_unstable();
            cards.dedup();
            assert_eq!(cards.len(), hand);
        }
    }
}

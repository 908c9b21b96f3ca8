//! Tables of [`decide`].

use std::time::Duration;

use kd_runtime::ContainerState;
use serde_json::{Value, json};

use super::decide::shown as shown_delay;
use super::testing::{at, container, exited, pod, running, sandbox, seen};
use super::{Memory, Observation, Outcome, Plan, ProbeKind, Waiting, backoff_key, decide};
use crate::pod::PodExt;

/// A plan in one line: `sandbox0 kill:id start:name#attempt hold:name finished`.
fn shown(plan: &Plan) -> String {
    let mut words = Vec::new();
    words.extend(plan.sandbox.map(|attempt| format!("sandbox{attempt}")));
    words.extend(plan.kill.iter().map(|k| format!("kill:{}", k.id)));
    words.extend(plan.start.iter().map(|s| format!("start:{}#{}", s.name, s.attempt)));
    words.extend(plan.held.iter().map(|h| format!("hold:{}", h.name)));
    words.extend(plan.finished.then(|| "finished".to_owned()));
    words.join(" ")
}

fn check(spec: Value, containers: &[(&str, u32, ContainerState)], expect: &str) {
    let pod = pod(spec);
    let plan = decide(&pod, &seen(&pod, containers), &Memory::default(), at(200));
    assert_eq!(shown(&plan), expect);
}

fn two(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [{"name": "a"}, {"name": "b"}]})
}

#[test]
fn a_new_pod_gets_everything_at_once() {
    let pod = pod(two("Always"));
    let plan = decide(&pod, &Observation::default(), &Memory::default(), at(0));
    assert_eq!(shown(&plan), "sandbox0 start:a#0 start:b#0");
}

#[test]
fn restart_policies() {
    check(two("Always"), &[("a", 0, running()), ("b", 0, running())], "");
    check(two("Always"), &[("a", 0, exited(0)), ("b", 0, running())], "start:a#1");
    check(two("OnFailure"), &[("a", 0, exited(0)), ("b", 0, running())], "");
    check(two("OnFailure"), &[("a", 4, exited(1)), ("b", 0, running())], "start:a#5");
    check(two("OnFailure"), &[("a", 0, exited(0)), ("b", 0, exited(0))], "finished");
    check(two("Never"), &[("a", 0, exited(1)), ("b", 0, running())], "");
    check(two("Never"), &[("a", 0, exited(1)), ("b", 0, exited(0))], "finished");
    check(two("Never"), &[("a", 0, exited(1))], "start:b#0");
    check(two("Always"), &[("a", 0, ContainerState::Created), ("b", 0, running())], "start:a#1");
    let rules = json!({"restartPolicy": "Never", "containers": [{"name": "a",
        "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]}]});
    check(rules.clone(), &[("a", 0, exited(42))], "start:a#1");
    check(rules, &[("a", 0, exited(1))], "finished");
}

#[test]
fn all_containers_restart_together() {
    let spec = json!({"restartPolicy": "Never",
        "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}],
        "containers": [{"name": "a", "restartPolicyRules": [{"action": "RestartAllContainers",
            "exitCodes": {"operator": "In", "values": [42]}}]}, {"name": "b"}]});
    let check = |containers: &[(&str, u32, ContainerState)], made_at: i64, expect: &str| {
        let pod = pod(spec.clone());
        let mut found = seen(&pod, containers);
        for container in &mut found.sandboxes[0].containers {
            if container.spec.attempt == 1 {
                container.created_at = at(made_at);
            }
        }
        assert_eq!(shown(&decide(&pod, &found, &Memory::default(), at(200))), expect);
    };
    let before = |b: ContainerState| {
        [("i", 0, exited(0)), ("s", 0, exited(143)), ("a", 0, exited(42)), ("b", 0, b)]
    };
    let after =
        |more: &[(&'static str, u32, ContainerState)]| [&before(exited(137)), more].concat();
    check(
        &[("i", 0, exited(0)), ("s", 0, running()), ("a", 0, exited(1)), ("b", 0, running())],
        101,
        "",
    );
    let running_still =
        [("i", 0, exited(0)), ("s", 0, running()), ("a", 0, exited(42)), ("b", 0, running())];
    check(&running_still, 101, "kill:s-0 kill:b-0");
    check(&before(running()), 101, "kill:b-0");
    check(&before(exited(137)), 101, "start:i#1");
    check(&after(&[("i", 1, running())]), 101, "");
    check(&after(&[("i", 1, exited(0))]), 101, "start:s#1");
    let all = [("i", 1, exited(0)), ("s", 1, running()), ("a", 1, running()), ("b", 1, running())];
    check(&after(&all), 101, "");
    // What was made before the end that counts is over, too.
    check(&after(&all), 99, "kill:s-1 kill:a-1 kill:b-1");
}

#[test]
fn init_containers_run_one_by_one() {
    let spec = |policy: &str| {
        json!({"restartPolicy": policy, "initContainers": [{"name": "i"}, {"name": "j"}],
            "containers": [{"name": "a"}]})
    };
    check(spec("Always"), &[], "start:i#0");
    check(spec("Always"), &[("i", 0, running())], "");
    check(spec("Always"), &[("i", 0, exited(0))], "start:j#0");
    check(spec("Always"), &[("i", 0, exited(1))], "start:i#1");
    check(spec("OnFailure"), &[("i", 0, exited(1))], "start:i#1");
    check(spec("Never"), &[("i", 0, exited(1))], "finished");
    check(spec("Never"), &[("i", 0, exited(0)), ("j", 0, exited(0))], "start:a#0");
    let done = [("i", 0, exited(0)), ("j", 0, exited(0)), ("a", 0, exited(1))];
    check(spec("Always"), &done, "start:a#1");
}

#[test]
fn sidecars_run_beside() {
    let spec = || {
        json!({"restartPolicy": "Never",
            "initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}],
            "containers": [{"name": "a"}]})
    };
    check(spec(), &[], "start:s#0");
    check(spec(), &[("s", 0, running())], "start:i#0");
    check(spec(), &[("s", 0, running()), ("i", 0, exited(0))], "start:a#0");
    let up = |s: ContainerState, a| vec![("s", 0, s), ("i", 0, exited(0)), ("a", 0, a)];
    check(spec(), &up(exited(0), running()), "start:s#1");
    check(spec(), &up(running(), exited(0)), "finished");
}

#[test]
fn a_sidecar_with_a_startup_probe_is_waited_for() {
    let pod = pod(json!({"initContainers": [{"name": "s", "restartPolicy": "Always",
        "startupProbe": {"exec": {"command": ["x"]}}}], "containers": [{"name": "a"}]}));
    let found = seen(&pod, &[("s", 0, running())]);
    let mut memory = Memory::default();
    assert_eq!(shown(&decide(&pod, &found, &memory, at(0))), "");
    memory.probes.insert(("s-0".into(), ProbeKind::Startup), Outcome::Success);
    assert_eq!(shown(&decide(&pod, &found, &memory, at(0))), "start:a#0");
    memory.hooks.insert("s-0".into());
    assert_eq!(shown(&decide(&pod, &found, &memory, at(0))), "", "its hook still runs");
}

#[test]
fn crash_loops() {
    let pod = pod(json!({"containers": [{"name": "a"}]}));
    let found = seen(&pod, &[("a", 3, exited(1))]);
    let mut memory = Memory::default();
    let key = backoff_key(&pod.members()[0]);
    assert_eq!(shown(&decide(&pod, &found, &memory, at(100))), "start:a#4");
    memory.backoff.next(&key, at(100), at(100));
    let plan = decide(&pod, &found, &memory, at(101));
    assert_eq!(shown(&plan), "hold:a");
    assert_eq!(plan.wake_at, Some(at(110)));
    assert_eq!(plan.held[0].waiting.reason, "CrashLoopBackOff");
    assert_eq!(
        plan.held[0].waiting.message,
        "back-off 10s restarting failed container=a pod=p_n(u)"
    );
    assert_eq!(shown(&decide(&pod, &found, &memory, at(110))), "start:a#4");
    memory.starting.insert("a".into());
    assert_eq!(shown(&decide(&pod, &found, &memory, at(101))), "", "it is on its way already");
    assert_eq!(shown_delay(Duration::from_secs(80)), "1m20s");
    assert_eq!(shown_delay(Duration::from_secs(300)), "5m0s");
}

#[test]
fn what_waits_is_left_alone() {
    let pod = pod(json!({"containers": [{"name": "a"}]}));
    let mut memory = Memory::default();
    let waiting =
        Waiting { reason: "ErrImagePull".into(), message: String::new(), retry_at: at(10) };
    memory.waiting.insert("a".into(), waiting.clone());
    let plan = decide(&pod, &seen(&pod, &[]), &memory, at(5));
    assert_eq!((shown(&plan).as_str(), plan.wake_at), ("", Some(at(10))));
    assert_eq!(shown(&decide(&pod, &seen(&pod, &[]), &memory, at(10))), "start:a#0");
    memory.sandbox_waiting = Some(waiting);
    let plan = decide(&pod, &Observation::default(), &memory, at(5));
    assert_eq!((shown(&plan).as_str(), plan.wake_at), ("", Some(at(10))));
}

#[test]
fn kills() {
    let probe = json!({"exec": {"command": ["x"]}, "terminationGracePeriodSeconds": 7});
    let spec = pod(json!({"containers": [{"name": "a", "livenessProbe": probe}]}));
    let found = seen(&spec, &[("a", 0, running())]);
    let mut memory = Memory::default();
    memory.probes.insert(("a-0".into(), ProbeKind::Liveness), Outcome::Failure);
    let plan = decide(&spec, &found, &memory, at(0));
    assert_eq!(shown(&plan), "kill:a-0");
    assert_eq!(plan.kill[0].message, "Container a failed liveness probe, will be restarted");
    assert_eq!(plan.kill[0].grace, Some(Duration::from_secs(7)));
    memory.stopping.insert("a-0".into());
    assert_eq!(shown(&decide(&spec, &found, &memory, at(0))), "", "only once");
    let other = pod(json!({"containers": [{"name": "a", "image": "other"}]}));
    let plan = decide(&other, &found, &Memory::default(), at(0));
    assert_eq!(plan.kill[0].message, "Container a definition changed, will be restarted");
}

#[test]
fn lost_sandboxes() {
    let check = |policy: &str, state: ContainerState, expect: &str| {
        let pod = pod(json!({"restartPolicy": policy, "initContainers": [{"name": "i"}],
            "containers": [{"name": "a"}]}));
        let containers = vec![container(&pod, "i", 0, exited(0)), container(&pod, "a", 2, state)];
        let seen = Observation {
            sandboxes: vec![sandbox(0, false, containers)],
            ..Observation::default()
        };
        assert_eq!(shown(&decide(&pod, &seen, &Memory::default(), at(500))), expect, "{policy}");
    };
    check("Always", exited(137), "sandbox1 start:i#1");
    check("OnFailure", exited(137), "sandbox1 start:i#1");
    check("OnFailure", exited(0), "finished");
    check("Never", exited(137), "finished");
}

#[test]
fn ephemeral_containers_start_once() {
    let spec = || json!({"containers": [{"name": "a"}], "ephemeralContainers": [{"name": "e"}]});
    check(spec(), &[("a", 0, running())], "start:e#0");
    check(spec(), &[("a", 0, running()), ("e", 0, exited(1))], "");
}

#[test]
fn restart_counts_survive_lost_records() {
    let pod = pod(json!({"containers": [{"name": "a"}]}));
    let status = json!({"containerStatuses": [{"name": "a", "restartCount": 4, "ready": true,
        "image": "", "imageID": "", "containerID": "kd://x",
        "state": {"running": {"startedAt": "2024-01-01T00:00:00Z"}}}]});
    let memory = Memory { status: serde_json::from_value(status).unwrap(), ..Memory::default() };
    let plan = decide(&pod, &Observation::default(), &memory, at(0));
    assert_eq!(shown(&plan), "sandbox0 start:a#5");
    assert_eq!(pod.described(), "p_n(u)");
}

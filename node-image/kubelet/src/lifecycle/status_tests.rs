//! Tables of [`pod_status`](super::status::pod_status).

use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};
use kd_runtime::ContainerState;
use serde_json::{Value, json};

use super::status::pod_status;
use super::testing::{at, exited, pod, running, seen};
use super::{Memory, Observation, Outcome, ProbeKind, Stop, Waiting};

fn memory() -> Memory {
    Memory { addresses: vec!["10.244.0.5".parse().unwrap()], ..Memory::default() }
}

fn status(spec: Value, containers: &[(&str, u32, ContainerState)], memory: &Memory) -> PodStatus {
    let pod = pod(spec);
    let node = ["172.18.0.2".parse().unwrap()];
    pod_status(&pod, &seen(&pod, containers), memory, &node, at(200))
}

/// A container in one line: `name state ready started restarts last`.
fn shown(status: &ContainerStatus) -> String {
    let state = |s: Option<&k8s_openapi::api::core::v1::ContainerState>| {
        let Some(s) = s else { return "-".to_owned() };
        if let Some(waiting) = &s.waiting {
            return waiting.reason.clone().unwrap_or_default();
        }
        match &s.terminated {
            Some(t) => format!("{}({})", t.reason.clone().unwrap_or_default(), t.exit_code),
            None if s.running.is_some() => "Running".into(),
            None => "-".into(),
        }
    };
    let flag = |on: bool, text: &str| if on { format!(" {text}") } else { String::new() };
    format!(
        "{} {}{}{} #{} {}",
        status.name,
        state(status.state.as_ref()),
        flag(status.ready, "ready"),
        flag(status.started == Some(true), "started"),
        status.restart_count,
        state(status.last_state.as_ref())
    )
}

fn all_shown(status: &PodStatus) -> Vec<String> {
    let init = status.init_container_statuses.iter().flatten();
    let lines = init.chain(status.container_statuses.iter().flatten()).map(shown);
    std::iter::once(status.phase.clone().unwrap_or_default()).chain(lines).collect()
}

fn conditions(status: &PodStatus) -> Vec<String> {
    let line = |c: &k8s_openapi::api::core::v1::PodCondition| {
        let reason = c.reason.clone().map(|r| format!(" {r}")).unwrap_or_default();
        let message = c.message.clone().map(|m| format!(": {m}")).unwrap_or_default();
        format!("{}={}{reason}{message}", c.type_, c.status)
    };
    status.conditions.iter().flatten().map(line).collect()
}

#[test]
fn a_pod_that_runs() {
    let spec = json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}]});
    let found = status(spec, &[("a", 0, running())], &memory());
    assert_eq!(all_shown(&found), ["Running", "a Running ready started #0 -"]);
    assert_eq!(
        conditions(&found),
        [
            "PodReadyToStartContainers=True",
            "Initialized=True",
            "Ready=True",
            "ContainersReady=True",
            "PodScheduled=True"
        ]
    );
    assert_eq!(found.pod_ip.as_deref(), Some("10.244.0.5"));
    assert_eq!(found.host_ip.as_deref(), Some("172.18.0.2"));
    assert_eq!(found.observed_generation, Some(3));
    assert_eq!(found.qos_class.as_deref(), Some("Burstable"));
    let container = &found.container_statuses.as_ref().unwrap()[0];
    assert_eq!(container.container_id.as_deref(), Some("kd://a-0"));
    assert_eq!(container.allocated_resources.as_ref().unwrap()["cpu"].0, "1");
}

#[test]
fn a_pod_that_has_not_begun() {
    let found = pod_status(
        &pod(json!({"initContainers": [{"name": "i"}], "containers": [{"name": "a"}]})),
        &Observation::default(),
        &Memory::default(),
        &[],
        at(0),
    );
    assert_eq!(all_shown(&found), ["Pending", "i PodInitializing #0 -", "a PodInitializing #0 -"]);
    assert_eq!(
        conditions(&found),
        [
            "PodReadyToStartContainers=False",
            "Initialized=False ContainersNotInitialized: containers with incomplete status: [i]",
            "Ready=False ContainersNotReady: containers with unready status: [a]",
            "ContainersReady=False ContainersNotReady: containers with unready status: [a]",
            "PodScheduled=True"
        ]
    );
}

#[test]
fn phases() {
    let check = |policy: &str, a: ContainerState, b: ContainerState, finished, expect: &str| {
        let spec = json!({"restartPolicy": policy, "containers": [{"name": "a"}, {"name": "b"}]});
        let memory = Memory { finished, ..memory() };
        let found = status(spec, &[("a", 0, a), ("b", 0, b)], &memory);
        assert_eq!(found.phase.as_deref(), Some(expect), "{policy} {finished}");
    };
    check("Always", running(), exited(1), false, "Running");
    check("Always", exited(1), exited(1), false, "Running");
    check("Never", running(), exited(1), false, "Running");
    check("Never", exited(0), exited(1), false, "Failed");
    check("Never", exited(0), exited(0), false, "Succeeded");
    check("OnFailure", exited(0), exited(1), false, "Running");
    check("OnFailure", exited(0), exited(0), false, "Succeeded");
    check("Always", exited(0), exited(0), true, "Succeeded");
    check("Always", exited(0), exited(137), true, "Failed");
    check("Always", ContainerState::Created, running(), false, "Pending");
}

#[test]
fn phases_of_containers_that_run_again() {
    let check = |container: Value, state: ContainerState, expect: &str| {
        let spec = json!({"restartPolicy": "Never", "containers": [container, {"name": "b"}]});
        let found = status(spec, &[("a", 0, state), ("b", 0, exited(0))], &memory());
        assert_eq!(found.phase.as_deref(), Some(expect));
    };
    let rule = |action: &str| {
        json!({"name": "a", "restartPolicy": "Never", "restartPolicyRules": [{"action": action,
            "exitCodes": {"operator": "In", "values": [42]}}]})
    };
    check(rule("Restart"), exited(42), "Running");
    check(rule("RestartAllContainers"), exited(42), "Running");
    check(rule("Restart"), exited(1), "Failed");
    check(json!({"name": "a", "restartPolicy": "Always"}), exited(0), "Running");
    check(json!({"name": "a"}), exited(42), "Failed");
    let init = json!({"restartPolicy": "Never", "containers": [{"name": "b"}],
        "initContainers": [{"name": "i", "restartPolicy": "OnFailure"}]});
    let found = status(init, &[("i", 0, exited(1))], &memory());
    assert_eq!(found.phase.as_deref(), Some("Pending"));
}

#[test]
fn whether_all_containers_restart_is_told() {
    let spec = json!({"containers": [{"name": "b"}, {"name": "a", "restartPolicyRules": [
        {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]}]});
    let check = |a: ContainerState, expect: &str| {
        let found = status(spec.clone(), &[("a", 0, a), ("b", 0, running())], &memory());
        assert!(conditions(&found).contains(&expect.to_owned()), "{found:?}");
    };
    check(running(), "AllContainersRestarting=False");
    check(exited(1), "AllContainersRestarting=False");
    check(
        exited(42),
        "AllContainersRestarting=True RestartAllContainersStarted: container exited with restart \
         policy rule",
    );
}

#[test]
fn init_containers() {
    let spec = |policy: &str| {
        json!({"restartPolicy": policy, "initContainers": [{"name": "i"}],
            "containers": [{"name": "a"}]})
    };
    let found = status(spec("Always"), &[("i", 0, running())], &memory());
    assert_eq!(all_shown(&found), ["Pending", "i Running started #0 -", "a PodInitializing #0 -"]);
    let found = status(spec("Always"), &[("i", 0, exited(0)), ("a", 0, running())], &memory());
    assert_eq!(
        all_shown(&found),
        ["Running", "i Completed(0) ready #0 -", "a Running ready started #0 -"]
    );
    let found = status(spec("Never"), &[("i", 0, exited(1))], &memory());
    assert_eq!(all_shown(&found), ["Failed", "i Error(1) #0 -", "a PodInitializing #0 -"]);
    assert!(conditions(&found).contains(&"Ready=False PodFailed".to_owned()));
}

#[test]
fn sidecars() {
    let spec = json!({"restartPolicy": "Never",
        "initContainers": [{"name": "s", "restartPolicy": "Always"}], "containers": [{"name": "a"}]});
    let found = status(spec.clone(), &[("s", 0, running()), ("a", 0, running())], &memory());
    assert_eq!(
        all_shown(&found),
        ["Running", "s Running ready started #0 -", "a Running ready started #0 -"]
    );
    let found = status(spec.clone(), &[("s", 0, running()), ("a", 0, exited(0))], &memory());
    assert_eq!(found.phase.as_deref(), Some("Running"), "until the sidecar is gone");
    let over = Memory { finished: true, ..memory() };
    let found = status(spec, &[("s", 0, exited(137)), ("a", 0, exited(0))], &over);
    assert_eq!(found.phase.as_deref(), Some("Succeeded"), "sidecars do not count");
}

#[test]
fn crash_loops_show_what_they_wait_for() {
    let mut memory = memory();
    let waiting =
        |reason: &str| Waiting { reason: reason.into(), message: "m".into(), retry_at: at(300) };
    memory.waiting.insert("a".into(), waiting("CrashLoopBackOff"));
    let spec = || json!({"containers": [{"name": "a"}]});
    let found = status(spec(), &[("a", 2, exited(1)), ("a", 1, exited(9))], &memory);
    assert_eq!(all_shown(&found), ["Running", "a CrashLoopBackOff #2 Error(1)"]);
    let found = status(spec(), &[("a", 2, running()), ("a", 1, exited(9))], &memory);
    assert_eq!(all_shown(&found), ["Running", "a Running ready started #2 Error(9)"]);
    let found = status(spec(), &[], &memory);
    assert_eq!(all_shown(&found), ["Pending", "a CrashLoopBackOff #0 -"]);
}

#[test]
fn probes() {
    let probe = json!({"exec": {"command": ["x"]}});
    let spec =
        || json!({"containers": [{"name": "a", "startupProbe": probe, "readinessProbe": probe}]});
    let mut memory = memory();
    let line =
        |memory: &Memory| all_shown(&status(spec(), &[("a", 0, running())], memory))[1].clone();
    assert_eq!(line(&memory), "a Running #0 -");
    memory.probes.insert(("a-0".into(), ProbeKind::Startup), Outcome::Success);
    assert_eq!(line(&memory), "a Running started #0 -");
    memory.probes.insert(("a-0".into(), ProbeKind::Readiness), Outcome::Success);
    assert_eq!(line(&memory), "a Running ready started #0 -");
    memory.probes.insert(("a-0".into(), ProbeKind::Readiness), Outcome::Failure);
    assert_eq!(line(&memory), "a Running started #0 -");
}

#[test]
fn readiness_gates() {
    let spec = json!({"containers": [{"name": "a"}], "readinessGates": [{"conditionType": "g"}]});
    let mut memory = memory();
    let found = status(spec.clone(), &[("a", 0, running())], &memory);
    let expect = "Ready=False ReadinessGatesNotReady: corresponding condition of pod readiness \
                  gate \"g\" does not exist.";
    assert!(conditions(&found).contains(&expect.to_owned()));
    memory.status.conditions =
        serde_json::from_value(json!([{"type": "g", "status": "True"}])).unwrap();
    let found = status(spec, &[("a", 0, running())], &memory);
    assert_eq!(conditions(&found)[0], "g=True");
    assert!(conditions(&found).contains(&"Ready=True".to_owned()));
}

#[test]
fn transition_times_stay_while_nothing_changes() {
    let spec = || json!({"containers": [{"name": "a"}]});
    let mut memory = memory();
    memory.status = status(spec(), &[("a", 0, running())], &memory);
    let pod = pod(spec());
    let again = pod_status(&pod, &seen(&pod, &[("a", 0, running())]), &memory, &[], at(900));
    assert_eq!(again.conditions, memory.status.conditions);
}

#[test]
fn pods_the_kubelet_ends() {
    let stop = Stop::of("DeadlineExceeded", "m");
    let memory = Memory { stop: Some(stop), ..memory() };
    let spec = || json!({"containers": [{"name": "a"}]});
    let found = status(spec(), &[("a", 0, running())], &memory);
    assert_eq!((found.phase.as_deref(), found.reason.as_deref()), (Some("Running"), None));
    assert!(conditions(&found).contains(&"Ready=False PodFailed".to_owned()), "{found:?}");
    let found = status(spec(), &[("a", 0, exited(137))], &memory);
    assert_eq!(found.phase.as_deref(), Some("Failed"));
    assert_eq!(found.reason.as_deref(), Some("DeadlineExceeded"));
    let found = status(spec(), &[], &memory);
    assert_eq!(all_shown(&found), ["Failed", "a ContainerStatusUnknown(137) #0 -"]);
    let rejected = Memory { rejected: true, ..memory };
    let found = status(spec(), &[], &rejected);
    assert_eq!((found.phase.as_deref(), found.container_statuses), (Some("Failed"), None));
}

#[test]
fn terminated_states() {
    let check = |change: fn(&mut kd_runtime::Exit), expect: &str| {
        let ContainerState::Exited(mut exit) = exited(1) else { unreachable!() };
        change(&mut exit);
        let spec = json!({"restartPolicy": "Never", "containers": [{"name": "a"}]});
        let found = status(spec, &[("a", 0, ContainerState::Exited(exit))], &memory());
        assert_eq!(all_shown(&found)[1], expect);
    };
    check(|e| e.code = 0, "a Completed(0) #0 -");
    check(|_| (), "a Error(1) #0 -");
    check(|e| (e.oom_killed, e.code) = (true, 137), "a OOMKilled(137) #0 -");
    check(|e| (e.error, e.code) = (Some("x".into()), 128), "a StartError(128) #0 -");
    check(|e| e.error = Some("x".into()), "a ContainerCannotRun(1) #0 -");
}

#[test]
fn messages_share_their_place() {
    let check = |containers: usize, expect: usize| {
        let name = |number: usize| format!("c{number}");
        let all: Vec<Value> = (0..containers).map(|n| json!({"name": name(n)})).collect();
        let pod = pod(json!({"restartPolicy": "Never", "containers": all}));
        let mut found = seen(&pod, &[("c0", 0, exited(1))]);
        found.messages.insert("c0-0".into(), "é".repeat(2048));
        let status = pod_status(&pod, &found, &memory(), &[], at(200));
        let state = status.container_statuses.unwrap()[0].state.clone().unwrap();
        assert_eq!(state.terminated.unwrap().message.unwrap().len(), expect);
    };
    check(1, 4096);
    check(3, 4096);
    check(5, 2456);
}

#[test]
fn what_is_told_of_mounts_and_devices() {
    let check = |mount: Value, expect: Value| {
        let spec = json!({"containers": [{"name": "a", "volumeMounts": [mount]}]});
        let found = status(spec, &[("a", 0, running())], &memory());
        let told = serde_json::to_value(found.container_statuses.unwrap()[0].volume_mounts.clone());
        assert_eq!(told.unwrap(), json!([expect]));
    };
    let mount = |read_only: bool, recursive: Value| json!({"name": "v", "mountPath": "/v", "readOnly": read_only, "recursiveReadOnly": recursive});
    let told = |recursive: &str| json!({"name": "v", "mountPath": "/v", "readOnly": true, "recursiveReadOnly": recursive});
    check(mount(false, Value::Null), json!({"name": "v", "mountPath": "/v"}));
    check(mount(true, Value::Null), told("Disabled"));
    check(mount(true, json!("IfPossible")), told("Enabled"));
    let pod = pod(json!({"containers": [{"name": "a"}, {"name": "b"}]}));
    let mut found = seen(&pod, &[("a", 0, running())]);
    let devices =
        json!([{"name": "kd.test/toy", "resources": [{"resourceID": "1", "health": "Healthy"}]}]);
    found.devices.insert("a".into(), serde_json::from_value(devices.clone()).unwrap());
    let status = pod_status(&pod, &found, &memory(), &[], at(200));
    let told: Vec<Value> = status
        .container_statuses
        .iter()
        .flatten()
        .map(|c| serde_json::to_value(&c.allocated_resources_status).unwrap())
        .collect();
    assert_eq!(told, [devices, Value::Null]);
}

#[test]
fn what_others_tell_stays() {
    let known = json!({"nominatedNodeName": "n",
        "resourceClaimStatuses": [{"name": "c", "resourceClaimName": "p-c"}],
        "extendedResourceClaimStatus": {"resourceClaimName": "p-e", "requestMappings": []}});
    let mut memory = memory();
    memory.status = serde_json::from_value(known.clone()).unwrap();
    let found = status(json!({"containers": [{"name": "a"}]}), &[("a", 0, running())], &memory);
    let told = serde_json::to_value(found).unwrap();
    for (name, value) in known.as_object().unwrap() {
        assert_eq!(told[name], *value);
    }
}

#[test]
fn lost_containers() {
    let known = json!({"containerStatuses": [{"name": "a", "restartCount": 1, "ready": true,
        "image": "", "imageID": "", "containerID": "kd://x",
        "state": {"running": {"startedAt": "2024-01-01T00:00:00Z"}}}]});
    let mut memory = Memory { status: serde_json::from_value(known).unwrap(), ..memory() };
    let spec = || json!({"containers": [{"name": "a"}]});
    let found = status(spec(), &[], &memory);
    assert_eq!(all_shown(&found)[1], "a ContainerCreating #1 ContainerStatusUnknown(137)");
    memory.finished = true;
    let found = status(spec(), &[], &memory);
    assert_eq!(all_shown(&found), ["Failed", "a ContainerStatusUnknown(137) #1 -"]);
}

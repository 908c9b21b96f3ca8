//! Pods: what their containers' states add up to.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::{human_duration, parsed, seconds_between, since};
use super::rows::or_none;
use crate::walk::Walk;

/// A finished pod's row says so, so that kubectl can leave it out.
pub(super) fn conditions(pod: &Value) -> Value {
    let message = match pod["status"].text("phase") {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return Value::Null,
    };
    let reason = pod["status"].text("phase");
    json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}])
}

pub(super) fn pod(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = Summary::of(pod);
    let status = &pod["status"];
    let restarts = match summary.last_restart {
        Some(time) if summary.restarts != 0 => {
            let ago = human_duration(seconds_between(time, now));
            format!("{} ({ago} ago)", summary.restarts)
        }
        _ => summary.restarts.to_string(),
    };
    let address = match status["podIPs"][0].text("ip") {
        "" => status.text("podIP"),
        ip => ip,
    };
    vec![
        pod["metadata"]["name"].clone(),
        json!(format!("{}/{}", summary.ready, summary.total)),
        json!(summary.reason),
        json!(restarts),
        since(&pod["metadata"]["creationTimestamp"], now),
        or_none(address),
        or_none(pod["spec"].text("nodeName")),
        or_none(status.text("nominatedNodeName")),
        readiness_gates(pod),
    ]
}

fn readiness_gates(pod: &Value) -> Value {
    let gates = pod["spec"].list("readinessGates");
    if gates.is_empty() {
        return json!("<none>");
    }
    let holds = |gate: &&Value| condition(pod, gate.text("conditionType")).text("status") == "True";
    json!(format!("{}/{}", gates.iter().filter(holds).count(), gates.len()))
}

fn condition<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let found = pod["status"].list("conditions").iter().find(|c| c.text("type") == name);
    found.unwrap_or(&Value::Null)
}

struct Summary {
    ready: usize,
    total: usize,
    reason: String,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

impl Summary {
    fn of(pod: &Value) -> Summary {
        let (spec, status) = (&pod["spec"], &pod["status"]);
        let sidecars = spec.list("initContainers").iter().filter(|c| is_sidecar(c)).count();
        let mut summary = Summary {
            ready: 0,
            total: spec.list("containers").len() + sidecars,
            reason: first_reason(pod),
            restarts: 0,
            last_restart: None,
        };
        let (busy, sidecars) = summary.read_init_containers(pod);
        // Sidecars that end after the others do not make the pod initialize again.
        if !busy || condition(pod, "Initialized").text("status") == "True" {
            summary.restarts = sidecars.restarts;
            summary.last_restart = sidecars.last_restart;
            summary.read_containers(pod);
        }
        let terminating = pod["metadata"].has("deletionTimestamp");
        let over = matches!(status.text("phase"), "Succeeded" | "Failed");
        if terminating && status.text("reason") == "NodeLost" {
            summary.reason = "Unknown".into();
        } else if terminating && !over {
            summary.reason = "Terminating".into();
        }
        summary
    }

    /// Restarts of all init containers count while the pod initializes, those of sidecars also
    /// later. Tells whether one of them has not done its part.
    fn read_init_containers(&mut self, pod: &Value) -> (bool, Sidecars) {
        let specs = pod["spec"].list("initContainers");
        let mut sidecars = Sidecars::default();
        for (index, container) in pod["status"].list("initContainerStatuses").iter().enumerate() {
            let sidecar =
                specs.iter().any(|c| c.text("name") == container.text("name") && is_sidecar(c));
            let restarts = container.integer("restartCount").unwrap_or(0);
            let restarted = last_termination(container);
            self.restarts += restarts;
            self.last_restart = self.last_restart.max(restarted);
            if sidecar {
                sidecars.restarts += restarts;
                sidecars.last_restart = sidecars.last_restart.max(restarted);
            }
            let state = &container["state"];
            if state["terminated"].integer("exitCode") == Some(0) {
                continue;
            }
            if sidecar && container.flag("started") {
                self.ready += usize::from(container.flag("ready"));
                continue;
            }
            self.reason = init_reason(state, index, specs.len());
            return (true, sidecars);
        }
        (false, sidecars)
    }

    fn read_containers(&mut self, pod: &Value) {
        let mut running = false;
        for container in pod["status"].list("containerStatuses").iter().rev() {
            self.restarts += container.integer("restartCount").unwrap_or(0);
            self.last_restart = self.last_restart.max(last_termination(container));
            let state = &container["state"];
            let waiting = state["waiting"].text("reason");
            if !waiting.is_empty() {
                self.reason = waiting.to_owned();
            } else if state.has("terminated") {
                self.reason = termination_reason(&state["terminated"]);
            } else if container.flag("ready") && state.has("running") {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && running {
            let ready = condition(pod, "Ready").text("status") == "True";
            self.reason = if ready { "Running" } else { "NotReady" }.to_owned();
        }
    }
}

#[derive(Default)]
struct Sidecars {
    restarts: i64,
    last_restart: Option<Timestamp>,
}

fn first_reason(pod: &Value) -> String {
    let status = &pod["status"];
    if condition(pod, "PodScheduled").text("reason") == "SchedulingGated" {
        return "SchedulingGated".to_owned();
    }
    match status.text("reason") {
        "" => status.text("phase").to_owned(),
        reason => reason.to_owned(),
    }
}

fn is_sidecar(container: &Value) -> bool {
    container.text("restartPolicy") == "Always"
}

fn last_termination(container: &Value) -> Option<Timestamp> {
    parsed(&container["lastState"]["terminated"]["finishedAt"])
}

fn termination_reason(terminated: &Value) -> String {
    match (terminated.text("reason"), terminated.integer("signal").unwrap_or(0)) {
        ("", 0) => format!("ExitCode:{}", terminated.integer("exitCode").unwrap_or(0)),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn init_reason(state: &Value, index: usize, count: usize) -> String {
    let waiting = state["waiting"].text("reason");
    if state.has("terminated") {
        format!("Init:{}", termination_reason(&state["terminated"]))
    } else if !waiting.is_empty() && waiting != "PodInitializing" {
        format!("Init:{waiting}")
    } else {
        format!("Init:{index}/{count}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(object: Value) -> [String; 3] {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        let cells = pod(&object, now);
        [1, 2, 3].map(|index| cells[index].as_str().unwrap().to_owned())
    }

    #[test]
    fn sidecars_end_last() {
        let ended = |name: &str, code: i64, reason: &str| json!({"name": name, "state": {"terminated": {"exitCode": code, "reason": reason}}});
        let pod = json!({
            "spec": {"containers": [{"name": "c"}],
                "initContainers": [{"name": "s", "restartPolicy": "Always"}]},
            "status": {"phase": "Succeeded",
                "conditions": [{"type": "Initialized", "status": "True"}],
                "initContainerStatuses": [ended("s", 143, "Error")],
                "containerStatuses": [ended("c", 0, "Completed")]}});
        assert_eq!(shown(pod)[..2], ["0/2", "Completed"]);
    }

    #[test]
    fn states() {
        let two = json!({"containers": [{"name": "a"}, {"name": "b"}]});
        let check = |status: Value, want: [&str; 3]| {
            assert_eq!(shown(json!({"spec": two, "status": status})), want, "{status}");
        };
        check(json!({"phase": "Pending"}), ["0/2", "Pending", "0"]);
        let up = json!({"name": "a", "ready": true, "state": {"running": {}}, "restartCount": 0});
        check(json!({"phase": "Running", "containerStatuses": [up, up]}), ["2/2", "Running", "0"]);
        let crashed = json!({"name": "b", "ready": false, "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"finishedAt": "2026-01-01T00:08:00Z"}}});
        check(
            json!({"phase": "Running", "containerStatuses": [up, crashed]}),
            ["1/2", "CrashLoopBackOff", "3 (2m ago)"],
        );
        let renewed = json!({"name": "b", "ready": true, "restartCount": 0, "state": {"running": {}},
            "lastState": {"terminated": {"finishedAt": "2026-01-01T00:08:00Z"}}});
        check(json!({"phase": "Running", "containerStatuses": [renewed]}), ["1/2", "Running", "0"]);
        let done =
            json!({"name": "b", "state": {"terminated": {"reason": "Completed", "exitCode": 0}}});
        check(
            json!({"phase": "Succeeded", "containerStatuses": [done, done]}),
            ["0/2", "Completed", "0"],
        );
        check(
            json!({"phase": "Running", "containerStatuses": [done, up]}),
            ["1/2", "NotReady", "0"],
        );
        let killed = json!({"name": "b", "state": {"terminated": {"signal": 9}}});
        check(json!({"phase": "Failed", "containerStatuses": [killed]}), ["0/2", "Signal:9", "0"]);
        check(json!({"phase": "Failed", "reason": "Evicted"}), ["0/2", "Evicted", "0"]);
    }

    #[test]
    fn init_containers() {
        let spec = json!({"containers": [{"name": "a"}],
            "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]});
        let check = |inits: Value, want: [&str; 3]| {
            let status = json!({"phase": "Pending", "initContainerStatuses": inits,
                "containerStatuses": [{"name": "a", "ready": true, "state": {"running": {}}}]});
            assert_eq!(shown(json!({"spec": spec, "status": status})), want, "{inits}");
        };
        let done =
            json!({"name": "i", "restartCount": 1, "state": {"terminated": {"exitCode": 0}}});
        let waiting = json!({"name": "i", "state": {"waiting": {"reason": "PodInitializing"}}});
        let failed = json!({"name": "i", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}});
        let error =
            json!({"name": "i", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}});
        let sidecar = json!({"name": "s", "ready": true, "started": true, "restartCount": 4, "state": {"running": {}}});
        let early = json!({"name": "s", "started": false, "state": {"running": {}}});
        check(json!([waiting]), ["0/2", "Init:0/2", "0"]);
        check(json!([failed]), ["0/2", "Init:CrashLoopBackOff", "2"]);
        check(json!([error]), ["0/2", "Init:Error", "0"]);
        check(json!([done, early]), ["0/2", "Init:1/2", "1"]);
        check(json!([done, sidecar]), ["2/2", "Pending", "4"]);
    }

    #[test]
    fn deletion() {
        let check = |status: Value, want: &str| {
            let pod = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": status});
            assert_eq!(shown(pod)[1], want);
        };
        check(json!({"phase": "Running"}), "Terminating");
        check(json!({"phase": "Succeeded"}), "Succeeded");
        check(json!({"phase": "Running", "reason": "NodeLost"}), "Unknown");
    }
}

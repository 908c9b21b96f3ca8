//! A pod on every node: DaemonSets with kubectl.

use crate::harness::{Fixture, Test, eventually};

pub const TESTS: &[Test] = &[("rollout", rollout)];

const SET: &str = "
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      terminationGracePeriodSeconds: 1
      nodeSelector: {role: worker}
      containers:
      - {name: c, image: \"kd-test/busybox:1\", command: [sleep, '600']}
";

fn rollout(fixture: &Fixture) {
    let n = fixture.namespace("daemon-set");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &n][..], arguments].concat());
    let scheduled = |expect: &str| {
        let path = "jsonpath={.status.desiredNumberScheduled} {.status.numberReady}";
        eventually(expect, || {
            let counts = k(&["get", "ds/agent", "-o", path]).ok().out;
            (counts == expect).then_some(())
        });
    };
    fixture.kubectl_in(fixture.cluster(), &["-n", &n, "apply", "-f", "-"], SET).ok();
    scheduled("0 0");
    fixture.kubectl(&["label", "node", "--all", "role=worker"]).ok();
    scheduled("1 1");
    let rolled_out = || k(&["rollout", "status", "ds/agent", "--timeout=90s"]).ok();
    k(&["set", "env", "ds/agent", "STEP=two"]).ok();
    rolled_out();
    k(&["rollout", "undo", "ds/agent"]).ok();
    rolled_out();
    k(&["rollout", "history", "ds/agent"]).ok().prints("\n3 ");
    // A pod that is lost is replaced, one on a node that does not fit any more goes.
    k(&["delete", "pod", "-l", "app=agent"]).ok();
    scheduled("1 1");
    fixture.kubectl(&["label", "node", "--all", "role-"]).ok();
    k(&["wait", "--for=delete", "pod", "-l", "app=agent", "--timeout=60s"]).ok();
}

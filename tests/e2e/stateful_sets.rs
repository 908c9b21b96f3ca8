//! Pods with names and data that last: StatefulSets and volumes with kubectl.

use crate::harness::{Fixture, Test};

pub const TESTS: &[Test] =
    &[("rollout_and_data", rollout_and_data), ("claims_of_a_pod", claims_of_a_pod)];

const SET: &str = "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  replicas: 2
  serviceName: web
  selector: {matchLabels: {app: web}}
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete, whenScaled: Delete}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: c
        image: kd-test/busybox:1
        command: [sh, -c, 'echo $(hostname) $STEP >> /data/log; sleep 600']
        env: [{name: STEP, value: one}]
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      resources: {requests: {storage: 1Mi}}
";

fn rollout_and_data(fixture: &Fixture) {
    let n = fixture.namespace("stateful-set");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &n][..], arguments].concat());
    let rolled_out = || k(&["rollout", "status", "sts/web", "--timeout=90s"]).ok();
    fixture.kubectl_in(fixture.cluster(), &["-n", &n, "apply", "-f", "-"], SET).ok();
    rolled_out();
    k(&["set", "env", "sts/web", "STEP=two"]).ok();
    rolled_out();
    k(&["exec", "web-1", "--", "cat", "/data/log"]).ok().prints("web-1 one\nweb-1 two\n");
    k(&["rollout", "undo", "sts/web"]).ok();
    rolled_out();
    k(&["exec", "web-0", "--", "tail", "-n1", "/data/log"]).ok().prints("web-0 one");
    k(&["rollout", "history", "sts/web"]).ok().prints("\n3 ");
    // Pods go from the highest, and here their data with them.
    k(&["scale", "sts/web", "--replicas=1"]).ok();
    k(&["wait", "--for=delete", "pvc/data-web-1", "--timeout=60s"]).ok();
    k(&["get", "pod", "web-0"]).ok();
    k(&["delete", "sts/web"]).ok();
    k(&["wait", "--for=delete", "pvc", "--all", "--timeout=60s"]).ok();
}

const POD: &str = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: kept}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: kd-test/busybox:1
    command: [sleep, '600']
    volumeMounts: [{name: kept, mountPath: /kept}, {name: scratch, mountPath: /scratch}]
  volumes:
  - name: kept
    persistentVolumeClaim: {claimName: kept}
  - name: scratch
    ephemeral:
      volumeClaimTemplate:
        spec:
          accessModes: [ReadWriteOnce]
          resources: {requests: {storage: 1Mi}}
";

fn claims_of_a_pod(fixture: &Fixture) {
    let n = fixture.namespace("volume-claims");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &n][..], arguments].concat());
    fixture.kubectl_in(fixture.cluster(), &["-n", &n, "apply", "-f", "-"], POD).ok();
    k(&["wait", "--for=condition=Ready", "pod/p", "--timeout=90s"]).ok();
    k(&["get", "pvc", "p-scratch", "-o", "jsonpath={.status.phase}"]).ok().prints("Bound");
    // A claim that is used stays until its pod is gone.
    k(&["delete", "pvc", "kept", "--wait=false"]).ok();
    k(&["get", "pvc", "kept"]).ok().prints("Terminating");
    k(&["delete", "pod", "p"]).ok();
    k(&["wait", "--for=delete", "pvc/kept", "pvc/p-scratch", "--timeout=60s"]).ok();
}

//! Plugins of a node, on gRPC's own library (tests/images/plugin): a CSI driver whose volumes are
//! attached, staged, published, grown and taken away, a device plugin, and a driver of resource claims.

use crate::harness::{Fixture, Test, eventually, kill_program};

pub const TESTS: &[Test] = &[
    ("a_csi_driver_mounts_its_volumes", a_csi_driver_mounts_its_volumes),
    ("a_device_plugin_gives_its_devices", a_device_plugin_gives_its_devices),
    ("a_driver_prepares_claims", a_driver_prepares_claims),
];

struct Cluster<'a> {
    fixture: &'a Fixture,
    name: String,
}

impl Cluster<'_> {
    fn new<'a>(fixture: &'a Fixture, suffix: &str) -> Cluster<'a> {
        let name = fixture.name(suffix);
        fixture.kd(&["cluster", "create", &name]).ok();
        let images = ["kd-test/busybox:1", "kd-test/plugin:1"];
        fixture.kd(&[&["image", "load"], &images[..], &["--cluster", &name]].concat()).ok();
        Cluster { fixture, name }
    }

    #[track_caller]
    fn k(&self, command: &str) -> String {
        let arguments: Vec<&str> = command.split_whitespace().collect();
        self.fixture.kubectl_in(&self.name, &arguments, "").ok().out
    }

    #[track_caller]
    fn apply(&self, manifest: &str) {
        self.fixture.kubectl_in(&self.name, &["apply", "-f", "-"], manifest).ok();
    }

    fn sh(&self, pod: &str, script: &str) -> String {
        let arguments = ["exec", pod, "--", "sh", "-c", script];
        self.fixture.kubectl_in(&self.name, &arguments, "").ok().out
    }

    fn ready(&self, pods: &str) {
        self.k(&format!("wait --for=condition=Ready {pods} --timeout=90s"));
    }

    fn node(&self) -> String {
        format!("kd-{}-server-0", self.name)
    }

    fn kill_kubelet(&self, pod: &str) {
        kill_program(&self.node(), "kd-kubelet");
        eventually("the pod can be used again", || {
            let arguments = ["exec", pod, "--", "true"];
            (self.fixture.kubectl_in(&self.name, &arguments, "").code == Some(0)).then_some(())
        });
    }

    /// How often the plugin was called so.
    fn calls(&self, plugin: &str, call: &str) -> usize {
        let log = self.k(&format!("logs {plugin} --tail=-1"));
        log.lines().filter(|line| line.contains(call)).count()
    }

    fn events(&self, text: &str) {
        eventually(text, || self.k("get events").contains(text).then_some(()));
    }
}

const DRIVER: &str = r#"
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: { name: csi.kd.test }
spec: { attachRequired: true, podInfoOnMount: true, fsGroupPolicy: File, volumeLifecycleModes: [Persistent, Ephemeral] }
---
apiVersion: v1
kind: Pod
metadata: { name: driver, labels: { app: driver } }
spec:
  containers:
  - name: driver
    image: kd-test/plugin:1
    args: [csi, csi.kd.test, /var/lib/kubelet/plugins/csi.kd.test]
    env: [{ name: NODE_NAME, valueFrom: { fieldRef: { fieldPath: spec.nodeName } } }]
    securityContext: { privileged: true }
    volumeMounts: [{ name: kubelet, mountPath: /var/lib/kubelet, mountPropagation: Bidirectional }]
  volumes:
  - { name: kubelet, hostPath: { path: /var/lib/kubelet } }
  initContainers:
  - name: directory
    image: kd-test/busybox:1
    command: [mkdir, -p, /var/lib/kubelet/plugins/csi.kd.test]
    volumeMounts: [{ name: kubelet, mountPath: /var/lib/kubelet }]
"#;

/// What an external provisioner makes of a claim.
const VOLUME: &str = r#"
apiVersion: v1
kind: PersistentVolume
metadata: { name: vol }
spec:
  accessModes: [ReadWriteOnce]
  capacity: { storage: 1Gi }
  storageClassName: csi
  persistentVolumeReclaimPolicy: Retain
  mountOptions: [noatime]
  claimRef: { namespace: default, name: data }
  csi:
    driver: csi.kd.test
    volumeHandle: vol-1
    fsType: ext4
    volumeAttributes: { kind: fast }
    nodeStageSecretRef: { name: stage, namespace: default }
---
apiVersion: v1
kind: Secret
metadata: { name: stage }
stringData: { key: s3cret }
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: { name: csi }
provisioner: csi.kd.test
allowVolumeExpansion: true
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: data }
spec: { accessModes: [ReadWriteOnce], storageClassName: csi, resources: { requests: { storage: 1Gi } } }
"#;

fn user(name: &str, volume: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{ name: {name} }}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {{ fsGroup: 4321 }}
  containers:
  - name: c
    image: kd-test/busybox:1
    command: [sleep, "100000"]
    volumeMounts: [{{ name: v, mountPath: /v }}]
  volumes: [{{ name: v, {volume} }}]
"#
    )
}

fn a_csi_driver_mounts_its_volumes(fixture: &Fixture) {
    let cluster = Cluster::new(fixture, "csi");
    cluster.apply(DRIVER);
    cluster.ready("pod/driver");
    let driver = eventually("the driver is registered", || {
        let path = "jsonpath={.spec.drivers}";
        let driver = cluster.k(&format!("get csinode {} -o {path}", cluster.node()));
        driver.contains("topology.kd.test/node").then_some(driver)
    });
    assert!(driver.contains("\"count\":3"), "{driver}");
    let label = cluster.k(&format!("get node {} --show-labels", cluster.node()));
    assert!(label.contains(&format!("topology.kd.test/node={}", cluster.node())), "{label}");
    cluster.apply(VOLUME);
    cluster.apply(&user("first", "persistentVolumeClaim: { claimName: data }"));
    attach(&cluster);
    cluster.ready("pod/first");
    cluster.sh("first", "echo kept > /v/file");
    assert_eq!(cluster.sh("first", "stat -c %g /v/file").trim(), "4321");
    let calls = cluster.k("logs driver --tail=-1");
    let staged = calls.lines().find(|line| line.contains("NodeStageVolume")).unwrap();
    for told in ["\"key\": \"s3cret\"", "\"lun\": \"7\"", "\"kind\": \"fast\""] {
        assert!(staged.contains(told), "{staged}");
    }
    let published = calls.lines().find(|line| line.contains("NodePublishVolume")).unwrap();
    for told in ["csi.storage.k8s.io/pod.name\": \"first\"", "noatime", "\"mode\": 7"] {
        assert!(published.contains(told), "{published}");
    }
    cluster.apply(&user("inline", "csi: { driver: csi.kd.test }"));
    cluster.ready("pod/inline");
    survives_a_kubelet(&cluster);
    goes_when_nobody_wants_it(&cluster);
    fixture.kd(&["cluster", "delete", &cluster.name]).ok();
}

/// What an external attacher does.
fn attach(cluster: &Cluster<'_>) {
    let attachment = eventually("a VolumeAttachment", || {
        let found = cluster.k("get volumeattachments -o name");
        (!found.is_empty()).then(|| found.trim().to_owned())
    });
    let patch = r#"{"status":{"attached":true,"attachmentMetadata":{"lun":"7"}}}"#;
    cluster.k(&format!("patch {attachment} --subresource=status --type=merge -p {patch}"));
    cluster.events("AttachVolume.Attach succeeded for volume \"vol\"");
}

fn survives_a_kubelet(cluster: &Cluster<'_>) {
    cluster.kill_kubelet("first");
    // What an external resizer does.
    cluster.k(r#"patch pv vol -p {"spec":{"capacity":{"storage":"2Gi"}}}"#);
    cluster.apply(&user("second", "persistentVolumeClaim: { claimName: data }"));
    cluster.ready("pod/second");
    cluster.events("MountVolume.NodeExpandVolume succeeded for volume \"vol\"");
    assert_eq!(cluster.k("get pvc data -o jsonpath={.status.capacity.storage}"), "2Gi");
    assert_eq!(cluster.sh("second", "cat /v/file").trim(), "kept");
    assert_eq!(cluster.calls("driver", "NodeStageVolume"), 1);
    let path = format!("get --raw /api/v1/nodes/{}/proxy/stats/summary", cluster.node());
    eventually("the driver's numbers", || {
        let summary = cluster.k(&path);
        (summary.contains("\"name\":\"data\"") || summary.contains("\"name\": \"data\""))
            .then_some(())
    });
}

fn goes_when_nobody_wants_it(cluster: &Cluster<'_>) {
    cluster.k("delete pod first inline --wait=true");
    assert_eq!(cluster.calls("driver", "NodeUnpublishVolume"), 2);
    assert_eq!(cluster.calls("driver", "NodeUnstageVolume"), 0, "another pod has it");
    cluster.k("delete pod second --wait=true");
    assert_eq!(cluster.calls("driver", "NodeUnstageVolume"), 1);
    eventually("the volume is detached", || {
        cluster.k("get volumeattachments -o name").is_empty().then_some(())
    });
    let left = cluster.sh("driver", "ls /var/lib/kubelet/plugins/kubernetes.io/csi/csi.kd.test");
    assert_eq!(left, "");
}

const TOYS: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: toys }
spec:
  containers:
  - name: toys
    image: kd-test/plugin:1
    args: [devices, kd.test/toy, "3"]
    securityContext: { privileged: true }
    volumeMounts:
    - { name: plugins, mountPath: /var/lib/kubelet/device-plugins }
    - { name: cdi, mountPath: /var/run/cdi }
  volumes:
  - { name: plugins, hostPath: { path: /var/lib/kubelet/device-plugins } }
  - { name: cdi, hostPath: { path: /var/run/cdi, type: DirectoryOrCreate } }
"#;

fn player(name: &str, toys: u32) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{ name: {name} }}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: kd-test/busybox:1
    command: [sleep, "100000"]
    resources: {{ limits: {{ kd.test/toy: {toys} }} }}
"#
    )
}

fn a_device_plugin_gives_its_devices(fixture: &Fixture) {
    let cluster = Cluster::new(fixture, "devices");
    cluster.apply(TOYS);
    let usable = |expect: &str| {
        let path = r"jsonpath={.status.allocatable.kd\.test/toy}/{.status.capacity.kd\.test/toy}";
        let ask = format!("get node {} -o {path}", cluster.node());
        eventually(expect, || (cluster.k(&ask) == expect).then_some(()));
    };
    usable("3/3");
    cluster.apply(&player("two", 2));
    cluster.ready("pod/two");
    // The plugin prefers the last ones.
    assert_eq!(cluster.sh("two", "echo $TOYS $BY_CDI").trim(), "dev-1,dev-2 yes");
    cluster.sh("two", "test -c /dev/toy && head -c 1 /dev/toy && ls /toys/kubelet.sock");
    assert_eq!(cluster.calls("toys", "PreStartContainer"), 1);
    cluster.apply(&player("more", 2));
    cluster.events("1 Insufficient kd.test/toy");
    cluster.kill_kubelet("two");
    // Restarted, and asked again for the one that is left.
    usable("3/3");
    cluster.apply(&player("one", 1));
    cluster.ready("pod/one");
    assert_eq!(cluster.sh("one", "echo $TOYS").trim(), "dev-0");
    cluster.sh("toys", "echo dev-0 > /tmp/ill");
    usable("2/3");
    cluster.sh("toys", "rm /tmp/ill");
    cluster.k("delete pod two --wait=true");
    cluster.ready("pod/more");
    fixture.kd(&["cluster", "delete", &cluster.name]).ok();
}

const CLAIMS: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: driver }
spec:
  containers:
  - name: driver
    image: kd-test/plugin:1
    args: [dra, dra.kd.test, /var/lib/kubelet/plugins/dra.kd.test]
    volumeMounts:
    - { name: kubelet, mountPath: /var/lib/kubelet }
    - { name: cdi, mountPath: /var/run/cdi }
  volumes:
  - { name: kubelet, hostPath: { path: /var/lib/kubelet } }
  - { name: cdi, hostPath: { path: /var/run/cdi, type: DirectoryOrCreate } }
---
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: { name: toys }
spec: {}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: { name: claim }
spec: { devices: { requests: [{ name: toy, exactly: { deviceClassName: toys } }] } }
"#;

fn claimant(node: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{ name: claimant }}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: kd-test/busybox:1
    command: [sleep, "100000"]
    resources: {{ claims: [{{ name: mine, request: toy }}] }}
  resourceClaims: [{{ name: mine, resourceClaimName: claim }}]
"#
    )
}

/// The scheduler's part is played here: what is tried is the kubelet's.
fn a_driver_prepares_claims(fixture: &Fixture) {
    let cluster = Cluster::new(fixture, "dra");
    cluster.apply(CLAIMS);
    cluster.ready("pod/driver");
    cluster.apply(&claimant(&cluster.node()));
    let uid = cluster.k("get pod claimant -o jsonpath={.metadata.uid}");
    let status = format!(
        r#"{{"status":{{"allocation":{{"devices":{{"results":[{{"request":"toy","driver":"dra.kd.test","pool":"pool","device":"dev"}}]}}}},"reservedFor":[{{"resource":"pods","name":"claimant","uid":"{uid}"}}]}}}}"#
    );
    cluster.k(&format!("patch resourceclaim claim --subresource=status --type=merge -p {status}"));
    cluster.ready("pod/claimant");
    assert_eq!(cluster.sh("claimant", "echo $BY_CDI").trim(), "yes");
    cluster.kill_kubelet("claimant");
    cluster.k("delete pod claimant --wait=true");
    assert_eq!(cluster.calls("driver", "NodePrepareResources"), 1);
    assert_eq!(cluster.calls("driver", "NodeUnprepareResources"), 1);
    fixture.kd(&["cluster", "delete", &cluster.name]).ok();
}

//! Where pods go: clusters larger than the machine, schedulers configured by a file.

use crate::harness::{Fixture, Test, eventually};

pub const TESTS: &[Test] = &[("simulated_nodes", simulated_nodes), ("bad_files", bad_files)];

const CONFIG: &str = "
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: default-scheduler
- schedulerName: packing
  plugins:
    score: {disabled: [{name: PodTopologySpread}, {name: NodeResourcesBalancedAllocation}]}
  pluginConfig:
  - name: NodeResourcesFit
    args: {scoringStrategy: {type: MostAllocated}}
";

fn deployment(name: &str, replicas: usize, scheduler: &str, cpu: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      schedulerName: {scheduler}
      nodeSelector: {{type: kwok}}
      tolerations: [{{key: kwok.x-k8s.io/node, operator: Exists}}]
      containers: [{{name: c, image: none, resources: {{requests: {{cpu: {cpu}, memory: 10Mi}}}}}}]
"
    )
}

fn simulated_nodes(fixture: &Fixture) {
    let cluster = fixture.name("simulated");
    let config = fixture.file("scheduler.yaml", CONFIG);
    let config = config.to_str().unwrap();
    fixture
        .kd(&[
            "cluster",
            "create",
            &cluster,
            "--simulated-nodes",
            "50",
            "--scheduler-config",
            config,
        ])
        .ok();
    let kubectl = |arguments: &[&str], stdin: &str| fixture.kubectl_in(&cluster, arguments, stdin);
    eventually("51 nodes are ready", || {
        let ready = kubectl(&["get", "nodes", "--no-headers"], "").ok().out;
        (ready.lines().filter(|line| line.contains(" Ready ")).count() == 51).then_some(())
    });
    kubectl(&["apply", "-f", "-"], &deployment("spread", 300, "default-scheduler", "100m")).ok();
    kubectl(&["rollout", "status", "deployment/spread", "--timeout=60s"], "").ok();
    kubectl(&["apply", "-f", "-"], &deployment("packed", 20, "packing", "2")).ok();
    kubectl(&["rollout", "status", "deployment/packed", "--timeout=60s"], "").ok();
    let path = "jsonpath={range .items[*]}{.spec.nodeName}{\"\\n\"}{end}";
    let nodes = |app: &str| {
        let out = kubectl(&["get", "pods", "-l", app, "-o", path], "").ok().out;
        out.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!(nodes("app=spread"), 50);
    assert!(nodes("app=packed") <= 5, "{} nodes", nodes("app=packed"));
    kubectl(&["delete", "deployment", "spread", "packed"], "").ok();
    eventually("the pods are gone", || {
        kubectl(&["get", "pods", "--no-headers"], "").ok().out.is_empty().then_some(())
    });
    fixture.kd(&["cluster", "delete", &cluster]).ok();
}

fn bad_files(fixture: &Fixture) {
    let cluster = fixture.name("bad-scheduler");
    let bad = fixture.file("bad.yaml", &CONFIG.replace("MostAllocated", "Fullest"));
    let create = ["cluster", "create", &cluster, "--scheduler-config", bad.to_str().unwrap()];
    fixture.kd(&create).fails(2, "scoringStrategy.type: Unsupported value: \"Fullest\"");
    fixture.kd(&["cluster", "delete", &cluster]).ok().says("There is no cluster");
}

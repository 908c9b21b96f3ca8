//! Nodes that are only objects, for clusters larger than the machine: they exist, their Leases are
//! renewed, and `simulated_pod` says of the pods on them what a kubelet would. Label and taint are
//! those by which kwok's users know such nodes.

use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::{SignedDuration, Timestamp};
use kd_client::{Change, Interest, Key, Object, PatchKind, View, resources};
use serde_json::{Value, json};

use crate::controller::shared;
use crate::{Config, Controller, Plan, Step, Target};

/// The label that makes a node one of these.
pub(super) const LABEL: &str = "io.kd/simulated";
const LEASE_NAMESPACE: &str = "kube-node-lease";
const LEASE_SECONDS: i64 = 50;
/// A Lease is renewed when it is as old as this, well before a node counts as silent.
const RENEW_SECONDS: i64 = 25;
/// And up to so much later, not all at once.
const JITTER_SECONDS: i64 = 10;

/// Whether a node is simulated.
pub(super) fn is_simulated(node: &Object) -> bool {
    node.metadata.labels.contains_key(LABEL)
}

pub(super) struct SimulatedNodes {
    names: Vec<String>,
    version: String,
}

impl SimulatedNodes {
    pub(super) fn new(config: &Config) -> SimulatedNodes {
        let of = &config.simulated_nodes;
        SimulatedNodes {
            names: (0..of.count).map(|index| format!("{}-{index}", of.prefix)).collect(),
            version: of.version.clone(),
        }
    }
}

impl Controller for SimulatedNodes {
    fn name(&self) -> &'static str {
        "simulated-node-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![Interest::full(&resources::NODES), Interest::metadata(&resources::LEASES)]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        let nodes = shared(&resources::NODES);
        let Some(object) = change.object() else { return Vec::new() };
        if change.resource.same(&nodes) && !is_simulated(object) {
            // There is always the server's own node: with it the others begin.
            let all = self.names.iter().map(|name| Key::cluster(name));
            let missing = all.filter(|key| view.object(&nodes, key).is_none());
            return missing.map(|key| Target::new(&nodes, key)).collect();
        }
        let key = Key::cluster(&object.metadata.name);
        let concerned = match change.resource.same(&nodes) {
            true => is_simulated(object),
            false => {
                object.metadata.namespace == LEASE_NAMESPACE
                    && view.object(&nodes, &key).is_some_and(|node| is_simulated(node))
            }
        };
        concerned.then(|| Target::new(&nodes, key)).into_iter().collect()
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        let name = &*target.key.name;
        let Some(node) = view.object(&resources::NODES, &target.key) else {
            return match self.names.iter().any(|known| known == name) {
                true => Plan::one(Step::create(&resources::NODES, "", &self.node(name, now))),
                false => Plan::nothing(),
            };
        };
        if !is_simulated(node) {
            return Plan::nothing();
        }
        let key = Key::new(LEASE_NAMESPACE, name);
        let Some(lease) = view.object(&resources::LEASES, &key) else {
            let lease = lease(node, now);
            return Plan::one(Step::create(&resources::LEASES, LEASE_NAMESPACE, &lease));
        };
        let due = lease.observed + SignedDuration::from_secs(RENEW_SECONDS + jitter(name));
        if now < due {
            return Plan::at(due);
        }
        let patch = json!({"spec": {"renewTime": precise(now)}});
        Plan::one(Step::patch(&resources::LEASES, key, "", PatchKind::Merge, patch))
    }
}

impl SimulatedNodes {
    fn node(&self, name: &str, now: Timestamp) -> Value {
        let amounts = json!({"cpu": "32", "memory": "256Gi", "ephemeral-storage": "1Ti",
            "pods": "110"});
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake",
                    "node.alpha.kubernetes.io/ttl": "0"},
                "labels": {LABEL: "true", "type": "kwok", "kubernetes.io/hostname": name,
                    "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
                    "node-role.kubernetes.io/agent": "",
                    "node.kubernetes.io/exclude-from-external-load-balancers": ""}},
            "spec": {"taints": [
                {"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}]},
            "status": {"capacity": amounts, "allocatable": amounts,
                "addresses": [{"type": "Hostname", "address": name}],
                "conditions": conditions(now),
                "nodeInfo": {"architecture": "amd64", "operatingSystem": "linux",
                    "bootID": "", "containerRuntimeVersion": "kd://simulated", "kernelVersion": "",
                    "kubeProxyVersion": "", "kubeletVersion": self.version, "machineID": "",
                    "osImage": "simulated", "systemUUID": ""}},
        })
    }
}

/// Ready is the last: tools read it there.
fn conditions(now: Timestamp) -> Vec<Value> {
    let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let all = [
        (
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ];
    let condition = |(kind, status, reason, message)| {
        json!({"type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": time, "lastTransitionTime": time})
    };
    all.into_iter().map(condition).collect()
}

fn lease(node: &Object, now: Timestamp) -> Value {
    let name = &node.metadata.name;
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node.metadata.uid}]},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": precise(now)},
    })
}

/// As a MicroTime is written.
fn precise(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// The same for a node whenever it is asked, different for different nodes.
fn jitter(name: &str) -> i64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    (hasher.finish() % JITTER_SECONDS as u64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, lines, object, plan, view};

    fn controller() -> SimulatedNodes {
        let mut config = Config::new("10.244.0.0/16".parse().unwrap(), 24, "");
        config.simulated_nodes.count = 2;
        config.simulated_nodes.prefix = "sim".into();
        SimulatedNodes::new(&config)
    }

    #[test]
    fn nodes_begin_with_a_real_one() {
        let nodes = std::sync::Arc::new(resources::NODES.clone());
        let check = |there: &[Value], name: &str, expect: &[&str]| {
            let view = view(there);
            let new = view.object(&resources::NODES, &Key::cluster(name)).cloned();
            let change = Change { resource: nodes.clone(), old: None, new };
            let targets = controller().targets(&view, &change);
            let names: Vec<&str> = targets.iter().map(|target| &*target.key.name).collect();
            assert_eq!(names, expect);
        };
        let simulated =
            |name: &str| object("Node", "", name, json!({"metadata": {"labels": {LABEL: "true"}}}));
        let real = || object("Node", "", "real", json!({}));
        check(&[real()], "real", &["sim-0", "sim-1"]);
        check(&[real(), simulated("sim-0")], "real", &["sim-1"]);
        check(&[real(), simulated("sim-0")], "sim-0", &["sim-0"]);
    }

    #[test]
    fn nodes_exist_and_their_leases_are_renewed() {
        let check = |objects: &[Value], name: &str, second: i64, expect: &[&str]| {
            let view = view(objects);
            let found = plan(&controller(), &view, &resources::NODES, ("", name), second);
            assert_eq!(lines(&found), expect, "{name}");
            found.again
        };
        check(&[], "sim-0", 0, &["create nodes sim-0"]);
        check(&[], "sim-2", 0, &[]);
        let labels = json!({"metadata": {"labels": {LABEL: "true"}}});
        let node = || object("Node", "", "sim-0", labels.clone());
        check(&[node()], "sim-0", 0, &["create leases kube-node-lease/sim-0"]);
        check(&[object("Node", "", "real", json!({}))], "real", 0, &[]);
        let lease = || object("Lease", LEASE_NAMESPACE, "sim-0", json!({}));
        let due = at(RENEW_SECONDS + jitter("sim-0"));
        assert_eq!(check(&[node(), lease()], "sim-0", 20, &[]), Some(due));
        let renewed = ["patch leases kube-node-lease/sim-0"];
        check(&[node(), lease()], "sim-0", RENEW_SECONDS + JITTER_SECONDS, &renewed);
    }
}

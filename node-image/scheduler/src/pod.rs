//! What scheduling needs to know of a pod, taken from the object once.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, NodeAffinity, Pod, PodCondition, PodSpec, Toleration};
use kd_client::Key;
use kd_client::placement::{NodeDemand, NodeTerm};

use crate::devices::{ClaimRef, claim_refs};
use crate::pod_set::AffinityTerms;
use crate::resource_amounts::Amounts;
use crate::spread::Constraint;

/// Requests that scoring assumes for containers that name none.
const DEFAULT_CPU_MILLI: i64 = 100;
const DEFAULT_MEMORY_BYTES: i64 = 200 * 1024 * 1024;

/// A port of the node that a pod takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// `TCP`, `UDP`, `SCTP`.
    pub protocol: String,
    /// The address, `0.0.0.0` for all.
    pub address: String,
    /// The port.
    pub port: i32,
}

impl HostPort {
    /// Whether both cannot be on one node.
    pub fn conflicts(&self, other: &HostPort) -> bool {
        let all = |port: &HostPort| port.address == "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (all(self) || all(other) || self.address == other.address)
    }
}

/// A claim that a pod uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimUse {
    /// Its name.
    pub name: String,
    /// Whether it is made for the pod.
    pub ephemeral: bool,
}

/// Terms that nodes should fulfil, and how much each counts.
pub type PreferredNodes = Vec<(NodeTerm, i64)>;

/// The nodes that an affinity prefers.
pub fn preferred_nodes(affinity: &NodeAffinity) -> PreferredNodes {
    let terms = affinity.preferred_during_scheduling_ignored_during_execution.iter().flatten();
    terms.map(|term| (NodeTerm::of(&term.preference), i64::from(term.weight))).collect()
}

/// What decides where a pod may go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes {
    /// The pod's labels.
    pub labels: BTreeMap<String, String>,
    /// What it asks for.
    pub requests: Amounts,
    /// The same for scoring, with defaults for containers that name no CPU or memory.
    pub scoring: Amounts,
    /// Which scheduler is to place it.
    pub scheduler_name: String,
    /// Taken ports of the node.
    pub ports: Vec<HostPort>,
    /// Tolerations.
    pub tolerations: Vec<Toleration>,
    /// Nodes it insists on.
    pub node_demand: NodeDemand,
    /// Nodes it prefers.
    pub preferred_nodes: PreferredNodes,
    /// Affinity to other pods.
    pub affinity_terms: AffinityTerms,
    /// Spreading.
    pub spread: Vec<Constraint>,
    /// What must be removed before it is scheduled.
    pub gates: Vec<String>,
    /// Its PersistentVolumeClaims.
    pub claims: Vec<ClaimUse>,
    /// Its ResourceClaims.
    pub device_claims: Vec<ClaimRef>,
    /// Images of its containers.
    pub images: Vec<String>,
    /// Priority.
    pub priority: i32,
    /// Whether it may take others' place.
    pub preempts: bool,
}

/// A pod.
#[derive(Clone, Debug, Default)]
pub struct PodFacts {
    /// Namespace and name.
    pub key: Key,
    /// Uid.
    pub uid: String,
    /// resourceVersion.
    pub resource_version: String,
    /// Generation of the spec.
    pub generation: i64,
    /// When it started.
    pub started: Option<Timestamp>,
    /// Where it is.
    pub node: Option<String>,
    /// Where room is being made for it.
    pub nominated: Option<String>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether it goes because the scheduler made room.
    pub preempted: bool,
    /// Whether it has ended.
    pub terminal: bool,
    /// Kind and name of the controller that made it.
    pub controller: Option<(String, String)>,
    /// Its PodScheduled condition.
    pub scheduled: Option<PodCondition>,
    /// The rest.
    pub wishes: Arc<Wishes>,
}

impl PodFacts {
    /// Reads a pod.
    pub fn of(pod: Pod) -> PodFacts {
        let (metadata, spec) = (pod.metadata, pod.spec.unwrap_or_default());
        let status = pod.status.unwrap_or_default();
        let namespace = metadata.namespace.unwrap_or_default();
        let name = metadata.name.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let owners = metadata.owner_references.unwrap_or_default();
        let controller = owners.into_iter().find(|owner| owner.controller == Some(true));
        let ended = |phase: &str| phase == "Succeeded" || phase == "Failed";
        let key = Key::new(&namespace, &name);
        let device_claims =
            claim_refs(spec.resource_claims.as_ref(), status.resource_claim_statuses.as_ref());
        let labels = metadata.labels.unwrap_or_default();
        PodFacts {
            uid: metadata.uid.unwrap_or_default(),
            resource_version: metadata.resource_version.unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            started: status.start_time.map(|time| time.0),
            node: spec.node_name.clone().filter(|name| !name.is_empty()),
            nominated: status.nominated_node_name.filter(|name| !name.is_empty()),
            deleting: metadata.deletion_timestamp.is_some(),
            preempted: conditions.iter().any(|c| {
                c.type_ == "DisruptionTarget"
                    && c.reason.as_deref() == Some("PreemptionByScheduler")
            }),
            terminal: status.phase.as_deref().is_some_and(ended),
            controller: controller.map(|owner| (owner.kind, owner.name)),
            scheduled: conditions.into_iter().find(|c| c.type_ == "PodScheduled"),
            wishes: Arc::new(Wishes { device_claims, ..wishes(&key, labels, spec) }),
            key,
        }
    }

    /// The same pod on a node.
    pub fn placed_on(pod: &PodFacts, node: &str) -> Arc<PodFacts> {
        Arc::new(PodFacts { node: Some(node.to_owned()), ..pod.clone() })
    }

    /// Whether it is to be placed.
    pub fn waits(&self) -> bool {
        self.node.is_none() && !self.deleting && !self.terminal
    }
}

fn wishes(key: &Key, labels: BTreeMap<String, String>, spec: PodSpec) -> Wishes {
    let (requests, scoring) = (pod_requests(&spec, false), pod_requests(&spec, true));
    let affinity_terms = AffinityTerms::of(spec.affinity.as_ref(), &key.namespace);
    let spread = spec.topology_spread_constraints.iter().flatten();
    let spread = spread.map(|c| Constraint::of(c, &key.namespace, &labels)).collect();
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let claims = spec.volumes.iter().flatten().filter_map(|volume| {
        let generated = volume.ephemeral.as_ref();
        let generated = generated.map(|_| format!("{}-{}", key.name, volume.name));
        let named = volume.persistent_volume_claim.as_ref().map(|claim| claim.claim_name.clone());
        let ephemeral = named.is_none();
        named.or(generated).map(|name| ClaimUse { name, ephemeral })
    });
    let claims = claims.collect();
    let node_demand = NodeDemand::of(&spec);
    let preferred_nodes = affinity.map(preferred_nodes).unwrap_or_default();
    let host = spec.host_network.unwrap_or(false);
    Wishes {
        labels,
        requests,
        scoring,
        scheduler_name: spec.scheduler_name.unwrap_or_else(|| "default-scheduler".into()),
        ports: spec.containers.iter().flat_map(|c| host_ports(c, host)).collect(),
        tolerations: spec.tolerations.unwrap_or_default(),
        node_demand,
        preferred_nodes,
        affinity_terms,
        spread,
        gates: spec.scheduling_gates.unwrap_or_default().into_iter().map(|g| g.name).collect(),
        claims,
        device_claims: Vec::new(),
        images: spec.containers.into_iter().filter_map(|c| c.image).collect(),
        priority: spec.priority.unwrap_or(0),
        preempts: spec.preemption_policy.as_deref() != Some("Never"),
    }
}

fn host_ports(container: &Container, host_network: bool) -> Vec<HostPort> {
    let ports = container.ports.iter().flatten().filter_map(|port| {
        let on_host = port.host_port.or(host_network.then_some(port.container_port));
        let address = port.host_ip.clone().filter(|ip| !ip.is_empty());
        on_host.filter(|port| *port > 0).map(|number| HostPort {
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()),
            address: address.unwrap_or_else(|| "0.0.0.0".into()),
            port: number,
        })
    });
    ports.collect()
}

/// The sum over containers and sidecars, or the most that starting needs, and the overhead.
fn pod_requests(spec: &PodSpec, scoring: bool) -> Amounts {
    let mut running = Amounts::default();
    for container in &spec.containers {
        running.add(&container_requests(container, scoring));
    }
    let mut sidecars = Amounts::default();
    let mut starting = Amounts::default();
    for container in spec.init_containers.iter().flatten() {
        let requests = container_requests(container, scoring);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars.add(&requests);
            running.add(&requests);
            starting.raise(&sidecars);
        } else {
            let mut moment = sidecars.clone();
            moment.add(&requests);
            starting.raise(&moment);
        }
    }
    let mut total = running;
    total.raise(&starting);
    if let Some(whole) = spec.resources.as_ref().and_then(|r| r.requests.as_ref()) {
        let whole_amounts = Amounts::of(Some(whole));
        if whole.contains_key("cpu") {
            total.cpu_milli = whole_amounts.cpu_milli;
        }
        if whole.contains_key("memory") {
            total.memory_bytes = whole_amounts.memory_bytes;
        }
    }
    total.add(&Amounts::of(spec.overhead.as_ref()));
    total
}

fn container_requests(container: &Container, scoring: bool) -> Amounts {
    let requests = container.resources.as_ref().and_then(|r| r.requests.as_ref());
    let mut amounts = Amounts::of(requests);
    let names = |name: &str| requests.is_some_and(|r| r.contains_key(name));
    if scoring && !names("cpu") {
        amounts.cpu_milli = DEFAULT_CPU_MILLI;
    }
    if scoring && !names("memory") {
        amounts.memory_bytes = DEFAULT_MEMORY_BYTES;
    }
    amounts
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn facts(spec: Value) -> PodFacts {
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": spec});
        PodFacts::of(serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn requests() {
        let container = |cpu: &str| json!({"name": "c", "resources": {"requests": {"cpu": cpu}}});
        let check = |spec: Value, expect: i64| {
            assert_eq!(facts(spec).wishes.requests.cpu_milli, expect);
        };
        check(json!({"containers": [container("1"), container("500m")]}), 1500);
        check(json!({"containers": [container("1")], "initContainers": [container("2")]}), 2000);
        let mut sidecar = container("300m");
        sidecar["restartPolicy"] = json!("Always");
        check(
            json!({"containers": [container("1")], "initContainers": [sidecar, container("900m")]}),
            1300,
        );
        check(json!({"containers": [container("1")], "overhead": {"cpu": "10m"}}), 1010);
        let bare = facts(json!({"containers": [{"name": "c"}]}));
        assert_eq!((bare.wishes.requests.cpu_milli, bare.wishes.scoring.cpu_milli), (0, 100));
    }

    #[test]
    fn host_ports_conflict() {
        let port = |address: &str, protocol: &str| HostPort {
            protocol: protocol.into(),
            address: address.into(),
            port: 80,
        };
        let check = |a: HostPort, b: HostPort, expect: bool| assert_eq!(a.conflicts(&b), expect);
        check(port("0.0.0.0", "TCP"), port("1.2.3.4", "TCP"), true);
        check(port("1.2.3.4", "TCP"), port("1.2.3.5", "TCP"), false);
        check(port("0.0.0.0", "TCP"), port("0.0.0.0", "UDP"), false);
        let spec = json!({"hostNetwork": true, "containers": [{"name": "c",
            "ports": [{"containerPort": 80}]}]});
        assert_eq!(facts(spec).wishes.ports, [port("0.0.0.0", "TCP")]);
    }
}

//! The pods of a DaemonSet: which come and which go so that each node has the one it should.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{PodSpec, Toleration};
use kd_client::{EventType, resources};
use serde_json::json;

use super::{HASH, Sync, set_event};
use crate::pods::{PodState, growing_batches, pod_creation, pod_deletion, pod_from_template};
use crate::{Plan, Step};

/// Pods created or deleted in one plan.
const BURST_PODS: usize = 250;
/// A pod that failed sooner than this after its creation is replaced no earlier: a node that refuses
/// pods must not be fought.
const FAILED_WAIT: SignedDuration = SignedDuration::from_secs(10);

/// Taints that a daemon's pods bear, and whether those of the host's network only.
const TOLERATED: [(&str, &str, bool); 7] = [
    ("node.kubernetes.io/not-ready", "NoExecute", false),
    ("node.kubernetes.io/unreachable", "NoExecute", false),
    ("node.kubernetes.io/disk-pressure", "NoSchedule", false),
    ("node.kubernetes.io/memory-pressure", "NoSchedule", false),
    ("node.kubernetes.io/pid-pressure", "NoSchedule", false),
    ("node.kubernetes.io/unschedulable", "NoSchedule", false),
    ("node.kubernetes.io/network-unavailable", "NoSchedule", true),
];

/// Pods that come and go.
#[derive(Default)]
pub(super) struct Changes<'a> {
    /// Nodes that get a pod.
    pub nodes: Vec<&'a str>,
    pub deletes: Vec<&'a PodState>,
}

impl Changes<'_> {
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.deletes.is_empty()
    }
}

/// Adds what every daemon pod tolerates.
pub(super) fn add_tolerations(spec: &mut PodSpec) {
    let host = spec.host_network == Some(true);
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect, _) in TOLERATED.into_iter().filter(|(.., host_only)| host || !host_only) {
        let new = Toleration {
            key: Some(key.into()),
            operator: Some("Exists".into()),
            effect: Some(effect.into()),
            ..Toleration::default()
        };
        let same = |t: &&mut Toleration| {
            t.key == new.key && t.effect == new.effect && t.operator == new.operator
        };
        match tolerations.iter_mut().find(same) {
            Some(known) => *known = new,
            None => tolerations.push(new),
        }
    }
}

impl<'a> Sync<'a> {
    /// What has to change whatever the rollout does.
    pub(super) fn manage(&'a self, plan: &mut Plan) -> Changes<'a> {
        let mut changes = Changes::default();
        for node in &self.nodes {
            match self.pods.get(&node.name) {
                None if node.runs => changes.nodes.push(&node.name),
                None => {}
                Some(pods) if node.keeps => {
                    self.keep_one(plan, &mut changes, &node.name, pods, node.runs);
                }
                Some(pods) => {
                    let present = pods.iter().filter(|pod| !pod.object.metadata.is_deleting());
                    changes.deletes.extend(present);
                }
            }
        }
        changes
    }

    fn keep_one(
        &'a self,
        plan: &mut Plan,
        changes: &mut Changes<'a>,
        node: &'a str,
        pods: &'a [PodState],
        runs: bool,
    ) {
        let present = pods.iter().filter(|pod| !pod.object.metadata.is_deleting());
        let (ended, running): (Vec<&PodState>, Vec<&PodState>) =
            present.partition(|pod| pod.has_ended());
        for pod in ended {
            self.replace_ended(plan, changes, node, pod);
        }
        if !self.surges() {
            changes.deletes.extend(running.into_iter().skip(1));
            return;
        }
        if running.is_empty() && runs {
            changes.nodes.push(node);
        }
        if running.len() > 1 {
            self.keep_pair(changes, &running);
        }
    }

    fn replace_ended(
        &'a self,
        plan: &mut Plan,
        changes: &mut Changes<'a>,
        node: &str,
        pod: &'a PodState,
    ) {
        let name = pod.object.key();
        if pod.phase == "Succeeded" {
            let message =
                format!("Found succeeded daemon pod {name} on node {node}, will try to delete it");
            let told = set_event(self.object, EventType::Normal, "SucceededDaemonPod", message);
            plan.events.push(told);
            return changes.deletes.push(pod);
        }
        let created = pod.object.metadata.creation_timestamp.unwrap_or(self.now);
        if created + FAILED_WAIT > self.now {
            return plan.not_later_than(created + FAILED_WAIT);
        }
        let message = format!("Found failed daemon pod {name} on node {node}, will try to kill it");
        let told = set_event(self.object, EventType::Warning, "FailedDaemonPod", message);
        plan.events.push(told);
        changes.deletes.push(pod);
    }

    /// While surging a node has a new pod beside the old one, until the new one is available or the
    /// old one is not ready.
    fn keep_pair(&'a self, changes: &mut Changes<'a>, running: &[&'a PodState]) {
        let (mut new, mut old) = (None, None);
        for pod in running {
            let place = if self.is_current(pod) { &mut new } else { &mut old };
            match place {
                None => *place = Some(*pod),
                Some(_) => changes.deletes.push(pod),
            }
        }
        if let (Some(new), Some(old)) = (new, old)
            && (!old.is_ready() || self.is_available(new))
        {
            changes.deletes.push(old);
        }
    }

    /// Turns changes into steps.
    pub(super) fn perform(&self, plan: &mut Plan, changes: Changes) {
        let deletes = changes.deletes.iter().take(BURST_PODS);
        let resource = &resources::DAEMON_SETS;
        plan.then(deletes.map(|pod| pod_deletion(resource, self.object, &pod.object)).collect());
        let count = changes.nodes.len().min(BURST_PODS);
        let mut nodes = changes.nodes.into_iter();
        for batch in growing_batches(count) {
            plan.then(nodes.by_ref().take(batch).map(|node| self.create(node)).collect());
        }
    }

    fn create(&self, node: &str) -> Step {
        let resource = &resources::DAEMON_SETS;
        let template = &self.json["spec"]["template"];
        let mut pod = pod_from_template(resource, self.object, template);
        pod["metadata"]["generateName"] = json!(format!("{}-", self.object.metadata.name));
        pod["metadata"]["labels"][HASH] = json!(self.hash);
        let generation = self.generation();
        if generation.is_string() {
            pod["metadata"]["labels"]["pod-template-generation"] = generation;
        }
        pod["spec"]["tolerations"] = json!(self.pod_spec.tolerations);
        pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
            self.selector_node(node);
        pod_creation(resource, self.object, &pod)
    }
}

//! What the pods of each node refer to, by name: read once per version of a pod.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kd_api::Object;
use serde_json::Value;

use crate::request::Reader;

/// Kinds of objects that a pod leads its node to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Account,
    Claim,
    ConfigMap,
    ResourceClaim,
    Secret,
}

/// An index of the pods of the namespaces that nodes have asked about.
pub(super) struct PodReferences {
    reader: Arc<dyn Reader>,
    namespaces: Mutex<HashMap<String, Index>>,
}

/// The pods of one namespace by name.
#[derive(Default)]
struct Index {
    generation: Option<u64>,
    pods: HashMap<String, Known>,
}

/// What is known of a pod at one version.
struct Known {
    version: u64,
    node: String,
    names: Vec<(Target, String)>,
}

impl PodReferences {
    pub(super) fn new(reader: Arc<dyn Reader>) -> PodReferences {
        PodReferences { reader, namespaces: Mutex::default() }
    }

    /// Whether a pod of the namespace that is bound to the node refers to the object.
    pub(super) fn any(&self, node: &str, namespace: &str, target: Target, name: &str) -> bool {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        let mut index = namespaces.remove(namespace).unwrap_or_default();
        index.refresh(self.reader.as_ref(), namespace);
        let refers = |pod: &Known| {
            pod.node == node && pod.names.iter().any(|(t, n)| *t == target && n == name)
        };
        let found = index.pods.values().any(refers);
        // A namespace without pods leaves nothing behind.
        if !index.pods.is_empty() {
            namespaces.insert(namespace.to_owned(), index);
        }
        found
    }
}

impl Index {
    fn refresh(&mut self, reader: &dyn Reader, namespace: &str) {
        let generation = reader.generation("", "pods");
        if self.generation == Some(generation) {
            return;
        }
        self.generation = Some(generation);
        let mut known = std::mem::take(&mut self.pods);
        for (name, version) in reader.versions("", "pods", namespace) {
            let current = known.remove(&name).filter(|pod| pod.version == version);
            let read = || {
                let pod = reader.get("", "pods", namespace, &name)?;
                Some(Known::read(&pod, version))
            };
            if let Some(pod) = current.or_else(read) {
                self.pods.insert(name, pod);
            }
        }
    }
}

impl Known {
    fn read(pod: &Value, version: u64) -> Known {
        // A mirror pod is the node's own claim and must not give it rights.
        let mirror = pod.annotation("kubernetes.io/config.mirror").is_some();
        let mut names = if mirror { Vec::new() } else { references(pod) };
        names.sort();
        names.dedup();
        Known { version, node: pod.str_at(&["spec", "nodeName"]).to_owned(), names }
    }
}

/// Volume types whose credentials are a Secret of the pod's namespace.
const VOLUME_SECRETS: [[&str; 3]; 9] = [
    ["azureFile", "secretName", ""],
    ["cephfs", "secretRef", "name"],
    ["cinder", "secretRef", "name"],
    ["csi", "nodePublishSecretRef", "name"],
    ["flexVolume", "secretRef", "name"],
    ["iscsi", "secretRef", "name"],
    ["rbd", "secretRef", "name"],
    ["scaleIO", "secretRef", "name"],
    ["storageos", "secretRef", "name"],
];

fn references(pod: &Value) -> Vec<(Target, String)> {
    let spec = &pod["spec"];
    let mut names = Names(Vec::new());
    names.add(Target::Account, spec, &["serviceAccountName"]);
    for secret in spec.list_at(&["imagePullSecrets"]) {
        names.add(Target::Secret, secret, &["name"]);
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.list_at(&[list]) {
            container_references(container, &mut names);
        }
    }
    for volume in spec.list_at(&["volumes"]) {
        volume_references(pod.name(), volume, &mut names);
    }
    let generated = pod.list_at(&["status", "resourceClaimStatuses"]);
    for claim in spec.list_at(&["resourceClaims"]).iter().chain(generated) {
        names.add(Target::ResourceClaim, claim, &["resourceClaimName"]);
    }
    names.0
}

fn container_references(container: &Value, names: &mut Names) {
    for variable in container.list_at(&["env"]) {
        names.add(Target::Secret, variable, &["valueFrom", "secretKeyRef", "name"]);
        names.add(Target::ConfigMap, variable, &["valueFrom", "configMapKeyRef", "name"]);
    }
    for source in container.list_at(&["envFrom"]) {
        names.add(Target::Secret, source, &["secretRef", "name"]);
        names.add(Target::ConfigMap, source, &["configMapRef", "name"]);
    }
}

fn volume_references(pod: &str, volume: &Value, names: &mut Names) {
    names.add(Target::Secret, volume, &["secret", "secretName"]);
    names.add(Target::ConfigMap, volume, &["configMap", "name"]);
    for source in volume.list_at(&["projected", "sources"]) {
        names.add(Target::Secret, source, &["secret", "name"]);
        names.add(Target::ConfigMap, source, &["configMap", "name"]);
    }
    for [kind, field, name] in VOLUME_SECRETS {
        let path = [kind, field, name];
        names.add(Target::Secret, volume, if name.is_empty() { &path[..2] } else { &path });
    }
    names.add(Target::Claim, volume, &["persistentVolumeClaim", "claimName"]);
    if volume.get("ephemeral").is_some_and(Value::is_object) {
        let claim = format!("{pod}-{}", volume.str_at(&["name"]));
        names.0.push((Target::Claim, claim));
    }
}

struct Names(Vec<(Target, String)>);

impl Names {
    fn add(&mut self, target: Target, object: &Value, path: &[&str]) {
        let name = object.str_at(path);
        if !name.is_empty() {
            self.0.push((target, name.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeReader;
    use serde_json::json;

    #[test]
    fn follows_the_pods() {
        let pod = |name: &str, node: &str| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "ns"},
                "spec": {"nodeName": node, "volumes": [{"secret": {"secretName": "s"}}]}})
        };
        let reader = FakeReader::with([pod("p", "")]);
        let references = PodReferences::new(reader.clone());
        let found = |node: &str| references.any(node, "ns", Target::Secret, "s");
        assert!(!found("a"));
        reader.put(pod("p", "a"));
        assert!(found("a") && !found("b"));
        reader.put(pod("q", "b"));
        assert!(found("a") && found("b"));
        let mut mirror = pod("p", "a");
        mirror.set_annotation("kubernetes.io/config.mirror", "x");
        reader.put(mirror);
        assert!(!found("a") && found("b"));
    }
}

//! Resources that a pod has, as against those that its specification asks for: a resize is granted
//! when the node has room, and waits otherwise. Pure, but for the file that outlives the kubelet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use serde::{Deserialize, Serialize};

use crate::admission::checked_resources;
use crate::pod::PodExt;
use crate::qos::{Side, effective};
use crate::quantity::{Resources, amount};
use crate::static_pods::is_static;

/// What was granted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Allocation {
    /// By container.
    pub containers: BTreeMap<String, ResourceRequirements>,
    /// Of the pod as a whole.
    pub whole: Option<ResourceRequirements>,
}

/// Why a resize is not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// `Deferred` or `Infeasible`.
    pub reason: &'static str,
    /// In upstream's words.
    pub message: String,
}

/// What concerns a pod's resize besides its resources.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resizing {
    /// Not granted, and why.
    pub pending: Option<Pending>,
    /// Granted, and not carried out yet.
    pub in_progress: bool,
    /// Why the last try to carry it out failed.
    pub error: Option<String>,
}

impl Allocation {
    /// What a pod's specification asks for.
    pub fn asked(pod: &Pod) -> Allocation {
        let spec = pod.spec();
        let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        let resources =
            |c: &k8s_openapi::api::core::v1::Container| c.resources.clone().unwrap_or_default();
        Allocation {
            containers: all.map(|c| (c.name.clone(), resources(c))).collect(),
            whole: spec.resources.clone(),
        }
    }

    /// The pod with these resources.
    pub fn applied(&self, pod: &Pod) -> Pod {
        let mut pod = pod.clone();
        let Some(spec) = &mut pod.spec else { return pod };
        spec.resources.clone_from(&self.whole);
        let init = spec.init_containers.iter_mut().flatten();
        for container in spec.containers.iter_mut().chain(init) {
            if let Some(resources) = self.containers.get(&container.name) {
                container.resources = Some(resources.clone());
            }
        }
        pod
    }

    /// What an earlier kubelet granted.
    pub fn read(pod_directory: &Path) -> Option<Allocation> {
        let text = std::fs::read(file(pod_directory)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Keeps it for the next kubelet.
    pub fn write(&self, pod_directory: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(pod_directory)?;
        let (path, new) = (file(pod_directory), pod_directory.join("resources.json.new"));
        std::fs::write(&new, serde_json::to_vec(self)?)?;
        std::fs::rename(new, path)
    }
}

fn file(pod_directory: &Path) -> PathBuf {
    pod_directory.join("resources.json")
}

/// Whether a pod may have what it asks for now, beside the others.
pub fn granted(pod: &Pod, others: &[&Pod], allocatable: &Resources) -> Result<(), Pending> {
    let infeasible = |message: String| Pending { reason: "Infeasible", message };
    if is_static(pod) {
        return Err(infeasible("In-place resize of static-pods is not supported".into()));
    }
    for (name, quantity) in effective(pod, Side::Requests) {
        let requested = amount(&name, &quantity);
        let Some(capacity) = allocatable.get(&name).map(|q| amount(&name, q)) else { continue };
        if requested > capacity {
            return Err(infeasible(format!(
                "Node didn't have enough capacity: {name}, requested: {requested}, capacity: \
                 {capacity}"
            )));
        }
    }
    checked_resources(pod, others, allocatable)
        .map_err(|stop| Pending { reason: "Deferred", message: stop.message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
    use serde_json::json;

    fn pod(cpu: &str) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": [
            {"name": "c", "resources": {"requests": {"cpu": cpu}}}]}}))
        .unwrap()
    }

    #[test]
    fn what_is_granted() {
        let allocatable = Resources::from([("cpu".to_owned(), Quantity("2".into()))]);
        let check = |cpu: &str, other: &str, expect: Option<(&str, &str)>| {
            let refused = granted(&pod(cpu), &[&pod(other)], &allocatable).err();
            let refused = refused.as_ref().map(|p| (p.reason, p.message.as_str()));
            assert_eq!(refused, expect);
        };
        check("1", "1", None);
        let text = "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000";
        check("3", "1", Some(("Infeasible", text)));
        let text =
            "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000";
        check("1500m", "1", Some(("Deferred", text)));
    }

    #[test]
    fn allocations_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let small = Allocation::asked(&pod("1"));
        assert!(Allocation::read(directory.path()).is_none());
        small.write(directory.path()).unwrap();
        let read = Allocation::read(directory.path()).unwrap();
        assert_eq!(read, small);
        assert_eq!(read.applied(&pod("2")), pod("1"));
    }
}

//! The pods of this node as the API server tells them, each given to its worker; and, after a
//! start, what the runtime still has of pods before.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kd_runtime::SandboxStatus;
use kube::api::Api;

use crate::entry::PodEntry;
use crate::host_ports::publish;
use crate::kubelet::Kubelet;
use crate::pod::PodExt;
use crate::reflector::{Update, reflect};
use crate::static_pods::{is_mirror, is_static, read_manifests, watch_manifests};
use crate::worker::{Worker, remove_old, remove_orphan};

const RUNTIME_RETRY: Duration = Duration::from_millis(500);

/// Follows the pods bound to this node.
pub(crate) async fn watch_pods(kubelet: Arc<Kubelet>) {
    let sandboxes = sandboxes_by_pod(&kubelet).await;
    let source = Source { starting: true, sandboxes, kubelet: Arc::clone(&kubelet) };
    let source = Arc::new(Mutex::new(source));
    let config = kubelet.config();
    if let Some(directory) = config.static_pod_directory.clone() {
        // Before the server's list: what is static is no orphan.
        let pods = read_manifests(&directory, &config.node_name, &[]);
        locked(&source).set_static(pods);
        let (source, node) = (Arc::clone(&source), config.node_name.clone());
        tokio::spawn(async move {
            let on = move |pods| locked(&source).set_static(pods);
            if let Err(error) = watch_manifests(directory, node, on).await {
                tracing::error!(%error, "static pods are not followed any more");
            }
        });
    }
    let api: Api<Pod> = Api::all(kubelet.client().clone());
    let fields = Some(format!("spec.nodeName={}", config.node_name));
    reflect(api, fields, move |update| locked(&source).apply(update)).await;
}

fn locked(source: &Mutex<Source>) -> MutexGuard<'_, Source> {
    source.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the runtime has, by pod uid; the oldest sandbox first.
async fn sandboxes_by_pod(kubelet: &Kubelet) -> HashMap<String, Vec<SandboxStatus>> {
    let all = loop {
        match kubelet.runtime().list().await {
            Ok(all) => break all,
            Err(error) => tracing::warn!(%error, "the runtime does not answer yet"),
        }
        tokio::time::sleep(RUNTIME_RETRY).await;
    };
    adopt_given(kubelet).await;
    let mut by_pod: HashMap<String, Vec<SandboxStatus>> = HashMap::new();
    for sandbox in all {
        kubelet.adopt(&sandbox);
        by_pod.entry(sandbox.spec.pod.uid.clone()).or_default().push(sandbox);
    }
    for sandboxes in by_pod.values_mut() {
        sandboxes.sort_by_key(|s| (s.spec.pod.attempt, s.created_at));
    }
    by_pod
}

/// What the network gave pods before this kubelet.
async fn adopt_given(kubelet: &Kubelet) {
    if !kubelet.addresses().are_by_network() {
        return;
    }
    match kubelet.network().attached().await {
        Ok(pods) => {
            for (uid, addresses) in pods {
                kubelet.addresses().adopt(&uid, addresses);
            }
        }
        Err(error) => tracing::error!(%error, "the addresses of running pods are not known"),
    }
}

struct Source {
    kubelet: Arc<Kubelet>,
    /// No list was seen yet.
    starting: bool,
    /// Of pods not heard of yet since the start.
    sandboxes: HashMap<String, Vec<SandboxStatus>>,
}

impl Source {
    fn apply(&mut self, update: Update<Pod>) {
        match update {
            Update::Replaced(pods) => self.replace(pods),
            Update::Applied(pod) if is_mirror(&pod) => self.mirror_changed(pod, true),
            Update::Applied(pod) => self.upsert(Arc::new(pod)),
            Update::Deleted(pod) if is_mirror(&pod) => self.mirror_changed(pod, false),
            Update::Deleted(pod) => {
                if let Some(entry) = self.kubelet.pod_by_uid(pod.uid()) {
                    // Its last state tells how long its containers may take.
                    entry.update(Arc::new(pod));
                    entry.remove();
                }
            }
            Update::Failed(error) => tracing::warn!(error, "the pods cannot be watched"),
        }
    }

    /// The manifests say this now.
    fn set_static(&mut self, pods: Vec<Arc<Pod>>) {
        for entry in self.kubelet.pods() {
            let pod = entry.pod();
            if is_static(&pod) && !pods.iter().any(|kept| kept.uid() == pod.uid()) {
                entry.remove();
            }
        }
        self.kubelet.static_pods().set(&pods);
        for pod in pods {
            self.upsert(pod);
        }
    }

    /// Its worker tells the status to a new mirror.
    fn mirror_changed(&self, pod: Pod, exists: bool) {
        let of = |entry: &Arc<PodEntry>| {
            let own = entry.pod();
            is_static(&own) && own.namespace() == pod.namespace() && own.name() == pod.name()
        };
        let entry = self.kubelet.pods().into_iter().find(of);
        self.kubelet.static_pods().mirror_changed(pod, exists);
        if let Some(entry) = entry {
            entry.wake();
        }
    }

    fn replace(&mut self, pods: Vec<Pod>) {
        let (mirrors, pods): (Vec<Pod>, Vec<Pod>) = pods.into_iter().partition(is_mirror);
        self.kubelet.static_pods().set_mirrors(mirrors);
        let mut listed: HashSet<String> = pods.iter().map(|p| p.uid().to_owned()).collect();
        for entry in self.kubelet.pods() {
            let pod = entry.pod();
            if is_static(&pod) {
                listed.insert(pod.uid().to_owned());
                entry.wake();
            } else if !listed.contains(pod.uid()) {
                entry.remove();
            }
        }
        for pod in pods {
            self.upsert(Arc::new(pod));
        }
        if std::mem::take(&mut self.starting) {
            self.kubelet.devices().keep_only(&listed);
            self.remove_old_directories(&listed);
            // Also takes away what pods had that went meanwhile.
            let kubelet = Arc::clone(&self.kubelet);
            tokio::spawn(async move {
                if let Err(error) = publish(&kubelet).await {
                    tracing::error!(%error, "the ports of pods on this node could not be set");
                }
            });
        }
        // What is left belongs to pods that were deleted while nobody looked.
        for (uid, sandboxes) in self.sandboxes.drain() {
            tracing::info!(uid, "removing an orphaned pod");
            tokio::spawn(remove_orphan(Arc::clone(&self.kubelet), uid, sandboxes));
        }
    }

    /// Directories of pods that neither the server nor the runtime knows.
    fn remove_old_directories(&self, listed: &HashSet<String>) {
        let pods = self.kubelet.config().root_directory.join("pods");
        let names = std::fs::read_dir(&pods).into_iter().flatten().flatten();
        let uids = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let users = self.kubelet.resource_claims().users();
        let old: HashSet<String> = uids
            .chain(users)
            .filter(|uid| !listed.contains(uid) && !self.sandboxes.contains_key(uid))
            .collect();
        tokio::spawn(remove_old(Arc::clone(&self.kubelet), old));
    }

    fn upsert(&mut self, pod: Arc<Pod>) {
        if let Some(entry) = self.kubelet.pod_by_uid(pod.uid()) {
            return entry.update(pod);
        }
        let found = self.sandboxes.remove(pod.uid()).unwrap_or_default();
        let ids = found.iter().map(|s| s.id.clone()).collect();
        let entry = Arc::new(PodEntry::new(pod, ids));
        self.kubelet.add_pod(&entry);
        let mut worker = Worker::new(Arc::clone(&self.kubelet), entry);
        worker.adopt(found);
        tokio::spawn(worker.run());
    }
}

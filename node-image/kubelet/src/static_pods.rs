//! Static pods: manifests in a folder of the node. Each shows at the API server as a mirror pod,
//! which tells its status and cannot change it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, PodStatus};
use kd_api::Kinds;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::error::{api_code, api_message};
use crate::events::node_owner;
use crate::kubelet::Kubelet;
use crate::logs::FileWatch;
use crate::pod::PodExt;

/// On static pods and their mirrors: where they come from.
const SOURCE: &str = "kubernetes.io/config.source";
/// On static pods and their mirrors: of what they were read.
const HASH: &str = "kubernetes.io/config.hash";
/// On both: when.
const SEEN: &str = "kubernetes.io/config.seen";
/// On mirrors: of which static pod.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// A manifest is not larger.
const MANIFEST_BYTES_MAX: u64 = 3 << 20;
/// How long after a failure mirrors are written again; doubled up to the second.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(20);

/// Namespace and name.
type Key = (String, String);

/// What a static pod's mirror is, as the API server last told.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// Its uid.
    pub uid: String,
    /// Its status.
    pub status: PodStatus,
}

/// The static pods of a node and the mirrors that are there.
#[derive(Default)]
pub struct StaticPods {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    pods: HashMap<Key, Arc<Pod>>,
    mirrors: HashMap<Key, Pod>,
    /// Whether the API server's pods were listed.
    listed: bool,
}

/// Whether a pod mirrors a static one.
pub fn is_mirror(pod: &Pod) -> bool {
    pod.annotations().contains_key(MIRROR)
}

/// Whether a pod comes from a manifest of the node.
pub fn is_static(pod: &Pod) -> bool {
    !is_mirror(pod) && pod.annotations().get(SOURCE).is_some_and(|source| source != "api")
}

fn key(pod: &Pod) -> Key {
    (pod.namespace().to_owned(), pod.name().to_owned())
}

impl StaticPods {
    /// The manifests say this now.
    pub fn set(&self, pods: &[Arc<Pod>]) {
        self.update(|state| {
            state.pods = pods.iter().map(|pod| (key(pod), Arc::clone(pod))).collect();
        });
    }

    /// The API server has these mirrors, and no others.
    pub fn set_mirrors(&self, mirrors: Vec<Pod>) {
        self.update(|state| {
            state.mirrors = mirrors.into_iter().map(|pod| (key(&pod), pod)).collect();
            state.listed = true;
        });
    }

    /// A mirror is new, changed or gone.
    pub fn mirror_changed(&self, pod: Pod, exists: bool) {
        self.update(|state| match exists {
            true => drop(state.mirrors.insert(key(&pod), pod)),
            false => drop(state.mirrors.remove(&key(&pod))),
        });
    }

    /// The mirror of a static pod, if it is the one that belongs to it.
    pub fn mirror_of(&self, pod: &Pod) -> Option<Mirror> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mirror = state.mirrors.get(&key(pod)).filter(|mirror| belongs(mirror, pod))?;
        Some(Mirror { uid: mirror.uid().to_owned(), status: PodExt::status(mirror).clone() })
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    fn steps(&self, node: &Node) -> Vec<Step> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.listed { steps(&state.pods, &state.mirrors, node) } else { Vec::new() }
    }
}

fn belongs(mirror: &Pod, pod: &Pod) -> bool {
    mirror.annotations().get(MIRROR) == pod.annotations().get(HASH) && mirror.deleted_at().is_none()
}

/// What is to be done about mirrors.
#[derive(Debug, PartialEq)]
enum Step {
    Create(Box<Pod>),
    Delete { namespace: String, name: String, uid: String },
}

/// A mirror that does not belong to a pod of its name goes; then one is made that does.
fn steps(pods: &HashMap<Key, Arc<Pod>>, mirrors: &HashMap<Key, Pod>, node: &Node) -> Vec<Step> {
    let wrong = mirrors
        .iter()
        .filter(|(key, mirror)| !pods.get(*key).is_some_and(|pod| belongs(mirror, pod)));
    let mut steps: Vec<Step> = wrong
        .map(|((namespace, name), mirror)| Step::Delete {
            namespace: namespace.clone(),
            name: name.clone(),
            uid: mirror.uid().to_owned(),
        })
        .collect();
    let missing = pods.iter().filter(|(key, _)| !mirrors.contains_key(*key));
    steps.extend(missing.map(|(_, pod)| Step::Create(Box::new(mirror(pod, node)))));
    steps
}

fn mirror(pod: &Pod, node: &Node) -> Pod {
    let mut mirror = pod.clone();
    mirror.metadata.uid = None;
    mirror.status = None;
    let hash = pod.annotations().get(HASH).cloned().unwrap_or_default();
    mirror.metadata.annotations.get_or_insert_default().insert(MIRROR.into(), hash);
    let mut owner = node_owner(node);
    owner.controller = Some(true);
    mirror.metadata.owner_references = Some(vec![owner]);
    mirror
}

/// Keeps the mirrors as they should be.
pub(crate) async fn keep_mirrors(kubelet: Arc<Kubelet>) {
    let mut retry = RETRY_MIN;
    loop {
        kubelet.static_pods().changed.notified().await;
        let node = kubelet.node().await;
        for step in kubelet.static_pods().steps(&node) {
            let Err(error) = perform(&kubelet, step).await else {
                retry = RETRY_MIN;
                continue;
            };
            tracing::warn!(error = api_message(&error), "a mirror pod could not be written");
            tokio::time::sleep(retry).await;
            retry = (retry * 2).min(RETRY_MAX);
            kubelet.static_pods().changed.notify_one();
        }
    }
}

async fn perform(kubelet: &Kubelet, step: Step) -> Result<(), kube::Error> {
    let client = kubelet.client().clone();
    let done = match step {
        Step::Create(pod) => {
            let api: Api<Pod> = Api::namespaced(client, pod.namespace());
            api.create(&PostParams::default(), &pod).await.map(drop)
        }
        Step::Delete { namespace, name, uid } => {
            let api: Api<Pod> = Api::namespaced(client, &namespace);
            let preconditions = Preconditions { uid: Some(uid), resource_version: None };
            let parameters = DeleteParams {
                grace_period_seconds: Some(0),
                preconditions: Some(preconditions),
                ..DeleteParams::default()
            };
            api.delete(&name, &parameters).await.map(drop)
        }
    };
    match done {
        // Somebody was faster; the watch tells.
        Err(error) if matches!(api_code(&error), Some(404 | 409)) => Ok(()),
        done => done,
    }
}

/// Follows the manifests of a folder, which is made if it is not there. Ends only with an error.
pub(crate) async fn watch_manifests(
    directory: PathBuf,
    node: String,
    mut on: impl FnMut(Vec<Arc<Pod>>),
) -> std::io::Result<()> {
    std::fs::create_dir_all(&directory)?;
    let mut watch = FileWatch::directory(&directory)?;
    let mut known: Vec<Arc<Pod>> = Vec::new();
    while watch.changed().await? {
        let pods = read_manifests(&directory, &node, &known);
        known.clone_from(&pods);
        on(pods);
    }
    Err(std::io::Error::new(std::io::ErrorKind::NotFound, "the folder is gone"))
}

/// The pods of a folder's manifests. Those whose text has not changed stay the same.
pub fn read_manifests(directory: &Path, node: &str, known: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let mut pods: BTreeMap<Key, Arc<Pod>> = BTreeMap::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || !path.is_file() {
            continue;
        }
        match read_manifest(&path, node) {
            Ok(pod) => {
                let same = known.iter().find(|old| old.uid() == pod.uid()).cloned();
                pods.insert(key(&pod), same.unwrap_or_else(|| Arc::new(pod)));
            }
            Err(error) => tracing::error!(manifest = %path.display(), error, "no static pod"),
        }
    }
    pods.into_values().collect()
}

fn read_manifest(path: &Path, node: &str) -> Result<Pod, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MANIFEST_BYTES_MAX {
        return Err(format!("{size} bytes are more than {MANIFEST_BYTES_MAX}"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    static_pod(&text, &path.display().to_string(), node, Timestamp::now())
}

/// A pod from its manifest, as upstream completes it.
fn static_pod(text: &str, origin: &str, node: &str, now: Timestamp) -> Result<Pod, String> {
    let mut object: Value = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    if object["kind"] != "Pod" || object["apiVersion"] != "v1" {
        return Err(format!("{}/{} is no v1/Pod", object["apiVersion"], object["kind"]));
    }
    let kinds = Kinds::built_in();
    let kind = kinds.by_kind("", "v1", "Pod").ok_or("pods are not served")?;
    let digest = Sha256::digest(format!("{node}\n{origin}\n{object}"));
    let hash: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if object["metadata"]["namespace"].as_str().is_none_or(str::is_empty) {
        object["metadata"]["namespace"] = json!("default");
    }
    object["metadata"]["name"] = json!(format!("{name}-{}", node.to_lowercase()));
    if object["metadata"]["uid"].as_str().is_none_or(str::is_empty) {
        object["metadata"]["uid"] = json!(hash);
    }
    object["metadata"]["creationTimestamp"] = json!(now);
    let annotations = &mut object["metadata"]["annotations"];
    if !annotations.is_object() {
        *annotations = json!({});
    }
    annotations[SOURCE] = json!("file");
    annotations[HASH] = json!(hash);
    annotations[SEEN] = json!(now);
    object["spec"]["nodeName"] = json!(node);
    kd_api::defaults::apply_defaults(kind, &mut object);
    tolerate_everything(&mut object["spec"]);
    let errors = kd_api::validation::validate_create(kind, &object);
    if let Some(error) = errors.first() {
        return Err(error.to_string());
    }
    object["status"] = json!({"phase": "Pending"});
    serde_json::from_value(object).map_err(|error| error.to_string())
}

/// Nothing evicts a static pod: it would be started again at once.
fn tolerate_everything(spec: &mut Value) {
    let tolerations = &mut spec["tolerations"];
    if !tolerations.is_array() {
        *tolerations = json!([]);
    }
    if let Some(list) = tolerations.as_array_mut() {
        list.push(json!({"operator": "Exists", "effect": "NoExecute"}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - {name: c, image: i}\n";

    fn read(text: &str) -> Result<Pod, String> {
        static_pod(text, "/manifests/a", "node", Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn manifests() {
        let pod = read(MANIFEST).unwrap();
        assert_eq!((pod.name(), pod.namespace()), ("web-node", "default"));
        assert_eq!(pod.uid().len(), 32);
        assert!(is_static(&pod) && !is_mirror(&pod));
        assert_eq!(pod.spec().node_name.as_deref(), Some("node"));
        assert_eq!(pod.spec().restart_policy.as_deref(), Some("Always"));
        assert_ne!(read(&MANIFEST.replace("image: i", "image: j")).unwrap().uid(), pod.uid());
        for (bad, why) in [
            ("kind: Service\napiVersion: v1\n", "is no v1/Pod"),
            ("apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {}\n", "spec.containers"),
            ("{", ""),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn mirrors() {
        let pod = Arc::new(read(MANIFEST).unwrap());
        let node: Node =
            serde_json::from_value(json!({"metadata": {"name": "node", "uid": "n"}})).unwrap();
        let pods = HashMap::from([(key(&pod), Arc::clone(&pod))]);
        let made = steps(&pods, &HashMap::new(), &node);
        let [Step::Create(mirror)] = made.as_slice() else { panic!("{made:?}") };
        assert!(is_mirror(mirror) && !is_static(mirror) && mirror.metadata.uid.is_none());
        assert_eq!(mirror.metadata.owner_references.as_ref().unwrap()[0].name, "node");
        let mut right = mirror.as_ref().clone();
        right.metadata.uid = Some("m".into());
        let check = |pods: &HashMap<Key, Arc<Pod>>, mirror: Pod, deletes: bool| {
            let steps = steps(pods, &HashMap::from([(key(&pod), mirror)]), &node);
            let delete = Step::Delete {
                namespace: "default".into(),
                name: "web-node".into(),
                uid: "m".into(),
            };
            assert_eq!(steps, if deletes { vec![delete] } else { Vec::new() });
        };
        check(&pods, right.clone(), false);
        check(&HashMap::new(), right.clone(), true);
        let mut old = right.clone();
        old.metadata.annotations.as_mut().unwrap().insert(MIRROR.into(), "other".into());
        check(&pods, old, true);
        let mut going = right;
        going.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH));
        check(&pods, going, true);
    }

    #[test]
    fn folders() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.yaml"), MANIFEST).unwrap();
        std::fs::write(directory.path().join("b.yaml"), "nonsense").unwrap();
        std::fs::write(directory.path().join(".hidden"), MANIFEST.replace("web", "h")).unwrap();
        let first = read_manifests(directory.path(), "node", &[]);
        assert_eq!(first.len(), 1);
        let again = read_manifests(directory.path(), "node", &first);
        assert!(Arc::ptr_eq(&first[0], &again[0]));
    }
}

//! Which volumes the pods of a node want attached, what they are called, and who else has them.

use k8s_openapi::api::core::v1::{
    ContainerStatus, PersistentVolume, PersistentVolumeClaim, Pod, PodStatus,
};
use k8s_openapi::api::storage::v1::{CSIDriver, VolumeAttachment};
use kd_client::{Object, View, resources};
use sha2::{Digest, Sha256};

/// What the names of attached CSI volumes begin with in a Node's status.
pub const PREFIX: &str = "kubernetes.io/csi/";

/// A volume that pods of a node want.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The PersistentVolume's name.
    pub volume: String,
    /// Its name in a Node's status.
    pub unique_name: String,
    /// Its VolumeAttachment's name.
    pub attachment: String,
    /// Its driver.
    pub driver: String,
    /// Whether it can be on one node only.
    pub exclusive: bool,
    /// Who wants it.
    pub pods: Vec<&'a Object>,
}

/// What the pods of a node want, each volume once.
pub fn wanted<'a>(view: &'a View, node: &str) -> Vec<Wanted<'a>> {
    let mut all: Vec<Wanted<'a>> = Vec::new();
    for object in view.on_node(node) {
        let Some(pod) = object.decode::<Pod>().filter(|pod| !is_over(pod)) else { continue };
        for claim in claims_of(object, &pod) {
            let Some(found) = volume_of(view, &object.metadata.namespace, &claim, node) else {
                continue;
            };
            match all.iter_mut().find(|known| known.attachment == found.attachment) {
                Some(known) => known.pods.push(object),
                None => all.push(Wanted { pods: vec![object], ..found }),
            }
        }
    }
    all
}

/// Whether nothing of a pod runs or will run.
fn is_over(pod: &Pod) -> bool {
    let empty = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&empty);
    let runs = |c: &ContainerStatus| {
        let state = c.state.as_ref();
        !state.is_some_and(|state| state.terminated.is_some() || state.waiting.is_some())
    };
    let lists = [&status.container_statuses, &status.init_container_statuses];
    let none_runs = !lists.into_iter().flatten().flatten().any(runs);
    matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))
        || (pod.metadata.deletion_timestamp.is_some() && none_runs)
}

/// The claims that a pod's volumes name.
pub fn claims_of(object: &Object, pod: &Pod) -> Vec<String> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    let names = volumes.iter().filter_map(|volume| {
        let generated = format!("{}-{}", object.metadata.name, volume.name);
        let named = volume.persistent_volume_claim.as_ref().map(|s| s.claim_name.clone());
        named.or(volume.ephemeral.as_ref().map(|_| generated))
    });
    names.collect()
}

/// The volume behind a claim, if it is bound and of a driver that has volumes attached.
fn volume_of(view: &View, namespace: &str, claim: &str, node: &str) -> Option<Wanted<'static>> {
    let claim: PersistentVolumeClaim = view.get(namespace, claim)?;
    let bound = claim.status.as_ref()?.phase.as_deref() == Some("Bound");
    let name = claim.spec.as_ref()?.volume_name.clone().filter(|_| bound)?;
    let volume: PersistentVolume = view.get("", &name)?;
    let spec = volume.spec?;
    if spec.claim_ref.as_ref()?.uid != claim.metadata.uid {
        return None;
    }
    let source = spec.csi?;
    let driver: Option<CSIDriver> = view.get("", &source.driver);
    if driver.is_some_and(|driver| driver.spec.attach_required == Some(false)) {
        return None;
    }
    let modes = spec.access_modes.unwrap_or_default();
    let shared = modes.iter().any(|mode| mode.ends_with("Many"));
    Some(Wanted {
        volume: name,
        unique_name: format!("{PREFIX}{}^{}", source.driver, source.volume_handle),
        attachment: attachment_name(&source.driver, &source.volume_handle, node),
        driver: source.driver,
        exclusive: !modes.is_empty() && !shared,
        pods: Vec::new(),
    })
}

fn attachment_name(driver: &str, handle: &str, node: &str) -> String {
    let digest = Sha256::digest(format!("{handle}{driver}{node}"));
    let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("csi-{text}")
}

/// Whether an attachment is that of a volume in a Node's status.
pub fn is_attachment_of(attachment: &str, unique_name: &str, node: &str) -> bool {
    let parts = unique_name.strip_prefix(PREFIX).and_then(|name| name.split_once('^'));
    parts.is_some_and(|(driver, handle)| attachment_name(driver, handle, node) == attachment)
}

/// Why a volume cannot be attached to a node as well, if another one has it.
pub fn others_with(view: &View, wanted: &Wanted<'_>, node: &str) -> Option<String> {
    if !wanted.exclusive {
        return None;
    }
    let attachments = view.objects(&resources::VOLUME_ATTACHMENTS, None);
    let elsewhere: Vec<String> = attachments
        .filter_map(|object| object.decode::<VolumeAttachment>())
        .filter(|found| {
            let source = found.spec.source.persistent_volume_name.as_deref();
            source == Some(&wanted.volume) && found.spec.node_name != node
        })
        .map(|found| found.spec.node_name)
        .collect();
    if elsewhere.is_empty() {
        return None;
    }
    let namespace = wanted.pods.first().map(|pod| pod.metadata.namespace.as_str());
    let mut named = Vec::new();
    for other in &elsewhere {
        for pod in view.on_node(other) {
            let Some(decoded) = pod.decode::<Pod>() else { continue };
            let same = Some(pod.metadata.namespace.as_str()) == namespace;
            let uses = claims_of(pod, &decoded).into_iter().any(|claim| {
                let found = volume_of(view, &pod.metadata.namespace, &claim, other);
                found.is_some_and(|found| found.volume == wanted.volume)
            });
            if same && uses {
                named.push(pod.metadata.name.clone());
            }
        }
    }
    Some(match named.is_empty() {
        true => "Volume is already exclusively attached to one node and can't be attached to \
                 another"
            .into(),
        false => format!("Volume is already used by pod(s) {}", named.join(", ")),
    })
}

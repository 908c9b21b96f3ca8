//! Which volume a claim gets: one that is kept for it, else the smallest that fits.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use kd_api::quantity::Quantity;
use kd_client::{label_selector, selects};

use super::{class_of_claim, class_of_volume};

/// The best volume for a claim. A claim that waits for its consumer only gets one that is kept for
/// it.
pub(super) fn best(
    claim: &PersistentVolumeClaim,
    volumes: Vec<PersistentVolume>,
    waits: bool,
) -> Option<PersistentVolume> {
    let fitting = volumes.into_iter().filter(|volume| why_not(claim, volume).is_none());
    let (mut kept, free): (Vec<_>, Vec<_>) = fitting.partition(|volume| is_for(volume, claim));
    if !kept.is_empty() {
        return Some(kept.swap_remove(0));
    }
    let open = free.into_iter().filter(|volume| !waits && is_free(claim, volume));
    open.min_by_key(capacity)
}

/// Whether a volume's reference names a claim, by its uid if it has one.
pub(super) fn is_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    reference.is_some_and(|reference| {
        let uid = reference.uid.as_deref().unwrap_or_default();
        reference.name == claim.metadata.name
            && reference.namespace == claim.metadata.namespace
            && (uid.is_empty() || Some(uid) == claim.metadata.uid.as_deref())
    })
}

/// Why a volume does not serve a claim, whoever it belongs to.
pub(super) fn why_not(
    claim: &PersistentVolumeClaim,
    volume: &PersistentVolume,
) -> Option<&'static str> {
    let (Some(wanted), Some(have)) = (&claim.spec, &volume.spec) else {
        return Some("there is no spec");
    };
    let requests = wanted.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    if capacity(volume) < storage(requests) {
        return Some("requested PV is too small");
    }
    if class_of_claim(claim) != class_of_volume(volume) {
        return Some("storageClassName does not match");
    }
    let block = |mode: &Option<String>| mode.as_deref() == Some("Block");
    if block(&wanted.volume_mode) != block(&have.volume_mode) {
        return Some("incompatible volumeMode");
    }
    let modes = have.access_modes.as_deref().unwrap_or_default();
    let missing = wanted.access_modes.iter().flatten().any(|mode| !modes.contains(mode));
    missing.then_some("incompatible accessMode")
}

fn is_free(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> bool {
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    let taken = volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_some());
    let selector = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let empty = BTreeMap::new();
    let labels = volume.metadata.labels.as_ref().unwrap_or(&empty);
    let selected = selector.is_none_or(|selector| {
        label_selector(Some(selector)).is_ok_and(|selector| selects(&selector, labels))
    });
    phase == Some("Available") && !taken && selected && volume.metadata.deletion_timestamp.is_none()
}

fn capacity(volume: &PersistentVolume) -> i64 {
    storage(volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()))
}

/// Bytes of storage in a list of resources.
fn storage(amounts: Option<&BTreeMap<String, Amount>>) -> i64 {
    let amount = amounts.and_then(|amounts| amounts.get("storage"));
    amount.and_then(|amount| amount.0.parse::<Quantity>().ok()).map_or(0, |bytes| bytes.value())
}

//! What is due for a volume: its phase, and what becomes of it when its claim is gone.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kd_client::{DeleteOptions, EventType, Object, View, resources};

use super::{BOUND_BY_CONTROLLER, PROVISIONED_BY, annotation};
use crate::{Plan, Step, event};

pub(super) fn reconcile(view: &View, object: &Object, now: Timestamp) -> Plan {
    let Some(volume) = object.decode::<PersistentVolume>() else { return Plan::nothing() };
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.clone());
    let Some(reference) = reference else { return phase(object, &volume, "Available", None, now) };
    if reference.uid.as_deref().unwrap_or_default().is_empty() {
        // A user keeps it for a claim that is not bound yet.
        return phase(object, &volume, "Available", None, now);
    }
    match claim_of(view, &reference) {
        None => released(object, &volume, now),
        Some(claim) => held(object, &volume, &claim, now),
    }
}

/// The very claim that is referred to; another one of its name is none.
fn claim_of(view: &View, reference: &ObjectReference) -> Option<PersistentVolumeClaim> {
    let namespace = reference.namespace.as_deref().unwrap_or_default();
    let name = reference.name.as_deref().unwrap_or_default();
    let claim: PersistentVolumeClaim = view.get(namespace, name)?;
    (claim.metadata.uid == reference.uid).then_some(claim)
}

fn held(
    object: &Object,
    volume: &PersistentVolume,
    claim: &PersistentVolumeClaim,
    now: Timestamp,
) -> Plan {
    let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref());
    match named.filter(|name| !name.is_empty()) {
        // The claim's turn.
        None => Plan::nothing(),
        Some(name) if Some(name) == volume.metadata.name.as_deref() => {
            phase(object, volume, "Bound", None, now)
        }
        // The claim went elsewhere.
        Some(_) => match is_deletable(volume) {
            true => released(object, volume, now),
            false => Plan::one(unbind(object, volume)),
        },
    }
}

fn is_deletable(volume: &PersistentVolume) -> bool {
    let policy = volume.spec.as_ref().and_then(|s| s.persistent_volume_reclaim_policy.as_deref());
    policy == Some("Delete") && annotation(&volume.metadata, PROVISIONED_BY).is_some()
}

/// Gives up what was begun; a reference that a user wrote keeps its names.
fn unbind(object: &Object, volume: &PersistentVolume) -> Step {
    let mut updated = volume.clone();
    let spec = updated.spec.get_or_insert_default();
    if annotation(&volume.metadata, BOUND_BY_CONTROLLER).is_some() {
        spec.claim_ref = None;
        if let Some(annotations) = &mut updated.metadata.annotations {
            annotations.remove(BOUND_BY_CONTROLLER);
        }
    } else if let Some(reference) = &mut spec.claim_ref {
        reference.uid = None;
    }
    Step::update(&resources::PERSISTENT_VOLUMES, object.key(), &updated)
}

/// Its claim is gone: it is kept, or goes too. Provisioned volumes are removed by their provisioner.
fn released(object: &Object, volume: &PersistentVolume, now: Timestamp) -> Plan {
    let before = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    if !matches!(before, Some("Released" | "Failed")) {
        return phase(object, volume, "Released", None, now);
    }
    let spec = volume.spec.as_ref();
    let policy = spec.and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    let provisioned = annotation(&volume.metadata, PROVISIONED_BY).is_some();
    match policy {
        Some("Delete") if !provisioned && object.metadata.deletion_timestamp.is_none() => {
            delete(object, volume, now)
        }
        Some("Recycle") => {
            let message = "no volume plugin can recycle this volume";
            failed(object, volume, ("VolumeFailedRecycle", message), now)
        }
        _ => Plan::nothing(),
    }
}

/// A volume made by hand can be deleted where nothing behind it has to be.
fn delete(object: &Object, volume: &PersistentVolume, now: Timestamp) -> Plan {
    let on_host = volume.spec.as_ref().is_some_and(|spec| spec.host_path.is_some());
    if !on_host {
        let message = "error getting deleter volume plugin for volume: no deletable volume plugin \
                       matched";
        return failed(object, volume, ("VolumeFailedDelete", message), now);
    }
    let options = DeleteOptions::of(&object.metadata.uid);
    Plan::one(Step::delete(&resources::PERSISTENT_VOLUMES, object.key(), options))
}

fn failed(
    object: &Object,
    volume: &PersistentVolume,
    (reason, message): (&str, &str),
    now: Timestamp,
) -> Plan {
    let mut plan = phase(object, volume, "Failed", Some(message), now);
    if !plan.is_empty() {
        let resource = &resources::PERSISTENT_VOLUMES;
        plan.events.push(event(resource, object, EventType::Warning, reason, message));
    }
    plan
}

fn phase(
    object: &Object,
    volume: &PersistentVolume,
    phase: &str,
    message: Option<&str>,
    now: Timestamp,
) -> Plan {
    let before = volume.status.clone().unwrap_or_default();
    let message = message.map(str::to_owned);
    if before.phase.as_deref() == Some(phase) && before.message == message {
        return Plan::nothing();
    }
    let mut updated = volume.clone();
    updated.status = Some(PersistentVolumeStatus {
        phase: Some(phase.into()),
        message,
        last_phase_transition_time: Some(Time(now)),
        ..before
    });
    Plan::one(Step::update_status(&resources::PERSISTENT_VOLUMES, object.key(), &updated))
}

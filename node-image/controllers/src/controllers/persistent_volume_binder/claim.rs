//! What is due for a claim: a volume that is there, one that has to be made, or the truth about one
//! that is lost.

use k8s_openapi::api::core::v1::{
    ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus,
};
use k8s_openapi::api::storage::v1::StorageClass;
use kd_client::{EventType, Key, Object, View, resources};

use super::matching::{best, is_for, why_not};
use super::{
    BIND_COMPLETED, BOUND_BY_CONTROLLER, OLD_PROVISIONER, PROVISIONER, SELECTED_NODE, annotation,
    class_of_claim,
};
use crate::{Plan, Step, event};

/// Volumes of this provisioner are made by hand.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// A claim at one moment.
struct Claim<'a> {
    view: &'a View,
    object: &'a Object,
    claim: PersistentVolumeClaim,
    class: Option<StorageClass>,
}

pub(super) fn reconcile(view: &View, object: &Object) -> Plan {
    let Some(claim) = object.decode::<PersistentVolumeClaim>() else { return Plan::nothing() };
    let class = view.get("", class_of_claim(&claim));
    let it = Claim { view, object, claim, class };
    if annotation(&it.claim.metadata, BIND_COMPLETED).is_some() {
        return it.stays_bound();
    }
    match it.volume_name() {
        Some(name) => it.wants(&name),
        None => it.searches(),
    }
}

impl Claim<'_> {
    fn volume_name(&self) -> Option<String> {
        let name = self.claim.spec.as_ref()?.volume_name.clone()?;
        (!name.is_empty()).then_some(name)
    }

    fn volume(&self, name: &str) -> Option<PersistentVolume> {
        self.view.get("", name)
    }

    /// It names its volume itself.
    fn wants(&self, name: &str) -> Plan {
        let Some(volume) = self.volume(name) else { return self.phase("Pending") };
        let taken = volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_some());
        if taken && !is_for(&volume, &self.claim) {
            return self.phase("Pending");
        }
        if let Some(why) = why_not(&self.claim, &volume).filter(|_| !taken) {
            let message = format!("Cannot bind to requested volume {name:?}: {why}");
            return self.pending(EventType::Warning, "VolumeMismatch", message);
        }
        self.bind(&volume)
    }

    /// Any volume that fits will do.
    fn searches(&self) -> Plan {
        let mode = self.class.as_ref().and_then(|class| class.volume_binding_mode.as_deref());
        let waits = mode == Some("WaitForFirstConsumer");
        let volumes = self.view.list::<PersistentVolume>(None);
        if let Some(volume) = best(&self.claim, volumes, waits) {
            return self.bind(&volume);
        }
        let placed = annotation(&self.claim.metadata, SELECTED_NODE).is_some();
        if waits && !placed {
            let message = "waiting for first consumer to be created before binding";
            return self.pending(EventType::Normal, "WaitForFirstConsumer", message.into());
        }
        if class_of_claim(&self.claim).is_empty() {
            let message =
                "no persistent volumes available for this claim and no storage class is set";
            return self.pending(EventType::Normal, "FailedBinding", message.into());
        }
        self.provision()
    }

    /// Tells a provisioner to make a volume.
    fn provision(&self) -> Plan {
        let Some(class) = &self.class else {
            let name = class_of_claim(&self.claim);
            let message = format!("storageclass.storage.k8s.io {name:?} not found");
            return self.pending(EventType::Warning, "ProvisioningFailed", message);
        };
        let provisioner = class.provisioner.as_str();
        if provisioner == NO_PROVISIONER {
            let message = "no volume plugin matched name: kubernetes.io/no-provisioner";
            return self.pending(EventType::Warning, "ProvisioningFailed", message.into());
        }
        if annotation(&self.claim.metadata, PROVISIONER) != Some(provisioner) {
            let mut updated = self.claim.clone();
            let annotations = updated.metadata.annotations.get_or_insert_default();
            for name in [PROVISIONER, OLD_PROVISIONER] {
                annotations.insert(name.into(), provisioner.into());
            }
            return Plan::one(self.update(&updated));
        }
        let message = format!(
            "Waiting for a volume to be created either by the external provisioner \
             '{provisioner}' or manually by the system administrator. If volume creation is \
             delayed, please verify that the provisioner is running and correctly registered."
        );
        self.pending(EventType::Normal, "ExternalProvisioning", message)
    }

    /// One step on the way to each other.
    fn bind(&self, volume: &PersistentVolume) -> Plan {
        let named = |reference: &ObjectReference| reference.uid == self.claim.metadata.uid;
        let spec = volume.spec.as_ref();
        let reference = spec.and_then(|spec| spec.claim_ref.as_ref());
        if !reference.is_some_and(named) {
            return Plan::one(self.take(volume));
        }
        let complete = annotation(&self.claim.metadata, BIND_COMPLETED).is_some();
        if !complete || self.volume_name() != volume.metadata.name {
            return Plan::one(self.name(volume));
        }
        let mut status = self.claim.status.clone().unwrap_or_default();
        // Once bound, what the status says of the size is the resizer's.
        if status.phase.as_deref() != Some("Bound") {
            status.phase = Some("Bound".into());
            status.access_modes = spec.and_then(|spec| spec.access_modes.clone());
            status.capacity = spec.and_then(|spec| spec.capacity.clone());
        }
        self.write(status)
    }

    /// The volume names the claim.
    fn take(&self, volume: &PersistentVolume) -> Step {
        let mut updated = volume.clone();
        let spec = updated.spec.get_or_insert_default();
        if spec.claim_ref.is_none() {
            let annotations = updated.metadata.annotations.get_or_insert_default();
            annotations.insert(BOUND_BY_CONTROLLER.into(), "yes".into());
        }
        let metadata = &self.claim.metadata;
        spec.claim_ref = Some(ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("PersistentVolumeClaim".into()),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
            ..ObjectReference::default()
        });
        let key = Key::cluster(volume.metadata.name.as_deref().unwrap_or_default());
        Step::update(&resources::PERSISTENT_VOLUMES, key, &updated)
    }

    /// The claim names the volume.
    fn name(&self, volume: &PersistentVolume) -> Step {
        let mut updated = self.claim.clone();
        let annotations = updated.metadata.annotations.get_or_insert_default();
        if self.volume_name().is_none() {
            annotations.insert(BOUND_BY_CONTROLLER.into(), "yes".into());
        }
        annotations.insert(BIND_COMPLETED.into(), "yes".into());
        updated.spec.get_or_insert_default().volume_name = volume.metadata.name.clone();
        self.update(&updated)
    }

    /// What was bound either still is, or is lost.
    fn stays_bound(&self) -> Plan {
        let Some(name) = self.volume_name() else {
            let message =
                "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!";
            return self.lost("ClaimLost", message);
        };
        let Some(volume) = self.volume(&name) else {
            let message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
            return self.lost("ClaimLost", message);
        };
        let taken = volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_some());
        if taken && !is_for(&volume, &self.claim) {
            let message = "Two claims are bound to the same volume, this one is bound incorrectly";
            return self.lost("ClaimMisbound", message);
        }
        self.bind(&volume)
    }

    fn lost(&self, reason: &str, message: &str) -> Plan {
        let mut plan = self.phase("Lost");
        if !plan.is_empty() {
            let told = self.event(EventType::Warning, reason, message.into());
            plan.events.push(told);
        }
        plan
    }

    fn pending(&self, event_type: EventType, reason: &str, message: String) -> Plan {
        let mut plan = self.phase("Pending");
        plan.events.push(self.event(event_type, reason, message));
        plan
    }

    fn event(&self, event_type: EventType, reason: &str, message: String) -> kd_client::Occurrence {
        event(&resources::PERSISTENT_VOLUME_CLAIMS, self.object, event_type, reason, message)
    }

    /// Without a volume a claim has no size and no modes.
    fn phase(&self, phase: &str) -> Plan {
        let mut status = self.claim.status.clone().unwrap_or_default();
        status.phase = Some(phase.into());
        (status.access_modes, status.capacity) = (None, None);
        self.write(status)
    }

    fn write(&self, status: PersistentVolumeClaimStatus) -> Plan {
        if self.claim.status.as_ref() == Some(&status) {
            return Plan::nothing();
        }
        let mut updated = self.claim.clone();
        updated.status = Some(status);
        let resource = &resources::PERSISTENT_VOLUME_CLAIMS;
        Plan::one(Step::update_status(resource, self.object.key(), &updated))
    }

    fn update(&self, updated: &PersistentVolumeClaim) -> Step {
        Step::update(&resources::PERSISTENT_VOLUME_CLAIMS, self.object.key(), updated)
    }
}

//! What controllers read of ResourceClaims and of the pods that use them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kd_client::{Key, Object, View, resources};
use serde::Deserialize;

/// What is read of a ResourceClaim.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Claim {
    /// Its metadata.
    pub metadata: Annotated,
    /// Its status.
    pub status: ClaimStatus,
}

/// Metadata with annotations.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Annotated {
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Who has the claim, and what was given for it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimStatus {
    /// Its devices, once it has any.
    pub allocation: Option<Allocation>,
    /// Who may use them.
    pub reserved_for: Vec<Consumer>,
}

/// Devices that were given.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Allocation {
    /// The devices.
    pub devices: Devices,
}

/// Results of an allocation.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Devices {
    /// One for each device.
    pub results: Vec<Device>,
}

/// One device that was given.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Device {
    /// Who drives it.
    pub driver: String,
    /// Its pool.
    pub pool: String,
    /// Its name in the pool.
    pub device: String,
    /// Taints that the request puts up with.
    pub tolerations: Vec<Toleration>,
}

/// A taint that is put up with.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    /// `Exists` or `Equal`, which is meant by nothing.
    pub operator: String,
    /// Of which key; of all, when empty.
    pub key: String,
    /// Of which value.
    pub value: String,
    /// Of which effect; of all, when empty.
    pub effect: String,
    /// For how long; None for ever.
    pub toleration_seconds: Option<i64>,
}

/// Who has a claim.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Consumer {
    /// Group of its resource.
    pub api_group: String,
    /// Its resource.
    pub resource: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl Consumer {
    /// Whether it is a pod; nothing else is known to have claims.
    pub fn is_pod(&self) -> bool {
        self.api_group.is_empty() && self.resource == "pods"
    }
}

/// What is read of a pod.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Its spec.
    pub spec: PodSpec,
    /// Its status.
    pub status: PodStatus,
}

/// The claims that a pod names.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Each under a name of the pod's own.
    pub resource_claims: Vec<PodClaim>,
}

/// One claim that a pod names: by its own name, or by a template.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodClaim {
    /// The pod's name for it.
    pub name: String,
    /// The claim.
    pub resource_claim_name: Option<String>,
    /// What to make it of.
    pub resource_claim_template_name: Option<String>,
}

/// What became of a pod's claims.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Its phase.
    pub phase: String,
    /// Names of claims that were made for it.
    pub resource_claim_statuses: Vec<PodClaimStatus>,
}

/// The claim that was made for a pod's name of it; without a name none was needed.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodClaimStatus {
    /// The pod's name for it.
    pub name: String,
    /// The claim.
    pub resource_claim_name: Option<String>,
}

impl Pod {
    /// Reads a pod; None when it names no claims.
    pub fn of(object: &Object) -> Option<Pod> {
        object.decode::<Pod>().filter(|pod| !pod.spec.resource_claims.is_empty())
    }

    /// The status of one of its names.
    pub fn status_of(&self, name: &str) -> Option<&PodClaimStatus> {
        self.status.resource_claim_statuses.iter().find(|status| status.name == name)
    }

    /// The claims that it has, as far as they have names.
    pub fn claim_names(&self) -> impl Iterator<Item = &str> {
        self.spec.resource_claims.iter().filter_map(|claim| {
            let made = || self.status_of(&claim.name)?.resource_claim_name.as_deref();
            claim.resource_claim_name.as_deref().or_else(made)
        })
    }

    /// Whether its containers have ended and none will start any more.
    pub fn is_done(&self, object: &Object) -> bool {
        let ended = matches!(self.status.phase.as_str(), "Succeeded" | "Failed");
        ended || (object.metadata.is_deleting() && object.node().is_none())
    }
}

/// The claims of a pod that are reserved for it.
pub fn reserved_claims(view: &View, object: &Object, pod: &Pod) -> Vec<Claim> {
    let namespace = &object.metadata.namespace;
    let found = pod.claim_names().filter_map(|name| {
        view.object(&resources::RESOURCE_CLAIMS, &Key::new(namespace, name))?.decode::<Claim>()
    });
    found
        .filter(|claim| claim.status.reserved_for.iter().any(|c| c.uid == object.metadata.uid))
        .collect()
}

/// A taint of a device.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceTaint {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// `NoSchedule`, `NoExecute` or `None`.
    pub effect: String,
    /// Since when it is there.
    pub time_added: Option<Timestamp>,
}

impl Toleration {
    /// Whether it is about this taint.
    pub fn tolerates(&self, taint: &DeviceTaint) -> bool {
        (self.effect.is_empty() || self.effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && match self.operator.as_str() {
                "Exists" => true,
                _ => !self.key.is_empty() && self.value == taint.value,
            }
    }
}

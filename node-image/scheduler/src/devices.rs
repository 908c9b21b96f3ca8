//! Devices as scheduling sees them (`resource.k8s.io/v1`): slices that offer them, classes and claims
//! that ask for them, and the allocations that are decided but not written yet.

mod allocate;
mod device;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PodResourceClaim, PodResourceClaimStatus};
use kd_client::Key;
use serde_json::{Value, json};

pub use allocate::{Allocation, Allocator};
use device::{Selector, Slice};

use crate::node::NodeFacts;
use crate::pod::PodFacts;

/// Keeps a claim until its devices are given back.
const FINALIZER: &str = "resource.kubernetes.io/delete-protection";
/// Pods that one claim serves.
const RESERVED_MAX: usize = 256;

/// A device's place: driver, pool, name.
pub type DeviceId = (Arc<str>, Arc<str>, Arc<str>);

/// A claim that a pod refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRef {
    /// The claim's name; None when the pod turned out to need none, an error when it is to be made.
    pub name: Result<Option<String>, ()>,
    /// Whether it was made for the pod.
    pub owned: bool,
}

/// A device class.
#[derive(Clone, Debug)]
struct Class {
    selectors: Vec<Selector>,
    config: Vec<Value>,
}

/// Slices, classes and claims.
#[derive(Clone, Debug, Default)]
pub struct Devices {
    slices: BTreeMap<String, Arc<Slice>>,
    classes: BTreeMap<String, Arc<Class>>,
    claims: HashMap<Key, Arc<Value>>,
    /// Claims whose allocation or reservation is being written.
    assumed: HashMap<Key, Arc<Value>>,
}

/// What is to be written of a claim before its pod is bound.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimWrite {
    /// Which claim.
    pub key: Key,
    /// Its finalizers, if one is missing.
    pub finalizers: Option<Value>,
    /// The status' new fields.
    pub status: Value,
    /// The claim as it will be.
    pub after: Arc<Value>,
}

/// The claims of a pod that is being placed.
pub struct PodClaims<'a> {
    devices: &'a Devices,
    /// Those that have their devices.
    allocated: Vec<&'a Value>,
    /// Those that do not.
    pending: Vec<&'a Value>,
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value[field].as_array().into_iter().flatten()
}

/// What a pod's spec and status say of its claims.
pub fn claim_refs(
    claims: Option<&Vec<PodResourceClaim>>,
    statuses: Option<&Vec<PodResourceClaimStatus>>,
) -> Vec<ClaimRef> {
    let made = |name: &str| {
        let known = statuses.into_iter().flatten().find(|status| status.name == name).ok_or(())?;
        Ok(known.resource_claim_name.clone())
    };
    let of = |claim: &PodResourceClaim| match &claim.resource_claim_name {
        Some(name) => ClaimRef { name: Ok(Some(name.clone())), owned: false },
        None => ClaimRef { name: made(&claim.name), owned: true },
    };
    claims.into_iter().flatten().map(of).collect()
}

impl Devices {
    /// A slice is new or changed, or gone (`None`).
    pub fn set_slice(&mut self, name: &str, slice: Option<&Value>) {
        match slice {
            Some(slice) => self.slices.insert(name.to_owned(), Arc::new(Slice::of(slice))),
            None => self.slices.remove(name),
        };
    }

    /// A class is new or changed, or gone (`None`).
    pub fn set_class(&mut self, name: &str, class: Option<&Value>) {
        let Some(class) = class else { return drop(self.classes.remove(name)) };
        let class = Class {
            selectors: list(&class["spec"], "selectors").map(Selector::of).collect(),
            config: list(&class["spec"], "config").cloned().collect(),
        };
        self.classes.insert(name.to_owned(), Arc::new(class));
    }

    /// A claim is new or changed, or gone (`None`). Answers to writes may overtake the watch: what is
    /// older than known is none.
    pub fn set_claim(&mut self, key: &Key, claim: Option<Value>) {
        let Some(claim) = claim else {
            self.assumed.remove(key);
            return drop(self.claims.remove(key));
        };
        let version = |claim: &Value| -> u64 {
            text(&claim["metadata"], "resourceVersion").parse().unwrap_or(0)
        };
        let older = |known: &Arc<Value>| {
            known["metadata"]["uid"] == claim["metadata"]["uid"] && version(known) > version(&claim)
        };
        if !self.claims.get(key).is_some_and(older) {
            self.claims.insert(key.clone(), Arc::new(claim));
        }
    }

    /// These claims are spoken for until their writes have returned.
    pub fn assume(&mut self, writes: &[ClaimWrite]) {
        self.assumed.extend(writes.iter().map(|write| (write.key.clone(), write.after.clone())));
    }

    /// The writes have returned.
    pub fn release(&mut self, writes: &[ClaimWrite]) {
        for write in writes {
            let ours = |known: &Arc<Value>| Arc::ptr_eq(known, &write.after);
            if self.assumed.get(&write.key).is_some_and(ours) {
                self.assumed.remove(&write.key);
            }
        }
    }

    fn claim(&self, key: &Key) -> Option<&Value> {
        self.assumed.get(key).or_else(|| self.claims.get(key)).map(|claim| &**claim)
    }

    /// Whether all claims of a pod are there: it is not tried before.
    pub fn has_claims_of(&self, pod: &PodFacts) -> bool {
        self.find(pod).is_ok()
    }

    fn find(&self, pod: &PodFacts) -> Result<Vec<&Value>, String> {
        let mut claims = Vec::new();
        for wanted in &pod.wishes.device_claims {
            let missing = |_: &()| format!("pod \"{}\": ResourceClaim not created yet", pod.key);
            let Some(name) = wanted.name.as_ref().map_err(missing)? else {
                continue;
            };
            let key = Key::new(&pod.key.namespace, name);
            let found = self
                .claim(&key)
                .ok_or_else(|| format!("resourceclaim.resource.k8s.io {name:?} not found"))?;
            if !found["metadata"]["deletionTimestamp"].is_null() {
                return Err(format!("resourceclaim {name:?} is being deleted"));
            }
            let mut owners = list(&found["metadata"], "ownerReferences");
            let owns = |o: &Value| o["controller"] == true && text(o, "uid") == pod.uid;
            if wanted.owned && !owners.any(owns) {
                return Err(format!(
                    "ResourceClaim {key} was not created for pod {} (pod is not owner)",
                    pod.key
                ));
            }
            claims.push(found);
        }
        Ok(claims)
    }

    /// The claims of a pod; an error is why it can be placed nowhere.
    pub fn claims_of(&self, pod: &PodFacts) -> Result<PodClaims<'_>, String> {
        let (mut allocated, mut pending) = (Vec::new(), Vec::new());
        for claim in self.find(pod)? {
            if claim["status"]["allocation"].is_null() {
                self.check_classes(claim)?;
                pending.push(claim);
            } else if !reserved_for(claim, pod)
                && list(&claim["status"], "reservedFor").count() >= RESERVED_MAX
            {
                return Err("resourceclaim in use".into());
            } else {
                allocated.push(claim);
            }
        }
        Ok(PodClaims { devices: self, allocated, pending })
    }

    fn check_classes(&self, claim: &Value) -> Result<(), String> {
        for request in list(&claim["spec"]["devices"], "requests") {
            let name = text(request, "name");
            let subrequests = list(request, "firstAvailable");
            let sub = subrequests.map(|s| (format!("{name}/{}", text(s, "name")), s));
            let exact = request.get("exactly").map(|exact| (name.to_owned(), exact));
            for (name, request) in exact.into_iter().chain(sub) {
                let class = text(request, "deviceClassName");
                if !self.classes.contains_key(class) {
                    return Err(format!("request {name}: device class {class} does not exist"));
                }
            }
        }
        Ok(())
    }

    /// The devices that are given out, admins' use aside.
    fn in_use(&self) -> HashSet<DeviceId> {
        let assumed = self.assumed.values();
        let rest = self.claims.iter().filter(|(key, _)| !self.assumed.contains_key(*key));
        let claims = assumed.chain(rest.map(|(_, claim)| claim));
        let results =
            claims.flat_map(|claim| list(&claim["status"]["allocation"]["devices"], "results"));
        let taken = results.filter(|result| result["adminAccess"] != true);
        taken
            .map(|r| (text(r, "driver").into(), text(r, "pool").into(), text(r, "device").into()))
            .collect()
    }
}

fn reserved_for(claim: &Value, pod: &PodFacts) -> bool {
    list(&claim["status"], "reservedFor").any(|consumer| text(consumer, "uid") == pod.uid)
}

impl<'a> PodClaims<'a> {
    /// Whether the pod has none.
    pub fn is_empty(&self) -> bool {
        self.allocated.is_empty() && self.pending.is_empty()
    }

    /// Whether claims that have their devices can be used on a node.
    pub fn available_on(&self, node: &NodeFacts) -> bool {
        self.allocated.iter().all(|claim| {
            let selector = &claim["status"]["allocation"]["nodeSelector"];
            device::selects(selector, node)
        })
    }

    /// What takes the devices of pending claims, prepared once for all nodes.
    pub fn allocator(&self) -> Option<Allocator<'a>> {
        let pending = !self.pending.is_empty();
        pending.then(|| Allocator::new(self.devices, &self.pending))
    }

    /// What is to be written before the pod is bound to a node.
    pub fn writes(&self, pod: &PodFacts, node: &NodeFacts) -> Result<Vec<ClaimWrite>, String> {
        let allocations = match self.allocator() {
            Some(allocator) => {
                allocator.allocate(node)?.ok_or("claim allocation not found for node")?
            }
            None => Vec::new(),
        };
        let allocated = self.allocated.iter().filter(|claim| !reserved_for(claim, pod));
        let pending = self.pending.iter().zip(&allocations);
        let reserve = allocated.map(|claim| write(claim, None, pod));
        let allocate = pending.map(|(claim, allocation)| write(claim, Some(allocation), pod));
        Ok(reserve.chain(allocate).collect())
    }
}

fn write(claim: &Value, allocation: Option<&Allocation>, pod: &PodFacts) -> ClaimWrite {
    let metadata = &claim["metadata"];
    let mut reserved: Vec<Value> = list(&claim["status"], "reservedFor").cloned().collect();
    reserved.push(json!({"resource": "pods", "name": &*pod.key.name, "uid": pod.uid}));
    let mut status = json!({"reservedFor": reserved});
    let mut after = claim.clone();
    let mut finalizers = None;
    if let Some(allocation) = allocation {
        status["allocation"] = allocation.0.clone();
        let mut all: Vec<Value> = list(metadata, "finalizers").cloned().collect();
        if !all.iter().any(|known| known == FINALIZER) {
            all.push(json!(FINALIZER));
            finalizers = Some(json!(all));
        }
        after["status"]["allocation"] = allocation.0.clone();
    }
    after["status"]["reservedFor"] = status["reservedFor"].clone();
    ClaimWrite {
        key: Key::new(text(metadata, "namespace"), text(metadata, "name")),
        finalizers,
        status,
        after: Arc::new(after),
    }
}

#[cfg(test)]
mod tests;

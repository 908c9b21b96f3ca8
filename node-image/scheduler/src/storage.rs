//! PersistentVolumes, claims and classes as scheduling sees them, with the bindings that are decided
//! but not written yet.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, TopologySelectorTerm};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kd_api::selector::Selector;
use kd_client::placement::NodeTerms;
use kd_client::{Key, label_selector, selects};

use crate::csi::CsiFacts;
use crate::node::NodeFacts;

/// The node that a provisioner is to make a claim's volume for.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Set by the binder once a claim has its volume.
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Tells that no user wrote a volume's claimRef.
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// The class annotation that came before the field.
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// The provisioner of classes whose volumes are made by hand.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimFacts {
    /// Namespace and name.
    pub key: Key,
    /// Uid.
    pub uid: String,
    /// resourceVersion.
    pub resource_version: String,
    /// The volume it names.
    pub volume: String,
    /// Whether binding is over.
    pub bound: bool,
    /// Whether its volume was lost.
    pub lost: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether only one pod may use it.
    pub one_pod: bool,
    /// Uid of the object that controls it.
    pub owner: String,
    /// The node for which a volume is being made.
    pub selected_node: Option<String>,
    class: String,
    bytes: i64,
    modes: Vec<String>,
    block: bool,
    selector: Option<Selector>,
}

/// A PersistentVolume.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VolumeFacts {
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// resourceVersion.
    pub resource_version: String,
    /// Whether its claimRef names a claim by uid.
    pub claim_uid: String,
    /// The claim that its claimRef names.
    pub claim: Option<Key>,
    deleting: bool,
    available: bool,
    class: String,
    bytes: i64,
    modes: Vec<String>,
    block: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    affinity: Option<NodeTerms>,
    /// Its driver and what that calls it.
    csi: Option<(String, String)>,
}

/// A StorageClass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassFacts {
    waits: bool,
    provisions: bool,
    provisioner: String,
    topologies: Vec<TopologySelectorTerm>,
}

/// What binding a pod's claims on a node takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumePlan {
    /// Volumes to give to claims.
    pub prebind: Vec<(String, Key)>,
    /// Claims whose volumes are to be made.
    pub provision: Vec<Key>,
}

/// Where the claims of a pod stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// All are bound.
    Bound,
    /// Not yet.
    Pending,
    /// It will not come to it.
    Failed(String),
}

/// Why a node cannot have a pod's volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// A bound volume is not for this node.
    Affinity,
    /// No volume fits, and none can be made.
    NoVolume,
    /// A bound volume is gone.
    Gone,
    /// One could be made, but its driver has too little room.
    NoRoom,
}

/// Claims, volumes and classes.
#[derive(Clone, Debug, Default)]
pub struct Storage {
    claims: HashMap<Key, ClaimFacts>,
    volumes: BTreeMap<String, VolumeFacts>,
    classes: HashMap<String, ClassFacts>,
    /// What CSI drivers tell.
    pub csi: CsiFacts,
    assumed: HashMap<String, Key>,
}

impl ClaimFacts {
    /// Reads a claim.
    pub fn of(claim: PersistentVolumeClaim) -> ClaimFacts {
        let (metadata, spec) = (claim.metadata, claim.spec.unwrap_or_default());
        let phase = claim.status.and_then(|status| status.phase).unwrap_or_default();
        let annotations = metadata.annotations.unwrap_or_default();
        let volume = spec.volume_name.unwrap_or_default();
        let complete = annotations.contains_key(BIND_COMPLETED) || phase == "Bound";
        let requests = spec.resources.and_then(|r| r.requests).unwrap_or_default();
        let owners = metadata.owner_references.unwrap_or_default();
        let modes = spec.access_modes.unwrap_or_default();
        let selector = spec.selector.as_ref().map(|selector| label_selector(Some(selector)));
        ClaimFacts {
            key: Key::new(
                &metadata.namespace.unwrap_or_default(),
                &metadata.name.unwrap_or_default(),
            ),
            uid: metadata.uid.unwrap_or_default(),
            resource_version: metadata.resource_version.unwrap_or_default(),
            bound: complete && !volume.is_empty(),
            volume,
            lost: phase == "Lost",
            deleting: metadata.deletion_timestamp.is_some(),
            one_pod: modes.iter().any(|mode| mode == "ReadWriteOncePod"),
            owner: owners
                .into_iter()
                .find(|owner| owner.controller == Some(true))
                .map(|owner| owner.uid)
                .unwrap_or_default(),
            selected_node: annotations.get(SELECTED_NODE).cloned(),
            class: annotations
                .get(OLD_CLASS)
                .cloned()
                .or(spec.storage_class_name)
                .unwrap_or_default(),
            bytes: requests.get("storage").map_or(0, bytes),
            modes,
            block: spec.volume_mode.as_deref() == Some("Block"),
            // Validation refuses selectors that cannot be read.
            selector: selector.map(|read| read.unwrap_or_else(|_| Selector::nothing())),
        }
    }
}

impl VolumeFacts {
    /// Reads a volume.
    pub fn of(volume: PersistentVolume) -> VolumeFacts {
        let (metadata, spec) = (volume.metadata, volume.spec.unwrap_or_default());
        let annotations = metadata.annotations.unwrap_or_default();
        let claim = spec.claim_ref.unwrap_or_default();
        let claim_name = claim.name.unwrap_or_default();
        let claim_key = Key::new(&claim.namespace.unwrap_or_default(), &claim_name);
        let phase = volume.status.and_then(|status| status.phase);
        let affinity = spec.node_affinity.and_then(|affinity| affinity.required);
        VolumeFacts {
            name: metadata.name.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default(),
            resource_version: metadata.resource_version.unwrap_or_default(),
            claim_uid: claim.uid.unwrap_or_default(),
            claim: (!claim_name.is_empty()).then_some(claim_key),
            deleting: metadata.deletion_timestamp.is_some(),
            available: phase.as_deref() == Some("Available"),
            class: annotations
                .get(OLD_CLASS)
                .cloned()
                .or(spec.storage_class_name)
                .unwrap_or_default(),
            bytes: spec.capacity.unwrap_or_default().get("storage").map_or(0, bytes),
            modes: spec.access_modes.unwrap_or_default(),
            block: spec.volume_mode.as_deref() == Some("Block"),
            labels: metadata.labels.unwrap_or_default(),
            affinity: affinity.as_ref().map(NodeTerms::of),
            csi: spec.csi.map(|source| (source.driver, source.volume_handle)),
        }
    }

    fn is_for(&self, claim: &ClaimFacts) -> bool {
        self.claim.as_ref() == Some(&claim.key)
            && (self.claim_uid.is_empty() || self.claim_uid == claim.uid)
    }

    fn allows(&self, node: &NodeFacts) -> bool {
        self.affinity.as_ref().is_none_or(|terms| terms.accept(&node.name, &node.labels))
    }

    /// Whether it has what the claim asks for, whoever it belongs to.
    fn serves(&self, claim: &ClaimFacts) -> bool {
        self.bytes >= claim.bytes
            && self.block == claim.block
            && !self.deleting
            && claim.modes.iter().all(|mode| self.modes.contains(mode))
    }
}

impl ClassFacts {
    /// Reads a class.
    pub fn of(class: StorageClass) -> ClassFacts {
        ClassFacts {
            waits: class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"),
            provisions: !class.provisioner.is_empty() && class.provisioner != NO_PROVISIONER,
            provisioner: class.provisioner,
            topologies: class.allowed_topologies.unwrap_or_default(),
        }
    }

    fn can_provision_on(&self, node: &NodeFacts) -> bool {
        let holds = |term: &TopologySelectorTerm| {
            term.match_label_expressions.iter().flatten().all(|wanted| {
                node.labels.get(&wanted.key).is_some_and(|value| wanted.values.contains(value))
            })
        };
        self.provisions && (self.topologies.is_empty() || self.topologies.iter().any(holds))
    }
}

impl Storage {
    /// A claim.
    pub fn claim(&self, key: &Key) -> Option<&ClaimFacts> {
        self.claims.get(key)
    }

    /// A volume.
    pub fn volume(&self, name: &str) -> Option<&VolumeFacts> {
        self.volumes.get(name)
    }

    /// The CSI driver of a claim's volume and the volume's name; that of the claim while the volume is
    /// still to be made.
    pub fn driver_of(&self, claim: &ClaimFacts) -> Option<(String, String)> {
        if !claim.volume.is_empty() {
            return self.volumes.get(&claim.volume)?.csi.clone();
        }
        let class = self.classes.get(&claim.class).filter(|class| class.provisions)?;
        Some((class.provisioner.clone(), claim.key.to_string()))
    }

    /// A claim is new or changed; tells whether that is news. Answers to writes may overtake the
    /// watch: what is older than known is none.
    pub fn set_claim(&mut self, claim: ClaimFacts) -> bool {
        let known = self.claims.get(&claim.key);
        if known.is_some_and(|k| {
            k.uid == claim.uid && is_older(&claim.resource_version, &k.resource_version)
        }) {
            return false;
        }
        self.claims.insert(claim.key.clone(), claim.clone()) != Some(claim)
    }

    /// A claim is gone.
    pub fn remove_claim(&mut self, key: &Key) {
        self.claims.remove(key);
    }

    /// Likewise for a volume.
    pub fn set_volume(&mut self, volume: VolumeFacts) -> bool {
        let known = self.volumes.get(&volume.name);
        if known.is_some_and(|k| {
            k.uid == volume.uid && is_older(&volume.resource_version, &k.resource_version)
        }) {
            return false;
        }
        self.volumes.insert(volume.name.clone(), volume.clone()) != Some(volume)
    }

    /// A volume is gone.
    pub fn remove_volume(&mut self, name: &str) {
        self.volumes.remove(name);
    }

    /// Likewise for a class.
    pub fn set_class(&mut self, name: &str, class: ClassFacts) -> bool {
        self.classes.insert(name.to_owned(), class.clone()) != Some(class)
    }

    /// A class is gone.
    pub fn remove_class(&mut self, name: &str) {
        self.classes.remove(name);
    }

    /// Whether the claim is bound where its pod goes, and not before.
    pub fn waits_for_consumer(&self, claim: &ClaimFacts) -> bool {
        claim.volume.is_empty() && self.classes.get(&claim.class).is_some_and(|class| class.waits)
    }

    /// Volumes of a plan are spoken for until its writes have returned.
    pub fn assume(&mut self, plan: &VolumePlan) {
        self.assumed.extend(plan.prebind.iter().cloned());
    }

    /// The writes of a plan have returned.
    pub fn release(&mut self, plan: &VolumePlan) {
        for (volume, claim) in &plan.prebind {
            if self.assumed.get(volume) == Some(claim) {
                self.assumed.remove(volume);
            }
        }
    }

    /// How a pod's claims, which exist, get their volumes on a node; or why they do not.
    pub fn plan(
        &self,
        claims: &[&ClaimFacts],
        node: &NodeFacts,
    ) -> Result<VolumePlan, Vec<Conflict>> {
        let mut conflicts = Vec::new();
        for claim in claims.iter().filter(|claim| claim.bound) {
            match self.volumes.get(&claim.volume) {
                None => conflicts.push(Conflict::Gone),
                Some(volume) if !volume.allows(node) => conflicts.push(Conflict::Affinity),
                Some(_) => {}
            }
        }
        let mut unbound: Vec<&ClaimFacts> =
            claims.iter().filter(|claim| !claim.bound).copied().collect();
        // Small ones first, so that they do not take the big volumes.
        unbound.sort_by_key(|claim| claim.bytes);
        let mut plan = VolumePlan::default();
        for claim in unbound {
            conflicts.extend(self.plan_one(claim, node, &mut plan).err());
        }
        if conflicts.is_empty() { Ok(plan) } else { Err(conflicts) }
    }

    fn plan_one(
        &self,
        claim: &ClaimFacts,
        node: &NodeFacts,
        plan: &mut VolumePlan,
    ) -> Result<(), Conflict> {
        match &claim.selected_node {
            Some(selected) if *selected != node.name => return Err(Conflict::NoVolume),
            Some(_) => {}
            None => {
                let taken = |name: &str| plan.prebind.iter().any(|(volume, _)| volume == name);
                if let Some(volume) = self.find_volume(claim, node, taken) {
                    plan.prebind.push((volume.name.clone(), claim.key.clone()));
                    return Ok(());
                }
            }
        }
        let class = self.classes.get(&claim.class).filter(|class| class.can_provision_on(node));
        let Some(class) = class else { return Err(Conflict::NoVolume) };
        if !self.csi.has_room(&class.provisioner, &claim.class, claim.bytes, node) {
            return Err(Conflict::NoRoom);
        }
        plan.provision.push(claim.key.clone());
        Ok(())
    }

    /// The volume reserved for a claim, or the smallest that fits.
    fn find_volume(
        &self,
        claim: &ClaimFacts,
        node: &NodeFacts,
        taken: impl Fn(&str) -> bool,
    ) -> Option<&VolumeFacts> {
        let free = |volume: &&VolumeFacts| {
            let assumed = self.assumed.get(&volume.name);
            !taken(&volume.name) && assumed.is_none_or(|by| *by == claim.key)
        };
        let fitting: Vec<&VolumeFacts> =
            self.volumes.values().filter(|v| v.serves(claim)).filter(free).collect();
        if let Some(reserved) = fitting.iter().find(|volume| volume.is_for(claim)) {
            return reserved.allows(node).then_some(*reserved);
        }
        let selected = |labels| claim.selector.as_ref().is_none_or(|s| selects(s, labels));
        let candidates = fitting.into_iter().filter(|volume| {
            volume.claim.is_none()
                && volume.available
                && volume.class == claim.class
                && selected(&volume.labels)
                && volume.allows(node)
        });
        candidates.min_by_key(|volume| volume.bytes)
    }

    /// Whether the claims of a pod that goes to `node` are bound by now. Call it after the plan's
    /// writes have returned and were taken in.
    pub fn standing(&self, claims: &[Key], node: &NodeFacts) -> Standing {
        let mut pending = false;
        for key in claims {
            let name = &*key.name;
            let Some(claim) = self.claims.get(key) else {
                return Standing::Failed(format!("persistentvolumeclaim {name:?} not found"));
            };
            if claim.deleting {
                return Standing::Failed(format!(
                    "persistentvolumeclaim {name:?} is being deleted"
                ));
            }
            if claim.bound {
                match self.volumes.get(&claim.volume) {
                    Some(volume) if !volume.allows(node) => {
                        let text = format!(
                            "pv {:?} node affinity doesn't match node {:?}",
                            claim.volume, node.name
                        );
                        return Standing::Failed(text);
                    }
                    Some(_) => {}
                    // The volume's own watch has not told of it yet.
                    None => pending = true,
                }
                continue;
            }
            pending = true;
            let given_up =
                claim.selected_node.as_ref().is_none_or(|selected| *selected != node.name);
            let prebound = self.volumes.values().any(|volume| volume.is_for(claim));
            if given_up && !prebound && claim.volume.is_empty() {
                return Standing::Failed(format!("provisioning failed for PVC {name:?}"));
            }
        }
        if pending { Standing::Pending } else { Standing::Bound }
    }
}

fn bytes(quantity: &Quantity) -> i64 {
    quantity.0.parse::<kd_api::quantity::Quantity>().map_or(0, |quantity| quantity.value())
}

fn is_older(version: &str, than: &str) -> bool {
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    number(version) < number(than)
}

//! The claims of a StatefulSet's pods: made once per template and ordinal, and kept or given away
//! with set and pod as the retention policy says.

use kd_client::{Key, resources};
use serde_json::{Value, json};

use super::{Member, Sync};
use crate::Step;
use crate::claims::owner_reference;

impl Sync<'_> {
    fn templates(&self) -> &[Value] {
        self.json["spec"]["volumeClaimTemplates"].as_array().map_or(&[], Vec::as_slice)
    }

    /// The volumes that claims stand behind, and the claims' names.
    pub(super) fn claim_names(&self, ordinal: i32) -> Vec<(&str, String)> {
        let names = self.templates().iter().filter_map(|t| t["metadata"]["name"].as_str());
        names.map(|name| (name, format!("{name}-{}", self.pod_name(ordinal)))).collect()
    }

    fn claim_key(&self, name: &str) -> Key {
        Key::new(&self.object.metadata.namespace, name)
    }

    /// Creates the claims of a pod that are not there. None: an old claim is still on its way out.
    pub(super) fn create_claims(&self, ordinal: i32) -> Option<Vec<Step>> {
        let names = self.claim_names(ordinal);
        let mut steps = Vec::new();
        for (template, (_, name)) in self.templates().iter().zip(&names) {
            let resource = &resources::PERSISTENT_VOLUME_CLAIMS;
            match self.view.object(resource, &self.claim_key(name)) {
                None => steps.push(self.create_claim(template, name, ordinal)),
                Some(claim) if claim.metadata.is_deleting() => return None,
                Some(claim) => {
                    // It belongs to an earlier pod of this name and goes with that.
                    let pod = self.pod_name(ordinal);
                    let mut owners = claim.metadata.owner_references.iter();
                    if owners.any(|o| o.kind == "Pod" && o.name == pod && !self.is_member(&o.uid)) {
                        return None;
                    }
                }
            }
        }
        Some(steps)
    }

    fn is_member(&self, uid: &str) -> bool {
        self.members.iter().any(|member| member.state.object.metadata.uid == uid)
    }

    fn create_claim(&self, template: &Value, name: &str, ordinal: i32) -> Step {
        let (pod, set) = (self.pod_name(ordinal), &self.object.metadata.name);
        let mut labels = template["metadata"]["labels"].clone();
        for (label, value) in self.spec.selector.match_labels.iter().flatten() {
            labels[label] = json!(value);
        }
        let mut metadata = template["metadata"].clone();
        metadata["name"] = json!(name);
        metadata["namespace"] = json!(self.object.metadata.namespace);
        metadata["labels"] = labels;
        let (when_deleted, _) = self.retention();
        if when_deleted {
            metadata["ownerReferences"] =
                json!([owner_reference(&resources::STATEFUL_SETS, self.object)]);
        }
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": metadata, "spec": template["spec"]});
        let done = format!("create Claim {name} Pod {pod} in StatefulSet {set} success");
        let failed =
            format!("create Claim {name} for Pod {pod} in StatefulSet {set} failed error: {{}}");
        let resource = &resources::PERSISTENT_VOLUME_CLAIMS;
        Step::create(resource, &self.object.metadata.namespace, &claim)
            .telling(self.notice("SuccessfulCreate", done))
            .complaining(self.warning("FailedCreate", failed))
    }

    /// Whether claims go with the set, and with pods that are scaled away.
    fn retention(&self) -> (bool, bool) {
        let policy = self.spec.persistent_volume_claim_retention_policy.as_ref();
        let deletes = |choice: Option<&String>| choice.is_some_and(|choice| choice == "Delete");
        let when_deleted = deletes(policy.and_then(|p| p.when_deleted.as_ref()));
        (when_deleted, deletes(policy.and_then(|p| p.when_scaled.as_ref())))
    }

    /// Brings the owners of a pod's claims in line with the policy.
    pub(super) fn own_claims(&self, member: &Member) -> Vec<Step> {
        let (when_deleted, when_scaled) = self.retention();
        let leaves = when_scaled && !self.in_range(member.ordinal);
        let set = (when_deleted && !leaves)
            .then(|| owner_reference(&resources::STATEFUL_SETS, self.object));
        let pod = &member.state.object.metadata;
        let pod_owner = leaves
            .then(|| json!({"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}));
        let names = self.claim_names(member.ordinal);
        let steps = names.iter().filter_map(|(_, name)| {
            let resource = &resources::PERSISTENT_VOLUME_CLAIMS;
            let claim = self.view.object(resource, &self.claim_key(name))?;
            let uids = [self.object.metadata.uid.as_str(), pod.uid.as_str()];
            let mut json: Value = claim.decode()?;
            let before = json["metadata"]["ownerReferences"].as_array().cloned();
            let before = before.unwrap_or_default();
            let wanted = |uid: &str| match uid == uids[0] {
                true => set.is_some(),
                false => pod_owner.is_some(),
            };
            let has = |uid: &str| before.iter().any(|owner| owner["uid"] == uid);
            if uids.iter().all(|uid| has(uid) == wanted(uid)) {
                return None;
            }
            let ours = |owner: &Value| uids.iter().any(|uid| owner["uid"] == *uid);
            let mut owners: Vec<Value> = before.iter().filter(|o| !ours(o)).cloned().collect();
            owners.extend(set.clone());
            owners.extend(pod_owner.clone());
            json["metadata"]["ownerReferences"] = json!(owners);
            Some(Step::update(resource, claim.key(), &json))
        });
        steps.collect()
    }
}

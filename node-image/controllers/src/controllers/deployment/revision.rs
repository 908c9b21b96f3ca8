//! Revisions: which ReplicaSet has the current template, what it is called, which number it has.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kd_client::{EventType, Key, PatchKind, resources};
use serde_json::{Value, json};

use super::{DESIRED, HASH, MAX, REVISION, Rollout, deployment_event, set_key, to_json};
use crate::claims::owner_reference;
use crate::history::template_hash;
use crate::{Plan, Step};

const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// Annotations of a Deployment that its ReplicaSets do not inherit.
const OWN_ANNOTATIONS: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];
/// Whether a ReplicaSet was made of the Deployment's current template.
pub(super) fn same_template(deployment: &Deployment, set: &ReplicaSet) -> bool {
    let Some(mut theirs) = set.spec.as_ref().and_then(|s| s.template.clone()) else { return false };
    if let Some(labels) = theirs.metadata.as_mut().and_then(|m| m.labels.as_mut()) {
        labels.remove(HASH);
    }
    deployment.spec.as_ref().is_some_and(|spec| spec.template == theirs)
}

/// The revision number of a ReplicaSet, 0 when it has none.
pub(super) fn revision_of(set: &ReplicaSet) -> i64 {
    super::annotation(set, REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl Rollout<'_> {
    fn next_revision(&self) -> i64 {
        self.old.iter().map(revision_of).max().unwrap_or(0) + 1
    }

    fn inherited_annotations(&self) -> BTreeMap<String, String> {
        let all = self.deployment.metadata.annotations.clone().unwrap_or_default();
        all.into_iter().filter(|(name, _)| !OWN_ANNOTATIONS.contains(&name.as_str())).collect()
    }

    fn collisions(&self) -> i32 {
        self.deployment.status.as_ref().and_then(|s| s.collision_count).unwrap_or(0)
    }

    /// Creates the ReplicaSet of the current template.
    pub(super) fn create_new(&self) -> Plan {
        let Some(spec) = self.deployment.spec.as_ref() else { return Plan::nothing() };
        let hash = template_hash(&to_json(&spec.template), self.collisions());
        let metadata = &self.object.metadata;
        let name = format!("{}-{hash}", metadata.name);
        let key = Key::new(&metadata.namespace, &name);
        if self.view.object(&resources::REPLICA_SETS, &key).is_some() {
            return self.count_collision();
        }
        let size = self.first_size();
        let mut template = to_json(&spec.template);
        template["metadata"]["labels"][HASH] = json!(hash);
        let mut selector = to_json(&spec.selector);
        selector["matchLabels"][HASH] = json!(hash);
        let mut annotations = self.inherited_annotations();
        let max = self.replicas() + self.max_surge();
        annotations.insert(REVISION.into(), self.next_revision().to_string());
        annotations.insert(DESIRED.into(), self.replicas().to_string());
        annotations.insert(MAX.into(), max.to_string());
        let set = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": name, "namespace": metadata.namespace,
                "labels": template["metadata"]["labels"], "annotations": annotations,
                "ownerReferences": [owner_reference(&resources::DEPLOYMENTS, self.object)]},
            "spec": {"replicas": size, "minReadySeconds": spec.min_ready_seconds.unwrap_or(0),
                "selector": selector, "template": template},
        });
        let failed = "Failed to create new replica set \"{}\": {}".replacen("{}", &name, 1);
        let failed =
            deployment_event(self.object, EventType::Warning, "ReplicaSetCreateError", failed);
        let mut step =
            Step::create(&resources::REPLICA_SETS, &metadata.namespace, &set).complaining(failed);
        if size > 0 {
            step = step.telling(self.scaled_event(&name, 0, size));
        }
        Plan::one(step)
    }

    /// Another object has the name: the next hash takes one more collision in.
    fn count_collision(&self) -> Plan {
        let mut updated = self.deployment.clone();
        let count = self.collisions() + 1;
        updated.status.get_or_insert_default().collision_count = Some(count);
        Plan::one(Step::update_status(&resources::DEPLOYMENTS, self.object.key(), &updated))
    }

    /// Brings the annotations of the new ReplicaSet, then those of the Deployment, up to date.
    pub(super) fn annotate(&self) -> Option<Step> {
        let new = self.new.as_ref()?;
        let have = new.metadata.annotations.clone().unwrap_or_default();
        let mut wanted = self.inherited_annotations();
        let (next, current) = (self.next_revision(), revision_of(new));
        if next > current {
            wanted.insert(REVISION.into(), next.to_string());
            if current > 0 {
                let before = have.get(HISTORY).map(|h| format!("{h},")).unwrap_or_default();
                wanted.insert(HISTORY.into(), format!("{before}{current}"));
            }
        }
        let min_ready =
            self.deployment.spec.as_ref().and_then(|s| s.min_ready_seconds).unwrap_or(0);
        let stale = new.spec.as_ref().and_then(|s| s.min_ready_seconds).unwrap_or(0) != min_ready;
        let missing = wanted.iter().any(|(name, value)| have.get(name) != Some(value));
        if missing || stale {
            let patch = json!({
                "metadata": {"annotations": wanted, "resourceVersion": new.metadata.resource_version},
                "spec": {"minReadySeconds": min_ready},
            });
            let kind = PatchKind::Merge;
            return Some(Step::patch(&resources::REPLICA_SETS, set_key(new), "", kind, patch));
        }
        let own = self.deployment.metadata.annotations.as_ref();
        let told = own.and_then(|all| all.get(REVISION)).map(String::as_str);
        if told == Some(current.to_string().as_str()) {
            return None;
        }
        // Upstream's role of this controller may update Deployments, not patch them. Through their
        // status an annotation is no new generation.
        let mut updated: Value = self.object.decode()?;
        updated["metadata"]["annotations"][REVISION] = current.to_string().into();
        Some(Step::update_status(&resources::DEPLOYMENTS, self.object.key(), &updated))
    }
}

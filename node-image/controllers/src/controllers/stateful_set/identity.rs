//! What makes a pod of a StatefulSet that pod: its name, its labels, its host name, its volumes.

use kd_client::{PatchKind, resources};
use serde_json::{Value, json};

use super::{Member, REVISION, Sync};
use crate::Step;
use crate::history::Revision;
use crate::pods::pod_from_template;

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The ordinal of a pod called `<set>-<ordinal>`.
pub(super) fn ordinal_of(pod: &str, set: &str) -> Option<i32> {
    let digits = pod.strip_prefix(set)?.strip_prefix('-')?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

impl Sync<'_> {
    pub(super) fn pod_name(&self, ordinal: i32) -> String {
        format!("{}-{ordinal}", self.object.metadata.name)
    }

    /// The revision that a new pod is made of: the old one below the partition.
    fn revision_for(&self, ordinal: i32) -> &Revision {
        let rolling = self.spec.update_strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
        let kept = match rolling {
            Some(rolling) => rolling.partition.unwrap_or(0),
            None => self.set.status.as_ref().and_then(|s| s.current_replicas).unwrap_or(0),
        };
        let old = self.rolls() && ordinal < self.start().saturating_add(kept);
        if old { &self.current } else { &self.update }
    }

    /// A pod that is not there yet.
    pub(super) fn create(&self, ordinal: i32) -> Step {
        let revision = self.revision_for(ordinal);
        let resource = &resources::STATEFUL_SETS;
        let name = self.pod_name(ordinal);
        let mut pod = pod_from_template(resource, self.object, &revision.template());
        let metadata = &mut pod["metadata"];
        metadata["name"] = json!(name);
        metadata["labels"][POD_NAME] = json!(name);
        metadata["labels"][POD_INDEX] = json!(ordinal.to_string());
        metadata["labels"][REVISION] = json!(revision.name());
        pod["spec"]["hostname"] = json!(name);
        if let Some(service) = self.spec.service_name.as_ref().filter(|name| !name.is_empty()) {
            pod["spec"]["subdomain"] = json!(service);
        }
        self.mount_claims(&mut pod, ordinal);
        let set = &self.object.metadata.name;
        let done = format!("create Pod {name} in StatefulSet {set} successful");
        let failed = format!("create Pod {name} in StatefulSet {set} failed error: {{}}");
        Step::create(&resources::PODS, &self.object.metadata.namespace, &pod)
            .telling(self.notice("SuccessfulCreate", done))
            .complaining(self.warning("FailedCreate", failed))
    }

    /// The volumes of the claim templates stand before the template's own, and instead of those of
    /// their names.
    fn mount_claims(&self, pod: &mut Value, ordinal: i32) {
        let claims = self.claim_names(ordinal);
        if claims.is_empty() {
            return;
        }
        let mut volumes: Vec<Value> = claims
            .iter()
            .map(|(volume, claim)| {
                json!({"name": volume, "persistentVolumeClaim": {"claimName": claim}})
            })
            .collect();
        let own = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        let replaced = |volume: &Value| claims.iter().any(|(name, _)| volume["name"] == **name);
        volumes.extend(own.into_iter().filter(|volume| !replaced(volume)));
        pod["spec"]["volumes"] = json!(volumes);
    }

    pub(super) fn delete(&self, member: &Member) -> Step {
        let pod = &member.state.object;
        let (name, set) = (&pod.metadata.name, &self.object.metadata.name);
        let done = format!("delete Pod {name} in StatefulSet {set} successful");
        let failed = format!("delete Pod {name} in StatefulSet {set} failed error: {{}}");
        let options = kd_client::DeleteOptions::of(&pod.metadata.uid);
        Step::delete(&resources::PODS, pod.key(), options)
            .telling(self.notice("SuccessfulDelete", done))
            .complaining(self.warning("FailedDelete", failed))
    }

    /// Gives an adopted pod the labels that it lacks.
    pub(super) fn identify(&self, member: &Member) -> Option<Step> {
        let pod = &member.state.object;
        let name = &pod.metadata.name;
        let ordinal = member.ordinal.to_string();
        let have = |label: &str| pod.metadata.labels.get(label);
        if have(POD_NAME) == Some(name) && have(POD_INDEX) == Some(&ordinal) {
            return None;
        }
        let patch = json!({"metadata": {"uid": pod.metadata.uid,
            "labels": {POD_NAME: name, POD_INDEX: ordinal}}});
        let set = &self.object.metadata.name;
        let done = format!("update Pod {name} in StatefulSet {set} successful");
        let failed = format!("update Pod {name} in StatefulSet {set} failed error: {{}}");
        let step = Step::patch(&resources::PODS, pod.key(), "", PatchKind::Strategic, patch);
        Some(
            step.telling(self.notice("SuccessfulUpdate", done))
                .complaining(self.warning("FailedUpdate", failed)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals() {
        let check = |pod: &str, expect: Option<i32>| {
            assert_eq!(ordinal_of(pod, "web"), expect, "{pod}");
        };
        check("web-0", Some(0));
        check("web-12", Some(12));
        check("web", None);
        check("web-", None);
        check("web-x", None);
        check("web-a-0", None);
        check("webs-0", None);
    }
}

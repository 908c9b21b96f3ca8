//! What a CSIDriver object says about its volumes, with upstream's answers when there is none. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::storage::v1::{CSIDriver, CSIDriverSpec, TokenRequest};

use super::record::Lifecycle;
use crate::pod::PodExt;

/// The rules for the volumes of one driver.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    spec: Option<CSIDriverSpec>,
}

impl Policy {
    /// Those of a driver's object, if it has one.
    pub fn of(driver: Option<CSIDriver>) -> Policy {
        Policy { spec: driver.map(|driver| driver.spec) }
    }

    fn says(&self, field: impl Fn(&CSIDriverSpec) -> Option<bool>) -> Option<bool> {
        self.spec.as_ref().and_then(field)
    }

    /// Whether volumes must be attached to the node first.
    pub fn is_attached(&self) -> bool {
        self.says(|spec| spec.attach_required) != Some(false)
    }

    /// Whether volumes are published again and again.
    pub fn is_republished(&self) -> bool {
        self.says(|spec| spec.requires_republish) == Some(true)
    }

    /// Whether tokens travel as secrets and not as attributes.
    pub fn has_secret_tokens(&self) -> bool {
        self.says(|spec| spec.service_account_token_in_secrets) == Some(true)
    }

    /// The tokens that the driver wants of the pod's account.
    pub fn tokens(&self) -> &[TokenRequest] {
        self.spec.as_ref().and_then(|spec| spec.token_requests.as_deref()).unwrap_or_default()
    }

    /// Whether volumes of such a life are the driver's business.
    pub fn checked(&self, driver: &str, lifecycle: Lifecycle) -> Result<(), String> {
        let (mode, persistent) = (lifecycle.as_str(), vec![Lifecycle::Persistent.as_str().into()]);
        let Some(spec) = &self.spec else {
            return match lifecycle {
                Lifecycle::Persistent => Ok(()),
                Lifecycle::Ephemeral => Err(format!(
                    "volume mode \"{mode}\" not supported by driver {driver} (no CSIDriver object)"
                )),
            };
        };
        let modes = spec.volume_lifecycle_modes.as_ref().filter(|modes| !modes.is_empty());
        let modes = modes.unwrap_or(&persistent);
        match modes.iter().any(|known| known == mode) {
            true => Ok(()),
            false => Err(format!(
                "volume mode \"{mode}\" not supported by driver {driver} (only supports {modes:?})"
            )),
        }
    }

    /// Whether the kubelet gives the files of a volume to the pod's group.
    pub fn gives_to_group(
        &self,
        fs_type: &str,
        access_modes: Option<&[String]>,
        read_only: bool,
    ) -> bool {
        if read_only {
            return false;
        }
        let policy = self.spec.as_ref().and_then(|spec| spec.fs_group_policy.as_deref());
        match policy.unwrap_or("ReadWriteOnceWithFSType") {
            "File" => true,
            "None" => false,
            _ => !fs_type.is_empty() && access_modes.is_none_or(is_one_writer),
        }
    }

    /// What is told of the pod, if anything.
    pub fn pod_info(&self, pod: &Pod, lifecycle: Lifecycle) -> BTreeMap<String, String> {
        if self.says(|spec| spec.pod_info_on_mount) != Some(true) {
            return BTreeMap::new();
        }
        let account = pod.spec().service_account_name.as_deref().unwrap_or_default();
        let ephemeral = lifecycle == Lifecycle::Ephemeral;
        let table = [
            ("pod.name", pod.name()),
            ("pod.namespace", pod.namespace()),
            ("pod.uid", pod.uid()),
            ("serviceAccount.name", account),
            ("ephemeral", if ephemeral { "true" } else { "false" }),
        ];
        let full = |(key, value): (&str, &str)| (format!("csi.storage.k8s.io/{key}"), value.into());
        table.map(full).into()
    }
}

fn is_one_writer(modes: &[String]) -> bool {
    modes.iter().any(|mode| matches!(mode.as_str(), "ReadWriteOnce" | "ReadWriteOncePod"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn policy(spec: Value) -> Policy {
        let driver = json!({"metadata": {"name": "d"}, "spec": spec});
        Policy::of(Some(serde_json::from_value(driver).unwrap()))
    }

    #[test]
    fn lives() {
        let check = |policy: Policy, lifecycle: Lifecycle, expect: Result<(), &str>| {
            assert_eq!(policy.checked("d", lifecycle), expect.map_err(str::to_owned));
        };
        check(Policy::default(), Lifecycle::Persistent, Ok(()));
        let text = "volume mode \"Ephemeral\" not supported by driver d (no CSIDriver object)";
        check(Policy::default(), Lifecycle::Ephemeral, Err(text));
        let text = "volume mode \"Ephemeral\" not supported by driver d (only supports \
                    [\"Persistent\"])";
        check(policy(json!({})), Lifecycle::Ephemeral, Err(text));
        let both = || policy(json!({"volumeLifecycleModes": ["Persistent", "Ephemeral"]}));
        check(both(), Lifecycle::Ephemeral, Ok(()));
        let only = policy(json!({"volumeLifecycleModes": ["Ephemeral"]}));
        let text = "volume mode \"Persistent\" not supported by driver d (only supports \
                    [\"Ephemeral\"])";
        check(only, Lifecycle::Persistent, Err(text));
    }

    #[test]
    fn groups() {
        let check = |spec: Value, fs_type: &str, modes: Option<&[&str]>, ro: bool, expect: bool| {
            let modes: Option<Vec<String>> =
                modes.map(|modes| modes.iter().map(|mode| (*mode).to_owned()).collect());
            let found = policy(spec).gives_to_group(fs_type, modes.as_deref(), ro);
            assert_eq!(found, expect, "{fs_type} {modes:?} {ro}");
        };
        let once: Option<&[&str]> = Some(&["ReadWriteOnce"]);
        check(json!({}), "ext4", once, false, true);
        check(json!({}), "ext4", once, true, false);
        check(json!({}), "", once, false, false);
        check(json!({}), "ext4", Some(&["ReadWriteMany"]), false, false);
        check(json!({}), "ext4", None, false, true);
        check(json!({"fsGroupPolicy": "File"}), "", Some(&["ReadWriteMany"]), false, true);
        check(json!({"fsGroupPolicy": "None"}), "ext4", once, false, false);
    }

    #[test]
    fn what_is_told_of_pods() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"serviceAccountName": "a", "containers": []}}))
        .unwrap();
        assert!(Policy::default().pod_info(&pod, Lifecycle::Ephemeral).is_empty());
        let told = policy(json!({"podInfoOnMount": true})).pod_info(&pod, Lifecycle::Ephemeral);
        assert_eq!(told["csi.storage.k8s.io/pod.name"], "p");
        assert_eq!(told["csi.storage.k8s.io/serviceAccount.name"], "a");
        assert_eq!(told["csi.storage.k8s.io/ephemeral"], "true");
    }

    #[test]
    fn defaults() {
        assert!(Policy::default().is_attached() && !Policy::default().is_republished());
        assert!(!policy(json!({"attachRequired": false})).is_attached());
        assert!(policy(json!({"requiresRepublish": true})).is_republished());
    }
}

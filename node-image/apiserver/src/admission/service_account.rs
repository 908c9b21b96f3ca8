//! ServiceAccount: every pod runs as one, with its token, the cluster's CA and its image pull
//! secrets.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kd_api::object::generated_name;
use kd_api::{Object, Status};
use ring::rand::SystemRandom;
use serde_json::{Value, json};

use super::forbidden;
use super::pod::{Reference, containers_mut, is_creation, is_mirror, refers_to};
use crate::request::{AdmissionAttributes, AdmissionPlugin, Operation, Reader};

const DEFAULT_NAME: &str = "default";
const VOLUME_PREFIX: &str = "kube-api-access-";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// An hour, and a little that tells such tokens from those someone asked for.
const TOKEN_LIFETIME_SECONDS: i64 = 3607;
/// How long the first pod of a new namespace waits for its account.
const DEFAULT_ACCOUNT_WAIT: Duration = Duration::from_secs(1);

pub(super) struct ServiceAccount {
    reader: Arc<dyn Reader>,
    random: SystemRandom,
}

impl ServiceAccount {
    pub(super) fn new(reader: Arc<dyn Reader>) -> Self {
        Self { reader, random: SystemRandom::new() }
    }

    async fn account(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let get = || self.reader.get("", "serviceaccounts", namespace, name);
        let mut revisions = self.reader.revisions();
        if let Some(account) = get() {
            return Some(account);
        }
        if name != DEFAULT_NAME {
            return None;
        }
        let created = async {
            // Ends when the account is there, or when nothing will ever be written again.
            while revisions.changed().await.is_ok() {
                if let Some(account) = get() {
                    return Some(account);
                }
            }
            None
        };
        tokio::time::timeout(DEFAULT_ACCOUNT_WAIT, created).await.ok().flatten()
    }

    fn mount_token(&self, pod: &mut Value) -> Result<(), Status> {
        let volumes = pod.list_at(&["spec", "volumes"]).iter();
        let existing = volumes.map(|volume| volume.str_at(&["name"]));
        let existing = existing.into_iter().find(|name| name.starts_with(VOLUME_PREFIX));
        let existing = existing.map(str::to_owned);
        let volume = match &existing {
            Some(name) => name.clone(),
            None => self.volume_name()?,
        };
        let mut mounted = false;
        for container in containers_mut(pod) {
            let mounts = container.list_at(&["volumeMounts"]);
            if mounts.iter().any(|mount| mount.str_at(&["mountPath"]) == MOUNT_PATH) {
                continue;
            }
            let mount = json!({"name": volume, "readOnly": true, "mountPath": MOUNT_PATH});
            push(container, "volumeMounts", mount);
            mounted = true;
        }
        if mounted && existing.is_none() {
            push(&mut pod["spec"], "volumes", token_volume(&volume));
        }
        Ok(())
    }

    fn volume_name(&self) -> Result<String, Status> {
        let random: [u8; 8] = ring::rand::generate(&self.random)
            .map_err(|_| Status::internal("no randomness for a volume name"))?
            .expose();
        Ok(generated_name(VOLUME_PREFIX, u64::from_ne_bytes(random)))
    }
}

#[async_trait]
impl AdmissionPlugin for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, attributes: &mut AdmissionAttributes<'_>) -> Result<(), Status> {
        if !is_creation(attributes) || is_mirror(&attributes.object) {
            return Ok(());
        }
        let name = match attributes.object.str_at(&["spec", "serviceAccountName"]) {
            "" => DEFAULT_NAME.to_owned(),
            name => name.to_owned(),
        };
        let namespace = &attributes.info.namespace;
        let Some(account) = self.account(namespace, &name).await else {
            return Err(not_found(attributes, &name));
        };
        let pod = &mut attributes.object;
        pod.set_at(&["spec", "serviceAccountName"], name.as_str().into());
        pod.set_at(&["spec", "serviceAccount"], name.as_str().into());
        let automount = [
            pod.at(&["spec", "automountServiceAccountToken"]),
            account.at(&["automountServiceAccountToken"]),
        ];
        if automount.into_iter().flatten().find_map(Value::as_bool).unwrap_or(true) {
            self.mount_token(pod)?;
        }
        let pull_secrets = account.list_at(&["imagePullSecrets"]);
        if pod.list_at(&["spec", "imagePullSecrets"]).is_empty() && !pull_secrets.is_empty() {
            pod.set_at(&["spec", "imagePullSecrets"], pull_secrets.to_vec().into());
        }
        Ok(())
    }

    async fn validate(&self, attributes: &AdmissionAttributes<'_>) -> Result<(), Status> {
        if !is_creation(attributes) {
            return Ok(());
        }
        let pod = &attributes.object;
        let account = pod.str_at(&["spec", "serviceAccountName"]);
        if is_mirror(pod) {
            return validate_mirror(attributes, pod, account);
        }
        match self.reader.get("", "serviceaccounts", &attributes.info.namespace, account) {
            Some(_) => Ok(()),
            None => Err(not_found(attributes, account)),
        }
    }
}

fn validate_mirror(
    attributes: &AdmissionAttributes<'_>,
    pod: &Value,
    account: &str,
) -> Result<(), Status> {
    if !account.is_empty() {
        return Err(forbidden(attributes, "a mirror pod may not reference service accounts"));
    }
    if refers_to(pod, Reference::Secret) {
        return Err(forbidden(attributes, "a mirror pod may not reference secrets"));
    }
    let has_token = |volume: &Value| {
        let sources = volume.list_at(&["projected", "sources"]);
        sources.iter().any(|source| source.get("serviceAccountToken").is_some())
    };
    if pod.list_at(&["spec", "volumes"]).iter().any(has_token) {
        let why = "a mirror pod may not use ServiceAccountToken volume projections";
        return Err(forbidden(attributes, why));
    }
    Ok(())
}

fn not_found(attributes: &AdmissionAttributes<'_>, name: &str) -> Status {
    let namespace = &attributes.info.namespace;
    let why = format!(
        "error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"
    );
    forbidden(attributes, why)
}

fn token_volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_LIFETIME_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ]}})
}

fn push(object: &mut Value, list: &str, element: Value) {
    match object.get_mut(list).and_then(Value::as_array_mut) {
        Some(list) => list.push(element),
        None => object.set_at(&[list], json!([element])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeReader, attributes, resource_info, user};

    async fn admit(spec: Value, account: Value) -> Result<Value, String> {
        let mut stored = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": "ns"}});
        for (field, value) in account.as_object().unwrap() {
            stored[field] = value.clone();
        }
        let plugin = ServiceAccount::new(FakeReader::with([stored]));
        let (info, who) = (resource_info("create", "pods", "ns", ""), user("x", &[]));
        let pod = json!({"metadata": {"name": "p"}, "spec": spec});
        let mut attributes = attributes(Operation::Create, &info, &who, pod);
        plugin.mutate(&mut attributes).await.map_err(|status| status.message)?;
        plugin.validate(&attributes).await.map_err(|status| status.message)?;
        Ok(attributes.object["spec"].clone())
    }

    #[tokio::test]
    async fn a_pod_gets_its_token() {
        let spec = admit(
            json!({"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]}),
            json!({}),
        )
        .await
        .unwrap();
        assert_eq!(spec["serviceAccountName"], "default");
        let volume = spec.list_at(&["volumes"])[0].clone();
        let name = volume.str_at(&["name"]);
        assert!(name.starts_with("kube-api-access-") && name.len() == 21, "{name}");
        let mount = json!([{"name": name, "readOnly": true, "mountPath": MOUNT_PATH}]);
        assert_eq!(spec["containers"][0]["volumeMounts"], mount);
        assert_eq!(spec["initContainers"][0]["volumeMounts"], mount);
        assert_eq!(
            volume["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"],
            3607
        );

        let own = json!([{"name": "mine", "mountPath": MOUNT_PATH}]);
        let spec = admit(json!({"containers": [{"name": "a", "volumeMounts": own}]}), json!({}))
            .await
            .unwrap();
        assert_eq!(spec.get("volumes"), None);
    }

    #[tokio::test]
    async fn the_first_pod_waits_for_the_default_account() {
        let reader = FakeReader::with([]);
        let plugin = ServiceAccount::new(reader.clone());
        let (found, ()) = tokio::join!(plugin.account("ns", "default"), async {
            for name in ["other", "default"] {
                tokio::task::yield_now().await;
                reader.put(json!({"apiVersion": "v1", "kind": "ServiceAccount",
                    "metadata": {"name": name, "namespace": "ns"}}));
            }
        });
        assert_eq!(found.unwrap().name(), "default");
        assert_eq!(plugin.account("ns", "no").await, None);
    }

    #[tokio::test]
    async fn the_account_decides() {
        let containers = || json!({"containers": [{"name": "a"}]});
        let spec =
            admit(containers(), json!({"automountServiceAccountToken": false})).await.unwrap();
        assert_eq!(spec.get("volumes"), None);
        let mut asks = containers();
        asks["automountServiceAccountToken"] = true.into();
        let spec = admit(asks, json!({"automountServiceAccountToken": false})).await.unwrap();
        assert_eq!(spec["volumes"].as_array().unwrap().len(), 1);
        let spec =
            admit(containers(), json!({"imagePullSecrets": [{"name": "pull"}]})).await.unwrap();
        assert_eq!(spec["imagePullSecrets"], json!([{"name": "pull"}]));
        assert_eq!(
            admit(json!({"serviceAccountName": "x", "containers": []}), json!({}))
                .await
                .unwrap_err(),
            "pods \"p\" is forbidden: error looking up service account ns/x: serviceaccount \"x\" not found"
        );
    }
}

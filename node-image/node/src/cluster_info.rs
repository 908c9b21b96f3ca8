//! `kube-public/cluster-info`, as upstream's installers make it: where the API server is and whom to
//! trust, readable for who knows no more than a bootstrap token.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kd_client::{Client, Resource};
use serde_json::{Value, json};

const NAMESPACE: &str = "kube-public";
const NAME: &str = "cluster-info";
const ROLE: &str = "kubeadm:bootstrap-signer-clusterinfo";

/// Makes what is missing; what is there is its owner's.
pub(crate) async fn publish(client: kube::Client, server: String, ca_certificate: String) {
    let client = Client::from(client);
    for (resource, object) in objects(&server, &ca_certificate) {
        match client.create(&resource, NAMESPACE, &object).await {
            Ok(_) => {}
            Err(error) if error.is_already_exists() => {}
            Err(error) => tracing::warn!(%error, "cannot publish how to reach the cluster"),
        }
    }
}

fn objects(server: &str, ca_certificate: &str) -> [(Resource, Value); 3] {
    let metadata = |name: &str| json!({"name": name, "namespace": NAMESPACE});
    let group = "rbac.authorization.k8s.io";
    let version = format!("{group}/v1");
    [
        (
            Resource::of::<ConfigMap>(),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(NAME),
                "data": {"kubeconfig": kubeconfig(server, ca_certificate)}}),
        ),
        (
            Resource::of::<Role>(),
            json!({"apiVersion": version, "kind": "Role", "metadata": metadata(ROLE), "rules": [
                {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [NAME],
                    "verbs": ["get"]}]}),
        ),
        (
            Resource::of::<RoleBinding>(),
            json!({"apiVersion": version, "kind": "RoleBinding", "metadata": metadata(ROLE),
                "roleRef": {"apiGroup": group, "kind": "Role", "name": ROLE},
                "subjects": [{"apiGroup": group, "kind": "User", "name": "system:anonymous"}]}),
        ),
    ]
}

/// Without users and contexts: a token makes it whole.
fn kubeconfig(server: &str, ca_certificate: &str) -> String {
    let authority = BASE64_STANDARD.encode(ca_certificate);
    format!(
        "apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {authority}
    server: {server}
  name: \"\"
contexts: null
current-context: \"\"
kind: Config
users: null
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anybody_may_read_it_and_nothing_else() {
        let [(_, map), (_, role), _] = objects("https://x:6443", "PEM");
        let text = map["data"]["kubeconfig"].as_str().unwrap();
        assert!(text.contains("server: https://x:6443\n"), "{text}");
        assert!(text.contains("certificate-authority-data: UEVN\n"), "{text}");
        assert_eq!(role["rules"][0]["resourceNames"], json!([NAME]));
        assert_eq!(role["rules"][0]["verbs"], json!(["get"]));
    }
}

//! What every namespace begins with, there from its first moment: the ServiceAccount `default` and
//! the ConfigMap `kube-root-ca.crt`, which pods are admitted with.

use kd_api::{Kind, Object};
use kd_store::{Expect, Transaction};
use serde_json::{Value, json};

use crate::server::ApiServer;
use crate::storage::{encode, key_of};
use crate::verbs::set_system_fields;

const ROOT_CA_DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

/// Writes them for a new namespace.
pub(crate) fn transaction(server: &ApiServer, namespace: &Value) -> Transaction {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default"}});
    let root_ca = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "kube-root-ca.crt",
            "annotations": {"kubernetes.io/description": ROOT_CA_DESCRIPTION}},
        "data": {"ca.crt": server.config.ca_certificate_pem}});
    let kinds = server.objects.kinds();
    let mut transaction = Transaction::new();
    for (plural, mut object) in [("serviceaccounts", account), ("configmaps", root_ca)] {
        let Some(kind): Option<&std::sync::Arc<Kind>> = kinds.preferred("", plural) else {
            continue;
        };
        object.set_namespace(namespace.name());
        set_system_fields(server, &mut object);
        let key = key_of(kind, namespace.name(), object.name());
        // What a namespace of the same name left behind is not touched.
        if server.objects.store.get(&key).is_none() {
            transaction = transaction.put(key, encode(&object), Expect::Absent);
        }
    }
    transaction
}

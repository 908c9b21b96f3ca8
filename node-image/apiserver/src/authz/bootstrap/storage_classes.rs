//! The class of claims that name none: directories of the nodes.

use serde_json::{Value, json};

/// The built-in provisioner, which the controllers run.
const PROVISIONER: &str = "kd.dev/local-path";

pub(super) fn objects() -> impl Iterator<Item = Value> {
    let default = "storageclass.kubernetes.io/is-default-class";
    std::iter::once(json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": {default: "true"}},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }))
}

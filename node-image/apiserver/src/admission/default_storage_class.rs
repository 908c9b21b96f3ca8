//! DefaultStorageClass: claims that name no class get the default one.

use std::sync::Arc;

use async_trait::async_trait;
use kd_api::{Object, Status};

use super::newest_default;
use crate::request::{AdmissionAttributes, AdmissionPlugin, Operation, Reader};

/// Marks the default class; the newest such class wins.
const DEFAULT_ANNOTATIONS: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];
/// The form of `spec.storageClassName` before it was a field.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

pub(super) struct DefaultStorageClass {
    reader: Arc<dyn Reader>,
}

impl DefaultStorageClass {
    pub(super) fn new(reader: Arc<dyn Reader>) -> Self {
        Self { reader }
    }
}

#[async_trait]
impl AdmissionPlugin for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, attributes: &mut AdmissionAttributes<'_>) -> Result<(), Status> {
        let claim = &attributes.object;
        let decided = claim.at(&["spec", "storageClassName"]).is_some_and(|name| !name.is_null())
            || claim.annotation(CLASS_ANNOTATION).is_some();
        if !attributes.is("", "persistentvolumeclaims", "") || decided {
            return Ok(());
        }
        let reader = self.reader.as_ref();
        let class =
            newest_default(reader, "storage.k8s.io", "storageclasses", &DEFAULT_ANNOTATIONS);
        if let Some(class) = class {
            attributes.object.set_at(&["spec", "storageClassName"], class.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeReader, attributes, resource_info, user};
    use serde_json::json;

    #[tokio::test]
    async fn the_newest_default() {
        let class = |name: &str, default: &str, time: &str| {
            json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": name, "creationTimestamp": time, "annotations": {DEFAULT_ANNOTATIONS[0]: default}}})
        };
        let plugin = DefaultStorageClass::new(FakeReader::with([
            class("a", "true", "2026-01-01T00:00:00Z"),
            class("b", "true", "2026-01-02T00:00:00Z"),
            class("c", "false", "2026-01-03T00:00:00Z"),
        ]));
        let (info, who) =
            (resource_info("create", "persistentvolumeclaims", "ns", "c"), user("x", &[]));
        for (spec, expect) in [(json!({}), "b"), (json!({"storageClassName": ""}), "")] {
            let mut attributes = attributes(Operation::Create, &info, &who, json!({"spec": spec}));
            plugin.mutate(&mut attributes).await.unwrap();
            assert_eq!(attributes.object["spec"]["storageClassName"], expect);
        }
    }
}

//! StorageObjectInUseProtection: claims, volumes and classes of their attributes get the finalizer
//! that keeps them while in use.

use async_trait::async_trait;
use kd_api::{Object, Status};

use crate::request::{AdmissionAttributes, AdmissionPlugin, Operation};

/// Group, resource, finalizer.
const FINALIZERS: [(&str, &str, &str); 3] = [
    ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("", "persistentvolumes", "kubernetes.io/pv-protection"),
    ("storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection"),
];

pub(super) struct StorageObjectInUseProtection;

#[async_trait]
impl AdmissionPlugin for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, attributes: &mut AdmissionAttributes<'_>) -> Result<(), Status> {
        for (group, resource, finalizer) in FINALIZERS {
            let object = &attributes.object;
            if attributes.is(group, resource, "") && !object.finalizers().contains(&finalizer) {
                let mut finalizers: Vec<String> =
                    object.finalizers().into_iter().map(str::to_owned).collect();
                finalizers.push(finalizer.to_owned());
                attributes.object.set_finalizers(finalizers);
            }
        }
        Ok(())
    }
}

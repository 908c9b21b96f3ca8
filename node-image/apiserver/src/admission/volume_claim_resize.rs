//! PersistentVolumeClaimResize: only a class that allows it lets a claim grow.

use std::sync::Arc;

use async_trait::async_trait;
use kd_api::quantity::Quantity;
use kd_api::{Object, Status};
use serde_json::Value;

use super::forbidden;
use crate::request::{AdmissionAttributes, AdmissionPlugin, Operation, Reader};

pub(super) struct PersistentVolumeClaimResize {
    reader: Arc<dyn Reader>,
}

impl PersistentVolumeClaimResize {
    pub(super) fn new(reader: Arc<dyn Reader>) -> Self {
        Self { reader }
    }
}

#[async_trait]
impl AdmissionPlugin for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    async fn validate(&self, attributes: &AdmissionAttributes<'_>) -> Result<(), Status> {
        let Some(old) =
            attributes.old.as_ref().filter(|_| attributes.is("", "persistentvolumeclaims", ""))
        else {
            return Ok(());
        };
        let size = |claim: &Value| {
            let request = claim.at(&["spec", "resources", "requests", "storage"])?;
            Quantity::from_json(request).ok()
        };
        let bound = old.str_at(&["status", "phase"]) == "Bound";
        let grows = match (size(old), size(&attributes.object)) {
            (Some(before), Some(after)) => after > before,
            _ => false,
        };
        if !grows {
            return Ok(());
        }
        if !bound {
            return Err(forbidden(
                attributes,
                "Only bound persistent volume claims can be expanded",
            ));
        }
        let class = old.str_at(&["spec", "storageClassName"]);
        let class = self.reader.get("storage.k8s.io", "storageclasses", "", class);
        if class.is_some_and(|class| class.bool_at(&["allowVolumeExpansion"])) {
            return Ok(());
        }
        let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
        Err(forbidden(attributes, why))
    }
}

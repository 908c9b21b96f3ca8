//! PodTopologyLabels: a binding carries its node's zone and region, which the pod gets as labels.

use std::sync::Arc;

use async_trait::async_trait;
use kd_api::{Object, Status};

use crate::request::{AdmissionAttributes, AdmissionPlugin, Operation, Reader};

const LABELS: [&str; 2] = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"];

pub(super) struct PodTopologyLabels {
    reader: Arc<dyn Reader>,
}

impl PodTopologyLabels {
    pub(super) fn new(reader: Arc<dyn Reader>) -> Self {
        Self { reader }
    }
}

#[async_trait]
impl AdmissionPlugin for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, attributes: &mut AdmissionAttributes<'_>) -> Result<(), Status> {
        let binding = attributes.is("", "pods", "binding") || attributes.is("", "bindings", "");
        if !binding || attributes.object.str_at(&["target", "kind"]) != "Node" {
            return Ok(());
        }
        let node = attributes.object.str_at(&["target", "name"]);
        let Some(node) = self.reader.get("", "nodes", "", node) else { return Ok(()) };
        for label in LABELS {
            if let Some(value) = node.label(label) {
                attributes.object.set_label(label, value);
            }
        }
        Ok(())
    }
}

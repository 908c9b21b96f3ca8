//! DefaultIngressClass: ingresses that name no class get the default one.

use std::sync::Arc;

use async_trait::async_trait;
use kd_api::{Object, Status};

use super::newest_default;
use crate::request::{AdmissionAttributes, AdmissionPlugin, Operation, Reader};

const GROUP: &str = "networking.k8s.io";
const DEFAULT_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";
/// The form of `spec.ingressClassName` before it was a field.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

pub(super) struct DefaultIngressClass {
    reader: Arc<dyn Reader>,
}

impl DefaultIngressClass {
    pub(super) fn new(reader: Arc<dyn Reader>) -> Self {
        Self { reader }
    }
}

#[async_trait]
impl AdmissionPlugin for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, attributes: &mut AdmissionAttributes<'_>) -> Result<(), Status> {
        let ingress = &attributes.object;
        let decided = ingress.at(&["spec", "ingressClassName"]).is_some_and(|name| !name.is_null())
            || ingress.annotation(CLASS_ANNOTATION).is_some();
        if !attributes.is(GROUP, "ingresses", "") || decided {
            return Ok(());
        }
        let reader = self.reader.as_ref();
        if let Some(class) = newest_default(reader, GROUP, "ingressclasses", &[DEFAULT_ANNOTATION])
        {
            attributes.object.set_at(&["spec", "ingressClassName"], class.into());
        }
        Ok(())
    }
}

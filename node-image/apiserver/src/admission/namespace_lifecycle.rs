//! NamespaceLifecycle: nothing is created in a namespace that is missing or ending; the namespaces of
//! the system stay.

use std::sync::Arc;

use async_trait::async_trait;
use kd_api::{Object, Status, StatusCause};

use super::forbidden;
use crate::request::{AdmissionAttributes, AdmissionPlugin, Operation, Reader};

const IMMORTAL: [&str; 3] = ["default", "kube-public", "kube-system"];

pub(super) struct NamespaceLifecycle {
    reader: Arc<dyn Reader>,
}

impl NamespaceLifecycle {
    pub(super) fn new(reader: Arc<dyn Reader>) -> Self {
        Self { reader }
    }
}

#[async_trait]
impl AdmissionPlugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation != Operation::Connect
    }

    async fn mutate(&self, attributes: &mut AdmissionAttributes<'_>) -> Result<(), Status> {
        let info = attributes.info;
        let is_namespace = info.group.is_empty() && info.resource == "namespaces";
        if is_namespace {
            let removed =
                attributes.operation == Operation::Delete && IMMORTAL.contains(&info.name.as_str());
            return match removed {
                true => Err(forbidden(attributes, "this namespace may not be deleted")),
                false => Ok(()),
            };
        }
        let review = info.resource == "localsubjectaccessreviews";
        if info.namespace.is_empty() || attributes.operation == Operation::Delete || review {
            return Ok(());
        }
        let namespace = self
            .reader
            .get("", "namespaces", "", &info.namespace)
            .ok_or_else(|| Status::not_found("", "namespaces", &info.namespace))?;
        let ending =
            namespace.str_at(&["status", "phase"]) == "Terminating" || namespace.is_terminating();
        if ending && attributes.operation == Operation::Create {
            return Err(terminating(attributes));
        }
        Ok(())
    }
}

fn terminating(attributes: &AdmissionAttributes<'_>) -> Status {
    let namespace = &attributes.info.namespace;
    let mut status = forbidden(
        attributes,
        format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        ),
    );
    status.details.get_or_insert_default().causes.push(StatusCause {
        reason: "NamespaceTerminating".into(),
        message: format!("namespace {namespace} is being terminated"),
        field: "metadata.namespace".into(),
    });
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeReader, attributes, resource_info, user};
    use serde_json::{Value, json};

    async fn check(
        operation: Operation,
        resource: &str,
        namespace: &str,
        name: &str,
        expect: &str,
    ) {
        let namespaces = [("default", "Active"), ("ending", "Terminating")].map(|(name, phase)| {
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "status": {"phase": phase}})
        });
        let plugin = NamespaceLifecycle::new(FakeReader::with(namespaces));
        let (info, who) = (resource_info("", resource, namespace, name), user("x", &[]));
        let mut attributes = attributes(operation, &info, &who, Value::Null);
        let got = plugin.mutate(&mut attributes).await.map_or_else(|s| s.message, |()| "ok".into());
        assert_eq!(got, expect);
    }

    #[tokio::test]
    async fn namespaces() {
        use Operation::*;
        check(Create, "pods", "default", "p", "ok").await;
        check(Create, "pods", "no", "p", "namespaces \"no\" not found").await;
        check(Update, "pods", "no", "p", "namespaces \"no\" not found").await;
        check(Delete, "pods", "no", "p", "ok").await;
        check(Create, "nodes", "", "n", "ok").await;
        check(Update, "pods", "ending", "p", "ok").await;
        check(Create, "pods", "ending", "p", "pods \"p\" is forbidden: unable to create new content in namespace ending because it is being terminated").await;
        check(
            Delete,
            "namespaces",
            "default",
            "default",
            "namespaces \"default\" is forbidden: this namespace may not be deleted",
        )
        .await;
        check(Delete, "namespaces", "ending", "ending", "ok").await;
    }
}

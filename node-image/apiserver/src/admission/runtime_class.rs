//! RuntimeClass: what a pod's class costs and where it can run.

use std::sync::Arc;

use async_trait::async_trait;
use kd_api::{Object, Status};
use serde_json::Value;

use super::forbidden;
use super::pod::is_creation;
use crate::request::{AdmissionAttributes, AdmissionPlugin, Operation, Reader};

pub(super) struct RuntimeClass {
    reader: Arc<dyn Reader>,
}

impl RuntimeClass {
    pub(super) fn new(reader: Arc<dyn Reader>) -> Self {
        Self { reader }
    }

    fn class(&self, attributes: &AdmissionAttributes<'_>) -> Result<Option<Arc<Value>>, Status> {
        let name = attributes.object.str_at(&["spec", "runtimeClassName"]);
        if name.is_empty() {
            return Ok(None);
        }
        match self.reader.get("node.k8s.io", "runtimeclasses", "", name) {
            Some(class) => Ok(Some(class)),
            None => {
                Err(forbidden(attributes, format!("pod rejected: RuntimeClass {name:?} not found")))
            }
        }
    }
}

#[async_trait]
impl AdmissionPlugin for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, attributes: &mut AdmissionAttributes<'_>) -> Result<(), Status> {
        if !is_creation(attributes) {
            return Ok(());
        }
        let Some(class) = self.class(attributes)? else { return Ok(()) };
        if let Some(overhead) = class.at(&["overhead", "podFixed"]).filter(|o| o.is_object()) {
            let given = attributes.object.at(&["spec", "overhead"]).filter(|o| o.is_object());
            if given.is_some_and(|given| given != overhead) {
                let why =
                    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
                return Err(forbidden(attributes, why));
            }
            attributes.object.set_at(&["spec", "overhead"], overhead.clone());
        }
        schedule(attributes, &class["scheduling"])
    }

    async fn validate(&self, attributes: &AdmissionAttributes<'_>) -> Result<(), Status> {
        if !is_creation(attributes) {
            return Ok(());
        }
        let class = self.class(attributes)?;
        let overhead = attributes.object.map_at(&["spec", "overhead"]);
        let defined = class.as_ref().and_then(|class| class.map_at(&["overhead", "podFixed"]));
        if overhead.is_some_and(|overhead| !overhead.is_empty()) && defined.is_none() {
            let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
            return Err(forbidden(attributes, why));
        }
        Ok(())
    }
}

/// The class's node selector and tolerations join the pod's.
fn schedule(attributes: &mut AdmissionAttributes<'_>, scheduling: &Value) -> Result<(), Status> {
    for (key, value) in scheduling.map_at(&["nodeSelector"]).into_iter().flatten() {
        let given = attributes.object.at(&["spec", "nodeSelector", key]);
        if given.is_some_and(|given| given != value) {
            let why = "pod rejected: conflict: runtimeClass.scheduling.nodeSelector and pod.spec.nodeSelector have conflicting values";
            return Err(forbidden(attributes, why));
        }
        attributes.object.set_at(&["spec", "nodeSelector", key], value.clone());
    }
    let more = scheduling.list_at(&["tolerations"]);
    if !more.is_empty() {
        let mut tolerations = attributes.object.list_at(&["spec", "tolerations"]).to_vec();
        for toleration in more {
            if !tolerations.contains(toleration) {
                tolerations.push(toleration.clone());
            }
        }
        attributes.object.set_at(&["spec", "tolerations"], tolerations.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeReader, attributes, resource_info, user};
    use serde_json::json;

    async fn check(spec: Value, expect: Value) {
        let class = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "vm"},
            "overhead": {"podFixed": {"cpu": "100m"}}, "scheduling": {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm"}]}});
        let plugin = RuntimeClass::new(FakeReader::with([class]));
        let (info, who) = (resource_info("create", "pods", "ns", "p"), user("x", &[]));
        let mut attributes = attributes(Operation::Create, &info, &who, json!({"spec": spec}));
        let mut result = plugin.mutate(&mut attributes).await;
        if result.is_ok() {
            result = plugin.validate(&attributes).await;
        }
        let got = match result {
            Ok(()) => attributes.object["spec"].clone(),
            Err(status) => status.message.into(),
        };
        assert_eq!(got, expect);
    }

    #[tokio::test]
    async fn classes() {
        check(json!({}), json!({})).await;
        check(
            json!({"runtimeClassName": "vm"}),
            json!({"runtimeClassName": "vm", "overhead": {"cpu": "100m"},
            "nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm"}]}),
        )
        .await;
        check(
            json!({"runtimeClassName": "no"}),
            json!("pods \"p\" is forbidden: pod rejected: RuntimeClass \"no\" not found"),
        )
        .await;
        check(json!({"overhead": {"cpu": "1"}}), json!("pods \"p\" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")).await;
    }
}

//! Priority: the number behind a pod's priorityClassName; one default class at most.

use std::sync::Arc;

use async_trait::async_trait;
use kd_api::{Object, Status};
use serde_json::Value;

use super::forbidden;
use super::pod::is_write;
use crate::request::{AdmissionAttributes, AdmissionPlugin, Operation, Reader};

const GROUP: &str = "scheduling.k8s.io";
const PREEMPT: &str = "PreemptLowerPriority";

pub(super) struct Priority {
    reader: Arc<dyn Reader>,
}

/// What a class says.
struct Class {
    name: String,
    value: i64,
    preemption: String,
}

impl Class {
    fn of(object: &Value) -> Class {
        let preemption = match object.str_at(&["preemptionPolicy"]) {
            "" => PREEMPT,
            policy => policy,
        };
        Class {
            name: object.name().to_owned(),
            value: object.i64_at(&["value"]).unwrap_or(0),
            preemption: preemption.to_owned(),
        }
    }
}

impl Priority {
    pub(super) fn new(reader: Arc<dyn Reader>) -> Self {
        Self { reader }
    }

    fn class(&self, attributes: &AdmissionAttributes<'_>) -> Result<Class, Status> {
        let name = attributes.object.str_at(&["spec", "priorityClassName"]);
        if name.is_empty() {
            return Ok(self.default_class());
        }
        match self.reader.get(GROUP, "priorityclasses", "", name) {
            Some(object) => Ok(Class::of(&object)),
            None => {
                Err(forbidden(attributes, format!("no PriorityClass with name {name} was found")))
            }
        }
    }

    /// The lowest of the default classes, should there be several.
    fn default_class(&self) -> Class {
        let classes = self.reader.list(GROUP, "priorityclasses", None);
        let defaults = classes.iter().filter(|class| class.bool_at(&["globalDefault"]));
        defaults.map(|class| Class::of(class)).min_by_key(|class| class.value).unwrap_or_else(
            || Class { name: String::new(), value: 0, preemption: PREEMPT.to_owned() },
        )
    }

    fn admit_new(&self, attributes: &mut AdmissionAttributes<'_>) -> Result<(), Status> {
        let class = self.class(attributes)?;
        let pod = &attributes.object;
        if let Some(given) = pod.i64_at(&["spec", "priority"])
            && given != class.value
        {
            return Err(forbidden(
                attributes,
                format!(
                    "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {} from the given PriorityClass name",
                    class.value
                ),
            ));
        }
        let given = pod.str_at(&["spec", "preemptionPolicy"]);
        if !given.is_empty() && given != class.preemption {
            return Err(forbidden(
                attributes,
                format!(
                    "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {} from the given PriorityClass name",
                    class.preemption
                ),
            ));
        }
        let pod = &mut attributes.object;
        if !class.name.is_empty() {
            pod.set_at(&["spec", "priorityClassName"], class.name.into());
        }
        pod.set_at(&["spec", "priority"], class.value.into());
        pod.set_at(&["spec", "preemptionPolicy"], class.preemption.into());
        Ok(())
    }
}

#[async_trait]
impl AdmissionPlugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn mutate(&self, attributes: &mut AdmissionAttributes<'_>) -> Result<(), Status> {
        if !is_write(attributes) {
            return Ok(());
        }
        if attributes.operation == Operation::Create {
            return self.admit_new(attributes);
        }
        // A client that does not know the fields must not lose them.
        let Some(old) = attributes.old.clone() else { return Ok(()) };
        for field in ["priority", "preemptionPolicy"] {
            let path = ["spec", field];
            if let (None, Some(value)) = (attributes.object.at(&path), old.at(&path)) {
                attributes.object.set_at(&path, value.clone());
            }
        }
        Ok(())
    }

    async fn validate(&self, attributes: &AdmissionAttributes<'_>) -> Result<(), Status> {
        let class = &attributes.object;
        if !attributes.is(GROUP, "priorityclasses", "") || !class.bool_at(&["globalDefault"]) {
            return Ok(());
        }
        let classes = self.reader.list(GROUP, "priorityclasses", None);
        let other = classes
            .iter()
            .find(|other| other.bool_at(&["globalDefault"]) && other.name() != class.name());
        match other {
            None => Ok(()),
            Some(other) => Err(forbidden(
                attributes,
                format!(
                    "PriorityClass {} is already marked as default. Only one default can exist",
                    other.name()
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeReader, attributes, resource_info, user};
    use serde_json::json;

    fn class(name: &str, value: i64, default: bool) -> Value {
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "globalDefault": default})
    }

    async fn check(classes: Vec<Value>, spec: Value, expect: Value) {
        let reader = FakeReader::with(classes.clone());
        let plugin = Priority::new(reader);
        let (info, who) = (resource_info("create", "pods", "ns", "p"), user("x", &[]));
        let mut attributes = attributes(Operation::Create, &info, &who, json!({"spec": spec}));
        let got = match plugin.mutate(&mut attributes).await {
            Ok(()) => attributes.object["spec"].clone(),
            Err(status) => status.message.into(),
        };
        assert_eq!(got, expect);
    }

    #[tokio::test]
    async fn pods() {
        let high = || vec![class("high", 10, false)];
        check(
            vec![],
            json!({}),
            json!({"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}),
        )
        .await;
        check(high(), json!({"priorityClassName": "high"}), json!({"priorityClassName": "high", "priority": 10, "preemptionPolicy": "PreemptLowerPriority"})).await;
        check(vec![class("d", 5, true)], json!({}), json!({"priorityClassName": "d", "priority": 5, "preemptionPolicy": "PreemptLowerPriority"})).await;
        check(
            high(),
            json!({"priorityClassName": "no"}),
            json!("pods \"p\" is forbidden: no PriorityClass with name no was found"),
        )
        .await;
        check(high(), json!({"priorityClassName": "high", "priority": 3}), json!("pods \"p\" is forbidden: the integer value of priority (3) must not be provided in pod spec; priority admission controller computed 10 from the given PriorityClass name")).await;
    }

    #[tokio::test]
    async fn one_default() {
        let plugin = Priority::new(FakeReader::with([class("a", 1, true)]));
        let (info, who) =
            (resource_info("create", "scheduling.k8s.io:priorityclasses", "", "b"), user("x", &[]));
        let attributes = attributes(Operation::Create, &info, &who, class("b", 2, true));
        assert_eq!(
            plugin.validate(&attributes).await.unwrap_err().message,
            "priorityclasses.scheduling.k8s.io \"b\" is forbidden: PriorityClass a is already marked as default. Only one default can exist"
        );
    }
}

//! TaintNodesByCondition: a new node takes no pods until it is seen to be ready.

use async_trait::async_trait;
use kd_api::{Object, Status};
use serde_json::json;

use crate::request::{AdmissionAttributes, AdmissionPlugin, Operation};

const TAINT: &str = "node.kubernetes.io/not-ready";
const EFFECT: &str = "NoSchedule";

pub(super) struct TaintNodesByCondition;

#[async_trait]
impl AdmissionPlugin for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn mutate(&self, attributes: &mut AdmissionAttributes<'_>) -> Result<(), Status> {
        if !attributes.is("", "nodes", "") {
            return Ok(());
        }
        let mut taints = attributes.object.list_at(&["spec", "taints"]).to_vec();
        let tainted = taints
            .iter()
            .any(|taint| taint.str_at(&["key"]) == TAINT && taint.str_at(&["effect"]) == EFFECT);
        if !tainted {
            taints.push(json!({"key": TAINT, "effect": EFFECT}));
            attributes.object.set_at(&["spec", "taints"], taints.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{attributes, resource_info, user};

    #[tokio::test]
    async fn new_nodes_are_tainted_once() {
        let (info, who) = (resource_info("create", "nodes", "", "n"), user("x", &[]));
        let mut attributes = attributes(Operation::Create, &info, &who, json!({"spec": {}}));
        for _ in 0..2 {
            TaintNodesByCondition.mutate(&mut attributes).await.unwrap();
            let expected = json!({"taints": [{"key": TAINT, "effect": EFFECT}]});
            assert_eq!(attributes.object["spec"], expected);
        }
    }
}

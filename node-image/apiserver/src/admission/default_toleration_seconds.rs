//! DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or unreachable.

use async_trait::async_trait;
use kd_api::{Object, Status};
use serde_json::{Value, json};

use super::pod::is_write;
use crate::request::{AdmissionAttributes, AdmissionPlugin, Operation};

const SECONDS: i64 = 300;
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub(super) struct DefaultTolerationSeconds;

#[async_trait]
impl AdmissionPlugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn mutate(&self, attributes: &mut AdmissionAttributes<'_>) -> Result<(), Status> {
        if !is_write(attributes) {
            return Ok(());
        }
        let mut tolerations = attributes.object.list_at(&["spec", "tolerations"]).to_vec();
        let before = tolerations.len();
        for taint in TAINTS {
            if !tolerations.iter().any(|toleration| tolerates(toleration, taint)) {
                tolerations.push(json!({"key": taint, "operator": "Exists",
                    "effect": "NoExecute", "tolerationSeconds": SECONDS}));
            }
        }
        if tolerations.len() > before {
            attributes.object.set_at(&["spec", "tolerations"], tolerations.into());
        }
        Ok(())
    }
}

fn tolerates(toleration: &Value, taint: &str) -> bool {
    let (key, effect) = (toleration.str_at(&["key"]), toleration.str_at(&["effect"]));
    (key.is_empty() || key == taint) && (effect.is_empty() || effect == "NoExecute")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{attributes, resource_info, user};

    async fn check(given: Value, expect: &[(&str, i64)]) {
        let (info, who) = (resource_info("create", "pods", "ns", "p"), user("x", &[]));
        let pod = json!({"spec": {"tolerations": given}});
        let mut attributes = attributes(Operation::Create, &info, &who, pod);
        DefaultTolerationSeconds.mutate(&mut attributes).await.unwrap();
        let list = attributes.object.list_at(&["spec", "tolerations"]);
        let got: Vec<_> = list
            .iter()
            .map(|t| (t.str_at(&["key"]), t.i64_at(&["tolerationSeconds"]).unwrap_or(0)))
            .collect();
        assert_eq!(got, expect);
    }

    #[tokio::test]
    async fn tolerations() {
        let (not_ready, unreachable) = (TAINTS[0], TAINTS[1]);
        check(json!([]), &[(not_ready, 300), (unreachable, 300)]).await;
        check(Value::Null, &[(not_ready, 300), (unreachable, 300)]).await;
        check(json!([{"operator": "Exists"}]), &[("", 0)]).await;
        let own = json!([{"key": not_ready, "effect": "NoExecute", "tolerationSeconds": 5}]);
        check(own, &[(not_ready, 5), (unreachable, 300)]).await;
        let other = json!([{"key": not_ready, "effect": "NoSchedule"}]);
        check(other, &[(not_ready, 0), (not_ready, 300), (unreachable, 300)]).await;
    }
}

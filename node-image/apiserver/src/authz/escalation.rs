//! Nobody grants what they do not hold: checked on every write of a role or binding, unless the user
//! may `escalate` the role or `bind` it.

use std::sync::Arc;

use async_trait::async_trait;
use kd_api::{Object, Status};
use serde_json::Value;

use super::covers::missing_rules;
use super::rule::{PolicyRule, quoted, rules_of};
use super::{RBAC_GROUP, SUPERUSERS, UnionAuthorizer};
use crate::request::{
    AdmissionAttributes, AdmissionPlugin, Authorizer, Decision, Operation, RequestInfo,
};

/// Runs as the last of admission, on what would be stored.
pub struct EscalationCheck {
    authorizer: Arc<UnionAuthorizer>,
}

impl EscalationCheck {
    /// Asks `authorizer` for `escalate` and `bind`, and its RBAC part for the rules held.
    pub fn new(authorizer: Arc<UnionAuthorizer>) -> EscalationCheck {
        EscalationCheck { authorizer }
    }

    async fn may(&self, attributes: &AdmissionAttributes<'_>, info: RequestInfo) -> bool {
        let decision = self.authorizer.authorize(attributes.user, &info).await;
        matches!(decision, Decision::Allow(_))
    }

    async fn check_role(&self, attributes: &AdmissionAttributes<'_>) -> Result<(), Status> {
        let info = RequestInfo { verb: "escalate".into(), ..own_info(attributes) };
        if self.may(attributes, info).await {
            return Ok(());
        }
        self.check_rules(attributes, &rules_of(&attributes.object))?;
        let aggregates = attributes.object.get("aggregationRule").is_some_and(Value::is_object);
        if aggregates && !self.missing(attributes, &everything()).is_empty() {
            let why = "must have cluster-admin privileges to use the aggregationRule";
            return Err(refused(attributes, why));
        }
        Ok(())
    }

    async fn check_binding(&self, attributes: &AdmissionAttributes<'_>) -> Result<(), Status> {
        let role = &attributes.object["roleRef"];
        let resource = match role.str_at(&["kind"]) {
            "Role" => "roles",
            _ => "clusterroles",
        };
        let info = RequestInfo {
            verb: "bind".into(),
            resource: resource.into(),
            name: role.str_at(&["name"]).into(),
            ..own_info(attributes)
        };
        if self.may(attributes, info).await {
            return Ok(());
        }
        let namespace = &attributes.info.namespace;
        match self.authorizer.rbac().rules_of_reference(role, namespace) {
            Ok(rules) => self.check_rules(attributes, &rules),
            Err(_) => Err(Status::not_found(RBAC_GROUP, resource, role.str_at(&["name"]))),
        }
    }

    fn check_rules(
        &self,
        attributes: &AdmissionAttributes<'_>,
        wanted: &[PolicyRule],
    ) -> Result<(), Status> {
        let missing = self.missing(attributes, wanted);
        if missing.is_empty() {
            return Ok(());
        }
        let mut rules: Vec<String> = missing.iter().map(PolicyRule::compact).collect();
        rules.sort();
        let why = format!(
            "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            attributes.user.username,
            quoted(&attributes.user.groups),
            rules.join("\n")
        );
        Err(refused(attributes, &why))
    }

    fn missing(
        &self,
        attributes: &AdmissionAttributes<'_>,
        wanted: &[PolicyRule],
    ) -> Vec<PolicyRule> {
        let namespace = &attributes.info.namespace;
        let held = self.authorizer.rbac().rules_for(attributes.user, namespace);
        missing_rules(&held.rules, wanted)
    }
}

#[async_trait]
impl AdmissionPlugin for EscalationCheck {
    fn name(&self) -> &'static str {
        "RBACEscalationCheck"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, attributes: &AdmissionAttributes<'_>) -> Result<(), Status> {
        let info = attributes.info;
        let superuser = attributes.user.groups.iter().any(|group| group == SUPERUSERS);
        if info.group != RBAC_GROUP || superuser || only_garbage_collection(attributes) {
            return Ok(());
        }
        match info.resource.as_str() {
            "roles" | "clusterroles" => self.check_role(attributes).await,
            "rolebindings" | "clusterrolebindings" => self.check_binding(attributes).await,
            _ => Ok(()),
        }
    }
}

/// An update that changes nothing but owners and finalizers needs no rights on the rules.
fn only_garbage_collection(attributes: &AdmissionAttributes<'_>) -> bool {
    let Some(old) = &attributes.old else { return false };
    let bare = |object: &Value| {
        let mut object = object.clone();
        for field in ["ownerReferences", "finalizers", "managedFields", "resourceVersion"] {
            object.remove_at(&["metadata", field]);
        }
        object
    };
    bare(old) == bare(&attributes.object)
}

fn own_info(attributes: &AdmissionAttributes<'_>) -> RequestInfo {
    RequestInfo { name: name(attributes).into(), is_resource: true, ..attributes.info.clone() }
}

fn name<'a>(attributes: &'a AdmissionAttributes<'_>) -> &'a str {
    match attributes.info.name.as_str() {
        "" => attributes.object.name(),
        name => name,
    }
}

fn refused(attributes: &AdmissionAttributes<'_>, why: &str) -> Status {
    Status::forbidden(RBAC_GROUP, &attributes.info.resource, name(attributes), why)
}

fn everything() -> Vec<PolicyRule> {
    let all = || vec!["*".to_owned()];
    vec![
        PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..PolicyRule::default() },
        PolicyRule { verbs: all(), non_resource_urls: all(), ..PolicyRule::default() },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeReader, attributes, resource_info, user};
    use serde_json::json;

    async fn check(resource: &str, object: Value, expect: &str) {
        let granted = json!([
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "c"},
             "rules": [{"verbs": ["get", "create"], "apiGroups": ["", RBAC_GROUP], "resources": ["pods", "roles"]}]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "strong"},
             "rules": [{"verbs": ["*"], "apiGroups": [""], "resources": ["secrets"]}]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "b"},
             "roleRef": {"kind": "ClusterRole", "name": "c"}, "subjects": [{"kind": "User", "name": "x"}]}]);
        let objects = granted.as_array().unwrap().clone();
        let plugin =
            EscalationCheck::new(Arc::new(UnionAuthorizer::new(FakeReader::with(objects))));
        let (who, info) = (user("x", &["a", "b"]), resource_info("create", resource, "ns", ""));
        let attributes = attributes(Operation::Create, &info, &who, object);
        let got = plugin
            .validate(&attributes)
            .await
            .map_or_else(|status| status.message, |()| "ok".into());
        assert_eq!(got, expect);
    }

    #[tokio::test]
    async fn only_what_is_held_can_be_granted() {
        let role = |resource: &str| json!({"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": [resource]}]});
        check("rbac.authorization.k8s.io:roles", role("pods"), "ok").await;
        check("rbac.authorization.k8s.io:roles", role("secrets"),
            "roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"x\" (groups=[\"a\" \"b\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}").await;
        let bind = |name: &str| json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": name}});
        check("rbac.authorization.k8s.io:rolebindings", bind("c"), "ok").await;
        check(
            "rbac.authorization.k8s.io:rolebindings",
            bind("gone"),
            "clusterroles.rbac.authorization.k8s.io \"gone\" not found",
        )
        .await;
        check("rbac.authorization.k8s.io:rolebindings", bind("strong"),
            "rolebindings.rbac.authorization.k8s.io \"b\" is forbidden: user \"x\" (groups=[\"a\" \"b\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"*\"]}").await;
    }
}

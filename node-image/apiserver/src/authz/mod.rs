//! Who may do what: the Node authorizer, then RBAC.

pub mod bootstrap;
mod configuration;
mod covers;
mod escalation;
mod node;
mod pod_references;
mod rbac;
mod review;
mod rule;
mod webhook;

use std::sync::Arc;

use async_trait::async_trait;
use kd_api::Status;

pub use bootstrap::bootstrap_objects;
pub use configuration::AuthorizationConfiguration;
pub use escalation::EscalationCheck;
pub use node::{NodeAuthorizer, node_name};
pub use rbac::{HeldRules, RBAC_GROUP, RbacAuthorizer, SUPERUSERS};
pub use review::{
    review_local_subject_access, review_self_subject, review_self_subject_access,
    review_self_subject_rules, review_subject_access, user_value,
};
pub use rule::PolicyRule;

use crate::config::Clock;
use crate::request::{Authorizer, Decision, Reader, RequestInfo, UserInfo};
use crate::webhook::WebhookClients;
use configuration::AuthorizerConfiguration;
use webhook::WebhookAuthorizer;

/// Asks each authorizer in turn until one has an opinion; their reasons are joined.
pub struct UnionAuthorizer {
    rbac: Arc<RbacAuthorizer>,
    authorizers: Vec<Arc<dyn Authorizer>>,
    has_webhook: bool,
}

/// Those who may do everything, whoever else is asked.
struct Superusers;

#[async_trait]
impl Authorizer for Superusers {
    async fn authorize(&self, user: &UserInfo, _info: &RequestInfo) -> Decision {
        match user.groups.iter().any(|group| group == SUPERUSERS) {
            true => Decision::Allow(String::new()),
            false => Decision::NoOpinion(String::new()),
        }
    }
}

impl UnionAuthorizer {
    /// `--authorization-mode=Node,RBAC`.
    pub fn new(reader: Arc<dyn Reader>) -> UnionAuthorizer {
        let rbac = Arc::new(RbacAuthorizer::new(reader.clone()));
        let authorizers: Vec<Arc<dyn Authorizer>> =
            vec![Arc::new(NodeAuthorizer::new(reader)), rbac.clone()];
        UnionAuthorizer { rbac, authorizers, has_webhook: false }
    }

    /// As a configuration says; superusers come first, so that nobody is locked out.
    pub fn configured(
        configuration: &AuthorizationConfiguration,
        reader: Arc<dyn Reader>,
        clients: &Arc<WebhookClients>,
        clock: &Clock,
    ) -> UnionAuthorizer {
        let rbac = Arc::new(RbacAuthorizer::new(reader.clone()));
        let mut union =
            UnionAuthorizer { rbac, authorizers: vec![Arc::new(Superusers)], has_webhook: false };
        for authorizer in &configuration.authorizers {
            union.authorizers.push(match authorizer {
                AuthorizerConfiguration::Node => Arc::new(NodeAuthorizer::new(reader.clone())),
                AuthorizerConfiguration::Rbac => union.rbac.clone(),
                AuthorizerConfiguration::Webhook(webhook) => {
                    union.has_webhook = true;
                    let webhook = webhook.clone();
                    Arc::new(WebhookAuthorizer::new(webhook, clients.clone(), clock.clone()))
                }
            });
        }
        union
    }

    /// Why the rules of a user are not all that decides.
    fn unresolved(&self, user: &UserInfo) -> Vec<String> {
        let sorts = [("node", node_name(user).is_some()), ("webhook", self.has_webhook)];
        let unresolved = sorts.iter().filter(|(_, decides)| *decides);
        let say = |(sort, _): &(&str, bool)| {
            format!("{sort} authorizer does not support user rule resolution")
        };
        unresolved.map(say).collect()
    }

    /// The RBAC authorizer in it.
    pub fn rbac(&self) -> &Arc<RbacAuthorizer> {
        &self.rbac
    }
}

#[async_trait]
impl Authorizer for UnionAuthorizer {
    async fn authorize(&self, user: &UserInfo, info: &RequestInfo) -> Decision {
        let mut reasons = Vec::new();
        for authorizer in &self.authorizers {
            match authorizer.authorize(user, info).await {
                Decision::NoOpinion(reason) if reason.is_empty() => {}
                Decision::NoOpinion(reason) => reasons.push(reason),
                decided => return decided,
            }
        }
        Decision::NoOpinion(reasons.join("\n"))
    }
}

/// The 403 for a request that was not allowed, in upstream's words.
pub fn forbidden(user: &UserInfo, info: &RequestInfo, reason: &str) -> Status {
    let mut message = escaped(&forbidden_message(user, info));
    if !reason.is_empty() {
        message = format!("{message}: {reason}");
    }
    Status::forbidden(&info.group, &info.resource, &info.name, &message)
}

fn forbidden_message(user: &UserInfo, info: &RequestInfo) -> String {
    let who = format!("User {:?} cannot {}", user.username, info.verb);
    if !info.is_resource {
        return format!("{who} path {:?}", info.path);
    }
    let resource = match info.subresource.as_str() {
        "" => info.resource.clone(),
        subresource => format!("{}/{subresource}", info.resource),
    };
    let what = format!("{who} resource {resource:?} in API group {:?}", info.group);
    match info.namespace.as_str() {
        "" => format!("{what} at the cluster scope"),
        namespace => format!("{what} in the namespace {namespace:?}"),
    }
}

/// The message may be shown by a browser.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeReader, resource_info, user};
    use serde_json::{Value, json};

    async fn check(objects: Vec<Value>, who: &UserInfo, info: RequestInfo, expect: &str) {
        let authorizer = UnionAuthorizer::new(FakeReader::with(objects));
        let got = match authorizer.authorize(who, &info).await {
            Decision::Allow(reason) => format!("yes: {reason}"),
            Decision::Deny(reason) => format!("no: {reason}"),
            Decision::NoOpinion(reason) => forbidden(who, &info, &reason).message,
        };
        assert_eq!(got, expect);
    }

    fn binding(kind: &str, role: &str, subject: Value) -> Value {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": {"name": "b", "namespace": if kind == "RoleBinding" { "ns" } else { "" }},
            "roleRef": {"kind": if role == "r" { "Role" } else { "ClusterRole" }, "name": role},
            "subjects": [subject]})
    }

    fn cluster_role(name: &str) -> Value {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
            "rules": [{"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}]})
    }

    #[tokio::test]
    async fn forbidden_in_upstreams_words() {
        let x = user("x", &["system:authenticated"]);
        let pods = || resource_info("list", "pods", "default", "");
        check(vec![], &x, pods(), r#"pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "default""#).await;
        check(vec![], &x, resource_info("get", "apps:deployments/scale", "", "d"), r#"deployments.apps "d" is forbidden: User "x" cannot get resource "deployments/scale" in API group "apps" at the cluster scope"#).await;
        let path =
            RequestInfo { verb: "get".into(), path: "/metrics".into(), ..Default::default() };
        check(vec![], &x, path, r#"forbidden: User "x" cannot get path "/metrics""#).await;
        let dangling = binding("ClusterRoleBinding", "gone", json!({"kind": "User", "name": "x"}));
        check(vec![dangling], &x, pods(), r#"pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "default": RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found"#).await;
    }

    #[tokio::test]
    async fn bindings() {
        let x = user("x", &["g"]);
        let pods = |namespace: &str| resource_info("list", "pods", namespace, "");
        let by_group = || {
            vec![
                cluster_role("c"),
                binding("ClusterRoleBinding", "c", json!({"kind": "Group", "name": "g"})),
            ]
        };
        check(
            by_group(),
            &x,
            pods(""),
            r#"yes: RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "c" to Group "g""#,
        )
        .await;
        let scoped = || {
            vec![
                cluster_role("c"),
                binding("RoleBinding", "c", json!({"kind": "User", "name": "x"})),
            ]
        };
        check(
            scoped(),
            &x,
            pods("ns"),
            r#"yes: RBAC: allowed by RoleBinding "b/ns" of ClusterRole "c" to User "x""#,
        )
        .await;
        check(scoped(), &x, pods(""), r#"pods is forbidden: User "x" cannot list resource "pods" in API group "" at the cluster scope"#).await;
        let account = user("system:serviceaccount:ns:default", &[]);
        let own = vec![
            cluster_role("c"),
            binding("RoleBinding", "c", json!({"kind": "ServiceAccount", "name": "default"})),
        ];
        check(own, &account, pods("ns"), r#"yes: RBAC: allowed by RoleBinding "b/ns" of ClusterRole "c" to ServiceAccount "default/ns""#).await;
        check(vec![], &user("root", &["system:masters"]), pods(""), "yes: ").await;
    }

    #[test]
    fn aggregated_rules_are_written_out() {
        let objects = bootstrap_objects(&FakeReader::default());
        let rules = |name: &str| {
            let role = objects
                .iter()
                .find(|o| o["metadata"]["name"] == name && o["kind"] == "ClusterRole");
            role.unwrap()["rules"].as_array().unwrap().len()
        };
        assert_eq!(rules("admin"), rules("edit") + rules("system:aggregate-to-admin"));
        assert_eq!(rules("edit"), rules("view") + rules("system:aggregate-to-edit"));
        let metrics = rules("system:aggregated-metrics-reader");
        assert_eq!(rules("view"), rules("system:aggregate-to-view") + metrics);
    }

    #[tokio::test]
    async fn default_roles_aggregate() {
        let reader = FakeReader::default();
        let mut objects = bootstrap_objects(&reader);
        let mut bound = binding("RoleBinding", "admin", json!({"kind": "User", "name": "x"}));
        bound["roleRef"]["kind"] = "ClusterRole".into();
        objects.push(bound);
        let x = user("x", &["system:authenticated"]);
        let allowed =
            r#"yes: RBAC: allowed by RoleBinding "b/ns" of ClusterRole "admin" to User "x""#;
        for (verb, resource) in [
            ("list", "pods"),
            ("create", "apps:deployments"),
            ("create", "rbac.authorization.k8s.io:roles"),
        ] {
            check(objects.clone(), &x, resource_info(verb, resource, "ns", ""), allowed).await;
        }
        check(objects.clone(), &x, resource_info("create", "authorization.k8s.io:selfsubjectaccessreviews", "", ""),
            r#"yes: RBAC: allowed by ClusterRoleBinding "system:basic-user" of ClusterRole "system:basic-user" to Group "system:authenticated""#).await;
    }
}

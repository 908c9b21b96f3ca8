//! The Node authorizer: a kubelet may read only what the pods bound to its node refer to, and write
//! only what is its own.

use std::sync::Arc;

use async_trait::async_trait;
use kd_api::Object;
use serde_json::Value;

use super::bootstrap::node_rules;
use super::pod_references::{PodReferences, Target};
use super::rule::PolicyRule;
use crate::request::{Authorizer, Decision, Reader, RequestInfo, UserInfo};

const NODES_GROUP: &str = "system:nodes";
const NODE_USER_PREFIX: &str = "system:node:";
const LEASE_NAMESPACE: &str = "kube-node-lease";

/// Decides for users `system:node:<name>` of group `system:nodes`; has no opinion on others.
pub struct NodeAuthorizer {
    reader: Arc<dyn Reader>,
    references: PodReferences,
    rules: Vec<PolicyRule>,
}

/// The node that a user is, if it is one.
pub fn node_name(user: &UserInfo) -> Option<&str> {
    let in_group = user.groups.iter().any(|group| group == NODES_GROUP);
    user.username.strip_prefix(NODE_USER_PREFIX).filter(|name| in_group && !name.is_empty())
}

/// What one kind of request needs, or the reason why not.
type Verdict = Result<(), String>;

impl NodeAuthorizer {
    /// Reads pods and volumes through `reader`.
    pub fn new(reader: Arc<dyn Reader>) -> NodeAuthorizer {
        let references = PodReferences::new(reader.clone());
        NodeAuthorizer { reader, references, rules: node_rules() }
    }

    /// `None` where the static rules of nodes decide.
    fn restricted(&self, node: &str, info: &RequestInfo) -> Option<Verdict> {
        Some(match (info.group.as_str(), info.resource.as_str()) {
            ("", "secrets" | "configmaps") => self.namespaced_read(node, info),
            ("", "persistentvolumeclaims") if info.subresource == "status" => {
                self.status_update(node, info)
            }
            ("", "persistentvolumeclaims" | "persistentvolumes")
            | ("resource.k8s.io", "resourceclaims")
            | ("storage.k8s.io", "volumeattachments") => self.single_get(node, info),
            ("", "serviceaccounts") => self.account(node, info),
            ("coordination.k8s.io", "leases") => lease(node, info),
            ("storage.k8s.io", "csinodes") => csi_node(node, info),
            ("", "nodes") => own_node(node, info),
            ("", "pods") => self.pod(node, info),
            _ => return None,
        })
    }

    fn namespaced_read(&self, node: &str, info: &RequestInfo) -> Verdict {
        demand(READ.contains(&info.verb.as_str()), "can only read resources of this type")?;
        demand(info.subresource.is_empty(), "cannot read subresource")?;
        demand(!info.namespace.is_empty(), "can only read namespaced object of this type")?;
        self.related(node, info)
    }

    fn status_update(&self, node: &str, info: &RequestInfo) -> Verdict {
        let known = ["get", "update", "patch"].contains(&info.verb.as_str());
        demand(known, "can only get/update/patch this type")?;
        self.related(node, info)
    }

    fn single_get(&self, node: &str, info: &RequestInfo) -> Verdict {
        demand(info.verb == "get", "can only get individual resources of this type")?;
        demand(info.subresource.is_empty(), "cannot get subresource")?;
        self.related(node, info)
    }

    fn account(&self, node: &str, info: &RequestInfo) -> Verdict {
        match info.verb.as_str() {
            "get" if info.subresource.is_empty() => self.related(node, info),
            "create" if info.subresource == "token" => self.related(node, info),
            "create" => Err("can only create token subresource of serviceaccount".into()),
            _ => Err("can only create tokens for individual service accounts".into()),
        }
    }

    fn pod(&self, node: &str, info: &RequestInfo) -> Verdict {
        match (info.subresource.as_str(), info.verb.as_str()) {
            ("", "create" | "delete") => Ok(()),
            ("", "get") => self.related(node, info),
            ("", "list" | "watch") => {
                let on_node = field_value(&info.field_selector, "spec.nodeName") == Some(node);
                if !on_node && !object_name(info).is_empty() {
                    return self.related(node, info);
                }
                demand(on_node, "can only list/watch pods with spec.nodeName field selector")
            }
            ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            _ => Err(String::new()),
        }
    }

    /// Whether a pod on the node leads to the object.
    fn related(&self, node: &str, info: &RequestInfo) -> Verdict {
        let name = object_name(info);
        demand(!name.is_empty(), "No Object name found")?;
        let namespace = info.namespace.as_str();
        let any = |target| self.references.any(node, namespace, target, name);
        let found = match info.resource.as_str() {
            "secrets" => any(Target::Secret) || self.secret_of_volume(node, namespace, name),
            "configmaps" => any(Target::ConfigMap),
            "persistentvolumeclaims" => any(Target::Claim),
            "persistentvolumes" => self.volume_of_node(node, name),
            "serviceaccounts" => any(Target::Account),
            "resourceclaims" => any(Target::ResourceClaim),
            "pods" => self
                .reader
                .get("", "pods", namespace, name)
                .is_some_and(|pod| pod.str_at(&["spec", "nodeName"]) == node),
            "volumeattachments" => self
                .reader
                .get("storage.k8s.io", "volumeattachments", "", name)
                .is_some_and(|attachment| attachment.str_at(&["spec", "nodeName"]) == node),
            _ => false,
        };
        let reason = || format!("no relationship found between node '{node}' and this object");
        if found { Ok(()) } else { Err(reason()) }
    }

    fn volume_of_node(&self, node: &str, name: &str) -> bool {
        let Some(volume) = self.reader.get("", "persistentvolumes", "", name) else { return false };
        let claim = volume.str_at(&["spec", "claimRef", "name"]);
        let namespace = volume.str_at(&["spec", "claimRef", "namespace"]);
        !claim.is_empty() && self.references.any(node, namespace, Target::Claim, claim)
    }

    fn secret_of_volume(&self, node: &str, namespace: &str, name: &str) -> bool {
        self.reader.list("", "persistentvolumes", None).iter().any(|volume| {
            volume_secrets(volume).any(|(ns, secret)| ns == namespace && secret == name)
                && self.volume_of_node(node, volume.name())
        })
    }
}

#[async_trait]
impl Authorizer for NodeAuthorizer {
    async fn authorize(&self, user: &UserInfo, info: &RequestInfo) -> Decision {
        let Some(node) = node_name(user) else { return Decision::NoOpinion(String::new()) };
        let restricted = if info.is_resource { self.restricted(node, info) } else { None };
        match restricted {
            Some(Ok(())) => Decision::Allow(String::new()),
            Some(Err(reason)) => Decision::NoOpinion(reason),
            None if self.rules.iter().any(|rule| rule.allows(info)) => {
                Decision::Allow(String::new())
            }
            None => Decision::NoOpinion(String::new()),
        }
    }
}

const READ: [&str; 3] = ["get", "list", "watch"];

fn demand(condition: bool, reason: &str) -> Verdict {
    if condition { Ok(()) } else { Err(reason.to_owned()) }
}

fn lease(node: &str, info: &RequestInfo) -> Verdict {
    let known = ["get", "create", "update", "patch", "delete"].contains(&info.verb.as_str());
    demand(known, "can only get, create, update, patch, or delete a node lease")?;
    let wanted = "can only access leases in the \"kube-node-lease\" system namespace";
    demand(info.namespace == LEASE_NAMESPACE, wanted)?;
    let own = "can only access node lease with the same name as the requesting node";
    demand(info.verb == "create" || info.name == node, own)
}

fn csi_node(node: &str, info: &RequestInfo) -> Verdict {
    let known = ["get", "create", "update", "patch", "delete"].contains(&info.verb.as_str());
    demand(known, "can only get, create, update, patch, or delete a CSINode")?;
    demand(info.subresource.is_empty(), "cannot authorize CSINode subresources")?;
    let own = "can only access CSINode with the same name as the requesting node";
    demand(info.verb == "create" || info.name == node, own)
}

fn own_node(node: &str, info: &RequestInfo) -> Verdict {
    match (info.subresource.as_str(), info.verb.as_str()) {
        // NodeRestriction sees the object and compares the name.
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
        ("", "get" | "list" | "watch") => {
            let own = "only its own Node object";
            match object_name(info) {
                "" => Err(format!("node '{node}' cannot read all nodes, {own}")),
                name if name == node => Ok(()),
                name => Err(format!("node '{node}' cannot read '{name}', {own}")),
            }
        }
        _ => Err(String::new()),
    }
}

/// The name, also where a list or watch selects a single object.
fn object_name(info: &RequestInfo) -> &str {
    match info.name.as_str() {
        "" => field_value(&info.field_selector, "metadata.name").unwrap_or(""),
        name => name,
    }
}

/// The value that a field selector demands of a field.
fn field_value<'a>(selector: &'a str, field: &str) -> Option<&'a str> {
    selector.split(',').find_map(|term| {
        let value = term.strip_prefix(field)?.strip_prefix('=')?;
        Some(value.strip_prefix('=').unwrap_or(value))
    })
}

/// Namespaces and names of the Secrets a PersistentVolume's driver needs on the node.
fn volume_secrets(volume: &Value) -> impl Iterator<Item = (&str, &str)> {
    const FIELDS: [&str; 3] = ["nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"];
    let csi = FIELDS.into_iter().map(|field| ["spec", "csi", field]);
    let others = ["cephfs", "flexVolume", "iscsi", "rbd", "scaleIO"]
        .into_iter()
        .map(|kind| ["spec", kind, "secretRef"]);
    csi.chain(others).filter_map(|path| {
        let reference = volume.at(&path)?;
        Some((reference.str_at(&["namespace"]), reference.str_at(&["name"])))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeReader, resource_info, user};
    use serde_json::json;

    fn pod() -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "ns"},
            "spec": {"nodeName": "a", "serviceAccountName": "sa", "imagePullSecrets": [{"name": "pull"}],
            "containers": [{"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "env"}}}],
                "envFrom": [{"configMapRef": {"name": "from"}}]}],
            "volumes": [{"name": "v", "secret": {"secretName": "vol"}},
                {"name": "w", "projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}},
                {"name": "x", "persistentVolumeClaim": {"claimName": "claim"}}]}})
    }

    fn volume() -> Value {
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv"},
            "spec": {"claimRef": {"namespace": "ns", "name": "claim"},
            "csi": {"nodeStageSecretRef": {"namespace": "storage", "name": "stage"}}}})
    }

    async fn check(
        node: &str,
        verb: &str,
        resource: &str,
        namespace: &str,
        name: &str,
        expect: &str,
    ) {
        let authorizer = NodeAuthorizer::new(FakeReader::with([pod(), volume()]));
        let who = user(&format!("system:node:{node}"), &["system:nodes"]);
        let mut info = resource_info(verb, resource, namespace, name);
        if let Some(selector) = name.strip_prefix('?') {
            info.name.clear();
            info.field_selector = selector.into();
        }
        let got = match authorizer.authorize(&who, &info).await {
            Decision::Allow(_) => "yes".to_owned(),
            Decision::Deny(reason) | Decision::NoOpinion(reason) => reason,
        };
        assert_eq!(got, expect, "{node} {verb} {resource} {namespace} {name}");
    }

    #[tokio::test]
    async fn nodes_reach_what_their_pods_use() {
        let unrelated = "no relationship found between node 'b' and this object";
        for (resource, namespace, name) in [
            ("secrets", "ns", "pull"),
            ("secrets", "ns", "env"),
            ("secrets", "ns", "vol"),
            ("secrets", "storage", "stage"),
            ("configmaps", "ns", "from"),
            ("configmaps", "ns", "kube-root-ca.crt"),
            ("persistentvolumeclaims", "ns", "claim"),
            ("persistentvolumes", "", "pv"),
            ("pods", "ns", "p"),
        ] {
            check("a", "get", resource, namespace, name, "yes").await;
            check("b", "get", resource, namespace, name, unrelated).await;
        }
        check("a", "watch", "secrets", "ns", "?metadata.name=pull", "yes").await;
        check("a", "list", "secrets", "ns", "", "No Object name found").await;
        check("a", "delete", "secrets", "ns", "pull", "can only read resources of this type").await;
        check("a", "create", "serviceaccounts/token", "ns", "sa", "yes").await;
        check("b", "create", "serviceaccounts/token", "ns", "sa", unrelated).await;
    }

    #[tokio::test]
    async fn nodes_own_their_objects() {
        check("a", "list", "pods", "", "?spec.nodeName=a", "yes").await;
        check(
            "a",
            "list",
            "pods",
            "",
            "?spec.nodeName=b",
            "can only list/watch pods with spec.nodeName field selector",
        )
        .await;
        check("a", "patch", "pods/status", "ns", "p", "yes").await;
        check("a", "get", "nodes", "", "a", "yes").await;
        check("a", "watch", "nodes", "", "?metadata.name=a", "yes").await;
        check("a", "get", "nodes", "", "b", "node 'a' cannot read 'b', only its own Node object")
            .await;
        check(
            "a",
            "list",
            "nodes",
            "",
            "",
            "node 'a' cannot read all nodes, only its own Node object",
        )
        .await;
        check("a", "update", "coordination.k8s.io:leases", "kube-node-lease", "a", "yes").await;
        check(
            "a",
            "update",
            "coordination.k8s.io:leases",
            "kube-node-lease",
            "b",
            "can only access node lease with the same name as the requesting node",
        )
        .await;
        check("a", "list", "services", "", "", "yes").await;
        check("a", "create", "events", "ns", "", "yes").await;
        check("a", "list", "apps:deployments", "", "", "").await;
    }
}

//! NodeRestriction: what a kubelet writes is about its own node and its own pods.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use kd_api::{Object, Status};
use serde_json::Value;

use super::pod::{MIRROR_ANNOTATION, Reference, is_mirror, refers_to};
use super::token_audience::{Refusal, refused_audience};
use super::{forbidden, name};
use crate::authz::{UnionAuthorizer, node_name};
use crate::request::{
    AdmissionAttributes, AdmissionPlugin, Authorizer, Decision, Operation, Reader, RequestInfo,
};

/// Labels with Kubernetes' own prefixes that a kubelet may set on its node.
const KUBELET_LABELS: [&str; 11] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];
const KUBELET_LABEL_NAMESPACES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
const RESTRICTED_LABEL_NAMESPACE: &str = "node-restriction.kubernetes.io";

/// The right to ask for any token of a ServiceAccount with an audience (the resource of the rule).
const AUDIENCE_VERB: &str = "request-serviceaccounts-token-audience";

pub(super) struct NodeRestriction {
    reader: Arc<dyn Reader>,
    authorizer: Arc<UnionAuthorizer>,
}

impl NodeRestriction {
    pub(super) fn new(reader: Arc<dyn Reader>, authorizer: Arc<UnionAuthorizer>) -> Self {
        Self { reader, authorizer }
    }

    fn admit(&self, node: &str, request: &AdmissionAttributes<'_>) -> Result<(), Status> {
        let info = request.info;
        match (info.group.as_str(), info.resource.as_str(), info.subresource.as_str()) {
            ("", "pods", "") => self.pod(node, request),
            ("", "pods", "status") => pod_status(node, request),
            ("", "pods", "eviction") => self.eviction(node, request),
            ("", "nodes", _) => own_node(node, request),
            ("", "persistentvolumeclaims", "status") => claim_status(node, request),
            ("", "persistentvolumeclaims", _) => {
                Err(forbidden(request, format!("may only update PVC status, node {node:?}")))
            }
            ("", "serviceaccounts", "token") => self.token(node, request),
            ("coordination.k8s.io", "leases", _) => lease(node, request),
            ("storage.k8s.io", "csinodes", _) => csi_node(node, request),
            _ => Ok(()),
        }
    }

    fn pod(&self, node: &str, request: &AdmissionAttributes<'_>) -> Result<(), Status> {
        match request.operation {
            Operation::Create => self.mirror_pod(node, request),
            Operation::Delete => {
                let on_node = match &request.old {
                    Some(pod) => pod.str_at(&["spec", "nodeName"]) == node,
                    None => self.pod_is_on(node, request, &request.info.name)?,
                };
                let why =
                    format!("node {node:?} can only delete pods with spec.nodeName set to itself");
                if on_node { Ok(()) } else { Err(forbidden(request, why)) }
            }
            _ => Err(forbidden(
                request,
                format!(
                    "unexpected operation \"UPDATE\", node {node:?} can only create and delete mirror pods"
                ),
            )),
        }
    }

    fn mirror_pod(&self, node: &str, request: &AdmissionAttributes<'_>) -> Result<(), Status> {
        let pod = &request.object;
        let refuse = |why: String| Err(forbidden(request, why));
        if !is_mirror(pod) {
            return refuse(format!(
                "pod does not have {MIRROR_ANNOTATION:?} annotation, node {node:?} can only create mirror pods"
            ));
        }
        if pod.str_at(&["spec", "nodeName"]) != node {
            return refuse(format!(
                "node {node:?} can only create pods with spec.nodeName set to itself"
            ));
        }
        self.mirror_owner(node, request)?;
        let what = if !pod.str_at(&["spec", "serviceAccountName"]).is_empty() {
            "a service account"
        } else if refers_to(pod, Reference::Secret) {
            "secrets"
        } else if refers_to(pod, Reference::ConfigMap) {
            "configmaps"
        } else if pod
            .list_at(&["spec", "volumes"])
            .iter()
            .any(|volume| volume.get("persistentVolumeClaim").is_some())
        {
            "persistentvolumeclaims"
        } else {
            return Ok(());
        };
        refuse(format!("node {node:?} can not create pods that reference {what}"))
    }

    fn mirror_owner(&self, node: &str, request: &AdmissionAttributes<'_>) -> Result<(), Status> {
        let owners = request.object.owner_references();
        let refuse = |why: String| Err(forbidden(request, why));
        let [owner] = owners.as_slice() else {
            let what = match owners.is_empty() {
                true => "an owner reference set to itself",
                false => "a single owner reference set to itself",
            };
            return refuse(format!("node {node:?} can only create pods with {what}"));
        };
        if (owner.api_version, owner.kind, owner.name) != ("v1", "Node", node) {
            return refuse(format!(
                "node {node:?} can only create pods with an owner reference set to itself"
            ));
        }
        if !owner.controller {
            return refuse(format!(
                "node {node:?} can only create pods with a controller owner reference set to itself"
            ));
        }
        if owner.block_owner_deletion {
            return refuse(format!(
                "node {node:?} must not set blockOwnerDeletion on an owner reference"
            ));
        }
        let Some(stored) = self.reader.get("", "nodes", "", node) else {
            return Err(Status::not_found("", "nodes", node));
        };
        if owner.uid != stored.uid() {
            return refuse(format!(
                "node {node} UID mismatch: expected {} got {}",
                owner.uid,
                stored.uid()
            ));
        }
        Ok(())
    }

    fn eviction(&self, node: &str, request: &AdmissionAttributes<'_>) -> Result<(), Status> {
        if self.pod_is_on(node, request, name(request))? {
            return Ok(());
        }
        let why = format!("node {node} can only evict pods with spec.nodeName set to itself");
        Err(forbidden(request, why))
    }

    fn pod_is_on(
        &self,
        node: &str,
        request: &AdmissionAttributes<'_>,
        pod: &str,
    ) -> Result<bool, Status> {
        match self.reader.get("", "pods", &request.info.namespace, pod) {
            Some(pod) => Ok(pod.str_at(&["spec", "nodeName"]) == node),
            None => Err(Status::not_found("", "pods", pod)),
        }
    }

    /// A node may ask for the audiences of its pod's volumes, and for those that RBAC grants it.
    async fn audience(&self, request: &AdmissionAttributes<'_>) -> Result<(), Status> {
        let (info, object) = (request.info, &request.object);
        let pod = object.str_at(&["spec", "boundObjectRef", "name"]);
        let Some(pod) = self.reader.get("", "pods", &info.namespace, pod) else { return Ok(()) };
        let Some(refusal) = refused_audience(self.reader.as_ref(), object, &pod) else {
            return Ok(());
        };
        let granted = match &refusal {
            Refusal::TooMany => false,
            Refusal::NotInPod(audience) => {
                let right = RequestInfo {
                    verb: AUDIENCE_VERB.into(),
                    resource: audience.clone(),
                    subresource: String::new(),
                    ..info.clone()
                };
                let decision = self.authorizer.authorize(request.user, &right).await;
                matches!(decision, Decision::Allow(_))
            }
        };
        match granted {
            true => Ok(()),
            false => Err(forbidden(request, refusal.sentence(&request.user.username))),
        }
    }

    fn token(&self, node: &str, request: &AdmissionAttributes<'_>) -> Result<(), Status> {
        let reference = &request.object["spec"]["boundObjectRef"];
        let refuse = |why: &str| Err(forbidden(request, why));
        let (pod, uid) = (reference.str_at(&["name"]), reference.str_at(&["uid"]));
        let to_pod = reference.str_at(&["apiVersion"]) == "v1"
            && reference.str_at(&["kind"]) == "Pod"
            && !pod.is_empty();
        if !to_pod {
            return refuse("node requested token not bound to a pod");
        }
        if uid.is_empty() {
            return refuse("node requested token with a pod binding without a uid");
        }
        let Some(stored) = self.reader.get("", "pods", &request.info.namespace, pod) else {
            return Err(Status::not_found("", "pods", pod));
        };
        if stored.uid() != uid {
            return refuse(&format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            ));
        }
        if stored.str_at(&["spec", "nodeName"]) != node {
            return refuse("node requested token bound to a pod scheduled on a different node");
        }
        Ok(())
    }
}

#[async_trait]
impl AdmissionPlugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation != Operation::Connect
    }

    async fn mutate(&self, attributes: &mut AdmissionAttributes<'_>) -> Result<(), Status> {
        let Some(node) = node_name(attributes.user) else { return Ok(()) };
        self.admit(node, attributes)?;
        if attributes.operation == Operation::Create
            && attributes.is("", "serviceaccounts", "token")
        {
            self.audience(attributes).await?;
        }
        Ok(())
    }
}

fn pod_status(node: &str, request: &AdmissionAttributes<'_>) -> Result<(), Status> {
    let Some(old) = &request.old else { return Ok(()) };
    let why = if old.str_at(&["spec", "nodeName"]) != node {
        "can only update pod status for pods with spec.nodeName set to itself"
    } else if labels(old) != labels(&request.object) {
        "cannot update labels through pod status"
    } else {
        return Ok(());
    };
    Err(forbidden(request, format!("node {node:?} {why}")))
}

fn own_node(node: &str, request: &AdmissionAttributes<'_>) -> Result<(), Status> {
    let requested = name(request);
    if requested != node {
        let why = format!("node {node:?} is not allowed to modify node {requested:?}");
        return Err(forbidden(request, why));
    }
    let new = &request.object;
    match (request.operation, &request.old) {
        (Operation::Create, _) => {
            let labels = restricted_labels(new, &Value::Null);
            let why =
                || format!("node {node:?} is not allowed to set the following labels: {labels}");
            if labels.is_empty() { Ok(()) } else { Err(forbidden(request, why())) }
        }
        (Operation::Update, Some(old)) => {
            if new.list_at(&["spec", "taints"]) != old.list_at(&["spec", "taints"]) {
                let why = format!("node {node:?} is not allowed to modify taints");
                return Err(forbidden(request, why));
            }
            let labels = restricted_labels(new, old);
            let why = || format!("is not allowed to modify labels: {labels}");
            if labels.is_empty() { Ok(()) } else { Err(forbidden(request, why())) }
        }
        _ => Ok(()),
    }
}

/// The label keys and values; none is the same as an empty map.
fn labels(object: &Value) -> Vec<(&String, &Value)> {
    object.labels().into_iter().flatten().collect()
}

/// The labels that differ between two nodes and that are not a kubelet's to set.
fn restricted_labels(new: &Value, old: &Value) -> String {
    let keys = |object: &Value| -> BTreeSet<String> {
        object.labels().into_iter().flatten().map(|(key, _)| key.clone()).collect()
    };
    let changed = keys(new).union(&keys(old)).cloned().collect::<BTreeSet<_>>();
    let restricted: Vec<String> = changed
        .into_iter()
        .filter(|key| new.label(key) != old.label(key) && is_restricted(key))
        .collect();
    restricted.join(", ")
}

fn is_restricted(label: &str) -> bool {
    let Some((namespace, _)) = label.split_once('/') else { return false };
    let within = |domain: &str| {
        namespace == domain
            || namespace.strip_suffix(domain).is_some_and(|prefix| prefix.ends_with('.'))
    };
    let own = KUBELET_LABELS.contains(&label) || KUBELET_LABEL_NAMESPACES.into_iter().any(within);
    within(RESTRICTED_LABEL_NAMESPACE) || ((within("kubernetes.io") || within("k8s.io")) && !own)
}

/// A kubelet reports capacity and conditions of a volume it has resized, nothing else.
fn claim_status(node: &str, request: &AdmissionAttributes<'_>) -> Result<(), Status> {
    let Some(old) = &request.old else { return Ok(()) };
    let bare = |claim: &Value| {
        let mut claim = claim.clone();
        for field in ["resourceVersion", "managedFields"] {
            claim.remove_at(&["metadata", field]);
        }
        for field in ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"] {
            claim.remove_at(&["status", field]);
        }
        claim
    };
    if bare(old) == bare(&request.object) {
        return Ok(());
    }
    let why = format!(
        "node {node:?} is not allowed to update fields other than status.capacity and status.conditions"
    );
    Err(forbidden(request, why))
}

fn lease(node: &str, request: &AdmissionAttributes<'_>) -> Result<(), Status> {
    if request.info.namespace != "kube-node-lease" {
        let why = "can only access leases in the \"kube-node-lease\" system namespace";
        return Err(forbidden(request, why));
    }
    if name(request) != node {
        let why = "can only access node lease with the same name as the requesting node";
        return Err(forbidden(request, why));
    }
    Ok(())
}

fn csi_node(node: &str, request: &AdmissionAttributes<'_>) -> Result<(), Status> {
    if name(request) == node {
        return Ok(());
    }
    Err(forbidden(request, "can only access CSINode with the same name as the requesting node"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeReader, attributes, resource_info, user};
    use serde_json::json;

    async fn check(
        operation: Operation,
        resource: &str,
        name: &str,
        object: Value,
        old: Value,
        expect: &str,
    ) {
        let stored = [
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a", "uid": "1"}}),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mine", "namespace": "ns", "uid": "m"}, "spec": {"nodeName": "a", "volumes": [{"projected": {"sources": [{"serviceAccountToken": {}}]}}]}}),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "other", "namespace": "ns", "uid": "o"}, "spec": {"nodeName": "b"}}),
        ];
        let reader = FakeReader::with(stored);
        let authorizer = Arc::new(UnionAuthorizer::new(reader.clone()));
        let plugin = NodeRestriction::new(reader, authorizer);
        let info = resource_info(
            "",
            resource,
            if resource.starts_with("nodes") { "" } else { "ns" },
            name,
        );
        let who = user("system:node:a", &["system:nodes"]);
        let mut attributes = attributes(operation, &info, &who, object);
        attributes.old = (!old.is_null()).then(|| Arc::new(old));
        let got = plugin.mutate(&mut attributes).await.map_or_else(|s| s.message, |()| "ok".into());
        assert_eq!(got, expect);
    }

    #[tokio::test]
    async fn nodes() {
        use Operation::*;
        let node = |labels: Value, taints: Value| json!({"metadata": {"name": "a", "labels": labels}, "spec": {"taints": taints}});
        let plain = || node(json!({"kubernetes.io/hostname": "a", "mine": "x"}), json!([]));
        check(Create, "nodes", "", plain(), Value::Null, "ok").await;
        check(
            Create,
            "nodes",
            "",
            json!({"metadata": {"name": "b"}}),
            Value::Null,
            "nodes \"b\" is forbidden: node \"a\" is not allowed to modify node \"b\"",
        )
        .await;
        let role = node(json!({"node-role.kubernetes.io/control-plane": ""}), json!([]));
        check(Create, "nodes", "", role.clone(), Value::Null, "nodes \"a\" is forbidden: node \"a\" is not allowed to set the following labels: node-role.kubernetes.io/control-plane").await;
        check(Update, "nodes", "a", role, plain(), "nodes \"a\" is forbidden: is not allowed to modify labels: node-role.kubernetes.io/control-plane").await;
        let untainted =
            node(json!({"kubernetes.io/hostname": "a", "mine": "x"}), json!([{"key": "k"}]));
        check(
            Update,
            "nodes/status",
            "a",
            plain(),
            untainted,
            "nodes \"a\" is forbidden: node \"a\" is not allowed to modify taints",
        )
        .await;
    }

    #[tokio::test]
    async fn pods_and_tokens() {
        use Operation::*;
        let on = |node: &str| json!({"metadata": {"labels": {}}, "spec": {"nodeName": node}});
        check(Update, "pods/status", "mine", on("a"), on("a"), "ok").await;
        check(Update, "pods/status", "other", on("b"), on("b"), "pods \"other\" is forbidden: node \"a\" can only update pod status for pods with spec.nodeName set to itself").await;
        check(Delete, "pods", "other", Value::Null, on("b"), "pods \"other\" is forbidden: node \"a\" can only delete pods with spec.nodeName set to itself").await;
        check(Delete, "pods", "mine", Value::Null, on("a"), "ok").await;
        check(Create, "pods", "", json!({"metadata": {"name": "p"}}), Value::Null, "pods \"p\" is forbidden: pod does not have \"kubernetes.io/config.mirror\" annotation, node \"a\" can only create mirror pods").await;
        let token = |pod: &str, uid: &str| json!({"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}}});
        check(Create, "serviceaccounts/token", "sa", token("mine", "m"), Value::Null, "ok").await;
        check(Create, "serviceaccounts/token", "sa", token("other", "o"), Value::Null, "serviceaccounts \"sa\" is forbidden: node requested token bound to a pod scheduled on a different node").await;
        let mut other = token("mine", "m");
        other["spec"]["audiences"] = json!(["vault"]);
        let refused = "serviceaccounts \"sa\" is forbidden: audience \"vault\" not found in pod spec volume, system:node:a is not authorized to request tokens for this audience";
        check(Create, "serviceaccounts/token", "sa", other, Value::Null, refused).await;
        check(
            Create,
            "serviceaccounts/token",
            "sa",
            json!({"spec": {}}),
            Value::Null,
            "serviceaccounts \"sa\" is forbidden: node requested token not bound to a pod",
        )
        .await;
    }
}

//! `pods/binding` and `bindings`: a pod gets its node.

use std::sync::Arc;

use kd_api::object::format_time;
use kd_api::{Kind, Object, Status};
use serde_json::{Value, json};

use super::created;
use crate::request::{Operation, RequestInfo};
use crate::verbs::{Proposal, Reply, VerbRequest, Write, update_object};

/// POST of a Binding.
pub(crate) async fn bind(request: &mut VerbRequest) -> Result<Reply, Status> {
    let mut binding = request.read_other(("", "v1", "Binding")).await?;
    let namespace = request.info().namespace.clone();
    if !matches!(binding.namespace(), "") && binding.namespace() != namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    binding.set_namespace(&namespace);
    let name = match request.info().name.as_str() {
        "" => binding.name().to_owned(),
        name => name.to_owned(),
    };
    check(&binding, &name)?;
    aim_at_pod(request, &name)?;
    let info = request.info().clone();
    let binding = admit(request, &info, binding).await?;
    let now = format_time((request.server().clock)());
    let propose = |pod: &Value| bound(pod, &binding, &now);
    let how = Proposal { admitted: false, ..Proposal::new("binding") };
    update_object(request, how, propose).await?;
    created()
}

fn check(binding: &Value, name: &str) -> Result<(), Status> {
    let invalid = |why: &str| Err(Status::bad_request(why));
    if !binding.name().is_empty() && binding.name() != name {
        return invalid("name in URL does not match name in Binding object");
    }
    match binding.str_at(&["target", "kind"]) {
        "" | "Node" => {}
        _ => {
            return invalid(
                "target.kind: Unsupported value: supported values: \"Node\", \"<empty>\"",
            );
        }
    }
    match binding.str_at(&["target", "name"]) {
        "" => invalid("target.name: Required value"),
        _ => Ok(()),
    }
}

/// From here on the request is about the pod.
fn aim_at_pod(request: &mut VerbRequest, name: &str) -> Result<(), Status> {
    let kinds = request.objects().kinds();
    let pods: Option<&Arc<Kind>> = kinds.get("", "v1", "pods");
    request.kind = pods.cloned().ok_or_else(Status::no_such_path)?;
    let info = &mut request.exchange.info;
    info.resource = "pods".into();
    info.subresource = "binding".into();
    name.clone_into(&mut info.name);
    Ok(())
}

async fn admit(
    request: &mut VerbRequest,
    info: &RequestInfo,
    binding: Value,
) -> Result<Value, Status> {
    let options = request.options("CreateOptions")?;
    let dry_run = request.query().dry_run()?;
    let write = Write {
        operation: Operation::Create,
        info,
        kind: ("", "v1", "Binding"),
        object: binding,
        old: None,
        options,
        dry_run,
    };
    request.admit(write, |_| Ok(())).await
}

/// The pod on its node.
fn bound(pod: &Value, binding: &Value, now: &str) -> Result<Value, Status> {
    let conflict = |why: &str| Status::conflict("", "pods/binding", pod.name(), why);
    let uid = binding.uid();
    if !uid.is_empty() && uid != pod.uid() {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            pod.uid()
        );
        return Err(conflict(&why));
    }
    if pod.is_terminating() {
        return Err(conflict(&format!(
            "pod {} is being deleted, cannot be assigned to a host",
            pod.name()
        )));
    }
    let node = pod.str_at(&["spec", "nodeName"]);
    if !node.is_empty() {
        return Err(conflict(&format!("pod {} is already assigned to node {node:?}", pod.name())));
    }
    if !pod.list_at(&["spec", "schedulingGates"]).is_empty() {
        return Err(conflict(&format!("pod {} has non-empty .spec.schedulingGates", pod.name())));
    }
    let mut pod = pod.clone();
    pod.set_at(&["spec", "nodeName"], binding["target"]["name"].clone());
    for (key, value) in binding.annotations().into_iter().flatten() {
        pod.set_at(&["metadata", "annotations", key], value.clone());
    }
    let condition = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null,
        "lastTransitionTime": now});
    set_condition(&mut pod, condition);
    // The node that preemption made room on is a plan, and the plan is done.
    pod.remove_at(&["status", "nominatedNodeName"]);
    // The version that was read is the condition of the write anyway.
    pod.set_resource_version("");
    Ok(pod)
}

/// Sets a condition of a pod; its transition time stays when its status does.
pub(super) fn set_condition(pod: &mut Value, mut condition: Value) {
    let mut conditions = pod.list_at(&["status", "conditions"]).to_vec();
    match conditions.iter_mut().find(|old| old["type"] == condition["type"]) {
        Some(old) => {
            if old["status"] == condition["status"] {
                condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = condition;
        }
        None => conditions.push(condition),
    }
    pod.set_at(&["status", "conditions"], conditions.into());
}

//! `pods/eviction`: a pod is deleted if its disruption budget allows it.

use std::sync::Arc;

use jiff::Timestamp;
use kd_api::object::format_time;
use kd_api::selector::Selector;
use kd_api::{Kind, Object, Status, StatusCause};
use kd_store::{Error, Expect, Transaction};
use serde_json::{Value, json};

use super::binding::set_condition;
use super::created;
use crate::request::{Operation, Reader};
use crate::storage::{key_of, store_failed};
use crate::verbs::{
    DeleteOptions, Proposal, Reply, VerbRequest, Write, delete_object, update_object,
};

const POLICY: &str = "policy";
const BUDGETS: &str = "poddisruptionbudgets";
/// A client that was refused may ask again after this long.
const RETRY_SECONDS: u32 = 10;
/// Times that a budget is taken from while others take from it.
const ATTEMPTS_MAX: usize = 16;
/// Evicted pods that a budget remembers before its controller has seen them.
const DISRUPTED_PODS_MAX: usize = 2000;

/// POST of an Eviction.
pub(super) async fn evict(request: &mut VerbRequest) -> Result<Reply, Status> {
    let eviction = request.read_other((POLICY, "v1", "Eviction")).await?;
    let info = request.info().clone();
    if !eviction.name().is_empty() && eviction.name() != info.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let mut options = DeleteOptions::parse(&eviction["deleteOptions"])?;
    options.dry_run |= request.query().dry_run()?;
    let write = Write {
        operation: Operation::Create,
        info: &info,
        kind: (POLICY, "v1", "Eviction"),
        object: eviction,
        old: None,
        options: request.options("CreateOptions")?,
        dry_run: options.dry_run,
    };
    request.admit(write, |_| Ok(())).await?;
    options.admitted = true;
    let key = key_of(&request.kind, &info.namespace, &info.name);
    let entry = request.objects().store.get(&key);
    let entry = entry.ok_or_else(|| request.not_found(&info.name))?;
    let pod = request.objects().decode(&request.kind, &entry)?;
    if needs_budget(&pod) {
        take_from_budget(request, &pod, options.dry_run).await?;
        if !options.dry_run {
            mark_disrupted(request).await?;
        }
    }
    delete_object(request, &info, &options).await?;
    created()
}

/// A pod that does not run, or that goes already, disrupts nobody.
fn needs_budget(pod: &Value) -> bool {
    let phase = pod.str_at(&["status", "phase"]);
    !pod.is_terminating() && !matches!(phase, "Succeeded" | "Failed" | "Pending")
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.list_at(&["status", "conditions"]);
    conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// The budgets whose selector has the pod.
fn budgets_of(request: &VerbRequest, pod: &Value) -> Result<Vec<Arc<Value>>, Status> {
    let budgets = request.server().reader().list(POLICY, BUDGETS, Some(pod.namespace()));
    let mut selecting = Vec::new();
    for budget in budgets {
        let selector = Selector::from_object(&budget["spec"]["selector"])?;
        if selector.matches_object(pod) {
            selecting.push(budget);
        }
    }
    Ok(selecting)
}

async fn take_from_budget(request: &VerbRequest, pod: &Value, dry_run: bool) -> Result<(), Status> {
    for _ in 0..ATTEMPTS_MAX {
        let budgets = budgets_of(request, pod)?;
        let budget = match budgets.as_slice() {
            [] => return Ok(()),
            [one] => one,
            _ => {
                return Err(Status::internal(
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
                ));
            }
        };
        if !is_ready(pod) && unhealthy_may_go(budget) {
            return Ok(());
        }
        let taken = taken(budget, pod.name(), (request.server().clock)())?;
        if dry_run || store_budget(request, budget, taken).await? {
            return Ok(());
        }
    }
    Err(refusal("Cannot evict pod as it would violate the pod's disruption budget.", None))
}

/// A pod that is not ready anyway may go when the budget says so, or is met without it.
fn unhealthy_may_go(budget: &Value) -> bool {
    let status = &budget["status"];
    let healthy = status.i64_at(&["currentHealthy"]).unwrap_or(0);
    let desired = status.i64_at(&["desiredHealthy"]).unwrap_or(0);
    budget.str_at(&["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow"
        || (healthy >= desired && desired > 0)
}

/// The budget with one disruption less.
fn taken(budget: &Value, pod: &str, now: Timestamp) -> Result<Value, Status> {
    let name = budget.name();
    let observed = budget.i64_at(&["status", "observedGeneration"]).unwrap_or(0);
    let violated = "Cannot evict pod as it would violate the pod's disruption budget.";
    if observed < budget.generation() {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(refusal(violated, Some(why)));
    }
    let allowed = budget.i64_at(&["status", "disruptionsAllowed"]).unwrap_or(0);
    if allowed < 0 {
        let why = "pdb disruptions allowed is negative";
        return Err(Status::forbidden(POLICY, "poddisruptionbudget", name, why));
    }
    let disrupted = budget.map_at(&["status", "disruptedPods"]).map_or(0, |pods| pods.len());
    if disrupted > DISRUPTED_PODS_MAX {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(Status::forbidden(POLICY, "poddisruptionbudget", name, why));
    }
    if allowed == 0 {
        let count = |field| budget.i64_at(&["status", field]).unwrap_or(0);
        let why = format!(
            "The disruption budget {name} needs {} healthy pods and has {} currently",
            count("desiredHealthy"),
            count("currentHealthy")
        );
        return Err(refusal(violated, Some(why)));
    }
    let mut budget = budget.clone();
    budget.set_at(&["status", "disruptionsAllowed"], (allowed - 1).into());
    budget.set_at(&["status", "disruptedPods", pod], format_time(now).into());
    Ok(budget)
}

/// 429 with the cause that clients look for.
fn refusal(message: &str, why: Option<String>) -> Status {
    let mut status = Status::too_many_requests(message, RETRY_SECONDS);
    if let Some(message) = why {
        let cause =
            StatusCause { reason: "DisruptionBudget".into(), message, field: String::new() };
        status.details.get_or_insert_default().causes.push(cause);
    }
    status
}

/// Whether the budget was still the same.
async fn store_budget(request: &VerbRequest, old: &Value, new: Value) -> Result<bool, Status> {
    let objects = request.objects();
    let kinds = objects.kinds();
    let kind: &Arc<Kind> = kinds.preferred(POLICY, BUDGETS).ok_or_else(Status::no_such_path)?;
    let revision = old.resource_version().parse().map_err(Status::internal)?;
    let key = key_of(kind, old.namespace(), old.name());
    let bytes = objects.encode(kind, &new);
    let transaction = Transaction::new().put(key, bytes, Expect::Revision(revision));
    match objects.store.commit(transaction).await {
        Ok(_) => Ok(true),
        Err(Error::Conflict { .. }) => Ok(false),
        Err(other) => Err(store_failed(other)),
    }
}

/// Tells why the pod goes.
async fn mark_disrupted(request: &mut VerbRequest) -> Result<(), Status> {
    let now = format_time((request.server().clock)());
    let propose = |pod: &Value| {
        let mut pod = pod.clone();
        let condition = json!({"type": "DisruptionTarget", "status": "True",
            "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
            "lastProbeTime": null, "lastTransitionTime": now});
        set_condition(&mut pod, condition);
        pod.set_resource_version("");
        Ok(pod)
    };
    let how = Proposal { admitted: false, ..Proposal::new("status") };
    update_object(request, how, propose).await.map(drop)
}

//! `status.resources` and `status.allocatedResources`: what the pod as a whole was granted, and has. Pure.

use k8s_openapi::api::core::v1::{Pod, PodStatus, ResourceRequirements};
use kd_runtime::Resources as Limits;

use super::observation::Observation;
use super::resize::{differ, put, quota_milli, shares_milli};
use crate::pod::PodExt;
use crate::qos::{Side, effective, pod_limits};
use crate::quantity::Resources;

/// Of the resources of a pod, those that its control group knows.
const OF_GROUPS: [&str; 2] = ["cpu", "memory"];

/// Tells the resources of a pod; its phase is told already.
pub fn set_pod_resources(pod: &Pod, seen: &Observation, status: &mut PodStatus) {
    let requests = effective(pod, Side::Requests);
    let group = seen.sandbox().filter(|_| status.phase.as_deref() == Some("Running"));
    let (asked, limited) = match group {
        Some(sandbox) => running(pod, &requests, &sandbox.spec.resources),
        None => (requests.clone(), effective(pod, Side::Limits)),
    };
    let some = |list: Resources| (!list.is_empty()).then_some(list);
    status.resources = Some(ResourceRequirements {
        requests: some(asked),
        limits: some(limited),
        ..ResourceRequirements::default()
    });
    status.allocated_resources = some(requests);
}

/// The requests and limits of a pod whose control group has the limits `has`.
fn running(pod: &Pod, summed: &Resources, has: &Limits) -> (Resources, Resources) {
    let own = pod.spec().resources.clone().unwrap_or_default();
    let (mut requests, mut limits) = (own.requests, own.limits);
    let sums = effective(pod, Side::Limits);
    let wanted = pod_limits(pod, None);
    for name in OF_GROUPS {
        if let Some(request) = summed.get(name) {
            requests.get_or_insert_default().insert(name.to_owned(), request.clone());
        }
        let limited = match name {
            "cpu" => wanted.cpu_quota_us.is_some(),
            _ => wanted.memory_limit_bytes.is_some(),
        };
        if let Some(limit) = sums.get(name).filter(|_| limited) {
            limits.get_or_insert_default().insert(name.to_owned(), limit.clone());
        }
    }
    if wanted.cpu_shares != has.cpu_shares {
        put(&mut requests, "cpu", shares_milli(has));
    }
    if differ(wanted.cpu_quota_us, has.cpu_quota_us) {
        put(&mut limits, "cpu", quota_milli(has));
    }
    if differ(wanted.memory_limit_bytes, has.memory_limit_bytes) {
        put(&mut limits, "memory", has.memory_limit_bytes.filter(|bytes| *bytes > 0));
    }
    (requests.unwrap_or_default(), limits.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::testing::{pod, sandbox};
    use serde_json::{Value, json};

    /// What is told of a pod that was made as `before` and is now granted `after`.
    fn told(before: &Value, after: &Value, phase: &str) -> Value {
        let mut made = sandbox(0, true, Vec::new());
        made.spec.resources = pod_limits(&pod(before.clone()), None);
        let seen = Observation { sandboxes: vec![made], ..Observation::default() };
        let mut status = PodStatus { phase: Some(phase.into()), ..PodStatus::default() };
        set_pod_resources(&pod(after.clone()), &seen, &mut status);
        json!([status.allocated_resources, status.resources])
    }

    #[test]
    fn what_is_told() {
        let spec = |whole: Value, first: Value| {
            json!({"resources": whole, "containers": [
                {"name": "a", "resources": first}, {"name": "b"}]})
        };
        let check = |before: &Value, after: &Value, phase: &str, expect: Value| {
            assert_eq!(told(before, after, phase), expect);
        };
        let none = spec(Value::Null, Value::Null);
        check(&none, &none, "Running", json!([null, {}]));
        // One container without a limit: the pod has none.
        let first = spec(
            Value::Null,
            json!({"requests": {"cpu": "100m", "ephemeral-storage": "1Gi"},
                "limits": {"memory": "64Mi"}}),
        );
        check(
            &first,
            &first,
            "Pending",
            json!([{"cpu": "100m", "ephemeral-storage": "1Gi"},
                {"requests": {"cpu": "100m", "ephemeral-storage": "1Gi"}, "limits": {"memory": "64Mi"}}]),
        );
        check(
            &first,
            &first,
            "Running",
            json!([{"cpu": "100m", "ephemeral-storage": "1Gi"}, {"requests": {"cpu": "100m"}}]),
        );
        let whole = |cpu: &str, memory: &str| {
            let both = json!({"cpu": cpu, "memory": memory});
            spec(json!({"requests": both, "limits": both}), Value::Null)
        };
        let (small, large) = (whole("250m", "64Mi"), whole("500m", "128Mi"));
        let both = |cpu: &str, memory: &str| json!({"cpu": cpu, "memory": memory});
        check(
            &small,
            &small,
            "Running",
            json!([both("250m", "64Mi"),
                {"requests": both("250m", "64Mi"), "limits": both("250m", "64Mi")}]),
        );
        // Granted, and not carried out yet.
        check(
            &small,
            &large,
            "Running",
            json!([both("500m", "128Mi"),
                {"requests": both("250m", "128Mi"), "limits": both("250m", "64Mi")}]),
        );
    }
}

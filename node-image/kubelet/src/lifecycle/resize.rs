//! Which containers run with other limits than they were granted, and what their status tells. Pure.

use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use kd_runtime::{ContainerStatus, Resources};

use crate::pod::{Member, Role};
use crate::qos::container_limits;
use crate::quantity::from_amount;

/// How a running container gets its new limits.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Its control group is changed.
    InPlace(Resources),
    /// It is started anew.
    Restart,
}

/// What a running container lacks of what it was granted.
pub fn change(pod: &Pod, member: &Member<'_>, container: &ContainerStatus) -> Option<Change> {
    if !matches!(member.role, Role::Main | Role::Sidecar) {
        return None;
    }
    let wanted = container_limits(pod, member, 0);
    let has = &container.spec.resources;
    let cpu = wanted.cpu_shares != has.cpu_shares || differ(wanted.cpu_quota_us, has.cpu_quota_us);
    let memory = differ(wanted.memory_limit_bytes, has.memory_limit_bytes);
    if !cpu && !memory {
        return None;
    }
    let restarts = |resource: &str| {
        let policies = member.container.resize_policy.iter().flatten();
        policies.into_iter().any(|policy| {
            policy.resource_name == resource && policy.restart_policy == "RestartContainer"
        })
    };
    if (cpu && restarts("cpu")) || (memory && restarts("memory")) {
        return Some(Change::Restart);
    }
    // What is not named stays; what is no limit any more is named as none.
    let mut limits = Resources { oom_score_adj: has.oom_score_adj, ..wanted };
    if limits.cpu_quota_us.is_none() && has.cpu_quota_us.is_some() {
        limits.cpu_quota_us = Some(-1);
    }
    if limits.memory_limit_bytes.is_none() && has.memory_limit_bytes.is_some() {
        limits.memory_limit_bytes = Some(-1);
    }
    Some(Change::InPlace(limits))
}

/// Whether the control group of a pod lacks something of what it is to have.
pub fn group_differs(has: &Resources, wanted: &Resources) -> bool {
    wanted.cpu_shares != has.cpu_shares
        || differ(wanted.cpu_quota_us, has.cpu_quota_us)
        || differ(wanted.memory_limit_bytes, has.memory_limit_bytes)
}

/// Whether two limits differ; what is not above zero is none.
pub(super) fn differ(wanted: Option<i64>, has: Option<i64>) -> bool {
    wanted.filter(|limit| *limit > 0) != has.filter(|limit| *limit > 0)
}

/// The resources that a running container has, in the words of its specification.
pub fn actual(pod: &Pod, member: &Member<'_>, container: &ContainerStatus) -> ResourceRequirements {
    let mut told = member.container.resources.clone().unwrap_or_default();
    let (wanted, has) = (container_limits(pod, member, 0), &container.spec.resources);
    if differ(wanted.cpu_quota_us, has.cpu_quota_us) {
        put(&mut told.limits, "cpu", quota_milli(has));
    }
    if wanted.cpu_shares != has.cpu_shares {
        put(&mut told.requests, "cpu", shares_milli(has));
    }
    if differ(wanted.memory_limit_bytes, has.memory_limit_bytes) {
        put(&mut told.limits, "memory", has.memory_limit_bytes.filter(|bytes| *bytes > 0));
    }
    told
}

/// A quota in thousandths of a core; none when there is no limit.
pub(super) fn quota_milli(has: &Resources) -> Option<i64> {
    let period = i64::try_from(has.cpu_period_us.unwrap_or(100_000)).unwrap_or(100_000);
    has.cpu_quota_us.filter(|quota| *quota > 0).map(|quota| quota * 1000 / period.max(1))
}

/// Shares in thousandths of a core.
pub(super) fn shares_milli(has: &Resources) -> Option<i64> {
    has.cpu_shares.map(|shares| i64::try_from((shares * 1000).div_ceil(1024)).unwrap_or(i64::MAX))
}

/// Replaces one resource of a list, or takes it away.
pub(super) fn put(list: &mut Option<crate::quantity::Resources>, name: &str, amount: Option<i64>) {
    match amount {
        Some(amount) => {
            list.get_or_insert_default().insert(name.to_owned(), from_amount(name, amount));
        }
        None => {
            if let Some(list) = list {
                list.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::testing::{container, running};
    use crate::pod::PodExt;
    use serde_json::{Value, json};

    fn pod(resources: Value, policy: Value) -> Pod {
        serde_json::from_value(json!({"spec": {"containers": [
            {"name": "c", "resources": resources, "resizePolicy": policy}]}}))
        .unwrap()
    }

    fn started_with(resources: Value) -> ContainerStatus {
        let pod = pod(resources, Value::Null);
        let mut container = container(&pod, "c", 0, running());
        container.spec.resources = container_limits(&pod, &pod.members()[0], 0);
        container
    }

    #[test]
    fn changes() {
        let check = |before: Value, after: Value, policy: Value, expect: &str| {
            let (pod, container) = (pod(after, policy), started_with(before));
            let found = match change(&pod, &pod.members()[0], &container) {
                None => "none".to_owned(),
                Some(Change::Restart) => "restart".to_owned(),
                Some(Change::InPlace(r)) => {
                    format!("{:?} {:?}", r.cpu_quota_us, r.memory_limit_bytes)
                }
            };
            assert_eq!(found, expect);
        };
        let limits = |cpu: &str, memory: &str| json!({"limits": {"cpu": cpu, "memory": memory}});
        let restart = |resource: &str| json!([{"resourceName": resource, "restartPolicy": "RestartContainer"}]);
        let none = || Value::Null;
        check(limits("1", "1Mi"), limits("1", "1Mi"), none(), "none");
        check(limits("1", "1Mi"), limits("2", "1Mi"), none(), "Some(200000) Some(1048576)");
        check(limits("1", "1Mi"), limits("1", "2Mi"), restart("cpu"), "Some(100000) Some(2097152)");
        check(limits("1", "1Mi"), limits("1", "2Mi"), restart("memory"), "restart");
        check(limits("1", "1Mi"), json!({"limits": {"cpu": "1"}}), none(), "Some(100000) Some(-1)");
    }

    #[test]
    fn what_is_told() {
        let pod = pod(
            json!({"requests": {"cpu": "1", "memory": "1Mi"}, "limits": {"cpu": "2", "memory": "4Mi"}}),
            Value::Null,
        );
        let before = started_with(
            json!({"requests": {"cpu": "500m", "memory": "1Mi"}, "limits": {"cpu": "1", "memory": "2Mi"}}),
        );
        let told = actual(&pod, &pod.members()[0], &before);
        assert_eq!(
            serde_json::to_value(told).unwrap(),
            json!({"requests": {"cpu": "500m", "memory": "1Mi"}, "limits": {"cpu": "1", "memory": "2Mi"}})
        );
    }
}

//! Quality of service of a pod, and what follows from it: cgroups, shares, quotas, oom scores.

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use kd_runtime::Resources as Limits;

use crate::pod::{Member, PodExt, Role};
use crate::quantity::{amount, cpu_milli, memory_bytes};

/// `status.qosClass`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QosClass {
    /// Requests and limits are given and equal for CPU and memory everywhere.
    Guaranteed,
    /// Some are given.
    Burstable,
    /// None is given.
    BestEffort,
}

impl QosClass {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            QosClass::Guaranteed => "Guaranteed",
            QosClass::Burstable => "Burstable",
            QosClass::BestEffort => "BestEffort",
        }
    }
}

const CPU_PERIOD_US: u64 = 100_000;
const CPU_QUOTA_US_MIN: i64 = 1_000;
const CPU_SHARES_MIN: u64 = 2;
const CPU_SHARES_MAX: u64 = 262_144;

/// The class of a pod.
pub fn qos_class(pod: &Pod) -> QosClass {
    if let Some(resources) = pod_level(pod) {
        return class_of(std::iter::once(resources));
    }
    let members = pod.members();
    let empty = ResourceRequirements::default();
    let counted = members.iter().filter(|m| m.role != Role::Ephemeral);
    class_of(counted.map(|m| m.container.resources.as_ref().unwrap_or(&empty)))
}

fn class_of<'a>(all: impl Iterator<Item = &'a ResourceRequirements>) -> QosClass {
    let (mut any, mut guaranteed) = (false, true);
    for resources in all {
        for name in ["cpu", "memory"] {
            let value = |list: &Option<crate::quantity::Resources>| {
                list.as_ref().and_then(|l| l.get(name)).map(|q| amount(name, q)).filter(|v| *v > 0)
            };
            let limit = value(&resources.limits);
            let request = value(&resources.requests).or(limit);
            any |= request.is_some();
            guaranteed &= limit.is_some() && limit == request;
        }
    }
    match (any, guaranteed) {
        (false, _) => QosClass::BestEffort,
        (true, true) => QosClass::Guaranteed,
        (true, false) => QosClass::Burstable,
    }
}

fn pod_level(pod: &Pod) -> Option<&ResourceRequirements> {
    let resources = pod.spec().resources.as_ref()?;
    let given =
        |list: &Option<crate::quantity::Resources>| list.as_ref().is_some_and(|l| !l.is_empty());
    (given(&resources.requests) || given(&resources.limits)).then_some(resources)
}

/// The pod's cgroup, relative to the hierarchy the node owns.
pub fn pod_cgroup(root: &str, pod: &Pod) -> String {
    let uid = pod.uid();
    match qos_class(pod) {
        QosClass::Guaranteed => format!("{root}/pod{uid}"),
        QosClass::Burstable => format!("{root}/burstable/pod{uid}"),
        QosClass::BestEffort => format!("{root}/besteffort/pod{uid}"),
    }
}

/// Limits of the whole pod.
pub fn pod_limits(pod: &Pod, pids_max: Option<i64>) -> Limits {
    let requests = cpu_milli(Some(&effective(pod, Side::Requests)));
    let limits = effective(pod, Side::Limits);
    let mut made = Limits {
        cpu_shares: Some(shares(requests.unwrap_or(0))),
        pids_limit: pids_max,
        ..Limits::default()
    };
    if let Some(cpu) = cpu_milli(Some(&limits)).filter(|_| all_limited(pod, "cpu")) {
        (made.cpu_quota_us, made.cpu_period_us) = (Some(quota(cpu)), Some(CPU_PERIOD_US));
    }
    made.memory_limit_bytes = memory_bytes(Some(&limits)).filter(|_| all_limited(pod, "memory"));
    made
}

/// Limits of one container. What it does not limit itself is limited by the pod; programs look
/// for that in their own control group.
pub fn container_limits(pod: &Pod, member: &Member<'_>, node_memory_bytes: u64) -> Limits {
    let empty = ResourceRequirements::default();
    let resources = member.container.resources.as_ref().unwrap_or(&empty);
    let whole = pod_level(pod).and_then(|resources| resources.limits.as_ref());
    let above_zero = |limit: &i64| *limit > 0;
    let own = cpu_milli(resources.limits.as_ref()).filter(above_zero);
    let limit = own.or(cpu_milli(whole).filter(above_zero));
    let memory = memory_bytes(resources.limits.as_ref()).filter(above_zero);
    let request = cpu_milli(resources.requests.as_ref()).or(limit);
    let mut made = Limits {
        cpu_shares: Some(shares(request.unwrap_or(0))),
        memory_limit_bytes: memory.or(memory_bytes(whole).filter(above_zero)),
        oom_score_adj: Some(oom_score(pod, member, node_memory_bytes)),
        ..Limits::default()
    };
    if let Some(cpu) = limit {
        (made.cpu_quota_us, made.cpu_period_us) = (Some(quota(cpu)), Some(CPU_PERIOD_US));
    }
    for (name, value) in resources.limits.iter().flatten() {
        if let Some(size) = name.strip_prefix("hugepages-") {
            let size = size.replace("Mi", "MB").replace("Gi", "GB").replace("Ki", "KB");
            made.hugepage_limits.insert(size, amount(name, value).max(0).unsigned_abs());
        }
    }
    made
}

fn oom_score(pod: &Pod, member: &Member<'_>, node_memory_bytes: u64) -> i32 {
    // Upstream's node-critical priority class.
    const NODE_CRITICAL: i32 = 2_000_001_000;
    if pod.spec().priority.is_some_and(|p| p >= NODE_CRITICAL) {
        return -997;
    }
    match qos_class(pod) {
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1000,
        QosClass::Burstable => {
            let mut request = memory_request(&member.container);
            if member.role == Role::Sidecar {
                // It is not to be killed before those that it serves.
                let served = pod.spec().containers.iter().map(memory_request).min();
                request = request.max(served.unwrap_or(0));
            }
            let request = request + memory_beyond_containers(pod);
            let share = 1000 * i128::from(request) / i128::from(node_memory_bytes.max(1));
            let score = i32::try_from(1000 - share).unwrap_or(2);
            // Between those of guaranteed and of best-effort pods.
            score.clamp(3, 999)
        }
    }
}

fn memory_request(container: &Container) -> i64 {
    let resources = container.resources.as_ref();
    resources.and_then(|r| memory_bytes(r.requests.as_ref())).unwrap_or(0)
}

/// An equal share, for each container that stays, of what the pod asks for beyond them.
fn memory_beyond_containers(pod: &Pod) -> i64 {
    let whole = pod_level(pod).and_then(|resources| memory_bytes(resources.requests.as_ref()));
    let Some(whole) = whole else { return 0 };
    let members = pod.members();
    let staying = members.iter().filter(|m| matches!(m.role, Role::Main | Role::Sidecar));
    let requests: Vec<i64> = staying.map(|member| memory_request(&member.container)).collect();
    let count = i64::try_from(requests.len().max(1)).unwrap_or(i64::MAX);
    (whole - requests.iter().sum::<i64>()).max(0) / count
}

/// `cpu.shares` of thousandths of a core.
pub fn shares(milli: i64) -> u64 {
    (milli.max(0).unsigned_abs() * 1024 / 1000).clamp(CPU_SHARES_MIN, CPU_SHARES_MAX)
}

/// Microseconds per period of thousandths of a core.
fn quota(milli: i64) -> i64 {
    (milli * 100).max(CPU_QUOTA_US_MIN)
}

/// Requests or limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `resources.requests`
    Requests,
    /// `resources.limits`
    Limits,
}

/// What the pod as a whole asks for: the larger of its main containers with sidecars together and
/// of each init container with the sidecars before it, plus overhead.
pub fn effective(pod: &Pod, side: Side) -> crate::quantity::Resources {
    let mut sum = Amounts::new();
    let mut sidecars = Amounts::new();
    let mut init_peak = Amounts::new();
    for member in pod.members() {
        let own = amounts_of(member.container.resources.as_ref(), side);
        match member.role {
            Role::Init => raise(&mut init_peak, &added(&sidecars, &own)),
            Role::Sidecar => {
                sidecars = added(&sidecars, &own);
                raise(&mut init_peak, &sidecars.clone());
            }
            Role::Main => sum = added(&sum, &own),
            Role::Ephemeral => {}
        }
    }
    sum = added(&sum, &sidecars);
    raise(&mut sum, &init_peak);
    if let Some(resources) = pod_level(pod) {
        for (name, value) in amounts_of(Some(resources), side) {
            sum.insert(name, value);
        }
    }
    let overhead = pod.spec().overhead.iter().flatten();
    for (name, value) in overhead {
        // A limit that is not there is not made by its overhead.
        if side == Side::Requests || sum.contains_key(name) {
            *sum.entry(name.clone()).or_insert(0) += amount(name, value);
        }
    }
    sum.into_iter()
        .map(|(name, v)| (name.clone(), crate::quantity::from_amount(&name, v)))
        .collect()
}

type Amounts = std::collections::BTreeMap<String, i64>;

fn amounts_of(resources: Option<&ResourceRequirements>, side: Side) -> Amounts {
    let list = resources.and_then(|r| match side {
        Side::Requests => r.requests.as_ref(),
        Side::Limits => r.limits.as_ref(),
    });
    list.into_iter().flatten().map(|(name, q)| (name.clone(), amount(name, q))).collect()
}

fn added(a: &Amounts, b: &Amounts) -> Amounts {
    let mut sum = a.clone();
    for (name, value) in b {
        *sum.entry(name.clone()).or_insert(0) += value;
    }
    sum
}

fn raise(peak: &mut Amounts, candidate: &Amounts) {
    for (name, value) in candidate {
        let known = peak.entry(name.clone()).or_insert(0);
        *known = (*known).max(*value);
    }
}

fn all_limited(pod: &Pod, name: &str) -> bool {
    let limited =
        |r: &ResourceRequirements| r.limits.as_ref().is_some_and(|l| l.contains_key(name));
    if pod_level(pod).is_some_and(limited) {
        return true;
    }
    let members = pod.members();
    let mut counted = members.iter().filter(|m| m.role != Role::Ephemeral);
    counted.all(|m| m.container.resources.as_ref().is_some_and(limited))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(containers: serde_json::Value) -> Pod {
        serde_json::from_value(
            json!({"metadata": {"uid": "u"}, "spec": {"containers": containers}}),
        )
        .unwrap()
    }

    fn resources(requests: serde_json::Value, limits: serde_json::Value) -> serde_json::Value {
        json!([{"name": "c", "resources": {"requests": requests, "limits": limits}}])
    }

    #[test]
    fn classes_and_cgroups() {
        let check = |requests, limits, class: QosClass, cgroup: &str| {
            let pod = pod(resources(requests, limits));
            assert_eq!(qos_class(&pod), class);
            assert_eq!(pod_cgroup("kubepods", &pod), cgroup);
        };
        check(json!({}), json!({}), QosClass::BestEffort, "kubepods/besteffort/podu");
        check(json!({"cpu": "1"}), json!({}), QosClass::Burstable, "kubepods/burstable/podu");
        let both = json!({"cpu": "1", "memory": "1Gi"});
        check(json!({}), both.clone(), QosClass::Guaranteed, "kubepods/podu");
        check(both.clone(), both.clone(), QosClass::Guaranteed, "kubepods/podu");
        check(json!({"cpu": "500m"}), both, QosClass::Burstable, "kubepods/burstable/podu");
        check(json!({}), json!({"cpu": "1"}), QosClass::Burstable, "kubepods/burstable/podu");
    }

    #[test]
    fn limits_of_a_container() {
        let pod = pod(resources(json!({"memory": "1Gi"}), json!({"cpu": "250m", "memory": "2Gi"})));
        let limits = container_limits(&pod, &pod.members()[0], 4 << 30);
        assert_eq!(limits.cpu_shares, Some(256));
        assert_eq!((limits.cpu_quota_us, limits.cpu_period_us), (Some(25_000), Some(100_000)));
        assert_eq!(limits.memory_limit_bytes, Some(2 << 30));
        assert_eq!(limits.oom_score_adj, Some(750));
    }

    #[test]
    fn limits_of_the_pod_are_those_of_its_containers() {
        let whole = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        let own = json!({"limits": {"memory": "256Mi"}});
        let pod: Pod = serde_json::from_value(json!({"spec": {"resources": whole,
            "containers": [{"name": "a"}, {"name": "b", "resources": own}]}}))
        .unwrap();
        let check = |position: usize, memory: i64| {
            let limits = container_limits(&pod, &pod.members()[position], 4 << 30);
            assert_eq!(
                (limits.cpu_quota_us, limits.memory_limit_bytes),
                (Some(100_000), Some(memory))
            );
        };
        check(0, 1 << 30);
        check(1, 256 << 20);
    }

    #[test]
    fn who_is_killed_first() {
        let memory = |size: &str| json!({"requests": {"memory": size}});
        let check = |spec: serde_json::Value, expect: &[i32]| {
            let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            let score = |m: &Member<'_>| container_limits(&pod, m, 4 << 30).oom_score_adj.unwrap();
            assert_eq!(pod.members().iter().map(score).collect::<Vec<_>>(), expect);
        };
        let main = json!([{"name": "a", "resources": memory("1Gi")}, {"name": "b", "resources": memory("2Gi")}]);
        check(json!({"containers": main}), &[750, 500]);
        // A sidecar is not killed before the first of those that it serves.
        let sidecar = json!([{"name": "s", "restartPolicy": "Always", "resources": memory("1Mi")}]);
        check(json!({"initContainers": sidecar, "containers": main}), &[750, 750, 500]);
        // What the pod asks for beyond its containers is shared out.
        check(json!({"resources": memory("4Gi"), "containers": main}), &[625, 375]);
        check(json!({"containers": [{"name": "a"}]}), &[1000]);
    }

    #[test]
    fn limits_of_a_pod_need_every_container_limited() {
        let limited = json!({"name": "a", "resources": {"limits": {"memory": "1Gi"}}});
        let all = pod(json!([limited, limited]));
        assert_eq!(pod_limits(&all, None).memory_limit_bytes, Some(2 << 30));
        let some = pod(json!([limited, {"name": "b"}]));
        assert_eq!(pod_limits(&some, None).memory_limit_bytes, None);
        assert_eq!(pod_limits(&some, None).cpu_shares, Some(2));
    }

    #[test]
    fn init_containers_count_by_their_peak() {
        let request = |cpu: &str| json!({"requests": {"cpu": cpu}});
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": request("100m")},
                {"name": "i", "resources": request("2")}],
            "containers": [{"name": "c", "resources": request("1")}]}}))
        .unwrap();
        assert_eq!(effective(&pod, Side::Requests)["cpu"].0, "2100m");
    }
}

//! Whether the kubelet takes a pod that was bound to its node: what a scheduler would have checked
//! may not hold when `spec.nodeName` was set by hand.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeSelector, Pod};
use kd_client::placement;

use crate::config::Config;
use crate::lifecycle::Stop;
use crate::pod::PodExt;
use crate::qos::{Side, effective};
use crate::quantity::{Resources, amount};

/// Refuses a pod that cannot run here beside the `others`.
pub fn admit(
    pod: &Pod,
    others: &[&Pod],
    node: &Node,
    allocatable: &Resources,
    config: &Config,
) -> Result<(), Stop> {
    checked_system(pod)?;
    checked_sysctls(pod, &config.unsafe_sysctls)?;
    checked_count(others, config.pods_max)?;
    checked_resources(pod, others, allocatable)?;
    checked_affinity(pod, node)?;
    checked_ports(pod, others)?;
    checked_taints(pod, node)
}

fn refused(reason: &str, message: impl Into<String>) -> Stop {
    Stop::of(reason, message)
}

/// Profiles are not silently left out where the kernel has no AppArmor.
pub fn checked_app_armor(pod: &Pod, enabled: bool) -> Result<(), Stop> {
    let whole = pod.spec().security_context.as_ref().and_then(|s| s.app_armor_profile.as_ref());
    let confined = pod.members().iter().any(|member| {
        let own = member.container.security_context.as_ref();
        let profile = own.and_then(|s| s.app_armor_profile.as_ref()).or(whole);
        profile.is_some_and(|profile| profile.type_ != "Unconfined")
    });
    match confined && !enabled {
        true => {
            let message = "Cannot enforce AppArmor: AppArmor is not enabled on the host";
            Err(refused("AppArmor", message))
        }
        false => Ok(()),
    }
}

fn checked_system(pod: &Pod) -> Result<(), Stop> {
    let system = pod.spec().os.as_ref().map_or("linux", |os| os.name.as_str());
    if system == "linux" {
        return Ok(());
    }
    let message = "Failed to admit pod as the OS field doesn't match node OS";
    Err(refused("PodOSNotSupported", message))
}

/// Sysctls that concern the pod alone.
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

fn checked_sysctls(pod: &Pod, more: &[String]) -> Result<(), Stop> {
    let context = pod.spec().security_context.as_ref();
    let asked = context.and_then(|c| c.sysctls.as_deref()).unwrap_or_default();
    // Both spellings of the separator are accepted.
    let allowed = |name: &str| {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        };
        SAFE_SYSCTLS.contains(&name) || more.iter().any(matches)
    };
    match asked.iter().find(|s| !allowed(&s.name.replace('/', "."))) {
        None => Ok(()),
        Some(s) => {
            let message = format!("forbidden sysctl: \"{}\" not allowlisted", s.name);
            Err(refused("SysctlForbidden", message))
        }
    }
}

fn checked_count(others: &[&Pod], pods_max: u32) -> Result<(), Stop> {
    let used = others.len();
    if (used as u64) < u64::from(pods_max) {
        return Ok(());
    }
    let message = format!(
        "Node didn't have enough resource: pods, requested: 1, used: {used}, capacity: {pods_max}"
    );
    Err(refused("OutOfpods", message))
}

/// Whether the others leave what a pod asks for.
pub fn checked_resources(pod: &Pod, others: &[&Pod], allocatable: &Resources) -> Result<(), Stop> {
    let mut used: BTreeMap<String, i64> = BTreeMap::new();
    for other in others {
        for (name, quantity) in effective(other, Side::Requests) {
            *used.entry(name.clone()).or_insert(0) += amount(&name, &quantity);
        }
    }
    for (name, quantity) in effective(pod, Side::Requests) {
        let requested = amount(&name, &quantity);
        // What the node does not know is not the kubelet's to refuse.
        let Some(capacity) = allocatable.get(&name).map(|q| amount(&name, q)) else { continue };
        let used = used.get(&name).copied().unwrap_or(0);
        if requested > 0 && requested > capacity - used {
            let message = format!(
                "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, \
                 capacity: {capacity}"
            );
            return Err(refused(&format!("OutOf{name}"), message));
        }
    }
    Ok(())
}

fn checked_affinity(pod: &Pod, node: &Node) -> Result<(), Stop> {
    match placement::accepts(pod.spec(), name(node), labels(node)) {
        true => Ok(()),
        false => Err(refused(
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        )),
    }
}

/// Whether a node is one of those that a selector means.
pub fn selects_node(selector: &NodeSelector, node: &Node) -> bool {
    placement::matches_selector(selector, name(node), labels(node))
}

fn name(node: &Node) -> &str {
    node.metadata.name.as_deref().unwrap_or_default()
}

fn labels(node: &Node) -> &BTreeMap<String, String> {
    const NONE: &BTreeMap<String, String> = &BTreeMap::new();
    node.metadata.labels.as_ref().unwrap_or(NONE)
}

type HostPort = (String, String, i32);

fn checked_ports(pod: &Pod, others: &[&Pod]) -> Result<(), Stop> {
    let taken: Vec<HostPort> = others.iter().flat_map(|other| host_ports(other)).collect();
    let clash = |a: &HostPort, b: &HostPort| {
        let any = |ip: &str| ip.is_empty() || ip == "0.0.0.0" || ip == "::";
        a.1 == b.1 && a.2 == b.2 && (a.0 == b.0 || any(&a.0) || any(&b.0))
    };
    match host_ports(pod).iter().any(|wanted| taken.iter().any(|t| clash(wanted, t))) {
        false => Ok(()),
        true => Err(refused(
            "NodePorts",
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
        )),
    }
}

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let text = |t: &Option<String>, default: &str| t.clone().unwrap_or_else(|| default.to_owned());
    let members = pod.members();
    let ports = members.iter().flat_map(|m| m.container.ports.clone().unwrap_or_default());
    ports
        .filter_map(|p| {
            let port = p.host_port.filter(|port| *port > 0)?;
            Some((text(&p.host_ip, ""), text(&p.protocol, "TCP"), port))
        })
        .collect()
}

/// Only NoExecute: the others are the scheduler's.
fn checked_taints(pod: &Pod, node: &Node) -> Result<(), Stop> {
    let taints = node.spec.as_ref().and_then(|s| s.taints.as_deref()).unwrap_or_default();
    let tolerations = pod.spec().tolerations.as_deref().unwrap_or_default();
    if !placement::tolerates_all(tolerations, taints, &["NoExecute"]) {
        let message =
            "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate";
        return Err(refused("TaintToleration", message));
    }
    Ok(())
}

#[cfg(test)]
mod app_armor_tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn profiles_need_the_kernel() {
        let check = |spec: Value, enabled: bool, ok: bool| {
            let pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            assert_eq!(checked_app_armor(&pod, enabled).is_ok(), ok);
        };
        let profile = |kind: &str| json!({"appArmorProfile": {"type": kind}});
        let whole =
            |kind: &str| json!({"securityContext": profile(kind), "containers": [{"name": "c"}]});
        check(json!({"containers": [{"name": "c"}]}), false, true);
        check(whole("RuntimeDefault"), false, false);
        check(whole("RuntimeDefault"), true, true);
        check(whole("Unconfined"), false, true);
        let mut own = whole("RuntimeDefault");
        own["containers"][0]["securityContext"] = profile("Unconfined");
        check(own, false, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "uid": "u"}, "spec": spec}))
            .unwrap()
    }

    fn check(spec: Value, other: Value, expect: Result<(), &str>) {
        let node: Node = serde_json::from_value(json!({"metadata": {"name": "n",
            "labels": {"disk": "ssd"}}, "spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}))
        .unwrap();
        let allocatable = serde_json::from_value(json!({"cpu": "2", "memory": "1Gi"})).unwrap();
        let tolerating = |mut spec: Value| {
            spec["tolerations"] = json!([{"operator": "Exists"}]);
            pod(spec)
        };
        let found = admit(
            &tolerating(spec),
            &[&tolerating(other)],
            &node,
            &allocatable,
            &Config::default(),
        );
        assert_eq!(found.as_ref().map_err(|stop| stop.reason.as_str()).copied(), expect);
    }

    #[test]
    fn reasons() {
        let none = || json!({"containers": []});
        let cpu = |amount: &str| json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": amount}}}]});
        check(cpu("1"), cpu("1"), Ok(()));
        check(cpu("1100m"), cpu("1"), Err("OutOfcpu"));
        let port = |ip: &str, protocol: &str| {
            json!({"containers": [{"name": "c", "ports":
                [{"hostPort": 80, "hostIP": ip, "protocol": protocol}]}]})
        };
        check(port("", "TCP"), port("", "TCP"), Err("NodePorts"));
        check(port("1.1.1.1", "TCP"), port("0.0.0.0", "TCP"), Err("NodePorts"));
        check(port("1.1.1.1", "TCP"), port("1.1.1.2", "TCP"), Ok(()));
        check(port("", "TCP"), port("", "UDP"), Ok(()));
        check(json!({"containers": [], "nodeSelector": {"disk": "ssd"}}), none(), Ok(()));
        check(
            json!({"containers": [], "nodeSelector": {"disk": "hdd"}}),
            none(),
            Err("NodeAffinity"),
        );
        let affinity = |term: Value| {
            json!({"containers": [], "affinity": {"nodeAffinity":
                {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}})
        };
        let field = |name: &str| json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]});
        check(affinity(field("n")), none(), Ok(()));
        check(affinity(field("m")), none(), Err("NodeAffinity"));
        let sysctl = |name: &str| json!({"containers": [], "securityContext": {"sysctls": [{"name": name, "value": "1"}]}});
        check(sysctl("net/ipv4/tcp_syncookies"), none(), Ok(()));
        check(sysctl("kernel.msgmax"), none(), Err("SysctlForbidden"));
        check(
            json!({"containers": [], "os": {"name": "windows"}}),
            none(),
            Err("PodOSNotSupported"),
        );
    }

    #[test]
    fn taints() {
        let node: Node = serde_json::from_value(json!({"metadata": {"name": "n"},
            "spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}))
        .unwrap();
        let found = admit(
            &pod(json!({"containers": []})),
            &[],
            &node,
            &Resources::new(),
            &Config::default(),
        );
        assert_eq!(found.unwrap_err().reason, "TaintToleration");
    }
}

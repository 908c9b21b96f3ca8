//! The baseline standard: no known privilege escalation.

use std::collections::BTreeSet;

use kd_api::Object;
use serde_json::Value;

use super::check::{
    Check, Violation, containers, context, named, names, pod_and_containers, quoted, violation,
};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "appArmorProfile", replaces: "", run: app_armor },
    Check { name: "capabilities", replaces: "", run: capabilities },
    Check { name: "hostNamespaces", replaces: "", run: host_namespaces },
    Check { name: "hostPathVolumes", replaces: "", run: host_path_volumes },
    Check { name: "hostPorts", replaces: "", run: host_ports },
    Check { name: "hostProbesAndHostLifecycle", replaces: "", run: probe_hosts },
    Check { name: "privileged", replaces: "", run: privileged },
    Check { name: "procMount", replaces: "", run: proc_mount },
    Check { name: "seLinuxOptions", replaces: "", run: se_linux },
    Check { name: "seccompProfile", replaces: "", run: seccomp },
    Check { name: "sysctls", replaces: "", run: sysctls },
    Check { name: "windowsHostProcess", replaces: "", run: host_process },
];

const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const SE_LINUX_TYPES: [&str; 5] =
    ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
const SAFE_SYSCTLS: [&str; 10] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_syncookies",
];
const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

fn app_armor(pod: &Value) -> Option<Violation> {
    let unconfined = |of: &Value| {
        let profile = context(of, &["appArmorProfile", "type"]).and_then(Value::as_str);
        profile.is_some_and(|profile| !["RuntimeDefault", "Localhost"].contains(&profile))
    };
    let mut details =
        pod_and_containers(pod, unconfined, "must not set AppArmor profile type to \"Unconfined\"");
    for (key, value) in pod.annotations().into_iter().flatten() {
        let profile = value.as_str().unwrap_or("");
        let fine =
            profile.is_empty() || profile == "runtime/default" || profile.starts_with("localhost/");
        if key.starts_with(APP_ARMOR_ANNOTATION) && !fine {
            let unit = if details.is_empty() { "annotation " } else { "" };
            details.push(format!("{unit}{key:?}={profile:?}"));
        }
    }
    let reason = if details.len() > 1 {
        "forbidden AppArmor profiles"
    } else {
        "forbidden AppArmor profile"
    };
    violation(reason, details)
}

fn capabilities(pod: &Value) -> Option<Violation> {
    let (names, added) = added_capabilities(pod, &DEFAULT_CAPABILITIES);
    if names.is_empty() {
        return None;
    }
    let detail = format!(
        "{} must not include {} in securityContext.capabilities.add",
        named(&names),
        quoted(&added)
    );
    Some(Violation { reason: "non-default capabilities", detail })
}

/// The containers that add capabilities outside of a list, and which.
pub(super) fn added_capabilities<'a>(
    pod: &'a Value,
    allowed: &[&str],
) -> (Vec<&'a str>, Vec<&'a str>) {
    let forbidden = |container: &'a Value| {
        let added = container.list_at(&["securityContext", "capabilities", "add"]).iter();
        added.filter_map(Value::as_str).filter(|name| !allowed.contains(name))
    };
    let names = containers(pod).filter(|container| forbidden(container).next().is_some());
    let added: BTreeSet<&str> = containers(pod).flat_map(forbidden).collect();
    (names.map(|c| c.str_at(&["name"])).collect(), added.into_iter().collect())
}

fn host_namespaces(pod: &Value) -> Option<Violation> {
    let fields = ["hostNetwork", "hostPID", "hostIPC"];
    let used: Vec<String> = fields
        .iter()
        .filter(|field| pod.bool_at(&["spec", field]))
        .map(|field| format!("{field}=true"))
        .collect();
    (!used.is_empty()).then(|| Violation { reason: "host namespaces", detail: used.join(", ") })
}

fn host_path_volumes(pod: &Value) -> Option<Violation> {
    let volumes = pod.list_at(&["spec", "volumes"]).iter();
    let names: Vec<&str> = volumes
        .filter(|volume| volume.get("hostPath").is_some_and(Value::is_object))
        .map(|volume| volume.str_at(&["name"]))
        .collect();
    let word = if names.len() == 1 { "volume" } else { "volumes" };
    let detail = format!("{word} {}", quoted(&names));
    (!names.is_empty()).then_some(Violation { reason: "hostPath volumes", detail })
}

fn host_ports(pod: &Value) -> Option<Violation> {
    let ports_of = |container: &Value| -> Vec<i64> {
        let ports = container.list_at(&["ports"]).iter();
        ports.filter_map(|port| port.i64_at(&["hostPort"])).filter(|port| *port != 0).collect()
    };
    let names = names(pod, |container| !ports_of(container).is_empty());
    if names.is_empty() {
        return None;
    }
    // As text, as upstream sorts them.
    let ports: BTreeSet<String> =
        containers(pod).flat_map(ports_of).map(|port| port.to_string()).collect();
    let verb = if names.len() == 1 { "uses" } else { "use" };
    let word = if ports.len() == 1 { "hostPort" } else { "hostPorts" };
    let ports: Vec<String> = ports.into_iter().collect();
    let detail = format!("{} {verb} {word} {}", named(&names), ports.join(", "));
    Some(Violation { reason: "hostPort", detail })
}

fn probe_hosts(pod: &Value) -> Option<Violation> {
    const HANDLERS: [&[&str]; 5] = [
        &["livenessProbe"],
        &["readinessProbe"],
        &["startupProbe"],
        &["lifecycle", "postStart"],
        &["lifecycle", "preStop"],
    ];
    fn hosts(container: &Value) -> impl Iterator<Item = &str> {
        let handlers = HANDLERS.iter().filter_map(|path| container.at(path));
        let hosts = handlers.flat_map(|handler| {
            ["httpGet", "tcpSocket"].map(|action| handler.str_at(&[action, "host"]))
        });
        hosts.filter(|host| !host.is_empty())
    }
    let names = names(pod, |container| hosts(container).next().is_some());
    if names.is_empty() {
        return None;
    }
    let hosts: BTreeSet<&str> = containers(pod).flat_map(hosts).collect();
    let hosts: Vec<&str> = hosts.into_iter().collect();
    let verb = if names.len() == 1 { "uses" } else { "use" };
    let word = if hosts.len() == 1 { "host" } else { "hosts" };
    let detail = format!("{} {verb} probe or lifecycle {word} {}", named(&names), quoted(&hosts));
    Some(Violation { reason: "probe or lifecycle host", detail })
}

fn privileged(pod: &Value) -> Option<Violation> {
    let names = names(pod, |container| container.bool_at(&["securityContext", "privileged"]));
    let detail = format!("{} must not set securityContext.privileged=true", named(&names));
    (!names.is_empty()).then_some(Violation { reason: "privileged", detail })
}

fn proc_mount(pod: &Value) -> Option<Violation> {
    let unmasked = |container: &Value| {
        !["", "Default"].contains(&container.str_at(&["securityContext", "procMount"]))
    };
    let names = names(pod, unmasked);
    let detail =
        format!("{} must not set securityContext.procMount to \"Unmasked\"", named(&names));
    (!names.is_empty()).then_some(Violation { reason: "procMount", detail })
}

fn se_linux(pod: &Value) -> Option<Violation> {
    let option = |of: &Value, field: &str| {
        context(of, &["seLinuxOptions", field]).and_then(Value::as_str).unwrap_or("").to_owned()
    };
    let breaks = |of: &Value| {
        !SE_LINUX_TYPES.contains(&option(of, "type").as_str())
            || !option(of, "user").is_empty()
            || !option(of, "role").is_empty()
    };
    let spec = &pod["spec"];
    let bad = names(pod, breaks);
    let who = match (breaks(spec), bad.is_empty()) {
        (false, true) => return None,
        (true, true) => "pod".to_owned(),
        (true, false) => format!("pod and {}", named(&bad)),
        (false, false) => named(&bad),
    };
    let all = || std::iter::once(spec).chain(containers(pod));
    let types: BTreeSet<String> = all()
        .map(|of| option(of, "type"))
        .filter(|kind| !SE_LINUX_TYPES.contains(&kind.as_str()))
        .collect();
    let mut details = Vec::new();
    if !types.is_empty() {
        let types: Vec<&str> = types.iter().map(String::as_str).collect();
        let word = if types.len() == 1 { "type" } else { "types" };
        details.push(format!("{word} {}", quoted(&types)));
    }
    for field in ["user", "role"] {
        if all().any(|of| !option(of, field).is_empty()) {
            details.push(format!("{field} may not be set"));
        }
    }
    let detail =
        format!("{who} set forbidden securityContext.seLinuxOptions: {}", details.join("; "));
    Some(Violation { reason: "seLinuxOptions", detail })
}

fn seccomp(pod: &Value) -> Option<Violation> {
    let sentence = "must not set securityContext.seccompProfile.type to \"Unconfined\"";
    violation("seccompProfile", pod_and_containers(pod, seccomp_unconfined, sentence))
}

/// Whether a pod or container turns the system call filter off.
pub(super) fn seccomp_unconfined(of: &Value) -> bool {
    let profile = context(of, &["seccompProfile", "type"]).and_then(Value::as_str);
    profile.is_some_and(|profile| !["RuntimeDefault", "Localhost"].contains(&profile))
}

fn sysctls(pod: &Value) -> Option<Violation> {
    let list = pod.list_at(&["spec", "securityContext", "sysctls"]).iter();
    let names: Vec<&str> = list
        .map(|sysctl| sysctl.str_at(&["name"]))
        .filter(|name| !SAFE_SYSCTLS.contains(name))
        .collect();
    (!names.is_empty()).then(|| Violation { reason: "forbidden sysctls", detail: names.join(", ") })
}

fn host_process(pod: &Value) -> Option<Violation> {
    let asks = |of: &Value| of.bool_at(&["securityContext", "windowsOptions", "hostProcess"]);
    let sentence = "must not set securityContext.windowsOptions.hostProcess=true";
    violation("hostProcess", pod_and_containers(pod, asks, sentence))
}

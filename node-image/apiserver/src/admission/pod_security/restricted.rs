//! The restricted standard: hardened, at some cost of compatibility.

use kd_api::Object;
use serde_json::Value;

use super::baseline::{added_capabilities, seccomp_unconfined};
use super::check::{
    Check, Violation, context, is_windows, named, names, pod_and_containers, quoted, violation,
};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "allowPrivilegeEscalation", replaces: "", run: privilege_escalation },
    Check { name: "capabilitiesRestricted", replaces: "capabilities", run: capabilities },
    Check { name: "restrictedVolumes", replaces: "hostPathVolumes", run: volumes },
    Check { name: "runAsNonRoot", replaces: "", run: run_as_non_root },
    Check { name: "runAsUser", replaces: "", run: run_as_user },
    Check { name: "seccompProfileRestricted", replaces: "seccompProfile", run: seccomp },
];

const VOLUME_TYPES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

fn privilege_escalation(pod: &Value) -> Option<Violation> {
    let allowed = |container: &Value| {
        context(container, &["allowPrivilegeEscalation"]).and_then(Value::as_bool) != Some(false)
    };
    let names = names(pod, allowed);
    if names.is_empty() || is_windows(pod) {
        return None;
    }
    let detail =
        format!("{} must set securityContext.allowPrivilegeEscalation=false", named(&names));
    Some(Violation { reason: "allowPrivilegeEscalation != false", detail })
}

fn capabilities(pod: &Value) -> Option<Violation> {
    if is_windows(pod) {
        return None;
    }
    let keeps = |container: &Value| {
        let dropped = container.list_at(&["securityContext", "capabilities", "drop"]);
        !dropped.iter().any(|name| name == "ALL")
    };
    let mut details = Vec::new();
    let missing = names(pod, keeps);
    if !missing.is_empty() {
        let sentence = "must set securityContext.capabilities.drop=[\"ALL\"]";
        details.push(format!("{} {sentence}", named(&missing)));
    }
    let (adding, added) = added_capabilities(pod, &["NET_BIND_SERVICE"]);
    if !adding.is_empty() {
        let (who, what) = (named(&adding), quoted(&added));
        details.push(format!("{who} must not include {what} in securityContext.capabilities.add"));
    }
    violation("unrestricted capabilities", details)
}

fn volumes(pod: &Value) -> Option<Violation> {
    let mut names = Vec::new();
    let mut types = std::collections::BTreeSet::new();
    for volume in pod.list_at(&["spec", "volumes"]) {
        let sources = volume.as_object().into_iter().flatten();
        let source = sources.map(|(field, _)| field.as_str()).find(|field| *field != "name");
        if let Some(source) = source.filter(|source| !VOLUME_TYPES.contains(source)) {
            names.push(volume.str_at(&["name"]));
            types.insert(source);
        }
    }
    if names.is_empty() {
        return None;
    }
    let (word, verb) = if names.len() == 1 { ("volume", "uses") } else { ("volumes", "use") };
    let kind = if types.len() == 1 { "type" } else { "types" };
    let types: Vec<&str> = types.into_iter().collect();
    let detail =
        format!("{word} {} {verb} restricted volume {kind} {}", quoted(&names), quoted(&types));
    Some(Violation { reason: "restricted volume types", detail })
}

fn run_as_non_root(pod: &Value) -> Option<Violation> {
    let says = |of: &Value| context(of, &["runAsNonRoot"]).and_then(Value::as_bool);
    let sentence = "must not set securityContext.runAsNonRoot=false";
    // A pod's wrong word does not matter when each container has its own.
    let silent = names(pod, |container| says(container).is_none());
    let refused = names(pod, |container| says(container) == Some(false));
    let mut details = Vec::new();
    if says(&pod["spec"]) == Some(false) && !silent.is_empty() {
        details.push(format!("pod {sentence}"));
    }
    if !refused.is_empty() {
        details.push(format!("{} {sentence}", named(&refused)));
    }
    if details.is_empty() && says(&pod["spec"]) != Some(true) && !silent.is_empty() {
        let sentence = "must set securityContext.runAsNonRoot=true";
        details.push(format!("pod or {} {sentence}", named(&silent)));
    }
    violation("runAsNonRoot != true", details)
}

fn run_as_user(pod: &Value) -> Option<Violation> {
    let root = |of: &Value| context(of, &["runAsUser"]).and_then(Value::as_i64) == Some(0);
    violation("runAsUser=0", pod_and_containers(pod, root, "must not set runAsUser=0"))
}

fn seccomp(pod: &Value) -> Option<Violation> {
    if is_windows(pod) {
        return None;
    }
    let says = |of: &Value| context(of, &["seccompProfile", "type"]).is_some();
    let sentence = "must not set securityContext.seccompProfile.type to \"Unconfined\"";
    let mut details = pod_and_containers(pod, seccomp_unconfined, sentence);
    let silent = names(pod, |container| !says(container));
    if details.is_empty() && !says(&pod["spec"]) && !silent.is_empty() {
        details.push(format!(
            "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
            named(&silent)
        ));
    }
    violation("seccompProfile", details)
}

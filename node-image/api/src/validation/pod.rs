//! Pods, and the pod specs of templates.

use serde_json::Value;

use super::check::{Errors, choice, labels, optional_text, problems, required_choice, within};
use super::container::containers;
use super::scheduling;
use super::security::pod_security;
use super::volume::volumes;
use super::{metadata, names, resources};
use crate::walk::Walk;
use crate::{FieldError, Path};

const DNS_POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const RESTART_POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARACTERS_MAX: usize = 2048;

/// A new pod, its metadata aside.
pub(super) fn create(errors: &mut Errors, pod: &Value) {
    let spec = Path::new("spec");
    whole_pod(errors, pod);
    if !pod["spec"].list("ephemeralContainers").is_empty() {
        let text = "cannot be set on create";
        errors.push(FieldError::forbidden(spec.child("ephemeralContainers"), text));
    }
    let gated = !pod["spec"].list("schedulingGates").is_empty();
    if gated && !pod["spec"].text("nodeName").is_empty() {
        let text = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden(spec.child("nodeName"), text));
    }
}

/// What holds for a pod at a create and after every update.
pub(super) fn whole_pod(errors: &mut Errors, pod: &Value) {
    let path = Path::new("spec");
    let spec = &pod["spec"];
    pod_spec(errors, spec, &path, true);
    if spec.text("serviceAccountName").is_empty() {
        tokens_without_account(errors, spec, &path);
    }
    for list in ["containers", "initContainers"] {
        for (index, container) in spec.list(list).iter().enumerate() {
            let image = container.text("image");
            if image.trim() != image {
                let text = "must not have leading or trailing whitespace";
                let path = path.child(list).index(index).child("image");
                errors.push(FieldError::invalid(path, image, text));
            }
        }
    }
}

fn tokens_without_account(errors: &mut Errors, spec: &Value, path: &Path) {
    for (index, volume) in spec.list("volumes").iter().enumerate() {
        for (source, part) in volume["projected"].list("sources").iter().enumerate() {
            if part.has("serviceAccountToken") {
                let path = path.child("volumes").index(index).child("projected").child("sources");
                let text = "must not be specified when serviceAccountName is not set";
                let path = path.index(source).child("serviceAccountToken");
                errors.push(FieldError::forbidden(path, text));
            }
        }
    }
}

/// The template of a workload: labels, annotations and spec.
pub(super) fn template(errors: &mut Errors, template: &Value, path: &Path) {
    template_metadata(errors, template, path);
    let spec = path.child("spec");
    pod_spec(errors, &template["spec"], &spec, false);
    if !template["spec"].list("ephemeralContainers").is_empty() {
        let text = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(spec.child("ephemeralContainers"), text));
    }
}

/// Labels and annotations of a template: all that is checked where claim templates add volumes.
pub(super) fn template_metadata(errors: &mut Errors, template: &Value, path: &Path) {
    let own = path.child("metadata");
    labels(errors, &template["metadata"], "labels", &own);
    metadata::annotations(errors, &template["metadata"], &own);
}

/// A pod spec; `whole` for pods, false for templates.
fn pod_spec(errors: &mut Errors, spec: &Value, path: &Path, whole: bool) {
    let mounted = volumes(errors, spec, &path.child("volumes"));
    containers(errors, spec, path, &mounted);
    required_choice(errors, spec, "restartPolicy", path, &RESTART_POLICIES);
    required_choice(errors, spec, "dnsPolicy", path, &DNS_POLICIES);
    labels(errors, spec, "nodeSelector", path);
    pod_security(errors, spec, path, whole);
    for (index, reference) in spec.list("imagePullSecrets").iter().enumerate() {
        if reference.text("name").is_empty() {
            let path = path.child("imagePullSecrets").index(index).child("name");
            errors.push(FieldError::required(path, ""));
        }
    }
    scheduling::affinity(errors, &spec["affinity"], &path.child("affinity"));
    dns(errors, spec, path);
    scheduling::gates(errors, spec, path);
    scheduling::topology_spread(errors, spec, path);
    named(errors, spec, path);
    within(errors, spec, "activeDeadlineSeconds", path, (1, i64::from(i32::MAX)));
    scheduling::tolerations(errors, spec, path);
    host_aliases(errors, spec, path);
    choice(errors, spec, "preemptionPolicy", path, &["Never", "PreemptLowerPriority"]);
    resources::amounts(errors, spec, "overhead", path);
    if spec.has("os") {
        required_choice(errors, &spec["os"], "name", &path.child("os"), &["linux", "windows"]);
    }
    let grace = spec.integer("terminationGracePeriodSeconds").unwrap_or(0);
    if whole && grace < 0 {
        let text = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(path.child("terminationGracePeriodSeconds"), grace, text));
    }
}

/// References by name, and the pod's own names.
fn named(errors: &mut Errors, spec: &Value, path: &Path) {
    for (field, rule) in [
        ("serviceAccountName", names::dns_subdomain as fn(&str) -> names::Problems),
        ("nodeName", names::dns_subdomain),
        ("hostname", names::dns_label),
        ("subdomain", names::dns_label),
        ("priorityClassName", names::dns_subdomain),
        ("runtimeClassName", names::dns_subdomain),
        ("hostnameOverride", names::dns_subdomain),
    ] {
        optional_text(errors, spec, field, path, rule);
    }
}

fn dns(errors: &mut Errors, spec: &Value, path: &Path) {
    let config = &spec["dnsConfig"];
    let path = path.child("dnsConfig");
    let nameservers = config.list("nameservers");
    if spec.text("dnsPolicy") == "None" {
        if config.is_null() {
            let text = "must provide `dnsConfig` when `dnsPolicy` is None";
            errors.push(FieldError::required(path, text));
            return;
        }
        if nameservers.is_empty() {
            let text = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            errors.push(FieldError::required(path.child("nameservers"), text));
            return;
        }
    }
    if nameservers.len() > NAMESERVERS_MAX {
        let text = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        let value = config["nameservers"].clone();
        errors.push(FieldError::invalid(path.child("nameservers"), value, text));
    }
    for (index, server) in nameservers.iter().filter_map(Value::as_str).enumerate() {
        problems(
            errors,
            &path.child("nameservers").index(index),
            server,
            names::ip_address(server),
        );
    }
    dns_searches(errors, config, &path.child("searches"));
    for (index, option) in config.list("options").iter().enumerate() {
        if option.text("name").is_empty() {
            let text = "must not be empty";
            errors.push(FieldError::required(path.child("options").index(index), text));
        }
    }
}

fn dns_searches(errors: &mut Errors, config: &Value, path: &Path) {
    let searches: Vec<&str> = config.list("searches").iter().filter_map(Value::as_str).collect();
    if searches.len() > SEARCHES_MAX {
        let text = format!("must not have more than {SEARCHES_MAX} search paths");
        errors.push(FieldError::invalid(path.clone(), config["searches"].clone(), text));
    }
    if searches.join(" ").len() > SEARCH_CHARACTERS_MAX {
        let text = format!(
            "must not have more than {SEARCH_CHARACTERS_MAX} characters (including spaces) in the search list"
        );
        errors.push(FieldError::invalid(path.clone(), config["searches"].clone(), text));
    }
    for (index, search) in searches.into_iter().enumerate().filter(|(_, search)| *search != ".") {
        let name = search.strip_suffix('.').unwrap_or(search).replace('_', "-");
        problems(errors, &path.index(index), search, names::dns_subdomain(&name));
    }
}

fn host_aliases(errors: &mut Errors, spec: &Value, path: &Path) {
    for (index, alias) in spec.list("hostAliases").iter().enumerate() {
        let path = path.child("hostAliases").index(index);
        let address = alias.text("ip");
        problems(errors, &path.child("ip"), address, names::ip_address(address));
        for (index, host) in alias.list("hostnames").iter().filter_map(Value::as_str).enumerate() {
            let path = path.child("hostnames").index(index);
            problems(errors, &path, host, names::dns_subdomain(host));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(change: impl Fn(&mut Value), want: &[&str]) {
        let mut pod = json!({"spec": {
            "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "serviceAccountName": "default",
            "containers": [{"name": "a", "image": "x", "terminationMessagePolicy": "File", "imagePullPolicy": "Always"}]
        }});
        change(&mut pod["spec"]);
        let mut errors = Errors::new();
        create(&mut errors, &pod);
        let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        assert_eq!(texts, want);
    }

    #[test]
    fn pods() {
        check(|_| {}, &[]);
        check(|s| s["containers"] = json!([]), &["spec.containers: Required value"]);
        check(
            |s| s["restartPolicy"] = json!("Sometimes"),
            &[
                r#"spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never""#,
            ],
        );
        check(
            |s| s["containers"][0] = json!({"terminationMessagePolicy": "File"}),
            &[
                "spec.containers[0].name: Required value",
                "spec.containers[0].image: Required value",
            ],
        );
        check(
            |s| {
                let again = s["containers"][0].clone();
                s["containers"] = json!([again, again]);
            },
            &[r#"spec.containers[1].name: Duplicate value: "a""#],
        );
        check(
            |s| s["containers"][0]["ports"] = json!([{"containerPort": 99999, "protocol": "TCP"}, {"protocol": "ICMP", "name": "UP"}]),
            &[
                "spec.containers[0].ports[0].containerPort: Invalid value: 99999: must be between 1 and 65535, inclusive",
                "spec.containers[0].ports[1].name: Invalid value: \"UP\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
                "spec.containers[0].ports[1].name: Invalid value: \"UP\": must contain at least one letter (a-z)",
                "spec.containers[0].ports[1].containerPort: Required value",
                "spec.containers[0].ports[1].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            ],
        );
        check(
            |s| s["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]),
            &[r#"spec.containers[0].volumeMounts[0].name: Not found: "v""#],
        );
        check(
            |s| s["containers"][0]["env"] = json!([{"name": "A", "value": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
            &[
                r#"spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty"#,
            ],
        );
        check(
            |s| s["dnsPolicy"] = json!("None"),
            &["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        );
        check(
            |s| {
                s["ephemeralContainers"] =
                    json!([{"name": "e", "image": "x", "terminationMessagePolicy": "File"}])
            },
            &["spec.ephemeralContainers: Forbidden: cannot be set on create"],
        );
        check(
            |s| s["initContainers"] = json!([{"name": "i", "image": "x", "terminationMessagePolicy": "File", "livenessProbe": {}}]),
            &[
                "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
            ],
        );
    }
}

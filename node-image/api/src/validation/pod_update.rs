//! What may change about a pod: through the main resource almost nothing, through each subresource
//! its part.

use serde_json::{Value, json};

use super::check::Errors;
use super::pod;
use crate::strategy::{qos_class, same};
use crate::walk::{Shape, Walk};
use crate::{FieldError, Path};

const CHANGEABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// An update through the main resource.
pub(super) fn main(errors: &mut Errors, new: &Value, old: &Value) {
    let path = Path::new("spec");
    pod::whole_pod(errors, new);
    for list in ["containers", "initContainers"] {
        let (count, before) = (new["spec"].list(list).len(), old["spec"].list(list).len());
        if count != before {
            let text = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(path.child(list), text));
            return;
        }
    }
    if !deadline(errors, &new["spec"], &old["spec"], &path.child("activeDeadlineSeconds")) {
        return;
    }
    only_more_tolerations(errors, &new["spec"], &old["spec"], &path);
    only_fewer_gates(errors, &new["spec"], &old["spec"], &path.child("schedulingGates"));
    if same(&new["spec"], &old["spec"]) {
        return;
    }
    let munged = munged(new, old);
    if !same(&munged, &old["spec"]) {
        let text = format!("{CHANGEABLE}\n{}", difference(&old["spec"], &munged));
        errors.push(FieldError::forbidden(path, text));
    }
}

/// From none to some, or to less; says whether to go on.
fn deadline(errors: &mut Errors, new: &Value, old: &Value, path: &Path) -> bool {
    let field = "activeDeadlineSeconds";
    let (now, before) = (new.integer(field), old.integer(field));
    match (now, before) {
        (Some(now), _) if !(0..=i64::from(i32::MAX)).contains(&now) => {
            let text = format!("must be between 0 and {}, inclusive", i32::MAX);
            errors.push(FieldError::invalid(path.clone(), now, text));
            false
        }
        (Some(now), Some(before)) if before < now => {
            let text = "must be less than or equal to previous value";
            errors.push(FieldError::invalid(path.clone(), now, text));
            false
        }
        (None, Some(_)) => {
            let text = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(path.clone(), Value::Null, text));
            true
        }
        _ => true,
    }
}

fn only_more_tolerations(errors: &mut Errors, new: &Value, old: &Value, path: &Path) {
    let key = |toleration: &Value| {
        let mut key = toleration.clone();
        key.take_key("tolerationSeconds");
        key
    };
    for before in old.list("tolerations") {
        if !new.list("tolerations").iter().any(|now| key(now) == key(before)) {
            let text = "existing toleration can not be modified except its tolerationSeconds";
            errors.push(FieldError::forbidden(path.child("tolerations"), text));
            return;
        }
    }
}

fn only_fewer_gates(errors: &mut Errors, new: &Value, old: &Value, path: &Path) {
    for (index, gate) in new.list("schedulingGates").iter().enumerate() {
        if !old.list("schedulingGates").contains(gate) {
            let name = gate.text("name");
            let text = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.push(FieldError::forbidden(path.index(index), text));
        }
    }
}

/// The new spec with all that may change put back.
fn munged(new: &Value, old: &Value) -> Value {
    let mut spec = new["spec"].clone();
    let before = &old["spec"];
    for list in ["containers", "initContainers"] {
        for (index, container) in spec.each_mut(list).enumerate() {
            let image = before.list(list).get(index).map(|c| c["image"].clone());
            container.put("image", image.unwrap_or_default());
        }
    }
    let mut restored = vec!["activeDeadlineSeconds", "tolerations", "schedulingGates"];
    let negative = before.integer("terminationGracePeriodSeconds").is_some_and(|g| g < 0);
    if negative && spec.integer("terminationGracePeriodSeconds") == Some(1) {
        restored.push("terminationGracePeriodSeconds");
    }
    if !before.list("schedulingGates").is_empty() {
        restored.extend(gated_changes(&spec, before));
    }
    for field in restored {
        match &before[field] {
            Value::Null => drop(spec.take_key(field)),
            value => spec.put(field, value.clone()),
        }
    }
    spec
}

/// While a pod is gated, its node selector may grow and its affinity narrow.
fn gated_changes(new: &Value, old: &Value) -> Vec<&'static str> {
    let mut allowed = Vec::new();
    let kept = old.entries("nodeSelector").all(|(key, value)| new["nodeSelector"][key] == *value);
    if kept {
        allowed.push("nodeSelector");
    }
    if !old["affinity"].has("nodeAffinity") {
        let mut without = new["affinity"].clone();
        without.take_key("nodeAffinity");
        if same(&without, &old["affinity"]) {
            allowed.push("affinity");
        }
    }
    allowed
}

/// The fields that differ, one a line, with both values.
fn difference(old: &Value, new: &Value) -> String {
    let mut lines = Vec::new();
    collect(old, new, "", &mut lines);
    lines.join("\n")
}

fn collect(old: &Value, new: &Value, path: &str, lines: &mut Vec<String>) {
    if same(old, new) {
        return;
    }
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            let added = b.keys().filter(|key| !a.contains_key(*key));
            for key in a.keys().chain(added) {
                collect(&old[key], &new[key], &format!("{path}.{key}"), lines);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                collect(a, b, &format!("{path}[{index}]"), lines);
            }
        }
        _ => {
            lines.push(format!("- {path}: {old}"));
            lines.push(format!("+ {path}: {new}"));
        }
    }
}

/// An update of the status.
pub(super) fn status(errors: &mut Errors, new: &Value, old: &Value) {
    let path = Path::new("status");
    if new["spec"].text("nodeName") != old["spec"].text("nodeName") {
        let text = "may not be changed directly";
        errors.push(FieldError::forbidden(path.child("nodeName"), text));
    }
    super::check::optional_text(
        errors,
        &new["status"],
        "nominatedNodeName",
        &path,
        super::names::dns_subdomain,
    );
    let policy = old["spec"].text("restartPolicy");
    if policy == "Always" || all_may_restart(&old["spec"]) {
        return;
    }
    for list in CONTAINERS {
        no_return_from_the_end(errors, new, old, list);
    }
}

/// The containers that have ends.
const CONTAINERS: [&str; 2] = ["containers", "initContainers"];

/// Whether an end of one container may restart all, whatever their policies (KEP-5532).
fn all_may_restart(spec: &Value) -> bool {
    let containers = CONTAINERS.iter().flat_map(|list| spec.list(list));
    let mut rules = containers.flat_map(|container| container.list("restartPolicyRules"));
    rules.any(|rule| rule.text("action") == "RestartAllContainers")
}

/// A container that may not restart stays terminated.
fn no_return_from_the_end(errors: &mut Errors, new: &Value, old: &Value, list: &str) {
    let statuses = format!("{}Statuses", list.trim_end_matches('s'));
    for (index, before) in old["status"].list(&statuses).iter().enumerate() {
        let ended = &before["state"]["terminated"];
        let name = before.text("name");
        if ended.is_null() || may_restart(&old["spec"], list, name, ended) {
            continue;
        }
        let mut now = new["status"].list(&statuses).iter();
        let now = now.find(|status| status.text("name") == name);
        if now.is_some_and(|now| !now["state"].has("terminated")) {
            let path = Path::new("status").child(&statuses).index(index).child("state");
            let text = "may not be transitioned to non-terminated state";
            errors.push(FieldError::forbidden(path, text));
        }
    }
}

/// Whether a container may run again after such an end: by its own rules and policy (KEP-5307), or the
/// pod's.
fn may_restart(spec: &Value, list: &str, name: &str, ended: &Value) -> bool {
    let container = spec.list(list).iter().find(|container| container.text("name") == name);
    let own = container.map_or("", |container| container.text("restartPolicy"));
    let has_rules = container.is_some_and(|found| !found.list("restartPolicyRules").is_empty());
    has_rules
        || match if own.is_empty() { spec.text("restartPolicy") } else { own } {
            "Always" => true,
            "OnFailure" => ended.integer("exitCode").unwrap_or(0) != 0,
            _ => false,
        }
}

/// Ephemeral containers are only added.
pub(super) fn ephemeral_containers(errors: &mut Errors, new: &Value, old: &Value) {
    let path = Path::new("spec").child("ephemeralContainers");
    pod::whole_pod(errors, new);
    for before in old["spec"].list("ephemeralContainers") {
        let name = before.text("name");
        let mut all = new["spec"].list("ephemeralContainers").iter();
        let text = match all.find(|now| now.text("name") == name) {
            Some(now) if same(now, before) => continue,
            Some(_) => format!("existing ephemeral containers {name:?} may not be changed\n"),
            None => format!("existing ephemeral containers {name:?} may not be removed\n"),
        };
        errors.push(FieldError::forbidden(path.clone(), text));
    }
}

/// Requests and limits change, the quality-of-service class stays.
pub(super) fn resize(errors: &mut Errors, new: &Value, old: &Value) {
    pod::whole_pod(errors, new);
    let class = qos_class(new);
    if class != qos_class(old) {
        let text = "Pod QOS Class may not change as a result of resizing";
        errors.push(FieldError::invalid(Path::new("spec"), json!(class), text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Value {
        json!({"spec": {
            "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "serviceAccountName": "default",
            "tolerations": [{"key": "a", "operator": "Exists"}],
            "containers": [{"name": "a", "image": "x", "terminationMessagePolicy": "File", "imagePullPolicy": "Always"}]
        }})
    }

    #[test]
    fn updates() {
        let check = |change: fn(&mut Value), want: &[&str]| {
            let mut new = base();
            change(&mut new["spec"]);
            let mut errors = Errors::new();
            main(&mut errors, &new, &base());
            let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
            assert_eq!(texts.len(), want.len(), "{texts:?}");
            for (text, want) in texts.iter().zip(want) {
                assert!(text.starts_with(want), "{text}");
            }
        };
        check(|_| {}, &[]);
        check(|s| s["containers"][0]["image"] = json!("y"), &[]);
        check(|s| s["activeDeadlineSeconds"] = json!(5), &[]);
        check(
            |s| {
                s["tolerations"] =
                    json!([{"key": "a", "operator": "Exists"}, {"operator": "Exists"}])
            },
            &[],
        );
        check(
            |s| s["tolerations"] = json!([]),
            &[
                "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
            ],
        );
        check(
            |s| s["nodeName"] = json!("n"),
            &[
                "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,",
            ],
        );
        check(
            |s| s["containers"] = json!([s["containers"][0], {"name": "b", "image": "x", "terminationMessagePolicy": "File"}]),
            &["spec.containers: Forbidden: pod updates may not add or remove containers"],
        );
    }

    #[test]
    fn who_may_run_again() {
        let check = |policy: &str, container: Value, code: i64, allowed: bool| {
            let state = |state: Value| json!([{"name": "a", "state": state}]);
            let pod = |state: Value| {
                json!({"spec": {"restartPolicy": policy, "containers": [container]},
                    "status": {"containerStatuses": state}})
            };
            let old = pod(state(json!({"terminated": {"exitCode": code}})));
            let new = pod(state(json!({"running": {}})));
            let mut errors = Errors::new();
            status(&mut errors, &new, &old);
            let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
            let refused = "status.containerStatuses[0].state: Forbidden: may not be transitioned to \
                           non-terminated state";
            let expect = if allowed { vec![] } else { vec![refused.to_owned()] };
            assert_eq!(texts, expect, "{policy} {container} {code}");
        };
        let plain = json!({"name": "a"});
        check("Always", plain.clone(), 0, true);
        check("Never", plain.clone(), 1, false);
        check("OnFailure", plain.clone(), 1, true);
        check("OnFailure", plain, 0, false);
        check("Never", json!({"name": "a", "restartPolicy": "Always"}), 0, true);
        check("Never", json!({"name": "a", "restartPolicy": "OnFailure"}), 0, false);
        let rules = |action: &str| {
            json!({"name": "a", "restartPolicyRules": [{"action": action,
                "exitCodes": {"operator": "In", "values": [1]}}]})
        };
        check("Never", rules("Restart"), 1, true);
        check("Never", rules("RestartAllContainers"), 1, true);
    }

    #[test]
    fn the_difference_names_the_fields() {
        let text = difference(&json!({"a": {"b": 1}, "c": 1}), &json!({"a": {"b": 2}, "c": 1}));
        assert_eq!(text, "- .a.b: 1\n+ .a.b: 2");
    }
}

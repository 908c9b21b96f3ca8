//! Nodes, namespaces, configuration, roles and whatever else is shown in a line or two.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::{human_duration, since};
use super::rows::or_none;
use crate::walk::Walk;

fn name(object: &Value) -> Value {
    object["metadata"]["name"].clone()
}

fn age(object: &Value, now: Timestamp) -> Value {
    since(&object["metadata"]["creationTimestamp"], now)
}

pub(super) fn name_and_age(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), age(object, now)]
}

pub(super) fn node(object: &Value, now: Timestamp) -> Vec<Value> {
    let status = &object["status"];
    let known = |field: &str| match status["nodeInfo"].text(field) {
        "" => json!("<unknown>"),
        text => json!(text),
    };
    vec![
        name(object),
        json!(node_status(object)),
        or_none(&node_roles(object)),
        age(object, now),
        json!(status["nodeInfo"].text("kubeletVersion")),
        node_address(object, "InternalIP"),
        node_address(object, "ExternalIP"),
        known("osImage"),
        known("kernelVersion"),
        known("containerRuntimeVersion"),
    ]
}

fn node_status(node: &Value) -> String {
    let ready = node["status"].list("conditions").iter().rfind(|c| c.text("type") == "Ready");
    let mut text = match ready.map(|condition| condition.text("status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node["spec"].flag("unschedulable") {
        text.push_str(",SchedulingDisabled");
    }
    text
}

fn node_roles(node: &Value) -> String {
    let roles: BTreeSet<&str> = node["metadata"]
        .entries("labels")
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.into_iter().collect::<Vec<_>>().join(",")
}

fn node_address(node: &Value, kind: &str) -> Value {
    let addresses = node["status"].list("addresses");
    or_none(addresses.iter().find(|a| a.text("type") == kind).map_or("", |a| a.text("address")))
}

pub(super) fn namespace(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(object["status"].text("phase")), age(object, now)]
}

pub(super) fn config_map(object: &Value, now: Timestamp) -> Vec<Value> {
    let keys = object.entries("data").count() + object.entries("binaryData").count();
    vec![name(object), json!(keys), age(object, now)]
}

pub(super) fn secret(object: &Value, now: Timestamp) -> Vec<Value> {
    let keys = object.entries("data").count();
    vec![name(object), json!(object.text("type")), json!(keys), age(object, now)]
}

pub(super) fn service_account(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(object.list("secrets").len()), age(object, now)]
}

pub(super) fn component_status(object: &Value, _: Timestamp) -> Vec<Value> {
    let healthy = object.list("conditions").iter().find(|c| c.text("type") == "Healthy");
    let (status, condition) = match healthy {
        Some(condition) if condition.text("status") == "True" => ("Healthy", condition),
        Some(condition) => ("Unhealthy", condition),
        None => ("Unknown", &Value::Null),
    };
    let text = |field: &str| json!(condition.text(field));
    vec![name(object), json!(status), text("message"), text("error")]
}

pub(super) fn resource_quota(object: &Value, now: Timestamp) -> Vec<Value> {
    let status = &object["status"];
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in status.entries("hard") {
        let used = status["used"][resource].as_str().unwrap_or("0");
        let line = format!("{resource}: {used}/{}", hard.as_str().unwrap_or("0"));
        let column = if resource.starts_with("limits.") { &mut limits } else { &mut requests };
        column.push(line);
    }
    vec![name(object), json!(requests.join(", ")), json!(limits.join(", ")), age(object, now)]
}

pub(super) fn role_binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let role = &object["roleRef"];
    let subjects = |kind: &str| {
        let all = object.list("subjects").iter().filter(|s| s.text("kind") == kind);
        let names: Vec<String> = all
            .map(|subject| match kind {
                "ServiceAccount" => {
                    format!("{}/{}", subject.text("namespace"), subject.text("name"))
                }
                _ => subject.text("name").to_owned(),
            })
            .collect();
        json!(names.join(", "))
    };
    vec![
        name(object),
        json!(format!("{}/{}", role.text("kind"), role.text("name"))),
        age(object, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

pub(super) fn lease(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(object["spec"].text("holderIdentity")), age(object, now)]
}

pub(super) fn runtime_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(object.text("handler")), age(object, now)]
}

pub(super) fn priority_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        json!(object.integer("value").unwrap_or(0)),
        json!(object.flag("globalDefault")),
        age(object, now),
        json!(object.text("preemptionPolicy")),
    ]
}

pub(super) fn certificate_signing_request(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let duration = spec.integer("expirationSeconds").map(human_duration).unwrap_or_default();
    vec![
        name(object),
        age(object, now),
        or_none(spec.text("signerName")),
        json!(spec.text("username")),
        or_none(&duration),
        json!(signing_state(&object["status"])),
    ]
}

fn signing_state(status: &Value) -> String {
    let has = |name: &str| status.list("conditions").iter().any(|c| c.text("type") == name);
    let mut text = if has("Denied") {
        "Denied"
    } else if has("Approved") {
        "Approved"
    } else {
        "Pending"
    }
    .to_owned();
    if has("Failed") {
        text.push_str(",Failed");
    }
    if !status.text("certificate").is_empty() {
        text.push_str(",Issued");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes() {
        let check = |object: Value, want: [&str; 2]| {
            let cells = node(&object, Timestamp::UNIX_EPOCH);
            assert_eq!([&cells[1], &cells[2]], want.map(Value::from).each_ref());
        };
        check(json!({}), ["Unknown", "<none>"]);
        check(
            json!({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "a"}},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
            ["Ready", "a,control-plane"],
        );
        check(
            json!({"spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}),
            ["NotReady,SchedulingDisabled", "<none>"],
        );
    }

    #[test]
    fn quotas() {
        let quota =
            json!({"status": {"hard": {"pods": "4", "limits.cpu": "2"}, "used": {"pods": "1"}}});
        let cells = resource_quota(&quota, Timestamp::UNIX_EPOCH);
        assert_eq!([&cells[1], &cells[2]], [&json!("pods: 1/4"), &json!("limits.cpu: 0/2")]);
    }
}

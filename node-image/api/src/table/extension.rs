//! What extends and guards the API, and dynamic resources.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::since;
use super::rows::or_none;
use crate::walk::Walk;

fn name(object: &Value) -> Value {
    object["metadata"]["name"].clone()
}

fn age(object: &Value, now: Timestamp) -> Value {
    since(&object["metadata"]["creationTimestamp"], now)
}

pub(super) fn webhook_configuration(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(object.list("webhooks").len()), age(object, now)]
}

pub(super) fn validating_policy(object: &Value, now: Timestamp) -> Vec<Value> {
    policy(object, "validations", now)
}

pub(super) fn mutating_policy(object: &Value, now: Timestamp) -> Vec<Value> {
    policy(object, "mutations", now)
}

fn policy(object: &Value, rules: &str, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let kind = &spec["paramKind"];
    let parameters = match kind.is_null() {
        true => "<unset>".to_owned(),
        false => format!("{}/{}", kind.text("apiVersion"), kind.text("kind")),
    };
    vec![name(object), json!(spec.list(rules).len()), json!(parameters), age(object, now)]
}

pub(super) fn policy_binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let reference = &spec["paramRef"];
    let shown = match (reference.is_null(), reference.text("namespace"), reference.text("name")) {
        (true, ..) => "<unset>".to_owned(),
        (_, "", name) => format!("*/{name}"),
        (_, namespace, name) => format!("{namespace}/{name}"),
    };
    vec![name(object), json!(spec.text("policyName")), json!(shown), age(object, now)]
}

pub(super) fn api_service(object: &Value, now: Timestamp) -> Vec<Value> {
    let service = &object["spec"]["service"];
    let shown = match service.is_null() {
        true => "Local".to_owned(),
        false => format!("{}/{}", service.text("namespace"), service.text("name")),
    };
    let conditions = object["status"].list("conditions");
    let available = match conditions.iter().find(|c| c.text("type") == "Available") {
        Some(condition) if condition.text("status") == "True" => "True".to_owned(),
        Some(condition) => format!("{} ({})", condition.text("status"), condition.text("reason")),
        None => "Unknown".to_owned(),
    };
    vec![name(object), json!(shown), json!(available), age(object, now)]
}

pub(super) fn flow_schema(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let conditions = object["status"].list("conditions");
    let dangling = conditions.iter().find(|c| c.text("type") == "Dangling");
    vec![
        name(object),
        json!(spec["priorityLevelConfiguration"].text("name")),
        json!(spec.integer("matchingPrecedence").unwrap_or(0)),
        or_none(spec["distinguisherMethod"].text("type")),
        age(object, now),
        json!(dangling.map_or("?", |condition| condition.text("status"))),
    ]
}

pub(super) fn priority_level(object: &Value, now: Timestamp) -> Vec<Value> {
    let limited = &object["spec"]["limited"];
    let queuing = &limited["limitResponse"]["queuing"];
    let shown = |owner: &Value, field: &str| match owner.integer(field) {
        Some(number) => json!(number),
        None => json!("<none>"),
    };
    vec![
        name(object),
        json!(object["spec"].text("type")),
        shown(limited, "nominalConcurrencyShares"),
        shown(queuing, "queues"),
        shown(queuing, "handSize"),
        shown(queuing, "queueLengthLimit"),
        age(object, now),
    ]
}

pub(super) fn resource_claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let status = &object["status"];
    let mut states = Vec::new();
    if object["metadata"].has("deletionTimestamp") {
        states.push("deleted");
    }
    if !status.has("allocation") {
        if !object["metadata"].has("deletionTimestamp") {
            states.push("pending");
        }
    } else {
        states.push("allocated");
        if !status.list("reservedFor").is_empty() {
            states.push("reserved");
        }
    }
    vec![name(object), json!(states.join(",")), age(object, now)]
}

pub(super) fn resource_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    vec![
        name(object),
        json!(spec.text("nodeName")),
        json!(spec.text("driver")),
        json!(spec["pool"].text("name")),
        age(object, now),
    ]
}

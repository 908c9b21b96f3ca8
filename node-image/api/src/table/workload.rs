//! The kinds that make pods, and what scales and guards them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::{human_duration, parsed, seconds_between, since};
use super::rows::or_none;
use crate::conversion::autoscaler;
use crate::selector::Selector;
use crate::walk::Walk;

fn name(object: &Value) -> Value {
    object["metadata"]["name"].clone()
}

fn age(object: &Value, now: Timestamp) -> Value {
    since(&object["metadata"]["creationTimestamp"], now)
}

fn count(owner: &Value, field: &str) -> i64 {
    owner.integer(field).unwrap_or(0)
}

/// Names and images of the containers of a pod spec.
fn containers(pod_spec: &Value) -> [Value; 2] {
    ["name", "image"].map(|field| {
        let all: Vec<&str> = pod_spec.list("containers").iter().map(|c| c.text(field)).collect();
        json!(all.join(","))
    })
}

/// A map of labels: `a=b,c=d`.
pub(super) fn labels(map: &Value) -> Value {
    or_none(&Selector::from_map(map).to_string())
}

/// A LabelSelector.
pub(super) fn selector(selector: &Value) -> Value {
    match Selector::from_object(selector) {
        Ok(selector) => or_none(&selector.to_string()),
        Err(_) => json!("<error>"),
    }
}

pub(super) fn pod_template(object: &Value, _: Timestamp) -> Vec<Value> {
    let template = &object["template"];
    let [names, images] = containers(&template["spec"]);
    vec![name(object), names, images, labels(&template["metadata"]["labels"])]
}

fn replicas(object: &Value, now: Timestamp, selector: Value) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let [names, images] = containers(&spec["template"]["spec"]);
    vec![
        name(object),
        json!(count(spec, "replicas")),
        json!(count(status, "replicas")),
        json!(count(status, "readyReplicas")),
        age(object, now),
        names,
        images,
        selector,
    ]
}

pub(super) fn replication_controller(object: &Value, now: Timestamp) -> Vec<Value> {
    replicas(object, now, labels(&object["spec"]["selector"]))
}

pub(super) fn replica_set(object: &Value, now: Timestamp) -> Vec<Value> {
    replicas(object, now, selector(&object["spec"]["selector"]))
}

pub(super) fn deployment(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let [names, images] = containers(&spec["template"]["spec"]);
    let selector = match Selector::from_object(&spec["selector"]) {
        Ok(selector) => selector.to_string(),
        Err(_) => "<invalid>".to_owned(),
    };
    vec![
        name(object),
        ready_of_wanted(object),
        json!(count(status, "updatedReplicas")),
        json!(count(status, "availableReplicas")),
        age(object, now),
        names,
        images,
        json!(selector),
    ]
}

fn ready_of_wanted(object: &Value) -> Value {
    let ready = count(&object["status"], "readyReplicas");
    json!(format!("{ready}/{}", count(&object["spec"], "replicas")))
}

pub(super) fn stateful_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(&object["spec"]["template"]["spec"]);
    vec![name(object), ready_of_wanted(object), age(object, now), names, images]
}

pub(super) fn daemon_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let pod_spec = &object["spec"]["template"]["spec"];
    let mut cells = vec![name(object)];
    for field in [
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    ] {
        cells.push(json!(count(&object["status"], field)));
    }
    cells.push(labels(&pod_spec["nodeSelector"]));
    cells.push(age(object, now));
    cells.extend(containers(pod_spec));
    cells.push(selector(&object["spec"]["selector"]));
    cells
}

pub(super) fn controller_revision(object: &Value, now: Timestamp) -> Vec<Value> {
    let owners = object["metadata"].list("ownerReferences");
    let controller = owners.iter().find(|owner| owner.flag("controller")).map(|owner| {
        let kind = owner.text("kind").to_lowercase();
        match owner.text("apiVersion").split_once('/') {
            Some((group, _)) => format!("{kind}.{group}/{}", owner.text("name")),
            None => format!("{kind}/{}", owner.text("name")),
        }
    });
    let controller = or_none(controller.as_deref().unwrap_or(""));
    vec![name(object), controller, json!(count(object, "revision")), age(object, now)]
}

pub(super) fn job(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let succeeded = count(status, "succeeded");
    let completions = match (spec.integer("completions"), count(spec, "parallelism")) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    };
    let duration = parsed(&status["startTime"]).map(|start| {
        let end = parsed(&status["completionTime"]).unwrap_or(now);
        human_duration(seconds_between(start, end))
    });
    let [names, images] = containers(&spec["template"]["spec"]);
    vec![
        name(object),
        json!(job_status(object)),
        json!(completions),
        json!(duration.unwrap_or_default()),
        age(object, now),
        names,
        images,
        selector(&spec["selector"]),
    ]
}

fn job_status(object: &Value) -> &'static str {
    let holds = |name: &str| {
        let conditions = object["status"].list("conditions");
        conditions.iter().any(|c| c.text("type") == name && c.text("status") == "True")
    };
    if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if object["metadata"].has("deletionTimestamp") {
        "Terminating"
    } else if holds("Suspended") {
        "Suspended"
    } else if holds("FailureTarget") {
        "FailureTarget"
    } else if holds("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

pub(super) fn cron_job(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let last = match status.has("lastScheduleTime") {
        true => since(&status["lastScheduleTime"], now),
        false => json!("<none>"),
    };
    let suspend = match spec["suspend"].as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let job_spec = &spec["jobTemplate"]["spec"];
    let [names, images] = containers(&job_spec["template"]["spec"]);
    vec![
        name(object),
        json!(spec.text("schedule")),
        or_none(spec.text("timeZone")),
        json!(suspend),
        json!(status.list("active").len()),
        last,
        age(object, now),
        names,
        images,
        selector(&job_spec["selector"]),
    ]
}

pub(super) fn pod_disruption_budget(object: &Value, now: Timestamp) -> Vec<Value> {
    let bound = |field: &str| match &object["spec"][field] {
        Value::Null => json!("N/A"),
        Value::String(text) => json!(text),
        number => json!(number.to_string()),
    };
    vec![
        name(object),
        bound("minAvailable"),
        bound("maxUnavailable"),
        json!(count(&object["status"], "disruptionsAllowed")),
        age(object, now),
    ]
}

pub(super) fn scale(object: &Value, now: Timestamp) -> Vec<Value> {
    let wanted = json!(count(&object["spec"], "replicas"));
    vec![name(object), wanted, json!(count(&object["status"], "replicas")), age(object, now)]
}

pub(super) fn horizontal_pod_autoscaler(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut object = object.clone();
    autoscaler::to_second(&mut object);
    let object = &object;
    let (spec, status) = (&object["spec"], &object["status"]);
    let target = &spec["scaleTargetRef"];
    let fewest = spec.integer("minReplicas").map_or("<unset>".to_owned(), |n| n.to_string());
    vec![
        name(object),
        json!(format!("{}/{}", target.text("kind"), target.text("name"))),
        json!(metrics(spec.list("metrics"), status.list("currentMetrics"))),
        json!(fewest),
        json!(count(spec, "maxReplicas")),
        json!(count(status, "currentReplicas")),
        age(object, now),
    ]
}

/// How many metrics are spelled out.
const METRICS_SHOWN: usize = 2;

fn metrics(wanted: &[Value], current: &[Value]) -> String {
    if wanted.is_empty() {
        return "<none>".to_owned();
    }
    let texts: Vec<String> = wanted
        .iter()
        .enumerate()
        .take(METRICS_SHOWN)
        .map(|(index, spec)| metric(spec, current.get(index).unwrap_or(&Value::Null)))
        .collect();
    let shown = texts.join(", ");
    match wanted.len().saturating_sub(METRICS_SHOWN) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

fn metric(spec: &Value, status: &Value) -> String {
    let source = match spec.text("type") {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        _ => return "<unknown type>".to_owned(),
    };
    let (target, current) = (&spec[source]["target"], &status[source]["current"]);
    let text = |owner: &Value, field: &str, missing: &str| match &owner[field] {
        Value::String(text) => text.clone(),
        Value::Null => missing.to_owned(),
        other => other.to_string(),
    };
    let resource = matches!(source, "resource" | "containerResource");
    let line = if target.has("averageValue") {
        let suffix = if resource || source == "pods" { "" } else { " (avg)" };
        let have = text(current, "averageValue", "<unknown>");
        format!("{have}/{}{suffix}", text(target, "averageValue", ""))
    } else if resource {
        let percent = |owner: &Value, missing: &str| match owner.integer("averageUtilization") {
            Some(share) => format!("{share}%"),
            None => missing.to_owned(),
        };
        format!("{}/{}", percent(current, "<unknown>"), percent(target, "<auto>"))
    } else {
        format!("{}/{}", text(current, "value", "<unknown>"), text(target, "value", ""))
    };
    match source {
        "resource" => format!("{}: {line}", spec[source].text("name")),
        "containerResource" => format!("{}: {line}", spec[source].text("name")),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deployments() {
        let object = json!({
            "metadata": {"name": "web", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}},
                "template": {"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y"}]}}},
            "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2}
        });
        let cells = deployment(&object, "2026-01-01T01:00:00Z".parse().unwrap());
        assert_eq!(
            cells,
            json!(["web", "2/3", 3, 2, "60m", "a,b", "x:1,y", "app=web"]).as_array().unwrap()[..]
        );
    }

    #[test]
    fn jobs() {
        let check = |spec: Value, status: Value, want: [&str; 3]| {
            let cells = job(
                &json!({"spec": spec, "status": status}),
                "2026-01-01T00:10:00Z".parse().unwrap(),
            );
            assert_eq!([&cells[1], &cells[2], &cells[3]], want.map(Value::from).each_ref());
        };
        check(json!({"completions": 1}), json!({}), ["Running", "0/1", ""]);
        check(json!({"parallelism": 3}), json!({"succeeded": 1}), ["Running", "1/1 of 3", ""]);
        check(
            json!({"completions": 2}),
            json!({"succeeded": 2, "conditions": [{"type": "Complete", "status": "True"}],
                "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:07Z"}),
            ["Complete", "2/2", "7s"],
        );
    }

    #[test]
    fn autoscaler_targets() {
        let wanted = json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}}]);
        let current = json!([{"resource": {"current": {"averageUtilization": 12}}}]);
        assert_eq!(
            metrics(wanted.as_array().unwrap(), current.as_array().unwrap()),
            "cpu: 12%/80%"
        );
        assert_eq!(metrics(wanted.as_array().unwrap(), &[]), "cpu: <unknown>/80%");
        assert_eq!(metrics(&[], &[]), "<none>");
    }
}

//! LimitRanger: defaults for containers that ask for nothing, bounds for those that ask.

use std::sync::Arc;

use async_trait::async_trait;
use kd_api::pod_resources::{Resources, Side, of_container, of_pod, quantities};
use kd_api::quantity::Quantity;
use kd_api::{Object, Status};
use serde_json::Value;

use super::forbidden;
use super::pod::{is_creation, is_write};
use crate::request::{AdmissionAttributes, AdmissionPlugin, Operation, Reader};

/// Tells which values were filled in.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

pub(super) struct LimitRanger {
    reader: Arc<dyn Reader>,
}

impl LimitRanger {
    pub(super) fn new(reader: Arc<dyn Reader>) -> Self {
        Self { reader }
    }

    fn ranges(&self, attributes: &AdmissionAttributes<'_>) -> Vec<Arc<Value>> {
        self.reader.list("", "limitranges", Some(&attributes.info.namespace))
    }
}

#[async_trait]
impl AdmissionPlugin for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn mutate(&self, attributes: &mut AdmissionAttributes<'_>) -> Result<(), Status> {
        if is_creation(attributes) {
            for range in self.ranges(attributes) {
                fill_in(&mut attributes.object, &range);
            }
        }
        Ok(())
    }

    async fn validate(&self, attributes: &AdmissionAttributes<'_>) -> Result<(), Status> {
        let resized = attributes.operation == Operation::Update
            && attributes.is("", "pods", "resize")
            && !attributes.object.is_terminating();
        let claim = attributes.is("", "persistentvolumeclaims", "");
        // Bounds that came after a pod do not stop changes of its other fields.
        let pod = (is_write(attributes) && attributes.operation == Operation::Create) || resized;
        if !pod && !claim {
            return Ok(());
        }
        for range in self.ranges(attributes) {
            let broken = match claim {
                true => claim_violations(&attributes.object, &range),
                false => pod_violations(&attributes.object, &range),
            };
            match broken.as_slice() {
                [] => {}
                [one] => return Err(forbidden(attributes, one)),
                many => return Err(forbidden(attributes, format!("[{}]", many.join(", ")))),
            }
        }
        Ok(())
    }
}

fn limits_of<'a>(range: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let limits = range.list_at(&["spec", "limits"]).iter();
    limits.filter(move |limit| limit.str_at(&["type"]) == kind)
}

fn fill_in(pod: &mut Value, range: &Value) {
    let mut notes = Vec::new();
    // Upstream's order of the note: main containers first.
    for (list, word) in [("containers", "container"), ("initContainers", "init container")] {
        let containers = pod.get_mut("spec").and_then(|spec| spec.get_mut(list));
        let containers = containers.and_then(Value::as_array_mut).into_iter().flatten();
        for container in containers {
            for (side, field) in [(Side::Requests, "defaultRequest"), (Side::Limits, "default")] {
                let set = fill_in_container(container, range, side, field);
                if !set.is_empty() {
                    let what = side.field().trim_end_matches('s');
                    let name = container.str_at(&["name"]);
                    notes.push(format!("{} {what} for {word} {name}", set.join(", ")));
                }
            }
        }
    }
    if !notes.is_empty() {
        let note = format!("LimitRanger plugin set: {}", notes.join("; "));
        pod.set_annotation(ANNOTATION, &note);
    }
}

/// The names of the resources that were set.
fn fill_in_container(container: &mut Value, range: &Value, side: Side, field: &str) -> Vec<String> {
    let mut set = Vec::new();
    for limit in limits_of(range, "Container") {
        for (name, quantity) in limit.map_at(&[field]).into_iter().flatten() {
            let path = ["resources", side.field(), name.as_str()];
            if container.at(&path).is_none() {
                container.set_at(&path, quantity.clone());
                set.push(name.clone());
            }
        }
    }
    set.sort();
    set
}

fn pod_violations(pod: &Value, range: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    for limit in limits_of(range, "Container") {
        for list in ["containers", "initContainers"] {
            for container in pod.list_at(&["spec", list]) {
                let requests = of_container(container, Side::Requests);
                let limits = of_container(container, Side::Limits);
                check_bounds(limit, &requests, &limits, &mut broken);
            }
        }
    }
    for limit in limits_of(range, "Pod") {
        let (requests, limits) = (of_pod(pod, Side::Requests), of_pod(pod, Side::Limits));
        check_bounds(limit, &requests, &limits, &mut broken);
    }
    broken
}

fn check_bounds(limit: &Value, requests: &Resources, limits: &Resources, broken: &mut Vec<String>) {
    let kind = limit.str_at(&["type"]);
    for (name, least) in quantities(limit.get("min")) {
        broken.extend(below(kind, &name, &least, requests.get(&name), limits.get(&name)));
    }
    for (name, most) in quantities(limit.get("max")) {
        broken.extend(above(kind, &name, &most, requests.get(&name), limits.get(&name)));
    }
    for (name, ratio) in quantities(limit.get("maxLimitRequestRatio")) {
        broken.extend(out_of_ratio(kind, &name, &ratio, requests.get(&name), limits.get(&name)));
    }
}

fn below(
    kind: &str,
    name: &str,
    least: &Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let rule = format!("minimum {name} usage per {kind} is {least}");
    match (request, limit) {
        (None, _) => Some(format!("{rule}.  No request is specified")),
        (Some(request), _) if request < least => Some(format!("{rule}, but request is {request}")),
        (_, Some(limit)) if limit < least => Some(format!("{rule}, but limit is {limit}")),
        _ => None,
    }
}

fn above(
    kind: &str,
    name: &str,
    most: &Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let rule = format!("maximum {name} usage per {kind} is {most}");
    match (request, limit) {
        (_, None) => Some(format!("{rule}.  No limit is specified")),
        (_, Some(limit)) if limit > most => Some(format!("{rule}, but limit is {limit}")),
        (Some(request), _) if request > most => Some(format!("{rule}, but request is {request}")),
        _ => None,
    }
}

fn out_of_ratio(
    kind: &str,
    name: &str,
    most: &Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let rule = format!("{name} max limit to request ratio per {kind} is {most}");
    let Some(request) = request.filter(|request| !request.is_zero()) else {
        return Some(format!("{rule}, but no request is specified or request is 0"));
    };
    let Some(limit) = limit.filter(|limit| !limit.is_zero()) else {
        return Some(format!("{rule}, but no limit is specified or limit is 0"));
    };
    let ratio = limit.as_f64() / request.as_f64();
    (ratio > most.as_f64()).then(|| format!("{rule}, but provided ratio is {ratio:.6}"))
}

fn claim_violations(claim: &Value, range: &Value) -> Vec<String> {
    let requests = quantities(claim.at(&["spec", "resources", "requests"]));
    let mut broken = Vec::new();
    for limit in limits_of(range, "PersistentVolumeClaim") {
        let kind = "PersistentVolumeClaim";
        for (name, least) in quantities(limit.get("min")) {
            broken.extend(below(kind, &name, &least, requests.get(&name), None));
        }
        for (name, most) in quantities(limit.get("max")) {
            let rule = format!("maximum {name} usage per {kind} is {most}");
            match requests.get(&name) {
                None => broken.push(format!("{rule}.  No request is specified")),
                Some(request) if *request > most => {
                    broken.push(format!("{rule}, but request is {request}"));
                }
                Some(_) => {}
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeReader, attributes, resource_info, user};
    use serde_json::json;

    async fn check(limit: Value, resources: Value, expect: Value) {
        let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l", "namespace": "ns"},
            "spec": {"limits": [limit]}});
        let plugin = LimitRanger::new(FakeReader::with([range]));
        let (info, who) = (resource_info("create", "pods", "ns", ""), user("x", &[]));
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "resources": resources}]}});
        let mut attributes = attributes(Operation::Create, &info, &who, pod);
        plugin.mutate(&mut attributes).await.unwrap();
        let got = match plugin.validate(&attributes).await {
            Ok(()) => json!([
                attributes.object["spec"]["containers"][0]["resources"],
                attributes.object.annotation(ANNOTATION)
            ]),
            Err(status) => status.message.into(),
        };
        assert_eq!(got, expect);
    }

    #[tokio::test]
    async fn defaults_and_bounds() {
        let defaults = || json!({"type": "Container", "default": {"cpu": "2", "memory": "1Gi"}, "defaultRequest": {"cpu": "1"}});
        check(defaults(), json!({}), json!([{"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}},
            "LimitRanger plugin set: cpu request for container a; cpu, memory limit for container a"])).await;
        let own = json!({"limits": {"cpu": "3", "memory": "2Gi"}, "requests": {"cpu": "3"}});
        check(defaults(), own.clone(), json!([own, null])).await;
        let max = || json!({"type": "Container", "max": {"cpu": "800m"}});
        check(max(), json!({"limits": {"cpu": "1500m"}}), json!("pods \"p\" is forbidden: maximum cpu usage per Container is 800m, but limit is 1500m")).await;
        check(max(), json!({}), json!("pods \"p\" is forbidden: maximum cpu usage per Container is 800m.  No limit is specified")).await;
        check(
            json!({"type": "Pod", "min": {"cpu": "1"}}),
            json!({"requests": {"cpu": "100m"}}),
            json!("pods \"p\" is forbidden: minimum cpu usage per Pod is 1, but request is 100m"),
        )
        .await;
        check(json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}), json!({"requests": {"cpu": "1"}, "limits": {"cpu": "4"}}),
            json!("pods \"p\" is forbidden: cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000")).await;
    }
}

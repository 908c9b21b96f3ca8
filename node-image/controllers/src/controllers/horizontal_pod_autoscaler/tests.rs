//! Autoscalers as tables: the scale and the metrics, and what becomes of them.

use super::*;
use crate::testing::{at, body, lines, merge, object, time, view};

const METRICS: &str = "/apis/metrics.k8s.io/v1beta1/namespaces/a/pods";
const SCALE: &str = "/apis/apps/v1/namespaces/a/deployments/d/scale";

fn autoscaler(spec: Value) -> Value {
    let mut all = object(
        "HorizontalPodAutoscaler",
        "a",
        "h",
        json!({"spec": {"minReplicas": 1, "maxReplicas": 10,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 50}}}]}}),
    );
    merge(&mut all, json!({"spec": spec}));
    all
}

/// Pods that request 100m, and how many thousandths each uses.
fn pods(usages: &[i64]) -> Vec<Value> {
    let one = |place: usize| {
        object(
            "Pod",
            "a",
            &format!("p{place}"),
            json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [
                {"name": "c", "resources": {"requests": {"cpu": "100m"}}}]},
                "status": {"phase": "Running", "startTime": time(-1000), "conditions": [
                    {"type": "Ready", "status": "True", "lastTransitionTime": time(-990)}]}}),
        )
    };
    (0..usages.len()).map(one).collect()
}

fn answers(usages: &[i64], replicas: i64, memory: Value) -> Answers {
    let items: Vec<Value> = usages
        .iter()
        .enumerate()
        .map(|(place, usage)| {
            json!({"metadata": {"name": format!("p{place}")}, "timestamp": time(0),
                "containers": [{"name": "c", "usage": {"cpu": format!("{usage}m")}}]})
        })
        .collect();
    let scale = json!({"spec": {"replicas": replicas}, "status": {"selector": "app=x"}});
    let by_path = [(METRICS, json!({"items": items})), (SCALE, scale)];
    let by_path = by_path.into_iter().map(|(path, answer)| (path.to_owned(), Ok(answer)));
    Answers { by_path: by_path.collect(), memory, ..Answers::default() }
}

fn decide(spec: Value, usages: &[i64], memory: Value) -> Plan {
    let all = [vec![autoscaler(spec)], pods(usages)].concat();
    let resource = shared_resource();
    let target = Target::new(&resource, Key::new("a", "h"));
    let replicas = i64::try_from(usages.len()).unwrap();
    let answers = answers(usages, replicas, memory);
    HorizontalPodAutoscalers.decide(&view(&all), &target, at(100), &answers)
}

fn shared_resource() -> std::sync::Arc<Resource> {
    crate::controller::shared(&resources::HORIZONTAL_POD_AUTOSCALERS)
}

/// The size that is set, if any.
fn size(plan: &Plan) -> Option<i64> {
    plan.steps().find_map(|step| match &step.action {
        crate::Action::Update("scale", scale) => scale["spec"]["replicas"].as_i64(),
        _ => None,
    })
}

#[test]
fn what_is_asked() {
    let objects = view(&[autoscaler(json!({}))]);
    let target = Target::new(&shared_resource(), Key::new("a", "h"));
    let ask = |memory: Value| HorizontalPodAutoscalers.ask(&objects, &target, at(100), &memory);
    assert_eq!(ask(Value::Null), Ask::Paths(vec![SCALE.into(), METRICS.into()]));
    let plan = decide(json!({}), &[50], Value::Null);
    assert_eq!(plan.again, Some(at(115)));
    assert_eq!(ask(plan.remember.unwrap()), Ask::Later(at(115)));
}

#[test]
fn sizes() {
    let check = |spec: Value, usages: &[i64], expect: Option<i64>| {
        let plan = decide(spec.clone(), usages, Value::Null);
        assert_eq!(size(&plan), expect, "{spec} {usages:?}: {:?}", lines(&plan));
    };
    check(json!({}), &[50, 50], None);
    check(json!({}), &[100, 100], Some(4));
    check(json!({}), &[90, 20], None);
    check(json!({}), &[500, 500], Some(4));
    check(json!({"maxReplicas": 3}), &[100, 100], Some(3));
    check(json!({"minReplicas": 3}), &[0, 0], Some(3));
    // The size at the beginning holds for five minutes.
    check(json!({}), &[10, 10], None);
    let eager = json!({"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0,
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}}});
    check(eager, &[10, 10], Some(1));
    let slow = json!({"behavior": {"scaleUp": {"stabilizationWindowSeconds": 0,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}}});
    check(slow, &[100, 100], Some(3));
    let average = json!({"metrics": [{"type": "Resource", "resource": {"name": "cpu",
        "target": {"type": "AverageValue", "averageValue": "25m"}}}]});
    check(average, &[50, 50], Some(4));
}

#[test]
fn what_was_done_lately_counts() {
    let slow = json!({"behavior": {"scaleUp": {"stabilizationWindowSeconds": 0,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}}});
    let memory = json!({"recommended": [[at(90).as_second(), 4]],
        "changes": [[at(80).as_second(), 1]]});
    assert_eq!(size(&decide(slow, &[100, 100], memory)), None);
    let high = json!({"recommended": [[at(-100).as_second(), 2]], "changes": []});
    assert_eq!(size(&decide(json!({}), &[10, 10], high)), None);
    let past = json!({"recommended": [[at(-300).as_second(), 2]], "changes": []});
    assert_eq!(size(&decide(json!({}), &[10, 10], past)), Some(1));
}

#[test]
fn status() {
    let plan = decide(json!({}), &[100, 100], Value::Null);
    assert_eq!(
        lines(&plan),
        ["update deployments/scale a/d", "--", "update horizontalpodautoscalers/status a/h"]
    );
    let told = plan.steps().next().unwrap().done.clone().unwrap();
    let message =
        "New size: 4; reason: cpu resource utilization (percentage of request) above target";
    assert_eq!((told.reason.as_str(), told.message.as_str()), ("SuccessfulRescale", message));
    let status = &body(&plan, 1)["status"];
    assert_eq!((&status["currentReplicas"], &status["desiredReplicas"]), (&json!(2), &json!(4)));
    assert_eq!(
        status["currentMetrics"],
        json!([{"type": "Resource", "resource": {"name": "cpu",
            "current": {"averageUtilization": 100, "averageValue": "100m"}}}])
    );
    let reasons: Vec<&Value> =
        status["conditions"].as_array().unwrap().iter().map(|c| &c["reason"]).collect();
    assert_eq!(reasons, ["SucceededRescale", "ValidMetricFound", "DesiredWithinRange"]);
}

#[test]
fn without_metrics_nothing_is_done() {
    let all = [vec![autoscaler(json!({}))], pods(&[100])].concat();
    let target = Target::new(&shared_resource(), Key::new("a", "h"));
    let mut answers = answers(&[100], 1, Value::Null);
    answers.by_path.insert(METRICS.into(), Err("not found".into()));
    let plan = HorizontalPodAutoscalers.decide(&view(&all), &target, at(100), &answers);
    assert_eq!(size(&plan), None);
    let reasons: Vec<&str> = plan.events.iter().map(|event| event.reason.as_str()).collect();
    assert_eq!(reasons, ["FailedGetResourceMetric", "FailedComputeMetricsReplicas"]);
}

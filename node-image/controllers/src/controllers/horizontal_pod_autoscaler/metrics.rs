//! What an autoscaler's metrics say: which answers they need, what they are now, and how many
//! replicas each asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kd_api::quantity::{Format, Quantity};
use kd_api::selector::Selector;
use kd_client::{Key, Object, View, resources, selects};
use serde_json::{Value, json};

use super::Sync;
use super::replicas::{Measured, Tolerance, from_average, from_pods, from_value};

/// A CPU measurement of a pod younger than this counts only once it is ready.
const CPU_INITIALIZATION: SignedDuration = SignedDuration::from_secs(300);
/// A pod that became unready this soon after its start was never ready.
const INITIAL_READINESS: SignedDuration = SignedDuration::from_secs(30);
const TOLERANCE: f64 = 0.1;

/// What the metrics ask for.
pub(super) struct Proposal {
    pub replicas: i64,
    /// The metric that asks for the most.
    pub metric: String,
    pub statuses: Value,
}

/// Why a metric tells nothing, as a condition's reason and message.
pub(super) type Failure = (&'static str, String);

/// Why the metrics tell nothing.
pub(super) struct Invalid {
    /// The first one's reason and message.
    pub first: Failure,
    /// The same as upstream's event has it.
    pub told: String,
}

/// One metric's answer.
struct One {
    replicas: i64,
    name: String,
    status: Value,
}

/// The paths to ask for an autoscaler's metrics.
pub(super) fn paths_of(view: &View, json: &Value, namespace: &str) -> Vec<String> {
    let metrics = json["spec"]["metrics"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    let version = custom_version(view);
    let path = |metric| path_of(metric, namespace, version);
    let mut paths: Vec<String> = metrics.iter().map(path).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// The version in which custom metrics are served: the newer one, unless only the older one is.
fn custom_version(view: &View) -> &'static str {
    let served = |version: &str| {
        let key = Key::cluster(&format!("{version}.custom.metrics.k8s.io"));
        view.object(&resources::API_SERVICES, &key).is_some()
    };
    if served("v1beta1") && !served("v1beta2") { "v1beta1" } else { "v1beta2" }
}

fn path_of(metric: &Value, namespace: &str, version: &str) -> String {
    let custom = format!("/apis/custom.metrics.k8s.io/{version}/namespaces/{namespace}");
    let narrowed = |metric: &Value| query(metric, "metricLabelSelector");
    match metric["type"].as_str().unwrap_or_default() {
        "Pods" => {
            let name = metric["pods"]["metric"]["name"].as_str().unwrap_or_default();
            format!("{custom}/pods/*/{name}{}", narrowed(&metric["pods"]["metric"]))
        }
        "Object" => {
            let source = &metric["object"];
            let text = |field: &str| source["describedObject"][field].as_str().unwrap_or_default();
            let kind = text("kind").to_lowercase();
            let group = text("apiVersion").split_once('/').map_or("", |(group, _)| group);
            let dot = if group.is_empty() { "" } else { "." };
            let name = source["metric"]["name"].as_str().unwrap_or_default();
            let rest = narrowed(&source["metric"]);
            if kind == "namespace" && group.is_empty() {
                return format!("{custom}/metrics/{name}{rest}");
            }
            format!("{custom}/{kind}s{dot}{group}/{}/{name}{rest}", text("name"))
        }
        "External" => {
            let metric = &metric["external"]["metric"];
            let name = metric["name"].as_str().unwrap_or_default();
            let base = "/apis/external.metrics.k8s.io/v1beta1";
            format!("{base}/namespaces/{namespace}/{name}{}", query(metric, "labelSelector"))
        }
        _ => format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"),
    }
}

/// The labels that a metric is narrowed down by.
fn query(metric: &Value, parameter: &str) -> String {
    if !metric["selector"].is_object() {
        return String::new();
    }
    match Selector::from_object(&metric["selector"]) {
        Ok(selector) if !selector.is_everything() => {
            let text = selector.to_string().replace('=', "%3D").replace(',', "%2C");
            format!("?{parameter}={}", text.replace(' ', "%20"))
        }
        _ => String::new(),
    }
}

/// Thousandths of a quantity, if there is one.
fn milli(value: &Value) -> Option<f64> {
    if value.is_null() {
        return None;
    }
    Some(Quantity::from_json(value).ok()?.milli_value() as f64)
}

/// What upstream puts before the reason why a metric of a sort tells nothing.
fn wrapping(metric: &Value) -> String {
    let name = |field: &str| metric[field]["name"].as_str().unwrap_or_default().to_owned();
    match metric["type"].as_str().unwrap_or_default() {
        "Object" => "failed to get object metric value: ".to_owned(),
        "Pods" => "failed to get pods metric value: ".to_owned(),
        "Resource" => format!("failed to get {} resource metric value: ", name("resource")),
        "ContainerResource" => {
            format!("failed to get {} container metric value: ", name("containerResource"))
        }
        "External" => {
            let name = metric["external"]["metric"]["name"].as_str().unwrap_or_default();
            format!("failed to get {name} external metric value: ")
        }
        _ => String::new(),
    }
}

fn shown(milli: f64) -> String {
    Quantity::from_milli(milli.round() as i64, Format::DecimalSi).to_string()
}

impl Sync<'_> {
    /// All metrics; the one that asks for the most decides. One that fails only matters when the
    /// others would shrink the target.
    pub(super) fn measure(&self, scale: &Value, selector: &Selector) -> Result<Proposal, Invalid> {
        let current = scale["spec"]["replicas"].as_i64().unwrap_or(0);
        let namespace = Some(self.object.metadata.namespace.as_str());
        let pods = self.view.objects(&resources::PODS, namespace);
        let pods: Vec<&Arc<Object>> =
            pods.filter(|pod| selects(selector, &pod.metadata.labels)).collect();
        let (mut best, mut failure) = (None::<One>, None);
        let mut statuses = Vec::new();
        let metrics =
            self.json["spec"]["metrics"].as_array().map_or(&[] as &[Value], Vec::as_slice);
        let mut invalid = 0;
        for metric in metrics {
            match self.one(metric, current, &pods) {
                Ok(one) => {
                    statuses.push(one.status.clone());
                    if best.as_ref().is_none_or(|best| one.replicas > best.replicas) {
                        best = Some(one);
                    }
                }
                Err(why) => {
                    invalid += 1;
                    failure = failure.or_else(|| Some((why, wrapping(metric))));
                }
            }
        }
        let none =
            || (("InvalidMetricSourceType", "there are no metrics".to_owned()), String::new());
        match (best, failure) {
            (Some(best), failure) if failure.is_none() || best.replicas >= current => {
                Ok(Proposal {
                    replicas: best.replicas,
                    metric: best.name,
                    statuses: json!(statuses),
                })
            }
            (_, failure) => {
                let (first, wrapping) = failure.unwrap_or_else(none);
                let told = format!(
                    "invalid metrics ({invalid} invalid out of {}), first error is: {wrapping}{}",
                    metrics.len(),
                    first.1
                );
                Err(Invalid { first, told })
            }
        }
    }

    fn tolerance(&self) -> Tolerance {
        let side = |side: &str| {
            let own = &self.json["spec"]["behavior"][side]["tolerance"];
            milli(own).map_or(TOLERANCE, |milli| milli / 1000.0)
        };
        Tolerance { up: side("scaleUp"), down: side("scaleDown") }
    }

    fn answer(&self, metric: &Value, reason: &'static str) -> Result<&Value, Failure> {
        let version = custom_version(self.view);
        let path = path_of(metric, &self.object.metadata.namespace, version);
        let answer = self.answers.get(&path);
        answer.map_err(|why| (reason, format!("unable to get metrics: {why}")))
    }

    fn one(&self, metric: &Value, current: i64, pods: &[&Arc<Object>]) -> Result<One, Failure> {
        match metric["type"].as_str().unwrap_or_default() {
            "Resource" => self.resource(metric, "resource", current, pods),
            "ContainerResource" => self.resource(metric, "containerResource", current, pods),
            "Pods" => self.pods(metric, current, pods),
            "Object" => self.single(metric, "object", current, pods),
            "External" => self.single(metric, "external", current, pods),
            other => {
                let message = format!("unknown metric source type {other:?}");
                Err(("InvalidMetricSourceType", message))
            }
        }
    }

    fn resource(
        &self,
        metric: &Value,
        field: &str,
        current: i64,
        pods: &[&Arc<Object>],
    ) -> Result<One, Failure> {
        const REASON: &str = "FailedGetResourceMetric";
        let source = &metric[field];
        let name = source["name"].as_str().unwrap_or_default();
        let container = source["container"].as_str();
        let usages = resource_usages(self.answer(metric, REASON)?, name, container);
        let by_share = source["target"]["averageUtilization"].as_f64();
        let base = |pod: &Value| match by_share {
            Some(_) => requested(pod, name, container),
            None => Ok(1.0),
        };
        let what = if by_share.is_some() { "utilization" } else { "usage" };
        let measured = self.group(pods, &usages, name == "cpu", base);
        let measured =
            measured.map_err(|why| (REASON, format!("failed to get {name} {what}: {}", why.1)))?;
        let what = match (by_share, container) {
            (None, _) => format!("{name} resource"),
            (_, Some(_)) => {
                format!("{name} container resource utilization (percentage of request)")
            }
            (_, None) => format!("{name} resource utilization (percentage of request)"),
        };
        let count = measured.ready.len() as f64;
        let used: f64 = measured.ready.iter().map(|(usage, _)| usage).sum();
        let average = shown(used / count);
        let (target, now) = match by_share {
            Some(share) => {
                let base: f64 = measured.ready.iter().map(|(_, base)| base).sum();
                let share_now = (used * 100.0 / base) as i64;
                let now = json!({"averageUtilization": share_now, "averageValue": average});
                (share / 100.0, now)
            }
            None => {
                let target = milli(&source["target"]["averageValue"]).unwrap_or(1.0);
                (target, json!({"averageValue": average}))
            }
        };
        let replicas = from_pods(&measured, target, current, self.tolerance());
        let mut own = json!({"name": name, "current": now});
        if let Some(container) = container {
            own["container"] = json!(container);
        }
        let status = json!({"type": metric["type"], field: own});
        Ok(One { replicas, name: what, status })
    }

    fn pods(&self, metric: &Value, current: i64, pods: &[&Arc<Object>]) -> Result<One, Failure> {
        const REASON: &str = "FailedGetPodsMetric";
        let list = self.answer(metric, REASON)?;
        let items = list["items"].as_array().map_or(&[] as &[Value], Vec::as_slice);
        let usages: BTreeMap<String, (f64, Timestamp)> = items
            .iter()
            .filter_map(|item| {
                let name = item["describedObject"]["name"].as_str()?;
                Some((name.to_owned(), (milli(&item["value"])?, Timestamp::UNIX_EPOCH)))
            })
            .collect();
        let measured = self.group(pods, &usages, false, |_| Ok(1.0));
        let measured = measured.map_err(|why| (REASON, why.1))?;
        let source = &metric["pods"];
        let target = milli(&source["target"]["averageValue"]).unwrap_or(1.0);
        let used: f64 = measured.ready.iter().map(|(usage, _)| usage).sum();
        let average = shown(used / measured.ready.len() as f64);
        let name = source["metric"]["name"].as_str().unwrap_or_default();
        Ok(One {
            replicas: from_pods(&measured, target, current, self.tolerance()),
            name: format!("pods metric {name}"),
            status: json!({"type": "Pods", "pods": {"metric": source["metric"],
                "current": {"averageValue": average}}}),
        })
    }

    /// A metric of one object, or of nothing in the cluster.
    fn single(
        &self,
        metric: &Value,
        field: &str,
        current: i64,
        pods: &[&Arc<Object>],
    ) -> Result<One, Failure> {
        let reason =
            if field == "object" { "FailedGetObjectMetric" } else { "FailedGetExternalMetric" };
        let list = self.answer(metric, reason)?;
        let items = list["items"].as_array().map_or(&[] as &[Value], Vec::as_slice);
        let usage: f64 = items.iter().filter_map(|item| milli(&item["value"])).sum();
        let source = &metric[field];
        let target = &source["target"];
        let name = source["metric"]["name"].as_str().unwrap_or_default();
        let ready = pods.iter().filter(|pod| crate::pods::PodState::of(pod).is_ready()).count();
        let (replicas, now) = match milli(&target["averageValue"]) {
            Some(average) => (
                from_average(usage, average, current, self.tolerance()),
                json!({"averageValue": shown(usage / current.max(1) as f64)}),
            ),
            None => {
                let value = milli(&target["value"]).unwrap_or(1.0);
                let replicas = from_value(usage, value, ready, current, self.tolerance());
                (replicas, json!({"value": shown(usage)}))
            }
        };
        let mut own = json!({"metric": source["metric"], "current": now});
        if field == "object" {
            own["describedObject"] = source["describedObject"].clone();
        }
        let by_average = !target["averageValue"].is_null();
        Ok(One {
            replicas,
            name: match source["describedObject"]["kind"].as_str().filter(|_| !by_average) {
                Some(kind) => format!("{kind} metric {name}"),
                None => format!("external metric {name}({})", go_selector(&source["metric"])),
            },
            status: json!({"type": metric["type"], field: own}),
        })
    }

    /// Sorts the pods into those that count, those without a measurement, those not ready yet.
    fn group(
        &self,
        pods: &[&Arc<Object>],
        usages: &BTreeMap<String, (f64, Timestamp)>,
        cpu: bool,
        base: impl Fn(&Value) -> Result<f64, String>,
    ) -> Result<Measured, Failure> {
        let mut measured = Measured::default();
        for pod in pods.iter().filter(|pod| !pod.metadata.is_deleting()) {
            let json: Value = pod.decode().unwrap_or_default();
            let phase = json["status"]["phase"].as_str().unwrap_or_default();
            if phase == "Failed" {
                continue;
            }
            let name = &pod.metadata.name;
            let base = base(&json).map_err(|why| ("FailedGetResourceMetric", why))?;
            match usages.get(name) {
                _ if phase == "Pending" => measured.unready.push(base),
                None => measured.missing.push(base),
                Some((_, at)) if cpu && !self.settled(&json, *at) => measured.unready.push(base),
                Some((usage, _)) => measured.ready.push((*usage, base)),
            }
        }
        match measured.ready.is_empty() {
            false => Ok(measured),
            true => Err((
                "FailedGetResourceMetric",
                "did not receive metrics for targeted pods (pods might be unready)".into(),
            )),
        }
    }

    /// Whether a pod's CPU usage is no longer that of its start.
    fn settled(&self, pod: &Value, measured: Timestamp) -> bool {
        let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let conditions = pod["status"]["conditions"].as_array();
        let ready = conditions.and_then(|all| all.iter().find(|c| c["type"] == "Ready"));
        let (Some(ready), Some(start)) = (ready, time(&pod["status"]["startTime"])) else {
            return false;
        };
        let (is_ready, since) = (ready["status"] == "True", time(&ready["lastTransitionTime"]));
        let Some(since) = since else { return is_ready };
        if start + CPU_INITIALIZATION > self.now {
            return is_ready && measured >= since;
        }
        is_ready || start + INITIAL_READINESS <= since
    }
}

/// A metric's selector as upstream's messages show it.
fn go_selector(metric: &Value) -> String {
    let Some(selector) = metric["selector"].as_object() else { return "nil".to_owned() };
    let labels = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let labels: String = labels
        .map(|(key, value)| format!("{key}: {},", value.as_str().unwrap_or_default()))
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},\
         MatchExpressions:[]LabelSelectorRequirement{{}},}}"
    )
}

/// Usage in thousandths by pod, from PodMetrics.
fn resource_usages(
    list: &Value,
    name: &str,
    container: Option<&str>,
) -> BTreeMap<String, (f64, Timestamp)> {
    let items = list["items"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    let usage = |item: &Value| {
        let all = item["containers"].as_array()?;
        let chosen = all.iter().filter(|c| container.is_none_or(|name| c["name"] == name));
        let usages: Option<Vec<f64>> = chosen.map(|c| milli(&c["usage"][name])).collect();
        let usages = usages.filter(|usages| !usages.is_empty())?;
        let at = item["timestamp"].as_str().and_then(|text| text.parse().ok());
        Some((usages.iter().sum(), at.unwrap_or(Timestamp::UNIX_EPOCH)))
    };
    let named = items.iter().filter_map(|item| {
        let name = item["metadata"]["name"].as_str()?;
        Some((name.to_owned(), usage(item)?))
    });
    named.collect()
}

/// What the containers of a pod request, in thousandths. The error names the one that does not say.
fn requested(pod: &Value, name: &str, container: Option<&str>) -> Result<f64, String> {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let initial = pod["spec"]["initContainers"].as_array().into_iter().flatten();
    let sidecars = initial.filter(|c| c["restartPolicy"] == "Always");
    let chosen = containers.chain(sidecars).filter(|c| container.is_none_or(|n| c["name"] == n));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let missing = |container: &Value| {
        let pod = text(&pod["metadata"]["name"]);
        format!("missing request for {name} in container {} of Pod {pod}", text(&container["name"]))
    };
    let amounts = chosen.map(|c| {
        let amount = milli(&c["resources"]["requests"][name]).filter(|amount| *amount > 0.0);
        amount.ok_or_else(|| missing(c))
    });
    let total: f64 = amounts.sum::<Result<f64, String>>()?;
    let unknown = || missing(&json!({"name": container}));
    if total > 0.0 { Ok(total) } else { Err(unknown()) }
}

//! `TYPE/NAME` as written, and the running pod that it stands for.

use std::str::FromStr;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt};
use serde_json::Value;

use super::ports::{PortPair, PortSpec};
use crate::duration;
use crate::error::{Error, ExitCode, Result};

/// A type that leads to pods.
#[derive(Debug, PartialEq, Eq)]
struct Kind {
    /// Its names: first the plural, which the API path has.
    names: &'static [&'static str],
    /// The API path before the namespace; pods themselves have none.
    group: &'static str,
}

const KINDS: &[Kind] = &[
    Kind { names: &["pods", "pod", "po"], group: "" },
    Kind { names: &["services", "service", "svc"], group: "api/v1" },
    Kind { names: &["replicationcontrollers", "replicationcontroller", "rc"], group: "api/v1" },
    Kind { names: &["daemonsets", "daemonset", "ds"], group: "apis/apps/v1" },
    Kind { names: &["deployments", "deployment", "deploy"], group: "apis/apps/v1" },
    Kind { names: &["replicasets", "replicaset", "rs"], group: "apis/apps/v1" },
    Kind { names: &["statefulsets", "statefulset", "sts"], group: "apis/apps/v1" },
    Kind { names: &["jobs", "job"], group: "apis/batch/v1" },
];

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetReference {
    kind: &'static Kind,
    name: String,
}

/// The pod, and the Service if one led to it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The pod, which runs.
    pub pod: Pod,
    service: Option<Box<Service>>,
}

impl FromStr for TargetReference {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<TargetReference, String> {
        let (kind, name) = text.split_once('/').unwrap_or(("pods", text));
        // `deployments.apps/x` names the group too.
        let word = kind.split('.').next().unwrap_or(kind).to_ascii_lowercase();
        let kind = KINDS.iter().find(|known| known.names.contains(&word.as_str()));
        let kind = kind.ok_or_else(|| {
            let known: Vec<&str> = KINDS.iter().map(|kind| kind.names[1]).collect();
            format!("{word:?} has no pods to forward to; use one of {}", known.join(", "))
        })?;
        if name.is_empty() || name.contains('/') {
            return Err(format!("{text:?} is not TYPE/NAME"));
        }
        Ok(TargetReference { kind, name: name.to_owned() })
    }
}

impl TargetReference {
    /// Finds a running pod, and waits for one if there is none yet. Nobody waits for ports that a
    /// Service does not have.
    pub async fn resolve(
        &self,
        client: &Client,
        namespace: &str,
        ports: &[PortSpec],
        patience: Duration,
    ) -> Result<Target> {
        let (selection, service) = self.selection(client, namespace).await?;
        if let Some(service) = &service {
            ports.iter().try_for_each(|port| port.of_service(service).map(drop))?;
        }
        let running = running_pod(client, namespace, &selection);
        match tokio::time::timeout(patience, running).await {
            Ok(pod) => Ok(Target { pod: pod?, service }),
            Err(_) => Err(Error::new(
                ExitCode::Timeout,
                format!("no pod of {self} runs after {}", duration::format(patience)),
            )
            .hint(format!("see: kubectl get pods -n {namespace}"))
            .hint("give it longer with --pod-running-timeout")),
        }
    }

    async fn selection(
        &self,
        client: &Client,
        namespace: &str,
    ) -> Result<(Selection, Option<Box<Service>>)> {
        if self.kind.group.is_empty() {
            let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
            api.get(&self.name).await.map_err(|error| self.refused(namespace, error))?;
            return Ok((Selection::Name(self.name.clone()), None));
        }
        let object = self.get(client, namespace).await?;
        let selector = selector_query(object.pointer("/spec/selector").unwrap_or(&Value::Null));
        let selector = selector.ok_or_else(|| {
            Error::new(ExitCode::NotFound, format!("{self} selects no pods"))
                .hint("it has no selector: name a pod instead, as TYPE/NAME")
        })?;
        let is_service = self.kind.names[0] == "services";
        let service = is_service.then(|| serde_json::from_value(object)).transpose();
        let service = service.map_err(|source| {
            Error::new(ExitCode::Api, format!("understand {self}")).because(source)
        })?;
        Ok((Selection::Labels(selector), service.map(Box::new)))
    }

    async fn get(&self, client: &Client, namespace: &str) -> Result<Value> {
        let Kind { names, group } = self.kind;
        let path = format!("/{group}/namespaces/{namespace}/{}/{}", names[0], self.name);
        let request = http::Request::get(path).body(Vec::new()).map_err(|source| {
            Error::new(ExitCode::BadName, format!("{self} is not a name")).because(source)
        })?;
        client.request(request).await.map_err(|error| self.refused(namespace, error))
    }

    fn refused(&self, namespace: &str, error: kube::Error) -> Error {
        match &error {
            kube::Error::Api(status) if status.code == 404 => {
                let message = format!("there is no {self} in the namespace {namespace}");
                Error::new(ExitCode::NotFound, message).hint("name another namespace with -n")
            }
            _ => api_refused(&format!("get {self}"), error),
        }
    }
}

impl std::fmt::Display for TargetReference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.kind.names[1], self.name)
    }
}

impl Target {
    /// Resolves ports as they were written.
    pub fn ports(&self, specs: &[PortSpec]) -> Result<Vec<PortPair>> {
        let resolve = |spec: &PortSpec| match &self.service {
            Some(service) => spec.for_service(service, &self.pod),
            None => spec.for_pod(&self.pod),
        };
        specs.iter().map(resolve).collect()
    }

    /// Resolves once the pod is gone or has ended, with an error that says so.
    pub async fn gone(&self, client: &Client, namespace: &str) -> Error {
        let name = self.pod.name_any();
        match self.watch_end(client, namespace).await {
            Ok(how) => Error::new(ExitCode::PodGone, format!("the pod {namespace}/{name} {how}"))
                .hint("forward to another pod"),
            Err(error) => error,
        }
    }

    async fn watch_end(&self, client: &Client, namespace: &str) -> Result<&'static str> {
        let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let name = self.pod.name_any();
        let refused = |error| api_refused(&format!("watch the pod {namespace}/{name}"), error);
        let fields = format!("metadata.name={name}");
        loop {
            let list = api.list(&ListParams::default().fields(&fields)).await.map_err(refused)?;
            let same = |pod: &&Pod| pod.metadata.uid == self.pod.metadata.uid;
            match list.items.iter().find(same) {
                None => return Ok("is deleted"),
                Some(pod) if has_ended(pod) => return Ok("has ended"),
                Some(_) => {}
            }
            let version = list.metadata.resource_version.unwrap_or_default();
            let events = api.watch(&WatchParams::default().fields(&fields), &version).await;
            let mut events = events.map_err(refused)?.boxed();
            // A watch that ends or breaks begins again with a list.
            while let Ok(Some(event)) = events.try_next().await {
                match event {
                    WatchEvent::Deleted(pod) if same(&&pod) => return Ok("is deleted"),
                    WatchEvent::Modified(pod) if same(&&pod) && has_ended(&pod) => {
                        return Ok("has ended");
                    }
                    WatchEvent::Error(_) => break,
                    _ => {}
                }
            }
        }
    }
}

enum Selection {
    Name(String),
    Labels(String),
}

impl Selection {
    /// An error for the only pod that is meant; of several, another one may come.
    fn gone(&self, namespace: &str, how: &str) -> Result<()> {
        let Selection::Name(name) = self else { return Ok(()) };
        let message = format!("the pod {namespace}/{name} {how}");
        Err(Error::new(ExitCode::PodGone, message).hint("forward to another pod"))
    }
}

async fn running_pod(client: &Client, namespace: &str, selection: &Selection) -> Result<Pod> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let refused = |error| api_refused("list the pods", error);
    let (list, watch) = match selection {
        Selection::Name(name) => {
            let fields = format!("metadata.name={name}");
            (ListParams::default().fields(&fields), WatchParams::default().fields(&fields))
        }
        Selection::Labels(labels) => {
            (ListParams::default().labels(labels), WatchParams::default().labels(labels))
        }
    };
    loop {
        let found = api.list(&list).await.map_err(refused)?;
        if let Some(pod) = best(&found.items) {
            return Ok(pod.clone());
        }
        if found.items.first().is_some_and(has_ended) {
            selection.gone(namespace, "has ended")?;
        }
        let version = found.metadata.resource_version.unwrap_or_default();
        let mut events = api.watch(&watch, &version).await.map_err(refused)?.boxed();
        while let Ok(Some(event)) = events.try_next().await {
            match event {
                WatchEvent::Added(pod) | WatchEvent::Modified(pod) if is_running(&pod) => {
                    return Ok(pod);
                }
                WatchEvent::Modified(pod) if has_ended(&pod) => {
                    selection.gone(namespace, "has ended")?;
                }
                WatchEvent::Deleted(_) => selection.gone(namespace, "is deleted")?,
                WatchEvent::Error(_) => break,
                _ => {}
            }
        }
    }
}

/// A ready pod before one that is not, and then the first by name.
fn best(pods: &[Pod]) -> Option<&Pod> {
    let running = pods.iter().filter(|pod| is_running(pod));
    running.min_by_key(|pod| {
        (pod.metadata.deletion_timestamp.is_some(), !is_ready(pod), pod.name_any())
    })
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn is_running(pod: &Pod) -> bool {
    phase(pod) == "Running"
}

fn has_ended(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// A selector as the query that the API takes: a plain map of labels, or matchLabels and
/// matchExpressions. `None` selects nothing.
fn selector_query(selector: &Value) -> Option<String> {
    let map = selector.as_object().filter(|map| !map.is_empty())?;
    let is_plain = !map.contains_key("matchLabels") && !map.contains_key("matchExpressions");
    let selector: LabelSelector = if is_plain {
        let labels = serde_json::from_value(selector.clone()).ok();
        LabelSelector { match_labels: labels, match_expressions: None }
    } else {
        serde_json::from_value(selector.clone()).ok()?
    };
    let labels = selector.match_labels.unwrap_or_default().into_iter();
    let mut terms: Vec<String> = labels.map(|(key, value)| format!("{key}={value}")).collect();
    for expression in selector.match_expressions.unwrap_or_default() {
        let values = expression.values.unwrap_or_default().join(",");
        let key = expression.key;
        terms.push(match expression.operator.as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key,
            "DoesNotExist" => format!("!{key}"),
            _ => return None,
        });
    }
    (!terms.is_empty()).then(|| terms.join(","))
}

fn api_refused(operation: &str, error: kube::Error) -> Error {
    let is_silent = !matches!(error, kube::Error::Api(_));
    let refused = Error::new(ExitCode::Api, operation).because(error);
    match is_silent {
        true => refused.hint("does the cluster run? see `kd cluster list`"),
        false => refused,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references() {
        let check = |text: &str, expect: Option<&str>| {
            let parsed = text.parse::<TargetReference>().ok();
            assert_eq!(parsed.map(|target| target.to_string()).as_deref(), expect, "{text}");
        };
        check("nginx", Some("pod/nginx"));
        check("pod/nginx", Some("pod/nginx"));
        check("svc/web", Some("service/web"));
        check("deploy/web", Some("deployment/web"));
        check("deployments.apps/web", Some("deployment/web"));
        check("sts/db", Some("statefulset/db"));
        check("node/x", None);
        check("pod/", None);
        check("/x", None);
        check("a/b/c", None);
    }

    #[test]
    fn selectors() {
        let check = |selector: Value, expect: Option<&str>| {
            assert_eq!(selector_query(&selector).as_deref(), expect, "{selector}");
        };
        check(json!({"app": "x", "tier": "y"}), Some("app=x,tier=y"));
        check(json!({"matchLabels": {"app": "x"}}), Some("app=x"));
        check(
            json!({"matchExpressions": [
                {"key": "a", "operator": "In", "values": ["1", "2"]},
                {"key": "b", "operator": "NotIn", "values": ["3"]},
                {"key": "c", "operator": "Exists"},
                {"key": "d", "operator": "DoesNotExist"}]}),
            Some("a in (1,2),b notin (3),c,!d"),
        );
        check(json!({"matchExpressions": [{"key": "a", "operator": "Gt"}]}), None);
        check(json!({}), None);
        check(Value::Null, None);
    }

    #[test]
    fn the_best_pod() {
        let pod = |name: &str, phase: &str, ready: &str| -> Pod {
            serde_json::from_value(json!({
                "metadata": {"name": name},
                "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]},
            }))
            .unwrap()
        };
        let check = |pods: &[Pod], expect: Option<&str>| {
            assert_eq!(best(pods).map(ResourceExt::name_any).as_deref(), expect);
        };
        let pending = pod("a", "Pending", "False");
        let running = pod("b", "Running", "False");
        let ready = pod("c", "Running", "True");
        check(&[pending.clone(), running.clone(), ready], Some("c"));
        check(&[pending.clone(), running], Some("b"));
        check(&[pending], None);
        check(&[], None);
    }
}

//! When a cluster is usable: its nodes say so, and then the API says so through the kubeconfig.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Resource, ResourceExt};
use tokio::time::{Instant, timeout_at};

use super::timings::Timings;
use crate::docker::{NodeEvent, NodeOutput};
use crate::duration;
use crate::error::{Error, ExitCode, Result};

/// The ServiceAccount without which no pod is admitted.
const DEFAULT_SERVICE_ACCOUNT: &str = "default";
const DEFAULT_NAMESPACE: &str = "default";

/// Until when something must have happened.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    patience: Duration,
}

impl Deadline {
    /// A deadline in this time from now.
    pub fn after(patience: Duration) -> Deadline {
        Deadline { at: Instant::now() + patience, patience }
    }

    async fn limit<T>(
        &self,
        what: impl FnOnce() -> String,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match timeout_at(self.at, work).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(
                ExitCode::Timeout,
                format!("{} after {}", what(), duration::format(self.patience)),
            )
            .hint("give it longer with --timeout")),
        }
    }
}

/// Waits until a node has started and says that it is ready.
pub async fn node_ready(
    name: &str,
    output: &mut NodeOutput,
    deadline: Deadline,
    timings: &Timings,
) -> Result<()> {
    let ready = async {
        loop {
            match output.next().await {
                NodeEvent::Ready => return Ok(()),
                NodeEvent::Phase { name: phase, took } => {
                    timings.note(&format!("{name}: {phase}"), took);
                }
                NodeEvent::Failed(reason) => {
                    return Err(Error::new(
                        ExitCode::NodeFailed,
                        format!("the node {name} did not start: {reason}"),
                    ));
                }
                NodeEvent::Ended => {
                    return Err(Error::new(
                        ExitCode::NodeFailed,
                        format!("the node {name} ended before it was ready"),
                    ));
                }
            }
        }
    };
    let result = deadline.limit(|| format!("the node {name} is not ready"), ready).await;
    result.map_err(|error| explain(error, name, output))
}

/// Waits until the API server answers, every node is Ready and pods can be admitted.
pub async fn api_ready(client: &kube::Client, nodes: &[String], deadline: Deadline) -> Result<()> {
    let wanted: BTreeSet<String> = nodes.iter().cloned().collect();
    let all_nodes = until(Api::<Node>::all(client.clone()), None, wanted, is_ready);
    let account = until(
        Api::<ServiceAccount>::namespaced(client.clone(), DEFAULT_NAMESPACE),
        Some(DEFAULT_SERVICE_ACCOUNT),
        BTreeSet::from([DEFAULT_SERVICE_ACCOUNT.to_owned()]),
        |_| true,
    );
    let both = async { tokio::try_join!(all_nodes, account).map(|_| ()) };
    deadline.limit(|| "the cluster is not usable".to_owned(), both).await
}

/// Lists and then watches until every wanted object is as it should be.
async fn until<K>(
    api: Api<K>,
    only: Option<&str>,
    mut wanted: BTreeSet<String>,
    good: impl Fn(&K) -> bool,
) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let refused = |source| {
        let message = format!("the API server does not serve {}", K::plural(&()));
        Error::new(ExitCode::Api, message).because(source)
    };
    let field = only.map(|name| format!("metadata.name={name}"));
    loop {
        let parameters = ListParams { field_selector: field.clone(), ..ListParams::default() };
        let list = api.list(&parameters).await.map_err(refused)?;
        for object in list.items.iter().filter(|object| good(object)) {
            wanted.remove(&object.name_any());
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let version = list.metadata.resource_version.unwrap_or_default();
        let parameters = WatchParams { field_selector: field.clone(), ..WatchParams::default() };
        let mut events = api.watch(&parameters, &version).await.map_err(refused)?.boxed();
        while let Some(event) = events.next().await {
            match event.map_err(refused)? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) if good(&object) => {
                    wanted.remove(&object.name_any());
                }
                WatchEvent::Error(_) => break,
                _ => {}
            }
            if wanted.is_empty() {
                return Ok(());
            }
        }
    }
}

/// What a node lacks whose network is left to CNI plugins: that is its user's next step.
const NO_PLUGINS: &str = "cni plugin not initialized";

/// Ready, or as ready as it can be.
fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|conditions| {
        let mut ready = conditions.iter().filter(|condition| condition.type_ == "Ready");
        ready.any(|condition| {
            let message = condition.message.as_deref().unwrap_or_default();
            condition.status == "True" || message.ends_with(NO_PLUGINS)
        })
    })
}

fn explain(error: Error, node: &str, output: &NodeOutput) -> Error {
    let tail = output.tail();
    let error = if tail.is_empty() {
        error
    } else {
        let code = error.code();
        let text = format!("{}\nlast lines of {node}:\n{}", error.full_message(), tail.trim_end());
        let hints = error.hints().to_vec();
        hints.into_iter().fold(Error::new(code, text), Error::hint)
    };
    error.hint(format!("--retain keeps the nodes, then see: docker logs {node}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_by_its_condition() {
        let check = |conditions: &str, expect: bool| {
            let json = format!(r#"{{"metadata":{{}},"status":{{"conditions":[{conditions}]}}}}"#);
            assert_eq!(is_ready(&serde_json::from_str(&json).unwrap()), expect, "{conditions}");
        };
        check("", false);
        check(r#"{"type":"Ready","status":"True"}"#, true);
        check(r#"{"type":"Ready","status":"Unknown"}"#, false);
        let no_plugins =
            r#"{"type":"Ready","status":"False","message":"x: cni plugin not initialized"}"#;
        check(no_plugins, true);
        check(r#"{"type":"DiskPressure","status":"True"}"#, false);
    }
}

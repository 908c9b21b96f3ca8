//! From a pod's creation until a watch shows it as Ready, without the time of any client program; the
//! image is loaded, the pods have no probes and come one after another.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

use crate::machine::{BUSYBOX, Measured, Workbench, median, percentile_99};
use crate::table::Row;

const PODS: usize = 100;
/// A node holds 110; the ones that were measured go in between.
const PODS_AT_ONCE: usize = 25;
const PATIENCE: Duration = Duration::from_secs(60);
const MEDIAN_SECONDS_MAX: f64 = 0.150;
const P99_SECONDS_MAX: f64 = 0.500;

pub fn measure(bench: &Workbench) -> Measured<Vec<Row>> {
    bench.load(BUSYBOX)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let seconds = runtime.block_on(all(bench))?;
    let (middle, slow) = (median(&seconds), percentile_99(&seconds));
    let row = |figure, value: f64, bar, max| Row {
        figure,
        measured: format!("{value:.3} s"),
        beside: String::new(),
        bar,
        holds: value <= max,
    };
    Ok(vec![
        row("pod created to Ready, median of 100", middle, "at most 0.15 s", MEDIAN_SECONDS_MAX),
        row("pod created to Ready, 99 of 100", slow, "at most 0.5 s", P99_SECONDS_MAX),
    ])
}

async fn all(bench: &Workbench) -> Measured<Vec<f64>> {
    let pods: Api<Pod> = Api::default_namespaced(bench.client().await?);
    let version = pods.list(&ListParams::default().limit(1)).await.map_err(|e| e.to_string())?;
    let version = version.metadata.resource_version.unwrap_or_default();
    let mut seconds = Vec::new();
    let mut from = version;
    for batch in 0..PODS / PODS_AT_ONCE {
        let watch = pods.watch(&WatchParams::default(), &from).await.map_err(|e| e.to_string())?;
        let mut watch = pin!(watch);
        for index in 0..PODS_AT_ONCE {
            let name = format!("ready-{batch}-{index}");
            let began = Instant::now();
            pods.create(&PostParams::default(), &pod(&name)).await.map_err(|e| e.to_string())?;
            wait(&mut watch, &name).await?;
            seconds.push(began.elapsed().as_secs_f64());
        }
        // The next ones shall not meet the end of these.
        let soon = DeleteParams { grace_period_seconds: Some(1), ..DeleteParams::default() };
        let own = ListParams::default().labels("measured=ready");
        pods.delete_collection(&soon, &own).await.map_err(|e| e.to_string())?;
        from = wait_for_the_end(&mut watch).await?;
    }
    Ok(seconds)
}

fn pod(name: &str) -> Pod {
    let container = json!({"name": "main", "image": BUSYBOX, "command": ["sleep", "100000"]});
    let pod = json!({
        "metadata": {"name": name, "labels": {"measured": "ready"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}
    });
    serde_json::from_value(pod).expect("a pod")
}

/// Until the pod is seen to be Ready.
async fn wait(
    watch: &mut (impl Stream<Item = kube::Result<WatchEvent<Pod>>> + Unpin),
    name: &str,
) -> Measured<()> {
    let late = || format!("pod {name} is not Ready in {PATIENCE:?}");
    let seen = async {
        while let Some(event) = watch.next().await {
            if let WatchEvent::Added(pod) | WatchEvent::Modified(pod) =
                event.map_err(|error| error.to_string())?
                && pod.metadata.name.as_deref() == Some(name)
                && is_ready(&pod)
            {
                return Ok(());
            }
        }
        Err(format!("the watch ended before pod {name} was Ready"))
    };
    tokio::time::timeout(PATIENCE, seen).await.map_err(|_| late())?
}

/// The revision at which the last pod of a batch was gone.
async fn wait_for_the_end(
    watch: &mut (impl Stream<Item = kube::Result<WatchEvent<Pod>>> + Unpin),
) -> Measured<String> {
    let gone = async {
        let mut count = 0;
        while let Some(event) = watch.next().await {
            if let WatchEvent::Deleted(pod) = event.map_err(|error| error.to_string())? {
                count += 1;
                if count == PODS_AT_ONCE {
                    return Ok(pod.metadata.resource_version.unwrap_or_default());
                }
            }
        }
        Err("the watch ended before all pods were gone".to_owned())
    };
    let late = || format!("pods are not gone in {PATIENCE:?}");
    tokio::time::timeout(PATIENCE, gone).await.map_err(|_| late())?
}

/// Whether a pod's last word is that it is Ready.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}

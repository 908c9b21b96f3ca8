//! What the server tells of the node: statistics, metrics, configuration, running pods.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::lookup::Refusal;
use super::request::Query;
use super::response::{Body, plain, text};
use crate::config::Config;
use crate::kubelet::Kubelet;
use crate::stats::{Detail, cadvisor_page, collect, own_page, resource_page, summary};
use http::Response;

const JSON: &str = "application/json";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `/stats/summary`
pub(super) async fn stats_summary(kubelet: &Kubelet, query: &Query) -> Response<Body> {
    let small = query.flag("only_cpu_and_memory");
    let detail = if small { Detail::Groups } else { Detail::Disks };
    let used = collect(kubelet, detail).await;
    plain(StatusCode::OK, JSON, summary(&used, !small).to_string())
}

/// The pages below `/metrics`.
pub(super) async fn metrics(
    kubelet: &Arc<Kubelet>,
    page: &[&str],
) -> Result<Response<Body>, Refusal> {
    let version = &kubelet.config().kubelet_version;
    let body = match page {
        [] => {
            let sandboxes = kubelet.runtime().list().await.unwrap_or_default();
            own_page(&collect(kubelet, Detail::Disks).await, &sandboxes, version)
        }
        ["cadvisor"] => cadvisor_page(&collect(kubelet, Detail::Disks).await, version),
        ["resource"] => resource_page(&collect(kubelet, Detail::Groups).await),
        ["probes"] => kubelet.probe_counts().page(),
        _ => return Err(Refusal::new(404, "404 page not found\n")),
    };
    Ok(plain(StatusCode::OK, METRICS, body))
}

/// `/configz`
pub(super) fn configz(config: &Config) -> Response<Body> {
    plain(StatusCode::OK, JSON, json!({"kubeletconfig": configuration(config)}).to_string())
}

/// The configuration in the words of upstream's KubeletConfiguration: what differs from its
/// defaults, or is looked for by tests.
fn configuration(config: &Config) -> Value {
    let seconds = |duration: std::time::Duration| format!("{}s", duration.as_secs());
    json!({
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": "0.0.0.0",
        "port": config.port,
        "authentication": {
            "x509": {}, "webhook": {"enabled": true}, "anonymous": {"enabled": false}},
        "authorization": {"mode": "Webhook"},
        "clusterDomain": config.cluster_domain,
        "clusterDNS": config.cluster_dns,
        "nodeStatusUpdateFrequency": seconds(config.node_check_every),
        "nodeStatusReportFrequency": seconds(config.node_report_every),
        "nodeLeaseDurationSeconds": config.lease_duration.as_secs(),
        "cgroupRoot": "/",
        "cgroupsPerQOS": true,
        "cgroupDriver": "cgroupfs",
        "cpuManagerPolicy": "none",
        "memoryManagerPolicy": "None",
        "topologyManagerPolicy": "none",
        "maxPods": config.pods_max,
        "podPidsLimit": config.pod_pids_max.unwrap_or(-1),
        "resolvConf": config.resolv_conf,
        "cpuCFSQuota": true,
        "containerLogMaxSize": format!("{}Mi", config.log_rotation.size_bytes_max >> 20),
        "containerLogMaxFiles": config.log_rotation.files_max,
        "enableServer": true,
        "enableDebuggingHandlers": true,
        "failSwapOn": false,
        "registerNode": true,
        "shutdownGracePeriod": seconds(config.shutdown_grace),
        "shutdownGracePeriodCriticalPods": seconds(config.shutdown_grace_critical),
        "podLogsDir": config.pod_log_directory,
    })
}

/// `/runningpods`: what runs, as far as the runtime alone knows.
pub(super) async fn running_pods(kubelet: &Kubelet) -> Response<Body> {
    let sandboxes = kubelet.runtime().list().await.unwrap_or_default();
    let pods: Vec<Value> = sandboxes
        .iter()
        .filter(|sandbox| sandbox.ready)
        .map(|sandbox| {
            let running = sandbox.containers.iter().filter(|c| c.pid.is_some());
            let containers: Vec<Value> = running
                .map(|c| json!({"name": c.spec.name, "image": c.spec.image, "resources": {}}))
                .collect();
            let pod = &sandbox.spec.pod;
            json!({
                "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid,
                    "creationTimestamp": null},
                "spec": {"containers": containers},
                "status": {},
            })
        })
        .collect();
    let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods});
    plain(StatusCode::OK, JSON, list.to_string())
}

/// `/run`: a command to its end; what it wrote.
pub(super) async fn run(
    kubelet: &Kubelet,
    id: &str,
    query: &Query,
) -> Result<Response<Body>, Refusal> {
    let command: Vec<String> =
        query.first("cmd").unwrap_or_default().split(' ').map(str::to_owned).collect();
    let ran = kubelet.runtime().exec_sync(id, command, None).await;
    let ran = ran.map_err(|error| Refusal::new(500, error.to_string()))?;
    let mut output = ran.stdout;
    output.extend(ran.stderr);
    match ran.code {
        0 => Ok(text(StatusCode::OK, output)),
        code => {
            let written = String::from_utf8_lossy(&output);
            Err(Refusal::new(
                500,
                format!(
                    "command '{}' exited with {code}: {written}",
                    query.first("cmd").unwrap_or_default()
                ),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_upstreams() {
        let written = configuration(&Config::default());
        assert_eq!(written["maxPods"], 110);
        assert_eq!(written["nodeStatusUpdateFrequency"], "10s");
        assert_eq!(written["containerLogMaxSize"], "10Mi");
    }
}

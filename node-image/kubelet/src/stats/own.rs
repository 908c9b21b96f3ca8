//! `/metrics` and `/metrics/probes`: what the kubelet tells of itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use kd_runtime::{ContainerState, SandboxStatus};

use super::NodeUse;
use super::page::{Page, Sort};

/// Series kept; a node has few pods, and those that are gone are forgotten.
const SERIES_MAX: usize = 8192;

/// What a series of looks is about: container, namespace, pod, its uid, which probe, what it found.
type Series = [String; 6];

/// How often each probe found what.
#[derive(Clone, Debug, Default)]
pub struct ProbeCounts(Arc<Mutex<BTreeMap<Series, u64>>>);

impl ProbeCounts {
    /// Counts one look.
    pub fn count(&self, series: Series) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() < SERIES_MAX || counts.contains_key(&series) {
            *counts.entry(series).or_insert(0) += 1;
        }
    }

    /// Forgets a pod.
    pub fn forget(&self, uid: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|series, _| series[3] != uid);
    }

    /// The page.
    pub fn page(&self) -> String {
        const NAMES: [&str; 6] =
            ["container", "namespace", "pod", "pod_uid", "probe_type", "result"];
        let mut page = Page::default();
        page.metric(
            "prober_probe_total",
            Sort::Counter,
            "Looks at containers, by what they found.",
        );
        for (series, count) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let labels: Vec<(&str, &str)> =
                NAMES.iter().zip(series).map(|(name, value)| (*name, value.as_str())).collect();
            page.sample("prober_probe_total", &labels, *count as f64);
        }
        page.text()
    }
}

/// The kubelet's own page.
pub fn own_page(used: &NodeUse, sandboxes: &[SandboxStatus], version: &str) -> String {
    let mut page = Page::default();
    page.metric("kubelet_node_name", Sort::Gauge, "The node's name; always 1.");
    page.sample("kubelet_node_name", &[("node", &used.name)], 1.0);
    page.metric("kubernetes_build_info", Sort::Gauge, "The version; always 1.");
    let numbers: Vec<&str> = version.trim_start_matches('v').split('.').collect();
    let number = |at: usize| numbers.get(at).copied().unwrap_or_default();
    let labels = [("git_version", version), ("major", number(0)), ("minor", number(1))];
    page.sample("kubernetes_build_info", &labels, 1.0);
    page.metric("kubelet_running_pods", Sort::Gauge, "Pods with a running sandbox.");
    let running = sandboxes.iter().filter(|sandbox| sandbox.ready).count();
    page.sample("kubelet_running_pods", &[], running as f64);
    page.metric("kubelet_running_containers", Sort::Gauge, "Containers, by state.");
    let all = || sandboxes.iter().flat_map(|sandbox| &sandbox.containers);
    for (state, count) in [
        ("created", all().filter(|c| c.state == ContainerState::Created).count()),
        ("exited", all().filter(|c| matches!(c.state, ContainerState::Exited(_))).count()),
        ("running", all().filter(|c| matches!(c.state, ContainerState::Running { .. })).count()),
    ] {
        page.sample("kubelet_running_containers", &[("container_state", state)], count as f64);
    }
    volumes(&mut page, used);
    page.text()
}

/// A number of a volume.
type Read = fn(&super::VolumeUse) -> u64;

const VOLUME: [(&str, &str, Read); 6] = [
    ("available_bytes", "Bytes free.", |v| v.disk.available_bytes),
    ("capacity_bytes", "Bytes there are.", |v| v.disk.capacity_bytes),
    ("inodes", "Inodes there are.", |v| v.disk.inodes),
    ("inodes_free", "Inodes free.", |v| v.disk.inodes_free),
    ("inodes_used", "Inodes used.", |v| v.used.inodes),
    ("used_bytes", "Bytes used.", |v| v.used.bytes),
];

fn volumes(page: &mut Page, used: &NodeUse) {
    for (suffix, help, read) in VOLUME {
        let name = format!("kubelet_volume_stats_{suffix}");
        page.metric(&name, Sort::Gauge, help);
        for volume in used.pods.iter().flat_map(|pod| &pod.volumes) {
            if let Some((namespace, claim)) = &volume.claim {
                let labels =
                    [("namespace", namespace.as_str()), ("persistentvolumeclaim", claim.as_str())];
                page.sample(&name, &labels, read(volume) as f64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_counted() {
        let counts = ProbeCounts::default();
        let series = |uid: &str| ["c", "n", "p", uid, "Liveness", "successful"].map(str::to_owned);
        counts.count(series("1"));
        counts.count(series("1"));
        counts.count(series("2"));
        counts.forget("2");
        let line = "prober_probe_total{container=\"c\",namespace=\"n\",pod=\"p\",pod_uid=\"1\",\
                    probe_type=\"Liveness\",result=\"successful\"} 2";
        let text = counts.page();
        assert!(text.ends_with(&format!("{line}\n")), "{text}");
    }

    #[test]
    fn the_page() {
        let text = own_page(&NodeUse { name: "n".into(), ..NodeUse::default() }, &[], "v1.36.0+kd");
        assert!(text.contains(
            "kubernetes_build_info{git_version=\"v1.36.0+kd\",major=\"1\",minor=\"36\"} 1\n"
        ));
        assert!(text.contains("kubelet_running_containers{container_state=\"running\"} 0\n"));
    }
}

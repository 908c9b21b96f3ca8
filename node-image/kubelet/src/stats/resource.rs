//! `/metrics/resource`: CPU and memory of the node, its pods and containers.

use super::page::{Page, Sort, seconds, unix};
use super::{ContainerUse, Measured, NodeUse, PodUse};

/// A number of something measured.
type Read = fn(&Measured) -> f64;

/// Metric suffix, sort, what it is, and where it is read.
const NUMBERS: [(&str, Sort, &str, Read); 3] = [
    ("cpu_usage_seconds_total", Sort::Counter, "CPU time used, in seconds of one core", |m| {
        seconds(m.stats.cpu_usage_ns)
    }),
    ("memory_working_set_bytes", Sort::Gauge, "Memory that cannot be taken back, bytes", |m| {
        m.stats.memory_working_set_bytes as f64
    }),
    ("swap_usage_bytes", Sort::Gauge, "Memory swapped out, bytes", |m| {
        m.stats.memory_swap_bytes as f64
    }),
];

/// The page.
pub fn resource_page(used: &NodeUse) -> String {
    let mut page = Page::default();
    let containers: Vec<(&PodUse, &ContainerUse)> =
        used.pods.iter().flat_map(|pod| pod.containers.iter().map(move |c| (pod, c))).collect();
    for (suffix, sort, help, read) in NUMBERS {
        let name = format!("container_{suffix}");
        page.metric(&name, sort, &format!("Containers: {help}."));
        for (pod, container) in &containers {
            let measured = &container.measured;
            page.sample_at(&name, &labels(pod, container), read(measured), measured.at);
        }
        let name = format!("node_{suffix}");
        page.metric(&name, sort, &format!("The node: {help}."));
        page.sample_at(&name, &[], read(&used.own), used.own.at);
        let name = format!("pod_{suffix}");
        page.metric(&name, sort, &format!("Pods: {help}."));
        for pod in &used.pods {
            let labels = [("namespace", pod.namespace.as_str()), ("pod", pod.name.as_str())];
            page.sample_at(&name, &labels, read(&pod.whole), pod.whole.at);
        }
    }
    let name = "container_start_time_seconds";
    page.metric(name, Sort::Gauge, "When the container was started, seconds since 1970.");
    for (pod, container) in &containers {
        if let Some(started) = container.started {
            page.sample(name, &labels(pod, container), unix(started));
        }
    }
    page.metric("resource_scrape_error", Sort::Gauge, "1 when something could not be read.");
    page.sample("resource_scrape_error", &[], 0.0);
    page.text()
}

fn labels<'a>(pod: &'a PodUse, container: &'a ContainerUse) -> [(&'a str, &'a str); 3] {
    [("container", &container.name), ("namespace", &pod.namespace), ("pod", &pod.name)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use kd_runtime::Stats;

    #[test]
    fn the_page() {
        let stats = Stats { cpu_usage_ns: 1_500_000_000, ..Stats::default() };
        let measured =
            Measured { stats, at: Timestamp::from_second(1).unwrap(), cpu_nano_cores: None };
        let container = ContainerUse { name: "c".into(), measured, ..ContainerUse::default() };
        let pod = PodUse {
            name: "p".into(),
            namespace: "n".into(),
            containers: vec![container],
            ..PodUse::default()
        };
        let text = resource_page(&NodeUse { pods: vec![pod], ..NodeUse::default() });
        let line = "container_cpu_usage_seconds_total{container=\"c\",namespace=\"n\",pod=\"p\"} \
                    1.5 1000";
        assert!(text.lines().any(|l| l == line), "{text}");
        assert!(text.ends_with("resource_scrape_error 0\n"));
    }
}

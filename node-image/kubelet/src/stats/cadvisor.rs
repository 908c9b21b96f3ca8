//! `/metrics/cadvisor`: what dashboards read, under the names that cAdvisor gave it.

use jiff::Timestamp;

use super::page::{Page, Sort, seconds, unix};
use super::{ContainerUse, Measured, NodeUse, PodUse};

/// A group of the tree with the labels that cAdvisor gives it.
struct Group<'a> {
    container: &'a str,
    id: String,
    image: &'a str,
    name: &'a str,
    namespace: &'a str,
    pod: &'a str,
    measured: &'a Measured,
    started: Option<Timestamp>,
    own: Option<&'a ContainerUse>,
}

type Read = fn(&Measured) -> f64;

const NUMBERS: [(&str, Sort, &str, Read); 14] = [
    ("cpu_cfs_periods_total", Sort::Counter, "Enforcement periods in which it ran.", |m| {
        m.stats.cpu_periods as f64
    }),
    ("cpu_cfs_throttled_periods_total", Sort::Counter, "Periods that used up the quota.", |m| {
        m.stats.cpu_throttled_periods as f64
    }),
    ("cpu_cfs_throttled_seconds_total", Sort::Counter, "Time held back, seconds.", |m| {
        seconds(m.stats.cpu_throttled_ns)
    }),
    ("memory_cache", Sort::Gauge, "Pages of files, bytes.", |m| m.stats.memory_cache_bytes as f64),
    ("memory_failcnt", Sort::Counter, "How often the memory limit was met.", |m| {
        m.stats.memory_limit_hits as f64
    }),
    ("memory_rss", Sort::Gauge, "Anonymous memory, bytes.", |m| m.stats.memory_rss_bytes as f64),
    ("memory_swap", Sort::Gauge, "Swapped out, bytes.", |m| m.stats.memory_swap_bytes as f64),
    ("memory_usage_bytes", Sort::Gauge, "All memory charged, bytes.", |m| {
        m.stats.memory_usage_bytes as f64
    }),
    ("memory_working_set_bytes", Sort::Gauge, "Memory that cannot be taken back, bytes.", |m| {
        m.stats.memory_working_set_bytes as f64
    }),
    ("spec_memory_limit_bytes", Sort::Gauge, "The memory limit, bytes; 0 for none.", |m| {
        m.stats.memory_limit_bytes.unwrap_or(0) as f64
    }),
    ("processes", Sort::Gauge, "Tasks in it.", |m| m.stats.pids as f64),
    ("threads", Sort::Gauge, "Threads in it.", |m| m.stats.pids as f64),
    ("page_faults_total", Sort::Counter, "Page faults.", |m| m.stats.page_faults as f64),
    ("major_page_faults_total", Sort::Counter, "Page faults that had to read.", |m| {
        m.stats.major_page_faults as f64
    }),
];

/// The page.
pub fn cadvisor_page(used: &NodeUse, version: &str) -> String {
    let groups = groups(used);
    let mut page = Page::default();
    page.metric("cadvisor_version_info", Sort::Gauge, "Who wrote this page; always 1.");
    page.sample("cadvisor_version_info", &[("cadvisorVersion", version)], 1.0);
    let name = "container_cpu_usage_seconds_total";
    page.metric(name, Sort::Counter, "CPU time used, seconds.");
    for group in &groups {
        let mut labels = group.labels().to_vec();
        labels.insert(1, ("cpu", "total"));
        let measured = group.measured;
        page.sample_at(name, &labels, seconds(measured.stats.cpu_usage_ns), measured.at);
    }
    for (suffix, sort, help, read) in NUMBERS {
        let name = format!("container_{suffix}");
        page.metric(&name, sort, help);
        for group in &groups {
            page.sample_at(&name, &group.labels(), read(group.measured), group.measured.at);
        }
    }
    of_containers(&mut page, &groups);
    networks(&mut page, used);
    page.metric("machine_cpu_cores", Sort::Gauge, "Cores of the node.");
    page.sample("machine_cpu_cores", &[], used.cpu_milli as f64 / 1000.0);
    page.metric("machine_memory_bytes", Sort::Gauge, "Memory of the node, bytes.");
    page.sample("machine_memory_bytes", &[], used.memory_bytes as f64);
    page.metric("machine_scrape_error", Sort::Gauge, "1 when something could not be read.");
    page.sample("machine_scrape_error", &[], 0.0);
    page.text()
}

fn groups(used: &NodeUse) -> Vec<Group<'_>> {
    let mut groups = vec![
        bare("/".into(), &used.own, used.started),
        bare("/kubepods".into(), &used.pods_group, used.started),
    ];
    for pod in &used.pods {
        groups.push(Group {
            namespace: &pod.namespace,
            pod: &pod.name,
            ..bare(format!("/{}", pod.group), &pod.whole, pod.started)
        });
        for container in &pod.containers {
            groups.push(Group {
                container: &container.name,
                image: &container.image,
                name: &container.id,
                namespace: &pod.namespace,
                pod: &pod.name,
                own: Some(container),
                ..bare(
                    format!("/{}/{}", pod.group, container.id),
                    &container.measured,
                    container.started,
                )
            });
        }
    }
    groups
}

fn bare(id: String, measured: &Measured, started: Option<Timestamp>) -> Group<'_> {
    let none = "";
    Group {
        container: none,
        id,
        image: none,
        name: none,
        namespace: none,
        pod: none,
        measured,
        started,
        own: None,
    }
}

impl Group<'_> {
    fn labels(&self) -> [(&str, &str); 6] {
        [
            ("container", self.container),
            ("id", &self.id),
            ("image", self.image),
            ("name", self.name),
            ("namespace", self.namespace),
            ("pod", self.pod),
        ]
    }
}

fn of_containers(page: &mut Page, groups: &[Group<'_>]) {
    let mut each = |name: &str, help: &str, read: &dyn Fn(&Group<'_>) -> Option<f64>| {
        page.metric(name, Sort::Gauge, help);
        for group in groups {
            if let Some(value) = read(group) {
                page.sample(name, &group.labels(), value);
            }
        }
    };
    each("container_last_seen", "When it was last looked at, seconds since 1970.", &|g| {
        Some(unix(g.measured.at))
    });
    each("container_start_time_seconds", "When it was started, seconds since 1970.", &|g| {
        g.started.map(unix)
    });
    each("container_spec_cpu_shares", "Its share of the CPU.", &|g| {
        g.own?.cpu_shares.map(|shares| shares as f64)
    });
    each("container_spec_cpu_quota", "Its quota, microseconds a period.", &|g| {
        g.own?.cpu_quota.map(|(quota, _)| quota as f64)
    });
    each("container_spec_cpu_period", "The period, microseconds.", &|g| {
        g.own?.cpu_quota.map(|(_, period)| period as f64)
    });
    each("container_fs_usage_bytes", "What it wrote over its image, bytes.", &|g| {
        g.own?.written.map(|disk| disk.bytes as f64)
    });
}

/// Where a counter of an interface is.
type Counter = fn(&super::network::Interface) -> u64;

const COUNTERS: [(&str, &str, Counter); 8] = [
    ("receive_bytes_total", "Bytes received.", |i| i.received[0]),
    ("receive_packets_total", "Packets received.", |i| i.received[1]),
    ("receive_errors_total", "Errors while receiving.", |i| i.received[2]),
    ("receive_packets_dropped_total", "Received packets that were dropped.", |i| i.received[3]),
    ("transmit_bytes_total", "Bytes sent.", |i| i.sent[0]),
    ("transmit_packets_total", "Packets sent.", |i| i.sent[1]),
    ("transmit_errors_total", "Errors while sending.", |i| i.sent[2]),
    ("transmit_packets_dropped_total", "Packets dropped while sending.", |i| i.sent[3]),
];

fn networks(page: &mut Page, used: &NodeUse) {
    for (suffix, help, read) in COUNTERS {
        let name = format!("container_network_{suffix}");
        page.metric(&name, Sort::Counter, help);
        for interface in &used.network {
            let labels = [
                ("id", "/"),
                ("interface", interface.name.as_str()),
                ("namespace", ""),
                ("pod", ""),
            ];
            page.sample_at(&name, &labels, read(interface) as f64, used.own.at);
        }
        for pod in &used.pods {
            network(page, &name, pod, read);
        }
    }
}

fn network(page: &mut Page, name: &str, pod: &PodUse, read: Counter) {
    let id = format!("/{}", pod.group);
    for interface in &pod.network {
        let labels = [
            ("id", id.as_str()),
            ("interface", &interface.name),
            ("namespace", &pod.namespace),
            ("pod", &pod.name),
        ];
        page.sample_at(name, &labels, read(interface) as f64, pod.whole.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page() {
        let container = ContainerUse {
            name: "c".into(),
            id: "abc".into(),
            image: "i".into(),
            cpu_shares: Some(2),
            ..ContainerUse::default()
        };
        let pod = PodUse {
            name: "p".into(),
            namespace: "n".into(),
            group: "kubepods/podu".into(),
            containers: vec![container],
            network: vec![super::super::network::Interface {
                name: "eth0".into(),
                received: [9, 0, 0, 0],
                sent: [0; 4],
            }],
            ..PodUse::default()
        };
        let text = cadvisor_page(&NodeUse { pods: vec![pod], ..NodeUse::default() }, "kd");
        for line in [
            "container_cpu_usage_seconds_total{container=\"c\",cpu=\"total\",\
             id=\"/kubepods/podu/abc\",image=\"i\",name=\"abc\",namespace=\"n\",pod=\"p\"} 0 0",
            "container_spec_cpu_shares{container=\"c\",id=\"/kubepods/podu/abc\",image=\"i\",\
             name=\"abc\",namespace=\"n\",pod=\"p\"} 2",
            "container_network_receive_bytes_total{id=\"/kubepods/podu\",interface=\"eth0\",\
             namespace=\"n\",pod=\"p\"} 9 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }
}

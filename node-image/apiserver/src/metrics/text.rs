//! Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Metrics, locked, read};
use crate::fairness;
use crate::server::ApiServer;
use crate::storage::resource_prefix;

const REQUESTS: &str = "apiserver_request_total";
const DURATIONS: &str = "apiserver_request_duration_seconds";
const RUNNING: &str = "apiserver_longrunning_requests";
const STORAGE: &str = "etcd_request_duration_seconds";
/// Ticks of a second in which Linux tells processes' times.
const TICKS_PER_SECOND: f64 = 100.0;

/// Everything that the server counts or can count now.
pub(crate) fn exposition(server: &ApiServer) -> String {
    let mut text = Text::default();
    requests(&mut text, &server.metrics);
    inflight(&mut text, server);
    audit(&mut text, server);
    storage(&mut text, server);
    process(&mut text, server);
    for other in locked(&server.metrics.others).iter() {
        text.0 += &other();
    }
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, sort: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {sort}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.0.write_fmt(line);
        self.0.push('\n');
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.line(format_args!("{name} {value}"));
    }
}

fn requests(text: &mut Text, metrics: &Metrics) {
    let requests = locked(&metrics.requests);
    text.family(REQUESTS, "counter", "Answered requests by verb, resource and HTTP status code.");
    for (labels, series) in requests.iter() {
        for (code, count) in &series.by_code {
            text.line(format_args!("{REQUESTS}{{code=\"{code}\",{labels}}} {count}"));
        }
    }
    text.family(DURATIONS, "histogram", "Seconds until a request was answered.");
    for (labels, series) in requests.iter().filter(|(_, series)| !series.durations.is_empty()) {
        series.durations.expose(&mut text.0, DURATIONS, &labels.to_string());
    }
    text.family(RUNNING, "gauge", "Watches, streams and proxies that last now.");
    let mut running: BTreeMap<String, u64> = BTreeMap::new();
    for (labels, series) in requests.iter().filter(|(_, series)| series.running > 0) {
        *running.entry(labels.shown_running()).or_default() += series.running;
    }
    for (labels, count) in running {
        text.line(format_args!("{RUNNING}{{{labels}}} {count}"));
    }
    drop(requests);
    let name = "apiserver_watch_events_total";
    text.family(name, "counter", "Changes that were sent on watches.");
    for ([group, version, resource], count) in locked(&metrics.watch_events).iter() {
        let count = read(count);
        text.line(format_args!(
            "{name}{{group={group:?},resource={resource:?},version={version:?}}} {count}"
        ));
    }
}

fn inflight(text: &mut Text, server: &ApiServer) {
    let lanes = server.fairness.lanes();
    let name = "apiserver_current_inflight_requests";
    text.family(name, "gauge", "Requests that run now.");
    for (kind, running, _) in &lanes {
        text.line(format_args!("{name}{{request_kind=\"{kind}\"}} {running}"));
    }
    let name = "apiserver_current_inqueue_requests";
    text.family(name, "gauge", "Requests that wait for a place now.");
    for (kind, _, waiting) in &lanes {
        text.line(format_args!("{name}{{request_kind=\"{kind}\"}} {waiting}"));
    }
    fairness::expose(&mut text.0, &server.fairness);
}

fn audit(text: &mut Text, server: &ApiServer) {
    let Some(audit) = &server.audit else { return };
    let name = "apiserver_audit_event_total";
    text.family(name, "counter", "Events that were handed to the audit log.");
    text.line(format_args!("{name} {}", read(&audit.log().logged)));
    let name = "apiserver_audit_error_total";
    text.family(name, "counter", "Events that the audit log had no place for.");
    text.line(format_args!("{name}{{plugin=\"log\"}} {}", read(&audit.log().lost)));
}

fn storage(text: &mut Text, server: &ApiServer) {
    text.family(STORAGE, "histogram", "Seconds that a write to the store took.");
    for ((operation, resource), durations) in locked(&server.metrics.storage).iter() {
        let labels = format!("operation={operation:?},type={resource:?}");
        durations.expose(&mut text.0, STORAGE, &labels);
    }
    let snapshot = server.objects.snapshot();
    let kinds = server.objects.kinds();
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for kind in kinds.iter().filter(|kind| kind.is_stored()) {
        let (group, resource) = &kind.storage;
        counts
            .entry((group.clone(), resource.clone()))
            .or_insert_with(|| snapshot.list(&resource_prefix(group, resource)).count());
    }
    let name = "apiserver_resource_objects";
    text.family(name, "gauge", "Stored objects.");
    for ((group, resource), count) in &counts {
        text.line(format_args!("{name}{{group={group:?},resource={resource:?}}} {count}"));
    }
    let name = "apiserver_storage_objects";
    text.family(name, "gauge", "Stored objects, by the name that a resource has with its group.");
    for ((group, resource), count) in &counts {
        let dot = if group.is_empty() { "" } else { "." };
        text.line(format_args!("{name}{{resource=\"{resource}{dot}{group}\"}} {count}"));
    }
}

fn process(text: &mut Text, server: &ApiServer) {
    let name = "kubernetes_build_info";
    text.family(name, "gauge", "Always 1; the labels say what was built.");
    let config = &server.config;
    text.line(format_args!(
        "{name}{{build_date={:?},git_commit={:?},git_version={:?},major=\"1\",minor=\"36\"}} 1",
        config.build_date, config.commit, config.version
    ));
    let started = server.started.as_millisecond() as f64 / 1000.0;
    text.gauge("process_start_time_seconds", "When the process began, since the epoch.", started);
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    if let Some(seconds) = cpu_seconds(&read("/proc/self/stat")) {
        let name = "process_cpu_seconds_total";
        text.family(name, "counter", "CPU time of the process.");
        text.line(format_args!("{name} {seconds}"));
    }
    if let Some(kibibytes) = resident_kibibytes(&read("/proc/self/status")) {
        let bytes = kibibytes as f64 * 1024.0;
        text.gauge("process_resident_memory_bytes", "Memory of the process.", bytes);
    }
    if let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") {
        let count = descriptors.count() as f64;
        text.gauge("process_open_fds", "Open files of the process.", count);
    }
}

/// User and system time of a `/proc/<pid>/stat`.
fn cpu_seconds(stat: &str) -> Option<f64> {
    // The second field is a name, which may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

fn resident_kibibytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 10 0 0 0 150 50 0 0 20 0 3 0 100 200 300";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(resident_kibibytes("VmSize:\t 9 kB\nVmRSS:\t  1234 kB\n"), Some(1234));
        assert_eq!(resident_kibibytes(""), None);
    }
}

//! Counters of requests, in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use crate::request::RequestInfo;

/// verb, group, version, resource, subresource, code.
type Labels = (String, String, String, String, String, u16);

/// Resources come from paths that clients choose: no more than this many series.
const SERIES_MAX: usize = 4096;

#[derive(Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<Labels, u64>>,
}

impl Metrics {
    pub(crate) fn count(&self, info: &RequestInfo, code: u16) {
        let text = String::clone;
        let labels = (
            info.verb.to_uppercase(),
            text(&info.group),
            text(&info.version),
            text(&info.resource),
            text(&info.subresource),
            code,
        );
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() < SERIES_MAX || requests.contains_key(&labels) {
            *requests.entry(labels).or_default() += 1;
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::from(
            "# HELP apiserver_request_total Counter of apiserver requests broken out for each verb, group, version, resource, subresource and HTTP response code.\n# TYPE apiserver_request_total counter\n",
        );
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        for ((verb, group, version, resource, subresource, code), count) in requests.iter() {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "apiserver_request_total{{code=\"{code}\",group={group:?},resource={resource:?},subresource={subresource:?},verb={verb:?},version={version:?}}} {count}"
            );
        }
        text
    }
}

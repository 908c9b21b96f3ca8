//! What requests are told apart by.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use http::Method;
use kd_api::{Kind, Kinds};

use crate::request::RequestInfo;
use crate::server::ApiServer;

/// The labels of a request, in upstream's words.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestLabels {
    dry_run: bool,
    /// None for what is no resource, or not served.
    kind: Option<Arc<Kind>>,
    scope: &'static str,
    subresource: String,
    verb: &'static str,
}

/// From the verbs of authorization to those of metrics.
const VERBS: &[(&str, &str)] = &[
    ("create", "POST"),
    ("delete", "DELETE"),
    ("deletecollection", "DELETECOLLECTION"),
    ("get", "GET"),
    ("list", "LIST"),
    ("patch", "PATCH"),
    ("update", "PUT"),
    ("watch", "WATCH"),
];
/// Subresources that are streams or proxies.
const CONNECTS: [&str; 4] = ["attach", "exec", "portforward", "proxy"];

impl RequestLabels {
    /// Resources that are not served are not told apart, nor are paths that are no resources.
    pub(crate) fn of(
        info: &RequestInfo,
        kinds: &Kinds,
        method: &Method,
        is_apply: bool,
        dry_run: bool,
    ) -> RequestLabels {
        let kind = kinds.get(&info.group, &info.version, &info.resource);
        let Some(kind) = kind.filter(|_| info.is_resource) else {
            return RequestLabels { verb: method_name(method), ..RequestLabels::default() };
        };
        let found = VERBS.iter().find(|(verb, _)| *verb == info.verb);
        let verb = match found {
            _ if CONNECTS.contains(&info.subresource.as_str()) => "CONNECT",
            _ if is_apply => "APPLY",
            Some((_, verb)) => verb,
            None => "other",
        };
        let scope = match (info.name.is_empty() && verb != "POST", info.namespace.is_empty()) {
            (false, _) => "resource",
            (true, false) => "namespace",
            (true, true) => "cluster",
        };
        let text = |text: &str| text.chars().take(LABEL_LENGTH_MAX).collect();
        RequestLabels {
            dry_run,
            kind: Some(kind.clone()),
            scope,
            subresource: text(&info.subresource),
            verb,
        }
    }

    /// The group, the resource and the version.
    fn resource(&self) -> [&str; 3] {
        let kind = self.kind.as_deref();
        kind.map_or([""; 3], |kind| [&kind.group, &kind.plural, &kind.version])
    }

    /// What tells them apart, in their order.
    fn key(&self) -> (bool, [&str; 3], &str, &str, &str) {
        (self.dry_run, self.resource(), self.scope, &self.subresource, self.verb)
    }

    /// Without whether anything is changed.
    pub(super) fn shown_running(&self) -> String {
        let RequestLabels { scope, subresource, verb, .. } = self;
        let [group, resource, version] = self.resource();
        format!(
            "component=\"apiserver\",group={group:?},resource={resource:?},scope={scope:?},subresource={subresource:?},verb={verb:?},version={version:?}"
        )
    }
}

impl PartialEq for RequestLabels {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for RequestLabels {}

impl PartialOrd for RequestLabels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RequestLabels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// A client may ask for any subresource.
const LABEL_LENGTH_MAX: usize = 63;

impl fmt::Display for RequestLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RequestLabels { dry_run, scope, subresource, verb, .. } = self;
        let [group, resource, version] = self.resource();
        let dry_run = if *dry_run { "All" } else { "" };
        write!(
            f,
            "component=\"apiserver\",dry_run={dry_run:?},group={group:?},resource={resource:?},scope={scope:?},subresource={subresource:?},verb={verb:?},version={version:?}"
        )
    }
}

fn method_name(method: &Method) -> &'static str {
    const METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
    METHODS.iter().find(|name| **name == method.as_str()).copied().unwrap_or("other")
}

/// Counts a request that lasts as long as its client likes, while it does.
pub(crate) struct LongRunning {
    server: Arc<ApiServer>,
    labels: RequestLabels,
}

impl LongRunning {
    pub(crate) fn begin(server: &Arc<ApiServer>, labels: &RequestLabels) -> LongRunning {
        server.metrics.with_series(labels.clone(), |series| series.running += 1);
        LongRunning { server: server.clone(), labels: labels.clone() }
    }
}

impl Drop for LongRunning {
    fn drop(&mut self) {
        let labels = std::mem::take(&mut self.labels);
        self.server.metrics.with_series(labels, |series| {
            series.running = series.running.saturating_sub(1);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::request_info;
    use crate::query::Query;

    #[track_caller]
    fn check(request: &str, expect: &str) {
        let (method, path) = request.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let info = request_info(&method, path, &Query::default());
        let kinds = Kinds::built_in();
        let labels = RequestLabels::of(&info, &kinds, &method, false, false);
        let shown = labels.shown_running();
        assert_eq!(shown.strip_prefix("component=\"apiserver\",").unwrap(), expect);
    }

    #[test]
    fn labels() {
        let pods = "group=\"\",resource=\"pods\"";
        check(
            "GET /api/v1/namespaces/a/pods/b",
            &format!("{pods},scope=\"resource\",subresource=\"\",verb=\"GET\",version=\"v1\""),
        );
        check(
            "POST /api/v1/namespaces/a/pods",
            &format!("{pods},scope=\"resource\",subresource=\"\",verb=\"POST\",version=\"v1\""),
        );
        check(
            "GET /api/v1/namespaces/a/pods",
            &format!("{pods},scope=\"namespace\",subresource=\"\",verb=\"LIST\",version=\"v1\""),
        );
        check(
            "GET /api/v1/pods",
            &format!("{pods},scope=\"cluster\",subresource=\"\",verb=\"LIST\",version=\"v1\""),
        );
        check(
            "GET /api/v1/namespaces/a/pods/b/exec",
            &format!(
                "{pods},scope=\"resource\",subresource=\"exec\",verb=\"CONNECT\",version=\"v1\""
            ),
        );
        let nothing =
            "group=\"\",resource=\"\",scope=\"\",subresource=\"\",verb=\"GET\",version=\"\"";
        check("GET /api/v1/nothings", nothing);
        check("GET /version", nothing);
    }
}

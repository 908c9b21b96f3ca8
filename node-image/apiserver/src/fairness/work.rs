//! How much work a request is: a list takes a seat for each 100 kB of the objects that it reads.

use crate::query::Query;
use crate::request::RequestInfo;
use crate::storage::{Objects, prefix_of};

const BYTES_PER_SEAT: usize = 100_000;
/// A list is written little by little: there is never more of it in memory than this.
const BYTES_MAX: usize = 1_000_000;

/// How many seats a request would like. Its level may give it fewer.
pub(crate) fn width(objects: &Objects, info: &RequestInfo, query: &Query) -> usize {
    let lists = match info.verb.as_str() {
        "list" => true,
        "watch" => query.flag("sendInitialEvents"),
        _ => false,
    };
    // What names one object is a get.
    if !lists || !info.is_resource || !info.name.is_empty() {
        return 1;
    }
    let kinds = objects.kinds();
    let Some(kind) = kinds.get(&info.group, &info.version, &info.resource) else { return 1 };
    let limit = query.number("limit").ok().flatten().and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let snapshot = objects.snapshot();
    let mut bytes = 0;
    for entry in snapshot.list(&prefix_of(kind, &info.namespace)).take(limit) {
        bytes += entry.value.len();
        if bytes >= BYTES_MAX {
            break;
        }
    }
    bytes.min(BYTES_MAX).div_ceil(BYTES_PER_SEAT).max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Method;
    use kd_api::Kinds;
    use kd_store::{HistoryLimits, MemoryStore, Store};

    use super::*;
    use crate::path::request_info;

    #[tokio::test]
    async fn lists_are_more_work_than_gets() {
        let store = Arc::new(MemoryStore::new(HistoryLimits::default()));
        for (namespace, count) in [("a", 3), ("b", 60)] {
            for number in 0..count {
                let key = format!("/configmaps/{namespace}/{number}").into();
                store.create(key, vec![b'x'; 50_000].into()).await.unwrap();
            }
        }
        let objects = Objects::new(store, Kinds::built_in());
        let check = |request: &str, expect: usize| {
            let (path, query) = request.split_once('?').unwrap_or((request, ""));
            let query = Query::parse(query);
            let info = request_info(&Method::GET, path, &query);
            assert_eq!(width(&objects, &info, &query), expect, "{request}");
        };
        check("/api/v1/configmaps", 10);
        check("/api/v1/namespaces/b/configmaps", 10);
        check("/api/v1/namespaces/a/configmaps", 2);
        check("/api/v1/configmaps?limit=5", 3);
        check("/api/v1/configmaps?limit=0", 10);
        check("/api/v1/configmaps?fieldSelector=metadata.name%3D1", 1);
        check("/api/v1/namespaces/a/configmaps/1", 1);
        check("/api/v1/pods", 1);
        check("/api/v1/nothings", 1);
        check("/version", 1);
        check("/api/v1/configmaps?watch=1", 1);
        check("/api/v1/configmaps?watch=1&sendInitialEvents=true", 10);
    }
}

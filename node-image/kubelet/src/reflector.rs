//! List, then watch, for ever: the changes of one resource as they happen.

use std::fmt::Debug;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use serde::de::DeserializeOwned;

use crate::error::api_message;

/// A change of what is watched.
#[derive(Debug)]
pub enum Update<K> {
    /// Everything there is now; what is not listed is gone.
    Replaced(Vec<K>),
    /// Created or changed.
    Applied(K),
    /// Deleted; its last state.
    Deleted(K),
    /// The server has refused or could not be reached several times in a row.
    Failed(String),
}

const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// Fewer failures in a row than this are not told of: a permission may follow the pod by a moment.
const FAILURES_TOLD: u32 = 4;

/// Feeds every change of the objects that match a field selector to `on`. Ends only when dropped.
pub async fn reflect<K>(api: Api<K>, fields: Option<String>, mut on: impl FnMut(Update<K>))
where
    K: Clone + DeserializeOwned + Debug + kube::Resource,
{
    let mut failures = 0;
    let mut revision = None;
    loop {
        let result = match revision.take() {
            None => list(&api, fields.as_deref(), &mut on).await,
            Some(since) => watch(&api, fields.as_deref(), since, &mut on).await,
        };
        match result {
            Ok(next) => {
                failures = 0;
                revision = next;
            }
            Err(Broken { error, resume }) => {
                failures += 1;
                tracing::debug!(%error, failures, "watch of {} broke", std::any::type_name::<K>());
                if failures == FAILURES_TOLD {
                    on(Update::Failed(error));
                }
                revision = resume;
                tokio::time::sleep(delay(failures)).await;
            }
        }
    }
}

struct Broken {
    error: String,
    /// Where to go on; `None` lists again.
    resume: Option<String>,
}

fn delay(failures: u32) -> Duration {
    RETRY_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(RETRY_MAX)
}

async fn list<K>(
    api: &Api<K>,
    fields: Option<&str>,
    on: &mut impl FnMut(Update<K>),
) -> Result<Option<String>, Broken>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut parameters = ListParams::default();
    if let Some(fields) = fields {
        parameters = parameters.fields(fields);
    }
    let found = api.list(&parameters).await;
    let found = found.map_err(|error| Broken { error: api_message(&error), resume: None })?;
    on(Update::Replaced(found.items));
    Ok(found.metadata.resource_version.filter(|v| !v.is_empty()))
}

/// Watches until the server ends the stream; then where to go on.
async fn watch<K>(
    api: &Api<K>,
    fields: Option<&str>,
    mut since: String,
    on: &mut impl FnMut(Update<K>),
) -> Result<Option<String>, Broken>
where
    K: Clone + DeserializeOwned + Debug + kube::Resource,
{
    let mut parameters = WatchParams { bookmarks: true, ..WatchParams::default() };
    if let Some(fields) = fields {
        parameters = parameters.fields(fields);
    }
    let opened = api.watch(&parameters, &since).await;
    let opened = opened.map_err(|error| broken(&error, &since))?;
    let mut stream = opened.boxed();
    while let Some(event) = stream.try_next().await.map_err(|error| broken(&error, &since))? {
        let mut reached = |object: &K| {
            if let Some(version) = object.meta().resource_version.clone() {
                since = version;
            }
        };
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                reached(&object);
                on(Update::Applied(object));
            }
            WatchEvent::Deleted(object) => {
                reached(&object);
                on(Update::Deleted(object));
            }
            WatchEvent::Bookmark(bookmark) => since = bookmark.metadata.resource_version,
            WatchEvent::Error(status) if status.code == 410 => return Ok(None),
            WatchEvent::Error(status) => {
                return Err(Broken { error: status.message.clone(), resume: None });
            }
        }
    }
    Ok(Some(since))
}

fn broken(error: &kube::Error, since: &str) -> Broken {
    let expired = matches!(error, kube::Error::Api(status) if status.code == 410);
    Broken { error: api_message(error), resume: (!expired).then(|| since.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_bounded() {
        assert_eq!(delay(1), RETRY_MIN);
        assert_eq!(delay(3), Duration::from_millis(200));
        assert_eq!(delay(1000), RETRY_MAX);
    }
}

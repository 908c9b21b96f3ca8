//! History goes after five to ten minutes, as with upstream's: what continues a list or a watch from
//! before must begin anew, on an idle cluster as on a busy one, and memory holds no old values.

use std::sync::Arc;
use std::time::Duration;

use kd_store::{Error, Store};
use tokio::time::sleep;

/// Upstream's `--etcd-compaction-interval`.
const INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Forgets what was history an interval ago; for ever.
pub(crate) async fn run(store: Arc<dyn Store>) {
    let mut before = store.revision();
    loop {
        sleep(INTERVAL).await;
        let newest = store.revision();
        match store.compact(before).await {
            Ok(()) => before = newest,
            Err(Error::Closed) => return,
            Err(error) => tracing::warn!(%error, "old history stays"),
        }
    }
}

#[cfg(test)]
mod tests {
    use kd_store::MemoryStore;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn history_lasts_for_one_interval_and_not_for_three() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let first = store.create("a".into(), "1".into()).await.unwrap();
        tokio::spawn(run(store.clone()));
        let moment = Duration::from_secs(1);
        sleep(moment).await;
        let second = store.create("b".into(), "2".into()).await.unwrap();
        sleep(INTERVAL).await;
        assert!(store.watch("", first).is_ok());
        sleep(INTERVAL * 2).await;
        assert!(matches!(store.watch("", first), Err(Error::Compacted { .. })));
        assert!(store.watch("", second).is_ok());
    }
}

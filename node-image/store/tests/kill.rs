//! Nothing that was acknowledged is lost when the process is killed, and no revision is used twice.
//! The test starts itself as the process that is killed.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use kd_store::{Durability, HistoryLimits, SqliteStore, Store};

const LOG: &str = "KD_STORE_TEST_LOG";
const LIMITS: HistoryLimits = HistoryLimits { events_max: 50, bytes_max: 1 << 20 };

#[test]
fn killed_while_writing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let mut acknowledged = 0;
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "--ignored", "child"])
            .env(LOG, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut revisions = lines.map_while(Result::ok).filter_map(|l| l.parse::<u64>().ok());
        for _ in 0..100 + round * 37 {
            let revision = revisions.next().unwrap();
            assert!(revision > acknowledged, "{revision} was used before");
            acknowledged = revision;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged = revisions.last().unwrap_or(acknowledged);
        let store = SqliteStore::open(&path, Durability::Process, LIMITS).unwrap();
        assert!(store.revision() >= acknowledged);
        assert!(store.get("/counter").unwrap().revision >= acknowledged);
    }
}

/// Writes for ever and says what was acknowledged.
#[tokio::test]
#[ignore = "started by the test above"]
async fn child() {
    let path = std::env::var(LOG).unwrap();
    let store = SqliteStore::open(path.as_ref(), Durability::Process, LIMITS).unwrap();
    loop {
        let value = vec![b'x'; 500].into();
        let revision = match store.get("/counter") {
            Some(entry) => store.update("/counter".into(), value, entry.revision).await,
            None => store.create("/counter".into(), value).await,
        };
        println!("\n{}", revision.unwrap());
    }
}

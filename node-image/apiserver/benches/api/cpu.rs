//! The CPU time of the server's threads: what the clients in this process and others on this machine
//! take does not count.

use std::time::Duration;

/// The threads that are the server's, by how their names begin.
pub const SERVER: &str = "server";
const STORE: &str = "store-writer";

/// What the server's threads have used so far.
pub fn used() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the threads are listed");
    let nanoseconds = tasks.filter_map(|task| {
        let path = task.ok()?.path();
        let name = std::fs::read_to_string(path.join("comm")).ok()?;
        let is_of_server = name.starts_with(SERVER) || name.starts_with(STORE);
        let statistics = std::fs::read_to_string(path.join("schedstat")).ok()?;
        let used: u64 = statistics.split(' ').next()?.parse().ok()?;
        is_of_server.then_some(used)
    });
    Duration::from_nanos(nanoseconds.sum())
}

//! Where a watch begins, how long it lasts, what it tells.

use std::time::Duration;

use kd_api::Status;

use crate::verbs::VerbRequest;
use crate::verbs::list::{check_watch, parse_revision};

/// A watch without `timeoutSeconds` lasts between this and twice as long.
const TIMEOUT_SECONDS_MIN: u64 = 1800;

/// What a watch begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// The objects that are there, as if they were added, at this revision or a newer one; then a
    /// bookmark that says so, if the client knows bookmarks.
    Initial { least: u64, marks_end: bool },
    /// Changes from now on.
    Now,
    /// Changes after a revision.
    After(u64),
}

/// The options of a watch.
pub(super) struct Options {
    pub(super) start: Start,
    pub(super) bookmarks: bool,
    pub(super) timeout: Duration,
}

impl Options {
    pub(super) fn of(request: &VerbRequest) -> Result<Options, Status> {
        let query = request.query();
        check_watch(query)?;
        // Upstream has no code for a revision that is none.
        let revision = parse_revision(query.first("resourceVersion"))
            .map_err(|why| Status::failure(500, "", why))?;
        let bookmarks = query.flag("allowWatchBookmarks");
        let sends_initial = query.has("sendInitialEvents").then(|| query.flag("sendInitialEvents"));
        let start = Start::of(revision, sends_initial, bookmarks);
        let seconds = match query.number("timeoutSeconds")?.unwrap_or(0) {
            seconds if seconds > 0 => seconds as u64,
            _ => TIMEOUT_SECONDS_MIN + (request.server().random)() as u64 % TIMEOUT_SECONDS_MIN,
        };
        Ok(Options { start, bookmarks, timeout: Duration::from_secs(seconds) })
    }
}

impl Start {
    fn of(revision: u64, sends_initial: Option<bool>, bookmarks: bool) -> Start {
        match (sends_initial, revision) {
            (Some(true), least) => Start::Initial { least, marks_end: bookmarks },
            (None, 0) => Start::Initial { least: 0, marks_end: bookmarks },
            (Some(false), 0) => Start::Now,
            (_, revision) => Start::After(revision),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts() {
        let initial = |least, marks_end| Start::Initial { least, marks_end };
        for (revision, sends_initial, bookmarks, expect) in [
            (0, None, false, initial(0, false)),
            (0, None, true, initial(0, true)),
            (5, None, true, Start::After(5)),
            (0, Some(true), true, initial(0, true)),
            (5, Some(true), true, initial(5, true)),
            (5, Some(true), false, initial(5, false)),
            (0, Some(false), true, Start::Now),
            (5, Some(false), true, Start::After(5)),
        ] {
            let got = Start::of(revision, sends_initial, bookmarks);
            assert_eq!(got, expect, "{revision} {sends_initial:?} {bookmarks}");
        }
    }
}

//! Where a watch begins, how long it lasts, what it tells.

use std::time::Duration;

use kd_api::Status;

use crate::verbs::VerbRequest;

/// A watch without `timeoutSeconds` lasts between this and twice as long.
const TIMEOUT_SECONDS_MIN: u64 = 1800;

/// What a watch begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// The objects that are there, as if they were added; then a bookmark if the client asked so.
    Initial { marks_end: bool },
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
        let revision = query.first("resourceVersion");
        let number = match revision {
            "" => 0,
            text => text.parse().map_err(|_| {
                Status::bad_request(format!("Invalid value: {text:?}: invalid resource version"))
            })?,
        };
        let sends_initial = match query.first("sendInitialEvents") {
            "" => None,
            text => Some(matches!(text, "true" | "1")),
        };
        check_match(query.first("resourceVersionMatch"), sends_initial)?;
        let start = match (sends_initial, number) {
            (Some(true), _) => Start::Initial { marks_end: true },
            (Some(false), 0) => Start::Now,
            (None, 0) => Start::Initial { marks_end: false },
            (_, revision) => Start::After(revision),
        };
        let bookmarks = query.flag("allowWatchBookmarks");
        if start == (Start::Initial { marks_end: true }) && !bookmarks {
            let why = "sendInitialEvents: Forbidden: sendInitialEvents requires setting allowWatchBookmarks to true";
            return Err(Status::bad_request(why));
        }
        let seconds = match query.number("timeoutSeconds")?.unwrap_or(0) {
            seconds if seconds > 0 => seconds as u64,
            _ => TIMEOUT_SECONDS_MIN + (request.server().random)() as u64 % TIMEOUT_SECONDS_MIN,
        };
        Ok(Options { start, bookmarks, timeout: Duration::from_secs(seconds) })
    }
}

fn check_match(matching: &str, sends_initial: Option<bool>) -> Result<(), Status> {
    let why = match (matching, sends_initial) {
        ("", None) | ("NotOlderThan", Some(_)) => return Ok(()),
        (_, None) => {
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        }
        ("", Some(_)) => {
            "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        }
        (_, Some(_)) => {
            "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        }
    };
    Err(Status::bad_request(why))
}

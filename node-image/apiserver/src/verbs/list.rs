//! `list`: a consistent collection, whole or in chunks.

mod body;
mod continuation;
mod entries;
mod moment;
mod selection;

use kd_api::Status;
use kd_store::{Entry, Error, Snapshot, Store};
use serde_json::{Map, Value};

pub(super) use moment::{check_watch, parse_revision};
pub(super) use selection::Selection;

use self::continuation::Continue;
use self::entries::{Entries, Rest};
use self::moment::Moment;
use super::{Reply, VerbRequest};
use crate::custom;
use crate::storage::{prefix_of, store_failed};

/// A chunk of a collection.
struct Chunk {
    entries: Entries,
    revision: u64,
    /// Where the next chunk begins, and how many objects are left if that is known.
    next: Option<(String, Option<usize>)>,
}

/// GET of a collection.
pub(super) async fn list(request: &mut VerbRequest) -> Result<Reply, Status> {
    let wanted = request.wanted()?;
    let selection = Selection::of(request)?;
    let chunk = match custom::is_converted(&request.kind) {
        true => converted(request, selection).await?,
        false => chunk(request, selection)?,
    };
    body::answer(request, chunk, wanted).await.map(Reply::Answer)
}

/// 504: the client has seen what this server has not.
pub(super) fn too_large(requested: u64, newest: u64) -> Status {
    let message = format!("Too large resource version: {requested}, current: {newest}");
    let mut status = Status::failure(504, "Timeout", format!("Timeout: {message}"));
    let details = status.details.get_or_insert_default();
    details.retry_after_seconds = Some(1);
    details.causes = vec![kd_api::StatusCause {
        reason: "ResourceVersionTooLarge".into(),
        message: "Too large resource version".into(),
        field: String::new(),
    }];
    status
}

/// 410 for a revision whose history is gone.
pub(super) fn too_old(requested: u64, oldest: u64) -> Status {
    Status::expired(format!("too old resource version: {requested} ({oldest})"))
}

fn chunk(request: &VerbRequest, selection: Selection) -> Result<Chunk, Status> {
    let limit = request.query().number("limit")?.unwrap_or(0).max(0) as usize;
    let prefix = prefix_of(&request.kind, request.namespace());
    let moment = Moment::of(request.query(), &prefix)?;
    let (snapshot, after) = found(&*request.objects().store, &moment, &prefix)?;
    let revision = snapshot.revision();
    if limit == 0 {
        let rest = Rest { snapshot, prefix, after, selection };
        return Ok(Chunk { entries: Entries::Rest(rest), revision, next: None });
    }
    let mut entries = Vec::new();
    let mut rest = snapshot.list_after(&prefix, &after);
    let mut last = None;
    for entry in rest.by_ref() {
        if selection.matches(request.objects(), &request.kind, entry)? {
            entries.push(entry.clone());
            if entries.len() == limit {
                last = Some(entry.key.to_string());
                break;
            }
        }
    }
    let left = last.as_ref().map_or(0, |_| rest.count());
    let next = last.filter(|_| left > 0).map(|after| {
        let token = Continue { revision: revision as i64, after }.shown(&prefix);
        // Upstream does not count what it would have to decode.
        (token, selection.is_everything().then_some(left))
    });
    Ok(Chunk { entries: Entries::Chosen(entries.into()), revision, next })
}

/// A chunk of objects that a webhook converts: what is selected is known only then.
async fn converted(request: &VerbRequest, selection: Selection) -> Result<Chunk, Status> {
    let limit = request.query().number("limit")?.unwrap_or(0).max(0) as usize;
    let prefix = prefix_of(&request.kind, request.namespace());
    let moment = Moment::of(request.query(), &prefix)?;
    let (snapshot, after) = found(&*request.objects().store, &moment, &prefix)?;
    let revision = snapshot.revision();
    let all: Vec<Entry> = snapshot.list_after(&prefix, &after).cloned().collect();
    let mut chosen = Vec::new();
    for entry in custom::present_all(request.server(), &request.kind, all).await? {
        if selection.matches(request.objects(), &request.kind, &entry)? {
            chosen.push(entry);
        }
    }
    let left = if limit == 0 { 0 } else { chosen.len().saturating_sub(limit) };
    chosen.truncate(chosen.len() - left);
    let last = chosen.last().filter(|_| left > 0).map(|entry| entry.key.to_string());
    let next = last.map(|after| {
        let token = Continue { revision: revision as i64, after }.shown(&prefix);
        (token, selection.is_everything().then_some(left))
    });
    Ok(Chunk { entries: Entries::Chosen(chosen.into()), revision, next })
}

/// A state, and behind which key the list begins.
fn found(store: &dyn Store, moment: &Moment, prefix: &str) -> Result<(Snapshot, String), Status> {
    match moment {
        Moment::NotOlderThan(revision) => {
            check_reached(store, *revision)?;
            Ok((store.snapshot(), String::new()))
        }
        Moment::Exact(revision) => match store.snapshot_at(*revision) {
            Ok(snapshot) => Ok((snapshot, String::new())),
            Err(Error::Compacted { .. }) => {
                Err(Status::expired("The resourceVersion for the provided list is too old."))
            }
            Err(other) => Err(not_served(other)),
        },
        Moment::Continued(token) if token.revision < 0 => {
            Ok((store.snapshot(), token.after.clone()))
        }
        Moment::Continued(token) => match store.snapshot_at(token.revision as u64) {
            Ok(snapshot) => Ok((snapshot, token.after.clone())),
            Err(Error::Compacted { .. }) => Err(token.expired(prefix)),
            Err(other) => Err(not_served(other)),
        },
    }
}

/// Refuses a client that has seen what this server has not.
pub(super) fn check_reached(store: &dyn Store, revision: u64) -> Result<(), Status> {
    let newest = store.revision();
    if revision > newest { Err(too_large(revision, newest)) } else { Ok(()) }
}

fn not_served(error: Error) -> Status {
    match error {
        Error::Compacted { requested, oldest } => too_old(requested, oldest),
        Error::Future { requested, newest } => too_large(requested, newest),
        other => store_failed(other),
    }
}

fn metadata(chunk: &Chunk) -> Value {
    let mut metadata = Map::new();
    metadata.insert("resourceVersion".into(), chunk.revision.to_string().into());
    if let Some((token, left)) = &chunk.next {
        metadata.insert("continue".into(), token.clone().into());
        if let Some(left) = left {
            metadata.insert("remainingItemCount".into(), (*left).into());
        }
    }
    Value::Object(metadata)
}

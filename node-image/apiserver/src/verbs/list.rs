//! `list`: a consistent collection, whole or in chunks.

mod body;
mod continuation;
mod entries;
mod selection;

use kd_api::Status;
use kd_store::{Error, Snapshot};
use serde_json::{Map, Value};

pub(super) use selection::Selection;

use self::continuation::Continue;
use self::entries::{Entries, Rest};
use super::{Reply, VerbRequest};
use crate::storage::{prefix_of, store_failed};

/// A chunk of a collection.
struct Chunk {
    entries: Entries,
    revision: u64,
    /// Where the next chunk begins, and how many objects are left if that is known.
    next: Option<(Continue, Option<usize>)>,
}

/// GET of a collection.
pub(super) async fn list(request: &mut VerbRequest) -> Result<Reply, Status> {
    let wanted = request.wanted()?;
    let selection = Selection::of(request)?;
    let chunk = chunk(request, selection)?;
    body::answer(request, chunk, wanted).await.map(Reply::Answer)
}

/// The `resourceVersion` asked for; an error when it is none, or not there yet.
pub(super) fn check_revision(request: &VerbRequest) -> Result<u64, Status> {
    let text = request.query().first("resourceVersion");
    let revision = match text {
        "" => 0,
        text => text.parse().map_err(|_| invalid_revision(text))?,
    };
    let newest = request.objects().store.revision();
    if revision > newest {
        return Err(too_large(revision, newest));
    }
    Ok(revision)
}

fn invalid_revision(text: &str) -> Status {
    Status::bad_request(format!(
        "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
    ))
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
    let token = request.query().first("continue");
    let prefix = prefix_of(&request.kind, request.namespace());
    let (snapshot, after) = match token {
        "" => (snapshot(request)?, String::new()),
        token => resumed(request, &Continue::parse(token)?)?,
    };
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
        let token = Continue { revision: revision as i64, after };
        // Upstream does not count what it would have to decode.
        (token, selection.is_everything().then_some(left))
    });
    Ok(Chunk { entries: Entries::Chosen(entries.into()), revision, next })
}

/// The state that `resourceVersion` and `resourceVersionMatch` ask for.
fn snapshot(request: &VerbRequest) -> Result<Snapshot, Status> {
    let revision = check_revision(request)?;
    let store = &request.objects().store;
    let named = !request.query().first("resourceVersion").is_empty();
    match request.query().first("resourceVersionMatch") {
        "" | "NotOlderThan" => Ok(store.snapshot()),
        _ if !named => Err(Status::bad_request(
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
        )),
        "Exact" if revision == 0 => Err(Status::bad_request(
            "resourceVersionMatch: Forbidden: resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
        )),
        "Exact" => store.snapshot_at(revision).map_err(expired),
        other => Err(Status::bad_request(format!(
            "resourceVersionMatch: Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\""
        ))),
    }
}

fn resumed(request: &VerbRequest, token: &Continue) -> Result<(Snapshot, String), Status> {
    let store = &request.objects().store;
    if !matches!(request.query().first("resourceVersion"), "" | "0") {
        let why = "specifying resource version is not allowed when using continue";
        return Err(Status::bad_request(why));
    }
    if token.revision < 0 {
        return Ok((store.snapshot(), token.after.clone()));
    }
    match store.snapshot_at(token.revision as u64) {
        Ok(snapshot) => Ok((snapshot, token.after.clone())),
        Err(Error::Compacted { .. }) => Err(token.expired()),
        Err(other) => Err(expired(other)),
    }
}

fn expired(error: Error) -> Status {
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
        metadata.insert("continue".into(), token.to_string().into());
        if let Some(left) = left {
            metadata.insert("remainingItemCount".into(), (*left).into());
        }
    }
    Value::Object(metadata)
}

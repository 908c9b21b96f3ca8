//! `list`: a consistent collection, whole or in chunks.

mod continuation;
mod selection;

use bytes::Bytes;
use kd_api::decode::Encoding;
use kd_api::{Status, table};
use kd_store::{Entry, Error, Snapshot};
use serde_json::{Map, Value, json};

pub(super) use selection::Selection;

use self::continuation::Continue;
use super::{Reply, VerbRequest};
use crate::answer;
use crate::negotiate::{Form, Wanted};
use crate::storage::{item, prefix_of, store_failed};

/// A chunk of a collection.
struct Chunk {
    entries: Vec<Entry>,
    revision: u64,
    /// Where the next chunk begins, and how many objects are left if that is known.
    next: Option<(Continue, Option<usize>)>,
}

/// GET of a collection.
pub(super) async fn list(request: &mut VerbRequest) -> Result<Reply, Status> {
    let wanted = request.wanted()?;
    let selection = Selection::of(request)?;
    let chunk = chunk(request, &selection)?;
    let body = match wanted.form {
        Form::Object => objects(request, &chunk)?,
        _ => transformed(request, &chunk, wanted)?,
    };
    let headers = &request.exchange.parts.headers;
    let answer = match wanted.encoding {
        Encoding::Json => {
            let empty = answer::bytes(200, wanted.content_type(), Bytes::new());
            answer::compressible(empty, body, headers)
        }
        Encoding::Yaml | Encoding::Protobuf => answer::encoded(200, body, wanted),
    };
    Ok(Reply::Answer(answer))
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

fn chunk(request: &VerbRequest, selection: &Selection) -> Result<Chunk, Status> {
    let limit = request.query().number("limit")?.unwrap_or(0).max(0) as usize;
    let token = request.query().first("continue");
    let prefix = prefix_of(&request.kind, request.namespace());
    let (snapshot, after) = match token {
        "" => (snapshot(request)?, String::new()),
        token => resumed(request, &Continue::parse(token)?)?,
    };
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
        let token = Continue { revision: snapshot.revision() as i64, after };
        // Upstream does not count what it would have to decode.
        (token, selection.is_everything().then_some(left))
    });
    Ok(Chunk { entries, revision: snapshot.revision(), next })
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

/// The list as it stands in the store, without decoding.
fn objects(request: &VerbRequest, chunk: &Chunk) -> Result<Bytes, Status> {
    let kind = &request.kind;
    let converted = request.objects().is_converted(kind);
    let size: usize = chunk.entries.iter().map(|entry| entry.value.len() + 48).sum();
    let mut body = Vec::with_capacity(size + 256);
    let head = format!(
        "{{\"kind\":{:?},\"apiVersion\":{:?},\"metadata\":{},\"items\":[",
        kind.list_kind,
        kind.api_version(),
        metadata(chunk)
    );
    body.extend_from_slice(head.as_bytes());
    for (index, entry) in chunk.entries.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        match converted {
            false => item(&mut body, &entry.value, entry.revision),
            true => {
                let object = request.objects().decode(kind, entry)?;
                item(&mut body, &crate::storage::encode(&object), entry.revision);
            }
        }
    }
    body.extend_from_slice(b"]}");
    Ok(body.into())
}

fn transformed(request: &VerbRequest, chunk: &Chunk, wanted: Wanted) -> Result<Bytes, Status> {
    let kind = &request.kind;
    let decode = |entry| request.objects().decode(kind, entry);
    let objects: Vec<Value> = chunk.entries.iter().map(decode).collect::<Result<_, _>>()?;
    let metadata = metadata(chunk);
    let value = match wanted.form {
        Form::Table(include) => {
            let now = (request.server().clock)();
            table::table(kind, &objects, &metadata, include, true, now)
        }
        Form::Metadata => table::partial_object_list(&objects, &metadata),
        Form::Object => json!({}),
    };
    serde_json::to_vec(&value).map(Into::into).map_err(Status::internal)
}

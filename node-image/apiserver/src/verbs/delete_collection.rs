//! `deletecollection`: each selected object is deleted as `delete` does it.

use kd_api::{Object, Status};
use kd_store::Entry;
use serde_json::{Value, json};

use super::list::Selection;
use super::{DeleteOptions, Reply, VerbRequest, delete_object};
use crate::custom;
use crate::storage::prefix_of;

/// DELETE of a collection; answers with the list of what was there.
pub(super) async fn delete_collection(request: &mut VerbRequest) -> Result<Reply, Status> {
    let mut options = DeleteOptions::of(request).await?;
    // The end of a definition's objects is this server's own doing: as upstream, no webhook stops it.
    options.admitted = request.exchange.peer.is_this_server();
    let selection = Selection::of(request)?;
    let kind = request.kind.clone();
    let snapshot = request.objects().snapshot();
    let prefix = prefix_of(&kind, request.namespace());
    let limit = request.query().number("limit")?.filter(|limit| *limit > 0);
    let limit = limit.map_or(usize::MAX, |limit| limit as usize);
    let mut items = Vec::new();
    let entries: Vec<Entry> = snapshot.list(&prefix).cloned().collect();
    for entry in custom::present_all(request.server(), &kind, entries).await? {
        if items.len() >= limit {
            break;
        }
        if !selection.matches(request.objects(), &kind, &entry)? {
            continue;
        }
        let object = request.objects().decode(&kind, &entry)?;
        let mut info = request.info().clone();
        object.name().clone_into(&mut info.name);
        object.namespace().clone_into(&mut info.namespace);
        match delete_object(request, &info, &options).await {
            Ok(_) => items.push(object),
            // Someone else was faster.
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    let list: Value = json!({
        "kind": kind.list_kind,
        "apiVersion": kind.api_version(),
        "metadata": {"resourceVersion": request.objects().store.revision().to_string()},
        "items": items,
    });
    Ok(Reply::Value(200, list))
}

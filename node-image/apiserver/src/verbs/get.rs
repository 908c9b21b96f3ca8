//! `get`: one object.

use kd_api::Status;

use super::{Reply, VerbRequest};
use crate::custom;
use crate::storage::key_of;
use crate::verbs::list::{check_reached, parse_revision};

/// GET of one object.
pub(super) async fn get(request: &mut VerbRequest) -> Result<Reply, Status> {
    request.wanted()?;
    // The newest state is as new as any that can be asked for.
    // Upstream has no code for a revision that is none.
    let revision = parse_revision(request.query().first("resourceVersion"))
        .map_err(|why| Status::failure(500, "", why))?;
    check_reached(&*request.objects().store, revision)?;
    let key = key_of(&request.kind, request.namespace(), request.name());
    let entry = request.objects().store.get(&key);
    let entry = entry.ok_or_else(|| request.not_found(request.name()))?;
    let entry = custom::present(request.server(), &request.kind, entry).await?;
    Ok(Reply::Object(200, request.objects().show(&request.kind, &entry)?))
}

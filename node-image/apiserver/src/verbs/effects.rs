//! What a write of some kinds writes besides, in the same transaction.

use kd_api::{Kind, Status};
use kd_store::{Snapshot, Transaction};
use serde_json::Value;

use crate::namespace_contents;
use crate::server::ApiServer;
use crate::service_allocation as services;

/// For a new object, which may be completed.
pub(super) fn of_create(
    server: &ApiServer,
    snapshot: &Snapshot,
    kind: &Kind,
    object: &mut Value,
) -> Result<Transaction, Status> {
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "namespaces") => Ok(namespace_contents::transaction(server, object)),
        ("", "services") => services::allocate(server, snapshot, object, None),
        _ => Ok(Transaction::new()),
    }
}

/// For a changed object.
pub(super) fn of_update(
    server: &ApiServer,
    snapshot: &Snapshot,
    kind: &Kind,
    new: &mut Value,
    old: &Value,
) -> Result<Transaction, Status> {
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "services") => services::allocate(server, snapshot, new, Some(old)),
        _ => Ok(Transaction::new()),
    }
}

/// For an object that goes.
pub(super) fn of_delete(snapshot: &Snapshot, kind: &Kind, old: &Value) -> Transaction {
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "services") => services::release(snapshot, old),
        _ => Transaction::new(),
    }
}

//! Clients that stay with an endpoint (`sessionAffinity: ClientIP`). Rules write the entries; those of
//! endpoints that are gone are taken away from here.

use std::io;

use super::rules::AFFINITY;
use crate::nftables::{Element, ElementChanges, KeptSocket, TableChange, TableName, elements};

/// Entries may go by themselves between reading and deleting, which undoes the deletion.
const ATTEMPTS_MAX: usize = 5;

/// All entries.
pub(super) fn read(netfilter: &mut KeptSocket, table: TableName) -> io::Result<Vec<Element>> {
    netfilter.with(|socket| elements(socket, table, AFFINITY))
}

/// Deletes the entries that are stale.
pub(super) fn forget(
    netfilter: &mut KeptSocket,
    table: TableName,
    is_stale: impl Fn(&Element) -> bool,
) -> io::Result<()> {
    let mut attempts = 1;
    loop {
        let mut stale = read(netfilter, table)?;
        stale.retain(&is_stale);
        if stale.is_empty() {
            return Ok(());
        }
        let mut elements = ElementChanges::default();
        elements.removed.insert(AFFINITY.to_owned(), stale);
        let change = TableChange::default().with_elements(elements);
        match netfilter.with(|socket| change.apply(socket, table)) {
            Err(error) if is_gone(&error) && attempts < ATTEMPTS_MAX => attempts += 1,
            done => return done,
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOENT)
}

//! Finding again what is there: shims that live on after this process has restarted, and records
//! of what ran before the node has.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use super::containers::remove_files;
use super::objects::{Container, Live, NODE_LOST_CODE, Sandbox};
use super::{Inner, blocking, lock};
use crate::interface::{Error, Result};
use crate::layout::{Layout, SHIM_SOCKET};
use crate::record::{self, ContainerRecord, SandboxRecord};
use crate::shim;

/// What a process is reported to have ended with that ran when its shim was lost.
const SHIM_LOST_CODE: i32 = 137;

/// Reads all records, connects to the shims that live, and accounts for the others.
pub async fn recover(inner: &Arc<Inner>) -> Result<()> {
    let layout = inner.layout.clone();
    let (sandboxes, containers) =
        blocking("read the runtime's records", move || read_records(&layout)).await?;
    let mut of_sandbox: HashMap<String, Vec<ContainerRecord>> = HashMap::new();
    for container in containers {
        of_sandbox.entry(container.sandbox_id.clone()).or_default().push(container);
    }
    for record in sandboxes {
        let mut containers = of_sandbox.remove(&record.id).unwrap_or_default();
        containers.sort_by_key(|container| container.created_at);
        recover_sandbox(inner, record, containers).await?;
    }
    // Their sandboxes are gone; so are they.
    let orphans: Vec<String> = of_sandbox.into_values().flatten().map(|orphan| orphan.id).collect();
    let layout = inner.layout.clone();
    let known: Vec<String> = lock(&inner.sandboxes).keys().cloned().collect();
    blocking("remove what is left of old sandboxes", move || {
        orphans.iter().try_for_each(|id| remove_files(&layout.container(id)))?;
        remove_stale_run(&layout, &known)
    })
    .await
}

async fn recover_sandbox(
    inner: &Arc<Inner>,
    record: SandboxRecord,
    containers: Vec<ContainerRecord>,
) -> Result<()> {
    let sandbox = Arc::new(Sandbox::new(record));
    let stopped = lock(&sandbox.record).stopped;
    let node_lives = inner.layout.sandbox_run(&sandbox.id).exists();
    let system = |source: io::Error| Error::System {
        operation: format!("read the records of sandbox {}", sandbox.id),
        source,
    };
    for record in containers {
        // Created first, then read: the connection comes in between and tells of later changes.
        let live = Live::read(&inner.layout, &record.id).map_err(system)?;
        let container = Arc::new(Container::new(record, live));
        lock(&inner.containers).insert(container.id.clone(), container.clone());
        lock(&sandbox.containers).push(container);
    }
    lock(&inner.sandboxes).insert(sandbox.id.clone(), sandbox.clone());
    if stopped {
        return Ok(());
    }
    if node_lives && reach(inner, &sandbox).map_err(system)? {
        for container in lock(&sandbox.containers).iter() {
            container.refresh(&inner.layout).map_err(system)?;
        }
        return Ok(());
    }
    let _turn = sandbox.turn.lock().await;
    let code = if node_lives { SHIM_LOST_CODE } else { NODE_LOST_CODE };
    inner.account_for(&sandbox, code).await
}

/// Connects to the shim of a sandbox. False when there is none: neither now nor later, because a shim that
/// comes late finds its socket's place taken.
fn reach(inner: &Arc<Inner>, sandbox: &Arc<Sandbox>) -> io::Result<bool> {
    let missing = match inner.connect(sandbox) {
        Ok(()) => return Ok(true),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    let socket = inner.layout.sandbox_run(&sandbox.id).join(SHIM_SOCKET);
    if !missing {
        return Ok(false);
    }
    match std::fs::File::create_new(socket) {
        // It has come in between.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Ok(inner.connect(sandbox).is_ok())
        }
        other => other.map(|_| false),
    }
}

fn read_records(layout: &Layout) -> io::Result<(Vec<SandboxRecord>, Vec<ContainerRecord>)> {
    let mut sandboxes = Vec::new();
    for entry in std::fs::read_dir(layout.sandboxes())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            match record::read(&path) {
                Ok(record) => sandboxes.extend(record),
                // Cut off by a power loss: nothing is known of it but that it is over.
                Err(error) => {
                    tracing::warn!(%error, "sandbox record");
                    std::fs::remove_file(&path)?;
                }
            }
        } else {
            // Being written when its writer was killed; the record itself is whole or was none yet.
            std::fs::remove_file(&path)?;
        }
    }
    let mut containers = Vec::new();
    for entry in std::fs::read_dir(layout.containers())? {
        let name = entry?.file_name();
        let files = layout.container(&name.to_string_lossy());
        match record::read(&files.record()) {
            Ok(Some(record)) => containers.push(record),
            Ok(None) => remove_files(&files)?,
            Err(error) => {
                tracing::warn!(%error, "container record");
                remove_files(&files)?;
            }
        }
    }
    Ok((sandboxes, containers))
}

fn remove_stale_run(layout: &Layout, known: &[String]) -> io::Result<()> {
    for entry in std::fs::read_dir(layout.run())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !known.contains(&name) {
            shim::release(layout, &name)?;
            layout.remove_run(&name)?;
        }
    }
    Ok(())
}

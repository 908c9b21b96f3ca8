//! Netlink sockets in other network namespaces.

use std::fs::File;
use std::path::Path;

use nix::sched::{CloneFlags, setns};
use rtnetlink::Handle;

use crate::{Error, Result};

/// A netlink connection of this process's own namespace. Its task ends with the handle.
pub(crate) fn connect() -> Result<Handle> {
    let (connection, handle, _) =
        rtnetlink::new_connection().map_err(Error::of("open a netlink socket"))?;
    tokio::spawn(connection);
    Ok(handle)
}

/// A netlink connection inside the namespace at `netns`. A socket stays in the namespace it was
/// opened in, so a short-lived thread enters, opens it and ends.
pub(crate) async fn connect_in(netns: &Path) -> Result<Handle> {
    let operation = format!("enter network namespace {}", netns.display());
    let file = File::open(netns).map_err(Error::of(operation.clone()))?;
    let runtime = tokio::runtime::Handle::current();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("netns".into())
        .spawn(move || {
            let opened = setns(file, CloneFlags::CLONE_NEWNET).map_err(std::io::Error::from);
            let _context = runtime.enter();
            // The receiver only goes away with its whole task; then nobody wants the socket.
            let _ = sender.send(opened.and_then(|()| rtnetlink::new_connection()));
        })
        .map_err(Error::of("start a thread"))?;
    let opened = receiver.await.map_err(|_| std::io::Error::other("the thread died"));
    let (connection, handle, _) = opened.and_then(|r| r).map_err(Error::of(operation))?;
    tokio::spawn(connection);
    Ok(handle)
}

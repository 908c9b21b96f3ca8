//! The node's place in the cgroup tree. On cgroup v2 a group that has children with controllers may
//! hold no processes itself
//! (<https://docs.kernel.org/admin-guide/cgroup-v2.html#no-internal-process-constraint>), so the
//! node's own programs move to a group beside the pods'.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

const ROOT: &str = "/sys/fs/cgroup";
/// The group of the node's own programs.
const OWN_GROUP: &str = "kd-node";

pub(super) fn prepare() -> Result<()> {
    let root = Path::new(ROOT);
    let controllers = root.join("cgroup.controllers");
    if !controllers.exists() {
        return Ok(());
    }
    let own = root.join(OWN_GROUP);
    fs::create_dir_all(&own).map_err(Error::of(format!("create {}", own.display())))?;
    let procs = root.join("cgroup.procs");
    let members =
        fs::read_to_string(&procs).map_err(Error::of(format!("read {}", procs.display())))?;
    for process in members.lines() {
        fs::write(own.join("cgroup.procs"), process)
            .map_err(Error::of(format!("move process {process} to {}", own.display())))?;
    }
    let available = fs::read_to_string(&controllers)
        .map_err(Error::of(format!("read {}", controllers.display())))?;
    for controller in available.split_whitespace() {
        let control = root.join("cgroup.subtree_control");
        fs::write(&control, format!("+{controller}"))
            .map_err(Error::of(format!("enable the {controller} controller")))?;
    }
    Ok(())
}

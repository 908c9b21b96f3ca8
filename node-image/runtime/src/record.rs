//! The records on disk: what a sandbox and a container were asked to be (written by the client of
//! the shim) and what became of them (written by the shim). Each is replaced in one step.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::interface::{ContainerSpec, ContainerUser, SandboxSpec};

/// A sandbox as it was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SandboxRecord {
    /// 64 hexadecimal digits.
    pub id: String,
    /// As asked for.
    pub spec: SandboxSpec,
    /// When.
    pub created_at: Timestamp,
    /// Stopped on purpose, or lost with its shim or node.
    pub stopped: bool,
}

/// A container as it was asked for, with all that comes from its image resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The sandbox it lives in.
    pub sandbox_id: String,
    /// As asked for.
    pub spec: ContainerSpec,
    /// When.
    pub created_at: Timestamp,
    /// Its log file.
    pub log_path: PathBuf,
    /// overlayfs lower directories, top layer first.
    pub layers: Vec<PathBuf>,
    /// What to run.
    pub process: Process,
}

/// The process of a container: the pod's wishes over the image's defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Program and arguments; never empty.
    pub arguments: Vec<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// Absolute.
    pub working_dir: String,
    /// `user[:group]` of the image; used when the pod names none.
    pub image_user: String,
    /// The signal that asks it to stop.
    pub stop_signal: i32,
}

/// What the shim notes when a container's process runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// Its pid in the node's namespace.
    pub pid: i32,
    /// When.
    pub at: Timestamp,
    /// Who it is.
    pub user: ContainerUser,
}

/// Replaces a record in one step: a reader sees the old one or the new one. The page cache survives
/// every death of a process, so nothing is synced to the disk.
pub fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let bytes = serde_json::to_vec(value).map_err(io::Error::other)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(&temporary, path)
}

/// Reads a record; `None` when it is not there.
pub fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
}

//! Where the runtime keeps things: records and writable layers under `state` (they survive the
//! node), sockets and pinned namespaces under `run` (they do not).

use std::io;
use std::path::{Path, PathBuf};

/// The directories of one runtime.
#[derive(Clone, Debug)]
pub struct Layout {
    state: PathBuf,
    run: PathBuf,
}

impl Layout {
    /// A layout below two directories.
    pub fn new(state: &Path, run: &Path) -> Self {
        Self { state: state.to_owned(), run: run.to_owned() }
    }

    /// Creates the top directories.
    pub fn prepare(&self) -> io::Result<()> {
        for directory in [self.sandboxes(), self.containers(), self.run.clone()] {
            std::fs::create_dir_all(directory)?;
        }
        Ok(())
    }

    /// What survives the node.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// What does not.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// All sandbox records.
    pub fn sandboxes(&self) -> PathBuf {
        self.state.join("sandboxes")
    }

    /// All container directories.
    pub fn containers(&self) -> PathBuf {
        self.state.join("containers")
    }

    /// The record of a sandbox.
    pub fn sandbox_record(&self, id: &str) -> PathBuf {
        self.sandboxes().join(format!("{id}.json"))
    }

    /// The files of one sandbox that live as long as the node.
    pub fn sandbox_run(&self, id: &str) -> PathBuf {
        self.run.join(id)
    }

    /// Takes those files away. Their directory is moved first: a shim that comes late finds no place
    /// any more, and ends.
    pub fn remove_run(&self, id: &str) -> io::Result<()> {
        let (place, gone) = (self.sandbox_run(id), self.run.join(format!("{id}.gone")));
        remove_all(&gone)?;
        match std::fs::rename(place, &gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => remove_all(&gone),
        }
    }

    /// The pinned network namespace of a sandbox.
    pub fn network_namespace(&self, id: &str) -> PathBuf {
        self.sandbox_run(id).join("netns")
    }

    /// The pod's shared memory, seen as /dev/shm in its containers.
    pub fn shared_memory(&self, id: &str) -> PathBuf {
        self.sandbox_run(id).join("shm")
    }

    /// The files of one container.
    pub fn container(&self, id: &str) -> ContainerLayout {
        ContainerLayout(self.containers().join(id))
    }
}

/// Removes a directory, if it is there. A shim that had it open when it was moved makes one file more
/// in it: its socket.
fn remove_all(directory: &Path) -> io::Result<()> {
    const LATE_FILES_MAX: usize = 2;
    let mut removed = std::fs::remove_dir_all(directory);
    for _ in 0..LATE_FILES_MAX {
        match &removed {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                removed = std::fs::remove_dir_all(directory);
            }
            _ => break,
        }
    }
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The files of one container.
#[derive(Clone, Debug)]
pub struct ContainerLayout(PathBuf);

impl ContainerLayout {
    /// The directory of all of them.
    pub fn directory(&self) -> &Path {
        &self.0
    }

    /// What it was asked to be.
    pub fn record(&self) -> PathBuf {
        self.0.join("container.json")
    }

    /// Written when its process runs.
    pub fn started(&self) -> PathBuf {
        self.0.join("started.json")
    }

    /// Written when its process has ended.
    pub fn exit(&self) -> PathBuf {
        self.0.join("exit.json")
    }

    /// The writable layer.
    pub fn upper(&self) -> PathBuf {
        self.0.join("upper")
    }

    /// overlayfs' working directory.
    pub fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    /// Where the root is mounted, in the container's own mount namespace only.
    pub fn root(&self) -> PathBuf {
        self.0.join("root")
    }
}

/// The name of the shim's socket in the sandbox's run directory.
pub const SHIM_SOCKET: &str = "shim.sock";
/// The shim's own messages, in the same place.
pub const SHIM_LOG: &str = "shim.log";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_directories_go() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path(), &directory.path().join("run"));
        // Not there, there, there with what an earlier removal has left.
        for (there, left) in [(false, false), (true, false), (true, true)] {
            for (make, id) in [(there, "a"), (left, "a.gone")] {
                if make {
                    std::fs::create_dir_all(layout.sandbox_run(id)).unwrap();
                    std::fs::write(layout.sandbox_run(id).join(SHIM_LOG), "").unwrap();
                }
            }
            layout.remove_run("a").unwrap();
            for id in ["a", "a.gone"] {
                assert!(!layout.sandbox_run(id).exists(), "{there} {left} {id}");
            }
        }
    }
}

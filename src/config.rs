//! What kd takes from its environment, read once at the start.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The environment variables and facts that kd looks at.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `$HOME` (never the user database: a static glibc would load the host's libraries for it).
    pub home: Option<PathBuf>,
    /// `$KUBECONFIG`: a list of files.
    pub kubeconfig: Option<OsString>,
    /// `$DOCKER_HOST`: the engine's address.
    pub docker_host: Option<String>,
    /// `$DOCKER_CONTEXT`: the name of the docker command's context.
    pub docker_context: Option<String>,
    /// `$DOCKER_CONFIG`: the docker command's directory.
    pub docker_config: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`: where a rootless engine has its socket.
    pub runtime_directory: Option<PathBuf>,
}

impl Environment {
    /// Reads the process' environment.
    pub fn read() -> Environment {
        let text = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let raw = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        Environment {
            home: raw("HOME").or_else(|| raw("USERPROFILE")).map(PathBuf::from),
            kubeconfig: raw("KUBECONFIG"),
            docker_host: text("DOCKER_HOST"),
            docker_context: text("DOCKER_CONTEXT"),
            docker_config: raw("DOCKER_CONFIG").map(PathBuf::from),
            runtime_directory: raw("XDG_RUNTIME_DIR").map(PathBuf::from),
        }
    }

    /// A path below the home directory.
    pub fn below_home(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        Some(self.home.as_ref()?.join(path))
    }
}

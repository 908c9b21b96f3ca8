//! Finding a container's program as a shell would, with the messages of the reference runtime.

use std::ffi::CString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::process::PATH_DEFAULT;

/// The path of a program, looked up from this process's root, directory and identity.
pub fn find(name: &str, environment: &[String]) -> Result<CString, String> {
    let path = if name.contains('/') {
        match check(Path::new(name)) {
            Ok(()) => PathBuf::from(name),
            Err(Refusal::Missing(error)) => {
                return Err(format!("exec: {name:?}: stat {name}: {error}"));
            }
            Err(Refusal::Unfit(reason)) => return Err(format!("exec: {name:?}: {reason}")),
        }
    } else {
        search(name, environment)?
    };
    if is_own_program(&path) {
        // By way of /proc/self/exe: it would run the runtime's program inside the container.
        return Err(format!("exec: {name:?}: permission denied"));
    }
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes()).map_err(|_| format!("exec: {name:?}: invalid name"))
}

fn search(name: &str, environment: &[String]) -> Result<PathBuf, String> {
    let path = environment.iter().find_map(|entry| entry.strip_prefix("PATH="));
    let mut unfit = None;
    for directory in path.unwrap_or(PATH_DEFAULT).split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let candidate = Path::new(directory).join(name);
        match check(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Refusal::Unfit(reason)) if reason == "permission denied" => unfit = Some(reason),
            Err(_) => {}
        }
    }
    let reason = unfit.unwrap_or("executable file not found in $PATH");
    Err(format!("exec: {name:?}: {reason}"))
}

enum Refusal {
    Missing(&'static str),
    Unfit(&'static str),
}

fn check(path: &Path) -> Result<(), Refusal> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.raw_os_error() {
        Some(libc::EACCES) => Refusal::Unfit("permission denied"),
        Some(libc::ENOTDIR) => Refusal::Missing("not a directory"),
        Some(libc::ELOOP) => Refusal::Missing("too many levels of symbolic links"),
        _ => Refusal::Missing("no such file or directory"),
    })?;
    if metadata.is_dir() {
        return Err(Refusal::Unfit("is a directory"));
    }
    let executable = metadata.permissions().mode() & 0o111 != 0;
    let permitted = nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok();
    if executable && permitted { Ok(()) } else { Err(Refusal::Unfit("permission denied")) }
}

fn is_own_program(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let own = identity(Path::new("/proc/self/exe"));
    own.is_some() && own == identity(path)
}

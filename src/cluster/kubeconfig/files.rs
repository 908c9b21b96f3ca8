//! The files that make up the user's kubeconfig: which of them holds what, locks, and writes that
//! are whole or not at all. The rules are those of kubectl
//! (<https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/>).

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::document::{Document, Entries, List};
use crate::config::Environment;
use crate::error::{Error, ExitCode, Result};

/// How long another program may hold a file's lock. Locks are files and nobody tells of their
/// end, so they are looked at again.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_RETRY: Duration = Duration::from_millis(20);
/// How many symbolic links lead to a file at most, as the kernel has it.
const LINKS_MAX: usize = 40;

/// The user's kubeconfig files, the first one counting most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    paths: Vec<PathBuf>,
}

impl Files {
    /// `--kubeconfig`, else `$KUBECONFIG`, else `~/.kube/config`.
    pub fn find(environment: &Environment, explicit: Option<&Path>) -> Result<Files> {
        if let Some(path) = explicit {
            return Ok(Files { paths: vec![path.to_owned()] });
        }
        let listed = environment.kubeconfig.as_deref().map(paths_of).unwrap_or_default();
        if !listed.is_empty() {
            return Ok(Files { paths: listed });
        }
        match environment.below_home(".kube/config") {
            Some(path) => Ok(Files { paths: vec![path] }),
            None => Err(Error::new(ExitCode::Kubeconfig, "there is no home directory")
                .hint("set HOME or KUBECONFIG, or name a file with --kubeconfig")),
        }
    }

    /// The files' paths.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The files as `$KUBECONFIG` lists them.
    pub fn listed(&self) -> String {
        let paths = std::env::join_paths(&self.paths).unwrap_or_default();
        paths.to_string_lossy().into_owned()
    }

    /// Reads every file that is there, to be sure before anything is made that the kubeconfig can
    /// be changed afterwards.
    pub fn check(&self) -> Result<()> {
        self.read_all().map(drop)
    }

    /// Writes a cluster's entries, each into the file that has it, new ones into the default file.
    pub fn write(&self, entries: &Entries, switch_context: bool) -> Result<()> {
        let _locks = self.lock_all()?;
        let mut documents = self.read_all()?;
        let default = self.default_file(&documents);
        for list in List::ALL {
            let holder = documents.iter().position(|(_, document)| {
                document.as_ref().is_some_and(|document| document.has(list, &entries.name))
            });
            let (_, document) = &mut documents[holder.unwrap_or(default)];
            document.get_or_insert_with(Document::empty).set(
                list,
                &entries.name,
                entries.content(list),
            );
        }
        if switch_context {
            let holder = documents.iter().position(|(_, document)| {
                document.as_ref().is_some_and(|document| document.current_context().is_some())
            });
            let (_, document) = &mut documents[holder.unwrap_or(default)];
            document.get_or_insert_with(Document::empty).set_current_context(&entries.name);
        }
        self.write_changed(documents)
    }

    /// Removes a cluster's entries from every file. Files that cannot be read have none.
    pub fn remove(&self, name: &str) -> Result<()> {
        if !self.paths.iter().any(|path| path.exists()) {
            return Ok(());
        }
        let _locks = self.lock_all()?;
        let mut documents = self.read_all()?;
        for (_, document) in &mut documents {
            let Some(document) = document else { continue };
            for list in List::ALL {
                document.remove(list, name);
            }
            if document.current_context() == Some(name) {
                document.clear_current_context();
            }
        }
        self.write_changed(documents)
    }

    /// The file for new entries: the first that is there, else the last of the list.
    fn default_file(&self, documents: &[(PathBuf, Option<Document>)]) -> usize {
        let there = documents.iter().position(|(_, document)| document.is_some());
        there.unwrap_or(documents.len() - 1)
    }

    fn read_all(&self) -> Result<Vec<(PathBuf, Option<Document>)>> {
        self.paths.iter().map(|path| Ok((path.clone(), read(path)?))).collect()
    }

    fn write_changed(&self, documents: Vec<(PathBuf, Option<Document>)>) -> Result<()> {
        let mut errors = Vec::new();
        for (path, document) in documents {
            let Some(document) = document else { continue };
            let unchanged = read(&path).is_ok_and(|before| before.as_ref() == Some(&document));
            if unchanged {
                continue;
            }
            let text = document.to_text()?;
            if let Err(source) = replace(&path, text.as_bytes()) {
                errors.push(failed("write", &path, source));
            }
        }
        Error::all(errors).map_or(Ok(()), Err)
    }

    fn lock_all(&self) -> Result<Vec<Lock>> {
        self.paths
            .iter()
            .filter(|path| path.file_name().is_some())
            .map(|path| Lock::take(path))
            .collect()
    }
}

/// The lock of a file is another file beside it, as kubectl has it.
struct Lock {
    path: PathBuf,
}

impl Lock {
    fn take(file: &Path) -> Result<Lock> {
        if let Some(directory) = file.parent() {
            create_directory(directory).map_err(|source| failed("create", directory, source))?;
        }
        let mut name = file.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(_) => return Ok(Lock { path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    if Instant::now() >= deadline {
                        return Err(Error::new(
                            ExitCode::Kubeconfig,
                            format!("{} is locked by another program", file.display()),
                        )
                        .hint(format!("if none is at work: rm {}", path.display())));
                    }
                    std::thread::sleep(LOCK_RETRY);
                }
                Err(source) => return Err(failed("lock", file, source)),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn paths_of(list: &OsStr) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for path in std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty()) {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

fn read(path: &Path) -> Result<Option<Document>> {
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes)
            .map_err(|source| broken(path, &source.utf8_error().to_string()))?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("read", path, source)),
    };
    Document::parse(&text).map(Some).map_err(|reason| broken(path, &reason))
}

fn broken(path: &Path, reason: &str) -> Error {
    let message = format!("{} is not a kubeconfig: {reason}", path.display());
    Error::new(ExitCode::Kubeconfig, message)
        .hint("repair or remove it, or name another file with --kubeconfig or KUBECONFIG")
}

fn failed(operation: &str, path: &Path, source: io::Error) -> Error {
    let message = format!("{operation} the kubeconfig {}", path.display());
    Error::new(ExitCode::Kubeconfig, message)
        .because(source)
        .hint("name another file with --kubeconfig or KUBECONFIG")
}

/// Puts new content in a file's place in one step. A symbolic link stays one.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = resolve(path)?;
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    create_directory(directory)?;
    let before = fs::metadata(&target).ok();
    // The file is made with mode 0600.
    let mut file = tempfile::Builder::new().prefix(".kubeconfig").tempfile_in(directory)?;
    file.write_all(content)?;
    if let Some(before) = before {
        keep_ownership(file.as_file(), &before)?;
    }
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|error| error.error)?;
    Ok(())
}

/// A file that was there keeps its mode, and its owner where that is allowed (`sudo kd`).
#[cfg(unix)]
fn keep_ownership(file: &File, before: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let now = file.metadata()?;
    if (now.uid(), now.gid()) != (before.uid(), before.gid()) {
        let _ = fchown(file, Some(before.uid()), Some(before.gid()));
    }
    file.set_permissions(before.permissions())
}

#[cfg(not(unix))]
fn keep_ownership(_file: &File, _before: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            // Not a link, or not there yet.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => {
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

fn create_directory(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

//! Which layers are in use. Every image of every node, and every pull that runs, has a file in the
//! shared directory that lists its layers; a layer that no file lists may go.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::{Flock, FlockArg};

use super::record::failed;
use crate::Result;

/// How names of claims begin; all other files are of images.
const CLAIM_PREFIX: &str = "claim-";
/// The line of a claim on every layer.
const EVERYTHING: &str = "*";

/// The one lock of the shared directory. Who adds layers or uses of layers holds it shared, who
/// takes layers away holds it alone. It goes with the process.
pub(super) struct HostLock(PathBuf);

/// The lock, held.
pub(super) struct Held {
    _file: Flock<File>,
}

impl HostLock {
    pub(super) fn open(root: &Path) -> HostLock {
        HostLock(root.join("lock"))
    }

    pub(super) fn shared(&self) -> Result<Held> {
        self.hold(FlockArg::LockShared)
    }

    pub(super) fn alone(&self) -> Result<Held> {
        self.hold(FlockArg::LockExclusive)
    }

    fn hold(&self, how: FlockArg) -> Result<Held> {
        hold(&self.0, how)
    }
}

/// Takes a lock on a file, made when it is not there; waits for others.
pub(super) fn hold(path: &Path, how: FlockArg) -> Result<Held> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(failed("open", path))?;
    match Flock::lock(file, how) {
        Ok(file) => Ok(Held { _file: file }),
        Err((_, error)) => Err(failed("lock", path)(error.into())),
    }
}

/// Whether nobody holds a lock on a file any more.
pub(super) fn is_abandoned(path: &Path) -> bool {
    match File::options().write(true).open(path) {
        Ok(file) => Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// The uses of one node.
pub(super) struct References {
    users: PathBuf,
    own: PathBuf,
    counter: AtomicU64,
}

/// A use by a process, which ends with it.
pub(super) struct Claim {
    path: PathBuf,
    _held: Held,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // One that is left over is known by its lock.
        let _ = fs::remove_file(&self.path);
    }
}

impl References {
    /// The uses of `user`: a node's name, a dot, and what tells it from earlier nodes of the name.
    pub(super) fn open(root: &Path, user: &str) -> Result<References> {
        let users = root.join("users");
        let own = users.join(user);
        fs::create_dir_all(&own).map_err(failed("create", &own))?;
        Ok(References { users, own, counter: AtomicU64::new(0) })
    }

    /// Notes that an image uses layers, for longer than this process.
    pub(super) fn keep(&self, _lock: &Held, image: &str, layers: &[String]) -> Result<()> {
        let path = self.image(image);
        let unfinished = self.own.join(format!("{CLAIM_PREFIX}{}", self.number()));
        fs::write(&unfinished, lines(layers)).map_err(failed("write", &unfinished))?;
        fs::rename(&unfinished, &path).map_err(failed("rename", &unfinished))
    }

    /// Whether an image's use is noted.
    pub(super) fn keeps(&self, image: &str) -> bool {
        self.image(image).exists()
    }

    /// Forgets an image.
    pub(super) fn release(&self, image: &str) -> Result<()> {
        remove(&self.image(image))
    }

    /// Images whose uses are noted.
    pub(super) fn kept(&self) -> Result<Vec<String>> {
        let names = names(&self.own)?.into_iter();
        Ok(names
            .filter(|n| !n.starts_with(CLAIM_PREFIX))
            .map(|n| n.replacen('-', ":", 1))
            .collect())
    }

    /// Uses layers until the claim is dropped; all of them without a list. The caller holds the
    /// host's lock, so nobody takes the claim for an abandoned one before it is locked.
    pub(super) fn claim(&self, _lock: &Held, layers: Option<&[String]>) -> Result<Claim> {
        let path = self.own.join(format!("{CLAIM_PREFIX}{}", self.number()));
        let mut file = File::create(&path).map_err(failed("create", &path))?;
        let text = layers.map_or_else(|| EVERYTHING.to_owned(), lines);
        file.write_all(text.as_bytes()).map_err(failed("write", &path))?;
        let held = hold(&path, FlockArg::LockExclusive)?;
        Ok(Claim { path, _held: held })
    }

    /// The layers that anybody uses; none when somebody may use every layer. Abandoned claims go.
    pub(super) fn in_use(&self, _alone: &Held) -> Result<Option<BTreeSet<String>>> {
        let mut used = BTreeSet::new();
        for user in names(&self.users)? {
            let directory = self.users.join(user);
            for name in names(&directory)? {
                let path = directory.join(&name);
                if name.starts_with(CLAIM_PREFIX) && is_abandoned(&path) {
                    remove(&path)?;
                    continue;
                }
                // A use may end at any moment.
                let Some(text) = read(&path)? else { continue };
                if text.trim() == EVERYTHING {
                    return Ok(None);
                }
                used.extend(text.lines().map(str::to_owned));
            }
        }
        Ok(Some(used))
    }

    /// All nodes that note uses.
    pub(super) fn users(&self) -> Result<Vec<String>> {
        names(&self.users)
    }

    /// Forgets nodes that are no more. Returns the layers that they used.
    pub(super) fn forget(&self, _alone: &Held, users: &[String]) -> Result<BTreeSet<String>> {
        let mut freed = BTreeSet::new();
        for user in users {
            let directory = self.users.join(user);
            let is_name = !user.is_empty() && !user.contains('/') && !user.starts_with('.');
            if !is_name || directory == self.own || !directory.is_dir() {
                continue;
            }
            for name in names(&directory)? {
                let path = directory.join(name);
                let text = read(&path)?.unwrap_or_default();
                freed.extend(text.lines().map(str::to_owned));
            }
            fs::remove_dir_all(&directory).map_err(failed("remove", &directory))?;
        }
        Ok(freed)
    }

    fn image(&self, image: &str) -> PathBuf {
        self.own.join(image.replacen(':', "-", 1))
    }

    fn number(&self) -> String {
        format!("{}-{}", std::process::id(), self.counter.fetch_add(1, Ordering::Relaxed))
    }
}

fn lines(layers: &[String]) -> String {
    layers.iter().map(|layer| format!("{layer}\n")).collect()
}

/// A file's text; none when it is gone.
fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Removes a file that may be gone.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// The names in a directory; none when it is gone.
pub(super) fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("read", directory))?,
    };
    let names = entries.map(|entry| {
        entry
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .map_err(failed("read", directory))
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn check(references: &References, lock: &HostLock, expect: Option<&[&str]>) {
        let used = references.in_use(&lock.alone().unwrap()).unwrap();
        let expect = expect.map(|names| layers(names).into_iter().collect::<BTreeSet<_>>());
        assert_eq!(used, expect);
    }

    #[test]
    fn uses_of_several_nodes_count() {
        let root = tempfile::tempdir().unwrap();
        let lock = HostLock::open(root.path());
        let open = |user: &str| References::open(root.path(), user).unwrap();
        let (a, b) = (open("a.1"), open("b.1"));
        let shared = lock.shared().unwrap();
        a.keep(&shared, "sha256:x", &layers(&["1", "2"])).unwrap();
        b.keep(&shared, "sha256:y", &layers(&["2", "3"])).unwrap();
        drop(shared);
        assert_eq!(a.kept().unwrap(), ["sha256:x"]);
        check(&a, &lock, Some(&["1", "2", "3"]));
        a.release("sha256:x").unwrap();
        a.release("sha256:x").unwrap();
        check(&a, &lock, Some(&["2", "3"]));
        assert!(!a.keeps("sha256:x") && b.keeps("sha256:y"));
        let alone = lock.alone().unwrap();
        let users = ["b.1", "a.1", "../users", "", "none"].map(str::to_owned);
        assert_eq!(a.forget(&alone, &users).unwrap(), layers(&["2", "3"]).into_iter().collect());
        drop(alone);
        assert_eq!(a.users().unwrap(), ["a.1"]);
        check(&a, &lock, Some(&[]));
    }

    #[test]
    fn claims_end_with_their_process() {
        let root = tempfile::tempdir().unwrap();
        let lock = HostLock::open(root.path());
        let node = References::open(root.path(), "a.1").unwrap();
        let claim = node.claim(&lock.shared().unwrap(), Some(&layers(&["1"]))).unwrap();
        check(&node, &lock, Some(&["1"]));
        let every = node.claim(&lock.shared().unwrap(), None).unwrap();
        check(&node, &lock, None);
        drop((claim, every));
        check(&node, &lock, Some(&[]));
        // What a killed process leaves is a file without a lock.
        fs::write(node.own.join("claim-1-0"), "*").unwrap();
        check(&node, &lock, Some(&[]));
        assert_eq!(names(&node.own).unwrap(), [""; 0]);
    }
}

//! Unpacked layers, by diff id. A layer appears whole, by rename, or not at all; it is never changed
//! afterwards, so any number of nodes mount it at once.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use nix::fcntl::FlockArg;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use sha2::{Digest, Sha256};
use tar::EntryType;

use super::chain;
use super::record::failed;
use super::references::{Claim, Held, HostLock, References, hold, is_abandoned, names};
use crate::{Error, ImageError, Result};

/// An unpacked layer may not be larger: a bound against archives that expand without end.
const LAYER_BYTES_MAX: u64 = 64 << 30;
/// Files, directories and links of one layer: a bound like the one on bytes.
const LAYER_ENTRIES_MAX: usize = 5_000_000;
/// The directory of this form of the store. Nodes of another form do not see it.
const FORM: &str = "counted";
const WHITEOUT_PREFIX: &[u8] = b".wh.";
const OPAQUE_WHITEOUT: &[u8] = b".wh..wh..opq";

/// The host's layers.
pub(super) struct LayerStore {
    root: PathBuf,
    owner: String,
    counter: AtomicU64,
    lock: HostLock,
    references: References,
}

/// A layer on disk.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unpacked {
    /// `sha256:<hex>` of the uncompressed tar.
    pub diff_id: String,
    /// `sha256:<hex>` of the bytes as they came.
    pub digest: String,
}

impl LayerStore {
    /// The store of a host for a process (`owner`) of a node (`user`).
    pub(super) fn open(root: &Path, owner: &str, user: &str) -> Result<LayerStore> {
        let root = root.join(FORM);
        for directory in ["layers", "ingest", "locks"] {
            let path = root.join(directory);
            fs::create_dir_all(&path).map_err(failed("create", &path))?;
        }
        let references = References::open(&root, user)?;
        let lock = HostLock::open(&root);
        let counter = AtomicU64::new(0);
        Ok(LayerStore { root, owner: owner.into(), counter, lock, references })
    }

    /// Who uses what; to be changed while the host's lock is held.
    pub(super) fn references(&self) -> (&References, &HostLock) {
        (&self.references, &self.lock)
    }

    /// Keeps layers, there or not yet, until the claim is dropped; all of them without a list.
    pub(super) fn claim(&self, layers: Option<&[String]>) -> Result<Claim> {
        self.references.claim(&self.lock.shared()?, layers)
    }

    /// Waits until no other process makes this layer.
    pub(super) fn turn(&self, diff_id: &str) -> Result<Turn> {
        let path = self.root.join("locks").join(diff_id.trim_start_matches("sha256:"));
        let _held = hold(&path, FlockArg::LockExclusive)?;
        Ok(Turn { path, _held })
    }

    /// Notes that layers were of use until now.
    pub(super) fn touch<'a>(&self, diff_ids: impl IntoIterator<Item = &'a String>) -> Result<()> {
        for diff_id in diff_ids.into_iter().filter(|id| is_digest(id)) {
            let path = self.entry(diff_id).join("size");
            match File::options().write(true).open(&path) {
                Ok(file) => {
                    file.set_modified(SystemTime::now()).map_err(failed("touch", &path))?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed("open", &path)(error)),
            }
        }
        Ok(())
    }

    /// Removes layers that nobody has used for as long, those unused for longest first, until enough
    /// bytes are free. Returns how many were freed.
    pub(super) fn sweep(&self, idle: Duration, wanted_bytes: u64) -> Result<u64> {
        let taken = {
            let alone = self.lock.alone()?;
            let Some(used) = self.references.in_use(&alone)? else { return Ok(0) };
            self.take_away(&alone, &used, idle, wanted_bytes)?
        };
        let mut freed = 0;
        for (path, bytes) in taken {
            remove_tree(&path)?;
            freed += bytes;
        }
        Ok(freed)
    }

    /// Moves layers out of sight at once; removing them takes longer than the lock may be held.
    fn take_away(
        &self,
        _alone: &Held,
        used: &BTreeSet<String>,
        idle: Duration,
        wanted_bytes: u64,
    ) -> Result<Vec<(PathBuf, u64)>> {
        let mut unused = Vec::new();
        for name in names(&self.root.join("layers"))? {
            let diff_id = format!("sha256:{name}");
            // What has no time of use is damaged, and the first to go.
            let since = fs::metadata(self.entry(&diff_id).join("size"))
                .and_then(|metadata| metadata.modified())
                .unwrap_or(SystemTime::UNIX_EPOCH);
            if !used.contains(&diff_id) && since.elapsed().is_ok_and(|elapsed| elapsed >= idle) {
                unused.push((since, diff_id));
            }
        }
        unused.sort();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        for (_, diff_id) in unused {
            if bytes >= wanted_bytes {
                break;
            }
            let size = self.size(&diff_id).unwrap_or_default();
            let number = self.counter.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}.{}.{number}", self.owner, std::process::id());
            let path = self.root.join("ingest").join(name);
            let entry = self.entry(&diff_id);
            fs::rename(&entry, &path).map_err(failed("take away", &entry))?;
            bytes += size;
            taken.push((path, size));
        }
        Ok(taken)
    }

    /// The directory that overlayfs mounts.
    pub(super) fn directory(&self, diff_id: &str) -> PathBuf {
        self.entry(diff_id).join("fs")
    }

    pub(super) fn has(&self, diff_id: &str) -> bool {
        is_digest(diff_id) && self.entry(diff_id).is_dir()
    }

    /// Unpacked bytes of a layer that is here.
    pub(super) fn size(&self, diff_id: &str) -> Result<u64> {
        let file = self.entry(diff_id).join("size");
        let text = fs::read_to_string(&file).map_err(failed("read", &file))?;
        Ok(text.trim().parse().unwrap_or_default())
    }

    /// Removes what processes left that were killed: of any node, and told by their locks.
    pub(super) fn clear_unfinished(&self) -> Result<()> {
        let ingest = self.root.join("ingest");
        let abandoned: Vec<PathBuf> = {
            let _alone = self.lock.alone()?;
            let paths = names(&ingest)?.into_iter().map(|name| ingest.join(name));
            paths.filter(|path| is_abandoned(&path.join("lock"))).collect()
        };
        abandoned.iter().try_for_each(|path| remove_tree(path))
    }

    /// Unpacks a layer: a tar stream, plain, gzip or zstd. `name` is for messages. When `wanted` is
    /// given and the stream has another diff id, that is an error and nothing is kept.
    pub(super) fn unpack(
        &self,
        name: &str,
        from: impl Read,
        wanted: Option<&str>,
    ) -> Result<Unpacked> {
        let (staging, held) = self.stage()?;
        let done = unpack_into(name, from, &staging.join("fs")).and_then(|(unpacked, size)| {
            check_diff_id(name, &unpacked.diff_id, wanted)?;
            let file = staging.join("size");
            fs::write(&file, size.to_string()).map_err(failed("write", &file))?;
            self.publish(&staging, &unpacked.diff_id)?;
            Ok(unpacked)
        });
        if done.is_err() {
            // The first error is the one to tell; what is left here goes at the next start.
            let _ = fs::remove_dir_all(&staging);
        }
        drop(held);
        done
    }

    fn stage(&self) -> Result<(PathBuf, Held)> {
        let _shared = self.lock.shared()?;
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}.{}.{number}", self.owner, std::process::id());
        let staging = self.root.join("ingest").join(name);
        // An earlier process of this number is dead.
        remove_tree(&staging)?;
        let directory = staging.join("fs");
        fs::create_dir_all(&directory).map_err(failed("create", &directory))?;
        let held = hold(&staging.join("lock"), FlockArg::LockExclusive)?;
        Ok((staging, held))
    }

    fn publish(&self, staging: &Path, diff_id: &str) -> Result<()> {
        let entry = self.entry(diff_id);
        let _shared = self.lock.shared()?;
        let lock = staging.join("lock");
        fs::remove_file(&lock).map_err(failed("remove", &lock))?;
        match fs::rename(staging, &entry) {
            Ok(()) => Ok(()),
            // Another node was faster: its layer has the same content.
            Err(_) if entry.is_dir() => {
                fs::remove_dir_all(staging).map_err(failed("remove", staging))
            }
            Err(error) => Err(failed("publish", &entry)(error)),
        }
    }

    fn entry(&self, diff_id: &str) -> PathBuf {
        self.root.join("layers").join(diff_id.trim_start_matches("sha256:"))
    }
}

/// The right to make a layer.
pub(super) struct Turn {
    path: PathBuf,
    _held: Held,
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Who waits holds the file itself; the next one makes a new file and finds the layer.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes a directory that others may be removing too.
fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Whether this is `sha256:` and 64 lower-case hexadecimal digits: nothing else becomes a path.
pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn check_diff_id(name: &str, found: &str, wanted: Option<&str>) -> Result<()> {
    match wanted {
        Some(wanted) if wanted != found => Err(content(
            name,
            format!("the layer's content is {found}, but its image says {wanted}"),
        )),
        _ => Ok(()),
    }
}

fn content(name: &str, reason: impl Into<String>) -> Error {
    ImageError::Content { reference: name.into(), reason: reason.into() }.into()
}

fn unpack_into(name: &str, from: impl Read, directory: &Path) -> Result<(Unpacked, u64)> {
    let mut raw = Hashing::new(from);
    let mut plain = Hashing::new(decompress(&mut raw).map_err(|e| content(name, chain(&e)))?);
    unpack_entries(name, &mut plain, directory)?;
    // What follows the tar's end marker belongs to the digests too.
    io::copy(&mut plain, &mut io::sink()).map_err(|e| content(name, chain(&e)))?;
    let (diff_id, size) = plain.finish();
    io::copy(&mut raw, &mut io::sink()).map_err(|e| content(name, chain(&e)))?;
    Ok((Unpacked { diff_id, digest: raw.finish().0 }, size))
}

/// Undoes gzip or zstd, told by the first bytes.
pub(super) fn decompress<'a>(from: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut buffered = BufReader::with_capacity(1 << 16, from);
    let start = io::BufRead::fill_buf(&mut buffered)?;
    Ok(match start {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(buffered)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Box::new(zstd::stream::read::Decoder::with_buffer(buffered)?)
        }
        _ => Box::new(buffered),
    })
}

fn unpack_entries(name: &str, from: impl Read, directory: &Path) -> Result<()> {
    let mut archive = tar::Archive::new(Bounded { inner: from, left: LAYER_BYTES_MAX });
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(true);
    archive.set_unpack_xattrs(true);
    archive.set_overwrite(true);
    let bad = |error: io::Error| content(name, chain(&error));
    for (index, entry) in archive.entries().map_err(bad)?.enumerate() {
        if index == LAYER_ENTRIES_MAX {
            return Err(content(name, format!("a layer has more than {LAYER_ENTRIES_MAX} files")));
        }
        let mut entry = entry.map_err(bad)?;
        let path = entry.path().map_err(bad)?.into_owned();
        refuse_escape(name, &path)?;
        let file_name = path.file_name().map(|n| n.as_bytes().to_vec()).unwrap_or_default();
        if file_name.starts_with(WHITEOUT_PREFIX) {
            whiteout(name, directory, &path, &file_name)?;
        } else if is_device(entry.header().entry_type()) {
            // Containers get their devices from the runtime; a layer has no say in them.
            refuse_device(name, &path)?;
        } else if !entry.unpack_in(directory).map_err(bad)? {
            return Err(content(name, format!("the path {path:?} leaves the layer")));
        }
    }
    Ok(())
}

fn refuse_escape(name: &str, path: &Path) -> Result<()> {
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(content(name, format!("the path {path:?} leaves the layer")));
    }
    Ok(())
}

fn is_device(kind: EntryType) -> bool {
    matches!(kind, EntryType::Char | EntryType::Block | EntryType::Fifo)
}

fn refuse_device(name: &str, path: &Path) -> Result<()> {
    let relative = path.strip_prefix("/").or_else(|_| path.strip_prefix("./")).unwrap_or(path);
    if relative.starts_with("dev") {
        return Ok(());
    }
    Err(content(name, format!("{path:?} is a device node")))
}

/// Turns an OCI whiteout into overlayfs' form
/// (<https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts>).
fn whiteout(name: &str, root: &Path, path: &Path, file_name: &[u8]) -> Result<()> {
    let parent = safe_parent(name, root, path)?;
    if file_name == OPAQUE_WHITEOUT {
        return xattr::set(&parent, "trusted.overlay.opaque", b"y")
            .map_err(failed("mark opaque", &parent));
    }
    let hidden = std::ffi::OsStr::from_bytes(&file_name[WHITEOUT_PREFIX.len()..]);
    if hidden.is_empty() || hidden == "." || hidden == ".." {
        return Err(content(name, format!("{path:?} is not a valid whiteout")));
    }
    let target = parent.join(hidden);
    match mknod(&target, SFlag::S_IFCHR, Mode::empty(), makedev(0, 0)) {
        Ok(()) | Err(nix::errno::Errno::EEXIST) => Ok(()),
        Err(error) => Err(failed("hide", &target)(error.into())),
    }
}

/// The whiteout's directory, made if needed, and never outside the layer through a symbolic link.
fn safe_parent(name: &str, root: &Path, path: &Path) -> Result<PathBuf> {
    let mut at = root.to_owned();
    let parent = path.parent().unwrap_or(Path::new(""));
    for part in parent.components() {
        let Component::Normal(part) = part else { continue };
        at.push(part);
        match fs::symlink_metadata(&at) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(content(name, format!("the path {path:?} leaves the layer"))),
            Err(_) => fs::create_dir(&at).map_err(failed("create", &at))?,
        }
    }
    Ok(at)
}

/// Passes bytes on, up to a bound that is an error to reach.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(length as u64).ok_or_else(|| {
            io::Error::other(format!("a layer has more than {LAYER_BYTES_MAX} bytes unpacked"))
        })?;
        Ok(length)
    }
}

/// Passes bytes on, and counts and digests them.
struct Hashing<R> {
    inner: R,
    digest: Sha256,
    bytes: u64,
}

impl<R: Read> Hashing<R> {
    fn new(inner: R) -> Self {
        Hashing { inner, digest: Sha256::new(), bytes: 0 }
    }

    fn finish(self) -> (String, u64) {
        (format!("sha256:{:x}", self.digest.finalize()), self.bytes)
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.digest.update(&buffer[..length]);
        self.bytes += length as u64;
        Ok(length)
    }
}

/// `sha256:<hex>` of bytes in memory.
pub(super) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn layer(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, data) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            // The builder's own check of paths is what a hostile archive would leave out.
            let name = header.as_gnu_mut().unwrap();
            name.name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, *data).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn store() -> (tempfile::TempDir, LayerStore) {
        let directory = tempfile::tempdir().unwrap();
        let store = LayerStore::open(directory.path(), "node-a", "node-a.1").unwrap();
        (directory, store)
    }

    #[test]
    fn compression_changes_the_digest_and_not_the_diff_id() {
        let (_directory, store) = store();
        let plain = layer(&[("etc/motd", b"hello")]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let zstd = zstd::encode_all(&plain[..], 1).unwrap();
        let first = store.unpack("a", &plain[..], None).unwrap();
        assert_eq!(first.diff_id, first.digest);
        for packed in [gzip.finish().unwrap(), zstd] {
            let again = store.unpack("a", &packed[..], Some(&first.diff_id)).unwrap();
            assert_eq!(again.diff_id, first.diff_id);
            assert_eq!(again.digest, digest_of(&packed));
        }
        assert!(store.has(&first.diff_id));
        let motd = store.directory(&first.diff_id).join("etc/motd");
        assert_eq!(fs::read(motd).unwrap(), b"hello");
        assert_eq!(fs::read_dir(store.root.join("ingest")).unwrap().count(), 0);
    }

    #[test]
    fn hostile_layers_are_refused_and_leave_nothing() {
        let (_directory, store) = store();
        let cases = [
            ("../escape", "leaves the layer"),
            ("a/../../escape", "leaves the layer"),
            ("a/.wh...", "not a valid whiteout"),
        ];
        for (path, reason) in cases {
            let error = store.unpack("a", &layer(&[(path, b"x")])[..], None).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
        let wrong = store.unpack("a", &layer(&[("x", b"")])[..], Some("sha256:0")).unwrap_err();
        assert!(wrong.to_string().contains("its image says"), "{wrong}");
        for directory in ["ingest", "layers"] {
            assert_eq!(fs::read_dir(store.root.join(directory)).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_truncated_layer_is_an_error() {
        let (_directory, store) = store();
        let whole = layer(&[("big", &[7; 4096])]);
        assert!(store.unpack("a", &whole[..1024], None).is_err());
    }

    #[test]
    fn whiteouts_become_character_devices() {
        use std::os::unix::fs::{FileTypeExt, MetadataExt};
        let (_directory, store) = store();
        let unpacked = store.unpack("a", &layer(&[("etc/.wh.passwd", b"")])[..], None).unwrap();
        let hidden = store.directory(&unpacked.diff_id).join("etc/passwd");
        let metadata = fs::symlink_metadata(hidden).unwrap();
        assert!(metadata.file_type().is_char_device() && metadata.rdev() == 0);
    }

    #[test]
    fn layers_without_users_go_the_oldest_first() {
        let (_directory, store) = store();
        let make =
            |text: &[u8]| store.unpack("a", &layer(&[("x", text)])[..], None).unwrap().diff_id;
        let (old, new, kept, claimed) =
            (make(b"old"), make(b"new"), make(b"kept"), make(b"claimed"));
        let path = store.entry(&old).join("size");
        let before = SystemTime::now() - Duration::from_secs(1000);
        File::options().write(true).open(path).unwrap().set_modified(before).unwrap();
        let (references, lock) = store.references();
        references.keep(&lock.shared().unwrap(), "sha256:i", std::slice::from_ref(&kept)).unwrap();
        let claim = store.claim(Some(std::slice::from_ref(&claimed))).unwrap();
        let size = store.size(&old).unwrap();
        let sweep = |idle, bytes| store.sweep(Duration::from_secs(idle), bytes).unwrap();
        let here = |expect: [bool; 4]| {
            assert_eq!([&old, &new, &kept, &claimed].map(|id| store.has(id)), expect);
        };
        assert_eq!(sweep(2000, u64::MAX), 0);
        assert_eq!(sweep(0, 0), 0);
        let import = store.claim(None).unwrap();
        assert_eq!(sweep(0, u64::MAX), 0);
        drop(import);
        here([true; 4]);
        assert_eq!(sweep(0, 1), size);
        here([false, true, true, true]);
        store.touch([&new, &old]).unwrap();
        assert_eq!(sweep(500, u64::MAX), 0);
        assert_eq!(sweep(0, u64::MAX), size);
        drop(claim);
        assert_eq!(sweep(0, u64::MAX), size);
        here([false, false, true, false]);
        assert_eq!(fs::read_dir(store.root.join("ingest")).unwrap().count(), 0);
    }

    #[test]
    fn only_the_work_of_the_dead_is_cleared() {
        let (directory, store) = store();
        let (mine, held) = store.stage().unwrap();
        let dead = store.root.join("ingest/other.7.0");
        fs::create_dir_all(dead.join("fs")).unwrap();
        fs::write(dead.join("lock"), "").unwrap();
        let other = LayerStore::open(directory.path(), "node-b", "node-b.1").unwrap();
        other.clear_unfinished().unwrap();
        assert!(mine.exists() && !dead.exists());
        drop(held);
        other.clear_unfinished().unwrap();
        assert!(!mine.exists());
    }

    #[test]
    fn a_layer_is_made_by_one_at_a_time() {
        let (directory, store) = store();
        let id = digest_of(b"layer");
        let turn = store.turn(&id).unwrap();
        let (root, other) = (directory.path().to_owned(), id.clone());
        let (said, says) = std::sync::mpsc::channel();
        let waiter = std::thread::spawn(move || {
            let store = LayerStore::open(&root, "node-b", "node-b.1").unwrap();
            said.send("waits").unwrap();
            let _turn = store.turn(&other).unwrap();
            said.send("has it").unwrap();
        });
        assert_eq!(says.recv().unwrap(), "waits");
        assert!(says.try_recv().is_err());
        drop(turn);
        assert_eq!(says.recv().unwrap(), "has it");
        waiter.join().unwrap();
    }

    #[test]
    fn bombs_are_bounded() {
        let mut bounded = Bounded { inner: io::repeat(0), left: 1000 };
        let error = io::copy(&mut bounded, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("bytes unpacked"), "{error}");
        let mut whole = Bounded { inner: &[0; 1000][..], left: 1000 };
        assert_eq!(io::copy(&mut whole, &mut io::sink()).unwrap(), 1000);
    }

    #[test]
    fn only_digests_become_paths() {
        for bad in ["", "sha256:", "sha256:../../etc", "sha512:00", &"a".repeat(64)] {
            assert!(!is_digest(bad), "{bad:?}");
        }
        assert!(is_digest(&digest_of(b"")));
    }
}

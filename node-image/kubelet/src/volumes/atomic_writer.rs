//! Writes the files of a projected volume so that readers see all old or all new ones: a fresh
//! directory `..<time>`, then one rename of the link `..data`; visible names are links through it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;

use super::ownership::Ownership;

/// One file of a volume.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// Its content.
    pub content: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner, when not root.
    pub user: Option<u32>,
}

/// Relative path to file.
pub type Payload = BTreeMap<String, File>;

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// Brings a volume's directory to the payload. Returns whether anything changed.
pub fn write(
    volume: &Path,
    payload: &Payload,
    ownership: &Ownership,
    now: Timestamp,
) -> io::Result<bool> {
    for name in payload.keys() {
        check_name(name)?;
    }
    let current = fs::read_link(volume.join(DATA)).ok().map(|target| volume.join(target));
    if let Some(current) = &current
        && is_same(current, payload, ownership)?
    {
        return Ok(false);
    }
    let fresh = make_directory(volume, now)?;
    for (name, file) in payload {
        write_file(&fresh, name, file)?;
    }
    ownership.apply_read_only(&fresh)?;
    swap(volume, &fresh)?;
    link_names(volume, payload)?;
    match current {
        Some(old) if old != fresh => fs::remove_dir_all(old)?,
        _ => {}
    }
    Ok(true)
}

/// Only plain relative names: nothing leaves the volume.
fn check_name(name: &str) -> io::Result<()> {
    let path = Path::new(name);
    let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
    if name.is_empty() || !plain || name.starts_with("..") {
        let message =
            format!("invalid path {name:?}: must be relative and must not contain \"..\"");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

fn is_same(current: &Path, payload: &Payload, ownership: &Ownership) -> io::Result<bool> {
    let mut found = BTreeSet::new();
    list_files(current, Path::new(""), &mut found)?;
    if found.len() != payload.len() {
        return Ok(false);
    }
    for (name, file) in payload {
        if !found.contains(Path::new(name)) {
            return Ok(false);
        }
        let path = current.join(name);
        let mode = fs::metadata(&path)?.permissions().mode() & 0o7777;
        if mode != ownership.read_only_mode(file.mode) || fs::read(&path)? != file.content {
            return Ok(false);
        }
    }
    Ok(true)
}

fn list_files(root: &Path, below: &Path, found: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            list_files(root, &path, found)?;
        } else {
            found.insert(path);
        }
    }
    Ok(())
}

/// A new directory named after the time; the nanoseconds go on counting when the name is taken.
fn make_directory(volume: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let stamp = now.strftime("%Y_%m_%d_%H_%M_%S").to_string();
    let mut suffix = now.subsec_nanosecond();
    loop {
        let path = volume.join(format!("..{stamp}.{suffix:09}"));
        match fs::DirBuilder::new().mode(0o755).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => suffix += 1,
            result => return result.map(|()| path),
        }
    }
}

fn write_file(directory: &Path, name: &str, file: &File) -> io::Result<()> {
    let path = directory.join(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut opened =
        fs::OpenOptions::new().write(true).create_new(true).mode(file.mode).open(&path)?;
    opened.write_all(&file.content)?;
    // The process's umask must not take from the mode asked for.
    fs::set_permissions(&path, fs::Permissions::from_mode(file.mode))?;
    if let Some(user) = file.user {
        std::os::unix::fs::chown(&path, Some(user), None)?;
    }
    Ok(())
}

fn swap(volume: &Path, fresh: &Path) -> io::Result<()> {
    let new = volume.join(DATA_NEW);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let name = fresh.file_name().map(Path::new).unwrap_or(fresh);
    symlink(name, &new)?;
    fs::rename(&new, volume.join(DATA))
}

/// One link per first path component, and none for names that are gone.
fn link_names(volume: &Path, payload: &Payload) -> io::Result<()> {
    let wanted: BTreeSet<&str> =
        payload.keys().map(|name| name.split('/').next().unwrap_or(name)).collect();
    for entry in fs::read_dir(volume)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !wanted.contains(name.as_ref()) {
            fs::remove_file(volume.join(name.as_ref()))?;
        }
    }
    for name in wanted {
        match symlink(Path::new(DATA).join(name), volume.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(files: &[(&str, &str)]) -> Payload {
        let file = |content: &str| File { content: content.into(), mode: 0o644, user: None };
        files.iter().map(|(name, content)| ((*name).to_owned(), file(content))).collect()
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|n| !n.starts_with(".."))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn swaps_as_a_whole() {
        let volume = tempfile::tempdir().unwrap();
        let own = Ownership::default();
        let at = |n| Timestamp::from_second(n).unwrap();
        let put = |files, n| write(volume.path(), &payload(files), &own, at(n)).unwrap();
        assert!(put(&[("a", "1"), ("d/b", "2")], 1));
        assert_eq!(names(volume.path()), ["a", "d"]);
        assert_eq!(fs::read_to_string(volume.path().join("d/b")).unwrap(), "2");
        let first = fs::read_link(volume.path().join(DATA)).unwrap();
        assert!(!put(&[("a", "1"), ("d/b", "2")], 2), "nothing changed");
        assert_eq!(fs::read_link(volume.path().join(DATA)).unwrap(), first);
        assert!(put(&[("a", "3")], 2));
        assert_eq!(names(volume.path()), ["a"]);
        assert_eq!(fs::read_to_string(volume.path().join("a")).unwrap(), "3");
        assert!(!volume.path().join(first).exists());
        assert!(put(&[], 3), "optional sources may vanish");
        assert!(names(volume.path()).is_empty());
    }

    #[test]
    fn names_stay_inside() {
        let volume = tempfile::tempdir().unwrap();
        for name in ["../x", "/x", "a/../../x", "..x", ""] {
            let result = write(
                volume.path(),
                &payload(&[(name, "")]),
                &Ownership::default(),
                Timestamp::UNIX_EPOCH,
            );
            assert!(result.is_err(), "{name}");
        }
    }
}

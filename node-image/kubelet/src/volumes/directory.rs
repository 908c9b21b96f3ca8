//! Directories and memory file systems of volumes.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Makes a directory with exactly this mode, whatever the umask.
pub fn make(path: &Path, mode: u32) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Mounts a memory file system unless one is there.
pub fn mount_memory(path: &Path, size_bytes: Option<u64>, mode: u32) -> io::Result<()> {
    fs::create_dir_all(path)?;
    if is_mounted(path)? {
        return Ok(());
    }
    let size = size_bytes.map(|bytes| format!(",size={bytes}")).unwrap_or_default();
    let options = format!("mode={mode:o}{size}");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some(options.as_str()))?;
    Ok(())
}

/// Whether the path is a mount point.
pub fn is_mounted(path: &Path) -> io::Result<bool> {
    Ok(mounts_below(path)?.iter().any(|mounted| mounted == path))
}

/// Mount points at or below a path, deepest last.
pub fn mounts_below(path: &Path) -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(unescaped);
    Ok(points.map(PathBuf::from).filter(|point| point.starts_with(path)).collect())
}

/// mountinfo writes blanks as octal escapes.
fn unescaped(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |text, (code, character)| text.replace(code, character))
}

/// Unmounts everything below a path, then removes the tree. A tree that is gone is fine.
pub fn remove_all(path: &Path) -> io::Result<()> {
    for point in mounts_below(path)?.iter().rev() {
        umount2(point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?;
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The directory of a projected kind. What may be secret stays off the disk.
pub fn mount_memory_or_directory(kind: super::Kind, path: &Path) -> io::Result<()> {
    const MODE: u32 = 0o777;
    match kind {
        super::Kind::Secret | super::Kind::Projected if nix::unistd::geteuid().is_root() => {
            mount_memory(path, None, MODE)
        }
        _ if path.is_dir() => Ok(()),
        _ => make(path, MODE),
    }
}

//! `subPath`: a file or directory inside a volume, found without ever leaving it, and pinned by a
//! bind mount so that nobody can exchange it for a link between the check and the use.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, mkdirat};

/// Finds `sub_path` in a volume, makes it a directory when it is absent, and pins it at `pin`.
pub fn make_sub_path(volume: &Path, sub_path: &str, pin: &Path) -> Result<PathBuf, String> {
    let failed = |error: io::Error| {
        format!("failed to prepare subPath for volumeMount {sub_path:?}: {error}")
    };
    check(sub_path)?;
    let found = open_or_make(volume, sub_path).map_err(failed)?;
    pin_at(&found, pin).map_err(failed)?;
    Ok(pin.to_owned())
}

/// Undoes all pins below a directory.
pub fn release_sub_paths(pins: &Path) -> io::Result<()> {
    super::directory::remove_all(pins)
}

fn check(sub_path: &str) -> Result<(), String> {
    let plain = |c| matches!(c, Component::Normal(_) | Component::CurDir);
    match Path::new(sub_path).components().all(plain) {
        true => Ok(()),
        false => Err(format!("subPath {sub_path:?} must be relative and must not contain '..'")),
    }
}

fn open_or_make(volume: &Path, sub_path: &str) -> io::Result<OwnedFd> {
    let root: OwnedFd = File::open(volume)?.into();
    match open_inside(&root, Path::new(sub_path)) {
        Err(Errno::ENOENT) => {}
        result => return Ok(result?),
    }
    let permissions = fs::metadata(volume)?.permissions();
    let mode = Mode::from_bits_truncate(permissions.mode());
    let mut reached = open_inside(&root, Path::new("."))?;
    let mut path = PathBuf::new();
    for component in Path::new(sub_path).components() {
        let Component::Normal(name) = component else { continue };
        let made = match mkdirat(&reached, name, mode) {
            Err(Errno::EEXIST) => false,
            other => other.map(|()| true)?,
        };
        path.push(name);
        reached = open_inside(&root, &path)?;
        if made {
            // Without this process's mask.
            fs::set_permissions(
                format!("/proc/self/fd/{}", reached.as_raw_fd()),
                permissions.clone(),
            )?;
        }
    }
    Ok(reached)
}

/// Opens a path for reference only; links that lead out of `root` are refused by the kernel.
fn open_inside(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(root.as_fd(), path, how)
}

fn pin_at(found: &OwnedFd, pin: &Path) -> io::Result<()> {
    if let Some(parent) = pin.parent() {
        fs::create_dir_all(parent)?;
    }
    // A pin left by an earlier container of this mount may show what is gone.
    while umount2(pin, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).is_ok() {}
    let source = format!("/proc/self/fd/{}", found.as_raw_fd());
    match fs::metadata(&source)?.is_dir() {
        true if pin.is_dir() => {}
        true => fs::create_dir(pin)?,
        false => drop(fs::OpenOptions::new().create(true).append(true).open(pin)?),
    }
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(source.as_str()), pin, None::<&str>, flags, None::<&str>)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn check_open(volume: &Path, sub_path: &str, ok: bool) {
        assert_eq!(open_or_make(volume, sub_path).is_ok(), ok, "{sub_path}");
    }

    #[test]
    fn stays_inside() {
        let outer = tempfile::tempdir().unwrap();
        let volume = outer.path().join("volume");
        fs::create_dir_all(volume.join("..data")).unwrap();
        fs::write(volume.join("..data/file"), "x").unwrap();
        fs::write(outer.path().join("secret"), "x").unwrap();
        symlink("..data/file", volume.join("file")).unwrap();
        symlink("../secret", volume.join("up")).unwrap();
        symlink("/etc/passwd", volume.join("absolute")).unwrap();
        check_open(&volume, "file", true);
        check_open(&volume, "new/deep", true);
        assert!(volume.join("new/deep").is_dir());
        check_open(&volume, "up", false);
        check_open(&volume, "absolute", false);
        check_open(&volume, "up/more", false);
        assert!(check("a/../../b").is_err());
        assert!(check("/a").is_err());
        assert!(check("./a").is_ok());
    }
}

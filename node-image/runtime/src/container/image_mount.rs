//! An image's files mounted to be read, without a container: what image volumes are.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use super::root::open_path;
use crate::sys::mount::{FileSystem, attach};
use crate::sys::unsupported;

/// `MOUNT_ATTR_RDONLY`
const READ_ONLY: u64 = 1;

/// Mounts the layers of an image, top first, read-only at a directory.
pub fn mount_image(layers: &[PathBuf], target: &Path) -> io::Result<()> {
    std::fs::create_dir_all(target)?;
    let none = None::<&str>;
    match layers {
        [] => Err(io::Error::other("the image has no layers")),
        // overlayfs wants two.
        [only] => {
            mount(Some(only), target, none, MsFlags::MS_BIND, none)?;
            let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            Ok(mount(none, target, none, flags, none)?)
        }
        several => match overlay(several, target) {
            Err(error) if unsupported(&error) => overlay_by_text(several, target),
            other => other,
        },
    }
}

fn overlay(layers: &[PathBuf], target: &Path) -> io::Result<()> {
    let system = FileSystem::open(c"overlay")?;
    system.set(c"source", c"overlay")?;
    for layer in layers {
        system.set_path(c"lowerdir+", layer)?;
    }
    attach(system.mount(READ_ONLY)?.as_fd(), open_path(target)?.as_fd())
}

/// By mount(2), for kernels that do not take layers one by one. Its options fit one page.
fn overlay_by_text(layers: &[PathBuf], target: &Path) -> io::Result<()> {
    let mut options = OsString::from("lowerdir=");
    for (index, layer) in layers.iter().enumerate() {
        if index > 0 {
            options.push(":");
        }
        options.push(layer);
    }
    let kind = Some("overlay");
    Ok(mount(kind, target, kind, MsFlags::MS_RDONLY, Some(options.as_os_str()))?)
}

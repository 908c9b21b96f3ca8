//! A container's root file system: overlayfs over the image's layers, mounted in the container's
//! own mount namespace, so that it ends with it.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::mount::MsFlags;
use nix::sys::stat::Mode;

use crate::layout::ContainerLayout;
use crate::sys::mount::{self, FileSystem};
use crate::sys::unsupported;
use crate::user_namespace::UserNamespace;

/// The part of a page for names of layers; the rest is for the other options.
const LAYERS_TEXT_MAX: usize = 3000;

/// Puts the image's layers over themselves, with the ids that the pod has on the node. This process has
/// mounts of its own.
pub fn map_layers(layers: &[PathBuf], user: &UserNamespace) -> io::Result<()> {
    for layer in layers {
        let tree = mount::clone_one(layer)?;
        user.map_mount(&tree, false)?;
        attach(tree, layer)?;
    }
    Ok(())
}

/// Mounts the root at `layout.root()`; returns its directory, opened (`O_PATH`).
pub fn mount_root(layout: &ContainerLayout, layers: &[PathBuf]) -> io::Result<OwnedFd> {
    for directory in [layout.upper(), layout.work(), layout.root()] {
        std::fs::create_dir_all(directory)?;
    }
    copy_mode(layers, &layout.upper())?;
    match overlay(layout, layers, true) {
        Err(error) if unsupported(&error) => match overlay(layout, layers, false) {
            Err(error) if unsupported(&error) => overlay_by_text(layout, layers)?,
            other => attach(other?, &layout.root())?,
        },
        other => attach(other?, &layout.root())?,
    }
    open_path(&layout.root())
}

/// The root directory's own mode and owner (as mapped) come from the upper layer, which we have just
/// made.
fn copy_mode(layers: &[PathBuf], upper: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, chown};
    let Some(top) = layers.first() else {
        return Err(io::Error::other("the image has no layers"));
    };
    let metadata = std::fs::metadata(top)?;
    chown(upper, Some(metadata.uid()), Some(metadata.gid()))?;
    std::fs::set_permissions(upper, metadata.permissions())
}

/// By descriptor: any number of layers (Linux 6.8). `volatile` leaves out syncing a layer that
/// nobody reads after the container's end.
fn overlay(layout: &ContainerLayout, layers: &[PathBuf], volatile: bool) -> io::Result<OwnedFd> {
    let system = FileSystem::open(c"overlay")?;
    system.set(c"source", c"overlay")?;
    for layer in layers {
        system.set_path(c"lowerdir+", layer)?;
    }
    system.set_path(c"upperdir", &layout.upper())?;
    system.set_path(c"workdir", &layout.work())?;
    if volatile {
        system.flag(c"volatile")?;
    }
    system.mount(0)
}

fn attach(detached: OwnedFd, target: &Path) -> io::Result<()> {
    mount::attach(detached.as_fd(), open_path(target)?.as_fd())
}

/// By mount(2), whose options fit one page: the layers are named relative to their common parent, and by
/// numbers when that is too much.
fn overlay_by_text(layout: &ContainerLayout, layers: &[PathBuf]) -> io::Result<()> {
    let length: usize = layers.iter().map(|layer| layer.as_os_str().len() + 1).sum();
    if length > LAYERS_TEXT_MAX {
        return overlay_of(layout, &numbered(layers, &layout.root())?);
    }
    overlay_of(layout, layers)
}

/// Shows the layers under short names, on a file system of this process's own mount namespace.
fn numbered(layers: &[PathBuf], place: &Path) -> io::Result<Vec<PathBuf>> {
    let none = None::<&str>;
    nix::mount::mount(Some("layers"), place, Some("tmpfs"), MsFlags::empty(), none)?;
    let mut named = Vec::with_capacity(layers.len());
    for (number, layer) in layers.iter().enumerate() {
        let name = place.join(number.to_string());
        std::fs::create_dir(&name)?;
        nix::mount::mount(Some(layer), &name, none, MsFlags::MS_BIND, none)?;
        named.push(name);
    }
    Ok(named)
}

fn overlay_of(layout: &ContainerLayout, layers: &[PathBuf]) -> io::Result<()> {
    let parent = common_parent(layers);
    let mut options = OsString::from("lowerdir=");
    for (index, layer) in layers.iter().enumerate() {
        if index > 0 {
            options.push(":");
        }
        options.push(layer.strip_prefix(&parent).unwrap_or(layer));
    }
    for (key, path) in [(",upperdir=", layout.upper()), (",workdir=", layout.work())] {
        options.push(key);
        options.push(path);
    }
    nix::unistd::chdir(&parent)?;
    let kind = Some("overlay");
    nix::mount::mount(kind, &layout.root(), kind, MsFlags::empty(), Some(options.as_os_str()))?;
    Ok(())
}

fn common_parent(layers: &[PathBuf]) -> PathBuf {
    let mut parent = layers[0].parent().unwrap_or(Path::new("/"));
    while !layers.iter().all(|layer| layer.starts_with(parent)) {
        parent = parent.parent().unwrap_or(Path::new("/"));
    }
    parent.to_owned()
}

/// A directory or file as a place, not for reading.
pub fn open_path(path: &Path) -> io::Result<OwnedFd> {
    Ok(nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Makes the mounted root this process's `/` and lets go of the node's file systems.
pub fn enter(root: &OwnedFd) -> io::Result<()> {
    nix::unistd::fchdir(root)?;
    // The old root is put on top of the new one, and taken away from there.
    nix::unistd::pivot_root(".", ".")?;
    nix::mount::umount2(".", nix::mount::MntFlags::MNT_DETACH)?;
    nix::unistd::chdir("/")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents() {
        let check = |layers: &[&str], expect: &str| {
            let layers: Vec<PathBuf> = layers.iter().map(PathBuf::from).collect();
            assert_eq!(common_parent(&layers), Path::new(expect));
        };
        check(&["/a/b/1"], "/a/b");
        check(&["/a/b/1", "/a/b/2"], "/a/b");
        check(&["/a/b/1/diff", "/a/c/2/diff"], "/a");
        check(&["/x/1", "/y/2"], "/");
    }
}

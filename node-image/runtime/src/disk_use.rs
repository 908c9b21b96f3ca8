//! How much of a file system a tree takes, as `du` counts: hard links once, other file systems not.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::interface::DiskUse;

/// Bytes of one block in `st_blocks`, whatever the file system's own.
const BLOCK_BYTES: u64 = 512;

/// What a tree takes. What cannot be read, or is gone by now, counts as nothing.
pub fn disk_use(root: &Path) -> DiskUse {
    let mut used = DiskUse::default();
    let Ok(top) = fs::symlink_metadata(root) else { return used };
    let mut linked = HashSet::new();
    let mut open = vec![root.to_owned()];
    count(&top, &mut used, &mut linked);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.dev() != top.dev() {
                continue;
            }
            count(&metadata, &mut used, &mut linked);
            if metadata.is_dir() {
                open.push(entry.path());
            }
        }
    }
    used
}

fn count(metadata: &fs::Metadata, used: &mut DiskUse, linked: &mut HashSet<u64>) {
    let several = !metadata.is_dir() && metadata.nlink() > 1;
    if several && !linked.insert(metadata.ino()) {
        return;
    }
    used.inodes += 1;
    used.bytes += metadata.blocks() * BLOCK_BYTES;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        assert_eq!(disk_use(&root), DiskUse::default());
        fs::create_dir(&root).unwrap();
        let empty = disk_use(&root);
        assert_eq!(empty.inodes, 1);
        fs::write(root.join("a"), vec![1; 64 << 10]).unwrap();
        fs::hard_link(root.join("a"), root.join("b")).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("link")).unwrap();
        let full = disk_use(&root);
        assert_eq!(full.inodes, 3);
        assert!((64 << 10..80 << 10).contains(&(full.bytes - empty.bytes)), "{full:?}");
    }
}

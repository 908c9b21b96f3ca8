//! The mounts that Docker leaves read-only or private, as a node needs them.

use nix::mount::{MsFlags, mount};

use crate::error::{Error, Result};

/// Makes /sys and everything under it writable, and the root's mounts shared, so that pods with
/// mount propagation see and are seen (a container's mounts are private at first).
pub(super) fn prepare() -> Result<()> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")
        .map_err(Error::of("read /proc/self/mountinfo"))?;
    for (target, flags) in read_only_under_sys(&table) {
        let flags = flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
        mount(None::<&str>, target.as_str(), None::<&str>, flags, None::<&str>)
            .map_err(Error::of(format!("make {target} writable")))?;
    }
    let shared = MsFlags::MS_SHARED | MsFlags::MS_REC;
    mount(None::<&str>, "/", None::<&str>, shared, None::<&str>)
        .map_err(Error::of("share the root's mounts"))
}

/// The read-only mounts at and under /sys, with the flags they must keep.
fn read_only_under_sys(table: &str) -> Vec<(String, MsFlags)> {
    let mut found = Vec::new();
    for line in table.lines() {
        let mut fields = line.split(' ');
        let (Some(target), Some(options)) = (fields.nth(4), fields.next()) else { continue };
        let is_under_sys = target == "/sys" || target.starts_with("/sys/");
        if is_under_sys && options.split(',').any(|option| option == "ro") {
            found.push((target.to_owned(), kept_flags(options)));
        }
    }
    found
}

fn kept_flags(options: &str) -> MsFlags {
    options.split(',').fold(MsFlags::empty(), |flags, option| match option {
        "nosuid" => flags | MsFlags::MS_NOSUID,
        "nodev" => flags | MsFlags::MS_NODEV,
        "noexec" => flags | MsFlags::MS_NOEXEC,
        "relatime" => flags | MsFlags::MS_RELATIME,
        _ => flags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_only_mounts_are_found_with_their_flags() {
        let table = "\
21 1 0:20 / / rw,relatime - overlay overlay rw
22 21 0:21 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro
23 22 0:22 / /sys/fs/cgroup rw,nosuid - tmpfs tmpfs rw
24 23 0:23 / /sys/fs/cgroup/cpu ro,nosuid,nodev - cgroup cgroup rw,cpu
25 21 0:24 / /system ro - tmpfs tmpfs ro";
        let all = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        assert_eq!(
            read_only_under_sys(table),
            [
                ("/sys".into(), all | MsFlags::MS_NOEXEC | MsFlags::MS_RELATIME),
                ("/sys/fs/cgroup/cpu".into(), all)
            ]
        );
    }
}

//! Capabilities: names, the default set, what a container gets, and how a process takes them.

use std::io;

use crate::interface::Security;
use crate::sys::{check, process::prctl};

/// A set of capabilities, one bit each.
pub type Set = u64;

/// By number.
const NAMES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

const DEFAULT: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Every capability we know.
const ALL: Set = (1 << NAMES.len()) - 1;

/// The bit of a capability, with or without `CAP_`.
pub fn bit(name: &str) -> Option<Set> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    NAMES.iter().position(|known| *known == short).map(|number| 1 << number)
}

/// What a container asks for; the name of an unknown capability is the error.
pub fn wanted(security: &Security) -> Result<Set, String> {
    if security.privileged {
        return Ok(ALL);
    }
    let is_all = |name: &&String| name.eq_ignore_ascii_case("ALL");
    let bits = |names: &[String]| {
        names
            .iter()
            .filter(|name| !is_all(name))
            .try_fold(0, |set, name| bit(name).map(|bit| set | bit).ok_or_else(|| name.clone()))
    };
    let mut set = DEFAULT.iter().filter_map(|name| bit(name)).sum();
    if security.add_capabilities.iter().any(|name| is_all(&name)) {
        set = ALL;
    }
    if security.drop_capabilities.iter().any(|name| is_all(&name)) {
        set = 0;
    }
    set |= bits(&security.add_capabilities)?;
    Ok(set & !bits(&security.drop_capabilities)?)
}

/// What this process may hand out at most: its bounding set.
pub fn bounding() -> Set {
    let held = |number: &usize| {
        // SAFETY: PR_CAPBSET_READ takes an integer.
        unsafe { libc::prctl(libc::PR_CAPBSET_READ, *number as u64, 0_u64, 0_u64, 0_u64) == 1 }
    };
    (0..NAMES.len()).filter(held).map(|number| 1 << number).sum()
}

/// Takes everything else out of the bounding set.
pub fn limit(set: Set) -> io::Result<()> {
    // Up to 63: a newer kernel may have capabilities without a name here.
    for number in 0..64_u64 {
        if set & (1 << number) != 0 {
            continue;
        }
        match prctl(libc::PR_CAPBSET_DROP, number, 0) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            other => other?,
        }
    }
    Ok(())
}

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Takes a set as permitted and effective; nothing inheritable or ambient.
pub fn take(set: Set) -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let half = |bits: u32| Half { effective: bits, permitted: bits, inheritable: 0 };
    let header = Header { version: VERSION_3, pid: 0 };
    let halves = [half(set as u32), half((set >> 32) as u32)];
    match prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
        other => other?,
    }
    // SAFETY: version 3 reads one header and two halves, which outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, halves.as_ptr()) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        let check = |add: &[&str], drop: &[&str], expect: &[&str]| {
            let own = |list: &[&str]| list.iter().map(|s| s.to_string()).collect();
            let security = Security {
                add_capabilities: own(add),
                drop_capabilities: own(drop),
                ..Security::default()
            };
            let set = wanted(&security).unwrap();
            let expect: Set = expect.iter().filter_map(|name| bit(name)).sum();
            assert_eq!(set, expect, "add {add:?} drop {drop:?}");
        };
        check(&[], &[], DEFAULT);
        check(&[], &["ALL"], &[]);
        check(&["NET_ADMIN"], &["ALL"], &["NET_ADMIN"]);
        check(&["ALL"], &[], NAMES);
        check(&["cap_sys_time"], &["all"], &["SYS_TIME"]);
        let wrong = Security { add_capabilities: vec!["FLY".into()], ..Security::default() };
        assert_eq!(wanted(&wrong), Err("FLY".into()));
        assert_eq!(bit("SYS_ADMIN"), Some(1 << 21));
        assert_eq!(bit("CHECKPOINT_RESTORE"), Some(1 << 40));
    }
}

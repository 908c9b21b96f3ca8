//! The runtime's own system call policy: everything known, but for what the rows below keep to
//! those who hold a capability, or to nobody.

use super::profile::{Argument, Operator, Profile, Rule};
use crate::container::capabilities::{Set, bit};

/// Calls (words) that need one of some capabilities (words; none: never allowed).
const KEPT: &[(&str, &str)] = &[
    (
        "_sysctl add_key afs_syscall getpmsg io_uring_enter io_uring_register io_uring_setup \
         kexec_file_load kexec_load keyctl migrate_pages move_pages nfsservctl pivot_root putpmsg \
         request_key security swapoff swapon sysfs tuxcall userfaultfd uselib ustat vserver",
        "",
    ),
    ("acct", "SYS_PACCT"),
    ("bpf", "SYS_ADMIN BPF"),
    ("chroot", "SYS_CHROOT"),
    ("clock_settime settimeofday", "SYS_TIME"),
    ("delete_module finit_module init_module query_module", "SYS_MODULE"),
    (
        "clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr \
         move_mount open_tree open_tree_attr quotactl quotactl_fd setdomainname sethostname setns \
         umount2 unshare",
        "SYS_ADMIN",
    ),
    ("get_mempolicy mbind set_mempolicy set_mempolicy_home_node", "SYS_NICE"),
    ("ioperm iopl", "SYS_RAWIO"),
    ("kcmp pidfd_getfd process_madvise", "SYS_PTRACE"),
    ("open_by_handle_at", "DAC_READ_SEARCH"),
    ("perf_event_open", "SYS_ADMIN PERFMON"),
    ("reboot", "SYS_BOOT"),
    ("syslog", "SYS_ADMIN SYSLOG"),
    ("vhangup", "SYS_TTY_CONFIG"),
];

/// Calls that depend on their arguments.
const CONDITIONAL: &[&str] = &["clone", "personality", "socket"];

/// What personality(2) may ask for: Linux, 32 bits, both with the old mmap layout, and "tell".
const PERSONALITIES: &[u64] = &[0, 0x8, 0x20000, 0x20008, 0xffff_ffff];

const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP) as u64;

/// The policy for a process with these capabilities.
pub fn profile(capabilities: Set) -> Profile {
    let holds = |names: &str| {
        names.split_whitespace().filter_map(bit).any(|capability| capabilities & capability != 0)
    };
    let kept: Vec<&str> = KEPT
        .iter()
        .filter(|(_, capabilities)| !holds(capabilities))
        .flat_map(|(calls, _)| calls.split_whitespace())
        .collect();
    let allowed = super::calls::all()
        .map(|(name, _)| name)
        .filter(|name| !kept.contains(name) && !CONDITIONAL.contains(name))
        .map(str::to_owned)
        .collect();
    let mut rules = vec![Rule::allow(allowed, Vec::new())];
    let one = |name: &str, index, operator, value, second| {
        Rule::allow(
            vec![name.to_owned()],
            vec![Argument { index, value, value_two: second, operator }],
        )
    };
    for value in PERSONALITIES {
        rules.push(one("personality", 0, Operator::Equal, *value, 0));
    }
    rules.push(one("socket", 0, Operator::NotEqual, libc::AF_VSOCK as u64, 0));
    if holds("SYS_ADMIN") {
        rules.push(Rule::allow(vec!["clone".into()], Vec::new()));
    } else {
        rules.push(one("clone", 0, Operator::MaskedEqual, NAMESPACES, 0));
        // The C library falls back to clone, whose flags a filter can read.
        rules.push(Rule::refuse(vec!["clone3".into()], libc::ENOSYS as u32));
    }
    Profile::errno(libc::EPERM as u32, rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::seccomp::calls;

    #[test]
    fn rows_name_known_calls() {
        // Not on every machine, or long gone.
        const ELSEWHERE: &[&str] = &["query_module"];
        for name in KEPT.iter().flat_map(|(names, _)| names.split_whitespace()) {
            let known = calls::number(name).is_some() || ELSEWHERE.contains(&name);
            assert!(known || cfg!(not(target_arch = "x86_64")), "{name}");
        }
        for name in KEPT.iter().flat_map(|(_, names)| names.split_whitespace()) {
            assert!(bit(name).is_some(), "{name}");
        }
    }

    #[test]
    fn capabilities_open_calls() {
        let allows = |capabilities: Set, name: &str| {
            profile(capabilities).rules.iter().any(|rule| rule.allows(name))
        };
        assert!(!allows(0, "mount"));
        assert!(allows(bit("SYS_ADMIN").unwrap(), "mount"));
        assert!(allows(0, "openat"));
        assert!(!allows(u64::MAX, "kexec_load"));
        assert!(allows(bit("BPF").unwrap(), "bpf"));
    }
}

//! A sandbox's namespaces: made by the shim for itself, pinned in the node by bind mounts, and
//! inherited by the containers.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags};
use nix::sched::CloneFlags;

use crate::cgroup::Cgroups;
use crate::container::die_with_parent;
use crate::interface::{Resources, SandboxSpec};
use crate::layout::Layout;
use crate::record::SandboxRecord;
use crate::sys::check;
use crate::sys::process::{exit_now, fork_into, prctl, reset_signals};
use crate::user_namespace::{UserNamespace, host_id};

/// What every pod with its own network gets unless it says otherwise: any user may listen on low
/// ports and send pings.
const SYSCTLS: &[(&str, &str)] =
    &[("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];

/// Makes everything a sandbox holds. On an error the caller calls [`release`].
pub fn prepare(
    layout: &Layout,
    cgroups: &Cgroups,
    record: &SandboxRecord,
) -> Result<Option<UserNamespace>, String> {
    let spec = &record.spec;
    let named = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    cgroups
        .create(&spec.cgroup_parent, &spec.resources)
        .map_err(named("create the pod's cgroup"))?;
    let user = make_namespaces(spec).map_err(named("create the pod's namespaces"))?;
    if !spec.host_network {
        raise_loopback().map_err(named("bring up the loopback interface"))?;
        let pin = layout.network_namespace(&record.id);
        pin_namespace(Path::new("/proc/self/ns/net"), &pin)
            .map_err(named("pin the network namespace"))?;
        if !spec.hostname.is_empty() {
            nix::unistd::sethostname(&spec.hostname)
                .map_err(|error| format!("set host name {:?}: {error}", spec.hostname))?;
        }
    }
    if !spec.host_ipc {
        let path = layout.shared_memory(&record.id);
        mount_shared_memory(&path, user.as_ref())
            .map_err(named("mount the pod's shared memory"))?;
    }
    set_sysctls(spec)?;
    if spec.share_process_namespace && !spec.host_pid {
        start_pod_init(cgroups, record, user.as_ref())
            .map_err(named("start the pod's init process"))?;
    }
    Ok(user)
}

fn make_namespaces(spec: &SandboxSpec) -> io::Result<Option<UserNamespace>> {
    match spec.user_namespace {
        Some(ids) => UserNamespace::make(ids, namespaces(spec)).map(Some),
        None => Ok(nix::sched::unshare(namespaces(spec)).map(|()| None)?),
    }
}

/// Unmounts what [`prepare`] mounted; what is not there is fine.
pub fn release(layout: &Layout, id: &str) -> io::Result<()> {
    for path in [layout.network_namespace(id), layout.shared_memory(id)] {
        match nix::mount::umount2(&path, MntFlags::MNT_DETACH) {
            Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn namespaces(spec: &SandboxSpec) -> CloneFlags {
    let table = [
        (spec.host_network, CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS),
        (spec.host_ipc, CloneFlags::CLONE_NEWIPC),
    ];
    table.iter().filter(|(host, _)| !host).fold(CloneFlags::empty(), |all, (_, flag)| all | *flag)
}

fn pin_namespace(namespace: &Path, pin: &Path) -> io::Result<()> {
    std::fs::File::create(pin)?;
    let none = None::<&str>;
    Ok(nix::mount::mount(Some(namespace), pin, none, MsFlags::MS_BIND, none)?)
}

fn mount_shared_memory(path: &PathBuf, user: Option<&UserNamespace>) -> io::Result<()> {
    std::fs::create_dir(path)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NODEV;
    let root = host_id(user, 0);
    let options = format!("mode=1777,size=65536k,uid={root},gid={root}");
    Ok(nix::mount::mount(Some("shm"), path, Some("tmpfs"), flags, Some(options.as_str()))?)
}

fn raise_loopback() -> io::Result<()> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket: OwnedFd = socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
    // SAFETY: an all-zero ifreq is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads the ifreq, which outlives the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) }.into())
        .map(drop)
}

fn set_sysctls(spec: &SandboxSpec) -> Result<(), String> {
    if !spec.host_network {
        for (name, value) in SYSCTLS {
            if !spec.sysctls.contains_key(*name) {
                // Not every kernel has both.
                let _ = std::fs::write(sysctl_path(name), value);
            }
        }
    }
    for (name, value) in &spec.sysctls {
        if name.split(['.', '/']).any(|part| part.is_empty() || part == "..") {
            return Err(format!("sysctl {name:?} is not a name"));
        }
        std::fs::write(sysctl_path(name), value)
            .map_err(|error| format!("set sysctl {name}={value}: {error}"))?;
    }
    Ok(())
}

/// A sysctl's file. Dots separate, unless slashes do (for interface names with dots).
fn sysctl_path(name: &str) -> PathBuf {
    let slash = name.find('/').is_some_and(|at| name.find('.').is_none_or(|dot| at < dot));
    let relative = if slash { name.to_owned() } else { name.replace('.', "/") };
    Path::new("/proc/sys").join(relative)
}

/// The first process of a shared PID namespace: it reaps, and its end is the namespace's. The
/// shim's later children are born into the namespace.
fn start_pod_init(
    cgroups: &Cgroups,
    record: &SandboxRecord,
    user: Option<&UserNamespace>,
) -> io::Result<()> {
    let group = format!("{}/{}", record.spec.cgroup_parent, record.id);
    cgroups.create(&group, &Resources::default())?;
    let cgroup = cgroups.open(&group);
    // SAFETY: the shim has one thread.
    let pid = unsafe { fork_into(CloneFlags::CLONE_NEWPID, cgroup.as_ref().map(AsFd::as_fd)) }?;
    if pid == 0 {
        if user.is_some_and(|user| user.enter().is_err()) {
            exit_now(1);
        }
        reap_forever();
    }
    if cgroup.is_none() {
        cgroups.add(&group, pid)?;
    }
    let target = crate::sys::process::pidfd_open(pid)?;
    Ok(nix::sched::setns(&target, CloneFlags::CLONE_NEWPID)?)
}

fn reap_forever() -> ! {
    let _ = die_with_parent();
    reset_signals();
    let _ = prctl(libc::PR_SET_NAME, c"pause".as_ptr() as u64, 0);
    // SAFETY: closes what is the shim's; this process uses none of it.
    unsafe { libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) };
    // SAFETY: SIG_IGN is valid; the kernel then reaps orphans by itself.
    if unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) } == libc::SIG_ERR {
        exit_now(1);
    }
    loop {
        nix::unistd::pause();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctls() {
        let check = |name: &str, expect: &str| {
            assert_eq!(sysctl_path(name), Path::new("/proc/sys").join(expect), "{name}");
        };
        check("net.core.somaxconn", "net/core/somaxconn");
        check("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding");
    }
}

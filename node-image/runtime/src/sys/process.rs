//! Processes: clone3 into namespaces and a cgroup, pidfd, setns, close_range.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::sched::CloneFlags;

use super::{check, check_fd};

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

#[repr(C, align(8))]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Forks into new namespaces and, on cgroup v2, directly into a cgroup. Returns the child's pid,
/// or 0 in the child.
///
/// # Safety
/// The process must have one thread: the child goes on with a copy of its memory, locks included.
pub unsafe fn fork_into(
    namespaces: CloneFlags,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<libc::pid_t> {
    let arguments = CloneArguments {
        flags: namespaces.bits() as u32 as u64
            | if cgroup.is_some() { CLONE_INTO_CGROUP } else { 0 },
        exit_signal: libc::SIGCHLD as u64,
        cgroup: cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
        ..CloneArguments::default()
    };
    // SAFETY: the structure lives through the call and its size is the one passed; without
    // CLONE_VM the child has its own copy of the stack. The caller promises a single thread.
    let pid = check(unsafe {
        libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArguments>())
    })?;
    Ok(pid as libc::pid_t)
}

/// A descriptor of a process that cannot come to mean another one.
pub fn pidfd_open(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: only integers are passed.
    check_fd(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// Sends a signal to the process of a pidfd.
pub fn pidfd_signal(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: the signal information may be null.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    })
    .map(drop)
}

/// Marks every descriptor from `first` on close-on-exec.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: only integers are passed; nothing is closed now.
    let result = check(unsafe {
        libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC)
    });
    match result {
        // Every descriptor this crate opens has the flag; the call is a second wall, and kernels
        // before 5.11 do not have it.
        Err(error) if super::unsupported(&error) => Ok(()),
        other => other.map(drop),
    }
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which child.
    pub pid: libc::pid_t,
    /// Its exit code; 128 + signal when a signal ended it.
    pub code: i32,
    /// That signal.
    pub signal: Option<i32>,
}

/// Reaps one child that has ended, if there is one. (nix knows no real-time signals and would lose
/// the child.)
pub fn reap() -> Option<Ended> {
    let mut status = 0;
    loop {
        // SAFETY: `status` outlives the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        match pid {
            1.. if libc::WIFSIGNALED(status) => {
                let signal = libc::WTERMSIG(status);
                return Some(Ended { pid, code: 128 + signal, signal: Some(signal) });
            }
            1.. if libc::WIFEXITED(status) => {
                return Some(Ended { pid, code: libc::WEXITSTATUS(status), signal: None });
            }
            1.. => {}
            _ if io::Error::last_os_error().raw_os_error() == Some(libc::EINTR) && pid < 0 => {}
            _ => return None,
        }
    }
}

/// prctl(2) with integer arguments.
pub fn prctl(option: i32, first: u64, second: u64) -> io::Result<()> {
    // SAFETY: the options used in this crate take integers only.
    let result = unsafe { libc::prctl(option, first, second, 0_u64, 0_u64) };
    check(result.into()).map(drop)
}

/// Puts every signal back to its default action and unblocks all: what a program expects at its
/// start, whatever this process ignored or blocked.
pub fn reset_signals() {
    for signal in 1..=64 {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP {
            continue;
        }
        // SAFETY: SIG_DFL is always a valid disposition; numbers glibc keeps give an error.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
}

/// Ends the process at once: no destructors, no buffers.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}

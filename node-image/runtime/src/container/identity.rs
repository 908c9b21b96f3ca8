//! The last steps of a child: streams, user, capabilities, filters, and the program itself. The
//! same for a container's first process and for commands run in it.

use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::mount::MsFlags;
use nix::sys::stat::Mode;
use seccompiler::BpfProgram;

use super::Streams;
use super::capabilities::{self, Set};
use super::program;
use super::report::{Failed, Report, Reporter, Step};
use super::seccomp;
use super::user::User;
use crate::interface::{ContainerUser, Security};
use crate::record::Process;
use crate::sys::process::{close_on_exec_from, exit_now, prctl, reset_signals};
use crate::sys::{check, terminal};

/// The exit code of a program that turned out not to be one after the last check.
const EXEC_FAILED_CODE: i32 = 255;

/// What a process may do.
pub struct Identity {
    capabilities: Set,
    no_new_privileges: bool,
    app_armor: String,
    filters: Vec<BpfProgram>,
}

impl Identity {
    /// Works out capabilities and filters; reads the node's files, so it comes before the child
    /// enters the container.
    pub fn of(security: &Security, in_user_namespace: bool) -> Result<Self, Failed> {
        let wanted = capabilities::wanted(security)
            .map_err(|name| Failed::invalid(format!("unknown capability {name:?}")))?;
        // A user namespace has them all, for what belongs to it.
        let most = if in_user_namespace { wanted } else { capabilities::bounding() };
        let capabilities = wanted & most;
        let seccomp = match security.privileged {
            true => &crate::interface::Seccomp::Unconfined,
            false => &security.seccomp,
        };
        Ok(Self {
            capabilities,
            no_new_privileges: security.no_new_privileges,
            app_armor: security.app_armor.clone(),
            filters: seccomp::filters(seccomp, capabilities)?,
        })
    }

    /// Becomes the user with exactly these rights.
    fn assume(&self, user: &ContainerUser) -> Result<(), Failed> {
        self.confine().step(|| format!("apply AppArmor profile {:?}", self.app_armor))?;
        capabilities::limit(self.capabilities).step(|| "limit capabilities".into())?;
        if !self.no_new_privileges {
            // Without no_new_privs a filter needs a right that we are about to lose.
            self.install_filters()?;
        }
        prctl(libc::PR_SET_KEEPCAPS, 1, 0).step(|| "keep capabilities".into())?;
        set_ids(user).step(|| format!("become user {}:{}", user.uid, user.gid))?;
        prctl(libc::PR_SET_KEEPCAPS, 0, 0).step(|| "keep capabilities".into())?;
        capabilities::take(self.capabilities).step(|| "take capabilities".into())?;
        // Changing the user forgets this.
        die_with_parent().step(|| "tie process to its shim".into())?;
        if self.no_new_privileges {
            prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).step(|| "set no_new_privs".into())?;
            self.install_filters()?;
        }
        Ok(())
    }

    /// The next program runs under the profile
    /// (<https://docs.kernel.org/admin-guide/LSM/apparmor.html>).
    fn confine(&self) -> io::Result<()> {
        if self.app_armor.is_empty() {
            return Ok(());
        }
        let order = format!("exec {}", self.app_armor);
        match std::fs::write("/proc/self/attr/apparmor/exec", &order) {
            // Kernels before 5.8 have one place for all modules.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && !Path::new("/proc/self/attr/apparmor").exists() =>
            {
                std::fs::write("/proc/self/attr/exec", &order)
            }
            other => other,
        }
    }

    fn install_filters(&self) -> Result<(), Failed> {
        self.filters
            .iter()
            .try_for_each(seccomp::install)
            .step(|| "install system call filter".into())
    }
}

/// The child is killed when the shim dies.
pub fn die_with_parent() -> io::Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64, 0)
}

fn set_ids(user: &ContainerUser) -> io::Result<()> {
    let groups: Vec<libc::gid_t> =
        user.supplemental_groups.iter().map(|gid| *gid as libc::gid_t).collect();
    let (uid, gid) = (user.uid as libc::uid_t, user.gid as libc::gid_t);
    // By system call: the C library's wrappers would look for other threads.
    // SAFETY: the list lives through the call and its length is the one passed.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
    // SAFETY: only integers are passed.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// Runs the program; the process is inside the container already. Returns only on failure.
pub fn run(
    process: &Process,
    user: &User,
    identity: &Identity,
    reporter: &Reporter,
) -> Result<Infallible, Failed> {
    let mut environment = process.environment.clone();
    if !environment.iter().any(|entry| entry.starts_with("HOME=")) {
        environment.push(format!("HOME={}", user.home));
    }
    let directory = process.working_dir.as_str();
    // A directory may be closed to root without capabilities, or to the user only.
    let early = nix::unistd::chdir(directory);
    identity.assume(&user.ids)?;
    if early.is_err() {
        nix::unistd::chdir(directory).step(|| format!("chdir to cwd ({directory:?})"))?;
    }
    let path = program::find(&process.arguments[0], &environment).map_err(Failed::invalid)?;
    let arguments = c_strings(&process.arguments)?;
    let environment = c_strings(&environment)?;
    close_on_exec_from(3).step(|| "close descriptors".into())?;
    reset_signals();
    reporter.send(&Report::Running(user.clone())).step(|| "report".into())?;
    let error = nix::unistd::execve(&path, &arguments, &environment);
    // The shim has been told that we run: the rest is the container's own output.
    eprintln!("exec {}: {}", path.to_string_lossy(), describe(error));
    exit_now(EXEC_FAILED_CODE)
}

fn describe(result: nix::Result<Infallible>) -> String {
    let error = match result {
        Ok(never) => match never {},
        Err(error) => error,
    };
    error.desc().to_lowercase()
}

fn c_strings(list: &[String]) -> Result<Vec<CString>, Failed> {
    list.iter()
        .map(|text| CString::new(text.as_str()))
        .collect::<Result<_, _>>()
        .map_err(|_| Failed::invalid("an argument or variable contains a NUL byte"))
}

/// Makes the streams descriptors 0, 1 and 2, and theirs who is `owner` on the node.
pub fn connect(streams: Streams, owner: u32, reporter: &Reporter) -> Result<(), Failed> {
    let operation = || "connect standard streams".to_owned();
    let null =
        || std::fs::File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
    let take = |stream: Option<OwnedFd>| stream.map_or_else(null, Ok);
    let [stdin, stdout, stderr] = match streams {
        Streams::Pipes { stdin, stdout, stderr } => [
            take(stdin).step(operation)?,
            take(stdout).step(operation)?,
            take(stderr).step(operation)?,
        ],
        Streams::Terminal { console } => {
            open_terminal(console, reporter).step(|| "open terminal".into())?
        }
    };
    for stream in [&stdin, &stdout, &stderr] {
        own(stream, owner).step(operation)?;
    }
    nix::unistd::dup2_stdin(&stdin).step(operation)?;
    nix::unistd::dup2_stdout(&stdout).step(operation)?;
    nix::unistd::dup2_stderr(&stderr).step(operation)
}

/// Lets the user open /dev/stdout and its like again.
fn own(stream: &OwnedFd, owner: u32) -> io::Result<()> {
    let status = nix::sys::stat::fstat(stream)?;
    let null = libc::makedev(1, 3);
    let shared = status.st_mode & libc::S_IFMT == libc::S_IFCHR && status.st_rdev == null;
    if shared || status.st_uid == owner {
        return Ok(());
    }
    let uid = nix::unistd::Uid::from_raw(owner);
    match nix::unistd::fchown(stream, Some(uid), None) {
        // A stream on a read-only file system keeps its owner.
        Err(nix::Error::EROFS | nix::Error::EPERM | nix::Error::EINVAL) => Ok(()),
        other => Ok(other?),
    }
}

/// Opens a terminal of the container's own devpts and hands its master to the shim.
fn open_terminal(console: bool, reporter: &Reporter) -> io::Result<[OwnedFd; 3]> {
    let (master, slave) = terminal::open(Path::new("/dev/pts/ptmx"))?;
    terminal::take_control(&slave)?;
    if console {
        bind_console(terminal::number(&master)?)?;
    }
    reporter.send_terminal(&master)?;
    Ok([slave.try_clone()?, slave.try_clone()?, slave])
}

/// Shows the terminal as /dev/console too.
fn bind_console(number: u32) -> io::Result<()> {
    let flags = OFlag::O_CREAT | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    nix::fcntl::open("/dev/console", flags, Mode::from_bits_truncate(0o600))?;
    let terminal = format!("/dev/pts/{number}");
    let none = None::<&str>;
    nix::mount::mount(Some(terminal.as_str()), "/dev/console", none, MsFlags::MS_BIND, none)?;
    Ok(())
}

//! The program `kd shim`: one per sandbox, one thread, one poll loop. It holds the pod's
//! namespaces, streams and logs, and outlives the process that started it.

mod attach;
mod container;
mod exec;
mod failure;
mod guard;
mod log;
mod output;
mod sandbox;
mod service;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

pub use guard::read_only as read_only_program;
pub use sandbox::release;

use crate::cgroup::Cgroups;
use crate::layout::{Layout, SHIM_LOG};
use crate::record::{self, SandboxRecord};
use crate::sys::process::{exit_now, prctl};

/// The options of the program, each with a value.
pub const OPTIONS: [&str; 5] = ["--id", "--state", "--run", "--cgroups", "--cgroup-base"];

/// Runs the program with the arguments after its name; returns its exit code. The first process
/// ends when the shim is ready to serve; an error is written to stderr.
pub fn shim_main(arguments: impl IntoIterator<Item = OsString>) -> i32 {
    // Without it all works, only less guarded; kernels before 5.2 do not have the call.
    let _ = guard::run_from_read_only_mount();
    match start(arguments) {
        Ok(()) => 0,
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "{message}");
            1
        }
    }
}

struct Setting {
    layout: Layout,
    cgroups: Cgroups,
    record: SandboxRecord,
}

fn start(arguments: impl IntoIterator<Item = OsString>) -> Result<(), String> {
    let setting = parse(arguments)?;
    let (mut reader, writer) = std::io::pipe().map_err(|error| format!("pipe: {error}"))?;
    // SAFETY: this program has one thread, so the child may use everything it inherits.
    match unsafe { nix::unistd::fork() }.map_err(|error| format!("fork: {error}"))? {
        nix::unistd::ForkResult::Parent { .. } => {
            drop(writer);
            let mut answer = String::new();
            let _ = reader.read_to_string(&mut answer);
            match answer.as_str() {
                "ready" => Ok(()),
                "" => Err("the shim ended before it was ready".into()),
                error => Err(error.to_owned()),
            }
        }
        nix::unistd::ForkResult::Child => {
            drop(reader);
            exit_now(serve(setting, writer))
        }
    }
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Setting, String> {
    let mut values = HashMap::new();
    let mut arguments = arguments.into_iter();
    while let Some(name) = arguments.next() {
        let known = OPTIONS.into_iter().find(|option| name == *option);
        let (Some(known), Some(value)) = (known, arguments.next()) else {
            return Err(format!("unexpected argument {name:?}"));
        };
        values.insert(known, value);
    }
    let mut take = |name: &str| values.remove(name).ok_or_else(|| format!("{name} is missing"));
    let layout = Layout::new(&PathBuf::from(take("--state")?), &PathBuf::from(take("--run")?));
    let mount = PathBuf::from(take("--cgroups")?);
    let base = take("--cgroup-base")?;
    let cgroups = Cgroups::detect(&mount, &base.to_string_lossy())
        .map_err(|error| format!("control groups at {}: {error}", mount.display()))?;
    let id = take("--id")?;
    let path = layout.sandbox_record(&id.to_string_lossy());
    let record = record::read(&path)
        .map_err(|error| error.to_string())?
        .ok_or_else(|| format!("{}: no such record", path.display()))?;
    Ok(Setting { layout, cgroups, record })
}

/// The long-lived process.
fn serve(setting: Setting, mut ready: std::io::PipeWriter) -> i32 {
    let prepared = detach(&setting)
        .and_then(|()| service::Service::prepare(setting.layout, setting.cgroups, setting.record));
    let mut service = match prepared {
        Ok(service) => service,
        Err(message) => {
            let _ = ready.write_all(message.as_bytes());
            return 1;
        }
    };
    let _ = ready.write_all(b"ready");
    drop(ready);
    match service.run() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("poll loop: {error}");
            1
        }
    }
}

/// A session of its own, with nothing of the starter's open.
fn detach(setting: &Setting) -> Result<(), String> {
    let fail = |what: &str, error: std::io::Error| format!("{what}: {error}");
    nix::unistd::setsid().map_err(|error| fail("setsid", error.into()))?;
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    nix::unistd::chdir("/").map_err(|error| fail("chdir", error.into()))?;
    // Keeps processes of a container from looking into a child of ours that is on its way in.
    prctl(libc::PR_SET_DUMPABLE, 0, 0).map_err(|error| fail("prctl", error))?;
    ignore_signals();
    let log = setting.layout.sandbox_run(&setting.record.id).join(SHIM_LOG);
    let log = std::fs::File::options().create(true).append(true).open(log);
    let log = OwnedFd::from(log.map_err(|error| fail("open log", error))?);
    let null = std::fs::File::options().read(true).write(true).open("/dev/null");
    let null = OwnedFd::from(null.map_err(|error| fail("open /dev/null", error))?);
    let streams = nix::unistd::dup2_stdin(&null)
        .and_then(|()| nix::unistd::dup2_stdout(&null))
        .and_then(|()| nix::unistd::dup2_stderr(&log));
    streams.map_err(|error| fail("dup2", error.into()))
}

/// A shim ends when it is told to over its socket. A broken pipe is an error of a write.
fn ignore_signals() {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGPIPE, libc::SIGQUIT] {
        // SAFETY: SIG_IGN is always a valid disposition.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

//! Starts the node's programs, starts them again when they die, and reaps every orphan of the node
//! (shims outlive the kubelet, so their parent is PID 1).

use std::collections::HashMap;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kd_contract::KD_BINARY;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::Program;
use crate::error::{Error, ExitCode, Result};

/// A program that lived this long starts again at once.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
const RESTART_DELAY_MAX: Duration = Duration::from_secs(10);
/// Programs get this long to end, beside the pods' own time; Docker's limit for the container is longer.
const STOP_DEADLINE: Duration = Duration::from_secs(8);

/// PID 1's loop.
pub(super) struct Supervisor {
    signals: SignalFd,
    /// How long the node may take to end.
    patience: Duration,
}

/// A program's place in the loop.
struct Slot {
    program: Program,
    started: Instant,
    delay: Duration,
}

/// What the loop works on.
struct State {
    /// The API server's socket, on server nodes.
    listener: Option<TcpListener>,
    running: HashMap<Pid, Slot>,
    /// Programs to start again, and when.
    waiting: Vec<(Instant, Slot)>,
    /// Set once the node is told to stop: when patience ends.
    stopping: Option<Instant>,
}

impl Supervisor {
    /// Takes over the signals of this process. Pods have a time of their own when the node ends.
    pub(super) fn new(pods: Duration) -> Result<Supervisor> {
        let mut wanted = SigSet::empty();
        for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT] {
            wanted.add(signal);
        }
        wanted.thread_block().map_err(Error::of("block signals"))?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&wanted, flags).map_err(Error::of("open a signalfd"))?;
        Ok(Supervisor { signals, patience: STOP_DEADLINE + pods })
    }

    /// Runs the programs until SIGTERM or SIGINT, or until one says that it never will.
    /// The control plane's standard input is `listener`, also when it starts again.
    pub(super) fn run(
        mut self,
        programs: Vec<Program>,
        listener: Option<TcpListener>,
    ) -> Result<()> {
        let mut state =
            State { listener, running: HashMap::new(), waiting: Vec::new(), stopping: None };
        for program in programs {
            state.start(program, Duration::ZERO)?;
        }
        loop {
            self.wait(state.next_deadline())?;
            self.take_signals(&mut state)?;
            reap(&mut state)?;
            state.start_due()?;
            if state.is_over() {
                return Ok(());
            }
        }
    }

    fn wait(&self, deadline: Option<Instant>) -> Result<()> {
        let timeout = match deadline {
            None => PollTimeout::NONE,
            // One millisecond more than the rest, or the loop would spin through the last one.
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now()).as_millis() + 1;
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
        };
        let mut descriptors = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        match poll(&mut descriptors, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(Error::of("wait for signals")(error)),
        }
    }

    fn take_signals(&mut self, state: &mut State) -> Result<()> {
        while let Some(signal) = self.signals.read_signal().map_err(Error::of("read a signal"))? {
            let number = signal.ssi_signo as i32;
            if number == Signal::SIGTERM as i32 || number == Signal::SIGINT as i32 {
                state.stop(self.patience);
            }
        }
        Ok(())
    }
}

impl State {
    fn start(&mut self, program: Program, delay: Duration) -> Result<()> {
        let operation = format!("start kd-{}", program.name());
        let stdin = match (&self.listener, program) {
            (Some(listener), Program::ControlPlane) => {
                Stdio::from(OwnedFd::from(listener.try_clone().map_err(Error::of(&operation))?))
            }
            _ => Stdio::null(),
        };
        let child = Command::new(KD_BINARY)
            .arg0(format!("kd-{}", program.name()))
            .env(super::AUTHORITIES_ENV, super::AUTHORITIES_FILE)
            .stdin(stdin)
            .spawn()
            .map_err(Error::of(operation))?;
        // Reaped by the loop together with all orphans, not through this handle.
        let pid = Pid::from_raw(child.id() as i32);
        self.running.insert(pid, Slot { program, started: Instant::now(), delay });
        Ok(())
    }

    fn stop(&mut self, patience: Duration) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(Instant::now() + patience);
        self.waiting.clear();
        let kubelet = self.running.iter().find(|(_, slot)| slot.program == Program::Kubelet);
        match kubelet {
            // The others follow when it has stopped its containers, which may need them till then.
            // It may be gone already; then it is about to be reaped.
            Some((pid, _)) => drop(kill(*pid, Signal::SIGPWR)),
            None => self.terminate(),
        }
    }

    fn terminate(&self) {
        for pid in self.running.keys() {
            let _ = kill(*pid, Signal::SIGTERM);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|(at, _)| *at).chain(self.stopping).min()
    }

    fn start_due(&mut self) -> Result<()> {
        let now = Instant::now();
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(at, _)| *at <= now);
        self.waiting = later;
        due.into_iter().try_for_each(|(_, slot)| self.start(slot.program, slot.delay))
    }

    fn is_over(&self) -> bool {
        self.stopping.is_some_and(|deadline| self.running.is_empty() || Instant::now() >= deadline)
    }

    /// A program ended: plan its next start, unless it says that this is no use.
    fn ended(&mut self, slot: Slot, code: Option<i32>) -> Result<()> {
        let name = slot.program.name();
        if code == Some(ExitCode::Configuration as i32) {
            return Err(Error::Configuration(format!(
                "kd-{name} cannot run, see its message above"
            )));
        }
        if self.stopping.is_some() {
            self.terminate();
            return Ok(());
        }
        let delay = next_delay(slot.delay, slot.started.elapsed());
        eprintln!("kd-init: kd-{name} ended ({}), starting it again", describe(code));
        self.waiting.push((Instant::now() + delay, Slot { delay, ..slot }));
        Ok(())
    }
}

/// At once after a healthy life, else doubling from half a second.
fn next_delay(last: Duration, lived: Duration) -> Duration {
    match lived >= HEALTHY_AFTER {
        true => Duration::ZERO,
        false => (last * 2).clamp(Duration::from_millis(500), RESTART_DELAY_MAX),
    }
}

fn describe(code: Option<i32>) -> String {
    code.map_or("killed".into(), |code| format!("exit code {code}"))
}

fn reap(state: &mut State) -> Result<()> {
    loop {
        let (pid, code) = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, Some(code)),
            Ok(WaitStatus::Signaled(pid, _, _)) => (pid, None),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(error) => return Err(Error::of("reap")(error)),
        };
        if let Some(slot) = state.running.remove(&pid) {
            state.ended(slot, code)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_back_off_and_recover() {
        let short = Duration::from_millis(10);
        let check = |last, lived, expect| {
            assert_eq!(
                next_delay(Duration::from_millis(last), lived),
                Duration::from_millis(expect)
            )
        };
        check(0, short, 500);
        check(500, short, 1000);
        check(8000, short, 10_000);
        check(10_000, short, 10_000);
        check(10_000, HEALTHY_AFTER, 0);
    }
}

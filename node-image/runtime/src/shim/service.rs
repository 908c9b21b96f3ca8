//! The shim's poll loop: clients, children, streams.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::container::{
    Container, Phase, Place, has_pid_namespaces, owns_pid_namespace, receive_report,
};
use super::exec::Exec;
use super::failure::{exec_error, start_error};
use super::{attach, sandbox};
use crate::cgroup::Cgroups;
use crate::container::Report;
use crate::interface::ExecSpec;
use crate::layout::{Layout, SHIM_SOCKET};
use crate::protocol::{self, Call, Failure, Message, Reply, Request};
use crate::record::{self, ContainerRecord, SandboxRecord};
use crate::sys::message;
use crate::sys::process::{self, Ended};
use crate::user_namespace::UserNamespace;

/// A client and the number of its call.
type Caller = (u64, u64);
/// A successful answer with what goes beside it; `None`: the answer comes later.
type Answer = Result<Option<(Reply, Vec<OwnedFd>)>, Failure>;

/// What a descriptor in the poll set belongs to.
#[derive(Clone, Debug)]
enum Token {
    Listener,
    Signals,
    Client(u64),
    ContainerReport(String),
    ExecReport(i32),
    Source(String, usize),
    Sinks(String, usize),
    Lease(String),
}

/// The state of a shim.
pub struct Service {
    layout: Layout,
    cgroups: Cgroups,
    record: SandboxRecord,
    user: Option<UserNamespace>,
    /// Our own PID namespace, to come back to after forking into a container's.
    namespace: OwnedFd,
    listener: OwnedFd,
    signals: SignalFd,
    clients: BTreeMap<u64, OwnedFd>,
    client_next: u64,
    containers: BTreeMap<String, Container>,
    execs: BTreeMap<i32, (Exec, ExecSpec)>,
    stopping: Vec<Caller>,
}

impl Service {
    /// Makes the sandbox and listens.
    pub fn prepare(
        layout: Layout,
        cgroups: Cgroups,
        record: SandboxRecord,
    ) -> Result<Self, String> {
        let setup = || -> io::Result<(OwnedFd, SignalFd)> {
            let namespace = OwnedFd::from(std::fs::File::open("/proc/self/ns/pid")?);
            let mut mask = SigSet::empty();
            mask.add(Signal::SIGCHLD);
            mask.thread_block()?;
            let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
            Ok((namespace, SignalFd::with_flags(&mask, flags)?))
        };
        let (namespace, signals) = setup().map_err(|error| format!("signals: {error}"))?;
        // First: whoever finds no socket claims its place, and then nothing must be made any more.
        let listener = message::listen(&layout.sandbox_run(&record.id), SHIM_SOCKET)
            .map_err(|error| format!("listen: {error}"))?;
        let user = sandbox::prepare(&layout, &cgroups, &record).inspect_err(|_| {
            let _ = sandbox::release(&layout, &record.id);
        })?;
        Ok(Self {
            layout,
            cgroups,
            record,
            user,
            namespace,
            listener,
            signals,
            clients: BTreeMap::new(),
            client_next: 0,
            containers: BTreeMap::new(),
            execs: BTreeMap::new(),
            stopping: Vec::new(),
        })
    }

    /// Serves until told to stop.
    pub fn run(&mut self) -> io::Result<()> {
        loop {
            for (token, events) in self.wait()? {
                self.handle(token, events);
            }
            self.containers.retain(|_, container| {
                container.is_alive() || !container.outputs.iter().all(|out| out.is_done())
            });
            let idle = !self.containers.values().any(Container::is_alive);
            if !self.stopping.is_empty() && idle {
                return self.finish();
            }
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        let released = sandbox::release(&self.layout, &self.record.id);
        for (client, sequence) in std::mem::take(&mut self.stopping) {
            let result = match &released {
                Ok(()) => Ok(Some((Reply::default(), Vec::new()))),
                Err(error) => Err(Failure::system("release the sandbox", error)),
            };
            self.answer((client, sequence), result);
        }
        Ok(())
    }

    /// Waits for events.
    fn wait(&self) -> io::Result<Vec<(Token, PollFlags)>> {
        let set = self.poll_set();
        let mut fds: Vec<PollFd<'_>> =
            set.iter().map(|(_, fd, events)| PollFd::new(*fd, *events)).collect();
        match poll(&mut fds, PollTimeout::NONE) {
            Err(nix::Error::EINTR) => return Ok(Vec::new()),
            other => other?,
        };
        let events = fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        Ok(set
            .iter()
            .zip(events)
            .filter(|(_, events)| !events.is_empty())
            .map(|((token, ..), events)| (token.clone(), events))
            .collect())
    }

    fn poll_set(&self) -> Vec<(Token, BorrowedFd<'_>, PollFlags)> {
        let read = PollFlags::POLLIN;
        let mut set = vec![
            (Token::Listener, self.listener.as_fd(), read),
            (Token::Signals, self.signals.as_fd(), read),
        ];
        set.extend(self.clients.iter().map(|(id, fd)| (Token::Client(*id), fd.as_fd(), read)));
        for (pid, (exec, _)) in &self.execs {
            if let Some(conversation) = &exec.conversation {
                set.push((Token::ExecReport(*pid), conversation.as_fd(), read));
            }
        }
        for (id, container) in &self.containers {
            if let Phase::Starting { conversation, .. } = &container.phase {
                set.push((Token::ContainerReport(id.clone()), conversation.as_fd(), read));
            }
            for (index, output) in container.outputs.iter().enumerate() {
                if let Some(source) = output.source() {
                    set.push((Token::Source(id.clone(), index), source, read));
                }
                for (pipe, waiting) in output.sinks() {
                    let events = if waiting { PollFlags::POLLOUT } else { PollFlags::empty() };
                    set.push((Token::Sinks(id.clone(), index), pipe, events));
                }
            }
            for lease in &container.leases {
                set.push((Token::Lease(id.clone()), lease.as_fd(), PollFlags::empty()));
            }
        }
        set
    }

    fn handle(&mut self, token: Token, _events: PollFlags) {
        match token {
            Token::Listener => self.accept(),
            Token::Signals => {
                while let Ok(Some(_)) = self.signals.read_signal() {}
                self.reap();
            }
            Token::Client(client) => self.receive(client),
            Token::ContainerReport(id) => self.container_reports(&id),
            Token::ExecReport(pid) => self.exec_reports(pid),
            Token::Source(id, index) => {
                if let Some(container) = self.containers.get_mut(&id)
                    && let Some(output) = container.outputs.get_mut(index)
                {
                    output.read(&mut container.log);
                }
            }
            Token::Sinks(id, index) => {
                let container = self.containers.get_mut(&id);
                if let Some(output) = container.and_then(|c| c.outputs.get_mut(index)) {
                    output.flush();
                }
            }
            Token::Lease(id) => self.end_leases(&id),
        }
    }

    fn accept(&mut self) {
        while let Ok(socket) = message::accept(&self.listener) {
            self.clients.insert(self.client_next, socket);
            self.client_next += 1;
        }
    }

    fn receive(&mut self, client: u64) {
        let Some(socket) = self.clients.get(&client) else { return };
        match message::receive(socket.as_fd()) {
            Ok(Some((bytes, _))) => match serde_json::from_slice::<Call>(&bytes) {
                Ok(call) => self.call((client, call.sequence), call.request),
                Err(error) => {
                    eprintln!("client {client}: {error}");
                    self.clients.remove(&client);
                }
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(None) | Err(_) => {
                self.clients.remove(&client);
            }
        }
    }

    fn call(&mut self, caller: Caller, request: Request) {
        let done = Ok(Some((Reply::default(), Vec::new())));
        let answer = match request {
            Request::Start { container } => self.start(caller, &container),
            Request::Signal { container, signal } => self.signal(&container, signal),
            Request::Exec { container, spec } => self.exec(caller, &container, spec),
            Request::KillExec { exec } => {
                let of_caller = |(found, _): &&(Exec, ExecSpec)| found.caller == (caller.0, exec);
                if let Some((exec, _)) = self.execs.values().find(of_caller) {
                    exec.kill();
                }
                done
            }
            Request::Attach { container, spec } => self.attach(&container, &spec),
            Request::ReopenLog { container } => match self.containers.get_mut(&container) {
                Some(found) => found
                    .log
                    .reopen()
                    .map_err(|error| Failure::system("reopen the log", &error))
                    .and(done),
                None => done,
            },
            Request::Socket { ipv6 } => attach::tcp_socket(ipv6)
                .map(Some)
                .map_err(|error| Failure::system("make a socket", &error)),
            Request::Stop => {
                self.stopping.push(caller);
                self.kill_all();
                Ok(None)
            }
        };
        self.answer(caller, answer);
    }

    fn start(&mut self, caller: Caller, id: &str) -> Answer {
        if self.containers.contains_key(id) {
            return Err(Failure::State(format!("container {id} was started before")));
        }
        if !self.stopping.is_empty() {
            return Err(Failure::State(format!("sandbox {} is being stopped", self.record.id)));
        }
        let record = record::read(&self.layout.container(id).record())
            .map_err(|error| Failure::system("read the container's record", &error))?
            .ok_or_else(|| Failure::NotFound(id.to_owned()))?;
        let target = self.pid_target(&record)?;
        let namespace = target.as_ref().map(|target| (target, &self.namespace));
        let place = Place {
            layout: &self.layout,
            cgroups: &self.cgroups,
            sandbox: &self.record,
            user: self.user.as_ref(),
        };
        let container = Container::start(&place, record, namespace, caller)?;
        self.containers.insert(id.to_owned(), container);
        Ok(None)
    }

    /// The process whose PID namespace a container asks for.
    fn pid_target(&self, record: &ContainerRecord) -> Result<Option<OwnedFd>, Failure> {
        let name = &record.spec.pid_target;
        if name.is_empty() || !has_pid_namespaces(&self.record) {
            return Ok(None);
        }
        let named = |found: &&Container| found.record.spec.name == *name && found.is_alive();
        let target =
            self.containers.values().find(named).ok_or_else(|| {
                Failure::State(format!("the target container {name:?} does not run"))
            })?;
        let process = process::pidfd_open(target.pid)
            .map_err(|error| Failure::system("open the target's process", &error))?;
        Ok(Some(process))
    }

    fn signal(&mut self, id: &str, signal: i32) -> Answer {
        if let Some(container) = self.containers.get(id).filter(|found| found.is_alive()) {
            if signal == libc::SIGKILL && !owns_pid_namespace(&self.record, &container.record) {
                self.cgroups.kill(&container.group);
            }
            container.signal(signal);
        }
        Ok(Some((Reply::default(), Vec::new())))
    }

    fn running(&mut self, id: &str) -> Result<&mut Container, Failure> {
        let container =
            self.containers.get_mut(id).ok_or_else(|| Failure::NotFound(id.to_owned()))?;
        match container.phase {
            Phase::Running { .. } => Ok(container),
            _ => Err(Failure::State(format!("container {id} is not running"))),
        }
    }

    fn exec(&mut self, caller: Caller, id: &str, spec: ExecSpec) -> Answer {
        self.running(id)?;
        let Some(container) = self.containers.get(id) else { return Ok(None) };
        let place = Place {
            layout: &self.layout,
            cgroups: &self.cgroups,
            sandbox: &self.record,
            user: self.user.as_ref(),
        };
        let exec = Exec::start(&place, &self.namespace, container, &spec, caller)?;
        self.execs.insert(exec.pid, (exec, spec));
        Ok(None)
    }

    fn attach(&mut self, id: &str, spec: &ExecSpec) -> Answer {
        let container = self.running(id)?;
        attach::attach(container, spec)
            .map(Some)
            .map_err(|error| Failure::system("attach to the container", &error))
    }

    fn end_leases(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let before = container.leases.len();
        container.leases.retain(|lease| !attach::has_hung_up(lease));
        if container.leases.len() < before && container.record.spec.stdin_once {
            container.stdin = None;
        }
    }

    fn container_reports(&mut self, id: &str) {
        while let Some((report, descriptor)) = self.containers.get(id).and_then(Container::report) {
            let Some(container) = self.containers.get_mut(id) else { return };
            match (report, descriptor) {
                (Report::Terminal, Some(master)) => {
                    if let Err(error) = container.set_terminal(master) {
                        eprintln!("container {id}: terminal: {error}");
                        container.kill();
                    }
                }
                (Report::Terminal, None) => container.kill(),
                (Report::Running(user), _) => self.container_runs(id, user),
                (Report::Failed(failure), _) => {
                    container.kill();
                    self.container_ends(id, 1, None, Some(failure));
                    return;
                }
            }
        }
    }

    fn container_runs(&mut self, id: &str, user: crate::container::User) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Phase::Starting { caller, .. } = container.phase else { return };
        let started = container.set_running(&self.layout, user);
        self.broadcast(&Message::Started {
            container: id.to_owned(),
            pid: started.pid,
            at: started.at,
            user: started.user,
        });
        self.answer(caller, Ok(Some((Reply::default(), Vec::new()))));
    }

    fn container_ends(
        &mut self,
        id: &str,
        code: i32,
        signal: Option<i32>,
        failure: Option<Failure>,
    ) {
        let Some(container) = self.containers.get_mut(id).filter(|found| found.is_alive()) else {
            return;
        };
        let caller = match container.phase {
            Phase::Starting { caller, .. } => Some(caller),
            _ => None,
        };
        let error = caller.map(|_| start_error(failure));
        let exit = container.set_ended(&self.layout, &self.cgroups, code, signal, error.clone());
        self.broadcast(&Message::Exited { container: id.to_owned(), exit });
        if let (Some(caller), Some(error)) = (caller, error) {
            self.answer(caller, Err(Failure::Invalid(error)));
        }
    }

    fn exec_reports(&mut self, pid: i32) {
        loop {
            let Some((exec, spec)) = self.execs.get_mut(&pid) else { return };
            let Some(conversation) = &exec.conversation else { return };
            let Some((report, descriptor)) = receive_report(conversation) else { return };
            let stdin = spec.stdin;
            match (report, descriptor) {
                (Report::Terminal, Some(master)) => {
                    if exec.set_terminal(master, stdin).is_err() {
                        exec.kill();
                    }
                }
                (Report::Terminal, None) => exec.kill(),
                (Report::Running(_), _) => {
                    exec.conversation = None;
                    let reply = std::mem::take(&mut exec.reply);
                    let descriptors = std::mem::take(&mut exec.descriptors);
                    let caller = exec.caller;
                    self.answer(caller, Ok(Some((reply, descriptors))));
                }
                (Report::Failed(failure), _) => {
                    exec.conversation = None;
                    exec.descriptors.clear();
                    let caller = exec.caller;
                    self.answer(caller, Err(Failure::Invalid(exec_error(failure))));
                }
            }
        }
    }

    fn reap(&mut self) {
        while let Some(Ended { pid, code, signal }) = process::reap() {
            self.ended(pid, code, signal);
        }
    }

    fn ended(&mut self, pid: i32, code: i32, signal: Option<i32>) {
        if self.execs.contains_key(&pid) {
            return self.exec_ends(pid, code);
        }
        let found = self.containers.iter().find(|(_, c)| c.pid == pid && c.is_alive());
        let Some(id) = found.map(|(id, _)| id.clone()) else { return };
        // It may have had something to say before it ended.
        self.container_reports(&id);
        self.container_ends(&id, code, signal, None);
    }

    fn exec_ends(&mut self, pid: i32, code: i32) {
        self.exec_reports(pid);
        let Some((exec, _)) = self.execs.remove(&pid) else { return };
        let (client, sequence) = exec.caller;
        if exec.conversation.is_some() {
            let failure = Failure::State("the process ended during its setup".into());
            self.answer(exec.caller, Err(Failure::Invalid(exec_error(failure))));
        }
        self.send(client, &Message::ExecExited { exec: sequence, code }, &[]);
    }

    fn kill_all(&self) {
        for container in self.containers.values().filter(|found| found.is_alive()) {
            if !owns_pid_namespace(&self.record, &container.record) {
                self.cgroups.kill(&container.group);
            }
            container.kill();
        }
    }

    fn answer(&mut self, (client, sequence): Caller, answer: Answer) {
        let (result, descriptors) = match answer {
            Ok(None) => return,
            Ok(Some((reply, descriptors))) => (Ok(reply), descriptors),
            Err(failure) => (Err(failure), Vec::new()),
        };
        self.send(client, &Message::Reply { sequence, result }, &descriptors);
    }

    /// To every client, after what it tells was noted on disk. Who has connected and is not accepted yet
    /// may have read the disk before that.
    fn broadcast(&mut self, message: &Message) {
        self.accept();
        for client in self.clients.keys().copied().collect::<Vec<_>>() {
            self.send(client, message, &[]);
        }
    }

    /// A client that does not take its messages is let go; it learns what it missed from disk.
    fn send(&mut self, client: u64, message: &Message, descriptors: &[OwnedFd]) {
        let Some(socket) = self.clients.get(&client) else { return };
        let raw: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        if protocol::send(socket.as_fd(), message, &raw).is_err() {
            self.clients.remove(&client);
        }
    }
}

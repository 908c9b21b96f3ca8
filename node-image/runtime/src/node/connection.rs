//! A client's connection to one shim: calls with their answers, and what the shim says by itself.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot, watch};

use super::stream::register;
use crate::interface::{Error, Result};
use crate::layout::SHIM_SOCKET;
use crate::protocol::{Call, Failure, Message, Reply, Request};
use crate::sys::message;

type Answer = std::result::Result<(Reply, Vec<OwnedFd>), Failure>;

/// A connection; ends with the shim or when the last holder lets it go.
pub struct Connection {
    socket: Arc<AsyncFd<OwnedFd>>,
    waiting: Arc<Waiting>,
    closed: watch::Receiver<bool>,
    reader: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Waiting(Mutex<Table>);

#[derive(Default)]
struct Table {
    sequence: u64,
    closed: bool,
    calls: HashMap<u64, oneshot::Sender<Answer>>,
    execs: HashMap<u64, oneshot::Sender<Result<i32>>>,
}

impl Connection {
    /// Connects to the shim of a sandbox. What it says by itself goes to `events`, which is closed
    /// when the connection ends.
    pub fn open(directory: &Path, events: mpsc::UnboundedSender<Message>) -> io::Result<Self> {
        let socket = Arc::new(register(message::connect(directory, SHIM_SOCKET)?)?);
        let waiting = Arc::new(Waiting::default());
        let (closing, closed) = watch::channel(false);
        let read = read(socket.clone(), waiting.clone(), events);
        let reader = tokio::spawn(async move {
            read.await;
            let _ = closing.send(true);
        });
        Ok(Self { socket, waiting, closed, reader })
    }

    /// Asks and waits for the answer.
    pub async fn call(&self, request: Request) -> Result<(Reply, Vec<OwnedFd>)> {
        let (sender, receiver) = oneshot::channel();
        let sequence = self.waiting.next(Some(sender), None);
        self.send(Call { sequence, request }).await?;
        receiver.await.map_err(|_| lost())?.map_err(Error::from)
    }

    /// As [`Connection::call`], for a command whose end is of interest. Returns its number too.
    pub async fn call_exec(
        &self,
        request: Request,
    ) -> Result<(u64, Reply, Vec<OwnedFd>, oneshot::Receiver<Result<i32>>)> {
        let (sender, receiver) = oneshot::channel();
        let (exit_sender, exit) = oneshot::channel();
        let sequence = self.waiting.next(Some(sender), Some(exit_sender));
        let result = self.send(Call { sequence, request }).await;
        let answer = match result {
            Ok(()) => receiver.await.map_err(|_| lost())?.map_err(Error::from),
            Err(error) => Err(error),
        };
        if answer.is_err() {
            self.waiting.lock().execs.remove(&sequence);
        }
        let (reply, descriptors) = answer?;
        Ok((sequence, reply, descriptors, exit))
    }

    /// Waits until the shim has ended or let us go.
    pub async fn closed(&self) {
        let mut closed = self.closed.clone();
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// The shim's process.
    pub fn shim_pid(&self) -> io::Result<libc::pid_t> {
        use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
        Ok(getsockopt(self.socket.get_ref(), PeerCredentials)?.pid())
    }

    async fn send(&self, call: Call) -> Result<()> {
        let bytes = serde_json::to_vec(&call).map_err(|error| Error::Invalid(error.to_string()))?;
        let sent = self
            .socket
            .async_io(Interest::WRITABLE, |socket| message::send(socket.as_fd(), &bytes, &[]))
            .await;
        sent.map_err(|source| {
            self.waiting.lock().calls.remove(&call.sequence);
            Error::System { operation: "send to the sandbox's shim".into(), source }
        })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        // The table holds no invariant that a panic elsewhere could break.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(
        &self,
        answer: Option<oneshot::Sender<Answer>>,
        exit: Option<oneshot::Sender<Result<i32>>>,
    ) -> u64 {
        let mut table = self.lock();
        table.sequence += 1;
        let sequence = table.sequence;
        if table.closed {
            // Dropping the senders tells the callers.
            return sequence;
        }
        table.calls.extend(answer.map(|sender| (sequence, sender)));
        table.execs.extend(exit.map(|sender| (sequence, sender)));
        sequence
    }
}

fn lost() -> Error {
    Error::State("the sandbox's shim is gone".into())
}

async fn read(
    socket: Arc<AsyncFd<OwnedFd>>,
    waiting: Arc<Waiting>,
    events: mpsc::UnboundedSender<Message>,
) {
    loop {
        let received =
            socket.async_io(Interest::READABLE, |socket| message::receive(socket.as_fd())).await;
        let Ok(Some((bytes, descriptors))) = received else { break };
        match serde_json::from_slice(&bytes) {
            Ok(Message::Reply { sequence, result }) => {
                if let Some(sender) = waiting.lock().calls.remove(&sequence) {
                    let _ = sender.send(result.map(|reply| (reply, descriptors)));
                }
            }
            Ok(Message::ExecExited { exec, code }) => {
                if let Some(sender) = waiting.lock().execs.remove(&exec) {
                    let _ = sender.send(Ok(code));
                }
            }
            Ok(event) => {
                if events.send(event).is_err() {
                    break;
                }
            }
            Err(error) => {
                tracing::error!(%error, "message of a shim");
                break;
            }
        }
    }
    let mut table = waiting.lock();
    table.closed = true;
    table.calls.clear();
    for (_, sender) in table.execs.drain() {
        let _ = sender.send(Err(lost()));
    }
}

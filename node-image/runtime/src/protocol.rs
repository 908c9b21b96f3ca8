//! What a shim and its clients say to each other: one JSON value per message, with file
//! descriptors beside it. Container specifications are not sent; the shim reads the records.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use serde::{Deserialize, Serialize};

use crate::interface::{ContainerUser, Error, ExecSpec, Exit};
use crate::sys::message;
use jiff::Timestamp;

/// A request with the number its reply will carry.
#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    /// Chosen by the client, unique on its connection.
    pub sequence: u64,
    /// What to do.
    pub request: Request,
}

/// What a client asks.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Run a container's process; the reply comes when it runs or has failed.
    Start { container: String },
    /// Send a signal to a container's first process, or SIGKILL to all of them.
    Signal { container: String, signal: i32 },
    /// Run a command; [`Message::ExecExited`] later carries the call's number.
    Exec { container: String, spec: ExecSpec },
    /// SIGKILL a command started by the call of this number on this connection.
    KillExec { exec: u64 },
    /// Join the streams of a container.
    Attach { container: String, spec: ExecSpec },
    /// Close the log and open it again.
    ReopenLog { container: String },
    /// A TCP socket made in the sandbox's network namespace.
    Socket { ipv6: bool },
    /// Kill everything, then end.
    Stop,
}

/// What a shim says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// The answer to a call.
    Reply { sequence: u64, result: Result<Reply, Failure> },
    /// A container's process runs.
    Started { container: String, pid: i32, at: Timestamp, user: ContainerUser },
    /// A container's process ended, or could not be started.
    Exited { container: String, exit: Exit },
    /// A command ended.
    ExecExited { exec: u64, code: i32 },
}

/// A successful answer; the descriptors come in the order of the fields.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Reply {
    /// A descriptor to write stdin to.
    pub stdin: bool,
    /// A descriptor to read stdout (or the terminal) from.
    pub stdout: bool,
    /// A descriptor to read stderr from.
    pub stderr: bool,
    /// A descriptor to hold as long as stdin is in use.
    pub lease: bool,
    /// The terminal, or for [`Request::Socket`] the socket.
    pub control: bool,
}

/// An unsuccessful answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Failure {
    /// See [`Error::NotFound`]; a container.
    NotFound(String),
    /// See [`Error::Invalid`].
    Invalid(String),
    /// See [`Error::State`].
    State(String),
    /// See [`Error::System`]: the operation and the error number.
    System(String, i32),
}

impl Failure {
    /// The system's refusal of an operation.
    pub fn system(operation: impl Into<String>, error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(number) => Self::System(operation.into(), number),
            None => Self::System(format!("{}: {error}", operation.into()), libc::EIO),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotFound(id) => Self::NotFound { kind: "container", id },
            Failure::Invalid(message) => Self::Invalid(message),
            Failure::State(message) => Self::State(message),
            Failure::System(operation, number) => {
                Self::System { operation, source: io::Error::from_raw_os_error(number) }
            }
        }
    }
}

/// Sends one value.
pub fn send<T: Serialize>(
    socket: BorrowedFd<'_>,
    value: &T,
    descriptors: &[RawFd],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(value).map_err(io::Error::other)?;
    message::send(socket, &bytes, descriptors)
}

//! What the child tells the shim while it becomes the container's process.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use serde::{Deserialize, Serialize};

use super::user::User;
use crate::protocol::Failure;
use crate::sys::message;

/// Why a child could not go on.
#[derive(Debug)]
pub struct Failed(pub Failure);

impl Failed {
    /// The specification is at fault.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self(Failure::Invalid(message.into()))
    }
}

/// Names the operation that an error belongs to.
pub trait Step<T> {
    /// The error with its operation.
    fn step(self, operation: impl FnOnce() -> String) -> Result<T, Failed>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, operation: impl FnOnce() -> String) -> Result<T, Failed> {
        self.map_err(|error| Failed(Failure::system(operation(), &error.into())))
    }
}

/// One message from the child.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// The master of its terminal comes with this message.
    Terminal,
    /// It is about to run the program, as this user.
    Running(User),
    /// It has given up.
    Failed(Failure),
}

/// The child's end of the conversation.
#[derive(Debug)]
pub struct Reporter(pub OwnedFd);

impl Reporter {
    /// Waits until the shim has put us into our cgroups. An error means that the shim is gone.
    pub fn wait(&self) -> io::Result<()> {
        match message::receive(self.0.as_fd())? {
            Some(_) => Ok(()),
            None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    }

    /// Tells the shim.
    pub fn send(&self, report: &Report) -> io::Result<()> {
        crate::protocol::send(self.0.as_fd(), report, &[])
    }

    /// Hands the terminal's master over.
    pub fn send_terminal(&self, master: &OwnedFd) -> io::Result<()> {
        let descriptors: [RawFd; 1] = [master.as_raw_fd()];
        crate::protocol::send(self.0.as_fd(), &Report::Terminal, &descriptors)
    }
}

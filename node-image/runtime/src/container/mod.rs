//! What happens between the fork and the program of a container: code that runs in the child, with
//! one thread, and tells the shim how far it got.

mod capabilities;
mod devices;
mod identity;
mod image_mount;
mod join;
mod launch;
mod mounts;
mod program;
mod report;
mod root;
mod seccomp;
mod user;

use std::os::fd::OwnedFd;

pub use devices::rules as device_rules;
pub use identity::die_with_parent;
pub use image_mount::mount_image;
pub use join::{Join, run as join};
pub use launch::{Launch, run as launch};
pub use report::Report;
pub use user::User;

/// The standard streams that a child is given.
#[derive(Debug)]
pub enum Streams {
    /// One descriptor each.
    Pipes {
        /// Read end; the null device when absent.
        stdin: Option<OwnedFd>,
        /// Write end.
        stdout: Option<OwnedFd>,
        /// Write end.
        stderr: Option<OwnedFd>,
    },
    /// The child opens a terminal in the container and reports its master.
    Terminal {
        /// It is the container's /dev/console too.
        console: bool,
    },
}

//! Boot order, certificates and process supervision: the crate that wires all others into the
//! programs of a node. The kd binary dispatches here when it is started as one of them.

// rustdoc is not given the flag, and what it makes does not run in a node.
#[cfg(all(
    target_os = "linux",
    target_env = "gnu",
    not(target_feature = "crt-static"),
    not(any(doc, doctest))
))]
compile_error!(
    "the node image holds nothing but this binary, so it must be static: build with \
     `-C target-feature=+crt-static` (set in .cargo/config.toml; an environment RUSTFLAGS undoes it)"
);

mod api_server_files;
mod cluster_info;
mod control_plane;
mod environment;
mod error;
mod images;
mod init;
mod kubelet;
mod load_balancer;
mod program;
mod registries;
mod resolvers;
mod service_rules;
mod tls;

pub use api_server_files::check as check_api_server_files;
pub use error::{Error, ExitCode};
pub use program::{Program, run};

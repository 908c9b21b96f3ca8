//! Where time, randomness and the node's configuration enter its programs.

use ipnet::IpNet;
use kd_contract::{NODE_CONFIG_ENV, NodeConfig};
use nix::sys::signal::SigSet;

use crate::Error;
use crate::error::Result;

/// The node's configuration, from the environment that kd gave its container.
pub(crate) fn node_config() -> Result<NodeConfig> {
    let text = std::env::var(NODE_CONFIG_ENV).map_err(|_| {
        Error::Configuration(format!(
            "{NODE_CONFIG_ENV} is not set: this program runs in the containers that \
             `kd cluster create` makes"
        ))
    })?;
    serde_json::from_str(&text).map_err(|error| {
        Error::Configuration(format!(
            "{NODE_CONFIG_ENV} does not parse ({error}): is the node image of the same kd version?"
        ))
    })
}

/// The ranges of a field of the configuration: at least one.
pub(crate) fn ranges(text: &str, field: &str) -> Result<Vec<IpNet>> {
    let parsed = text.split(',').map(|range| range.trim().parse());
    let parsed: std::result::Result<Vec<IpNet>, _> = parsed.collect();
    parsed.map_err(|error| Error::Configuration(format!("{field} {text:?} is no range: {error}")))
}

/// The client library reports each answer and broken connection that its callers handle, while a
/// control plane starts again for example. A configuration that names it comes later and wins.
const QUIET: &str = "kube_client=off";

/// Sends log lines to stderr, filtered by the node's configuration.
pub(crate) fn start_logging(config: &NodeConfig) {
    start_logging_with(&config.log);
}

/// Sends log lines to stderr, filtered as told.
pub(crate) fn start_logging_with(told: &str) {
    let filter = |wanted: &str| format!("{QUIET},{wanted}");
    let filter = tracing_subscriber::EnvFilter::try_new(filter(told))
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(filter("info")));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}

/// Runs a node program's work to its end; what it left in the background ends with it. The work is
/// mostly waiting, so two threads serve most nodes.
pub(crate) fn run_async<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    // PID 1 blocks the signals that it waits for, and its children inherit that.
    SigSet::empty().thread_set_mask().map_err(Error::of("unblock signals"))?;
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.clamp(2, WORKER_THREADS_MAX))
        .enable_all()
        .build()
        .map_err(Error::of("start the async runtime"))?;
    let done = runtime.block_on(work);
    // A blocking call that is under way must not hold the program up.
    runtime.shutdown_background();
    done
}

const WORKER_THREADS_MAX: usize = 8;

/// What a program is told to end for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It alone ends, and may be started again.
    Program,
    /// The whole node ends.
    Node,
}

/// Waits for SIGTERM or SIGINT; or for SIGPWR, by which PID 1 tells that the node ends.
pub(crate) async fn stop_signal() -> Result<Stop> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::of("wait for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::of("wait for SIGINT"))?;
    let power = SignalKind::from_raw(nix::sys::signal::Signal::SIGPWR as i32);
    let mut power = signal(power).map_err(Error::of("wait for SIGPWR"))?;
    tokio::select! {
        _ = terminate.recv() => Ok(Stop::Program),
        _ = interrupt.recv() => Ok(Stop::Program),
        _ = power.recv() => Ok(Stop::Node),
    }
}

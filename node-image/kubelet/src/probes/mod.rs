//! Probes: when to look at a container (schedule), how (handlers), and what it means (thresholds).

mod exec;
mod grpc;
pub(crate) mod http;
mod prober;
mod target;
mod tcp;
mod thresholds;

pub use prober::{ProbeContext, Probed, Probers};
pub use target::{Target, port_number};
pub use tcp::connect;

use std::time::Duration;

use k8s_openapi::api::core::v1::Probe;

/// What one look found.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// All is well.
    Success,
    /// It answered, with something to tell (a redirect elsewhere).
    Warning(String),
    /// It is not well, and why.
    Failure(String),
    /// The look itself failed; nothing is known.
    Unknown(String),
}

/// A probe's numbers with the API's defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// `initialDelaySeconds`
    pub initial_delay: Duration,
    /// `periodSeconds`
    pub period: Duration,
    /// `timeoutSeconds`
    pub timeout: Duration,
    /// `successThreshold`
    pub success_threshold: u32,
    /// `failureThreshold`
    pub failure_threshold: u32,
}

impl Timing {
    /// The numbers of a probe.
    pub fn of(probe: &Probe) -> Timing {
        let number = |value: Option<i32>, default: u32| {
            value.and_then(|v| u32::try_from(v).ok()).filter(|v| *v > 0).unwrap_or(default)
        };
        let seconds = |value, default| Duration::from_secs(number(value, default).into());
        Timing {
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
            success_threshold: number(probe.success_threshold, 1),
            failure_threshold: number(probe.failure_threshold, 3),
        }
    }
}

//! Failures in the words that users and programs know from other runtimes.

use crate::interface::Error;
use crate::protocol::Failure;

/// Why a container's process did not run.
pub fn start_error(failure: Option<Failure>) -> String {
    let cause = match failure {
        Some(failure) => explain(failure),
        None => "the process ended during its setup".into(),
    };
    format!(
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: \
         runc create failed: unable to start container process: error during container init: \
         {cause}: unknown"
    )
}

/// Why a command did not run.
pub fn exec_error(failure: Failure) -> String {
    format!(
        "OCI runtime exec failed: exec failed: unable to start container process: {}: unknown",
        explain(failure)
    )
}

fn explain(failure: Failure) -> String {
    match Error::from(failure) {
        Error::System { operation, source } => format!("{operation}: {source}"),
        error => error.to_string(),
    }
}

//! Exec probes: the exit code of a command in the container.

use std::time::Duration;

use kd_runtime::{Error, Runtime};

use super::Look;

/// Runs the command.
pub async fn look(
    runtime: &dyn Runtime,
    id: &str,
    command: Vec<String>,
    timeout: Duration,
) -> Look {
    let shown = format!("{:?}", command.join(" "));
    match runtime.exec_sync(id, command, Some(timeout)).await {
        Ok(output) if output.code == 0 => Look::Success,
        Ok(output) => {
            let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.push_str(&String::from_utf8_lossy(&output.stderr));
            Look::Failure(text)
        }
        Err(Error::Timeout { .. }) => Look::Failure(format!(
            "command timed out: {shown} timed out after {}s",
            timeout.as_secs()
        )),
        // No such command: it will not get better by itself.
        Err(Error::Invalid(reason)) => Look::Failure(reason),
        Err(error) => Look::Unknown(error.to_string()),
    }
}

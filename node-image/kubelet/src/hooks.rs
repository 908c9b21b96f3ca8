//! `postStart` and `preStop`.

use std::time::Duration;

use k8s_openapi::api::core::v1::LifecycleHandler;
use kd_runtime::Runtime;

use crate::pod::Member;
use crate::probes::{Target, port_number};

/// How long an HTTP or TCP hook may take. Commands and sleeps end with the grace period.
const NETWORK_HOOK_MAX: Duration = Duration::from_secs(60);
/// What is read of an answer.
const ANSWER_BYTES_MAX: usize = 10 << 10;

/// Runs a hook of a container; the error is what the event says.
pub async fn run(
    runtime: &dyn Runtime,
    id: &str,
    member: &Member<'_>,
    handler: &LifecycleHandler,
    pod_ip: &str,
) -> Result<(), String> {
    if let Some(action) = &handler.exec {
        let command = action.command.clone().unwrap_or_default();
        let shown = command.join(" ");
        return match runtime.exec_sync(id, command, None).await {
            Ok(output) if output.code == 0 => Ok(()),
            Ok(output) => Err(format!(
                "command '{shown}' exited with {}: {}{}",
                output.code,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )),
            Err(error) => Err(format!("command '{shown}': {error}")),
        };
    }
    if let Some(action) = &handler.http_get {
        let target = Target::http(action, &member.container, pod_ip)?;
        let answer =
            crate::probes::http::get_text(&target, NETWORK_HOOK_MAX, ANSWER_BYTES_MAX).await;
        return answer.map(drop);
    }
    if let Some(action) = &handler.tcp_socket {
        let host = action.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(pod_ip);
        let port = port_number(&action.port, &member.container)?;
        return crate::probes::connect(host, port, NETWORK_HOOK_MAX).await.map(drop);
    }
    if let Some(action) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(action.seconds.max(0).unsigned_abs())).await;
        return Ok(());
    }
    Err("invalid handler: no action is given".into())
}

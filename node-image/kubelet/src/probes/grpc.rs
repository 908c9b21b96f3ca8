//! gRPC probes: `grpc.health.v1.Health/Check` over plain HTTP/2.

use std::time::Duration;

use super::Look;
use super::target::host_port;
use super::tcp;
use crate::grpc::{Channel, Code, Message};

/// `HealthCheckResponse.ServingStatus.SERVING`
const SERVING: i64 = 1;
const AGENT: &str = "kube-probe/1.36";
const METHOD: &str = "/grpc.health.v1.Health/Check";

/// Asks for the health of a service ("" for the server as a whole).
pub async fn look(host: &str, port: u16, service: &str, timeout: Duration) -> Look {
    let address = host_port(host, port);
    match tokio::time::timeout(timeout, check(host, port, service, timeout)).await {
        Err(_) => Look::Failure(format!(
            "timeout: failed to connect service \"{address}\" within {}s: context deadline exceeded",
            timeout.as_secs()
        )),
        Ok(Err(error)) => Look::Failure(format!("error: health rpc probe failed: {error}")),
        Ok(Ok(SERVING)) => Look::Success,
        Ok(Ok(status)) => Look::Failure(format!(
            "service unhealthy (responded with {:?})",
            ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"]
                .get(usize::try_from(status).unwrap_or(usize::MAX))
                .unwrap_or(&"UNKNOWN")
        )),
    }
}

async fn check(host: &str, port: u16, service: &str, timeout: Duration) -> Result<i64, String> {
    let stream = tcp::connect(host, port, timeout).await?;
    let channel = Channel::over(Box::new(stream), &host_port(host, port), AGENT).await;
    let mut channel = channel.map_err(|status| status.to_string())?;
    match channel.unary(METHOD, &Message::new().text(1, service)).await {
        Ok(answer) => Ok(answer.number(1)),
        Err(status) if status.is(Code::Unimplemented) => {
            Err("this server does not implement the grpc health protocol (grpc.health.v1.Health): \
                 "
            .to_owned()
                + &status.message)
        }
        Err(status) => Err(status.to_string()),
    }
}

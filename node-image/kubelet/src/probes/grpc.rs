//! gRPC probes: `grpc.health.v1.Health/Check` over plain HTTP/2.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::Look;
use super::target::host_port;
use super::tcp;

/// Largest answer read, bytes: a health answer has two.
const ANSWER_BYTES_MAX: usize = 4096;
/// `HealthCheckResponse.ServingStatus.SERVING`
const SERVING: u64 = 1;

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

async fn check(host: &str, port: u16, service: &str, timeout: Duration) -> Result<u64, String> {
    let stream = tcp::connect(host, port, timeout).await?;
    let io = TokioIo::new(stream);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    // Ends with the sender below.
    tokio::spawn(connection);
    let request =
        Request::post(format!("http://{}/grpc.health.v1.Health/Check", host_port(host, port)))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::USER_AGENT, "kube-probe/1.36")
            .header(header::TE, "trailers")
            .body(Full::new(framed(service)))
            .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let head = response.headers().get("grpc-status").cloned();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| error.to_string())?;
    let trailer = body.trailers().and_then(|t| t.get("grpc-status")).cloned();
    match trailer.or(head).as_ref().and_then(|code| code.to_str().ok()) {
        Some("0") => Ok(serving_status(&body.to_bytes())),
        Some("12") => Err("this server does not implement the grpc health protocol \
                           (grpc.health.v1.Health)"
            .into()),
        Some(code) => Err(format!("rpc error: code = {code}")),
        None => Err("the answer has no grpc-status".into()),
    }
}

/// `HealthCheckRequest { service }` in a gRPC frame.
fn framed(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(&message);
    frame.freeze()
}

/// Field 1 of `HealthCheckResponse`; absent is 0.
fn serving_status(frame: &[u8]) -> u64 {
    match frame.get(5..) {
        Some([0x08, value, ..]) => u64::from(*value),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        assert_eq!(framed("").as_ref(), [0, 0, 0, 0, 0]);
        assert_eq!(framed("a").as_ref(), [0, 0, 0, 0, 3, 0x0a, 1, b'a']);
        assert_eq!(framed(&"a".repeat(200))[5..8], [0x0a, 0xc8, 1]);
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 1]), SERVING);
        assert_eq!(serving_status(&[0, 0, 0, 0, 0]), 0);
        assert_eq!(serving_status(&[]), 0);
    }
}

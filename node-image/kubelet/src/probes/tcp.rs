//! TCP probes: does someone accept.

use std::time::Duration;

use tokio::net::TcpStream;

use super::Look;
use super::target::host_port;

/// Connects and hangs up.
pub async fn look(host: &str, port: u16, timeout: Duration) -> Look {
    match connect(host, port, timeout).await {
        Ok(_) => Look::Success,
        Err(error) => Look::Failure(error),
    }
}

/// Connects; errors are worded as Go's.
pub async fn connect(host: &str, port: u16, timeout: Duration) -> Result<TcpStream, String> {
    let address = host_port(host, port);
    match tokio::time::timeout(timeout, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("dial tcp {address}: connect: {}", reason(&error))),
        Err(_) => Err(format!("dial tcp {address}: i/o timeout")),
    }
}

fn reason(error: &std::io::Error) -> String {
    // "Connection refused (os error 111)" without its number and in lower case.
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

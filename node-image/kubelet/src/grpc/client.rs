//! Calls: one message out, one or several back.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use super::server::{HEAD_BYTES, framed};
use super::status::{Code, Status};
use super::wire::{Fields, Message};

/// Longest answer, bytes (gRPC's own default).
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// A connection of any kind; one type, so that the HTTP/2 code is there once.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// An open connection to a server. It ends with this.
pub struct Channel {
    sender: SendRequest<Full<Bytes>>,
    agent: &'static str,
    host: String,
}

impl Channel {
    /// A channel over a connection to `host`, told to be of `agent`.
    pub async fn over(
        connection: Box<dyn Connection>,
        host: &str,
        agent: &'static str,
    ) -> Result<Channel, Status> {
        let io = TokioIo::new(connection);
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), io).await.map_err(lost)?;
        // Ends with the sender.
        tokio::spawn(connection);
        Ok(Channel { sender, agent, host: host.to_owned() })
    }

    /// A channel to a unix socket.
    pub async fn unix(socket: &Path) -> Result<Channel, Status> {
        let stream = UnixStream::connect(socket).await.map_err(|error| {
            let text = format!(
                "connection error: desc = \"transport: Error while dialing: dial unix {}: \
                 connect: {}\"",
                socket.display(),
                reason(&error)
            );
            Status::new(Code::Unavailable, text)
        })?;
        Channel::over(Box::new(stream), "localhost", concat!("kd/", env!("CARGO_PKG_VERSION")))
            .await
    }

    /// Sends a request; its answers come one after the other.
    pub async fn send(&mut self, method: &str, request: &Message) -> Result<Answers, Status> {
        let request = Request::post(format!("http://{}{method}", self.host))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::USER_AGENT, self.agent)
            .header(header::TE, "trailers")
            .body(Full::new(framed(request)))
            .map_err(|error| Status::new(Code::Internal, error.to_string()))?;
        let response = self.sender.send_request(request).await.map_err(lost)?;
        Answers::of(response)
    }

    /// Sends a request that has one answer.
    pub async fn unary(&mut self, method: &str, request: &Message) -> Result<Fields, Status> {
        let mut answers = self.send(method, request).await?;
        let first = answers.next().await?;
        // The status comes after the message.
        while answers.next().await?.is_some() {}
        first.ok_or_else(|| Status::new(Code::Internal, "the server sent no message"))
    }
}

/// One call on a connection of its own, with a limit for all of it.
pub async fn call(
    socket: &Path,
    method: &str,
    request: &Message,
    timeout: Duration,
) -> Result<Fields, Status> {
    let calling = async { Channel::unix(socket).await?.unary(method, request).await };
    let ended = tokio::time::timeout(timeout, calling).await;
    ended.unwrap_or_else(|_| Err(Status::new(Code::DeadlineExceeded, "context deadline exceeded")))
}

/// Answers that are still to come.
pub struct Answers {
    body: Incoming,
    buffer: BytesMut,
    over: bool,
}

impl Answers {
    fn of(response: Response<Incoming>) -> Result<Answers, Status> {
        let code = response.status();
        if !code.is_success() {
            let text = format!("unexpected HTTP status code received from server: {code}");
            return Err(Status::new(Code::Unknown, text));
        }
        // Without a message the status comes at once.
        let over = ended(response.headers())?;
        Ok(Answers { body: response.into_body(), buffer: BytesMut::new(), over })
    }

    /// The next message; none after the last one.
    pub async fn next(&mut self) -> Result<Option<Fields>, Status> {
        loop {
            if let Some(message) = taken(&mut self.buffer)? {
                return Ok(Some(message));
            }
            if self.over {
                return Ok(None);
            }
            let Some(frame) = self.body.frame().await else {
                let text = "server closed the stream without sending trailers";
                return Err(Status::new(Code::Internal, text));
            };
            match frame.map_err(lost)?.into_data() {
                Ok(data) => self.buffer.extend_from_slice(&data),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    self.over = ended(&trailers)?;
                }
            }
        }
    }
}

/// Takes a whole message from the front of a buffer.
fn taken(buffer: &mut BytesMut) -> Result<Option<Fields>, Status> {
    let Some(head) = buffer.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if head[0] != 0 {
        let text = "grpc: compressed messages are not supported here";
        return Err(Status::new(Code::Unimplemented, text));
    }
    if length > MESSAGE_BYTES_MAX {
        let text =
            format!("grpc: received message larger than max ({length} vs. {MESSAGE_BYTES_MAX})");
        return Err(Status::new(Code::ResourceExhausted, text));
    }
    if buffer.len() < HEAD_BYTES + length {
        return Ok(None);
    }
    let whole = buffer.split_to(HEAD_BYTES + length).freeze().slice(HEAD_BYTES..);
    let fields = Fields::read(whole);
    fields.map(Some).map_err(|error| Status::new(Code::Internal, error.to_string()))
}

/// Whether headers or trailers tell that the call ended well.
fn ended(headers: &HeaderMap) -> Result<bool, Status> {
    let Some(code) = headers.get("grpc-status") else { return Ok(false) };
    let code = code.to_str().ok().and_then(|code| code.parse().ok());
    match code.unwrap_or(Code::Unknown as u32) {
        0 => Ok(true),
        code => {
            let message = headers.get("grpc-message").map(http::HeaderValue::as_bytes);
            let message = percent_encoding::percent_decode(message.unwrap_or_default());
            Err(Status { code, message: message.decode_utf8_lossy().into_owned() })
        }
    }
}

fn lost(error: hyper::Error) -> Status {
    let text = match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    Status::new(Code::Unavailable, format!("connection error: desc = \"{text}\""))
}

/// The system's words as other programs print them: small, without the number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_stream() {
        let mut buffer = BytesMut::new();
        buffer.extend_from_slice(&framed(&Message::new().text(1, "a")));
        buffer.extend_from_slice(&framed(&Message::new()));
        let second = buffer.split_off(7);
        assert_eq!(taken(&mut buffer).unwrap(), None, "half of it is not enough");
        buffer.unsplit(second);
        assert_eq!(taken(&mut buffer).unwrap().unwrap().text(1), "a");
        assert_eq!(taken(&mut buffer).unwrap(), Some(Fields::default()));
        assert_eq!(taken(&mut buffer).unwrap(), None);
        let refused = |bytes: &[u8]| taken(&mut BytesMut::from(bytes)).unwrap_err();
        assert!(refused(&[1, 0, 0, 0, 0]).is(Code::Unimplemented));
        assert!(refused(&[0, 0xff, 0, 0, 0]).is(Code::ResourceExhausted));
    }

    #[test]
    fn statuses() {
        let check = |status: Option<&str>, message: &str, expect: Result<bool, &str>| {
            let mut headers = HeaderMap::new();
            if let Some(status) = status {
                headers.insert("grpc-status", status.parse().unwrap());
            }
            headers.insert("grpc-message", message.parse().unwrap());
            let found = ended(&headers).map_err(|status| status.to_string());
            assert_eq!(found, expect.map_err(str::to_owned));
        };
        check(None, "", Ok(false));
        check(Some("0"), "", Ok(true));
        check(Some("5"), "no%20such", Err("rpc error: code = NotFound desc = no such"));
        check(Some("x"), "m", Err("rpc error: code = Unknown desc = m"));
    }
}

//! Answering calls on a unix socket.

use std::io;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tokio::net::UnixListener;

use super::status::{Code, Status};
use super::wire::{Fields, Message};
use crate::server::{ACCEPT_PAUSE, Body, serve_http};

/// What must not stand in a message as it is.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');
/// Longest request, bytes.
const REQUEST_BYTES_MAX: usize = 4 << 20;

/// What a call is answered with.
pub type Reply = Result<Message, Status>;

/// Before a message: whether it is compressed, and its length.
pub(super) const HEAD_BYTES: usize = 5;

/// Answers calls by the path of their method: `/v1beta1.Registration/Register`.
pub trait Service: Send + Sync + 'static {
    /// Answers one call.
    fn call<'a>(&'a self, method: &'a str, request: Fields) -> BoxFuture<'a, Reply>;
}

/// Serves a socket until dropped.
pub async fn serve(listener: UnixListener, service: Arc<dyn Service>) {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                let service = Arc::clone(&service);
                let handler = Arc::new(move |request: Request<Incoming>| {
                    let service = Arc::clone(&service);
                    Box::pin(async move { answer(request, service.as_ref()).await })
                        as BoxFuture<'static, Response<Body>>
                });
                tokio::spawn(serve_http(Box::new(connection), handler));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a plugin's connection");
                // Out of descriptors, most likely: others must end before one more can be taken.
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(request: Request<Incoming>, service: &dyn Service) -> Response<Body> {
    let method = request.uri().path().to_owned();
    let body = Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect().await;
    let request = match body {
        // Behind compression and length of the only message.
        Ok(body) => {
            let mut bytes = body.to_bytes();
            Fields::read(bytes.split_off(bytes.len().min(HEAD_BYTES)))
        }
        Err(error) => return reply(Err(Status::new(Code::ResourceExhausted, error.to_string()))),
    };
    let answered = match request {
        Ok(request) => service.call(&method, request).await,
        Err(error) => Err(Status::new(Code::Internal, error.to_string())),
    };
    reply(answered)
}

fn reply(answered: Reply) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    let body = match answered {
        Ok(message) => {
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            framed(&message)
        }
        Err(status) => {
            trailers.insert("grpc-status", HeaderValue::from(status.code));
            let text = utf8_percent_encode(&status.message, ESCAPED).to_string();
            if let Ok(text) = HeaderValue::from_str(&text) {
                trailers.insert("grpc-message", text);
            }
            Bytes::new()
        }
    };
    let never = |never: std::convert::Infallible| -> io::Error { match never {} };
    let body = Full::new(body).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(body.map_err(never).boxed_unsync());
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, grpc);
    response
}

/// A message behind its flag and length.
pub fn framed(message: &Message) -> Bytes {
    let encoded = message.encoded();
    let mut frame = BytesMut::with_capacity(HEAD_BYTES + encoded.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(encoded.len()).unwrap_or(u32::MAX));
    frame.put_slice(encoded);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::super::{Channel, call};
    use super::*;
    use std::time::Duration;

    struct Echo;

    impl Service for Echo {
        fn call<'a>(&'a self, method: &'a str, request: Fields) -> BoxFuture<'a, Reply> {
            Box::pin(async move {
                match method {
                    "/test.Echo/Say" => Ok(Message::new().text(1, &request.text(1))),
                    "/test.Echo/Wait" => std::future::pending().await,
                    _ => Err(Status::new(Code::Unimplemented, "100% unknown\nmethod é")),
                }
            })
        }
    }

    #[tokio::test]
    async fn calls_over_a_socket() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("a.sock");
        let gone = call(&socket, "/test.Echo/Say", &Message::new(), Duration::from_secs(5)).await;
        let expect = format!(
            "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error \
             while dialing: dial unix {}: connect: no such file or directory\"",
            socket.display()
        );
        assert_eq!(gone.unwrap_err().to_string(), expect);
        let listener = UnixListener::bind(&socket).unwrap();
        tokio::spawn(serve(listener, Arc::new(Echo)));
        let mut channel = Channel::unix(&socket).await.unwrap();
        let long = "x".repeat(100_000);
        for text in ["a", "", &long] {
            let said = channel.unary("/test.Echo/Say", &Message::new().text(1, text)).await;
            assert_eq!(said.unwrap().text(1), text);
        }
        let refused = channel.unary("/test.Echo/Other", &Message::new()).await.unwrap_err();
        assert_eq!(refused, Status::new(Code::Unimplemented, "100% unknown\nmethod é"));
        let wait = Duration::from_millis(20);
        let late = call(&socket, "/test.Echo/Wait", &Message::new(), wait).await.unwrap_err();
        assert!(late.is(Code::DeadlineExceeded));
    }
}

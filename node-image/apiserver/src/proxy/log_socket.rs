//! A log over a WebSocket, as browsers ask for one: each piece of it is a message, in bytes
//! (`binary.k8s.io`) or in base64 (`base64.binary.k8s.io`), and its end is the connection's.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use kd_api::Status;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::answer::{self, Answer, AnswerBody, RequestBody};

/// The form of the messages, and what a client calls it. One that names none gets bytes.
const PROTOCOLS: [(&str, Form); 3] =
    [("", Form::Bytes), ("binary.k8s.io", Form::Bytes), ("base64.binary.k8s.io", Form::Base64)];
/// A client that was told the end has this long to close as well.
const PARTING_MAX: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Bytes,
    Base64,
}

impl Form {
    fn message(self, bytes: Bytes) -> Message {
        match self {
            Form::Bytes => Message::Binary(bytes),
            Form::Base64 => Message::Text(BASE64.encode(bytes).into()),
        }
    }
}

/// A client that waits for a log on a WebSocket.
pub(super) struct LogSocket {
    upgrade: OnUpgrade,
    key: String,
    protocol: &'static str,
    form: Form,
}

impl LogSocket {
    /// Takes the wish for a WebSocket off a request: the kubelet is asked for the plain log. None
    /// when the request has no such wish.
    pub(super) fn take(request: &mut Request<RequestBody>) -> Result<Option<LogSocket>, Status> {
        let headers = request.headers();
        let wished = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
        if !wished.is_some_and(|name| name.eq_ignore_ascii_case("websocket")) {
            return Ok(None);
        }
        let (protocol, form) = protocol(headers)?;
        let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|value| value.to_str().ok());
        let key = key.ok_or_else(|| Status::bad_request("Sec-WebSocket-Key is missing"))?;
        let key = key.to_owned();
        let upgrade = hyper::upgrade::on(&mut *request);
        for name in [
            header::UPGRADE,
            header::SEC_WEBSOCKET_KEY,
            header::SEC_WEBSOCKET_VERSION,
            header::SEC_WEBSOCKET_PROTOCOL,
            header::SEC_WEBSOCKET_EXTENSIONS,
        ] {
            request.headers_mut().remove(name);
        }
        Ok(Some(LogSocket { upgrade, key, protocol, form }))
    }

    /// Goes over to the WebSocket, and sends `log` on it in a task.
    pub(super) fn answer(self, log: Answer) -> Answer {
        let LogSocket { upgrade, key, protocol, form } = self;
        let mut answer = answer::bytes(StatusCode::SWITCHING_PROTOCOLS.as_u16(), "", "");
        let headers = answer.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
        headers.extend(accept.ok().map(|value| (header::SEC_WEBSOCKET_ACCEPT, value)));
        if !protocol.is_empty() {
            let value = HeaderValue::from_static(protocol);
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value);
        }
        tokio::spawn(async move {
            // A client that is gone needs no log.
            if let Ok(connection) = upgrade.await {
                send(TokioIo::new(connection), form, log.into_body()).await;
            }
        });
        answer
    }
}

/// The first of the client's protocols that is known.
fn protocol(headers: &HeaderMap) -> Result<(&'static str, Form), Status> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    let offered: Vec<&str> = values.iter().flat_map(|v| v.split(',')).map(str::trim).collect();
    let [none, named @ ..] = PROTOCOLS;
    if offered.is_empty() {
        return Ok(none);
    }
    let known = |name: &&str| named.into_iter().find(|(known, _)| known == name);
    offered.iter().find_map(known).ok_or_else(|| {
        Status::bad_request(format!("none of the WebSocket protocols {offered:?} is supported"))
    })
}

/// Sends the log until it, or the client, ends.
async fn send<C: AsyncRead + AsyncWrite + Unpin>(connection: C, form: Form, mut log: AnswerBody) {
    let socket = WebSocketStream::from_raw_socket(connection, Role::Server, None).await;
    let (mut sink, mut stream) = socket.split();
    // Clients have nothing to say; what they send is read for the end that it may be.
    let gone = async { while let Some(Ok(_)) = stream.next().await {} };
    let copy = async {
        // An empty first message tells the client that the log is on its way.
        sink.send(form.message(Bytes::new())).await.ok()?;
        while let Some(Ok(frame)) = log.frame().await {
            if let Ok(bytes) = frame.into_data() {
                sink.send(form.message(bytes)).await.ok()?;
            }
        }
        sink.close().await.ok()
    };
    tokio::pin!(gone);
    tokio::select! {
        () = &mut gone => return,
        _ = copy => {}
    }
    let _ = timeout(PARTING_MAX, gone).await;
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;
    use crate::answer::BodyError;

    fn headers(protocols: &[&'static str]) -> HeaderMap {
        let values = protocols.iter().map(|text| HeaderValue::from_static(text));
        values.map(|value| (header::SEC_WEBSOCKET_PROTOCOL, value)).collect()
    }

    #[test]
    fn the_clients_first_known_protocol_is_chosen() {
        let check = |offered: &[&'static str], expect: Option<(&'static str, Form)>| {
            assert_eq!(protocol(&headers(offered)).ok(), expect, "{offered:?}");
        };
        check(&[], Some(("", Form::Bytes)));
        check(&["binary.k8s.io"], Some(("binary.k8s.io", Form::Bytes)));
        let base64 = Some(("base64.binary.k8s.io", Form::Base64));
        check(&["v9.k8s.io, base64.binary.k8s.io", "binary.k8s.io"], base64);
        check(&["v4.channel.k8s.io"], None);
    }

    #[test]
    fn only_web_sockets_are_taken() {
        let mut request = Request::new(answer::full(Bytes::new()));
        assert!(LogSocket::take(&mut request).unwrap().is_none());
        request.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("WebSocket"));
        assert_eq!(LogSocket::take(&mut request).err().unwrap().code, 400);
        request.headers_mut().insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("k"));
        assert!(LogSocket::take(&mut request).unwrap().is_some());
        assert!(request.headers().is_empty());
    }

    #[tokio::test]
    async fn a_log_is_messages_and_an_end() {
        for (form, expect) in [(Form::Bytes, &b"a\nb"[..]), (Form::Base64, &b"YQpi"[..])] {
            let (ours, theirs) = tokio::io::duplex(1 << 10);
            let log = answer::full(&b"a\nb"[..]);
            let sending = tokio::spawn(send(ours, form, log));
            let mut client = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
            let mut messages = Vec::new();
            while let Some(Ok(message)) = client.next().await {
                messages.push(message);
            }
            let [first, text, end] = messages.as_slice() else { panic!("{messages:?}") };
            assert_eq!((first.is_empty(), &text.clone().into_data()[..]), (true, expect));
            assert!(end.is_close());
            sending.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_client_that_leaves_ends_a_log_that_does_not() {
        let (ours, theirs) = tokio::io::duplex(1 << 10);
        let frames = futures::stream::pending::<Result<Frame<Bytes>, BodyError>>();
        let endless = StreamBody::new(frames).boxed_unsync();
        let sending = tokio::spawn(send(ours, Form::Bytes, endless));
        drop(theirs);
        sending.await.unwrap();
    }
}

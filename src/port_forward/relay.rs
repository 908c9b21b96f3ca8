//! Bytes between a local connection and a port of a pod: as they are, or over a WebSocket.
//!
//! There each binary message begins with the number of its channel: 0 is data, 1 is an error text.
//! The first message of each channel holds the port's number. The protocol has no half-close before
//! `v5.channel.k8s.io`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use super::listen::Forward;
use super::route::{Connected, Route};
use crate::ui::Ui;

const DATA: u8 = 0;
const ERROR: u8 = 1;
/// `v5.channel.k8s.io`: the channel named by the next byte is at its end.
const CLOSE: u8 = 255;
/// What is read from a local connection at once.
const READ_BYTES: usize = 128 * 1024;
/// How long a pod may be silent after the client has closed its side, when the pod cannot be told
/// of that.
const SILENCE: Duration = Duration::from_secs(10);

/// Accepts connections for ever and forwards each of them.
pub async fn serve(forward: Forward, route: Arc<Route>, ui: Ui) {
    let Forward { listener, local, remote } = forward;
    loop {
        let Ok((connection, _)) = listener.accept().await else {
            // Out of file descriptors: connections that end give some back.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let route = route.clone();
        ui.data(&format!("Handling connection for {}\n", local.port()));
        tokio::spawn(async move {
            if let Err(reason) = handle(connection, &route, remote).await {
                ui.warning(&format!("forwarding {} -> {remote}: {reason}", local.port()));
            }
        });
    }
}

/// When the pod was heard last.
struct Heard(Mutex<Instant>);

impl Heard {
    fn now() -> Heard {
        Heard(Mutex::new(Instant::now()))
    }

    fn again(&self) {
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

async fn handle(connection: TcpStream, route: &Route, port: u16) -> Result<(), String> {
    let _ = connection.set_nodelay(true);
    match route.connect(port).await? {
        Connected::Straight(pod) => kd_relay::join(connection, pod).await,
        Connected::Messages { socket, closes } => return relay(connection, *socket, closes).await,
    }
    Ok(())
}

async fn relay<S>(mut connection: TcpStream, socket: S, closes: bool) -> Result<(), String>
where
    S: Stream<Item = Result<Message, SocketError>> + Sink<Message, Error = SocketError> + Unpin,
{
    let (reader, writer) = connection.split();
    let (mut sink, messages) = socket.split();
    let heard = Heard::now();
    let result = {
        let upward = to_pod(reader, &mut sink, closes, &heard);
        let downward = from_pod(messages, writer, &heard);
        tokio::pin!(upward, downward);
        tokio::select! {
            result = &mut downward => result,
            result = &mut upward => result,
        }
    };
    let _ = sink.send(Message::Close(None)).await;
    result
}

/// Ends when the pod has sent everything.
async fn from_pod<M>(
    mut messages: M,
    mut connection: WriteHalf<'_>,
    heard: &Heard,
) -> Result<(), String>
where
    M: Stream<Item = Result<Message, SocketError>> + Unpin,
{
    let mut begun = [false; 2];
    while let Some(message) = messages.next().await {
        let bytes = match message {
            Ok(Message::Binary(bytes)) => bytes,
            Ok(Message::Close(_)) => break,
            Ok(_) => continue,
            Err(SocketError::ConnectionClosed) => break,
            Err(error) => return Err(format!("lost the connection to the pod: {error}")),
        };
        heard.again();
        let Some((&channel, payload)) = bytes.split_first() else { continue };
        match begun.get_mut(usize::from(channel)) {
            Some(begun @ false) => *begun = true,
            Some(_) if channel == ERROR => {
                return Err(String::from_utf8_lossy(payload).trim().to_owned());
            }
            // A local client that went away is no error of the forward.
            Some(_) if connection.write_all(payload).await.is_err() => return Ok(()),
            Some(_) => {}
            None if channel == CLOSE && payload.first() == Some(&DATA) => break,
            None => {}
        }
    }
    let _ = connection.shutdown().await;
    Ok(())
}

/// Ends when nothing more can come from the pod, which is some time after the client's end.
async fn to_pod<K>(
    mut connection: ReadHalf<'_>,
    sink: &mut K,
    closes: bool,
    heard: &Heard,
) -> Result<(), String>
where
    K: Sink<Message, Error = SocketError> + Unpin,
{
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ_BYTES + 1);
        buffer.put_u8(DATA);
        match connection.read_buf(&mut buffer).await {
            Ok(0) => break,
            Ok(_) => {}
            // A reset: nobody waits for an answer.
            Err(_) => return Ok(()),
        }
        let message = Message::Binary(buffer.split().freeze());
        sink.send(message)
            .await
            .map_err(|error| format!("lost the connection to the pod: {error}"))?;
    }
    if closes && sink.send(Message::Binary(Bytes::from_static(&[CLOSE, DATA]))).await.is_ok() {
        return std::future::pending().await;
    }
    heard.again();
    loop {
        let silent_at = heard.last() + SILENCE;
        if Instant::now() >= silent_at {
            return Ok(());
        }
        tokio::time::sleep_until(silent_at).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    type PodEnd = WebSocketStream<tokio::io::DuplexStream>;

    /// A local client, the pod's end of the WebSocket, and the relay between them.
    async fn start(
        closes: bool,
    ) -> (TcpStream, PodEnd, tokio::task::JoinHandle<Result<(), String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (connection, _) = listener.accept().await.unwrap();
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let socket = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
        let mut pod = WebSocketStream::from_raw_socket(theirs, Role::Server, None).await;
        for channel in [DATA, ERROR] {
            send(&mut pod, &[channel, 80, 0]).await;
        }
        let task = tokio::spawn(relay(connection, socket, closes));
        (client, pod, task)
    }

    async fn send(pod: &mut PodEnd, bytes: &[u8]) {
        pod.send(Message::Binary(Bytes::copy_from_slice(bytes))).await.unwrap();
    }

    async fn receive(pod: &mut PodEnd) -> Vec<u8> {
        match pod.next().await.unwrap().unwrap() {
            Message::Binary(bytes) => bytes.to_vec(),
            other => panic!("unexpected {other:?}"),
        }
    }

    #[tokio::test]
    async fn bytes_go_both_ways_and_the_pod_ends_it() {
        let (mut client, mut pod, task) = start(false).await;
        client.write_all(b"question").await.unwrap();
        assert_eq!(receive(&mut pod).await, b"\0question");
        send(&mut pod, b"\0ans").await;
        send(&mut pod, b"\0wer").await;
        pod.close(None).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
        assert_eq!(task.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn the_pods_error_is_told() {
        let (_client, mut pod, task) = start(false).await;
        send(&mut pod, b"\x01connection refused").await;
        assert_eq!(task.await.unwrap(), Err("connection refused".to_owned()));
    }

    #[tokio::test]
    async fn a_half_closed_client_gets_the_rest() {
        let (mut client, mut pod, task) = start(true).await;
        client.shutdown().await.unwrap();
        assert_eq!(receive(&mut pod).await, [CLOSE, DATA]);
        send(&mut pod, b"\0rest").await;
        send(&mut pod, &[CLOSE, DATA]).await;
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "rest");
        assert_eq!(task.await.unwrap(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_cannot_be_told_is_left_after_a_silence() {
        let (mut client, mut pod, task) = start(false).await;
        client.shutdown().await.unwrap();
        send(&mut pod, b"\0rest").await;
        assert_eq!(task.await.unwrap(), Ok(()));
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "rest");
    }
}

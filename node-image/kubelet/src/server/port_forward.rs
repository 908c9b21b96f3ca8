//! Port-forward: every TCP connection of the client is a pair of streams, one for data and one for
//! errors.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use kd_runtime::Runtime;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;

use super::lookup::{PodPath, Refusal};
use super::session::STREAM_CREATION_TIMEOUT;
use super::streams::{
    CHUNK_BYTES, Incoming, Outgoing, Received, SpdySession, Stream, WebSocketChannels,
    WebSocketProtocol, normal_close,
};
use crate::Kubelet;

/// The pod whose ports are reached.
#[derive(Clone)]
pub(super) struct Target {
    pub runtime: Arc<dyn Runtime>,
    pub sandbox_id: String,
    /// `namespace/name`, for messages.
    pub pod: String,
}

/// The pod that a path names, as a target.
pub(super) async fn target(pod: &PodPath, kubelet: &Arc<Kubelet>) -> Result<Target, Refusal> {
    let sandbox_id = pod.sandbox(kubelet).await?;
    let name = format!("{}/{}", pod.namespace, pod.name);
    Ok(Target { runtime: Arc::clone(kubelet.runtime()), sandbox_id, pod: name })
}

/// A pair whose other half never comes is forgotten after this time.
const PAIR_TIMEOUT: Duration = STREAM_CREATION_TIMEOUT;

/// The channels of the first port over WebSocket.
const DATA: u8 = 0;
const ERROR: u8 = 1;
/// Read from a pod at once when it has much to say: large messages wake fewer processes on the way.
const BULK_BYTES: usize = 1 << 20;

/// Serves a SPDY client until it is gone: pairs are told apart by `requestid`.
pub(super) async fn spdy(mut session: SpdySession, target: Target) {
    let mut halves: HashMap<String, (Stream, tokio::time::Instant)> = HashMap::new();
    let mut connections = JoinSet::new();
    loop {
        let oldest = halves.values().map(|(_, since)| *since + PAIR_TIMEOUT).min();
        let expired = async {
            match oldest {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            opened = session.accept() => {
                let Some(stream) = opened else { break };
                if let Some((data, error, port)) = pair(&mut halves, stream) {
                    connections.spawn(connect(target.clone(), port, data, error));
                }
            }
            () = expired => {
                let now = tokio::time::Instant::now();
                halves.retain(|_, (_, since)| *since + PAIR_TIMEOUT > now);
            }
            Some(_) = connections.join_next() => {}
        }
    }
    // The client opens no more; what it has open goes on until it is gone.
    while connections.join_next().await.is_some() {}
}

/// Completes a pair, or keeps the half.
fn pair(
    halves: &mut HashMap<String, (Stream, tokio::time::Instant)>,
    stream: Stream,
) -> Option<((Incoming, Outgoing), Outgoing, u16)> {
    let id = stream.headers.get("requestid").cloned().unwrap_or_default();
    let Some((other, since)) = halves.remove(&id) else {
        halves.insert(id, (stream, tokio::time::Instant::now()));
        return None;
    };
    let is_data = |s: &Stream| s.headers.get("streamtype").is_some_and(|kind| kind == "data");
    let (data, error) = match (is_data(&stream), is_data(&other)) {
        (true, false) => (stream, other),
        (false, true) => (other, stream),
        _ => {
            halves.insert(id, (other, since));
            return None;
        }
    };
    let port = data.headers.get("port").and_then(|port| port.parse().ok())?;
    Some(((data.incoming, data.outgoing), error.outgoing, port))
}

/// Serves a WebSocket client: channels 2n and 2n+1 are the data and errors of the n-th port, and
/// the first message on each is the port's number.
pub(super) async fn web_socket(mut channels: WebSocketChannels, ports: Vec<u16>, target: Target) {
    let mut connections = JoinSet::new();
    for (index, port) in ports.into_iter().enumerate() {
        let data_channel = (index * 2) as u8;
        let data = channels.outgoing(data_channel);
        let error = channels.outgoing(data_channel + 1);
        let number = Bytes::copy_from_slice(&port.to_le_bytes());
        let told = tokio::join!(data.send(number.clone()), error.send(number));
        let Some(incoming) = channels.incoming(data_channel) else { continue };
        if told.0.is_ok() && told.1.is_ok() {
            connections.spawn(connect(target.clone(), port, (incoming, data), error));
        }
    }
    while connections.join_next().await.is_some() {}
    channels.ending().end().await;
}

/// Serves a WebSocket client of one port, in one task and without a queue: this is how bulk data
/// comes.
pub(super) async fn one_port<C>(
    mut socket: WebSocketStream<C>,
    protocol: WebSocketProtocol,
    port: u16,
    target: Target,
) where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let [low, high] = port.to_le_bytes();
    for channel in [DATA, ERROR] {
        if socket.send(protocol.message(Bytes::from(vec![channel, low, high]))).await.is_err() {
            return;
        }
    }
    match target.runtime.dial(&target.sandbox_id, port).await {
        Ok(connection) => join(connection, &mut socket, protocol).await,
        Err(reason) => {
            let mut text = BytesMut::from(&[ERROR][..]);
            text.extend_from_slice(refused(&target, port, &reason).as_bytes());
            // A client that is gone needs no explanation.
            let _ = socket.send(protocol.message(text.freeze())).await;
        }
    }
    let _ = socket.close(Some(normal_close())).await;
}

/// Copies both ways until the pod has said everything, or the client is gone.
async fn join<C>(
    connection: TcpStream,
    socket: &mut WebSocketStream<C>,
    protocol: WebSocketProtocol,
) where
    C: AsyncRead + AsyncWrite + Unpin,
{
    // Forwarded bytes are somebody's packets: they go as they come.
    let _ = connection.set_nodelay(true);
    let (mut from_pod, mut to_pod) = connection.into_split();
    let (mut sink, mut messages) = socket.split();
    let upward = async {
        while let Some(Ok(message)) = messages.next().await {
            match protocol.received(message) {
                Received::Data(DATA, bytes) if to_pod.write_all(&bytes).await.is_err() => {
                    // The pod reads no more, but may still answer: only its own end ends this.
                    return std::future::pending().await;
                }
                Received::End(DATA) => drop(to_pod.shutdown().await),
                Received::Gone => return,
                _ => {}
            }
        }
    };
    let downward = async {
        let mut buffer = BytesMut::new();
        let mut expected = CHUNK_BYTES;
        loop {
            buffer.reserve(expected + 1);
            buffer.put_u8(DATA);
            match from_pod.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(read) => {
                    if read >= expected {
                        expected = BULK_BYTES.min(expected * 2);
                    }
                    if sink.send(protocol.message(buffer.split().freeze())).await.is_err() {
                        break;
                    }
                }
            }
        }
    };
    tokio::select! {
        () = upward => {}
        () = downward => {}
    }
}

/// What the client is told when the pod does not take its connection.
pub(super) fn refused(target: &Target, port: u16, reason: &kd_runtime::Error) -> String {
    format!("error forwarding port {port} to pod {}, uid : {reason}", target.pod)
}

async fn connect(target: Target, port: u16, data: (Incoming, Outgoing), error: Outgoing) {
    let (incoming, outgoing) = data;
    match target.runtime.dial(&target.sandbox_id, port).await {
        Ok(connection) => copy(connection, incoming, outgoing.clone()).await,
        Err(reason) => {
            // A client that is gone needs no explanation.
            let _ = error.send(refused(&target, port, &reason).into()).await;
        }
    }
    error.close().await;
    outgoing.close().await;
}

/// Copies both ways until the pod has said everything, or the client is gone.
async fn copy(connection: TcpStream, mut incoming: Incoming, outgoing: Outgoing) {
    // Forwarded bytes are somebody's packets: they go as they come.
    let _ = connection.set_nodelay(true);
    let (mut from_pod, mut to_pod) = connection.into_split();
    let gone = outgoing.clone();
    let upward = async {
        while let Some(bytes) = incoming.next().await {
            if to_pod.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = to_pod.shutdown().await;
        // The pod may still answer: only its own end ends the connection.
        std::future::pending::<()>().await;
    };
    let downward = async {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(CHUNK_BYTES);
            match from_pod.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {
                    if outgoing.send(buffer.split().freeze()).await.is_err() {
                        break;
                    }
                }
            }
        }
    };
    tokio::select! {
        () = upward => {}
        () = downward => {}
        () = gone.gone() => {}
    }
}

/// The `port` parameters of a WebSocket request.
pub(super) fn ports(values: &[String]) -> io::Result<Vec<u16>> {
    let bad = |text: &str| {
        let reason = format!("{text:?} is not a port number");
        io::Error::new(io::ErrorKind::InvalidInput, reason)
    };
    let one = |text: &str| match text.trim().parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(bad(text)),
    };
    let ports: io::Result<Vec<u16>> =
        values.iter().flat_map(|list| list.split(',')).map(one).collect();
    match ports {
        Ok(ports) if ports.is_empty() => Err(bad("")),
        // Two channels each, and a channel number is one byte below the close channel.
        Ok(ports) if ports.len() > 100 => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "more than 100 ports"))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_come_in_one_or_many_parameters() {
        let check = |values: &[&str], expected: Option<&[u16]>| {
            let values: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
            assert_eq!(ports(&values).ok().as_deref(), expected, "{values:?}");
        };
        check(&["80"], Some(&[80]));
        check(&["80,81", "82"], Some(&[80, 81, 82]));
        for bad in ["", "0", "65536", "http", "-1"] {
            check(&[bad], None);
        }
        check(&[], None);
    }
}

//! The channel protocols over WebSocket: the first byte of every message names its channel
//! (`channel.k8s.io`, `v4.channel.k8s.io`, `v5.channel.k8s.io` and their base64 forms).

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{Ending, Incoming, Outbound, Outgoing, QUEUE_FRAMES};

/// A subprotocol of `Sec-WebSocket-Protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct WebSocketProtocol {
    /// Its name.
    pub name: &'static str,
    /// Text messages in base64 with a digit for the channel.
    pub base64: bool,
    /// Ends of streams are told on channel 255.
    pub closes: bool,
    /// The status is a `meta/v1` Status, not a line of text.
    pub structured_status: bool,
}

const fn protocol(name: &'static str, base64: bool, version: u8) -> WebSocketProtocol {
    WebSocketProtocol { name, base64, closes: version >= 5, structured_status: version >= 4 }
}

/// Those that are understood, newest first.
const PROTOCOLS: [WebSocketProtocol; 6] = [
    protocol("v5.channel.k8s.io", false, 5),
    protocol("v4.channel.k8s.io", false, 4),
    protocol("v4.base64.channel.k8s.io", true, 4),
    protocol("channel.k8s.io", false, 1),
    protocol("base64.channel.k8s.io", true, 1),
    protocol("", false, 1),
];

/// The channel of close messages (KEP-4006).
const CLOSE_CHANNEL: u8 = 255;
/// A client that was told the end has this long to close as well.
const PARTING_MAX: Duration = Duration::from_secs(5);

impl WebSocketProtocol {
    /// The first of the client's protocols that is understood; a client that asks for none gets
    /// the oldest.
    pub(in super::super) fn choose(offered: &[&str]) -> Option<WebSocketProtocol> {
        if offered.is_empty() {
            return PROTOCOLS.last().copied();
        }
        let known = |name: &&str| PROTOCOLS.iter().find(|p| p.name == *name && !name.is_empty());
        offered.iter().find_map(known).copied()
    }

    /// The message of `bytes`, whose first byte is the channel.
    pub(in super::super) fn message(self, bytes: Bytes) -> Message {
        match bytes.split_first() {
            Some((channel, rest)) if self.base64 => {
                let digit = char::from(b'0' + channel);
                Message::Text(format!("{digit}{}", BASE64.encode(rest)).into())
            }
            _ => Message::Binary(bytes),
        }
    }

    fn encode(self, channel: u8, bytes: &[u8]) -> Message {
        let mut message = BytesMut::with_capacity(bytes.len() + 1);
        message.extend_from_slice(&[channel]);
        message.extend_from_slice(bytes);
        self.message(message.freeze())
    }

    /// What a message of the client says.
    pub(in super::super) fn received(self, message: Message) -> Received {
        if message.is_close() {
            return Received::Gone;
        }
        match self.decode(message) {
            Some((CLOSE_CHANNEL, which)) if self.closes => {
                which.first().map_or(Received::Nothing, |channel| Received::End(*channel))
            }
            Some((channel, bytes)) => Received::Data(channel, bytes),
            None => Received::Nothing,
        }
    }

    /// The channel and the bytes of a message; None for what is not one.
    fn decode(self, message: Message) -> Option<(u8, Bytes)> {
        match message {
            Message::Binary(mut bytes) if !bytes.is_empty() && !self.base64 => {
                let channel = bytes.split_to(1)[0];
                Some((channel, bytes))
            }
            Message::Text(text) if self.base64 => {
                let (digit, encoded) = text.as_bytes().split_first()?;
                let channel = digit.checked_sub(b'0')?;
                Some((channel, BASE64.decode(encoded).ok()?.into()))
            }
            Message::Text(text) if !text.is_empty() => {
                let mut bytes = Bytes::from(text);
                let channel = bytes.split_to(1)[0];
                Some((channel, bytes))
            }
            _ => None,
        }
    }
}

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Received {
    /// Bytes on a channel.
    Data(u8, Bytes),
    /// No more will come on this channel.
    End(u8),
    /// The other side closes the connection.
    Gone,
    /// Nothing for the streams.
    Nothing,
}

/// A close that is no accident: clients take one without a code for that.
pub(in super::super) fn normal_close() -> CloseFrame {
    CloseFrame { code: CloseCode::Normal, reason: "".into() }
}

/// The channels of one WebSocket.
pub(in super::super) struct WebSocketChannels {
    incoming: HashMap<u8, Incoming>,
    frames: mpsc::Sender<Outbound>,
}

impl WebSocketChannels {
    /// Starts serving; `reads` are the channels that the client sends on. What it sends on others
    /// is dropped.
    pub(in super::super) fn start<C>(
        socket: WebSocketStream<C>,
        protocol: WebSocketProtocol,
        reads: &[u8],
    ) -> WebSocketChannels
    where
        C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sink, stream) = socket.split();
        let (frames, to_write) = mpsc::channel(QUEUE_FRAMES);
        let mut sinks = HashMap::new();
        let mut incoming = HashMap::new();
        for channel in reads {
            let (sender, receiver) = mpsc::channel(QUEUE_FRAMES);
            sinks.insert(*channel, sender);
            incoming.insert(*channel, Incoming(receiver));
        }
        let (ended, mut end) = oneshot::channel();
        tokio::spawn(async move {
            let _ = ended.send(write(sink, protocol, to_write).await);
        });
        let to_client = frames.clone();
        tokio::spawn(async move {
            let mut stream = stream;
            let sink = tokio::select! {
                sink = &mut end => sink,
                () = read(&mut stream, protocol, sinks, to_client.clone()) => {
                    // No more will come: what waits to be said is said, and the writer ends, too.
                    let _ = to_client.send(Outbound::End).await;
                    end.await
                }
            };
            if let Some(socket) = sink.ok().and_then(|sink| stream.reunite(sink).ok()) {
                part(socket).await;
            }
        });
        WebSocketChannels { incoming, frames }
    }

    /// What the client sends on a channel; None when it was not asked for, or is taken already.
    pub(in super::super) fn incoming(&mut self, channel: u8) -> Option<Incoming> {
        self.incoming.remove(&channel)
    }

    /// What is sent to the client on a channel.
    pub(in super::super) fn outgoing(&self, channel: u8) -> Outgoing {
        Outgoing { stream: channel.into(), frames: self.frames.clone() }
    }

    /// Ends the connection in order.
    pub(in super::super) fn ending(&self) -> Ending {
        Ending(self.frames.clone())
    }
}

/// Ends the connection under a WebSocket that was closed. Some clients look at what they have received
/// only when more comes or the connection ends: they never answer a close that came with the rest.
async fn part<C: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<C>) {
    let _ = socket.get_mut().shutdown().await;
    let rest = async { while let Some(Ok(_)) = socket.next().await {} };
    let _ = timeout(PARTING_MAX, rest).await;
}

/// Says what is to be said, and the end; gives the connection back for its own end.
async fn write<C: AsyncRead + AsyncWrite + Unpin>(
    mut sink: SplitSink<WebSocketStream<C>, Message>,
    protocol: WebSocketProtocol,
    mut frames: mpsc::Receiver<Outbound>,
) -> SplitSink<WebSocketStream<C>, Message> {
    while let Some(frame) = frames.recv().await {
        let message = match frame {
            Outbound::Data { last: true, .. } | Outbound::Reply { .. } | Outbound::Ping { .. } => {
                continue;
            }
            Outbound::Data { stream, bytes, .. } => protocol.encode(stream as u8, &bytes),
            Outbound::Pong { bytes } => Message::Pong(bytes),
            Outbound::End => break,
        };
        let sent = match frames.is_empty() {
            true => sink.send(message).await,
            false => sink.feed(message).await,
        };
        if sent.is_err() {
            return sink;
        }
    }
    // The other side may be gone; there is nobody to tell.
    let _ = sink.send(Message::Close(Some(normal_close()))).await;
    sink
}

async fn read<C: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut SplitStream<WebSocketStream<C>>,
    protocol: WebSocketProtocol,
    mut sinks: HashMap<u8, mpsc::Sender<Bytes>>,
    frames: mpsc::Sender<Outbound>,
) {
    while let Some(Ok(message)) = stream.next().await {
        match message {
            Message::Ping(bytes) => {
                if frames.send(Outbound::Pong { bytes }).await.is_err() {
                    return;
                }
            }
            other => match protocol.received(other) {
                Received::Gone => return,
                Received::End(channel) => drop(sinks.remove(&channel)),
                Received::Data(channel, bytes) => {
                    if let Some(sink) = sinks.get(&channel) {
                        // Nobody reads it any more: dropped.
                        let _ = sink.send(bytes).await;
                    }
                }
                Received::Nothing => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_first_known_protocol_is_chosen() {
        let check = |offered: &[&str], expected: Option<&str>| {
            assert_eq!(WebSocketProtocol::choose(offered).map(|p| p.name), expected);
        };
        check(&["v5.channel.k8s.io", "v4.channel.k8s.io"], Some("v5.channel.k8s.io"));
        check(&["v9.channel.k8s.io", "channel.k8s.io"], Some("channel.k8s.io"));
        check(&[], Some(""));
        check(&["graphql"], None);
        check(&[""], None);
    }

    #[test]
    fn messages_round_trip() {
        for protocol in PROTOCOLS {
            let message = protocol.encode(3, b"status");
            let (channel, bytes) = protocol.decode(message).unwrap();
            assert_eq!((channel, &bytes[..]), (3, &b"status"[..]), "{}", protocol.name);
        }
        assert_eq!(PROTOCOLS[0].decode(Message::Binary(Bytes::new())), None);
        assert_eq!(PROTOCOLS[2].decode(Message::Text("0***".into())), None);
    }
}

//! Several byte streams over one upgraded connection: SPDY/3.1 and WebSocket, behind one form.

mod headers;
mod spdy;
mod tunnel;
mod websocket;

use std::collections::HashMap;
use std::io;

use bytes::Bytes;
use tokio::sync::mpsc;

pub(super) use spdy::SpdySession;
pub(super) use tunnel::Tunnel;
pub(super) use websocket::{Received, WebSocketChannels, WebSocketProtocol, normal_close};

/// Frames waiting to be written or read, per stream: what bounds the memory of a connection.
const QUEUE_FRAMES: usize = 16;
/// The largest piece written at once.
pub(super) const CHUNK_BYTES: usize = 64 << 10;

/// What the other side sends on one stream.
pub(super) struct Incoming(mpsc::Receiver<Bytes>);

impl Incoming {
    /// The next piece; None once the other side closed the stream or is gone.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        self.0.recv().await
    }
}

/// What is sent to the other side on one stream.
#[derive(Clone)]
pub(super) struct Outgoing {
    stream: u32,
    frames: mpsc::Sender<Outbound>,
}

/// One thing to write to the connection.
enum Outbound {
    Data {
        stream: u32,
        bytes: Bytes,
        last: bool,
    },
    /// SPDY: the other side's stream is accepted.
    Reply {
        stream: u32,
    },
    /// SPDY: the answer to a ping.
    Ping {
        id: u32,
    },
    /// WebSocket: the answer to a ping.
    Pong {
        bytes: Bytes,
    },
    /// Everything was said.
    End,
}

impl Outgoing {
    /// Sends bytes; waits while the connection is slower than its source.
    pub(super) async fn send(&self, bytes: Bytes) -> io::Result<()> {
        self.push(bytes, false).await
    }

    /// Closes this direction of the stream. A connection that is gone is closed, too.
    pub(super) async fn close(&self) {
        let _ = self.push(Bytes::new(), true).await;
    }

    /// Waits until the connection is gone.
    pub(super) async fn gone(&self) {
        self.frames.closed().await;
    }

    async fn push(&self, bytes: Bytes, last: bool) -> io::Result<()> {
        let frame = Outbound::Data { stream: self.stream, bytes, last };
        self.frames.send(frame).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// One stream that the other side opened.
pub(super) struct Stream {
    /// Its headers, lower-case names.
    pub headers: HashMap<String, String>,
    pub incoming: Incoming,
    pub outgoing: Outgoing,
}

/// Ends the connection once all that was sent before is written.
#[derive(Clone)]
pub(super) struct Ending(mpsc::Sender<Outbound>);

impl Ending {
    pub(super) async fn end(&self) {
        // No receiver: it ended already.
        let _ = self.0.send(Outbound::End).await;
    }
}

//! The server's side of SPDY/3.1 as Kubernetes uses it: the client opens streams, both sides send
//! data. No flow control: like every implementation in the field, it relies on TCP's.

use std::collections::HashMap;
use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::headers::{HeaderReader, HeaderWriter, bad};
use super::{CHUNK_BYTES, Ending, Incoming, Outbound, Outgoing, QUEUE_FRAMES, Stream};

const VERSION: u16 = 3;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const FLAG_FIN: u8 = 1;
/// A control frame may not be larger.
const CONTROL_BYTES_MAX: usize = 64 << 10;
/// Streams open at once on one connection.
const STREAMS_MAX: usize = 1000;

/// A connection; its tasks end with the connection itself.
pub(in super::super) struct SpdySession {
    opened: mpsc::Receiver<Stream>,
    frames: mpsc::Sender<Outbound>,
}

impl SpdySession {
    /// Starts serving an upgraded connection.
    pub(in super::super) fn start<C>(connection: C) -> io::Result<SpdySession>
    where
        C: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (reader, writer) = tokio::io::split(connection);
        let (frames, to_write) = mpsc::channel(QUEUE_FRAMES);
        let (open, opened) = mpsc::channel(QUEUE_FRAMES);
        let headers = HeaderWriter::new()?;
        tokio::spawn(async move {
            // The other side is gone: its streams end, which is what their users see.
            let _ = write(writer, headers, to_write).await;
        });
        let session_frames = frames.clone();
        tokio::spawn(async move {
            let mut reading = Reading { streams: HashMap::new(), frames, open };
            let _ = reading.run(reader).await;
            // No more will come: what waits to be said is said, and the writer ends, too.
            let _ = reading.send(Outbound::End).await;
        });
        Ok(SpdySession { opened, frames: session_frames })
    }

    /// The next stream that the client opens; None once it is gone or opens no more.
    pub(in super::super) async fn accept(&mut self) -> Option<Stream> {
        self.opened.recv().await
    }

    /// Ends the connection in order.
    pub(in super::super) fn ending(&self) -> Ending {
        Ending(self.frames.clone())
    }
}

async fn write<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut headers: HeaderWriter,
    mut frames: mpsc::Receiver<Outbound>,
) -> io::Result<()> {
    while let Some(frame) = frames.recv().await {
        match frame {
            Outbound::Data { stream, bytes, last } => {
                write_data(&mut writer, stream, &bytes, last).await?;
            }
            Outbound::Reply { stream } => {
                let block = headers.empty()?;
                let mut body = stream.to_be_bytes().to_vec();
                body.extend_from_slice(&block);
                writer.write_all(&control(SYN_REPLY, &body)).await?;
            }
            Outbound::Ping { id } => writer.write_all(&control(PING, &id.to_be_bytes())).await?,
            Outbound::Pong { .. } => {}
            Outbound::End => {
                writer.write_all(&control(GOAWAY, &[0; 8])).await?;
                break;
            }
        }
        if frames.is_empty() {
            writer.flush().await?;
        }
    }
    writer.shutdown().await
}

async fn write_data<W: AsyncWrite + Unpin>(
    writer: &mut W,
    stream: u32,
    bytes: &Bytes,
    last: bool,
) -> io::Result<()> {
    let mut header = [0; 8];
    header[..4].copy_from_slice(&stream.to_be_bytes());
    header[4..].copy_from_slice(&(bytes.len() as u32 & 0x00ff_ffff).to_be_bytes());
    header[4] = if last { FLAG_FIN } else { 0 };
    writer.write_all(&header).await?;
    writer.write_all(bytes).await
}

fn control(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = (0x8000 | VERSION).to_be_bytes().to_vec();
    frame.extend_from_slice(&kind.to_be_bytes());
    // Our control frames are a few bytes: the length fits its 24 bits, and the flags are zero.
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

/// The reading half.
struct Reading {
    streams: HashMap<u32, mpsc::Sender<Bytes>>,
    frames: mpsc::Sender<Outbound>,
    open: mpsc::Sender<Stream>,
}

impl Reading {
    async fn run<R: AsyncRead + Unpin>(&mut self, mut reader: R) -> io::Result<()> {
        let mut headers = HeaderReader::new();
        let mut buffer = BytesMut::with_capacity(CHUNK_BYTES);
        loop {
            while buffer.len() < 8 {
                if reader.read_buf(&mut buffer).await? == 0 {
                    return Ok(());
                }
            }
            let head = u32::from_be_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]);
            let flags = buffer[4];
            let length = u32::from_be_bytes([0, buffer[5], buffer[6], buffer[7]]) as usize;
            buffer.advance(8);
            if head & 0x8000_0000 == 0 {
                self.data(&mut reader, &mut buffer, head, length, flags).await?;
                continue;
            }
            if length > CONTROL_BYTES_MAX {
                return Err(bad("a control frame is too large"));
            }
            while buffer.len() < length {
                if reader.read_buf(&mut buffer).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let body = buffer.split_to(length).freeze();
            if !self.control((head & 0xffff) as u16, flags, body, &mut headers).await? {
                return Ok(());
            }
        }
    }

    /// Hands data on as it comes: a frame of up to 16 MiB is never held whole.
    async fn data<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut R,
        buffer: &mut BytesMut,
        stream: u32,
        length: usize,
        flags: u8,
    ) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            if buffer.is_empty() {
                buffer.reserve(CHUNK_BYTES);
                if reader.read_buf(buffer).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let piece = buffer.split_to(left.min(buffer.len())).freeze();
            left -= piece.len();
            if let Some(sink) = self.streams.get(&stream) {
                // Nobody reads it any more: the bytes are dropped, the stream stays in step.
                let _ = sink.send(piece).await;
            }
        }
        if flags & FLAG_FIN != 0 {
            self.streams.remove(&stream);
        }
        Ok(())
    }

    /// False once the client opens no more streams and has none.
    async fn control(
        &mut self,
        kind: u16,
        flags: u8,
        body: Bytes,
        headers: &mut HeaderReader,
    ) -> io::Result<bool> {
        match kind {
            SYN_STREAM => self.open(flags, &body, headers).await?,
            RST_STREAM => {
                self.streams.remove(&stream_id(&body)?);
            }
            PING => {
                let id = stream_id(&body)?;
                // Odd ids are the client's; even ones would be answers to pings of ours.
                if id % 2 == 1 {
                    self.send(Outbound::Ping { id }).await?;
                }
            }
            // The compression state must see every block.
            HEADERS | SYN_REPLY => {
                headers.read(body.get(4..).unwrap_or_default())?;
            }
            GOAWAY => return Ok(!self.streams.is_empty()),
            _ => {}
        }
        Ok(true)
    }

    async fn open(
        &mut self,
        flags: u8,
        body: &Bytes,
        headers: &mut HeaderReader,
    ) -> io::Result<()> {
        let id = stream_id(body)?;
        let block = body.get(10..).ok_or_else(|| bad("a short SYN_STREAM"))?;
        let headers = headers.read(block)?;
        self.streams.retain(|_, sink| !sink.is_closed());
        if self.streams.len() >= STREAMS_MAX {
            return Err(bad("too many streams"));
        }
        let (sink, incoming) = mpsc::channel(QUEUE_FRAMES);
        if flags & FLAG_FIN == 0 {
            self.streams.insert(id, sink);
        }
        self.send(Outbound::Reply { stream: id }).await?;
        let outgoing = Outgoing { stream: id, frames: self.frames.clone() };
        let stream = Stream { headers, incoming: Incoming(incoming), outgoing };
        // Nobody accepts any more: the connection is about to end.
        let _ = self.open.send(stream).await;
        Ok(())
    }

    async fn send(&self, frame: Outbound) -> io::Result<()> {
        self.frames.send(frame).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

fn stream_id(body: &[u8]) -> io::Result<u32> {
    let bytes = body.first_chunk::<4>().ok_or_else(|| bad("a short control frame"))?;
    Ok(u32::from_be_bytes(*bytes) & 0x7fff_ffff)
}

#[cfg(test)]
mod tests {
    use super::super::headers::tests::Client;
    use super::*;

    fn syn_stream(id: u32, client: &mut Client, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut body = id.to_be_bytes().to_vec();
        body.extend_from_slice(&[0; 6]);
        body.extend(client.block(headers));
        control(SYN_STREAM, &body)
    }

    #[tokio::test]
    async fn a_stream_carries_bytes_both_ways() {
        let (mut near, far) = tokio::io::duplex(1 << 20);
        let mut session = SpdySession::start(far).unwrap();
        let syn = syn_stream(1, &mut Client::new(), &[("streamType", "stdin")]);
        near.write_all(&syn).await.unwrap();
        write_data(&mut near, 1, &Bytes::from_static(b"hello"), false).await.unwrap();
        write_data(&mut near, 1, &Bytes::new(), true).await.unwrap();
        let mut stream = session.accept().await.unwrap();
        assert_eq!(stream.headers["streamtype"], "stdin");
        assert_eq!(stream.incoming.next().await.unwrap(), "hello");
        assert_eq!(stream.incoming.next().await, None);

        stream.outgoing.send(Bytes::from_static(b"bye")).await.unwrap();
        stream.outgoing.close().await;
        session.ending().end().await;
        let mut answer = Vec::new();
        near.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer[..4], [0x80, 3, 0, 2], "first the stream is accepted");
        let text = answer.windows(3).position(|window| window == b"bye").unwrap();
        assert_eq!(answer[text - 8..text], [0, 0, 0, 1, 0, 0, 0, 3]);
        assert_eq!(answer[text + 3..text + 11], [0, 0, 0, 1, FLAG_FIN, 0, 0, 0]);
    }

    #[tokio::test]
    async fn pings_are_answered_and_garbage_ends_the_session() {
        let (mut near, far) = tokio::io::duplex(1 << 16);
        let mut session = SpdySession::start(far).unwrap();
        near.write_all(&control(PING, &7u32.to_be_bytes())).await.unwrap();
        let mut answer = [0; 12];
        near.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 7]);
        near.write_all(&control(SYN_STREAM, b"short")).await.unwrap();
        assert!(session.accept().await.is_none());
    }
}

//! Exec and attach: a runtime session joined with the client's streams.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kd_runtime::Session;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::streams::{
    CHUNK_BYTES, Ending, Incoming, Outgoing, SpdySession, WebSocketChannels, WebSocketProtocol,
};

/// Which streams a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

/// A client has this long to open the streams that it asked for (upstream's
/// `DefaultStreamCreationTimeout`).
pub(super) const STREAM_CREATION_TIMEOUT: Duration = Duration::from_secs(30);

/// The client's side of a session.
pub(super) struct ClientStreams {
    stdin: Option<Incoming>,
    stdout: Option<Outgoing>,
    stderr: Option<Outgoing>,
    resize: Option<Incoming>,
    status: Outgoing,
    structured_status: bool,
    ending: Ending,
}

impl ClientStreams {
    /// Collects the streams that a SPDY client opens, in whatever order. Protocol versions before 4
    /// have a plain-text status; version 1 and 2 know no terminal sizes.
    pub(super) async fn spdy(
        mut session: SpdySession,
        wanted: Wanted,
        version: u8,
    ) -> io::Result<ClientStreams> {
        let resizes = wanted.tty && version >= 3;
        let (mut stdin, mut stdout, mut stderr, mut resize, mut status) =
            (None, None, None, None, None);
        let expected = 1 + [wanted.stdin, wanted.stdout, wanted.stderr && !wanted.tty, resizes]
            .iter()
            .filter(|wanted| **wanted)
            .count();
        for _ in 0..expected {
            let stream = tokio::time::timeout(STREAM_CREATION_TIMEOUT, session.accept())
                .await
                .map_err(|_| {
                    io::Error::new(io::ErrorKind::TimedOut, "the client opened no stream")
                })?
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            match stream.headers.get("streamtype").map(String::as_str) {
                Some("stdin") => stdin = Some(stream.incoming),
                Some("stdout") => stdout = Some(stream.outgoing),
                Some("stderr") => stderr = Some(stream.outgoing),
                Some("resize") => resize = Some(stream.incoming),
                Some("error") => status = Some(stream.outgoing),
                other => {
                    let reason = format!("unexpected stream type {other:?}");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
                }
            }
        }
        let status = status.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "the client opened no error stream")
        })?;
        let structured_status = version >= 4;
        let ending = session.ending();
        Ok(ClientStreams { stdin, stdout, stderr, resize, status, structured_status, ending })
    }

    /// The fixed channels of a WebSocket client.
    pub(super) async fn web_socket(
        mut channels: WebSocketChannels,
        protocol: WebSocketProtocol,
        wanted: Wanted,
    ) -> io::Result<ClientStreams> {
        let [stdin, stdout, stderr, status, resize] = CHANNELS;
        let first = if wanted.stdout { stdout } else { status };
        // An empty first message tells the client that the session is on.
        channels.outgoing(first).send(Bytes::new()).await?;
        Ok(ClientStreams {
            stdin: channels.incoming(stdin).filter(|_| wanted.stdin),
            stdout: wanted.stdout.then(|| channels.outgoing(stdout)),
            stderr: (wanted.stderr && !wanted.tty).then(|| channels.outgoing(stderr)),
            resize: channels.incoming(resize).filter(|_| wanted.tty),
            status: channels.outgoing(status),
            structured_status: protocol.structured_status,
            ending: channels.ending(),
        })
    }

    /// Tells the client why nothing runs, and ends.
    pub(super) async fn refuse(self, error: &kd_runtime::Error) {
        self.tell(Err(error)).await;
    }

    async fn tell(&self, outcome: Result<i32, &kd_runtime::Error>) {
        let text = match self.structured_status {
            true => status(outcome).to_string(),
            false => match outcome {
                Ok(0) => String::new(),
                Ok(code) => exit_text(code),
                Err(error) => error.to_string(),
            },
        };
        if !text.is_empty() {
            // A client that is gone needs no status.
            let _ = self.status.send(text.into()).await;
        }
        self.status.close().await;
        self.ending.end().await;
    }
}

/// stdin, stdout, stderr, error, resize: the channel numbers of the remote command protocol.
pub(super) const CHANNELS: [u8; 5] = [0, 1, 2, 3, 4];

/// What the end of a session tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// How the process ended.
    WithProcess,
    /// That there is no more: how an attached container ended is in its status.
    WithStreams,
}

/// Joins the two until the process ends or the client is gone.
pub(super) async fn join(session: Session, mut client: ClientStreams, ends: Ends) {
    let Session { stdin, stdout, stderr, resize, exit } = session;
    let input = spawn_input(client.stdin.take(), stdin);
    let sizes = spawn_sizes(client.resize.take(), resize);
    let outcome = async {
        tokio::try_join!(
            forward(stdout, client.stdout.as_ref()),
            forward(stderr, client.stderr.as_ref())
        )?;
        let lost = || kd_runtime::Error::State("the container's session was lost".into());
        io::Result::Ok(exit.await.unwrap_or_else(|_| Err(lost())))
    };
    tokio::select! {
        outcome = outcome => {
            // An error here is the client's connection: there is nobody to tell.
            if let Ok(outcome) = outcome {
                let outcome = match ends {
                    Ends::WithProcess => outcome,
                    Ends::WithStreams => outcome.map(|_| 0),
                };
                client.tell(outcome.as_ref().copied()).await;
            }
        }
        // Leaving this function drops the session, which detaches.
        () = client.status.gone() => {}
    }
    input.abort();
    sizes.abort();
}

fn spawn_input(
    from: Option<Incoming>,
    to: Option<Box<dyn AsyncWrite + Send + Unpin>>,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let (Some(mut from), Some(mut to)) = (from, to) else { return };
        while let Some(bytes) = from.next().await {
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // The process may be gone: then its stdin is closed anyway.
        let _ = to.shutdown().await;
    })
}

fn spawn_sizes(
    from: Option<Incoming>,
    to: mpsc::Sender<(u16, u16)>,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let Some(mut from) = from else { return };
        let mut text = Vec::new();
        while let Some(bytes) = from.next().await {
            text.extend_from_slice(&bytes);
            for size in take_sizes(&mut text) {
                if to.send(size).await.is_err() {
                    return;
                }
            }
        }
    })
}

/// A size is a small JSON object; a client that sends more without completing one is confused.
const SIZE_BYTES_MAX: usize = 1024;

/// Takes the complete `{"Width":80,"Height":24}` objects off the text.
fn take_sizes(text: &mut Vec<u8>) -> Vec<(u16, u16)> {
    #[derive(serde::Deserialize)]
    struct Size {
        #[serde(rename = "Width")]
        width: u16,
        #[serde(rename = "Height")]
        height: u16,
    }
    let mut objects = serde_json::Deserializer::from_slice(text).into_iter::<Size>();
    let mut sizes = Vec::new();
    while let Some(Ok(size)) = objects.next() {
        sizes.push((size.width, size.height));
    }
    let used = objects.byte_offset();
    text.drain(..used.min(text.len()));
    if text.len() > SIZE_BYTES_MAX {
        text.clear();
    }
    sizes
}

/// Copies to the end. An error means that the client is gone.
async fn forward(
    from: Option<Box<dyn AsyncRead + Send + Unpin>>,
    to: Option<&Outgoing>,
) -> io::Result<()> {
    let (Some(mut from), Some(to)) = (from, to) else { return Ok(()) };
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK_BYTES);
        // A terminal whose process ended reads as an error; that is its end.
        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(_) => to.send(buffer.split().freeze()).await?,
        }
    }
    to.close().await;
    Ok(())
}

fn exit_text(code: i32) -> String {
    format!("command terminated with non-zero exit code: exit status {code}")
}

/// The `meta/v1` Status that ends a session (protocol version 4 and later).
fn status(outcome: Result<i32, &kd_runtime::Error>) -> serde_json::Value {
    match outcome {
        Ok(0) => json!({"metadata": {}, "status": "Success"}),
        Ok(code) => json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": exit_text(code),
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        Err(error) => {
            let text = format!("error executing command in container: {error}");
            json!({
                "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
                "message": format!("Internal error occurred: {text}"),
                "details": {"causes": [{"message": text}]},
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_taken_as_they_complete() {
        let mut text = br#"{"Width":80,"Height":24}{"Width":1"#.to_vec();
        assert_eq!(take_sizes(&mut text), [(80, 24)]);
        text.extend_from_slice(br#"20,"Height":40}"#);
        assert_eq!(take_sizes(&mut text), [(120, 40)]);
        assert!(text.is_empty());
    }

    #[test]
    fn statuses_say_what_kubectl_reads() {
        assert_eq!(status(Ok(0))["status"], "Success");
        let failed = status(Ok(3));
        assert_eq!(failed["reason"], "NonZeroExitCode");
        assert_eq!(failed["details"]["causes"][0]["message"], "3");
        let broken = status(Err(&kd_runtime::Error::State("gone".into())));
        assert_eq!(broken["code"], 500);
    }
}

//! Bodies on their way: counted, copied for mirrors, and giving their connection back at their end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::pool::Lease;

/// What goes wrong with a body.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// Any body.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Frames of a body that a mirror may be behind; one that is more behind loses the rest.
const MIRROR_FRAMES_MAX: usize = 64;

/// Nothing.
pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A text.
pub(crate) fn text(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A client's body on its way to a backend.
pub(crate) struct Upload {
    inner: Incoming,
    moved: Arc<AtomicBool>,
    mirrors: Vec<mpsc::Sender<Frame<Bytes>>>,
}

impl Upload {
    /// Tells with `moved` that something of the body was sent.
    pub(crate) fn new(inner: Incoming, moved: Arc<AtomicBool>) -> Upload {
        Upload { inner, moved, mirrors: Vec::new() }
    }

    /// A copy of the body.
    pub(crate) fn mirror(&mut self) -> Body {
        if self.inner.is_end_stream() {
            return empty();
        }
        let (sender, receiver) = mpsc::channel(MIRROR_FRAMES_MAX);
        self.mirrors.push(sender);
        StreamBody::new(Received { receiver }).boxed_unsync()
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        self.moved.store(true, Ordering::Relaxed);
        match frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.mirrors
                        .retain(|mirror| mirror.try_send(Frame::data(data.clone())).is_ok());
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            None => {
                self.mirrors.clear();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What a mirror is sent.
struct Received {
    receiver: mpsc::Receiver<Frame<Bytes>>,
}

impl Stream for Received {
    type Item = Result<Frame<Bytes>, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

/// A backend's body on its way to the client.
pub(crate) struct Download {
    inner: Incoming,
    /// Given back when the body is complete; lost with its connection when it is not.
    lease: Option<Lease>,
}

impl Download {
    pub(crate) fn new(inner: Incoming, lease: Option<Lease>) -> Download {
        let mut download = Download { inner, lease };
        download.release_at_end();
        download
    }

    fn release_at_end(&mut self) {
        if self.inner.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.give_back();
        }
    }
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Err(_)) => self.lease = None,
            None => {
                if let Some(lease) = self.lease.take() {
                    lease.give_back();
                }
            }
            Some(Ok(_)) => self.release_at_end(),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

//! A blob as a stream of pieces. A connection that breaks is made anew, and the rest is asked for.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::Stream;
use reqwest::{Response, StatusCode};

use super::super::chain;
use super::super::manifest::Descriptor;
use super::Repository;
use super::session::Refusal;
use crate::{Error, ImageError};

/// Broken connections in a row, without a byte between them.
const FAILURES_MAX: u32 = 5;
/// Broken connections of one blob.
const CONNECTIONS_MAX: u32 = 100;
/// The pause after a first failure; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// How often the log tells how far a download is.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Where the error of a download is left: who reads the pieces only sees that they end.
#[derive(Clone, Default)]
pub(in super::super) struct Failure(Arc<Mutex<Option<Error>>>);

impl Failure {
    /// The error, if there is one.
    pub(in super::super) fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, error: Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

/// A blob on its way.
pub(in super::super) struct Download {
    repository: Arc<Repository>,
    digest: String,
    size: u64,
    offset: u64,
    /// Bytes that come once more, because the server began at the start.
    repeated: u64,
    answer: Option<Response>,
    failures: u32,
    connections: u32,
    told: Instant,
    failure: Failure,
}

impl Download {
    /// The blob that a manifest points to.
    pub(in super::super) fn new(repository: Arc<Repository>, blob: &Descriptor) -> Download {
        Download {
            repository,
            digest: blob.digest.clone(),
            size: blob.size,
            offset: 0,
            repeated: 0,
            answer: None,
            failures: 0,
            connections: 0,
            told: Instant::now(),
            failure: Failure::default(),
        }
    }

    /// The pieces, and where their error is left.
    pub(in super::super) fn pieces(
        self,
    ) -> (impl Stream<Item = io::Result<Bytes>> + Send + 'static, Failure) {
        let failure = self.failure.clone();
        let pieces = futures::stream::unfold(Some(self), |download| async {
            let mut download = download?;
            match download.piece().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(download))),
                Ok(None) => None,
                Err(error) => {
                    let ended = io::Error::other(error.to_string());
                    download.failure.set(error);
                    Some((Err(ended), None))
                }
            }
        });
        (pieces, failure)
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.offset >= self.size {
                return Ok(None);
            }
            let broken = match self.receive().await {
                Ok(Some(piece)) => return Ok(Some(self.count(piece))),
                Ok(None) => continue,
                Err(broken) => broken,
            };
            self.answer = None;
            self.failures += 1;
            if self.failures >= FAILURES_MAX
                || self.connections >= CONNECTIONS_MAX
                || !broken.passes
            {
                return Err(broken.error);
            }
            tracing::warn!(
                blob = %self.digest, offset = self.offset, size = self.size, error = %broken.error,
                "a download broke; its rest is asked for"
            );
            tokio::time::sleep(PAUSE_MIN * 2u32.pow(self.failures - 1)).await;
        }
    }

    /// The next piece; none when all of it was there before.
    async fn receive(&mut self) -> Result<Option<Bytes>, Broken> {
        if self.answer.is_none() {
            self.connect().await?;
        }
        let Some(answer) = &mut self.answer else { return Ok(None) };
        let came = answer.chunk().await.map_err(|error| chain(&error.without_url()));
        let ended = || format!("it ends after {} of {} bytes", self.offset, self.size);
        let piece = came.and_then(|piece| piece.ok_or_else(ended));
        let mut piece = piece.map_err(|reason| self.broken(reason))?;
        let repeated = self.repeated.min(piece.len() as u64);
        self.repeated -= repeated;
        let piece = piece.split_off(repeated as usize);
        Ok((!piece.is_empty()).then_some(piece))
    }

    async fn connect(&mut self) -> Result<(), Broken> {
        self.connections += 1;
        let asked = self.repository.blob(&self.digest, self.offset).await;
        let answer = asked.map_err(|refusals| Broken {
            passes: refusals.iter().any(|(_, r)| matches!(r, Refusal::Unavailable(_))),
            error: self.repository.failure("failed to copy a layer of", &refusals),
        })?;
        let resumed = answer.status() == StatusCode::PARTIAL_CONTENT;
        self.repeated = if resumed { 0 } else { self.offset };
        self.answer = Some(answer);
        Ok(())
    }

    fn broken(&self, reason: String) -> Broken {
        let reference = self.repository.image.whole();
        let reason = format!("failed to copy the layer {} of {reference:?}: {reason}", self.digest);
        Broken { passes: true, error: ImageError::Unavailable { reference, reason }.into() }
    }

    fn count(&mut self, piece: Bytes) -> Bytes {
        self.failures = 0;
        self.offset += piece.len() as u64;
        if self.told.elapsed() >= PROGRESS_EVERY {
            self.told = Instant::now();
            let percent = self.offset.saturating_mul(100) / self.size.max(1);
            tracing::info!(
                image = %self.repository.image, blob = %self.digest, bytes = self.offset,
                size = self.size, percent, "a download goes on"
            );
        }
        piece
    }
}

struct Broken {
    error: Error,
    /// Whether trying again may help.
    passes: bool,
}

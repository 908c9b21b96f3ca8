//! `watch`: every change of a collection, as a stream of JSON lines or of protobuf frames.

mod frames;
mod options;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::HeaderValue;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use kd_api::Status;
use kd_store::{Entry, Error, Event, Snapshot, Watch};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, Sleep};

use super::list::{Selection, too_large, too_old};
use super::{Reply, VerbRequest};
use crate::answer::{self, BodyError};
use crate::custom;
use crate::negotiate::{self, Offer, Wanted};
use crate::server::ApiServer;
use crate::storage::{prefix_of, store_failed};
use frames::Frames;
use options::{Options, Start};

/// Lines are sent together up to about this much.
const CHUNK_BYTES_MAX: usize = 64 * 1024;
/// How often a quiet watch tells how far it is.
const BOOKMARK_SECONDS: u64 = 60;

/// GET with `watch=true`.
pub(super) async fn watch(request: &mut VerbRequest) -> Result<Reply, Status> {
    let offer = Offer::changes(&request.kind);
    let headers = &request.exchange.parts.headers;
    let wanted = negotiate::wanted(headers, request.query(), offer)?;
    // One line is one event, also for people.
    let wanted = Wanted { pretty: false, ..wanted };
    let options = Options::of(request)?;
    let selection = Selection::of(request)?;
    let prefix = prefix_of(&request.kind, request.namespace());
    let frames = Frames::new(request, selection, wanted);
    let (phase, watch) = begin(request, &options, &prefix)?;
    let mut bookmarks = tokio::time::interval(Duration::from_secs(BOOKMARK_SECONDS));
    bookmarks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    bookmarks.reset();
    let lines = Lines {
        frames,
        converts: custom::is_converted(&request.kind).then(|| request.server().clone()),
        phase,
        watch,
        prefix,
        marks_end: matches!(options.start, Start::Initial { marks_end: true, .. }),
        after: match options.start {
            Start::After(revision) => revision,
            _ => 0,
        },
        bookmarks: options.bookmarks.then_some(bookmarks),
        deadline: Box::pin(tokio::time::sleep(options.timeout)),
        closing: request.server().closing.subscribe(),
    };
    Ok(Reply::Answer(streamed(lines, wanted)))
}

/// Where the stream begins, and the changes behind that.
fn begin(
    request: &VerbRequest,
    options: &Options,
    prefix: &str,
) -> Result<(Phase, Option<Watch>), Status> {
    let store = &request.objects().store;
    // The history could lose the snapshot's revision between the two calls, hence again.
    let from_now = || loop {
        let snapshot = store.snapshot();
        match store.watch(prefix, snapshot.revision()) {
            Err(Error::Compacted { .. }) => {}
            other => return other.map(|watch| (snapshot, watch)).map_err(store_failed),
        }
    };
    Ok(match options.start {
        Start::Initial { least, .. } if least > store.revision() => {
            let status = too_large(least, store.revision());
            (Phase::Failed(status.into()), None)
        }
        Start::Initial { .. } => {
            let (snapshot, watch) = from_now()?;
            (Phase::Initial { snapshot, after: String::new() }, Some(watch))
        }
        Start::Now => (Phase::Live, Some(from_now()?.1)),
        // Refusals of the revision are told in the stream, as upstream does.
        // One that is not reached yet is waited for.
        Start::After(revision) => match store.watch(prefix, revision.min(store.revision())) {
            Ok(watch) => (Phase::Live, Some(watch)),
            Err(error) => (Phase::Failed(refused(error).into()), None),
        },
    })
}

fn refused(error: Error) -> Status {
    match error {
        Error::Compacted { requested, oldest } => too_old(requested, oldest),
        Error::Future { requested, newest } => too_large(requested, newest),
        other => store_failed(other),
    }
}

fn streamed(lines: Lines, wanted: Wanted) -> answer::Answer {
    let chunks = stream::unfold(lines, |mut lines| async move {
        let chunk = lines.next().await?;
        Some((Ok::<_, BodyError>(Frame::data(chunk)), lines))
    });
    let body = StreamBody::new(chunks).boxed_unsync();
    let mut answer = http::Response::new(body);
    let content_type = HeaderValue::from_static(wanted.stream_type());
    answer.headers_mut().insert(http::header::CONTENT_TYPE, content_type);
    answer
}

enum Phase {
    /// The objects that are there, from behind a key.
    Initial {
        snapshot: Snapshot,
        after: String,
    },
    /// Changes as they come.
    Live,
    /// One more line.
    Failed(Box<Status>),
    Done,
}

struct Lines {
    frames: Frames,
    /// The server that has the objects converted, where a webhook does that.
    converts: Option<Arc<ApiServer>>,
    phase: Phase,
    /// There unless the stream begins with a failure.
    watch: Option<Watch>,
    prefix: String,
    /// Changes up to this revision are known to the client.
    after: u64,
    /// Whether the end of the initial objects is told.
    marks_end: bool,
    bookmarks: Option<Interval>,
    deadline: Pin<Box<Sleep>>,
    /// Whether the server ends.
    closing: watch::Receiver<bool>,
}

/// What a live watch waits for.
enum Happened {
    Change(Result<Arc<Event>, Error>),
    BookmarkDue,
    Deadline,
}

impl Lines {
    /// The next lines, when there are some; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let mut chunk = Vec::new();
            match std::mem::replace(&mut self.phase, Phase::Done) {
                Phase::Initial { snapshot, after } => {
                    self.initial(&mut chunk, snapshot, after).await;
                }
                Phase::Live => self.live(&mut chunk).await,
                Phase::Failed(status) => self.frames.error(&mut chunk, &status),
                Phase::Done => return None,
            }
            if !chunk.is_empty() {
                return Some(chunk.into());
            }
        }
    }

    async fn initial(&mut self, chunk: &mut Vec<u8>, snapshot: Snapshot, mut after: String) {
        let mut batch: Vec<Entry> = Vec::new();
        let (mut size, mut more) = (0, false);
        for entry in snapshot.list_after(&self.prefix, &after) {
            if size >= CHUNK_BYTES_MAX {
                more = true;
                break;
            }
            size += entry.value.len();
            batch.push(entry.clone());
        }
        if let Err(status) = self.added(chunk, batch).await {
            self.phase = Phase::Failed(status.into());
            return;
        }
        if more {
            after = self.frames.last.to_string();
            self.phase = Phase::Initial { snapshot, after };
            return;
        }
        if self.marks_end {
            self.frames.bookmark(chunk, snapshot.revision(), true);
        }
        self.phase = Phase::Live;
    }

    async fn added(&mut self, chunk: &mut Vec<u8>, batch: Vec<Entry>) -> Result<(), Status> {
        let batch = match &self.converts {
            Some(server) => custom::present_all(server, self.frames.kind(), batch).await?,
            None => batch,
        };
        for entry in batch {
            self.frames.added(chunk, &entry)?;
            self.frames.last = entry.key;
        }
        Ok(())
    }

    async fn change(&mut self, chunk: &mut Vec<u8>, event: Arc<Event>) -> Result<(), Status> {
        let Some(server) = &self.converts else { return self.frames.change(chunk, &event) };
        let mut event = Event::clone(&event);
        for side in [&mut event.previous, &mut event.current] {
            if let Some(entry) = side.take() {
                *side = Some(custom::present(server, self.frames.kind(), entry).await?);
            }
        }
        self.frames.change(chunk, &event)
    }

    async fn live(&mut self, chunk: &mut Vec<u8>) {
        self.phase = Phase::Live;
        match self.happens().await {
            Happened::Change(Ok(event)) => self.changes(chunk, event).await,
            Happened::Change(Err(error)) => self.phase = Phase::Failed(refused(error).into()),
            Happened::BookmarkDue => self.bookmark(chunk),
            Happened::Deadline => {
                self.bookmark(chunk);
                self.phase = Phase::Done;
            }
        }
    }

    async fn happens(&mut self) -> Happened {
        let Some(watch) = &mut self.watch else { return Happened::Deadline };
        let due = async {
            match &mut self.bookmarks {
                Some(interval) => drop(interval.tick().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            change = watch.next() => Happened::Change(change),
            () = &mut self.deadline => Happened::Deadline,
            _ = self.closing.wait_for(|closing| *closing) => Happened::Deadline,
            () = due => Happened::BookmarkDue,
        }
    }

    /// This change and those that are there already.
    async fn changes(&mut self, chunk: &mut Vec<u8>, first: Arc<Event>) {
        let mut next = VecDeque::from([first]);
        while let Some(event) = next.pop_front() {
            if event.revision > self.after
                && let Err(status) = self.change(chunk, event).await
            {
                self.phase = Phase::Failed(status.into());
                return;
            }
            if chunk.len() >= CHUNK_BYTES_MAX {
                return;
            }
            match self.watch.as_mut().map(Watch::try_next) {
                Some(Ok(event)) => next.extend(event),
                Some(Err(error)) => self.phase = Phase::Failed(refused(error).into()),
                None => {}
            }
        }
    }

    fn bookmark(&mut self, chunk: &mut Vec<u8>) {
        let progress = self.watch.as_mut().and_then(Watch::progress);
        let progress = progress.filter(|revision| *revision >= self.after);
        if let Some(revision) = progress.filter(|_| self.bookmarks.is_some()) {
            self.frames.bookmark(chunk, revision, false);
        }
    }
}

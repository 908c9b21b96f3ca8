//! List and watch of one resource: resumed where it broke off, listed again when history is gone,
//! backed off with jitter while the API server is away. What changed meanwhile is told as if the
//! watch had never stopped, deletions included. It does not poll.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use http_body_util::BodyExt;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout_at};

use crate::client::status_of;
use crate::{Client, Error, Keep, Key, Object, Resource, Result};

const PAGE_OBJECTS: u32 = 500;
const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// The server ends a watch after this time and a random part of it again.
const WATCH_SECONDS: u64 = 300;
/// Bookmarks come about once a minute; a connection silent for longer than this is dead.
const SILENCE_MAX: Duration = Duration::from_secs(150);
const LINE_BYTES_MAX: usize = 16 << 20;
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Which objects of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selectors {
    /// One namespace, or "" for all.
    pub namespace: String,
    /// A field selector, or "".
    pub fields: String,
    /// A label selector, or "".
    pub labels: String,
}

/// What a watch tells.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// An object is new or changed; `old` is what the watch told of it before.
    Applied {
        /// The state told before.
        old: Option<Arc<Object>>,
        /// The state now.
        new: Arc<Object>,
    },
    /// An object is gone, or stopped matching; the last known state.
    Deleted(Arc<Object>),
    /// Everything up to this revision has been told: after the first list, after each later one,
    /// and on bookmarks.
    Synced(u64),
}

/// The changes of one resource.
pub struct Watch {
    client: Client,
    resource: Resource,
    selectors: Selectors,
    keep: Keep,
    state: State,
    known: HashMap<Key, Arc<Object>>,
    told: VecDeque<WatchEvent>,
    failures: u32,
}

enum State {
    List,
    Open(String),
    Streaming(Box<Lines>),
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    event: &'a str,
    #[serde(borrow)]
    object: &'a serde_json::value::RawValue,
}

impl Watch {
    /// A watch that starts with a list when it is first asked.
    pub fn new(client: Client, resource: Resource, selectors: Selectors, keep: Keep) -> Watch {
        Watch {
            client,
            resource,
            selectors,
            keep,
            state: State::List,
            known: HashMap::new(),
            told: VecDeque::new(),
            failures: 0,
        }
    }

    /// The next event; waits as long as it takes. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> WatchEvent {
        loop {
            if let Some(event) = self.told.pop_front() {
                return event;
            }
            if let Err(error) = self.advance().await {
                self.recover(&error).await;
            }
        }
    }

    /// The events as a stream that never ends.
    pub fn into_stream(self) -> impl Stream<Item = WatchEvent> + Send {
        futures::stream::unfold(self, |mut watch| async move {
            let event = watch.next().await;
            Some((event, watch))
        })
    }

    /// The objects told so far.
    pub fn known(&self) -> &HashMap<Key, Arc<Object>> {
        &self.known
    }

    async fn advance(&mut self) -> Result<()> {
        match &mut self.state {
            State::List => self.list().await,
            State::Open(revision) => {
                let revision = revision.clone();
                self.open(revision).await
            }
            State::Streaming(lines) => match lines.next().await? {
                Some(line) => {
                    self.failures = 0;
                    self.tell(&line)
                }
                None => {
                    let revision = lines.revision.clone();
                    self.state = State::Open(revision);
                    // An answer that ends without a line would otherwise be asked for in a tight loop.
                    if self.failures > 0 {
                        pause(self.failures).await;
                    }
                    self.failures += 1;
                    Ok(())
                }
            },
        }
    }

    async fn list(&mut self) -> Result<()> {
        let mut objects = Vec::new();
        let mut token: Option<String> = None;
        let revision = loop {
            let mut query = format!("limit={PAGE_OBJECTS}{}", self.selector_query());
            if let Some(token) = &token {
                query += &format!("&continue={}", utf8_percent_encode(token, QUERY));
            }
            let namespace = &self.selectors.namespace;
            let page = self.client.page(&self.resource, namespace, &query, self.keep).await?;
            objects.extend(page.objects);
            match page.proceed {
                Some(next) => token = Some(next),
                None => break page.revision,
            }
        };
        self.replace(objects);
        self.told.push_back(WatchEvent::Synced(revision.parse().unwrap_or(0)));
        self.state = State::Open(revision);
        self.failures = 0;
        Ok(())
    }

    /// Tells the difference between what was known and a new list.
    fn replace(&mut self, objects: Vec<Object>) {
        let mut before = std::mem::take(&mut self.known);
        for object in objects {
            let key = object.key();
            let old = before.remove(&key);
            let recreated = |old: &Arc<Object>| old.metadata.uid != object.metadata.uid;
            if let Some(old) = old.as_ref().filter(|old| recreated(old)) {
                self.told.push_back(WatchEvent::Deleted(old.clone()));
            }
            let old = old.filter(|old| !recreated(old));
            let unchanged = |old: &Arc<Object>| {
                old.metadata.resource_version == object.metadata.resource_version
            };
            if let Some(same) = old.as_ref().filter(|old| unchanged(old)) {
                self.known.insert(key, same.clone());
                continue;
            }
            let new = Arc::new(object);
            self.known.insert(key, remembered(&new, self.keep));
            self.told.push_back(WatchEvent::Applied { old, new });
        }
        self.told.extend(before.into_values().map(WatchEvent::Deleted));
    }

    async fn open(&mut self, revision: String) -> Result<()> {
        let seconds = WATCH_SECONDS + rand::random_range(0..WATCH_SECONDS);
        let query = format!(
            "watch=true&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={seconds}{}",
            utf8_percent_encode(&revision, QUERY),
            self.selector_query()
        );
        let namespace = &self.selectors.namespace;
        let response = self.client.open_watch(&self.resource, namespace, &query, self.keep).await?;
        self.state = State::Streaming(Box::new(Lines::new(response.into_body(), revision)));
        Ok(())
    }

    fn selector_query(&self) -> String {
        let mut query = String::new();
        for (name, value) in
            [("fieldSelector", &self.selectors.fields), ("labelSelector", &self.selectors.labels)]
        {
            if !value.is_empty() {
                query += &format!("&{name}={}", utf8_percent_encode(value, QUERY));
            }
        }
        query
    }

    fn tell(&mut self, line: &[u8]) -> Result<()> {
        let decode = |source| Error::Decode { operation: self.describe(), source };
        let line: Line<'_> = serde_json::from_slice(line).map_err(decode)?;
        let bytes = line.object.get().as_bytes();
        if line.event == "ERROR" {
            let status = status_of(bytes, 500);
            return Err(Error::Api { operation: self.describe(), status: Box::new(status) });
        }
        let keep = if line.event == "BOOKMARK" { Keep::Metadata } else { self.keep };
        let object =
            Object::parse(&self.resource, bytes, keep, Timestamp::now()).map_err(decode)?;
        if let State::Streaming(lines) = &mut self.state {
            lines.revision.clone_from(&object.metadata.resource_version);
        }
        match line.event {
            "BOOKMARK" => self.told.push_back(WatchEvent::Synced(object.metadata.revision())),
            "DELETED" => {
                self.known.remove(&object.key());
                self.told.push_back(WatchEvent::Deleted(Arc::new(object)));
            }
            _ => {
                let new = Arc::new(object);
                let old = self.known.insert(new.key(), remembered(&new, self.keep));
                self.told.push_back(WatchEvent::Applied { old, new });
            }
        }
        Ok(())
    }

    async fn recover(&mut self, error: &Error) {
        let revision = match std::mem::replace(&mut self.state, State::List) {
            State::List => None,
            State::Open(revision) => Some(revision),
            State::Streaming(lines) => Some(lines.revision),
        };
        if error.is_expired() {
            tracing::debug!(watch = self.describe(), "history is gone, listing again");
            return;
        }
        // A line that cannot be read may have held anything: only a new list is safe.
        if let Some(revision) = revision.filter(|_| !matches!(error, Error::Decode { .. })) {
            self.state = State::Open(revision);
        }
        let source = std::error::Error::source(error).map(ToString::to_string);
        tracing::debug!(watch = self.describe(), %error, source, "will try again");
        pause(self.failures).await;
        self.failures += 1;
    }

    fn describe(&self) -> String {
        format!("WATCH {}", self.resource.path(&self.selectors.namespace, "", ""))
    }
}

fn remembered(object: &Arc<Object>, keep: Keep) -> Arc<Object> {
    match keep {
        Keep::Once => Arc::new(object.stripped()),
        _ => object.clone(),
    }
}

async fn pause(failures: u32) {
    let exponential = BACKOFF_MIN.saturating_mul(1 << failures.min(16));
    sleep(exponential.min(BACKOFF_MAX).mul_f64(rand::random_range(0.5..1.5))).await;
}

/// The lines of an open watch.
struct Lines {
    body: kube::client::Body,
    buffer: Vec<u8>,
    searched: usize,
    revision: String,
}

impl Lines {
    fn new(body: kube::client::Body, revision: String) -> Lines {
        Lines { body, buffer: Vec::new(), searched: 0, revision }
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + SILENCE_MAX;
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(broken("a line of the watch is too long"));
            }
            let frame = match timeout_at(deadline, self.body.frame()).await {
                Err(_) => return Err(broken("the watch is silent")),
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => frame,
            };
            let frame = frame
                .map_err(|e| Error::Transport { operation: "WATCH".into(), source: e.into() })?;
            if let Some(data) = frame.data_ref() {
                self.buffer.extend_from_slice(data);
            }
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        while let Some(at) = self.buffer[self.searched..].iter().position(|b| *b == b'\n') {
            let rest = self.buffer.split_off(self.searched + at + 1);
            let line = std::mem::replace(&mut self.buffer, rest);
            self.searched = 0;
            if line.len() > 1 {
                return Some(line);
            }
        }
        self.searched = self.buffer.len();
        None
    }
}

fn broken(why: &'static str) -> Error {
    Error::Transport { operation: "WATCH".into(), source: why.into() }
}

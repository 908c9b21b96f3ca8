//! A View kept up to date by Watches, and the changes that led to each View. One task; readers take
//! snapshots without locks.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::stream::{AbortHandle, Abortable, BoxStream, SelectAll};
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::AbortHandle as TaskHandle;

use crate::{Client, Keep, Object, Resource, Selectors, View, Watch, WatchEvent};

/// Events taken together into one new View.
const BATCH_EVENTS: usize = 512;

/// A resource to hold in the View, and how much of it.
#[derive(Clone, Debug)]
pub struct Interest {
    /// The resource.
    pub resource: Resource,
    /// Which of its objects.
    pub selectors: Selectors,
    /// How much of each.
    pub keep: Keep,
}

impl Interest {
    /// All objects, in full.
    pub fn full(resource: &Resource) -> Interest {
        Interest { resource: resource.clone(), selectors: Selectors::default(), keep: Keep::Full }
    }

    /// All objects, metadata only.
    pub fn metadata(resource: &Resource) -> Interest {
        Interest { keep: Keep::Metadata, ..Interest::full(resource) }
    }
}

/// One difference between two Views.
#[derive(Clone, Debug)]
pub struct Change {
    /// Of which resource.
    pub resource: Arc<Resource>,
    /// Before; None for a new object, and for `Synced`.
    pub old: Option<Arc<Object>>,
    /// After; None for a deleted object, and for `Synced`.
    pub new: Option<Arc<Object>>,
}

impl Change {
    /// The object after the change, or the one that is gone.
    pub fn object(&self) -> Option<&Arc<Object>> {
        self.new.as_ref().or(self.old.as_ref())
    }

    /// Whether the resource's list is complete now, or its revision advanced: no object changed.
    pub fn is_progress(&self) -> bool {
        self.old.is_none() && self.new.is_none()
    }
}

/// Batches of changes, each told after the View that holds them is readable.
pub struct Changes {
    receiver: mpsc::UnboundedReceiver<Vec<Change>>,
}

impl Changes {
    /// The next batch; None once the cache is gone.
    pub async fn next(&mut self) -> Option<Vec<Change>> {
        self.receiver.recv().await
    }
}

/// The View and the task that feeds it; dropping it ends the watches.
pub struct Cache {
    view: Arc<ArcSwap<View>>,
    commands: mpsc::UnboundedSender<Command>,
    task: TaskHandle,
}

enum Command {
    Add(Interest),
    Remove(Resource),
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cache {
    /// Starts watching. Changes must be read as they come.
    pub fn start(client: Client, interests: Vec<Interest>) -> (Cache, Changes) {
        let first = View::of(interests.iter().map(|i| i.resource.clone()));
        let view = Arc::new(ArcSwap::from_pointee(first));
        let (changes, receiver) = mpsc::unbounded_channel();
        let (commands, orders) = mpsc::unbounded_channel();
        let mut feeder = Feeder {
            client,
            view: view.clone(),
            streams: SelectAll::new(),
            running: HashMap::new(),
            changes,
        };
        for interest in interests {
            feeder.add(interest);
        }
        let task = tokio::spawn(feeder.run(orders)).abort_handle();
        (Cache { view, commands, task }, Changes { receiver })
    }

    /// The newest View.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Watches one more resource; nothing happens when it is watched already.
    pub fn add(&self, interest: Interest) {
        // The feeder only ends with the cache itself.
        let _ = self.commands.send(Command::Add(interest));
    }

    /// Stops watching a resource and forgets its objects.
    pub fn remove(&self, resource: Resource) {
        let _ = self.commands.send(Command::Remove(resource));
    }
}

type Fed = (Arc<Resource>, WatchEvent);

struct Feeder {
    client: Client,
    view: Arc<ArcSwap<View>>,
    streams: SelectAll<BoxStream<'static, Fed>>,
    running: HashMap<(String, String), AbortHandle>,
    changes: mpsc::UnboundedSender<Vec<Change>>,
}

impl Feeder {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Command>) {
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    None => return,
                    Some(Command::Add(interest)) => self.add(interest),
                    Some(Command::Remove(resource)) => self.remove(&resource),
                },
                fed = self.streams.next(), if !self.streams.is_empty() => {
                    let Some(first) = fed else { continue };
                    let batch = self.batch(first);
                    self.publish(batch);
                }
            }
        }
    }

    /// The event and all others that are ready without waiting.
    fn batch(&mut self, first: Fed) -> Vec<Fed> {
        let mut batch = vec![first];
        while batch.len() < BATCH_EVENTS {
            match futures::FutureExt::now_or_never(self.streams.next()) {
                Some(Some(fed)) => batch.push(fed),
                _ => break,
            }
        }
        batch
    }

    fn publish(&mut self, batch: Vec<Fed>) {
        let mut view = View::clone(&self.view.load());
        let mut changes = Vec::with_capacity(batch.len());
        for (resource, event) in batch {
            // A watch may have told something more before it was stopped.
            if !view.has(&resource) {
                continue;
            }
            let before = |object: &Object| view.object(&resource, &object.key()).cloned();
            let (old, new) = match &event {
                WatchEvent::Applied { new, .. } => (before(new), Some(new.clone())),
                WatchEvent::Deleted(last) => (Some(before(last).unwrap_or(last.clone())), None),
                WatchEvent::Synced(_) => (None, None),
            };
            view.apply(&resource, &event);
            changes.push(Change { resource, old, new });
        }
        self.view.store(Arc::new(view));
        // Nobody listens when the owner only reads Views.
        let _ = self.changes.send(changes);
    }

    fn add(&mut self, interest: Interest) {
        let name = (interest.resource.group.to_string(), interest.resource.plural.to_string());
        if self.running.contains_key(&name) {
            return;
        }
        let mut view = View::clone(&self.view.load());
        let resource = view.insert_resource(&Arc::new(interest.resource.clone()));
        self.view.store(Arc::new(view));
        let watch =
            Watch::new(self.client.clone(), interest.resource, interest.selectors, interest.keep);
        let events: Pin<Box<dyn Stream<Item = WatchEvent> + Send>> = Box::pin(watch.into_stream());
        let (handle, registration) = AbortHandle::new_pair();
        let stream = Abortable::new(events, registration).map(move |e| (resource.clone(), e));
        self.streams.push(stream.boxed());
        self.running.insert(name, handle);
    }

    fn remove(&mut self, resource: &Resource) {
        let name = (resource.group.to_string(), resource.plural.to_string());
        let Some(handle) = self.running.remove(&name) else { return };
        handle.abort();
        let before = self.view.load_full();
        let mut view = View::clone(&before);
        view.remove_resource(resource);
        self.view.store(Arc::new(view));
        let shared = Arc::new(resource.clone());
        let gone = before.objects(resource, None);
        let changes = gone
            .map(|o| Change { resource: shared.clone(), old: Some(o.clone()), new: None })
            .collect();
        let _ = self.changes.send(changes);
    }
}

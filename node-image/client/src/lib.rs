//! How every component reads and writes: Client, Watch, View, Cache, Recorder.
//! A `Watch` is one resource's changes; a `View` is an immutable snapshot of many resources with
//! indexes; a `Cache` feeds a View from Watches.

mod cache;
mod client;
#[cfg(test)]
mod cost;
mod error;
pub mod exposition;
mod labels;
mod object;
pub mod placement;
mod recorder;
mod resource;
mod view;
mod watch;

pub use cache::{Cache, Change, Changes, Interest};
pub use client::{Client, DeleteOptions, PatchKind, Preconditions};
pub use error::{Error, Result};
pub use labels::{label_selector, selects, selects_all};
pub use object::{Keep, Key, Metadata, Object, OwnerReference};
pub use recorder::{EventApi, EventType, Occurrence, Recorder, Reference};
pub use resource::{Resource, resources};
pub use view::View;
pub use watch::{Selectors, Watch, WatchEvent};

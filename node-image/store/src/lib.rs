//! Revisioned keys, consistent snapshots, watch; bytes in, bytes out. It knows no Kubernetes.
//!
//! Every commit gets the next revision. Readers see the newest state, or an older one while its
//! history lasts; watchers see every change once, in order.

mod error;
mod hub;
mod memory;
mod record;
mod seal;
mod snapshot;
mod sqlite;
mod store;
mod transaction;
mod watch;

pub use error::Error;
pub use hub::HistoryLimits;
pub use memory::MemoryStore;
pub use record::{Entry, Event, Revision};
pub use seal::Seal;
pub use snapshot::Snapshot;
pub use sqlite::{Durability, SqliteStore};
pub use store::Store;
pub use transaction::{Change, Expect, Transaction, Write};
pub use watch::Watch;

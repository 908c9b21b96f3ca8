//! Device plugins: extended resources that programs of the node offer, chosen for containers when
//! their pod is let in, kept over restarts, and told of by the pod resources API.

mod allocation;
mod cdi;
mod checkpoint;
mod given;
mod health;
mod pod_resources;
mod registration;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::lifecycle::backoff::since;
use checkpoint::Allocation;

pub(crate) use health::follow_health;
pub(crate) use pod_resources::serve_pod_resources;
pub(crate) use registration::serve_registrations;

/// Below the kubelet's root.
const DIRECTORY: &str = "device-plugins";
/// The devices of a plugin that is gone stay in the node's capacity for so long.
const GONE_MAX: Duration = Duration::from_secs(300);

/// A device as its plugin tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// It can be used.
    pub healthy: bool,
    /// The memory nodes that it is near to.
    pub numa_nodes: Vec<i64>,
}

/// What a plugin wants to be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Options {
    pre_start: bool,
    preferred_allocation: bool,
}

/// A plugin that answers.
#[derive(Clone, Debug)]
struct Endpoint {
    /// Tells it from an earlier one with the same socket.
    number: u64,
    socket: PathBuf,
    options: Options,
    /// Ends following it.
    over: CancellationToken,
}

/// The devices of one resource.
#[derive(Clone, Debug, Default)]
struct Offer {
    devices: BTreeMap<String, Device>,
    /// None since then.
    endpoint: Option<Endpoint>,
    gone_at: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct State {
    offers: BTreeMap<String, Offer>,
    /// Endpoints so far.
    endpoints: u64,
    allocations: Vec<Allocation>,
}

/// How many devices a resource has, and how many of them can be used.
pub type Counts = BTreeMap<String, (usize, usize)>;

/// The devices of a node.
pub struct Devices {
    directory: PathBuf,
    state: Mutex<State>,
    counts: watch::Sender<Counts>,
    /// A plugin has told something of its devices, or is gone.
    changes: watch::Sender<()>,
    /// One pod at a time gets devices.
    allocating: tokio::sync::Mutex<()>,
}

impl Devices {
    /// Reads what an earlier kubelet has given out.
    pub fn open(root: &Path) -> Devices {
        let directory = root.join(DIRECTORY);
        let known = checkpoint::load(&directory).unwrap_or_else(|error| {
            tracing::warn!(error, "the devices given out before are not known");
            checkpoint::Known::default()
        });
        let now = Timestamp::now();
        let silent = || Offer { gone_at: Some(now), ..Offer::default() };
        let offers = known.resources.into_iter().map(|name| (name, silent())).collect();
        let state = State { offers, endpoints: 0, allocations: known.allocations };
        let devices = Devices {
            directory,
            state: Mutex::new(state),
            counts: watch::Sender::default(),
            changes: watch::Sender::default(),
            allocating: tokio::sync::Mutex::default(),
        };
        devices.count();
        devices
    }

    /// What there is of each resource; changes when that does.
    pub fn counts(&self) -> watch::Receiver<Counts> {
        self.counts.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts again: devices of plugins that are long gone are forgotten.
    pub fn count(&self) {
        let now = Timestamp::now();
        let mut state = self.state();
        for offer in state.offers.values_mut() {
            if offer.gone_at.is_some_and(|at| since(at, now) >= GONE_MAX) {
                offer.devices.clear();
            }
        }
        let of = |offer: &Offer| {
            let usable = offer.devices.values().filter(|device| device.healthy).count();
            (offer.devices.len(), if offer.endpoint.is_some() { usable } else { 0 })
        };
        let counts: Counts = state.offers.iter().map(|(name, o)| (name.clone(), of(o))).collect();
        drop(state);
        self.counts.send_if_modified(|known| {
            let differs = *known != counts;
            *known = counts;
            differs
        });
    }

    /// The devices of a pod are free again.
    pub fn release(&self, uid: &str) {
        self.keep(|allocation| allocation.pod != uid);
    }

    /// Only these pods are left.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        self.keep(|allocation| uids.contains(&allocation.pod));
    }

    fn keep(&self, kept: impl Fn(&Allocation) -> bool) {
        let mut state = self.state();
        let before = state.allocations.len();
        state.allocations.retain(kept);
        if state.allocations.len() != before {
            self.save(&state);
        }
    }

    fn save(&self, state: &State) {
        let registered = state.offers.iter().map(|(name, offer)| {
            let usable = offer.devices.iter().filter(|(_, device)| device.healthy);
            (name.clone(), usable.map(|(id, _)| id.clone()).collect())
        });
        let registered: BTreeMap<String, BTreeSet<String>> = registered.collect();
        if let Err(error) = checkpoint::save(&self.directory, &state.allocations, &registered) {
            tracing::warn!(%error, "what devices are given out could not be written");
        }
    }
}

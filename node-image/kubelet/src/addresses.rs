//! The addresses of this node's pods, from the range that a controller gave the node.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use ipnet::IpNet;
use kd_network::AddressPool;
use tokio::sync::watch;

use crate::error::{Error, Result};

/// Addresses by pod.
pub struct Addresses {
    state: Mutex<State>,
    ready: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    range: Option<IpNet>,
    pool: Option<AddressPool>,
    /// By pod uid.
    given: HashMap<String, IpAddr>,
}

impl Default for Addresses {
    fn default() -> Addresses {
        Addresses { state: Mutex::default(), ready: watch::Sender::new(false) }
    }
}

impl Addresses {
    /// The node's range is known; addresses given before stay taken.
    pub fn set_range(&self, range: IpNet) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.range == Some(range) {
            return;
        }
        let mut pool = AddressPool::new(range);
        for address in state.given.values() {
            pool.reserve(*address);
        }
        state.range = Some(range);
        state.pool = Some(pool);
        self.ready.send_replace(true);
    }

    /// Whether the range is known.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Changes when the range is known.
    pub fn readiness(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// The address a pod already has.
    pub fn adopt(&self, uid: &str, address: IpAddr) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.given.insert(uid.to_owned(), address);
        if let Some(pool) = &mut state.pool {
            pool.reserve(address);
        }
    }

    /// The address of a pod.
    pub fn of(&self, uid: &str) -> Option<IpAddr> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.given.get(uid).copied()
    }

    /// A free address for a pod, once the range is known. A pod that has one keeps it.
    pub async fn allocate(&self, uid: &str) -> Result<IpAddr> {
        let mut ready = self.ready.subscribe();
        let waited = ready.wait_for(|ready| *ready).await;
        waited.map_err(|_| Error::Pod("the kubelet is shutting down".into()))?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = state.given.get(uid) {
            return Ok(*address);
        }
        let allocated = state.pool.as_mut().and_then(AddressPool::allocate);
        let Some(address) = allocated else {
            let range = state.range.map(|r| r.to_string()).unwrap_or_default();
            return Err(Error::Pod(format!("no IP addresses available in range {range}")));
        };
        state.given.insert(uid.to_owned(), address);
        Ok(address)
    }

    /// The pod needs no address any more.
    pub fn release(&self, uid: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(address), Some(pool)) = (state.given.remove(uid), state.pool.as_mut()) {
            pool.release(address);
        }
    }
}

//! The addresses of this node's pods: of the ranges that a controller gave the node, one of each, or
//! what a network gives pods itself.

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
    /// The network gives them.
    by_network: bool,
}

#[derive(Default)]
struct State {
    ranges: Vec<IpNet>,
    pools: Vec<AddressPool>,
    /// By pod uid.
    given: HashMap<String, Vec<IpAddr>>,
}

impl State {
    fn release(&mut self, addresses: &[IpAddr]) {
        for address in addresses {
            self.pools.iter_mut().for_each(|pool| pool.release(*address));
        }
    }
}

impl Addresses {
    /// None is given yet. With `by_network`, the network gives them.
    pub fn new(by_network: bool) -> Addresses {
        Addresses { state: Mutex::default(), ready: watch::Sender::new(false), by_network }
    }

    /// The node's ranges are known; addresses given before stay taken.
    pub fn set_ranges(&self, ranges: Vec<IpNet>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.by_network || ranges.is_empty() || state.ranges == ranges {
            return;
        }
        state.pools = ranges.iter().map(|range| AddressPool::new(*range)).collect();
        state.ranges = ranges;
        let State { pools, given, .. } = &mut *state;
        for address in given.values().flatten() {
            reserve(pools, *address);
        }
        self.ready.send_replace(true);
    }

    /// Whether the network can give addresses.
    pub fn set_network_ready(&self, ready: bool) {
        self.ready.send_if_modified(|known| std::mem::replace(known, ready) != ready);
    }

    /// Whether pods can get addresses.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Whether the network gives the addresses.
    pub fn are_by_network(&self) -> bool {
        self.by_network
    }

    /// Changes when pods can get addresses.
    pub fn readiness(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// The addresses a pod already has.
    pub fn adopt(&self, uid: &str, addresses: Vec<IpAddr>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for address in &addresses {
            reserve(&mut state.pools, *address);
        }
        state.given.insert(uid.to_owned(), addresses);
    }

    /// The addresses of a pod.
    pub fn of(&self, uid: &str) -> Vec<IpAddr> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.given.get(uid).cloned().unwrap_or_default()
    }

    /// Free addresses for a pod, once there are any to give: one of every range. A pod that has some
    /// keeps them.
    pub async fn allocate(&self, uid: &str) -> Result<Vec<IpAddr>> {
        let mut ready = self.ready.subscribe();
        let waited = ready.wait_for(|ready| *ready).await;
        waited.map_err(|_| Error::Pod("the kubelet is shutting down".into()))?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(addresses) = state.given.get(uid) {
            return Ok(addresses.clone());
        }
        let mut addresses = Vec::new();
        for index in 0..state.pools.len() {
            let Some(address) = state.pools[index].allocate() else {
                state.release(&addresses);
                let range = state.ranges[index];
                return Err(Error::Pod(format!("no IP addresses available in range {range}")));
            };
            addresses.push(address);
        }
        if !addresses.is_empty() {
            state.given.insert(uid.to_owned(), addresses.clone());
        }
        Ok(addresses)
    }

    /// The pod needs no addresses any more.
    pub fn release(&self, uid: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(addresses) = state.given.remove(uid) {
            state.release(&addresses);
        }
    }
}

/// Takes an address out of the pool that has it, if one does.
fn reserve(pools: &mut [AddressPool], address: IpAddr) {
    for pool in pools {
        pool.reserve(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_of_every_range() {
        let addresses = Addresses::new(false);
        addresses.adopt("old", vec!["10.244.0.2".parse().unwrap()]);
        let ranges = ["10.244.0.0/30", "fd00::/64"].map(|range| range.parse().unwrap());
        assert!(!addresses.is_ready());
        addresses.set_ranges(ranges.to_vec());
        let error = addresses.allocate("a").await.unwrap_err().to_string();
        assert!(error.contains("no IP addresses available in range 10.244.0.0/30"), "{error}");
        addresses.release("old");
        let given = addresses.allocate("a").await.unwrap();
        let shown: Vec<String> = given.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.244.0.2", "fd00::2"]);
        assert_eq!(addresses.allocate("a").await.unwrap(), given);
        assert_eq!(addresses.of("a"), given);
    }

    #[tokio::test]
    async fn those_of_the_network() {
        let addresses = Addresses::new(true);
        addresses.set_ranges(vec!["10.244.0.0/24".parse().unwrap()]);
        assert!(!addresses.is_ready());
        addresses.set_network_ready(true);
        assert!(addresses.allocate("a").await.unwrap().is_empty());
        addresses.adopt("a", vec!["192.0.2.7".parse().unwrap()]);
        assert_eq!(addresses.allocate("a").await.unwrap().len(), 1);
    }
}

//! Which node comes next. Docker knows them all by one name, with their addresses of today: nodes come
//! and go, and get other addresses when they start again.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use kd_contract::NODES_ALIAS;

use crate::error::{Error, Result};

/// How long addresses are believed without asking again.
const ADDRESSES_LIFETIME: Duration = Duration::from_secs(5);

/// The nodes of a cluster.
pub(super) struct Nodes {
    next: AtomicUsize,
    resolver: TokioResolver,
    known: Mutex<Option<(Vec<IpAddr>, Instant)>>,
}

impl Nodes {
    pub(super) fn new() -> Result<Nodes> {
        let mut builder = TokioResolver::builder_tokio()
            .map_err(Error::of("read the resolver's configuration"))?;
        // Docker's answers may be remembered for minutes, but are right only now.
        builder.options_mut().cache_size = 0;
        let resolver = builder.build().map_err(Error::of("set up the resolver"))?;
        Ok(Nodes { next: AtomicUsize::new(0), resolver, known: Mutex::default() })
    }

    /// The addresses of all nodes that run, in the order in which to try them; the first is another
    /// one each time.
    pub(super) async fn in_turn(&self) -> Vec<IpAddr> {
        rotated(&self.addresses().await, self.next.fetch_add(1, Ordering::Relaxed))
    }

    async fn addresses(&self) -> Vec<IpAddr> {
        if let Some((addresses, since)) = &*self.known()
            && since.elapsed() < ADDRESSES_LIFETIME
        {
            return addresses.clone();
        }
        // The final dot keeps search domains out.
        let found = self.resolver.lookup_ip(format!("{NODES_ALIAS}.")).await;
        let mut addresses: Vec<IpAddr> = found.iter().flat_map(|found| found.iter()).collect();
        // Docker has another order each time; turns need one.
        addresses.sort_unstable();
        *self.known() = Some((addresses.clone(), Instant::now()));
        addresses
    }

    /// A node does not answer where it was.
    pub(super) fn forget(&self) {
        *self.known() = None;
    }

    fn known(&self) -> MutexGuard<'_, Option<(Vec<IpAddr>, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rotated(addresses: &[IpAddr], turn: usize) -> Vec<IpAddr> {
    let start = turn.checked_rem(addresses.len()).unwrap_or(0);
    addresses[start..].iter().chain(&addresses[..start]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_a_turn() {
        let [a, b, c] = [1, 2, 3].map(|last| IpAddr::from([10, 0, 0, last]));
        assert_eq!(rotated(&[a, b, c], 0), [a, b, c]);
        assert_eq!(rotated(&[a, b, c], 4), [b, c, a]);
        assert!(rotated(&[], 3).is_empty());
    }
}

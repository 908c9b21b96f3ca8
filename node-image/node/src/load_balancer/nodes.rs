//! Which node comes next, and where it is today: nodes get other addresses when they start again, so
//! names are what is remembered.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;

use crate::error::{Error, Result};

/// How long an address is believed without asking again.
const ADDRESS_LIFETIME: Duration = Duration::from_secs(5);

/// The nodes of a cluster.
pub(super) struct Nodes {
    names: Vec<String>,
    next: AtomicUsize,
    resolver: TokioResolver,
    known: Mutex<HashMap<String, (IpAddr, Instant)>>,
}

impl Nodes {
    pub(super) fn new(names: Vec<String>) -> Result<Nodes> {
        let mut builder = TokioResolver::builder_tokio()
            .map_err(Error::of("read the resolver's configuration"))?;
        // Docker's answers may be remembered for minutes, but are right only now.
        builder.options_mut().cache_size = 0;
        let resolver = builder.build().map_err(Error::of("set up the resolver"))?;
        Ok(Nodes { names, next: AtomicUsize::new(0), resolver, known: Mutex::default() })
    }

    /// All nodes in the order in which to try them; the first is another one each time.
    pub(super) fn in_turn(&self) -> Vec<String> {
        rotated(&self.names, self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Where a node is; none while it does not run.
    pub(super) async fn address(&self, name: &str) -> Option<IpAddr> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied();
        if let Some((address, since)) = known
            && since.elapsed() < ADDRESS_LIFETIME
        {
            return Some(address);
        }
        // The final dot keeps search domains out.
        let found = self.resolver.lookup_ip(format!("{name}.")).await.ok()?;
        let address = found.iter().next()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(name.to_owned(), (address, Instant::now()));
        Some(address)
    }

    /// A node does not answer where it was.
    pub(super) fn forget(&self, name: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

fn rotated(names: &[String], turn: usize) -> Vec<String> {
    let start = turn.checked_rem(names.len()).unwrap_or(0);
    names[start..].iter().chain(&names[..start]).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_a_turn() {
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(rotated(&names, 0), ["a", "b", "c"]);
        assert_eq!(rotated(&names, 4), ["b", "c", "a"]);
        assert!(rotated(&[], 3).is_empty());
    }
}

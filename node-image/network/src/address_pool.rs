//! A pool of addresses: one node's pod range.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;

/// Hands out the addresses of a range, oldest released last, so that an address is not used again
/// right after its pod is gone (caches of its peers may still hold it).
#[derive(Debug)]
pub struct AddressPool {
    range: IpNet,
    taken: HashSet<IpAddr>,
    /// Offset of the address tried next.
    next: u128,
}

impl AddressPool {
    /// A pool over `range`, less its network, first and broadcast address.
    pub fn new(range: IpNet) -> AddressPool {
        AddressPool { range: range.trunc(), taken: HashSet::new(), next: FIRST_OFFSET }
    }

    /// A free address, now taken; `None` when the pool is exhausted.
    pub fn allocate(&mut self) -> Option<IpAddr> {
        let end = self.end();
        let count = end.checked_sub(FIRST_OFFSET)?;
        for step in 0..count {
            let offset = FIRST_OFFSET + (self.next - FIRST_OFFSET + step) % count;
            let address = self.at(offset);
            if self.taken.insert(address) {
                self.next = if offset + 1 < end { offset + 1 } else { FIRST_OFFSET };
                return Some(address);
            }
        }
        None
    }

    /// Takes a given address; false when it is taken already or outside the range.
    pub fn reserve(&mut self, address: IpAddr) -> bool {
        self.range.contains(&address) && self.taken.insert(address)
    }

    /// Gives an address back; unknown addresses are ignored.
    pub fn release(&mut self, address: IpAddr) {
        self.taken.remove(&address);
    }

    /// One past the last offset handed out. IPv4's broadcast address stays free.
    fn end(&self) -> u128 {
        let bits = u32::from(self.range.max_prefix_len() - self.range.prefix_len());
        let size = 1u128.checked_shl(bits).unwrap_or(u128::MAX);
        match self.range {
            IpNet::V4(_) => size.saturating_sub(1),
            IpNet::V6(_) => size,
        }
    }

    fn at(&self, offset: u128) -> IpAddr {
        match self.range {
            IpNet::V4(net) => {
                // The offset is below the range's size, at most 32 bits.
                IpAddr::V4((u32::from(net.network()) + offset as u32).into())
            }
            IpNet::V6(net) => IpAddr::V6((u128::from(net.network()) + offset).into()),
        }
    }
}

/// The network address and the one after it (a gateway's by habit) are not handed out.
const FIRST_OFFSET: u128 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(range: &str) -> AddressPool {
        AddressPool::new(range.parse().unwrap())
    }

    #[test]
    fn hands_out_every_address_once() {
        let mut pool = pool("10.244.1.0/29");
        let all: Vec<String> =
            std::iter::from_fn(|| pool.allocate()).map(|a| a.to_string()).collect();
        assert_eq!(all, ["10.244.1.2", "10.244.1.3", "10.244.1.4", "10.244.1.5", "10.244.1.6"]);
    }

    #[test]
    fn a_released_address_comes_back_last() {
        let mut pool = pool("10.244.1.0/29");
        let first = pool.allocate().unwrap();
        pool.release(first);
        let rest: Vec<_> = std::iter::from_fn(|| pool.allocate()).collect();
        assert_eq!(rest.len(), 5);
        assert_eq!(rest.last(), Some(&first));
    }

    #[test]
    fn reserved_addresses_are_skipped() {
        let mut pool = pool("10.244.1.0/29");
        assert!(pool.reserve("10.244.1.2".parse().unwrap()));
        assert!(!pool.reserve("10.244.1.2".parse().unwrap()));
        assert!(!pool.reserve("10.0.0.1".parse().unwrap()));
        assert_eq!(pool.allocate().unwrap().to_string(), "10.244.1.3");
    }

    #[test]
    fn tiny_and_huge_ranges() {
        assert_eq!(pool("10.0.0.0/31").allocate(), None);
        assert_eq!(pool("10.0.0.0/32").allocate(), None);
        assert_eq!(pool("fd00::/64").allocate().unwrap().to_string(), "fd00::2");
        assert_eq!(pool("::/0").allocate().unwrap().to_string(), "::2");
    }
}

//! Netlink, nftables, address pools.

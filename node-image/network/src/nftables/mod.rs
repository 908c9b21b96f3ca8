//! nftables rule sets, as netlink messages of our own (no nft binary). Every change is one batch,
//! which the kernel applies whole or not at all
//! (<https://www.kernel.org/doc/html/latest/networking/netlink_spec/nftables.html>).

mod batch;
mod expression;
mod masquerade;
mod message;

pub(crate) use batch::{Batch, ChainHook, Element, ElementData, MapSpec};
pub(crate) use expression::{Expression, Verdict};
pub(crate) use masquerade::masquerade;

//! nftables rule sets, as netlink messages of our own (no nft binary). Every change is one batch,
//! which the kernel applies whole or not at all
//! (<https://www.kernel.org/doc/html/latest/networking/netlink_spec/nftables.html>).

mod batch;
mod element;
mod expression;
mod masquerade;
mod message;
mod socket;
mod table;

pub(crate) use element::{Element, ElementData, elements};
pub(crate) use expression::{
    ADDRESS_LOCAL, End, Expression, Register, STATE_ESTABLISHED, STATE_NEW, STATE_RELATED, Verdict,
};
pub(crate) use masquerade::{address, in_range, masquerade};
pub(crate) use message::{Attributes, attribute, body_attributes, message};
pub(crate) use socket::{ACKNOWLEDGE, KeptSocket, NetfilterSocket, REQUEST};
pub(crate) use table::{ChainHook, ElementChanges, Holds, Table, TableChange, TableName};

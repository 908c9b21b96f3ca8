//! What a request is led by: a table of rules by port and host, in the order in which they are tried.
//! Plain data, made from objects and asked by the server.

mod action;
mod host;
mod matching;
mod table;

pub(crate) use action::{
    Action, Backend, External, HeaderChanges, Mirror, PathChange, Protocol, Redirect, Rewrite,
    Target,
};
pub(crate) use host::{HostPattern, host_of};
pub(crate) use matching::{Asked, Match, PathMatch, TextMatch, whole};
pub(crate) use table::{Age, Port, Routes, Rule, Table};

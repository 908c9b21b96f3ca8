//! One family's table in the kernel, kept equal to the ports that are wanted.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;

use ipnet::IpNet;

use super::Protocol;
use super::affinity;
use super::applied::{Applied, Before};
use super::claims::Claims;
use super::rules::FrontendKey;
use crate::nftables::{KeptSocket, TableName};
use crate::{Error, Family, Result, conntrack};

/// Writes the services of one family.
#[derive(Debug)]
pub(super) struct Writer {
    table: TableName,
    pod_range: Option<IpNet>,
    applied: Applied,
    /// The kernel has what is applied; otherwise nothing is known of what it has.
    is_written: bool,
    leftovers: Leftovers,
}

/// What rules alone do not end, of ports that changed.
#[derive(Debug, Default)]
struct Leftovers {
    /// Their flows may go to endpoints that are gone.
    datagrams: HashSet<FrontendKey>,
    /// Clients may be tied to endpoints that are gone.
    clients: bool,
}

impl Writer {
    /// A writer that knows nothing of what is in the kernel.
    pub(super) fn new(table: TableName, pod_range: Option<IpNet>) -> Writer {
        Writer {
            table,
            pod_range,
            applied: Applied::default(),
            is_written: false,
            leftovers: Leftovers::default(),
        }
    }

    /// Makes these ports what they are claimed to be.
    pub(super) fn update(
        &mut self,
        netfilter: &mut KeptSocket,
        touched: &[FrontendKey],
        claims: &Claims,
    ) -> Result<()> {
        let mut before = Before::default();
        let mut is_changed = false;
        for key in touched.iter().filter(|key| Family::of(&key.address) == self.table.family) {
            let changed = self.applied.put(*key, claims.of(key), &mut before);
            let Some(old) = changed else { continue };
            is_changed = true;
            self.leftovers.clients |= old.is_some_and(|port| port.affinity_seconds.is_some());
            if key.protocol == Protocol::Udp {
                self.leftovers.datagrams.insert(*key);
            }
        }
        if self.is_written && !is_changed {
            return Ok(());
        }
        let written = self.write(netfilter, &before);
        // A kernel may lack a family that nobody uses.
        let is_needed = self.applied.len() > 0 || self.table.family == Family::V4;
        self.is_written = written.is_ok() || !is_needed;
        match written {
            Err(source) if is_needed => {
                let operation = format!("program {} service ports", self.applied.len());
                Err(Error { operation, source })
            }
            _ => Ok(()),
        }
    }

    fn write(&mut self, netfilter: &mut KeptSocket, before: &Before) -> io::Result<()> {
        let (table, family) = (self.table, self.table.family);
        let is_changed = self.is_written && {
            let change = self.applied.change_since(before, family, self.pod_range);
            netfilter.with(|socket| change.apply(socket, table)).is_ok()
        };
        if !is_changed {
            // What cannot be read is not worth more than the rules.
            let clients = affinity::read(netfilter, table).unwrap_or_default();
            let whole = self.applied.whole(family, self.pod_range, clients);
            netfilter.with(|socket| whole.replace(socket, table))?;
        }
        self.settle(netfilter)
    }

    /// Ends what rules alone do not.
    fn settle(&mut self, netfilter: &mut KeptSocket) -> io::Result<()> {
        let (applied, family) = (&self.applied, self.table.family);
        if self.leftovers.clients {
            affinity::forget(netfilter, self.table, |entry| !applied.has_member(family, entry))?;
            self.leftovers.clients = false;
        }
        if self.leftovers.datagrams.is_empty() {
            return Ok(());
        }
        let flows: HashMap<_, Vec<SocketAddr>> = self
            .leftovers
            .datagrams
            .iter()
            .map(|key| {
                let endpoints = applied.port(key).map(|port| port.all_endpoints().copied());
                (key.flow_target(), endpoints.into_iter().flatten().collect())
            })
            .collect();
        netfilter.with(|socket| conntrack::forget_udp(socket, family, &flows))?;
        self.leftovers.datagrams.clear();
        Ok(())
    }
}

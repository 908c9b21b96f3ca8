//! Services of a node: where they are reached, what answers, and the kernel's rules kept equal to
//! that. Only what changed is looked at and written; established connections are not touched by a
//! change, for the kernel translates them by their conntrack entries.

mod affinity;
mod applied;
mod claims;
mod listing;
mod rules;
mod writer;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::nftables::{KeptSocket, TableName};
use crate::{Family, Result};
use claims::Claims;
pub use listing::{ListedPort, listed_services};
use writer::Writer;

/// The nftables table of Services.
const TABLE: &str = "kd-services";

/// A layer 4 protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Protocol 6.
    Tcp,
    /// Protocol 17.
    Udp,
    /// Protocol 132.
    Sctp,
}

impl Protocol {
    /// Its number in the IP header.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
}

/// Where a service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Frontend {
    /// An address that is the cluster's own: what its services do not take is refused.
    ClusterAddress(IpAddr),
    /// Another address; its other ports are none of ours.
    Address(IpAddr),
    /// A port of every address of the node of a family, but loopback ones.
    NodePort(Family),
}

impl Frontend {
    /// The family of what reaches it.
    pub fn family(&self) -> Family {
        match self {
            Frontend::ClusterAddress(address) | Frontend::Address(address) => Family::of(address),
            Frontend::NodePort(family) => *family,
        }
    }
}

/// Whose connections get the node's address as their source, so that answers come back this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Masquerade {
    /// Nobody's, but a pod's that reaches itself.
    Hairpin,
    /// Those from outside of the pods' range.
    Outsiders,
    /// All.
    Everybody,
}

/// What a new connection meets that no endpoint takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// It is told so.
    Reject,
    /// Silence: others may have endpoints.
    Drop,
}

/// One port of one service: where it is reached, and what answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// The service's address.
    pub frontend: Frontend,
    /// The service's port.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The endpoints that take new connections.
    pub endpoints: Vec<SocketAddr>,
    /// The endpoints for connections from outside, when these are others than for pods and the
    /// node itself. Outside connections keep their source then.
    pub for_outsiders: Option<Vec<SocketAddr>>,
    /// Whose connections get the node's address as their source.
    pub masquerade: Masquerade,
    /// How long a client stays with its endpoint after its last connection.
    pub affinity_seconds: Option<u32>,
    /// What meets connections that no endpoint takes.
    pub refusal: Refusal,
    /// The only sources that may connect; empty: all may.
    pub sources: Vec<IpNet>,
}

impl ServicePort {
    /// A port that leads everybody to the same endpoints, without further rules.
    pub fn plain(
        frontend: Frontend,
        port: u16,
        protocol: Protocol,
        endpoints: Vec<SocketAddr>,
    ) -> ServicePort {
        ServicePort {
            frontend,
            port,
            protocol,
            endpoints,
            for_outsiders: None,
            masquerade: Masquerade::Hairpin,
            affinity_seconds: None,
            refusal: Refusal::Reject,
            sources: Vec::new(),
        }
    }

    /// All that may answer.
    fn all_endpoints(&self) -> impl Iterator<Item = &SocketAddr> {
        self.endpoints.iter().chain(self.for_outsiders.iter().flatten())
    }
}

/// Programs services into this network namespace.
#[derive(Debug)]
pub struct Services {
    claims: Claims,
    writers: [Writer; 2],
    netfilter: KeptSocket,
}

impl Services {
    /// The services of a cluster whose pods have addresses of `pod_ranges`.
    pub fn new(pod_ranges: &[IpNet]) -> Services {
        Services::in_table(TABLE, pod_ranges)
    }

    /// Services in nftables tables of their own.
    pub(crate) fn in_table(name: &'static str, pod_ranges: &[IpNet]) -> Services {
        let of = |family| {
            let pod_range =
                pod_ranges.iter().copied().find(|range| Family::of_range(range) == family);
            Writer::new(TableName { family, name }, pod_range)
        };
        let writers = Family::ALL.map(of);
        Services { claims: Claims::default(), writers, netfilter: KeptSocket::default() }
    }

    /// Makes exactly these services, where nobody else has any. Duplicates of address, port and
    /// protocol: the first counts.
    pub fn set(&mut self, ports: impl IntoIterator<Item = Arc<ServicePort>>) -> Result<()> {
        self.update([("", ports.into_iter().collect())])
    }

    /// Gives owners exactly these ports. Where several want the same, the first by name has it.
    /// Writes only what changed; all of it the first time and after an error. A rule set that was
    /// tampered with is written again.
    pub fn update<O: AsRef<str>>(
        &mut self,
        owners: impl IntoIterator<Item = (O, Vec<Arc<ServicePort>>)>,
    ) -> Result<()> {
        let mut touched = Vec::new();
        for (owner, ports) in owners {
            touched.extend(self.claims.set(owner.as_ref(), ports));
        }
        let mut outcome = Ok(());
        for writer in &mut self.writers {
            // One family's failure must not keep the other from being right.
            outcome = outcome.and(writer.update(&mut self.netfilter, &touched, &self.claims));
        }
        outcome
    }
}

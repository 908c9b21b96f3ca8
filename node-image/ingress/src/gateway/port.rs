//! Ports while their rules are gathered.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::sign::CertifiedKey;

use crate::route::{HostPattern, Port, Routes, Rule, Table};

/// Certificates by host.
type Keys = Vec<(HostPattern, Arc<CertifiedKey>)>;

/// What is gathered.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    ports: BTreeMap<u16, (Routes, Option<Keys>)>,
}

impl Ports {
    /// The rules of Ingresses, which are the same with and without TLS.
    pub(crate) fn add_ingresses(&mut self, http: u16, https: u16, routes: Routes, keys: Keys) {
        self.ports.insert(http, (routes.clone(), None));
        self.ports.insert(https, (routes, Some(keys)));
    }

    /// Opens a port for a listener. False when the port speaks another protocol already.
    pub(super) fn open(&mut self, port: u16, is_secure: bool) -> bool {
        let new = || (Routes::default(), is_secure.then(Keys::new));
        self.ports.entry(port).or_insert_with(new).1.is_some() == is_secure
    }

    /// Adds a listener's certificates.
    pub(super) fn certify(&mut self, port: u16, host: &HostPattern, keys: &[Arc<CertifiedKey>]) {
        if let Some((_, Some(all))) = self.ports.get_mut(&port) {
            all.extend(keys.iter().map(|key| (host.clone(), key.clone())));
        }
    }

    /// Adds a route's rule.
    pub(super) fn add(&mut self, port: u16, host: HostPattern, rule: Rule) {
        if let Some((routes, _)) = self.ports.get_mut(&port) {
            routes.insert(host, rule);
        }
    }

    /// The table.
    pub(crate) fn into_table(self) -> Table {
        let finished = |(port, (mut routes, certificates)): (u16, (Routes, Option<Keys>))| {
            routes.sort();
            (port, Port { routes: Arc::new(routes), certificates })
        };
        Table { ports: self.ports.into_iter().map(finished).collect() }
    }
}

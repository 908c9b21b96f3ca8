//! Who wants which port. Of several that want the same, the first by name has it, whoever came first.

use std::collections::HashMap;
use std::sync::Arc;

use super::ServicePort;
use super::rules::FrontendKey;

/// A Service, and a port of it.
type Claim = (Arc<str>, Arc<ServicePort>);

/// The ports that owners want.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// By the owners' names.
    ports: HashMap<FrontendKey, Vec<Claim>>,
    owners: HashMap<Arc<str>, Vec<FrontendKey>>,
}

impl Claims {
    /// Takes an owner's ports in the place of those it had; tells which ports may be others now.
    pub(super) fn set(&mut self, owner: &str, ports: Vec<Arc<ServicePort>>) -> Vec<FrontendKey> {
        let known = self.owners.remove_entry(owner);
        let (owner, mut touched) = known.unwrap_or_else(|| (owner.into(), Vec::new()));
        touched.iter().for_each(|key| self.withdraw(key, &owner));
        let mut wanted = Vec::with_capacity(ports.len());
        for port in ports {
            let key = FrontendKey::of(&port);
            let claims = self.ports.entry(key).or_default();
            if let Err(place) = claims.binary_search_by(|(other, _)| other.cmp(&owner)) {
                claims.insert(place, (owner.clone(), port));
                wanted.push(key);
            }
        }
        touched.extend(&wanted);
        if !wanted.is_empty() {
            self.owners.insert(owner, wanted);
        }
        touched
    }

    /// What is to be at a port.
    pub(super) fn of(&self, key: &FrontendKey) -> Option<&Arc<ServicePort>> {
        self.ports.get(key)?.first().map(|(_, port)| port)
    }

    fn withdraw(&mut self, key: &FrontendKey, owner: &Arc<str>) {
        let Some(claims) = self.ports.get_mut(key) else { return };
        claims.retain(|(other, _)| other != owner);
        if claims.is_empty() {
            self.ports.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Frontend, Protocol};
    use super::*;

    fn port(number: u16, endpoint: &str) -> Arc<ServicePort> {
        let frontend = Frontend::ClusterAddress([10, 96, 0, 9].into());
        let endpoints = vec![endpoint.parse().unwrap()];
        Arc::new(ServicePort::plain(frontend, number, Protocol::Tcp, endpoints))
    }

    /// Ports as `NUMBER ENDPOINT`.
    fn set(claims: &mut Claims, owner: &str, ports: &[(u16, &str)], touched: &[u16]) {
        let ports = ports.iter().map(|(number, endpoint)| port(*number, endpoint)).collect();
        let found: Vec<u16> = claims.set(owner, ports).iter().map(|key| key.port).collect();
        assert_eq!(found, touched);
    }

    fn check(claims: &Claims, number: u16, endpoint: Option<&str>) {
        let key = FrontendKey::of(&port(number, "10.0.0.1:1"));
        let found = claims.of(&key).map(|port| port.endpoints[0].to_string());
        assert_eq!(found.as_deref(), endpoint);
    }

    #[test]
    fn the_first_by_name_has_a_port() {
        let mut claims = Claims::default();
        let (a, b, c) = ("10.0.0.1:1", "10.0.0.2:2", "10.0.0.3:3");
        set(&mut claims, "b", &[(80, b), (81, b)], &[80, 81]);
        set(&mut claims, "a", &[(80, a), (80, c)], &[80]);
        check(&claims, 80, Some(a));
        check(&claims, 81, Some(b));
        set(&mut claims, "a", &[(82, a)], &[80, 82]);
        check(&claims, 80, Some(b));
        check(&claims, 82, Some(a));
        set(&mut claims, "b", &[], &[80, 81]);
        set(&mut claims, "a", &[], &[82]);
        check(&claims, 80, None);
        assert!(claims.ports.is_empty() && claims.owners.is_empty());
    }
}

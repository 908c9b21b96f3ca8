//! Node ports.

use std::collections::BTreeMap;

use kd_api::{FieldError, Object, Path};
use serde_json::Value;

use super::Need;

/// The key that takes a port.
pub(super) fn key(port: u16) -> String {
    format!("/-/nodeports/{port}")
}

/// Completes the ports of a Service; returns what is wrong with those that it names.
pub(super) fn allocate(need: &Need<'_>, service: &mut Value) -> Vec<FieldError> {
    let wanted = match service.str_at(&["spec", "type"]) {
        "NodePort" => true,
        "LoadBalancer" => {
            service.at(&["spec", "allocateLoadBalancerNodePorts"]) != Some(&Value::Bool(false))
        }
        _ => false,
    };
    let mut chosen = Chosen::default();
    let mut errors = Vec::new();
    let count = service.list_at(&["spec", "ports"]).len();
    for index in 0..count {
        let field = Path::new("spec").child("ports").index(index).child("nodePort");
        let Some(port) = service.pointer_mut(&format!("/spec/ports/{index}")) else { continue };
        match port.i64_at(&["nodePort"]).unwrap_or(0) {
            0 if wanted => match chosen.next(need, port) {
                Some(number) => port.set_at(&["nodePort"], number.into()),
                None => errors.push(full(field)),
            },
            0 => {}
            number => errors.extend(chosen.named(need, field, port, number).err()),
        }
    }
    let health = service.str_at(&["spec", "type"]) == "LoadBalancer"
        && service.str_at(&["spec", "externalTrafficPolicy"]) == "Local"
        && service.i64_at(&["spec", "healthCheckNodePort"]).unwrap_or(0) == 0;
    if health {
        match chosen.free(need) {
            Some(number) => service.set_at(&["spec", "healthCheckNodePort"], number.into()),
            None => errors.push(full(Path::new("spec").child("healthCheckNodePort"))),
        }
    }
    errors
}

fn full(field: Path) -> FieldError {
    FieldError::invalid(field, 0, "failed to allocate a nodePort: range is full")
}

/// The node ports of one Service so far: number, with the port and protocols that use it.
#[derive(Default)]
struct Chosen(BTreeMap<u16, Vec<(i64, String)>>);

impl Chosen {
    fn user(port: &Value) -> (i64, String) {
        (port.i64_at(&["port"]).unwrap_or(0), port.str_at(&["protocol"]).to_owned())
    }

    /// A node port: that of the same port with another protocol, or a free one.
    fn next(&mut self, need: &Need<'_>, port: &Value) -> Option<u16> {
        let user = Self::user(port);
        let shared = self.0.iter().find(|(_, users)| {
            users.iter().all(|(number, protocol)| *number == user.0 && *protocol != user.1)
        });
        let number = shared.map(|(number, _)| *number).or_else(|| self.free(need))?;
        self.0.entry(number).or_default().push(user);
        Some(number)
    }

    fn named(
        &mut self,
        need: &Need<'_>,
        field: Path,
        port: &Value,
        number: i64,
    ) -> Result<(), FieldError> {
        let range = &need.config().node_ports;
        let valid = u16::try_from(number).ok();
        let held = valid.is_some_and(|number| need.had.ports.contains(&number));
        let Some(known) = valid.filter(|number| held || range.contains(number)) else {
            let why = format!(
                "provided port is not in the valid range. The range of valid ports is {}-{}",
                range.start(),
                range.end()
            );
            return Err(FieldError::invalid(field, number, why));
        };
        let users = self.0.entry(known).or_default();
        let first = users.is_empty();
        users.push(Self::user(port));
        if first && !held && need.snapshot.get(&key(known)).is_some() {
            return Err(FieldError::invalid(field, number, "provided port is already allocated"));
        }
        Ok(())
    }

    /// A free port, at random.
    fn free(&self, need: &Need<'_>) -> Option<u16> {
        let range = need.config().node_ports.clone();
        let (first, count) = (*range.start(), u32::try_from(range.len()).ok()?);
        let start = ((need.server.random)() % u128::from(count.max(1))) as u32;
        let ports = (0..count).map(|step| first + ((start + step) % count) as u16);
        ports.into_iter().find(|port| {
            !self.0.contains_key(port)
                && !need.had.ports.contains(port)
                && need.snapshot.get(&key(*port)).is_none()
        })
    }
}

//! Cluster IPs and node ports of Services: taken and given back in the transaction that writes the
//! Service. An address is taken by its IPAddress object, a port by a key of its own.

mod families;
mod ports;
mod ranges;

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use kd_api::{FieldError, Object, Path, Status};
use kd_store::{Expect, Snapshot, Transaction};
use serde_json::{Value, json};

use crate::config::Config;
use crate::pipeline::uuid;
use crate::server::ApiServer;
use crate::storage::{encode, resource_prefix};
use families::Families;

const NETWORKING: &str = "networking.k8s.io";
/// Addresses at the beginning of a range that are only given to who names them.
const STATIC_ADDRESSES_MIN: u128 = 16;
const STATIC_ADDRESSES_MAX: u128 = 256;

/// Completes a Service, and takes and gives back what that needs.
pub(crate) fn allocate(
    server: &ApiServer,
    snapshot: &Snapshot,
    service: &mut Value,
    old: Option<&Value>,
) -> Result<Transaction, Status> {
    let had = old.map(Held::of).unwrap_or_default();
    let need = Need { server, snapshot, had: &had };
    let mut errors = Vec::new();
    match service.str_at(&["spec", "type"]) {
        "ExternalName" => {}
        _ => {
            if let Some(old) = old {
                families::carry_over(service, old);
            }
            errors.extend(need.addresses(service, old).err());
        }
    }
    errors.extend(ports::allocate(&need, service));
    if !errors.is_empty() {
        return Err(Status::invalid("", "Service", service.name(), &errors));
    }
    let has = Held::of(service);
    let mut transaction = Transaction::new();
    for address in has.addresses.difference(&had.addresses) {
        let object = address_object(server, *address, service);
        transaction = transaction.create(address_key(*address), encode(&object));
    }
    for port in has.ports.difference(&had.ports) {
        let owner = format!("{}/{}", service.namespace(), service.name());
        transaction = transaction.create(ports::key(*port), owner);
    }
    Ok(transaction.and(given_back(snapshot, &had, &has)))
}

/// Gives back what a Service held.
pub(crate) fn release(snapshot: &Snapshot, service: &Value) -> Transaction {
    given_back(snapshot, &Held::of(service), &Held::default())
}

fn given_back(snapshot: &Snapshot, had: &Held, has: &Held) -> Transaction {
    let addresses = had.addresses.difference(&has.addresses).map(|ip| address_key(*ip));
    let ports = had.ports.difference(&has.ports).map(|port| ports::key(*port));
    let keys = addresses.chain(ports).filter(|key| snapshot.get(key).is_some());
    keys.fold(Transaction::new(), |transaction, key| transaction.delete(key, Expect::Any))
}

/// What a Service holds.
#[derive(Default)]
struct Held {
    addresses: BTreeSet<IpAddr>,
    ports: BTreeSet<u16>,
}

impl Held {
    fn of(service: &Value) -> Held {
        let addresses = service.list_at(&["spec", "clusterIPs"]).iter();
        let addresses = addresses.filter_map(|ip| ip.as_str()?.parse().ok()).collect();
        let health = service.i64_at(&["spec", "healthCheckNodePort"]);
        let ports = service.list_at(&["spec", "ports"]).iter();
        let ports = ports.filter_map(|port| port.i64_at(&["nodePort"])).chain(health);
        let ports = ports.filter_map(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
        Held { addresses, ports: ports.collect() }
    }
}

/// What allocations look at.
struct Need<'a> {
    server: &'a ApiServer,
    snapshot: &'a Snapshot,
    had: &'a Held,
}

impl Need<'_> {
    fn config(&self) -> &Config {
        &self.server.config
    }

    /// Fills in families, policy and addresses.
    fn addresses(&self, service: &mut Value, old: Option<&Value>) -> Result<(), FieldError> {
        let families = Families::of(&self.config().service_ranges, service, old)?;
        families.fill(service);
        let given: Vec<String> = service
            .list_at(&["spec", "clusterIPs"])
            .iter()
            .filter_map(|ip| ip.as_str().map(str::to_owned))
            .collect();
        if given.first().is_some_and(|first| first == "None") {
            return Ok(());
        }
        let mut addresses = Vec::new();
        for (index, range) in families.ranges.iter().enumerate() {
            let address = match given.get(index).filter(|text| !text.is_empty()) {
                Some(text) => self.asked(text, range, &given)?,
                None => self.free(range).ok_or_else(|| exhausted(range))?,
            };
            addresses.push(address.to_string());
        }
        service.set_at(&["spec", "clusterIP"], addresses.first().cloned().into());
        service.set_at(&["spec", "clusterIPs"], addresses.into());
        Ok(())
    }

    /// An address that the client names.
    fn asked(&self, text: &str, range: &IpNet, all: &[String]) -> Result<IpAddr, FieldError> {
        let field = || Path::new("spec").child("clusterIPs");
        let refused = |why: String| {
            FieldError::invalid(field(), json!(all), format!("failed to allocate IP {text}: {why}"))
        };
        let address: IpAddr = text.parse().map_err(|_| refused("not an address".into()))?;
        // What it has it keeps, also of a range that goes.
        if self.had.addresses.contains(&address) {
            return Ok(address);
        }
        let is_in = |range: &IpNet| range.contains(&address);
        if !is_in(range) && !ranges::added(self.snapshot, range).iter().any(is_in) {
            return Err(refused(format!(
                "the provided IP ({text}) is not in the valid range. The range of valid IPs is {range}"
            )));
        }
        match self.snapshot.get(&address_key(address)).is_some() {
            true => Err(refused("provided IP is already allocated".into())),
            false => Ok(address),
        }
    }

    /// A free address of the cluster's own range, or of one that was added when that is full.
    fn free(&self, range: &IpNet) -> Option<IpAddr> {
        let added = || ranges::added(self.snapshot, range);
        self.free_in(range).or_else(|| added().iter().find_map(|range| self.free_in(range)))
    }

    /// A free address, at random, from behind the ones that are only given to who names them.
    fn free_in(&self, range: &IpNet) -> Option<IpAddr> {
        let (first, count) = usable(range);
        let reserved = (count / 16).clamp(STATIC_ADDRESSES_MIN, STATIC_ADDRESSES_MAX).min(count);
        let dynamic = count - reserved;
        let is_free = |address: &IpAddr| self.snapshot.get(&address_key(*address)).is_none();
        // More than every address that is taken is never looked at.
        let looked = dynamic.min(self.snapshot.len() as u128 + 1);
        let start = if dynamic == 0 { 0 } else { (self.server.random)() % dynamic };
        (0..looked)
            .map(|step| offset(first, reserved + (start + step) % dynamic))
            .find(is_free)
            .or_else(|| (0..reserved).map(|step| offset(first, step)).find(is_free))
    }
}

/// The first address that services can have, and how many there are.
fn usable(range: &IpNet) -> (IpAddr, u128) {
    let bits = u32::from(range.max_prefix_len() - range.prefix_len());
    let size = 1u128.checked_shl(bits).unwrap_or(u128::MAX);
    // Not the network's own address, nor (in IPv4) the broadcast address.
    let lost = if range.addr().is_ipv4() { 2 } else { 1 };
    (offset(range.network(), 1), size.saturating_sub(lost).max(1))
}

fn offset(address: IpAddr, by: u128) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4(u32::from(v4).wrapping_add(by as u32).into()),
        IpAddr::V6(v6) => IpAddr::V6(u128::from(v6).wrapping_add(by).into()),
    }
}

fn exhausted(range: &IpNet) -> FieldError {
    let field = Path::new("spec").child("clusterIPs");
    FieldError::invalid(
        field,
        json!([]),
        format!("failed to allocate an IP: range {range} is full"),
    )
}

fn address_key(address: IpAddr) -> String {
    format!("{}{address}", resource_prefix(NETWORKING, "ipaddresses"))
}

/// The IPAddress that says who has it.
fn address_object(server: &ApiServer, address: IpAddr, service: &Value) -> Value {
    let now: Timestamp = (server.clock)();
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let mut object = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {"name": address.to_string(), "labels": {
            "ipaddress.kubernetes.io/ip-family": family,
            "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
        }},
        "spec": {"parentRef": {"resource": "services",
            "namespace": service.namespace(), "name": service.name()}},
    });
    object.set_uid(&uuid((server.random)()));
    object.set_creation_timestamp(now);
    object
}

/// The address of the service `default/kubernetes`: the first of the range.
pub(crate) fn first_address(range: &IpNet) -> IpAddr {
    usable(range).0
}

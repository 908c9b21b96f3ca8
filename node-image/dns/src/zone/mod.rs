//! The cluster's zone: what is answered for each name in it, as a function of Services,
//! EndpointSlices and namespaces. Names are looked up, not listed: a pod's record needs no pod.

mod address;
mod service;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use hickory_proto::rr::rdata::{CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kd_client::{Key, Object, View, resources};

use crate::{Error, Result};
use address::{of_pod, of_reverse_name};
use service::{Asked, ServiceRecords, Target};

/// Clients keep answers this long, those that something does not exist, too.
const TTL_SECONDS: u32 = 5;
/// The version of the specification (`dns-version.<domain>`).
const SPECIFICATION: &str = "1.1.0";
/// Ties a slice to its Service.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// Everything the cluster's names lead to.
pub(crate) struct Zone {
    domain: Vec<String>,
    origin: Name,
    /// Addresses of the DNS service itself.
    servers: Vec<IpAddr>,
    serial: u32,
    is_complete: bool,
    services: HashMap<Key, ServiceRecords>,
    namespaces: HashSet<Box<str>>,
    holders: HashMap<IpAddr, BTreeSet<Holder>>,
}

/// What an address belongs to: a Service or, after those, one of its endpoints by host name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    Service(Key),
    Endpoint(Key, String),
}

/// What the zone says about a question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// Not the cluster's.
    Foreign,
    /// The cluster's, but its API has not been read yet.
    Unknown,
    /// The name does not exist.
    NoName,
    /// The name exists; maybe without records of this type.
    Records(Vec<Record>, Vec<Record>),
    /// The name stands for another.
    Alias(Name),
}

impl Zone {
    /// A zone that knows nothing yet. `servers` are the DNS service's addresses.
    pub(crate) fn new(domain: &str, servers: Vec<IpAddr>) -> Result<Zone> {
        let not_a_name = || Error::Domain(domain.to_owned());
        let mut origin = Name::from_ascii(domain).map_err(|_| not_a_name())?.to_lowercase();
        origin.set_fqdn(true);
        let domain = labels(&origin).filter(|labels| !labels.is_empty()).ok_or_else(not_a_name)?;
        Ok(Zone {
            domain,
            origin,
            servers,
            serial: 0,
            is_complete: false,
            services: HashMap::new(),
            namespaces: HashSet::new(),
            holders: HashMap::new(),
        })
    }

    /// Whether the API has been read.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Takes over everything that a View holds.
    pub(crate) fn fill(&mut self, view: &View) {
        let services = view.objects(&resources::SERVICES, None).map(|o| o.key()).collect();
        let namespaces = view.objects(&resources::NAMESPACES, None).map(|o| o.key().name).collect();
        self.update(view, &services, &namespaces);
        self.is_complete = true;
    }

    /// Takes over some Services, with their slices, and some namespaces.
    pub(crate) fn update(
        &mut self,
        view: &View,
        services: &BTreeSet<Key>,
        namespaces: &BTreeSet<Box<str>>,
    ) {
        let mut slices = slices_of(view, services);
        for key in services {
            let service = view.get::<Service>(&key.namespace, &key.name);
            let slices = slices.remove(key).unwrap_or_default();
            let records = service.and_then(|service| ServiceRecords::of(&service, &slices));
            self.replace(key, records);
        }
        for name in namespaces {
            let key = Key::cluster(name);
            match view.object(&resources::NAMESPACES, &key) {
                Some(_) => self.namespaces.insert(key.name),
                None => self.namespaces.remove(name),
            };
        }
        let read = [&resources::SERVICES, &resources::ENDPOINT_SLICES];
        let revision = read.map(|resource| view.revision(resource)).into_iter().max();
        // Serial numbers wrap around by their definition (RFC 1982).
        self.serial = revision.unwrap_or_default() as u32;
    }

    fn replace(&mut self, key: &Key, records: Option<ServiceRecords>) {
        let before = self.services.remove(key);
        for (address, holder) in before.iter().flat_map(|records| holders(key, records)) {
            if let Some(others) = self.holders.get_mut(&address) {
                others.remove(&holder);
                if others.is_empty() {
                    self.holders.remove(&address);
                }
            }
        }
        let Some(records) = records else { return };
        for (address, holder) in holders(key, &records) {
            self.holders.entry(address).or_default().insert(holder);
        }
        self.services.insert(key.clone(), records);
    }

    /// What there is for a name and a type.
    pub(crate) fn resolve(&self, name: &Name, record_type: RecordType) -> Outcome {
        let Some(labels) = labels(name) else {
            // Labels of other bytes than text are in no Kubernetes name.
            return if self.origin.zone_of(name) { Outcome::NoName } else { Outcome::Foreign };
        };
        let Some(relative) = labels.strip_suffix(self.domain.as_slice()) else {
            return self.reverse(name, record_type);
        };
        if !self.is_complete {
            return Outcome::Unknown;
        }
        let relative: Vec<&str> = relative.iter().map(String::as_str).collect();
        match relative.as_slice() {
            [] => self.apex(name, record_type),
            ["dns-version"] => {
                let text = RData::TXT(TXT::new(vec![SPECIFICATION.to_owned()]));
                records_of(name, record_type, [text])
            }
            ["dns"] => nothing(),
            ["ns", "dns"] => {
                records_of(name, record_type, self.servers.iter().copied().map(address_data))
            }
            ["svc" | "pod"] => nothing(),
            [namespace, "svc" | "pod"] => self.in_namespace(namespace, nothing),
            [pod, namespace, "pod"] => self.in_namespace(namespace, || match of_pod(pod) {
                Some(address) => records_of(name, record_type, [address_data(address)]),
                None => Outcome::NoName,
            }),
            [rest @ .., service, namespace, "svc"] => {
                let key = Key::new(namespace, service);
                match (self.services.get(&key), Asked::of(rest)) {
                    (Some(records), Some(asked)) => {
                        self.service(name, record_type, (&key, records), &asked)
                    }
                    _ => Outcome::NoName,
                }
            }
            _ => Outcome::NoName,
        }
    }

    /// The record that tells how long a denial holds.
    pub(crate) fn authority(&self) -> Record {
        let master = self.name(&["ns", "dns"]);
        let mailbox = self.name(&["hostmaster"]);
        let soa = SOA::new(master, mailbox, self.serial, 7200, 1800, 86400, TTL_SECONDS);
        record(&self.origin, RData::SOA(soa))
    }

    fn apex(&self, name: &Name, record_type: RecordType) -> Outcome {
        match record_type {
            RecordType::SOA => Outcome::Records(vec![self.authority()], Vec::new()),
            RecordType::NS => {
                let server = self.name(&["ns", "dns"]);
                let servers = self.servers.iter().map(|ip| record(&server, address_data(*ip)));
                let additionals = servers.collect();
                let answer = record(name, RData::NS(NS(server)));
                Outcome::Records(vec![answer], additionals)
            }
            _ => nothing(),
        }
    }

    fn in_namespace(&self, namespace: &str, answer: impl FnOnce() -> Outcome) -> Outcome {
        if self.namespaces.contains(namespace) { answer() } else { Outcome::NoName }
    }

    fn service(
        &self,
        name: &Name,
        record_type: RecordType,
        (key, records): (&Key, &ServiceRecords),
        asked: &Asked,
    ) -> Outcome {
        if let Some(external) = records.external() {
            return match asked {
                Asked::Service => Outcome::Alias(external.clone()),
                _ => Outcome::NoName,
            };
        }
        let targets = records.targets(asked);
        match record_type {
            _ if targets.is_empty() => Outcome::NoName,
            RecordType::SRV => self.server_records(name, key, &targets),
            _ if matches!(asked, Asked::Protocol(_)) => nothing(),
            _ => {
                let mut seen = HashSet::new();
                let addresses = targets.iter().map(|t| t.address).filter(|ip| seen.insert(*ip));
                records_of(name, record_type, addresses.map(address_data))
            }
        }
    }

    /// One record for each host and port; the hosts' addresses come along.
    fn server_records(&self, name: &Name, key: &Key, targets: &[Target]) -> Outcome {
        let mut hosts: Vec<(Name, u16)> = Vec::new();
        let mut additionals = Vec::new();
        let (mut seen, mut seen_addresses) = (HashSet::new(), HashSet::new());
        for target in targets {
            let Some(port) = target.port else { continue };
            if seen.insert((target.host, port)) {
                hosts.push((self.host_name(key, target.host), port));
            }
            if seen_addresses.insert((target.host, target.address)) {
                let host = self.host_name(key, target.host);
                additionals.push(record(&host, address_data(target.address)));
            }
        }
        let weight = (100 / hosts.len().max(1)).max(1) as u16;
        let data = hosts.into_iter().map(|(host, port)| SRV::new(0, weight, port, host));
        let answers = data.map(|data| record(name, RData::SRV(data))).collect();
        Outcome::Records(answers, additionals)
    }

    fn reverse(&self, name: &Name, record_type: RecordType) -> Outcome {
        let Some(address) = of_reverse_name(name) else { return Outcome::Foreign };
        if !self.is_complete {
            return Outcome::Unknown;
        }
        let Some(holders) = self.holders.get(&address) else { return Outcome::Foreign };
        let is_service = |holder: &&Holder| matches!(holder, Holder::Service(_));
        let any_service = holders.iter().any(|holder| is_service(&holder));
        let chosen = holders.iter().filter(|holder| is_service(holder) == any_service);
        let data = chosen.map(|holder| {
            let (key, host) = match holder {
                Holder::Service(key) => (key, None),
                Holder::Endpoint(key, host) => (key, Some(host.as_str())),
            };
            RData::PTR(PTR(self.host_name(key, host)))
        });
        records_of(name, record_type, data)
    }

    fn host_name(&self, key: &Key, host: Option<&str>) -> Name {
        let of_service = [&*key.name, &*key.namespace, "svc"];
        let parts: Vec<&str> = host.into_iter().chain(of_service).collect();
        self.name(&parts)
    }

    /// A name of this zone. Kubernetes' names are valid labels; were one not, the zone itself stands
    /// in for it.
    fn name(&self, relative: &[&str]) -> Name {
        let local = Name::from_labels(relative.iter().map(|label| label.as_bytes()));
        local.and_then(|name| name.append_domain(&self.origin)).unwrap_or(self.origin.clone())
    }
}

/// The record that a name stands for another.
pub(crate) fn alias(name: &Name, target: &Name) -> Record {
    record(name, RData::CNAME(CNAME(target.clone())))
}

/// The slices of some Services, read from the View once.
fn slices_of(view: &View, services: &BTreeSet<Key>) -> HashMap<Key, Vec<EndpointSlice>> {
    let mut found: HashMap<Key, Vec<EndpointSlice>> = HashMap::new();
    let namespaces: BTreeSet<&str> = services.iter().map(|key| &*key.namespace).collect();
    for namespace in namespaces {
        for object in view.objects(&resources::ENDPOINT_SLICES, Some(namespace)) {
            if let Some(key) = service_of_slice(object).filter(|key| services.contains(key)) {
                found.entry(key).or_default().extend(object.decode());
            }
        }
    }
    found
}

/// The Service that a slice belongs to.
pub(crate) fn service_of_slice(slice: &Object) -> Option<Key> {
    let service = slice.metadata.labels.get(SERVICE_NAME_LABEL)?;
    Some(Key::new(&slice.metadata.namespace, service))
}

fn holders(key: &Key, records: &ServiceRecords) -> Vec<(IpAddr, Holder)> {
    let own = records.addresses().iter().map(|ip| (*ip, Holder::Service(key.clone())));
    let endpoints = records
        .named_endpoints()
        .map(|(host, ip)| (ip, Holder::Endpoint(key.clone(), host.to_owned())));
    own.chain(endpoints).collect()
}

/// The labels in small letters; None when one is not text.
fn labels(name: &Name) -> Option<Vec<String>> {
    let text = |label| std::str::from_utf8(label).map(str::to_ascii_lowercase).ok();
    name.iter().map(text).collect()
}

fn nothing() -> Outcome {
    Outcome::Records(Vec::new(), Vec::new())
}

/// Of the data that a name has, the part of one type.
fn records_of(
    name: &Name,
    record_type: RecordType,
    data: impl IntoIterator<Item = RData>,
) -> Outcome {
    let wanted = data.into_iter().filter(|data| data.record_type() == record_type);
    Outcome::Records(wanted.map(|data| record(name, data)).collect(), Vec::new())
}

fn record(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), TTL_SECONDS, data)
}

fn address_data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(address.into()),
        IpAddr::V6(address) => RData::AAAA(address.into()),
    }
}

//! The allocator: finds devices for all pending claims of a pod on one node, by trying and taking
//! back (structured parameters, KEP-4381). Pure, and bounded.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Toleration;
use serde_json::{Value, json};

use super::device::{Device, Reach, Selector};
use super::{Class, DeviceId, Devices, list, text};
use crate::node::NodeFacts;

/// Devices that one claim can have (upstream's AllocationResultsMaxSize).
const RESULTS_MAX: usize = 32;
/// Devices tried for one node; more combinations are not looked at.
const STEPS_MAX: usize = 200_000;

/// The `status.allocation` of a claim.
#[derive(Clone, Debug, PartialEq)]
pub struct Allocation(pub Value);

/// A request as it is meant: `exactly`, or one of `firstAvailable`.
struct Request<'a> {
    /// `request` or `request/subrequest`.
    name: String,
    /// What constraints and configurations may call it, too.
    parent: &'a str,
    class: Option<&'a Arc<Class>>,
    selectors: Vec<Selector>,
    /// None for all that match.
    count: Option<usize>,
    admin: bool,
    tolerations: Vec<Toleration>,
    written_tolerations: &'a Value,
}

/// The alternatives for each request of a claim, and its constraints.
struct Claim<'a> {
    written: &'a Value,
    requests: Vec<Vec<Request<'a>>>,
}

/// Allocates for one pod.
pub struct Allocator<'a> {
    devices: &'a Devices,
    claims: Vec<Claim<'a>>,
    in_use: HashSet<DeviceId>,
    /// Newest generation and number of slices by driver and pool.
    pools: HashMap<(Arc<str>, Arc<str>), Pool>,
    /// What selectors said: by request and device.
    selected: RefCell<HashMap<(usize, usize, usize, DeviceId), bool>>,
}

#[derive(Default)]
struct Pool {
    generation: i64,
    there: i64,
    expected: i64,
    names: HashSet<Arc<str>>,
    doubled: bool,
}

/// A device that was taken for a request: by claim, request, alternative.
struct Taken<'a> {
    claim: usize,
    request: usize,
    alternative: usize,
    device: &'a Device,
    reach: &'a Reach,
}

/// One search on one node.
struct Search<'a, 'b> {
    allocator: &'b Allocator<'a>,
    candidates: Vec<(&'a Device, &'a Reach)>,
    /// Whether a pool of this node is not there completely.
    incomplete: bool,
    taken: Vec<Taken<'a>>,
    used: HashSet<DeviceId>,
    steps: usize,
}

impl<'a> Claim<'a> {
    fn of(written: &'a Value, devices: &'a Devices) -> Claim<'a> {
        let requests = list(&written["spec"]["devices"], "requests").map(|request| {
            let parent = text(request, "name");
            let sub = list(request, "firstAvailable").map(|sub| {
                Request::of(sub, format!("{parent}/{}", text(sub, "name")), parent, devices)
            });
            let exact = request.get("exactly").filter(|exact| exact.is_object());
            let exact = exact.map(|exact| Request::of(exact, parent.to_owned(), parent, devices));
            exact.into_iter().chain(sub).collect()
        });
        Claim { written, requests: requests.collect() }
    }
}

impl<'a> Request<'a> {
    fn of(request: &'a Value, name: String, parent: &'a str, devices: &'a Devices) -> Request<'a> {
        let count = request["count"].as_u64().and_then(|count| usize::try_from(count).ok());
        let tolerations = serde_json::from_value(request["tolerations"].clone());
        Request {
            name,
            parent,
            class: devices.classes.get(text(request, "deviceClassName")),
            selectors: list(request, "selectors").map(Selector::of).collect(),
            count: (request["allocationMode"] != "All").then(|| count.unwrap_or(1)),
            admin: request["adminAccess"] == true,
            tolerations: tolerations.unwrap_or_default(),
            written_tolerations: &request["tolerations"],
        }
    }

    fn selects(&self, device: &Device) -> Result<bool, String> {
        let class = self.class.map(|class| class.selectors.as_slice()).unwrap_or_default();
        for (index, selector) in class.iter().enumerate() {
            let told = selector.selects(device);
            if !told.map_err(|e| format!("class: selector #{index}: {e}"))? {
                return Ok(false);
            }
        }
        for (index, selector) in self.selectors.iter().enumerate() {
            let told = selector.selects(device);
            if !told.map_err(|e| format!("request {}: selector #{index}: {e}", self.name))? {
                return Ok(false);
            }
        }
        Ok(device.is_tolerated(&self.tolerations))
    }

    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.parent == name
    }
}

impl<'a> Allocator<'a> {
    pub(super) fn new(devices: &'a Devices, pending: &[&'a Value]) -> Allocator<'a> {
        let mut pools: HashMap<(Arc<str>, Arc<str>), Pool> = HashMap::new();
        for slice in devices.slices.values() {
            let pool = pools.entry((slice.driver.clone(), slice.pool.clone())).or_default();
            if slice.generation > pool.generation {
                *pool = Pool { generation: slice.generation, ..Pool::default() };
            }
            if slice.generation == pool.generation {
                pool.there += 1;
                pool.expected = slice.slices;
                for device in &slice.devices {
                    pool.doubled |= !pool.names.insert(device.id.2.clone());
                }
            }
        }
        Allocator {
            devices,
            claims: pending.iter().map(|claim| Claim::of(claim, devices)).collect(),
            in_use: devices.in_use(),
            pools,
            selected: RefCell::default(),
        }
    }

    /// The allocations for all pending claims, in their order; None when the node does not have the
    /// devices.
    pub fn allocate(&self, node: &NodeFacts) -> Result<Option<Vec<Allocation>>, String> {
        let (candidates, incomplete) = self.candidates(node);
        let mut search = Search {
            allocator: self,
            candidates,
            incomplete,
            taken: Vec::new(),
            used: HashSet::new(),
            steps: 0,
        };
        if !search.request(0, 0)? {
            return Ok(None);
        }
        let taken = &search.taken;
        let allocation = |claim: usize| {
            let of_claim: Vec<&Taken<'_>> = taken.iter().filter(|t| t.claim == claim).collect();
            allocation(&self.claims[claim], &of_claim, node)
        };
        Ok(Some((0..self.claims.len()).map(allocation).collect()))
    }

    /// The devices that a node reaches, and whether some pool is not complete.
    fn candidates(&self, node: &NodeFacts) -> (Vec<(&'a Device, &'a Reach)>, bool) {
        let (mut found, mut incomplete) = (Vec::new(), false);
        for slice in self.devices.slices.values().filter(|slice| slice.reach.has(node)) {
            let Some(pool) = self.pools.get(&(slice.driver.clone(), slice.pool.clone())) else {
                continue;
            };
            if slice.generation != pool.generation || pool.doubled {
                continue;
            }
            if pool.there != pool.expected {
                incomplete = true;
                continue;
            }
            for device in &slice.devices {
                let reach = match (&slice.reach, &device.reach) {
                    (Reach::PerDevice, Some(reach)) => reach,
                    (Reach::PerDevice, None) => continue,
                    (reach, _) => reach,
                };
                if reach.has(node) {
                    found.push((device, reach));
                }
            }
        }
        (found, incomplete)
    }
}

impl<'a> Search<'a, '_> {
    /// Fulfils a request and all after it.
    fn request(&mut self, claim: usize, request: usize) -> Result<bool, String> {
        let allocator = self.allocator;
        let Some(current) = allocator.claims.get(claim) else { return Ok(true) };
        let Some(alternatives) = current.requests.get(request) else {
            return self.request(claim + 1, 0);
        };
        for (alternative, wanted) in alternatives.iter().enumerate() {
            let place = (claim, request, alternative);
            let fulfilled = match wanted.count {
                Some(count) => self.some(place, wanted, count, 0)?,
                None => self.all(place, wanted)?,
            };
            if fulfilled {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn selected(
        &self,
        place: (usize, usize, usize),
        wanted: &Request<'_>,
        device: &Device,
    ) -> Result<bool, String> {
        let key = (place.0, place.1, place.2, device.id.clone());
        if let Some(known) = self.allocator.selected.borrow().get(&key) {
            return Ok(*known);
        }
        let told = wanted.selects(device)?;
        self.allocator.selected.borrow_mut().insert(key, told);
        Ok(told)
    }

    /// Takes so many devices, from a place in the list on, and fulfils what comes after.
    fn some(
        &mut self,
        place: (usize, usize, usize),
        wanted: &Request<'_>,
        missing: usize,
        from: usize,
    ) -> Result<bool, String> {
        if missing == 0 {
            return self.request(place.0, place.1 + 1);
        }
        for index in from..self.candidates.len() {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return Ok(false);
            }
            let (device, _) = self.candidates[index];
            if !self.is_free(device, wanted) || !self.selected(place, wanted, device)? {
                continue;
            }
            if !self.take(place, wanted, index) {
                continue;
            }
            if self.some(place, wanted, missing - 1, index + 1)? {
                return Ok(true);
            }
            self.give_back(1);
        }
        Ok(false)
    }

    /// Takes every device that matches; none may be in use.
    fn all(&mut self, place: (usize, usize, usize), wanted: &Request<'_>) -> Result<bool, String> {
        self.steps += self.candidates.len().max(1);
        if self.steps > STEPS_MAX {
            return Ok(false);
        }
        let mut matching = Vec::new();
        for (index, (device, _)) in self.candidates.clone().into_iter().enumerate() {
            if self.selected(place, wanted, device)? {
                matching.push(index);
            }
        }
        // What is not known completely cannot be taken completely.
        if matching.is_empty() || self.incomplete {
            return Ok(false);
        }
        let mut taken = 0;
        for index in &matching {
            let free = self.is_free(self.candidates[*index].0, wanted);
            if !free || !self.take(place, wanted, *index) {
                break;
            }
            taken += 1;
        }
        if taken == matching.len() && self.request(place.0, place.1 + 1)? {
            return Ok(true);
        }
        self.give_back(taken);
        Ok(false)
    }

    fn is_free(&self, device: &Device, wanted: &Request<'_>) -> bool {
        wanted.admin
            || (!self.allocator.in_use.contains(&device.id) && !self.used.contains(&device.id))
    }

    /// Takes a device, unless the claim's constraints or size forbid it.
    fn take(&mut self, place: (usize, usize, usize), wanted: &Request<'_>, index: usize) -> bool {
        let (device, reach) = self.candidates[index];
        let (claim, request, alternative) = place;
        let of_claim = self.taken.iter().filter(|taken| taken.claim == claim);
        if of_claim.clone().count() >= RESULTS_MAX {
            return false;
        }
        let of_claim: Vec<&Taken<'a>> = of_claim.collect();
        let written = &self.allocator.claims[claim].written["spec"]["devices"];
        if !list(written, "constraints").all(|c| self.holds(c, &of_claim, wanted, device)) {
            return false;
        }
        if !wanted.admin {
            self.used.insert(device.id.clone());
        }
        self.taken.push(Taken { claim, request, alternative, device, reach });
        true
    }

    fn give_back(&mut self, count: usize) {
        for taken in self.taken.split_off(self.taken.len() - count) {
            let request = &self.allocator.claims[taken.claim].requests[taken.request];
            if !request[taken.alternative].admin {
                self.used.remove(&taken.device.id);
            }
        }
    }

    /// Whether a constraint holds with one more device.
    fn holds(
        &self,
        constraint: &Value,
        of_claim: &[&Taken<'a>],
        wanted: &Request<'_>,
        device: &Device,
    ) -> bool {
        let concerns = |request: &Request<'_>| {
            let mut names = list(constraint, "requests").filter_map(Value::as_str).peekable();
            names.peek().is_none() || names.any(|name| request.is_called(name))
        };
        if !concerns(wanted) {
            return true;
        }
        let requests = &self.allocator.claims;
        let others = of_claim.iter().filter(|taken| {
            concerns(&requests[taken.claim].requests[taken.request][taken.alternative])
        });
        let others = others.map(|taken| taken.device);
        if let Some(name) = constraint["matchAttribute"].as_str() {
            let value = device.attribute(name);
            return value.is_some() && others.clone().all(|other| other.attribute(name) == value);
        }
        if let Some(name) = constraint["distinctAttribute"].as_str() {
            let value = device.attribute(name);
            return value.is_some() && others.clone().all(|other| other.attribute(name) != value);
        }
        // A constraint of a kind that is not known cannot be said to hold.
        false
    }
}

fn allocation(claim: &Claim<'_>, taken: &[&Taken<'_>], node: &NodeFacts) -> Allocation {
    let request_of = |taken: &Taken<'_>| &claim.requests[taken.request][taken.alternative];
    let results: Vec<Value> = taken
        .iter()
        .map(|taken| {
            let request = request_of(taken);
            let (driver, pool, name) = &taken.device.id;
            let mut result = json!({"request": request.name, "driver": &**driver,
                "pool": &**pool, "device": &**name});
            if request.admin {
                result["adminAccess"] = json!(true);
            }
            if !request.written_tolerations.is_null() {
                result["tolerations"] = request.written_tolerations.clone();
            }
            result
        })
        .collect();
    let mut config = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for request in taken.iter().map(|taken| request_of(taken)) {
        if seen.contains(&request.name.as_str()) {
            continue;
        }
        seen.push(&request.name);
        for entry in request.class.iter().flat_map(|class| &class.config) {
            let mut entry = entry.clone();
            entry["source"] = json!("FromClass");
            entry["requests"] = json!([request.name]);
            config.push(entry);
        }
    }
    for entry in list(&claim.written["spec"]["devices"], "config") {
        let mut entry = entry.clone();
        entry["source"] = json!("FromClaim");
        config.push(entry);
    }
    let mut devices = json!({"results": results});
    if !config.is_empty() {
        devices["config"] = json!(config);
    }
    let mut allocation = json!({"devices": devices});
    if let Some(selector) = node_selector(taken, node) {
        allocation["nodeSelector"] = selector;
    }
    Allocation(allocation)
}

/// The nodes that reach all of the devices; None for all nodes.
fn node_selector(taken: &[&Taken<'_>], node: &NodeFacts) -> Option<Value> {
    if taken.iter().any(|taken| matches!(taken.reach, Reach::Node(_))) {
        return Some(json!({"nodeSelectorTerms": [{"matchFields": [
            {"key": "metadata.name", "operator": "In", "values": [node.name]}]}]}));
    }
    let mut term: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for taken in taken {
        let Reach::Selected(selector) = taken.reach else { continue };
        // A slice's selector has exactly one term.
        let first = &selector["nodeSelectorTerms"][0];
        for field in ["matchExpressions", "matchFields"] {
            for requirement in list(first, field) {
                let all = term.entry(field).or_default();
                if !all.contains(requirement) {
                    all.push(requirement.clone());
                }
            }
        }
    }
    (!term.is_empty()).then(|| json!({"nodeSelectorTerms": [term]}))
}

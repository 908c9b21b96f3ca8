//! A device and what selects it: expressions over its attributes and capacities, tolerated taints,
//! the nodes that reach it.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{NodeSelector, Taint, Toleration};
use kd_cel::{Activation, Budget, Environment, Error, Fields, PER_CALL_LIMIT, Program, Type};
use kd_cel::{Key as CelKey, Value as CelValue};
use kd_client::placement::{is_tolerated, matches_selector};
use serde_json::Value;

use super::{DeviceId, list, text};
use crate::node::NodeFacts;

/// A selector of devices, compiled; or why it cannot be.
#[derive(Clone, Debug)]
pub struct Selector(Result<Arc<Program>, String>);

/// The nodes that reach devices.
#[derive(Clone, Debug)]
pub enum Reach {
    /// One.
    Node(String),
    /// Those selected; `as written` for the allocation.
    Selected(Value),
    /// All.
    All,
    /// Each device says.
    PerDevice,
}

/// Devices that a driver offers together.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The driver.
    pub driver: Arc<str>,
    /// The pool.
    pub pool: Arc<str>,
    /// Only the newest generation of a pool counts.
    pub generation: i64,
    /// How many slices the pool has.
    pub slices: i64,
    /// Who reaches them.
    pub reach: Reach,
    /// The devices.
    pub devices: Vec<Device>,
}

/// A device.
#[derive(Clone, Debug)]
pub struct Device {
    /// Driver, pool, name.
    pub id: DeviceId,
    /// Who reaches it, if each says so itself.
    pub reach: Option<Reach>,
    /// As expressions see it.
    seen: CelValue,
    /// Attributes by their full names.
    attributes: BTreeMap<String, Value>,
    taints: Vec<Taint>,
}

/// Maps by domain; a domain that there is not is empty.
#[derive(Debug)]
struct Domains(BTreeMap<String, CelValue>);

impl Fields for Domains {
    fn field(&self, name: &str) -> Option<Result<CelValue, Error>> {
        let found = self.0.get(name).cloned();
        Some(Ok(found.unwrap_or_else(|| CelValue::map(Vec::new()))))
    }
}

fn reach(of: &Value) -> Option<Reach> {
    if let Some(name) = of["nodeName"].as_str().filter(|name| !name.is_empty()) {
        return Some(Reach::Node(name.to_owned()));
    }
    if of["allNodes"] == true {
        return Some(Reach::All);
    }
    let selector = &of["nodeSelector"];
    (!selector.is_null()).then(|| Reach::Selected(selector.clone()))
}

impl Reach {
    /// Whether a node does.
    pub fn has(&self, node: &NodeFacts) -> bool {
        match self {
            Reach::Node(name) => *name == node.name,
            Reach::Selected(selector) => selects(selector, node),
            Reach::All | Reach::PerDevice => true,
        }
    }
}

/// Whether a node selector, which may be absent, selects a node.
pub fn selects(selector: &Value, node: &NodeFacts) -> bool {
    if selector.is_null() {
        return true;
    }
    let read: Option<NodeSelector> = serde_json::from_value(selector.clone()).ok();
    read.is_some_and(|selector| matches_selector(&selector, &node.name, &node.labels))
}

impl Slice {
    /// Reads a slice. Devices that share counters with others are left out: that takes a feature
    /// that is not generally available.
    pub fn of(slice: &Value) -> Slice {
        let spec = &slice["spec"];
        let driver: Arc<str> = text(spec, "driver").into();
        let pool: Arc<str> = text(&spec["pool"], "name").into();
        let devices = list(spec, "devices").filter(|d| d["consumesCounters"].is_null());
        let reach = match spec["perDeviceNodeSelection"] == true {
            true => Reach::PerDevice,
            false => reach(spec).unwrap_or(Reach::Selected(Value::from(false))),
        };
        Slice {
            generation: spec["pool"]["generation"].as_i64().unwrap_or(0),
            slices: spec["pool"]["resourceSliceCount"].as_i64().unwrap_or(0),
            devices: devices.map(|device| Device::of(device, &driver, &pool)).collect(),
            reach,
            driver,
            pool,
        }
    }
}

impl Device {
    fn of(device: &Value, driver: &Arc<str>, pool: &Arc<str>) -> Device {
        let none = serde_json::Map::new();
        let entries = |field: &str| device[field].as_object().unwrap_or(&none);
        let full = |name: &str| match name.contains('/') {
            true => name.to_owned(),
            false => format!("{driver}/{name}"),
        };
        let attributes = entries("attributes");
        let by_name = attributes.iter().map(|(name, value)| (full(name), value.clone()));
        let domains = |of: Vec<(String, CelValue)>| {
            let mut domains: BTreeMap<String, Vec<(CelKey, CelValue)>> = BTreeMap::new();
            for (name, value) in of {
                let (domain, name) = name.rsplit_once('/').unwrap_or(("", &name));
                let key = CelKey::String(name.into());
                domains.entry(domain.to_owned()).or_default().push((key, value));
            }
            let maps = domains.into_iter().map(|(domain, map)| (domain, CelValue::map(map)));
            CelValue::Fields(Arc::new(Domains(maps.collect())))
        };
        let seen_attributes = attributes.iter().map(|(name, value)| (full(name), attribute(value)));
        let capacity = entries("capacity").iter();
        let capacity = capacity.map(|(name, of)| (full(name), library("quantity", &of["value"])));
        let seen = CelValue::object([
            ("driver", CelValue::from(&**driver)),
            ("attributes", domains(seen_attributes.collect())),
            ("capacity", domains(capacity.collect())),
            (
                "allowMultipleAllocations",
                CelValue::Bool(device["allowMultipleAllocations"] == true),
            ),
        ]);
        Device {
            id: (driver.clone(), pool.clone(), text(device, "name").into()),
            reach: reach(device),
            seen,
            attributes: by_name.collect(),
            taints: list(device, "taints")
                .filter_map(|taint| serde_json::from_value(taint.clone()).ok())
                .collect(),
        }
    }

    /// An attribute by its full name.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.get(name)
    }

    /// Whether all of its taints that keep pods away are tolerated.
    pub fn is_tolerated(&self, tolerations: &[Toleration]) -> bool {
        let hard = |taint: &&Taint| taint.effect == "NoSchedule" || taint.effect == "NoExecute";
        self.taints.iter().filter(hard).all(|taint| is_tolerated(tolerations, taint))
    }
}

fn attribute(value: &Value) -> CelValue {
    let known = value.as_object().and_then(|fields| fields.iter().next());
    match known.map(|(kind, value)| (kind.as_str(), value)) {
        Some(("bool", value)) => CelValue::Bool(value == true),
        Some(("int", value)) => CelValue::Int(value.as_i64().unwrap_or(0)),
        Some(("string", value)) => CelValue::from(value.as_str().unwrap_or_default()),
        Some(("version", value)) => library("semver", value),
        _ => CelValue::Null,
    }
}

/// A value that a function of a library makes of a text.
fn library(function: &str, of: &Value) -> CelValue {
    let environment = Environment::new().variable("text", Type::String);
    let Ok(program) = environment.compile(&format!("{function}(text)")) else {
        return CelValue::Null;
    };
    let given = Activation::new().with("text", CelValue::from(of.as_str().unwrap_or_default()));
    program.evaluate(&given, &mut Budget::new(PER_CALL_LIMIT)).unwrap_or_default()
}

impl Selector {
    /// Compiles a selector.
    pub fn of(selector: &Value) -> Selector {
        let maps = || Type::map(Type::String, Type::map(Type::String, Type::Dyn));
        let device = Type::object(
            "kubernetes.DRADevice",
            [
                ("driver", Type::String),
                ("attributes", maps()),
                ("capacity", maps()),
                ("allowMultipleAllocations", Type::Bool),
            ],
        );
        let environment = Environment::new().variable("device", device).with_bindings();
        let compiled = environment.compile(text(&selector["cel"], "expression"));
        Selector(compiled.map(Arc::new).map_err(|error| error.to_string()))
    }

    /// Whether it selects a device.
    pub fn selects(&self, device: &Device) -> Result<bool, String> {
        let program = self.0.as_ref().map_err(|e| format!("CEL compile error: {e}"))?;
        let given = Activation::new().with("device", device.seen.clone());
        let mut budget = Budget::new(PER_CALL_LIMIT);
        let value = program.evaluate(&given, &mut budget);
        let value = value.map_err(|e| format!("CEL runtime error: {e}"))?;
        value.as_bool().ok_or_else(|| "CEL result is not a boolean".to_owned())
    }
}

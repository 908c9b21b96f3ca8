//! Amounts of resources, as pods ask for and nodes have.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A resource by its name, looked up once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceName<'a> {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
    /// Local storage.
    Ephemeral,
    /// Anything else.
    Extended(&'a str),
}

impl<'a> ResourceName<'a> {
    /// The resource of a name.
    pub fn of(name: &'a str) -> ResourceName<'a> {
        match name {
            "cpu" => ResourceName::Cpu,
            "memory" => ResourceName::Memory,
            "ephemeral-storage" => ResourceName::Ephemeral,
            other => ResourceName::Extended(other),
        }
    }

    /// Whether every node has it.
    pub fn is_native(self) -> bool {
        !matches!(self, ResourceName::Extended(_))
    }
}

/// How much of each resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// CPU in thousandths of a core.
    pub cpu_milli: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Local storage in bytes.
    pub ephemeral_bytes: i64,
    /// Anything else, in units.
    pub extended: BTreeMap<String, i64>,
}

impl Amounts {
    /// Reads a resource list; amounts that cannot be read count as none (validation refuses them).
    pub fn of(list: Option<&BTreeMap<String, Quantity>>) -> Amounts {
        let mut amounts = Amounts::default();
        for (name, quantity) in list.into_iter().flatten() {
            let Ok(quantity) = quantity.0.parse::<kd_api::quantity::Quantity>() else { continue };
            match name.as_str() {
                "cpu" => amounts.cpu_milli = quantity.milli_value(),
                "memory" => amounts.memory_bytes = quantity.value(),
                "ephemeral-storage" => amounts.ephemeral_bytes = quantity.value(),
                "pods" => {}
                _ => {
                    amounts.extended.insert(name.clone(), quantity.value());
                }
            }
        }
        amounts
    }

    /// How much of a resource.
    pub fn get(&self, name: ResourceName<'_>) -> i64 {
        match name {
            ResourceName::Cpu => self.cpu_milli,
            ResourceName::Memory => self.memory_bytes,
            ResourceName::Ephemeral => self.ephemeral_bytes,
            ResourceName::Extended(other) => self.extended.get(other).copied().unwrap_or(0),
        }
    }

    /// As a node's status has them.
    pub fn written(&self, pods: i64) -> BTreeMap<String, String> {
        let mut all: BTreeMap<String, String> =
            self.extended.iter().map(|(name, amount)| (name.clone(), amount.to_string())).collect();
        all.insert("cpu".into(), format!("{}m", self.cpu_milli));
        all.insert("memory".into(), self.memory_bytes.to_string());
        all.insert("ephemeral-storage".into(), self.ephemeral_bytes.to_string());
        all.insert("pods".into(), pods.to_string());
        all
    }

    /// Adds another amount.
    pub fn add(&mut self, other: &Amounts) {
        self.combine(other, i64::saturating_add);
    }

    /// Takes another amount away.
    pub fn subtract(&mut self, other: &Amounts) {
        self.combine(other, i64::saturating_sub);
    }

    /// Raises each amount to at least the other's.
    pub fn raise(&mut self, other: &Amounts) {
        self.combine(other, i64::max);
    }

    fn combine(&mut self, other: &Amounts, with: impl Fn(i64, i64) -> i64) {
        self.cpu_milli = with(self.cpu_milli, other.cpu_milli);
        self.memory_bytes = with(self.memory_bytes, other.memory_bytes);
        self.ephemeral_bytes = with(self.ephemeral_bytes, other.ephemeral_bytes);
        for (name, amount) in &other.extended {
            let mine = self.extended.entry(name.clone()).or_insert(0);
            *mine = with(*mine, *amount);
        }
    }
}

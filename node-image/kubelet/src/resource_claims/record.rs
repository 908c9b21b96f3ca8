//! What is prepared, as it is kept over restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use k8s_openapi::api::resource::v1::ResourceClaim;
use serde::{Deserialize, Serialize};

/// A claim that was, or is about to be, prepared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PreparedClaim {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The uids of pods that have it.
    pub pods: BTreeSet<String>,
    /// What its drivers have made of it.
    pub drivers: BTreeMap<String, Vec<PreparedDevice>>,
    /// All drivers have.
    pub complete: bool,
}

/// A device of a claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PreparedDevice {
    /// The requests that it is for; all when empty.
    pub requests: Vec<String>,
    /// Its pool.
    pub pool: String,
    /// Its name.
    pub device: String,
    /// Its names in CDI files.
    pub cdi: Vec<String>,
}

impl PreparedClaim {
    /// A claim with its drivers, none of which has done anything.
    pub fn of(claim: &ResourceClaim) -> PreparedClaim {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let allocation = claim.status.as_ref().and_then(|status| status.allocation.as_ref());
        let devices = allocation.and_then(|allocation| allocation.devices.as_ref());
        let results = devices.and_then(|devices| devices.results.as_deref()).unwrap_or_default();
        PreparedClaim {
            namespace: text(&claim.metadata.namespace),
            name: text(&claim.metadata.name),
            uid: text(&claim.metadata.uid),
            drivers: results.iter().map(|result| (result.driver.clone(), Vec::new())).collect(),
            ..PreparedClaim::default()
        }
    }
}

impl PreparedDevice {
    /// Whether it is for a request, or for any. What a driver calls `request/subrequest` is for
    /// `request`.
    pub fn serves(&self, request: Option<&str>) -> bool {
        let Some(wanted) = request.filter(|request| !request.is_empty()) else { return true };
        let base = |name: &String| name.split('/').next() == Some(wanted);
        self.requests.is_empty() || self.requests.iter().any(base)
    }
}

/// Writes all.
pub fn save(path: &Path, claims: &[PreparedClaim]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let unfinished = path.with_extension("new");
    std::fs::write(&unfinished, serde_json::to_vec(claims)?)?;
    std::fs::rename(&unfinished, path)
}

/// Reads all; none when there is no file.
pub fn load(path: &Path) -> Result<Vec<PreparedClaim>, String> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| format!("{} cannot be read: {error}", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(format!("read {}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_devices_serve() {
        let check = |requests: &[&str], wanted: Option<&str>, expect: bool| {
            let requests = requests.iter().map(|name| (*name).to_owned()).collect();
            let device = PreparedDevice { requests, ..PreparedDevice::default() };
            assert_eq!(device.serves(wanted), expect, "{wanted:?}");
        };
        check(&["a"], None, true);
        check(&["a"], Some("a"), true);
        check(&["a/first"], Some("a"), true);
        check(&["a"], Some("b"), false);
        check(&[], Some("b"), true);
    }
}

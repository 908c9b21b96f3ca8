//! `kubelet_internal_checkpoint`: which devices were given to which containers, in upstream's form,
//! which some plugins read.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

const FILE: &str = "kubelet_internal_checkpoint";
/// The key of devices that are near no memory node in particular.
const NO_NODE: &str = "-1";

/// The devices of one resource that a container has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocation {
    /// The pod's uid.
    pub pod: String,
    /// The container's name.
    pub container: String,
    /// The resource.
    pub resource: String,
    /// Which.
    pub devices: BTreeSet<String>,
    /// The plugin's `ContainerAllocateResponse`, encoded.
    pub response: Bytes,
}

/// What is known from before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// What was given.
    pub allocations: Vec<Allocation>,
    /// Resources that there were.
    pub resources: Vec<String>,
}

/// Writes the file.
pub fn save(
    directory: &Path,
    allocations: &[Allocation],
    registered: &BTreeMap<String, BTreeSet<String>>,
) -> io::Result<()> {
    let entries: Vec<Value> = allocations.iter().map(entry).collect();
    let data = json!({"PodDeviceEntries": entries, "RegisteredDevices": registered});
    let sum = checksum(&data.to_string());
    let text = json!({"Data": data, "Checksum": sum}).to_string();
    std::fs::create_dir_all(directory)?;
    let unfinished = directory.join(format!(".{FILE}"));
    std::fs::write(&unfinished, text)?;
    std::fs::rename(&unfinished, directory.join(FILE))
}

fn entry(allocation: &Allocation) -> Value {
    json!({"PodUID": allocation.pod, "ContainerName": allocation.container,
        "ResourceName": allocation.resource, "DeviceIDs": {NO_NODE: allocation.devices},
        "AllocResp": STANDARD.encode(&allocation.response)})
}

/// Reads the file; nothing is known when there is none.
pub fn load(directory: &Path) -> Result<Known, String> {
    let path = directory.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Known::default()),
        Err(error) => return Err(format!("read {}: {error}", path.display())),
    };
    let unreadable = || format!("{} cannot be read", path.display());
    let all: Value = serde_json::from_str(&text).map_err(|_| unreadable())?;
    let data = &all["Data"];
    if all["Checksum"] != checksum(&data.to_string()) {
        return Err(format!("{} is damaged", path.display()));
    }
    let entries = data["PodDeviceEntries"].as_array().ok_or_else(unreadable)?;
    let allocations: Option<Vec<Allocation>> = entries.iter().map(allocation).collect();
    let resources = data["RegisteredDevices"].as_object().ok_or_else(unreadable)?;
    Ok(Known {
        allocations: allocations.ok_or_else(unreadable)?,
        resources: resources.keys().cloned().collect(),
    })
}

fn allocation(entry: &Value) -> Option<Allocation> {
    let text = |key: &str| entry[key].as_str().map(str::to_owned);
    let by_node = entry["DeviceIDs"].as_object()?.values();
    let devices = by_node.flat_map(|ids| ids.as_array().into_iter().flatten());
    Some(Allocation {
        pod: text("PodUID")?,
        container: text("ContainerName")?,
        resource: text("ResourceName")?,
        devices: devices.filter_map(|id| id.as_str().map(str::to_owned)).collect(),
        response: STANDARD.decode(text("AllocResp")?).ok()?.into(),
    })
}

/// FNV-1a: enough to tell a torn file.
fn checksum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("devices");
        assert_eq!(load(&directory), Ok(Known::default()));
        let given = Allocation {
            pod: "u".into(),
            container: "c".into(),
            resource: "kd.test/toy".into(),
            devices: BTreeSet::from(["a".into(), "b".into()]),
            response: Bytes::from_static(&[1, 2, 255]),
        };
        let registered = BTreeMap::from([("kd.test/toy".to_owned(), given.devices.clone())]);
        save(&directory, std::slice::from_ref(&given), &registered).unwrap();
        let known = Known { allocations: vec![given], resources: vec!["kd.test/toy".into()] };
        assert_eq!(load(&directory), Ok(known));
        let path = directory.join(FILE);
        let damaged = std::fs::read_to_string(&path).unwrap().replace("\"c\"", "\"d\"");
        std::fs::write(&path, damaged).unwrap();
        assert!(load(&directory).is_err());
    }
}

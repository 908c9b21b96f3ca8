//! `vol_data.json`: what a later kubelet must know of a mounted volume to take it away.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

const FILE: &str = "vol_data.json";

/// Whether a volume outlives its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// It is behind a claim.
    Persistent,
    /// It belongs to its pod.
    Ephemeral,
}

impl Lifecycle {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Lifecycle::Persistent => "Persistent",
            Lifecycle::Ephemeral => "Ephemeral",
        }
    }
}

/// What is written of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The PersistentVolume's name, or the volume's in the pod.
    pub name: String,
    /// The driver's own name of the volume.
    pub handle: String,
    /// The driver.
    pub driver: String,
    /// The node.
    pub node: String,
    /// The VolumeAttachment's name, if it is attached.
    pub attachment: String,
    /// How long it lives.
    pub lifecycle: Lifecycle,
}

impl Record {
    /// Writes it into a directory.
    pub fn save(&self, directory: &Path) -> io::Result<()> {
        let fields: BTreeMap<&str, &str> = BTreeMap::from([
            ("specVolID", self.name.as_str()),
            ("volumeHandle", &self.handle),
            ("driverName", &self.driver),
            ("nodeName", &self.node),
            ("attachmentID", &self.attachment),
            ("volumeLifecycleMode", self.lifecycle.as_str()),
        ]);
        std::fs::create_dir_all(directory)?;
        // Whoever is killed here leaves the old file or the new one.
        let unfinished = directory.join(format!("{FILE}.new"));
        std::fs::write(&unfinished, serde_json::to_vec(&fields)?)?;
        std::fs::rename(&unfinished, directory.join(FILE))
    }

    /// Reads it from a directory; none when there is no file that can be read.
    pub fn load(directory: &Path) -> Option<Record> {
        let bytes = std::fs::read(directory.join(FILE)).ok()?;
        let fields: BTreeMap<String, String> = serde_json::from_slice(&bytes).ok()?;
        let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let lifecycle = match field("volumeLifecycleMode").as_str() {
            "Ephemeral" => Lifecycle::Ephemeral,
            _ => Lifecycle::Persistent,
        };
        let record = Record {
            name: field("specVolID"),
            handle: field("volumeHandle"),
            driver: field("driverName"),
            node: field("nodeName"),
            attachment: field("attachmentID"),
            lifecycle,
        };
        (!record.handle.is_empty() && !record.driver.is_empty()).then_some(record)
    }

    /// Removes it and its directory, which nothing else may be left in.
    pub fn remove(directory: &Path) -> io::Result<()> {
        for name in [FILE.to_owned(), format!("{FILE}.new")] {
            gone(std::fs::remove_file(directory.join(name)))?;
        }
        gone(std::fs::remove_dir(directory))
    }
}

/// What is not there need not be removed.
pub fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("volume");
        assert_eq!(Record::load(&directory), None);
        let record = Record {
            name: "pv".into(),
            handle: "h".into(),
            driver: "d".into(),
            node: "n".into(),
            attachment: "csi-1".into(),
            lifecycle: Lifecycle::Ephemeral,
        };
        record.save(&directory).unwrap();
        assert_eq!(Record::load(&directory), Some(record));
        std::fs::write(directory.join("data"), "").unwrap();
        assert!(Record::remove(&directory).is_err(), "a user's file is not removed");
        std::fs::remove_file(directory.join("data")).unwrap();
        Record::remove(&directory).unwrap();
        Record::remove(&directory).unwrap();
        assert!(!directory.exists());
    }
}

//! What images a node has: one small file each, replaced by rename, so that the kubelet and an
//! import in another process see each other's work.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use nix::fcntl::FlockArg;
use serde::{Deserialize, Serialize};

use super::reference;
use super::references::{Held, hold};
use crate::{Error, Image, ImageError, Result};

/// Hexadecimal digits of what tells nodes of one name apart.
const INCARNATION_LENGTH: usize = 12;

/// One image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// `sha256:<hex>` of the configuration.
    pub id: String,
    /// Normalised tags.
    pub tags: Vec<String>,
    /// Normalised digests.
    pub digests: Vec<String>,
    /// Bytes, unpacked.
    pub size: u64,
    /// The OCI configuration, verbatim.
    pub config: String,
    /// Diff ids, lowest layer first.
    pub layers: Vec<String>,
}

impl Record {
    pub(super) fn image(&self) -> Image {
        Image {
            id: self.id.clone(),
            repo_tags: self.tags.clone(),
            repo_digests: self.digests.clone(),
            size_bytes: self.size,
            user: user_of(&self.config),
        }
    }

    fn answers_to(&self, name: &str) -> bool {
        self.id == name || self.tags.iter().chain(&self.digests).any(|known| known == name)
    }
}

fn user_of(config: &str) -> String {
    let parsed: Option<oci_spec::image::ImageConfiguration> = serde_json::from_str(config).ok();
    let user = parsed.as_ref().and_then(|c| c.config().as_ref()).and_then(|c| c.user().clone());
    user.unwrap_or_default()
}

type Loaded = BTreeMap<String, Arc<Record>>;

/// All images of a node.
pub(super) struct Records {
    directory: PathBuf,
    /// What was read, and the directory's time of change when it was.
    cache: Mutex<Option<(SystemTime, Arc<Loaded>)>>,
}

impl Records {
    pub(super) fn open(directory: &Path) -> Result<Records> {
        fs::create_dir_all(directory).map_err(failed("create", directory))?;
        Ok(Records { directory: directory.to_owned(), cache: Mutex::new(None) })
    }

    /// Waits until no other process of the node changes records.
    pub(super) fn turn(&self) -> Result<Held> {
        hold(&self.directory.join(".lock"), FlockArg::LockExclusive)
    }

    /// What tells this node from an earlier one of its name. It is as old as the records.
    pub(super) fn incarnation(&self) -> Result<String> {
        let path = self.directory.join(".incarnation");
        let _turn = self.turn()?;
        if let Ok(known) = fs::read_to_string(&path) {
            return Ok(known);
        }
        let made = crate::node::new_id().map_err(failed("name the node in", &path))?;
        let made = made[..INCARNATION_LENGTH].to_owned();
        let unfinished = path.with_extension("tmp");
        fs::write(&unfinished, &made).map_err(failed("write", &unfinished))?;
        fs::rename(&unfinished, &path).map_err(failed("rename", &unfinished))?;
        Ok(made)
    }

    pub(super) fn all(&self) -> Result<Vec<Arc<Record>>> {
        Ok(self.load()?.values().cloned().collect())
    }

    /// By id (with or without `sha256:`), tag or digest, as the user may write it.
    pub(super) fn find(&self, name: &str) -> Result<Option<Arc<Record>>> {
        let records = self.load()?;
        let is_bare_id = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
        if name.starts_with("sha256:") || is_bare_id {
            let id = if is_bare_id { format!("sha256:{name}") } else { name.to_owned() };
            return Ok(records.get(&id).cloned());
        }
        let whole = reference::parse(name)?.whole();
        Ok(records.values().find(|record| record.answers_to(&whole)).cloned())
    }

    /// Adds an image, or more names to one that is here. Its tags are taken from other images.
    pub(super) fn put(&self, mut record: Record) -> Result<Record> {
        for other in self.load()?.values() {
            if other.id == record.id {
                merge(&mut record.tags, &other.tags);
                merge(&mut record.digests, &other.digests);
            } else if other.tags.iter().any(|tag| record.tags.contains(tag)) {
                let mut renamed = Record::clone(other);
                renamed.tags.retain(|tag| !record.tags.contains(tag));
                self.write(&renamed)?;
            }
        }
        self.write(&record)?;
        Ok(record)
    }

    /// Forgets a name; the image goes with its last one, or at once when called by its id.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let Some(found) = self.find(name)? else { return Ok(()) };
        let whole = reference::parse(name).map(|r| r.whole()).unwrap_or_default();
        let mut record = Record::clone(&found);
        record.tags.retain(|tag| *tag != whole);
        record.digests.retain(|digest| *digest != whole);
        let named = !record.tags.is_empty() || !record.digests.is_empty();
        if named && found.tags.iter().chain(&found.digests).any(|known| *known == whole) {
            return self.write(&record);
        }
        let file = self.file(&record.id);
        fs::remove_file(&file).map_err(failed("remove", &file))
    }

    fn file(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{}.json", id.replace(':', "-")))
    }

    fn write(&self, record: &Record) -> Result<()> {
        let file = self.file(&record.id);
        let unfinished = file.with_extension(format!("{}.tmp", std::process::id()));
        let bytes = serde_json::to_vec(record).map_err(|e| Error::System {
            operation: format!("encode {}", file.display()),
            source: e.into(),
        })?;
        fs::write(&unfinished, bytes).map_err(failed("write", &unfinished))?;
        fs::rename(&unfinished, &file).map_err(failed("rename", &unfinished))
    }

    fn load(&self) -> Result<Arc<Loaded>> {
        let metadata = fs::metadata(&self.directory).map_err(failed("read", &self.directory))?;
        let changed = metadata.modified().map_err(failed("read", &self.directory))?;
        let mut cache = self.cache.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match &*cache {
            Some((when, loaded)) if *when == changed => Ok(loaded.clone()),
            _ => {
                let loaded = Arc::new(self.read()?);
                *cache = Some((changed, loaded.clone()));
                Ok(loaded)
            }
        }
    }

    fn read(&self) -> Result<Loaded> {
        let mut loaded = Loaded::new();
        let entries = fs::read_dir(&self.directory).map_err(failed("read", &self.directory))?;
        for entry in entries {
            let path = entry.map_err(failed("read", &self.directory))?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let bytes = fs::read(&path).map_err(failed("read", &path))?;
            let record: Record =
                serde_json::from_slice(&bytes).map_err(|error| ImageError::Content {
                    reference: path.display().to_string(),
                    reason: format!("its record does not parse: {error}"),
                })?;
            loaded.insert(record.id.clone(), Arc::new(record));
        }
        Ok(loaded)
    }
}

fn merge(into: &mut Vec<String>, more: &[String]) {
    for name in more {
        if !into.contains(name) {
            into.push(name.clone());
        }
    }
}

pub(super) fn failed(verb: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let operation = format!("{verb} {}", path.display());
    move |source| Error::System { operation, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: char, tags: &[&str]) -> Record {
        Record {
            id: format!("sha256:{}", id.to_string().repeat(64)),
            tags: tags.iter().map(|t| (*t).to_owned()).collect(),
            config: "{}".into(),
            ..Record::default()
        }
    }

    #[test]
    fn a_tag_moves_to_the_newer_image() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::open(directory.path()).unwrap();
        records.put(record('a', &["docker.io/library/web:1", "docker.io/library/web:2"])).unwrap();
        records.put(record('b', &["docker.io/library/web:2"])).unwrap();
        let found = |name: &str| records.find(name).unwrap().map(|r| r.id.clone());
        assert_eq!(found("web:1"), Some(record('a', &[]).id));
        assert_eq!(found("web:2"), Some(record('b', &[]).id));
        assert_eq!(found(&"a".repeat(64)), Some(record('a', &[]).id));
        assert_eq!(found("web:3"), None);
    }

    #[test]
    fn the_last_name_takes_the_image_along() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::open(directory.path()).unwrap();
        records.put(record('a', &["docker.io/library/web:1", "docker.io/library/web:2"])).unwrap();
        records.remove("web:1").unwrap();
        assert_eq!(records.all().unwrap()[0].tags, ["docker.io/library/web:2"]);
        records.remove("web:2").unwrap();
        assert!(records.all().unwrap().is_empty());
        records.remove("web:2").unwrap();
    }

    #[test]
    fn another_process_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let (ours, theirs) =
            (Records::open(directory.path()).unwrap(), Records::open(directory.path()).unwrap());
        assert!(ours.all().unwrap().is_empty());
        theirs.put(record('a', &["docker.io/library/web:1"])).unwrap();
        assert_eq!(ours.all().unwrap().len(), 1);
    }
}

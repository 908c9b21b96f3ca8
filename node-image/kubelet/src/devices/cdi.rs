//! Container Device Interface: named devices that files of the node describe
//! (github.com/cncf-tags/container-device-interface). Hooks are not run.

use std::path::{Path, PathBuf};

use kd_runtime::{Device, Mount};
use serde_json::Value;

/// Where the files are; those of later directories win.
pub const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// A file is not larger.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What devices change of a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edits {
    /// Variables.
    pub env: Vec<(String, String)>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// Device nodes.
    pub devices: Vec<Device>,
}

/// What devices of these names (`vendor.com/class=name`) change.
pub fn resolve<P: AsRef<Path>>(directories: &[P], names: &[String]) -> Result<Edits, String> {
    let files: Vec<Value> = directories.iter().rev().flat_map(|d| files(d.as_ref())).collect();
    let mut edits = Edits::default();
    let mut unknown = Vec::new();
    // What a file says of all its devices counts once.
    let mut whole: Vec<&str> = Vec::new();
    for name in names {
        let Some((file, device)) = find(&files, name) else {
            unknown.push(name.as_str());
            continue;
        };
        let kind = file["kind"].as_str().unwrap_or_default();
        if !whole.contains(&kind) {
            whole.push(kind);
            edits.take(&file["containerEdits"])?;
        }
        edits.take(&device["containerEdits"])?;
    }
    match unknown.is_empty() {
        true => Ok(edits),
        false => Err(format!(
            "CDI device injection failed: unresolvable CDI devices {}",
            unknown.join(", ")
        )),
    }
}

fn find<'a>(files: &'a [Value], name: &str) -> Option<(&'a Value, &'a Value)> {
    let (kind, device) = name.split_once('=')?;
    let of_kind = files.iter().filter(|file| file["kind"] == kind);
    let mut found = of_kind.filter_map(|file| {
        let devices = file["devices"].as_array()?;
        Some((file, devices.iter().find(|known| known["name"] == device)?))
    });
    found.next()
}

/// The files of a directory that can be read.
fn files(directory: &Path) -> Vec<Value> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let ours = paths.iter().filter(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("json" | "yaml"))
    });
    ours.filter_map(|path| {
        let small = std::fs::metadata(path).is_ok_and(|found| found.len() <= FILE_BYTES_MAX);
        let text = std::fs::read_to_string(path).ok().filter(|_| small)?;
        let read = serde_yaml::from_str(&text);
        read.inspect_err(|error| tracing::warn!(path = %path.display(), %error, "no CDI file")).ok()
    })
    .collect()
}

impl Edits {
    fn take(&mut self, edits: &Value) -> Result<(), String> {
        let list = |key: &str| edits[key].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for variable in list("env") {
            let variable = text(variable);
            let (name, value) = variable.split_once('=').unwrap_or((&variable, ""));
            self.env.push((name.to_owned(), value.to_owned()));
        }
        for device in list("deviceNodes") {
            let path = text(&device["path"]);
            let host = Some(text(&device["hostPath"])).filter(|host| !host.is_empty());
            let permissions = Some(text(&device["permissions"])).filter(|p| !p.is_empty());
            self.devices.push(Device {
                host_path: PathBuf::from(host.unwrap_or_else(|| path.clone())),
                container_path: PathBuf::from(path),
                permissions: permissions.unwrap_or_else(|| "rwm".into()),
            });
        }
        for mount in list("mounts") {
            let kind = text(&mount["type"]);
            if !matches!(kind.as_str(), "" | "bind" | "none") {
                return Err(format!("CDI mounts of type {kind} are not supported"));
            }
            let options: Vec<String> =
                mount["options"].as_array().into_iter().flatten().map(text).collect();
            self.mounts.push(Mount {
                source: PathBuf::from(text(&mount["hostPath"])),
                target: PathBuf::from(text(&mount["containerPath"])),
                read_only: options.iter().any(|option| option == "ro"),
                ..Mount::default()
            });
        }
        if list("hooks").next().is_some() {
            tracing::debug!("a CDI device has hooks, which are not run");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn named_devices() {
        let folder = tempfile::tempdir().unwrap();
        let (early, late) = (folder.path().join("a"), folder.path().join("b"));
        let spec = |env: &str| {
            json!({"kind": "v.com/gpu", "containerEdits": {"env": ["ALL=1"]}, "devices": [
                {"name": "0", "containerEdits": {"env": [env],
                    "deviceNodes": [{"path": "/dev/gpu0", "hostPath": "/dev/null"}],
                    "mounts": [{"hostPath": "/lib", "containerPath": "/gpu", "options": ["ro"]}]}},
                {"name": "1", "containerEdits": {"mounts": [{"type": "tmpfs"}]}}]})
        };
        for (directory, env) in [(&early, "WHICH=early"), (&late, "WHICH=late")] {
            std::fs::create_dir(directory).unwrap();
            std::fs::write(directory.join("gpu.yaml"), spec(env).to_string()).unwrap();
        }
        std::fs::write(late.join("bad.json"), "{").unwrap();
        let directories = [&early, &late];
        let edits = resolve(&directories, &names(&["v.com/gpu=0"])).unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(edits.env, [pair("ALL", "1"), pair("WHICH", "late")]);
        assert_eq!(edits.devices[0].host_path, PathBuf::from("/dev/null"));
        assert_eq!(edits.devices[0].permissions, "rwm");
        assert!(edits.mounts[0].read_only);
        let refused = resolve(&directories, &names(&["v.com/gpu=9", "nonsense"])).unwrap_err();
        assert!(refused.ends_with("unresolvable CDI devices v.com/gpu=9, nonsense"), "{refused}");
        assert!(resolve(&directories, &names(&["v.com/gpu=1"])).is_err());
    }
}

//! A network configuration list: which plugins run with what.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

/// The largest configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;
const ENDINGS: [&str; 3] = ["conf", "conflist", "json"];
/// Versions before this one know no CHECK.
const CHECK_SINCE: (u32, u32) = (0, 4);
/// Versions before this one know no GC.
const GARBAGE_SINCE: (u32, u32) = (1, 1);

/// A configuration list as it was written; it has a name and at least one plugin with a type.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Configuration(Value);

/// The first usable configuration by the names of files, as other runtimes take it.
pub(super) fn first_of(directory: &Path) -> Option<Configuration> {
    let entries = std::fs::read_dir(directory).ok()?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| {
        path.extension().and_then(|end| end.to_str()).is_some_and(|end| ENDINGS.contains(&end))
    });
    files.sort();
    files.iter().find_map(|path| match read(path) {
        Ok(configuration) => Some(configuration),
        Err(error) => {
            tracing::warn!(path = %path.display(), error, "not a CNI configuration");
            None
        }
    })
}

fn read(path: &Path) -> Result<Configuration, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > FILE_BYTES_MAX {
        return Err(format!("it has {length} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Configuration::parse(&text)
}

impl Configuration {
    /// A list, or one plugin's configuration, which is a list of one.
    pub(super) fn parse(text: &str) -> Result<Configuration, String> {
        let read: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let list = match read.get("plugins") {
            Some(_) => read,
            None => json!({"name": read["name"], "cniVersion": read["cniVersion"],
                "plugins": [read]}),
        };
        Configuration::of(list)
    }

    /// What was kept of a list.
    pub(super) fn of(list: Value) -> Result<Configuration, String> {
        if list["name"].as_str().is_none_or(str::is_empty) {
            return Err("it has no name".into());
        }
        let plugins = list["plugins"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_plain = |name: &str| !name.is_empty() && !name.contains('/');
        match plugins {
            [] => Err("it has no plugins".into()),
            all if all.iter().all(|plugin| plugin["type"].as_str().is_some_and(is_plain)) => {
                Ok(Configuration(list))
            }
            _ => Err("a plugin has no type".into()),
        }
    }

    pub(super) fn as_json(&self) -> &Value {
        &self.0
    }

    pub(super) fn name(&self) -> &str {
        self.0["name"].as_str().unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.0["plugins"].as_array().map_or(0, Vec::len)
    }

    /// The program of a plugin.
    pub(super) fn plugin(&self, index: usize) -> &str {
        self.0["plugins"][index]["type"].as_str().unwrap_or_default()
    }

    /// What a plugin is told: its part, the list's name and version, what the plugin before it
    /// answered, and what it says it is able to use of the pod's facts.
    pub(super) fn input(
        &self,
        index: usize,
        previous: Option<&Value>,
        facts: Option<&Map<String, Value>>,
    ) -> Value {
        let mut input = self.0["plugins"][index].clone();
        input["name"] = self.0["name"].clone();
        input["cniVersion"] = self.version().into();
        if let Some(previous) = previous {
            input["prevResult"] = previous.clone();
        }
        let able = input["capabilities"].as_object().cloned().unwrap_or_default();
        let able = |name: &String| able.get(name) == Some(&Value::Bool(true));
        let used = facts.into_iter().flatten().filter(|(name, _)| able(name));
        let used: Map<String, Value> = used.map(|(k, v)| (k.clone(), v.clone())).collect();
        if let Some(fields) = input.as_object_mut() {
            fields.remove("capabilities");
            if !used.is_empty() {
                fields.insert("runtimeConfig".into(), used.into());
            }
        }
        input
    }

    pub(super) fn checks(&self) -> bool {
        self.is_since(CHECK_SINCE) && !self.has("disableCheck")
    }

    pub(super) fn collects_garbage(&self) -> bool {
        self.is_since(GARBAGE_SINCE) && !self.has("disableGC")
    }

    fn has(&self, flag: &str) -> bool {
        matches!(&self.0[flag], Value::Bool(true)) || self.0[flag] == "true"
    }

    fn is_since(&self, (major, minor): (u32, u32)) -> bool {
        let mut numbers = self.version().split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        version >= (major, minor)
    }

    fn version(&self) -> &str {
        self.0["cniVersion"].as_str().unwrap_or("0.1.0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_configuration_is() {
        let check = |text: &str, expect: Result<usize, &str>| {
            let found = Configuration::parse(text).map(|configuration| configuration.len());
            assert_eq!(found, expect.map_err(str::to_owned), "{text}");
        };
        check(r#"{"name": "n", "plugins": [{"type": "a"}, {"type": "b"}]}"#, Ok(2));
        check(r#"{"name": "n", "type": "a"}"#, Ok(1));
        check(r#"{"plugins": [{"type": "a"}]}"#, Err("it has no name"));
        check(r#"{"name": "n", "plugins": []}"#, Err("it has no plugins"));
        check(r#"{"name": "n", "plugins": [{"type": "../a"}]}"#, Err("a plugin has no type"));
        assert!(Configuration::parse("x").is_err());
    }

    #[test]
    fn what_plugins_are_told() {
        let configuration = Configuration::parse(
            r#"{"name": "n", "cniVersion": "1.0.0", "plugins": [{"type": "a", "mtu": 1},
                {"type": "b", "capabilities": {"portMappings": true, "bandwidth": false}}]}"#,
        )
        .unwrap();
        let facts = json!({"portMappings": [1], "bandwidth": {}});
        let facts = facts.as_object();
        let first = json!({"type": "a", "mtu": 1, "name": "n", "cniVersion": "1.0.0"});
        assert_eq!(configuration.input(0, None, facts), first);
        let previous = json!({"ips": []});
        let second = json!({"type": "b", "name": "n", "cniVersion": "1.0.0",
            "prevResult": {"ips": []}, "runtimeConfig": {"portMappings": [1]}});
        assert_eq!(configuration.input(1, Some(&previous), facts), second);
    }

    #[test]
    fn verbs_by_version() {
        let check = |version: &str, more: &str, checks: bool, collects: bool| {
            let text = format!(r#"{{"name": "n", "cniVersion": "{version}"{more}, "type": "a"}}"#);
            let mut list: Value = serde_json::from_str(&text).unwrap();
            list["plugins"] = json!([{"type": "a"}]);
            let configuration = Configuration::of(list).unwrap();
            assert_eq!(
                (configuration.checks(), configuration.collects_garbage()),
                (checks, collects)
            );
        };
        check("0.3.1", "", false, false);
        check("0.4.0", "", true, false);
        check("1.0.0", "", true, false);
        check("1.1.0", "", true, true);
        check("1.1.0", r#", "disableCheck": true, "disableGC": true"#, false, false);
    }

    #[test]
    fn the_first_by_name_that_is_usable() {
        let directory = std::env::temp_dir().join(format!("kd-cni-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
        write("05-broken.conflist", "{");
        write("10-b.conf", r#"{"name": "b", "type": "x"}"#);
        write("20-c.conflist", r#"{"name": "c", "plugins": [{"type": "x"}]}"#);
        write("00-a.txt", r#"{"name": "a", "type": "x"}"#);
        let found = first_of(&directory).map(|found| found.name().to_owned());
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(found.as_deref(), Some("b"));
        assert!(first_of(&directory).is_none());
    }
}

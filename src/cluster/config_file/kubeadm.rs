//! The patches of kubeadm's configuration that mean something without kubeadm: labels and taints with
//! which nodes register. All else is refused by its name.

use serde::Deserialize;
use serde_json::Value;

use super::super::node_settings::{self, Setting};

/// What a patch sets.
pub(super) fn settings(patch: &str) -> Result<Vec<Setting>, String> {
    let mut found = Vec::new();
    for document in serde_yaml::Deserializer::from_str(patch) {
        let patch = Value::deserialize(document).map_err(|error| error.to_string())?;
        for (field, value) in patch.as_object().into_iter().flatten() {
            match (field.as_str(), value) {
                ("kind" | "apiVersion" | "metadata", _) => {}
                ("nodeRegistration", Value::Object(fields)) => {
                    for (field, value) in fields {
                        found.extend(registration(field, value)?);
                    }
                }
                (other, _) => return Err(refusal(other)),
            }
        }
    }
    Ok(found)
}

fn refusal(what: &str) -> String {
    format!(
        "kubeadmConfigPatches: kd has no kubeadm, so {what} cannot be followed; of patches, \
         nodeRegistration's taints and the node-labels of its kubeletExtraArgs can"
    )
}

fn registration(field: &str, value: &Value) -> Result<Vec<Setting>, String> {
    match field {
        "taints" => value.as_array().into_iter().flatten().map(taint).collect(),
        "kubeletExtraArgs" => {
            let mut found = Vec::new();
            for (name, value) in arguments(value) {
                match name.as_str() {
                    "node-labels" => found.extend(listed(&value, node_settings::label)?),
                    "register-with-taints" => found.extend(listed(&value, node_settings::taint)?),
                    other => return Err(refusal(&format!("kubeletExtraArgs.{other}"))),
                }
            }
            Ok(found)
        }
        other => Err(refusal(&format!("nodeRegistration.{other}"))),
    }
}

/// Arguments as v1beta3 writes them, a map, or as v1beta4 does, a list of names with values.
fn arguments(value: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match value {
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        Value::Array(list) => {
            list.iter().map(|entry| (text(&entry["name"]), text(&entry["value"]))).collect()
        }
        _ => Vec::new(),
    }
}

fn listed(
    value: &str,
    read: fn(&str) -> Result<node_settings::NodeSetting, String>,
) -> Result<Vec<Setting>, String> {
    let parts = value.split(',').filter(|part| !part.is_empty());
    parts.map(|part| read(part).map(|setting| setting.what)).collect()
}

fn taint(value: &Value) -> Result<Setting, String> {
    let part = |name: &str| value[name].as_str().unwrap_or_default();
    let text = match part("value") {
        "" => format!("{}:{}", part("key"), part("effect")),
        value => format!("{}={value}:{}", part("key"), part("effect")),
    };
    node_settings::taint(&text).map(|setting| setting.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches() {
        let check = |patch: &str, expect: &[&str]| {
            let found = settings(patch).unwrap();
            let shown: Vec<String> = found
                .iter()
                .map(|setting| match setting {
                    Setting::Label(key, value) => format!("{key}={value}"),
                    Setting::Taint(taint) => taint.clone(),
                    Setting::Folder(_) => panic!("{setting:?}"),
                })
                .collect();
            assert_eq!(shown, expect, "{patch}");
        };
        check(
            "kind: InitConfiguration\nnodeRegistration: {kubeletExtraArgs: {node-labels: 'a=b,c=d'}}",
            &["a=b", "c=d"],
        );
        check("nodeRegistration: {kubeletExtraArgs: [{name: node-labels, value: a=b}]}", &["a=b"]);
        check(
            "nodeRegistration: {taints: [{key: k, effect: NoSchedule}, {key: l, value: v, effect: NoExecute}]}",
            &["k:NoSchedule", "l=v:NoExecute"],
        );
        check("nodeRegistration: {taints: []}", &[]);
        assert!(
            settings("nodeRegistration: {kubeletExtraArgs: {v: 4}}")
                .unwrap_err()
                .contains("kubeletExtraArgs.v")
        );
        assert!(settings("scheduler: {}").unwrap_err().contains("scheduler"));
    }
}

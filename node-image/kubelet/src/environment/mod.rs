//! The environment of a container: services, `envFrom`, `env` with its sources, `$(NAME)` expansion.

mod env_file;
mod expansion;
mod fields;
mod services;

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvVar, EnvVarSource, FileKeySelector, Pod, Secret, Service,
};

use crate::pod::PodExt;
use crate::quantity::Resources;

pub use env_file::read as read_env_file;
pub use expansion::expand;
pub use fields::{FieldContext, field_value, resource_value};
pub use services::service_variables;

/// The objects that a container's environment may name, as far as they exist.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// By name.
    pub config_maps: BTreeMap<String, ConfigMap>,
    /// By name.
    pub secrets: BTreeMap<String, Secret>,
    /// Files of volumes, by volume and path; those that cannot be read are not there.
    pub files: BTreeMap<(String, String), String>,
    /// Services of the pod's namespace and of `default`.
    pub services: Vec<Service>,
    /// What the node offers: the limit of containers that have none.
    pub allocatable: Resources,
    /// The pod's and node's addresses.
    pub addresses: FieldContext,
}

/// Names of the objects that a container's environment reads: (config maps, secrets).
pub fn referenced(container: &Container) -> (Vec<&str>, Vec<&str>) {
    let (mut config_maps, mut secrets) = (Vec::new(), Vec::new());
    for from in container.env_from.iter().flatten() {
        config_maps.extend(from.config_map_ref.iter().map(|r| r.name.as_str()));
        secrets.extend(from.secret_ref.iter().map(|r| r.name.as_str()));
    }
    for source in container.env.iter().flatten().filter_map(|e| e.value_from.as_ref()) {
        config_maps.extend(source.config_map_key_ref.iter().map(|r| r.name.as_str()));
        secrets.extend(source.secret_key_ref.iter().map(|r| r.name.as_str()));
    }
    (config_maps, secrets)
}

/// The files that a container's environment reads: (volume, path).
pub fn referenced_files(container: &Container) -> Vec<(&str, &str)> {
    let from = container.env.iter().flatten().filter_map(|e| e.value_from.as_ref());
    let files = from.filter_map(|from| from.file_key_ref.as_ref());
    files.map(|file| (file.volume_name.as_str(), file.path.as_str())).collect()
}

/// The variables of a container in order, or why it cannot be configured: the message of
/// `CreateContainerConfigError`.
pub fn environment(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
) -> Result<Vec<(String, String)>, String> {
    let links = pod.spec().enable_service_links.unwrap_or(true);
    let services = service_variables(&sources.services, pod.namespace(), links);
    let mut made = Variables::default();
    made.add_objects(container, sources)?;
    for variable in container.env.iter().flatten() {
        let value = made.value_of(pod, container, variable, sources, &services)?;
        if let Some(value) = value {
            made.set(&variable.name, value);
        }
    }
    let mut list: Vec<(String, String)> =
        services.into_iter().filter(|(name, _)| !made.known.contains_key(name)).collect();
    list.extend(made.order.into_iter().map(|name| {
        let value = made.known.get(&name).cloned().unwrap_or_default();
        (name, value)
    }));
    Ok(list)
}

#[derive(Default)]
struct Variables {
    order: Vec<String>,
    known: BTreeMap<String, String>,
}

impl Variables {
    fn set(&mut self, name: &str, value: String) {
        if self.known.insert(name.to_owned(), value).is_none() {
            self.order.push(name.to_owned());
        }
    }

    fn add_objects(&mut self, container: &Container, sources: &Sources) -> Result<(), String> {
        for from in container.env_from.iter().flatten() {
            let prefix = from.prefix.as_deref().unwrap_or_default();
            if let Some(reference) = &from.config_map_ref {
                let Some(map) = sources.config_maps.get(&reference.name) else {
                    missing("configmap", &reference.name, reference.optional)?;
                    continue;
                };
                for (key, value) in map.data.iter().flatten() {
                    self.set(&format!("{prefix}{key}"), value.clone());
                }
            }
            if let Some(reference) = &from.secret_ref {
                let Some(secret) = sources.secrets.get(&reference.name) else {
                    missing("secret", &reference.name, reference.optional)?;
                    continue;
                };
                for (key, value) in secret.data.iter().flatten() {
                    self.set(&format!("{prefix}{key}"), text(value));
                }
            }
        }
        Ok(())
    }

    fn value_of(
        &self,
        pod: &Pod,
        container: &Container,
        variable: &EnvVar,
        sources: &Sources,
        services: &BTreeMap<String, String>,
    ) -> Result<Option<String>, String> {
        if let Some(from) = &variable.value_from {
            return sourced(pod, container, from, sources);
        }
        let raw = variable.value.as_deref().unwrap_or_default();
        let lookup = |name: &str| self.known.get(name).or_else(|| services.get(name)).cloned();
        Ok(Some(expand(raw, lookup)))
    }
}

fn sourced(
    pod: &Pod,
    container: &Container,
    from: &EnvVarSource,
    sources: &Sources,
) -> Result<Option<String>, String> {
    if let Some(field) = &from.field_ref {
        return field_value(pod, &field.field_path, &sources.addresses).map(Some);
    }
    if let Some(resource) = &from.resource_field_ref {
        return resource_value(pod, container, resource, &sources.allocatable).map(Some);
    }
    if let Some(key) = &from.config_map_key_ref {
        let Some(map) = sources.config_maps.get(&key.name) else {
            return missing("configmap", &key.name, key.optional).map(|()| None);
        };
        let value = map.data.as_ref().and_then(|data| data.get(&key.key)).cloned();
        return keyed("ConfigMap", pod, &key.name, &key.key, value, key.optional);
    }
    if let Some(key) = &from.secret_key_ref {
        let Some(secret) = sources.secrets.get(&key.name) else {
            return missing("secret", &key.name, key.optional).map(|()| None);
        };
        let value = secret.data.as_ref().and_then(|data| data.get(&key.key)).map(text);
        return keyed("Secret", pod, &key.name, &key.key, value, key.optional);
    }
    match &from.file_key_ref {
        Some(key) => of_file(key, sources),
        None => Ok(None),
    }
}

fn of_file(key: &FileKeySelector, sources: &Sources) -> Result<Option<String>, String> {
    let optional = key.optional == Some(true);
    let Some(text) = sources.files.get(&(key.volume_name.clone(), key.path.clone())) else {
        return if optional { Ok(None) } else { Err("couldn't parse env file".into()) };
    };
    match env_file::value(text, &key.key)? {
        None if !optional => {
            Err(format!("environment variable key {:?} not found in file {:?}", key.key, key.path))
        }
        found => Ok(found),
    }
}

fn missing(kind: &str, name: &str, optional: Option<bool>) -> Result<(), String> {
    match optional {
        Some(true) => Ok(()),
        _ => Err(format!("{kind} \"{name}\" not found")),
    }
}

fn keyed(
    kind: &str,
    pod: &Pod,
    name: &str,
    key: &str,
    value: Option<String>,
    optional: Option<bool>,
) -> Result<Option<String>, String> {
    match (value, optional) {
        (Some(value), _) => Ok(Some(value)),
        (None, Some(true)) => Ok(None),
        (None, _) => Err(format!("couldn't find key {key} in {kind} {}/{name}", pod.namespace())),
    }
}

fn text(bytes: &ByteString) -> String {
    String::from_utf8_lossy(&bytes.0).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(container: serde_json::Value, expect: Result<&[(&str, &str)], &str>) {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "annotations": {"a": "x"}},
            "spec": {"containers": [container], "enableServiceLinks": false,
                "serviceAccountName": "default", "nodeName": "node"}}))
        .unwrap();
        let mut sources = Sources::default();
        let map = json!({"metadata": {"name": "m"}, "data": {"k": "v", "l": "w"}});
        sources.config_maps.insert("m".into(), serde_json::from_value(map).unwrap());
        let secret = json!({"metadata": {"name": "s"}, "data": {"k": "c2VjcmV0"}});
        sources.secrets.insert("s".into(), serde_json::from_value(secret).unwrap());
        sources.addresses.pod_ips = vec!["10.0.0.5".into()];
        let found = environment(&pod, &pod.spec().containers[0], &sources);
        let expect = expect
            .map(|list| list.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect::<Vec<_>>())
            .map_err(str::to_owned);
        assert_eq!(found, expect);
    }

    #[test]
    fn values_and_sources() {
        let env = |env| json!({"name": "c", "env": env});
        check(
            env(json!([{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(C)$$(A)"}])),
            Ok(&[("A", "1"), ("B", "1$(C)$(A)")]),
        );
        check(
            env(
                json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]),
            ),
            Ok(&[("A", "v")]),
        );
        check(
            env(json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}])),
            Ok(&[("A", "secret")]),
        );
        check(
            env(
                json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['a']"}}},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]),
            ),
            Ok(&[("A", "x"), ("B", "10.0.0.5")]),
        );
        check(
            json!({"name": "c", "envFrom": [{"prefix": "P_", "configMapRef": {"name": "m"}}]}),
            Ok(&[("P_k", "v"), ("P_l", "w")]),
        );
    }

    #[test]
    fn what_is_missing() {
        let from = |from| json!({"name": "c", "env": [{"name": "A", "valueFrom": from}]});
        check(
            from(json!({"configMapKeyRef": {"name": "x", "key": "k"}})),
            Err("configmap \"x\" not found"),
        );
        check(
            from(json!({"configMapKeyRef": {"name": "m", "key": "x"}})),
            Err("couldn't find key x in ConfigMap n/m"),
        );
        check(
            from(json!({"secretKeyRef": {"name": "x", "key": "k"}})),
            Err("secret \"x\" not found"),
        );
        check(from(json!({"secretKeyRef": {"name": "x", "key": "k", "optional": true}})), Ok(&[]));
        check(
            json!({"name": "c", "envFrom": [{"secretRef": {"name": "x"}}]}),
            Err("secret \"x\" not found"),
        );
    }
}

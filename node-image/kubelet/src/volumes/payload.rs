//! Which files a configMap, secret, downwardAPI or projected source puts into its volume. Pure.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret};

use super::atomic_writer::{File, Payload};
use crate::environment::{FieldContext, field_value, resource_value};
use crate::pod::PodExt;
use crate::quantity::Resources;

/// The mode of files when none is given.
pub const MODE_DEFAULT: u32 = 0o644;

/// What a source asks of an object.
pub struct Wanted<'a> {
    /// Keys to paths; all keys when absent.
    pub items: Option<&'a [KeyToPath]>,
    /// `defaultMode`
    pub mode: u32,
    /// `optional`
    pub optional: bool,
}

/// Files of a ConfigMap; `None` when there is none of that name.
pub fn config_map(
    name: &str,
    map: Option<&ConfigMap>,
    wanted: &Wanted<'_>,
) -> Result<Payload, String> {
    let Some(map) = map else { return absent("configmap", name, wanted.optional) };
    let text = map.data.iter().flatten().map(|(k, v)| (k, v.as_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(k, ByteString(v))| (k, v.as_slice()));
    let all = text.chain(binary);
    chosen(all, wanted, |key| format!("configmap references non-existent config key: {key}"))
}

/// Files of a Secret; `None` when there is none of that name.
pub fn secret(name: &str, secret: Option<&Secret>, wanted: &Wanted<'_>) -> Result<Payload, String> {
    let Some(secret) = secret else { return absent("secret", name, wanted.optional) };
    let all = secret.data.iter().flatten().map(|(k, ByteString(v))| (k, v.as_slice()));
    chosen(all, wanted, |key| format!("references non-existent secret key: {key}"))
}

/// Files of a downwardAPI source.
pub fn downward(
    pod: &Pod,
    items: &[DownwardAPIVolumeFile],
    mode: u32,
    context: &FieldContext,
    allocatable: &Resources,
) -> Result<Payload, String> {
    let mut payload = Payload::new();
    for item in items {
        let text = if let Some(field) = &item.field_ref {
            field_value(pod, &field.field_path, context)?
        } else if let Some(resource) = &item.resource_field_ref {
            let name = resource.container_name.as_deref().unwrap_or_default();
            let member = pod.member(name).ok_or_else(|| format!("container {name} not found"))?;
            resource_value(pod, &member.container, resource, allocatable)?
        } else {
            continue;
        };
        payload.insert(item.path.clone(), file(text.as_bytes(), mode_of(item.mode, mode)));
    }
    Ok(payload)
}

/// A file with root as its owner.
pub fn file(content: &[u8], mode: u32) -> File {
    File { content: content.to_vec(), mode, user: None }
}

/// An API mode as permission bits.
pub fn mode_of(mode: Option<i32>, default: u32) -> u32 {
    mode.and_then(|m| u32::try_from(m).ok()).unwrap_or(default) & 0o777
}

fn absent(kind: &str, name: &str, optional: bool) -> Result<Payload, String> {
    if optional { Ok(Payload::new()) } else { Err(format!("{kind} \"{name}\" not found")) }
}

fn chosen<'a>(
    all: impl Iterator<Item = (&'a String, &'a [u8])>,
    wanted: &Wanted<'_>,
    missing: impl Fn(&str) -> String,
) -> Result<Payload, String> {
    let all: std::collections::BTreeMap<&String, &[u8]> = all.collect();
    let Some(items) = wanted.items.filter(|items| !items.is_empty()) else {
        let whole = all.into_iter().map(|(key, value)| (key.clone(), file(value, wanted.mode)));
        return Ok(whole.collect());
    };
    let mut payload = Payload::new();
    for item in items {
        match all.get(&item.key) {
            Some(value) => {
                payload.insert(item.path.clone(), file(value, mode_of(item.mode, wanted.mode)));
            }
            None if wanted.optional => {}
            None => return Err(missing(&item.key)),
        }
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(
        map: Option<serde_json::Value>,
        items: serde_json::Value,
        optional: bool,
        expect: Result<&[(&str, &str, u32)], &str>,
    ) {
        let map: Option<ConfigMap> = map.map(|m| serde_json::from_value(m).unwrap());
        let items: Option<Vec<KeyToPath>> = serde_json::from_value(items).unwrap();
        let wanted = Wanted { items: items.as_deref(), mode: 0o644, optional };
        let found = config_map("m", map.as_ref(), &wanted);
        let expect = expect
            .map(|l| l.iter().map(|(n, c, m)| ((*n).into(), file(c.as_bytes(), *m))).collect())
            .map_err(str::to_owned);
        assert_eq!(found, expect);
    }

    #[test]
    fn config_maps() {
        let map = || Some(json!({"data": {"a": "1"}, "binaryData": {"b": "Mg=="}}));
        check(map(), json!(null), false, Ok(&[("a", "1", 0o644), ("b", "2", 0o644)]));
        check(
            map(),
            json!([{"key": "b", "path": "d/x", "mode": 256}]),
            false,
            Ok(&[("d/x", "2", 0o400)]),
        );
        check(
            map(),
            json!([{"key": "c", "path": "x"}]),
            false,
            Err("configmap references non-existent config key: c"),
        );
        check(map(), json!([{"key": "c", "path": "x"}]), true, Ok(&[]));
        check(None, json!(null), false, Err("configmap \"m\" not found"));
        check(None, json!(null), true, Ok(&[]));
    }
}

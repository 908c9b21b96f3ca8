//! `fieldRef` and `resourceFieldRef`: parts of the pod as text, for variables and downward volumes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};

use crate::pod::PodExt;
use crate::quantity::{Resources, milli, whole};

/// What fields tell besides the pod's own text.
#[derive(Clone, Debug, Default)]
pub struct FieldContext {
    /// The pod's addresses.
    pub pod_ips: Vec<String>,
    /// The node's addresses.
    pub host_ips: Vec<String>,
}

/// The text of a field, or the error upstream gives for a wrong path.
pub fn field_value(pod: &Pod, path: &str, context: &FieldContext) -> Result<String, String> {
    if let Some((map, key)) = subscript(path) {
        let values = match map {
            "metadata.annotations" => pod.metadata.annotations.as_ref(),
            "metadata.labels" => pod.metadata.labels.as_ref(),
            _ => return Err(format!("fieldPath \"{path}\" does not support subscript")),
        };
        return Ok(values.and_then(|v| v.get(key)).cloned().unwrap_or_default());
    }
    let first = |list: &[String]| list.first().cloned().unwrap_or_default();
    Ok(match path {
        "metadata.annotations" => lines(pod.metadata.annotations.as_ref()),
        "metadata.labels" => lines(pod.metadata.labels.as_ref()),
        "metadata.name" => pod.name().to_owned(),
        "metadata.namespace" => pod.namespace().to_owned(),
        "metadata.uid" => pod.uid().to_owned(),
        "spec.nodeName" => pod.spec().node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => pod.spec().service_account_name.clone().unwrap_or_default(),
        "status.hostIP" => first(&context.host_ips),
        "status.hostIPs" => context.host_ips.join(","),
        "status.podIP" => first(&context.pod_ips),
        "status.podIPs" => context.pod_ips.join(","),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// `metadata.annotations['key']` as map and key.
fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['")
}

/// A map as lines `key="value"`, the value quoted as Go does.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let line = |(key, value): (&String, &String)| format!("{key}={}", quoted(value));
    map.into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The text of a container's resource, divided and rounded up.
pub fn resource_value(
    pod: &Pod,
    container: &Container,
    selector: &ResourceFieldSelector,
    allocatable: &Resources,
) -> Result<String, String> {
    let chosen = selector.container_name.as_deref().filter(|name| !name.is_empty());
    let other = match chosen.filter(|name| *name != container.name) {
        Some(name) => Some(pod.member(name).ok_or_else(|| format!("container {name} not found"))?),
        None => None,
    };
    let resources = match &other {
        Some(member) => member.container.resources.clone(),
        None => container.resources.clone(),
    }
    .unwrap_or_default();
    let (side, name) = selector
        .resource
        .split_once('.')
        .ok_or_else(|| format!("unsupported container resource : {}", selector.resource))?;
    let list = match side {
        "limits" => resources.limits.as_ref(),
        "requests" => resources.requests.as_ref(),
        _ => return Err(format!("unsupported container resource : {}", selector.resource)),
    };
    // A limit that is not set is what the node can give.
    let unlimited = || allocatable.get(name).filter(|_| side == "limits");
    let quantity = list.and_then(|l| l.get(name)).or_else(unlimited);
    let zero = selector.divisor.as_ref().is_none_or(|d| milli(d) == 0);
    let value = match (quantity, name) {
        (None, _) => 0,
        (Some(q), "cpu") => {
            let divisor = selector.divisor.as_ref().filter(|_| !zero).map_or(1000, milli);
            ceiling(milli(q), divisor)
        }
        (Some(q), _) => {
            let divisor = selector.divisor.as_ref().filter(|_| !zero).map_or(1, whole);
            ceiling(whole(q), divisor)
        }
    };
    Ok(value.to_string())
}

fn ceiling(value: i64, divisor: i64) -> i64 {
    let divisor = divisor.max(1);
    value / divisor + i64::from(value % divisor > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p",
            "labels": {"a": "1", "b": "say \"x\"\n"}}}))
        .unwrap();
        let context = FieldContext {
            pod_ips: vec!["10.0.0.1".into(), "fd00::1".into()],
            host_ips: vec!["172.18.0.2".into()],
        };
        let check = |path, expect: Result<&str, &str>| {
            let found = field_value(&pod, path, &context);
            assert_eq!(found.as_deref().map_err(String::as_str), expect, "{path}");
        };
        check("metadata.name", Ok("p"));
        check("metadata.labels['a']", Ok("1"));
        check("metadata.labels['x']", Ok(""));
        check("metadata.labels", Ok("a=\"1\"\nb=\"say \\\"x\\\"\\n\""));
        check("status.podIPs", Ok("10.0.0.1,fd00::1"));
        check("status.hostIP", Ok("172.18.0.2"));
        check("spec.bogus", Err("unsupported fieldPath: spec.bogus"));
    }

    #[test]
    fn resources() {
        let container: Container = serde_json::from_value(json!({"name": "c", "resources":
            {"limits": {"cpu": "1500m"}, "requests": {"memory": "64Mi"}}}))
        .unwrap();
        let allocatable = [("memory".to_owned(), crate::quantity::from_amount("memory", 1 << 30))];
        let check = |resource: &str, divisor: &str, expect: &str| {
            let selector: ResourceFieldSelector =
                serde_json::from_value(json!({"resource": resource, "divisor": divisor})).unwrap();
            let found =
                resource_value(&Pod::default(), &container, &selector, &allocatable.clone().into());
            assert_eq!(found.as_deref(), Ok(expect), "{resource} {divisor}");
        };
        check("limits.cpu", "0", "2");
        check("limits.cpu", "1m", "1500");
        check("requests.memory", "1Mi", "64");
        check("limits.memory", "1Mi", "1024");
        check("requests.cpu", "0", "0");
    }
}

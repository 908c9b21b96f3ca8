//! Defaults of pods and of pod templates.

use serde_json::{Map, Value, json};

use super::container::{container, field_source, image_pull_policy, requests_from_limits};
use super::{empty, quantities};
use crate::quantity::Quantity;
use crate::walk::{Shape, Walk};

/// Octal 0644.
const FILE_MODE: i64 = 420;
const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

pub(super) fn pod(obj: &mut Value) {
    let Some(spec) = obj.object_mut("spec") else { return };
    pod_spec(spec);
    spec.set_default("enableServiceLinks", true);
    for list in ["initContainers", "containers"] {
        spec.each_mut(list).for_each(requests_from_limits);
    }
    pod_level_requests(spec);
    if spec.flag("hostNetwork") {
        for list in ["initContainers", "containers"] {
            spec.each_mut(list).for_each(host_ports);
        }
    }
}

/// The pod spec inside `template` of a workload.
pub(super) fn template_defaults(template: &mut Value) {
    if let Some(spec) = template.object_mut("spec") {
        pod_spec(spec);
    }
}

fn pod_spec(spec: &mut Value) {
    for (field, default) in [
        ("dnsPolicy", "ClusterFirst"),
        ("restartPolicy", "Always"),
        ("schedulerName", "default-scheduler"),
    ] {
        spec.set_default_text(field, default);
    }
    spec.set_default("terminationGracePeriodSeconds", 30);
    spec.set_default("securityContext", empty());
    same_account_in_both_fields(spec);
    quantities::resource_list(spec, "overhead");
    quantities::requirements(spec, "resources");
    for list in CONTAINER_LISTS {
        spec.each_mut(list).for_each(container);
    }
    spec.each_mut("volumes").for_each(volume);
}

/// `serviceAccount` is the old name of `serviceAccountName`; both are served.
fn same_account_in_both_fields(spec: &mut Value) {
    let name = match spec.text("serviceAccountName") {
        "" => spec.text("serviceAccount").to_owned(),
        name => name.to_owned(),
    };
    if !name.is_empty() {
        spec.put("serviceAccountName", name.clone());
        spec.put("serviceAccount", name);
    }
}

fn host_ports(container: &mut Value) {
    for port in container.each_mut("ports") {
        if port.integer("hostPort").unwrap_or(0) == 0
            && let Some(number) = port.integer("containerPort")
        {
            port.put("hostPort", number);
        }
    }
}

/// A pod with limits of its own requests what its containers do, at most those limits.
fn pod_level_requests(spec: &mut Value) {
    let limits = spec["resources"]["limits"].as_object().cloned().unwrap_or_default();
    let has_any = !limits.is_empty() || spec["resources"].has("requests");
    if !has_any {
        return;
    }
    let summed = container_requests(spec);
    let Some(resources) = spec.existing_mut("resources") else { return };
    let Some(requests) = resources.object_mut("requests") else { return };
    for (name, amount) in summed {
        if limits.contains_key(&name) || name.starts_with("hugepages-") {
            requests.set_default(&name, amount);
        }
    }
    for (name, amount) in limits {
        requests.set_default(&name, amount);
    }
}

/// The sum of the containers' requests of what a pod may state for itself, where all of them say.
fn container_requests(spec: &Value) -> Map<String, Value> {
    let mut sums: Vec<(String, Quantity)> = Vec::new();
    for container in spec.list("containers") {
        for (name, amount) in container["resources"].entries("requests") {
            let Ok(amount) = Quantity::from_json(amount) else { continue };
            match sums.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => sum.add(&amount),
                None => sums.push((name.to_owned(), amount)),
            }
        }
    }
    let supported = |name: &str| matches!(name, "cpu" | "memory") || name.starts_with("hugepages-");
    sums.retain(|(name, _)| supported(name));
    sums.into_iter().map(|(name, sum)| (name, Value::String(sum.to_string()))).collect()
}

/// Volume sources and the fields they default.
pub(super) const SOURCE_DEFAULTS: &[(&str, &[(&str, &str)])] = &[
    ("azureDisk", &[("cachingMode", "ReadWrite"), ("fsType", "ext4"), ("kind", "Shared")]),
    ("iscsi", &[("iscsiInterface", "default")]),
    ("rbd", &[("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")]),
    ("scaleIO", &[("storageMode", "ThinProvisioned"), ("fsType", "xfs")]),
];

fn volume(volume: &mut Value) {
    let sourceless =
        volume.as_object().is_some_and(|fields| fields.keys().all(|key| key == "name"));
    if sourceless {
        volume.put("emptyDir", empty());
    }
    volume_source(volume);
    for source in ["configMap", "downwardAPI", "projected", "secret"] {
        if let Some(source) = volume.existing_mut(source) {
            source.set_default("defaultMode", FILE_MODE);
        }
    }
    if let Some(directory) = volume.existing_mut("emptyDir") {
        quantities::single(directory, "sizeLimit");
    }
    if let Some(downward) = volume.existing_mut("downwardAPI") {
        downward.each_mut("items").for_each(field_source);
    }
    if let Some(projected) = volume.existing_mut("projected") {
        projected.each_mut("sources").for_each(projection);
    }
    if let Some(image) = volume.existing_mut("image") {
        let policy = image_pull_policy(image.text("reference"));
        image.set_default_text("pullPolicy", policy);
    }
    if let Some(spec) = volume.reach_mut(&["ephemeral", "volumeClaimTemplate", "spec"]) {
        spec.set_default("volumeMode", "Filesystem");
        quantities::requirements(spec, "resources");
    }
}

/// What volumes of pods and PersistentVolumes share.
pub(super) fn volume_source(owner: &mut Value) {
    if let Some(path) = owner.existing_mut("hostPath") {
        path.set_default("type", "");
    }
    for (name, defaults) in SOURCE_DEFAULTS {
        if let Some(source) = owner.existing_mut(name) {
            for (field, value) in *defaults {
                source.set_default_text(field, value);
            }
        }
    }
    if let Some(disk) = owner.existing_mut("azureDisk") {
        disk.set_default("readOnly", false);
    }
}

fn projection(source: &mut Value) {
    if let Some(token) = source.existing_mut("serviceAccountToken") {
        token.set_default("expirationSeconds", json!(3600));
    }
    if let Some(downward) = source.existing_mut("downwardAPI") {
        downward.each_mut("items").for_each(field_source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaulted(spec: Value) -> Value {
        let mut pod = json!({"spec": spec});
        super::pod(&mut pod);
        pod["spec"].take()
    }

    #[test]
    fn tutorial_pod() {
        let spec = defaulted(json!({"containers": [
            {"name": "nginx", "image": "nginx:1.14.2", "ports": [{"containerPort": 80}]}]}));
        let want = json!({
            "containers": [{
                "name": "nginx", "image": "nginx:1.14.2", "imagePullPolicy": "IfNotPresent",
                "ports": [{"containerPort": 80, "protocol": "TCP"}], "resources": {},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"
            }],
            "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "restartPolicy": "Always",
            "schedulerName": "default-scheduler", "securityContext": {},
            "terminationGracePeriodSeconds": 30
        });
        assert_eq!(spec, want);
    }

    #[test]
    fn containers() {
        let spec = defaulted(json!({"hostNetwork": true, "serviceAccount": "x", "containers": [{
            "image": "a", "ports": [{"containerPort": 80}],
            "resources": {"limits": {"cpu": "0.5", "memory": "1024Ki"}, "requests": {"cpu": "0.1"}},
            "livenessProbe": {"httpGet": {"port": 80}, "periodSeconds": 5},
            "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]
        }]}));
        let container = &spec["containers"][0];
        assert_eq!(container["imagePullPolicy"], "Always");
        assert_eq!(container["ports"][0]["hostPort"], 80);
        assert_eq!(
            container["resources"],
            json!({"limits": {"cpu": "500m", "memory": "1Mi"}, "requests": {"cpu": "100m", "memory": "1Mi"}})
        );
        assert_eq!(
            container["livenessProbe"],
            json!({"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "periodSeconds": 5,
                "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3})
        );
        assert_eq!(container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"], "v1");
        assert_eq!(container["env"][1]["valueFrom"]["resourceFieldRef"]["divisor"], "0");
        assert_eq!(spec["serviceAccountName"], "x");
    }

    #[test]
    fn volumes() {
        let check = |volume: Value, want: Value| {
            let spec = defaulted(json!({"volumes": [volume]}));
            assert_eq!(spec["volumes"][0], want);
        };
        check(json!({"name": "a"}), json!({"name": "a", "emptyDir": {}}));
        check(
            json!({"name": "a", "secret": {"secretName": "s"}}),
            json!({"name": "a", "secret": {"secretName": "s", "defaultMode": 420}}),
        );
        check(
            json!({"name": "a", "hostPath": {"path": "/"}}),
            json!({"name": "a", "hostPath": {"path": "/", "type": ""}}),
        );
        check(
            json!({"name": "a", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}),
            json!({"name": "a", "projected": {"defaultMode": 420,
                "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}]}}),
        );
    }
}

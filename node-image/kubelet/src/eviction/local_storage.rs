//! Pods that write more than they may: size limits of `emptyDir` and limits of ephemeral storage.
//! Pure.

use k8s_openapi::api::core::v1::Pod;

use crate::pod::PodExt;
use crate::qos::{Side, effective};
use crate::quantity::whole;
use crate::stats::{PodUse, ephemeral};

const EPHEMERAL: &str = "ephemeral-storage";

/// Whether a pod has any such limit: only then it is measured.
pub fn is_limited(pod: &Pod) -> bool {
    let volumes = pod.spec().volumes.iter().flatten();
    let sized = volumes.filter_map(|volume| volume.empty_dir.as_ref());
    sized.clone().any(|source| source.size_limit.is_some() && !in_memory(source.medium.as_deref()))
        || pod.members().iter().any(|member| limit_of(&member.container.resources).is_some())
}

fn in_memory(medium: Option<&str>) -> bool {
    medium == Some("Memory")
}

fn limit_of(
    resources: &Option<k8s_openapi::api::core::v1::ResourceRequirements>,
) -> Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity> {
    resources.as_ref()?.limits.as_ref()?.get(EPHEMERAL)
}

/// Why a pod has to go.
pub fn exceeded(pod: &Pod, used: &PodUse) -> Option<String> {
    let over = |bytes: u64, limit: i64| limit > 0 && bytes > limit.unsigned_abs();
    for volume in pod.spec().volumes.iter().flatten() {
        let source = volume.empty_dir.as_ref().filter(|s| !in_memory(s.medium.as_deref()));
        let Some(limit) = source.and_then(|source| source.size_limit.as_ref()) else { continue };
        let found = used.volumes.iter().find(|v| v.name == volume.name);
        if found.is_some_and(|found| over(found.used.bytes, whole(limit))) {
            let name = &volume.name;
            return Some(format!(
                "Usage of EmptyDir volume {name:?} exceeds the limit {:?}. ",
                limit.0
            ));
        }
    }
    let everywhere =
        pod.members().iter().all(|member| limit_of(&member.container.resources).is_some());
    let limits = effective(pod, Side::Limits);
    if let Some(limit) = limits.get(EPHEMERAL).filter(|_| everywhere)
        && over(ephemeral(used).bytes, whole(limit))
    {
        return Some(format!(
            "Pod ephemeral local storage usage exceeds the total limit of containers {}. ",
            limit.0
        ));
    }
    used.containers.iter().find_map(|container| {
        let member = pod.member(&container.name)?;
        let limit = limit_of(&member.container.resources)?.clone();
        let parts = [container.written, container.logs];
        let bytes: u64 = parts.iter().flatten().map(|disk| disk.bytes).sum();
        over(bytes, whole(&limit)).then(|| {
            format!(
                "Container {} exceeded its local ephemeral storage limit {:?}. ",
                container.name, limit.0
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{ContainerUse, VolumeUse};
    use kd_runtime::DiskUse;
    use serde_json::{Value, json};

    #[test]
    fn limits() {
        let check = |spec: Value, written: u64, volume: u64, expect: Option<&str>| {
            let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            let disk = |bytes| DiskUse { bytes, inodes: 1 };
            let used = PodUse {
                containers: vec![ContainerUse {
                    name: "c".into(),
                    written: Some(disk(written)),
                    ..ContainerUse::default()
                }],
                volumes: vec![VolumeUse {
                    name: "v".into(),
                    used: disk(volume),
                    ..VolumeUse::default()
                }],
                ..PodUse::default()
            };
            assert_eq!(exceeded(&pod, &used).as_deref(), expect);
            assert!(expect.is_none() || is_limited(&pod));
        };
        let limited = |limit: &str| {
            json!({"containers": [
                {"name": "c", "resources": {"limits": {"ephemeral-storage": limit}}}]})
        };
        check(json!({"containers": [{"name": "c"}]}), 1 << 40, 0, None);
        check(limited("1Mi"), 1 << 20, 0, None);
        let text = "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ";
        check(limited("1Mi"), 2 << 20, 0, Some(text));
        check(limited("1Mi"), 0, 2 << 20, Some(text));
        let mut two = limited("1Mi");
        two["containers"].as_array_mut().unwrap().push(json!({"name": "d"}));
        let text = "Container c exceeded its local ephemeral storage limit \"1Mi\". ";
        check(two, 2 << 20, 0, Some(text));
        let sized = |medium: &str| {
            json!({"containers": [{"name": "c"}],
                "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi", "medium": medium}}]})
        };
        let text = "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ";
        check(sized(""), 0, 2 << 20, Some(text));
        check(sized("Memory"), 0, 2 << 20, None);
    }
}

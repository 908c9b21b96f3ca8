//! Evicts pods from devices with NoExecute taints that their claims do not tolerate (for long
//! enough). KEP-5055, for taints that drivers set in ResourceSlices.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kd_client::{
    Change, DeleteOptions, EventType, Interest, Key, Object, PatchKind, View, resources,
};
use serde::Deserialize;
use serde_json::json;

use super::resource_claim::state::{Claim, Device, DeviceTaint, Pod, reserved_claims};
use crate::controller::shared;
use crate::{Controller, Plan, Step, Target, event};

pub(super) struct DeviceTaintEviction;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Slice {
    spec: SliceSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SliceSpec {
    driver: String,
    pool: Pool,
    devices: Vec<Tainted>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pool {
    name: String,
    generation: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tainted {
    name: String,
    taints: Vec<DeviceTaint>,
}

impl Controller for DeviceTaintEviction {
    fn name(&self) -> &'static str {
        "device-taint-eviction-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![
            Interest::full(&resources::PODS),
            Interest::full(&resources::RESOURCE_CLAIMS),
            Interest::full(&resources::RESOURCE_SLICES),
        ]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        let Some(object) = change.object() else { return Vec::new() };
        let pods = shared(&resources::PODS);
        if change.resource.same(&pods) {
            let concerned = object.node().is_some() && Pod::of(object).is_some();
            return concerned.then(|| Target::of(&pods, object)).into_iter().collect();
        }
        if change.resource.same(&resources::RESOURCE_CLAIMS) {
            return consumers(object);
        }
        let states = change.old.iter().chain(&change.new);
        let slices: Vec<Slice> = states.filter_map(|state| state.decode()).collect();
        let tainted = |slice: &Slice| slice.spec.devices.iter().any(|d| !d.taints.is_empty());
        if !slices.iter().any(tainted) {
            return Vec::new();
        }
        view.objects(&resources::RESOURCE_CLAIMS, None).flat_map(|claim| consumers(claim)).collect()
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        let Some(object) = view.object(&resources::PODS, &target.key) else {
            return Plan::nothing();
        };
        let Some(pod) = Pod::of(object).filter(|pod| !pod.is_done(object)) else {
            return Plan::nothing();
        };
        if object.metadata.is_deleting() || object.node().is_none() {
            return Plan::nothing();
        }
        let claims = reserved_claims(view, object, &pod);
        if claims.iter().all(|claim| claim.status.allocation.is_none()) {
            return Plan::nothing();
        }
        let taints = taints(view);
        let times = claims.iter().flat_map(|claim| &claim.status.allocation);
        let times = times.flat_map(|allocation| &allocation.devices.results);
        match times.filter_map(|device| eviction_time(device, &taints, now)).min() {
            None => Plan::nothing(),
            Some(time) if time > now => Plan::at(time),
            Some(_) => evict(object, now),
        }
    }
}

/// The pods that a claim is reserved for.
fn consumers(claim: &Object) -> Vec<Target> {
    let status = claim.decode::<Claim>().unwrap_or_default().status;
    let pods = status.reserved_for.into_iter().filter(|consumer| consumer.is_pod());
    let key = |name: &str| Key::new(&claim.metadata.namespace, name);
    pods.map(|pod| Target::new(&shared(&resources::PODS), key(&pod.name))).collect()
}

/// The NoExecute taints of each device, by driver, pool and name, as each pool's newest generation
/// tells them.
fn taints(view: &View) -> BTreeMap<(String, String, String), Vec<DeviceTaint>> {
    let slices = view.objects(&resources::RESOURCE_SLICES, None);
    let slices: Vec<SliceSpec> =
        slices.filter_map(|slice| slice.decode::<Slice>()).map(|slice| slice.spec).collect();
    let mut newest: BTreeMap<(String, String), i64> = BTreeMap::new();
    for slice in &slices {
        let known = newest.entry((slice.driver.clone(), slice.pool.name.clone())).or_default();
        *known = (*known).max(slice.pool.generation);
    }
    let mut all = BTreeMap::new();
    for slice in slices {
        let pool = (slice.driver, slice.pool.name);
        if newest.get(&pool) != Some(&slice.pool.generation) {
            continue;
        }
        for device in slice.devices.into_iter().filter(|device| !device.taints.is_empty()) {
            let mut taints = device.taints;
            taints.retain(|taint| taint.effect == "NoExecute");
            all.insert((pool.0.clone(), pool.1.clone(), device.name), taints);
        }
    }
    all
}

/// When who has the device must go; None for never.
fn eviction_time(
    device: &Device,
    taints: &BTreeMap<(String, String, String), Vec<DeviceTaint>>,
    now: Timestamp,
) -> Option<Timestamp> {
    let place = (device.driver.clone(), device.pool.clone(), device.device.clone());
    let times = taints.get(&place)?.iter().filter_map(|taint| {
        let added = taint.time_added.unwrap_or(now);
        let mut matching = device.tolerations.iter().filter(|t| t.tolerates(taint)).peekable();
        if matching.peek().is_none() {
            return Some(now.min(added));
        }
        let seconds = matching.filter_map(|toleration| toleration.toleration_seconds).min()?;
        // One that never comes is no deadline.
        added.checked_add(SignedDuration::from_secs(seconds.max(0))).ok()
    });
    times.min()
}

fn evict(object: &Object, now: Timestamp) -> Plan {
    let condition = json!({"type": "DisruptionTarget", "status": "True",
        "reason": "DeletionByDeviceTaintManager",
        "message": "Device Taint manager: deleting due to NoExecute taint",
        "lastTransitionTime": now.to_string()});
    let patch = json!({"metadata": {"uid": object.metadata.uid},
        "status": {"conditions": [condition]}});
    let kind = PatchKind::Strategic;
    let notice = event(
        &resources::PODS,
        object,
        EventType::Normal,
        "DeviceTaintManagerEviction",
        "Marking for deletion",
    );
    let mut plan = Plan::one(Step::patch(&resources::PODS, object.key(), "status", kind, patch));
    let options = DeleteOptions::of(&object.metadata.uid);
    plan.then(vec![Step::delete(&resources::PODS, object.key(), options).telling(notice)]);
    plan
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{at, lines, object, plan, time, view};

    fn check(taint: Value, tolerations: Value, second: i64, evicted: bool, again: Option<i64>) {
        let devices = json!([{"name": "d", "taints": [taint]}]);
        let objects = [
            object(
                "ResourceSlice",
                "",
                "s",
                json!({"spec": {"driver": "x", "pool": {"name": "n", "generation": 2},
                    "devices": devices}}),
            ),
            object(
                "ResourceSlice",
                "",
                "old",
                json!({"spec": {"driver": "x", "pool": {"name": "n", "generation": 1},
                    "devices": [{"name": "d", "taints": [{"key": "z", "effect": "NoExecute"}]}]}}),
            ),
            object(
                "ResourceClaim",
                "a",
                "c",
                json!({"status": {"reservedFor": [{"resource": "pods", "name": "p", "uid": "p-uid"}],
                    "allocation": {"devices": {"results": [{"driver": "x", "pool": "n",
                        "device": "d", "tolerations": tolerations}]}}}}),
            ),
            object(
                "Pod",
                "a",
                "p",
                json!({"spec": {"nodeName": "n", "containers": [],
                    "resourceClaims": [{"name": "gpu", "resourceClaimName": "c"}]}}),
            ),
        ];
        let plan =
            plan(&DeviceTaintEviction, &view(&objects), &resources::PODS, ("a", "p"), second);
        let expect = ["patch pods/status a/p", "--", "delete pods a/p"];
        assert_eq!(lines(&plan), expect[..if evicted { 3 } else { 0 }]);
        assert_eq!(plan.again, again.map(at));
    }

    #[test]
    fn untolerated_devices_lose_their_pods() {
        let taint =
            json!({"key": "k", "value": "v", "effect": "NoExecute", "timeAdded": time(100)});
        let exists = |seconds: Value| json!([{"key": "k", "operator": "Exists", "tolerationSeconds": seconds}]);
        check(taint.clone(), json!([]), 100, true, None);
        check(taint.clone(), exists(Value::Null), 1000, false, None);
        check(taint.clone(), exists(json!(60)), 159, false, Some(160));
        check(taint.clone(), exists(json!(60)), 160, true, None);
        check(taint.clone(), json!([{"key": "k", "value": "w"}]), 100, true, None);
        check(taint.clone(), json!([{"operator": "Exists"}]), 100, false, None);
        let softer = json!({"key": "k", "effect": "NoSchedule", "timeAdded": time(100)});
        check(softer, json!([]), 100, false, None);
    }
}

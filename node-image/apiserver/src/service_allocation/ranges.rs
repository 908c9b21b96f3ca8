//! The ranges that ServiceCIDRs add to the cluster's own.

use ipnet::IpNet;
use kd_api::Object;
use kd_store::Snapshot;
use serde_json::Value;

use super::NETWORKING;
use crate::storage::resource_prefix;

/// What may be given out beside `own`, of the same family.
pub(super) fn added(snapshot: &Snapshot, own: &IpNet) -> Vec<IpNet> {
    let prefix = resource_prefix(NETWORKING, "servicecidrs");
    let objects = snapshot.list(&prefix);
    let objects = objects.filter_map(|entry| serde_json::from_slice::<Value>(&entry.value).ok());
    let ranges: Vec<IpNet> = objects.filter(is_open).flat_map(|object| of(&object)).collect();
    let is_other = |range: &IpNet| range != own && range.addr().is_ipv4() == own.addr().is_ipv4();
    ranges.into_iter().filter(is_other).collect()
}

/// Nothing is given out of a range before its finalizer is there, nor while it goes.
fn is_open(object: &Value) -> bool {
    let conditions = object.list_at(&["status", "conditions"]).iter();
    let mut ready = conditions.filter(|condition| condition.str_at(&["type"]) == "Ready");
    !object.is_terminating() && ready.any(|condition| condition.str_at(&["status"]) == "True")
}

fn of(object: &Value) -> Vec<IpNet> {
    let texts = object.list_at(&["spec", "cidrs"]).iter();
    texts.filter_map(|text| text.as_str()?.parse().ok()).collect()
}

//! ReferenceGrants: who may name objects of another namespace
//! (<https://gateway-api.sigs.k8s.io/api-types/referencegrant/>).

use kd_client::{Key, View};
use serde_json::Value;

use super::{GROUP, reference_grants};
use crate::ingresses::list;

/// Whether objects of a kind of our group in one namespace may name `to` of the core group.
pub(super) fn allows(
    view: &View,
    from_kind: &str,
    from_namespace: &str,
    to_kind: &str,
    to: &Key,
) -> bool {
    if from_namespace == &*to.namespace {
        return true;
    }
    let grants = reference_grants();
    view.objects(&grants, Some(&to.namespace)).any(|grant| {
        let Some(grant) = grant.decode::<Value>() else { return false };
        let spec = &grant["spec"];
        let is_from = list(&spec["from"]).any(|from| {
            from["group"] == GROUP
                && from["kind"] == from_kind
                && from["namespace"] == from_namespace
        });
        is_from
            && list(&spec["to"]).any(|target| {
                let name = target["name"].as_str().unwrap_or_default();
                let is_core = target["group"].as_str().unwrap_or_default().is_empty();
                is_core && target["kind"] == to_kind && (name.is_empty() || name == &*to.name)
            })
    })
}

//! The ways to change an object by a patch: JSON Patch, JSON Merge Patch, strategic merge and
//! server-side apply.

mod apply;
mod config;
mod elements;
mod field_set;
mod fields;
mod json;
mod merge;
mod owners;
mod schema;
mod strategic;

pub use apply::apply;
pub use config::merge_config;
pub use elements::ambiguous;
pub use json::json;
pub use merge::merge;
pub use owners::{FieldManager, fields_in_common, track};
pub use schema::PatchSchema;
pub use strategic::strategic;

use crate::Status;

/// The 422 without detail with which upstream answers a patch that does not fit its object.
fn unprocessable() -> Status {
    let text = "the server rejected our request due to an error in our request";
    let mut status = Status::failure(422, "Invalid", text);
    status.details = Some(Default::default());
    status
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::schema;
    use crate::testing::kind;

    #[test]
    fn a_pod_by_its_own_schema() {
        let pod_kind = kind("", "v1", "Pod");
        let schema = schema::for_kind(&pod_kind).unwrap();
        let pod = json!({"metadata": {"finalizers": ["a/b"]}, "spec": {
            "containers": [{"name": "a", "image": "1", "ports": [{"containerPort": 80, "protocol": "TCP"}]}],
            "tolerations": [{"key": "x"}]}});
        let patch = json!({"metadata": {"finalizers": ["c/d"]}, "spec": {
            "containers": [{"name": "a", "image": "2"}, {"name": "b"}], "tolerations": [{"key": "y"}]}});
        let patched = strategic(&pod, &patch, &schema).unwrap();
        assert_eq!(patched["metadata"]["finalizers"], json!(["c/d", "a/b"]));
        assert_eq!(
            patched["spec"]["containers"][0]["ports"],
            pod["spec"]["containers"][0]["ports"]
        );
        assert_eq!(patched["spec"]["containers"][0]["image"], "2");
        assert_eq!(patched["spec"]["containers"][1]["name"], "b");
        assert_eq!(patched["spec"]["tolerations"], json!([{"key": "y"}]));
    }

    #[test]
    fn ports_are_told_apart_by_defaulted_keys() {
        let pod_kind = kind("", "v1", "Pod");
        let schema = schema::for_kind(&pod_kind).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let manager = FieldManager { name: "me", api_version: "v1", subresource: "", now };
        let live = json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}});
        let config = json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80, "name": "http"}]}]}});
        let merged = apply(&live, &config, &schema, manager, false).unwrap();
        assert_eq!(
            merged["spec"]["containers"][0]["ports"],
            json!([{"containerPort": 80, "protocol": "TCP", "name": "http"}])
        );
    }
}

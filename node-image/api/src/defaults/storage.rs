//! Defaults of volumes, claims, storage classes and drivers.

use serde_json::{Value, json};

use super::pod::volume_source;
use super::{quantities, set_all};
use crate::walk::Shape;

pub(super) fn persistent_volume(obj: &mut Value) {
    if let Some(spec) = obj.object_mut("spec") {
        spec.set_default_text("persistentVolumeReclaimPolicy", "Retain");
        spec.set_default("volumeMode", "Filesystem");
        quantities::resource_list(spec, "capacity");
        volume_source(spec);
    }
    if let Some(status) = obj.object_mut("status") {
        status.set_default_text("phase", "Pending");
    }
}

pub(super) fn persistent_volume_claim(obj: &mut Value) {
    if let Some(spec) = obj.object_mut("spec") {
        spec.set_default("volumeMode", "Filesystem");
        quantities::requirements(spec, "resources");
    }
    if let Some(status) = obj.object_mut("status") {
        status.set_default_text("phase", "Pending");
        quantities::resource_list(status, "capacity");
        quantities::resource_list(status, "allocatedResources");
    }
}

/// A claim template of a StatefulSet names its type, as the typed object does.
pub(super) fn claim_template(template: &mut Value) {
    template.set_default_text("apiVersion", "v1");
    template.set_default_text("kind", "PersistentVolumeClaim");
    persistent_volume_claim(template);
}

pub(super) fn storage_class(obj: &mut Value) {
    obj.set_default("reclaimPolicy", "Delete");
    obj.set_default("volumeBindingMode", "Immediate");
}

pub(super) fn csi_driver(obj: &mut Value) {
    let Some(spec) = obj.object_mut("spec") else { return };
    set_all(
        spec,
        json!({
            "attachRequired": true,
            "podInfoOnMount": false,
            "storageCapacity": false,
            "fsGroupPolicy": "ReadWriteOnceWithFSType",
            "requiresRepublish": false,
            "seLinuxMount": false,
        }),
    );
    spec.set_default("volumeLifecycleModes", json!(["Persistent"]));
}

pub(super) fn csi_storage_capacity(obj: &mut Value) {
    quantities::single(obj, "capacity");
    quantities::single(obj, "maximumVolumeSize");
}

//! PodDisruptionBudgets.

use serde_json::Value;

use super::check::{Errors, at_most_all, choice, label_selector, none_negative, number_or_percent};
use super::workload::spec_path;
use crate::walk::Walk;
use crate::{FieldError, Path};

pub(super) fn create(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    if spec.has("minAvailable") && spec.has("maxUnavailable") {
        let text = "minAvailable and maxUnavailable cannot be both set";
        errors.push(FieldError::invalid(path.clone(), spec.clone(), text));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        number_or_percent(errors, &spec[field], &path.child(field));
        at_most_all(errors, &spec[field], &path.child(field));
    }
    label_selector(errors, &spec["selector"], &path.child("selector"));
    let policies = ["AlwaysAllow", "IfHealthyBudget"];
    choice(errors, spec, "unhealthyPodEvictionPolicy", &path, &policies);
}

pub(super) fn status(errors: &mut Errors, new: &Value, _: &Value) {
    let fields = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];
    none_negative(errors, &new["status"], &fields, &Path::new("status"));
}

//! APIServices.

use serde_json::Value;

use super::check::{Errors, problems};
use super::names;
use super::webhook::port_number;
use super::workload::spec_path;
use crate::walk::Walk;
use crate::{FieldError, Path};

const GROUP_PRIORITY_MAX: i64 = 20_000;
const VERSION_PRIORITY_MAX: i64 = 1000;

pub(super) fn create(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    let (group, version) = (spec.text("group"), spec.text("version"));
    let name = object["metadata"].text("name");
    let required = format!("{version}.{group}");
    if name != required {
        let text = format!("must be `spec.version+\".\"+spec.group`: {required:?}");
        errors.push(FieldError::invalid(Path::new("metadata").child("name"), name, text));
    }
    if group.is_empty() && version != "v1" {
        let text = "only v1 may have an empty group and it better be legacy kube";
        errors.push(FieldError::required(path.child("group"), text));
    }
    if !group.is_empty() {
        problems(errors, &path.child("group"), group, names::dns_subdomain(group));
    }
    problems(errors, &path.child("version"), version, names::dns_1035_label(version));
    for (field, most) in
        [("groupPriorityMinimum", GROUP_PRIORITY_MAX), ("versionPriority", VERSION_PRIORITY_MAX)]
    {
        let priority = spec.integer(field).unwrap_or(0);
        if !(1..=most).contains(&priority) {
            let text = format!("must be positive and less than {most}");
            errors.push(FieldError::invalid(path.child(field), priority, text));
        }
    }
    server(errors, spec, &path);
}

/// Where the group is served, unless it is here.
fn server(errors: &mut Errors, spec: &Value, path: &Path) {
    let (service, bundle) = (&spec["service"], spec.text("caBundle"));
    let insecure = spec.flag("insecureSkipTLSVerify");
    let mut invalid = |field: &str, value: Value, text: &str| {
        errors.push(FieldError::invalid(path.child(field), value, text));
    };
    if service.is_null() {
        if !bundle.is_empty() {
            let shown = format!("{} bytes", bundle.trim_end_matches('=').len() * 3 / 4);
            invalid("caBundle", shown.into(), "local APIServices may not have a caBundle");
        }
        if insecure {
            let text = "local APIServices may not have insecureSkipTLSVerify";
            invalid("insecureSkipTLSVerify", true.into(), text);
        }
        return;
    }
    if insecure && !bundle.is_empty() {
        let text = "may not be true if caBundle is present";
        invalid("insecureSkipTLSVerify", true.into(), text);
    }
    let path = path.child("service");
    for field in ["namespace", "name"] {
        if service.text(field).is_empty() {
            errors.push(FieldError::required(path.child(field), ""));
        }
    }
    port_number(errors, service.integer("port").unwrap_or(0), &path.child("port"));
}

pub(super) fn status(errors: &mut Errors, new: &Value, _: &Value) {
    let path = Path::new("status").child("conditions");
    for (index, condition) in new["status"].list("conditions").iter().enumerate() {
        let status = condition.text("status");
        let supported = ["True", "False", "Unknown"];
        if !supported.contains(&status) {
            let path = path.index(index).child("status");
            errors.push(FieldError::not_supported(path, status, &supported));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::defaults::apply_defaults;
    use crate::testing::kind;

    #[test]
    fn api_services() {
        let check = |name: &str, spec: Value, want: &[&str]| {
            let mut object = json!({"metadata": {"name": name}, "spec": spec});
            apply_defaults(&kind("apiregistration.k8s.io", "v1", "APIService"), &mut object);
            let mut errors = Errors::new();
            create(&mut errors, &object);
            let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
            assert_eq!(texts, want, "{object}");
        };
        let metrics = json!({"group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100,
            "versionPriority": 100, "insecureSkipTLSVerify": true,
            "service": {"name": "metrics-server", "namespace": "kube-system"}});
        check("v1beta1.metrics.k8s.io", metrics.clone(), &[]);
        check(
            "metrics",
            metrics,
            &[
                r#"metadata.name: Invalid value: "metrics": must be `spec.version+"."+spec.group`: "v1beta1.metrics.k8s.io""#,
            ],
        );
        check(
            "v1.a",
            json!({"group": "a", "version": "v1", "versionPriority": 2000, "caBundle": "eHg="}),
            &[
                "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000",
                "spec.versionPriority: Invalid value: 2000: must be positive and less than 1000",
                r#"spec.caBundle: Invalid value: "2 bytes": local APIServices may not have a caBundle"#,
            ],
        );
    }
}

//! Amounts: what containers request and are limited to, quotas, capacities.

use serde_json::Value;

use super::check::{Errors, problems};
use super::names;
use crate::quantity::Quantity;
use crate::walk::Walk;
use crate::{FieldError, Path};

/// What a container can be given, besides huge pages and extended resources.
const CONTAINER_RESOURCES: [&str; 3] = ["cpu", "ephemeral-storage", "memory"];

/// Standard names without a domain, of containers, nodes and quotas.
const STANDARD: &[&str] = &[
    "configmaps",
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
    "storage",
];

fn is_huge_pages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Whether a resource is of someone else's domain.
pub(super) fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

/// The name of any resource.
pub(super) fn name(errors: &mut Errors, resource: &str, path: &Path) {
    let before = errors.len();
    problems(errors, path, resource, names::qualified_name(resource));
    if errors.len() > before || resource.contains('/') {
        return;
    }
    let quota_of_huge_pages = resource.strip_prefix("requests.").is_some_and(is_huge_pages)
        || resource.strip_prefix("limits.").is_some_and(is_huge_pages);
    if !STANDARD.contains(&resource) && !is_huge_pages(resource) && !quota_of_huge_pages {
        let text = "must be a standard resource type or fully qualified";
        errors.push(FieldError::invalid(path.clone(), resource, text));
    }
}

fn container_resource_name(errors: &mut Errors, resource: &str, path: &Path) {
    let before = errors.len();
    name(errors, resource, path);
    if errors.len() > before || resource.contains('/') {
        return;
    }
    if !CONTAINER_RESOURCES.contains(&resource) && !is_huge_pages(resource) {
        let text = "must be a standard resource for containers";
        errors.push(FieldError::invalid(path.clone(), resource, text));
    }
}

/// An amount that must not be negative, and whole for resources that cannot be split.
pub(super) fn amount(
    errors: &mut Errors,
    resource: &str,
    value: &Value,
    path: &Path,
) -> Option<Quantity> {
    let quantity = match Quantity::from_json(value) {
        Ok(quantity) => quantity,
        Err(error) => {
            errors.push(FieldError::invalid(path.clone(), value.clone(), error.to_string()));
            return None;
        }
    };
    if quantity.signum() < 0 {
        let text = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(path.clone(), quantity.to_string(), text));
    }
    let whole = is_extended(resource) || matches!(resource, "pods" | "services" | "secrets");
    if whole && !quantity.is_whole() {
        errors.push(FieldError::invalid(path.clone(), quantity.to_string(), "must be an integer"));
    }
    Some(quantity)
}

/// A map of amounts.
pub(super) fn amounts(errors: &mut Errors, owner: &Value, field: &str, path: &Path) {
    for (resource, value) in owner.entries(field) {
        let path = path.child(field).key(resource);
        name(errors, resource, &path);
        amount(errors, resource, value, &path);
    }
}

/// Requests and limits of a container.
pub(super) fn requirements(errors: &mut Errors, resources: &Value, path: &Path) {
    let (limits, requests) = (path.child("limits"), path.child("requests"));
    for (resource, value) in resources.entries("limits") {
        let path = limits.key(resource);
        container_resource_name(errors, resource, &path);
        amount(errors, resource, value, &path);
    }
    for (resource, value) in resources.entries("requests") {
        let path = requests.key(resource);
        container_resource_name(errors, resource, &path);
        let Some(request) = amount(errors, resource, value, &path) else { continue };
        let limit = &resources["limits"][resource];
        within_limit(errors, resource, request, limit, (&requests, &limits));
    }
    claims(errors, resources, &path.child("claims"));
}

fn within_limit(
    errors: &mut Errors,
    resource: &str,
    request: Quantity,
    limit: &Value,
    (requests, limits): (&Path, &Path),
) {
    let overcommits = !is_extended(resource) && !is_huge_pages(resource);
    if limit.is_null() {
        if !overcommits {
            let text = "Limit must be set for non overcommitable resources";
            errors.push(FieldError::required(limits.clone(), text));
        }
        return;
    }
    let Ok(limit) = Quantity::from_json(limit) else { return };
    let text = if !overcommits && request != limit {
        format!("must be equal to {resource} limit of {limit}")
    } else if request > limit {
        format!("must be less than or equal to {resource} limit of {limit}")
    } else {
        return;
    };
    errors.push(FieldError::invalid(requests.clone(), request.to_string(), text));
}

fn claims(errors: &mut Errors, resources: &Value, path: &Path) {
    let mut seen = Vec::new();
    for (index, claim) in resources.list("claims").iter().enumerate() {
        let path = path.index(index);
        let name = claim.text("name");
        if name.is_empty() {
            errors.push(FieldError::required(path.child("name"), ""));
        } else if seen.contains(&(name, claim.text("request"))) {
            errors.push(FieldError::duplicate(path, name));
        } else {
            seen.push((name, claim.text("request")));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers() {
        let check = |resources: Value, want: &[&str]| {
            let mut errors = Errors::new();
            requirements(&mut errors, &resources, &Path::new("resources"));
            let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
            assert_eq!(texts, want);
        };
        check(json!({"limits": {"cpu": "1"}, "requests": {"cpu": "500m", "memory": "1Mi"}}), &[]);
        check(
            json!({"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
            &[
                r#"resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1"#,
            ],
        );
        check(
            json!({"limits": {"cpu": "-1"}}),
            &[r#"resources.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0"#],
        );
        check(
            json!({"limits": {"gpus": "1"}}),
            &[
                r#"resources.limits[gpus]: Invalid value: "gpus": must be a standard resource type or fully qualified"#,
            ],
        );
        check(
            json!({"requests": {"example.com/gpu": "1"}}),
            &[
                "resources.limits: Required value: Limit must be set for non overcommitable resources",
            ],
        );
        check(
            json!({"limits": {"example.com/gpu": "1500m"}}),
            &[r#"resources.limits[example.com/gpu]: Invalid value: "1500m": must be an integer"#],
        );
    }
}

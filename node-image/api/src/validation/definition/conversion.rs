//! How objects get from one version to another.

use serde_json::Value;

use super::super::check::Errors;
use super::super::names;
use crate::walk::Walk;
use crate::{FieldError, Path};

/// The versions of ConversionReview that are spoken.
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];

/// Upstream's own form has the webhook's parts beside the strategy, and its errors say so.
pub(super) fn validate(errors: &mut Errors, spec: &Value, old: Option<&Value>) {
    let conversion = &spec["conversion"];
    if conversion.is_null() {
        return;
    }
    let path = Path::new("spec").child("conversion");
    let strategy = conversion.text("strategy");
    if strategy != "None" && spec.flag("preserveUnknownFields") {
        let text = "must be None if spec.preserveUnknownFields is true";
        errors.push(FieldError::invalid(path.child("strategy"), strategy, text));
    }
    match strategy {
        "" => errors.push(FieldError::required(path.child("strategy"), "")),
        "None" | "Webhook" => {}
        other => {
            let known = ["None", "Webhook"];
            errors.push(FieldError::not_supported(path.child("strategy"), other, &known));
        }
    }
    let webhook = &conversion["webhook"];
    if strategy != "Webhook" {
        let text = "should not be set when strategy is not set to Webhook";
        if webhook.has("clientConfig") {
            errors.push(FieldError::forbidden(path.child("webhookClientConfig"), text));
        }
        if !webhook.list("conversionReviewVersions").is_empty() {
            errors.push(FieldError::forbidden(path.child("conversionReviewVersions"), text));
        }
        return;
    }
    client(errors, &webhook["clientConfig"], &path.child("webhookClientConfig"));
    let recognized = old.is_none_or(|old| {
        let before = old["conversion"]["webhook"].list("conversionReviewVersions");
        before.is_empty() || before.iter().any(is_spoken)
    });
    let versions = webhook.list("conversionReviewVersions");
    reviews(errors, versions, recognized, &path.child("conversionReviewVersions"));
}

fn is_spoken(version: &Value) -> bool {
    version.as_str().is_some_and(|version| REVIEWS.contains(&version))
}

fn client(errors: &mut Errors, config: &Value, path: &Path) {
    if config.is_null() {
        errors.push(FieldError::required(path.clone(), "required when strategy is set to Webhook"));
        return;
    }
    let service = &config["service"];
    match (config.has("url"), service.is_null()) {
        (true, false) | (false, true) => {
            let text = "exactly one of url or service is required";
            errors.push(FieldError::required(path.clone(), text));
        }
        (true, true) => url(errors, config.text("url"), &path.child("url")),
        (false, false) => {
            let path = path.child("service");
            for (field, text) in [
                ("name", "service name is required"),
                ("namespace", "service namespace is required"),
            ] {
                if service.text(field).is_empty() {
                    errors.push(FieldError::required(path.child(field), text));
                }
            }
            let wrong = service.integer("port").map_or_else(Vec::new, names::port_number);
            if !wrong.is_empty() {
                let text = format!("port is not valid: {}", wrong.join(","));
                errors.push(FieldError::invalid(path.child("port"), service["port"].clone(), text));
            }
            service_path(errors, service.text("path"), &path.child("path"));
        }
    }
}

fn url(errors: &mut Errors, url: &str, path: &Path) {
    const FORM: &str = "; desired format: https://host[/path]";
    let mut refuse =
        |text: &str| errors.push(FieldError::invalid(path.clone(), url, text.to_owned() + FORM));
    let Some(rest) = url.strip_prefix("https://") else {
        return refuse("'https' is the only allowed URL scheme");
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or("");
    if host.is_empty() {
        refuse("host must be specified");
    }
    if host.contains('@') {
        refuse("user information is not permitted in the URL");
    }
    if rest.contains('#') {
        refuse("fragments are not permitted in the URL");
    }
    if rest.contains('?') {
        refuse("query parameters are not permitted in the URL");
    }
}

fn service_path(errors: &mut Errors, text: &str, path: &Path) {
    if text.is_empty() || text == "/" {
        return;
    }
    let Some(rest) = text.strip_prefix('/') else {
        errors.push(FieldError::invalid(path.clone(), text, "must start with a '/'"));
        return;
    };
    let steps: Vec<&str> = rest.strip_suffix('/').unwrap_or(rest).split('/').collect();
    for (index, step) in steps.into_iter().enumerate() {
        if step.is_empty() {
            let text_of = format!("segment[{index}] may not be empty");
            errors.push(FieldError::invalid(path.clone(), text, text_of));
            continue;
        }
        for wrong in names::dns_subdomain(step) {
            let text_of = format!("segment[{index}]: {wrong}");
            errors.push(FieldError::invalid(path.clone(), text, text_of));
        }
    }
}

fn reviews(errors: &mut Errors, versions: &[Value], recognized: bool, path: &Path) {
    if versions.is_empty() {
        errors.push(FieldError::required(path.clone(), ""));
        return;
    }
    for (index, version) in versions.iter().enumerate() {
        let text = version.as_str().unwrap_or("");
        if versions[..index].contains(version) {
            errors.push(FieldError::invalid(path.index(index), text, "duplicate version"));
            continue;
        }
        for wrong in names::dns_1035_label(text) {
            errors.push(FieldError::invalid(path.index(index), text, wrong));
        }
    }
    if recognized && !versions.iter().any(is_spoken) {
        let text = format!("must include at least one of {}", REVIEWS.join(", "));
        errors.push(FieldError::invalid(path.clone(), versions, text));
    }
}

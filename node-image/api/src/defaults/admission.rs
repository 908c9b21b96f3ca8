//! Defaults of what extends the API: webhooks, admission policies, custom resources, API services.

use serde_json::Value;

use super::empty;
use crate::walk::{Shape, Walk};

const HTTPS_PORT: i64 = 443;

pub(super) fn webhooks(obj: &mut Value) {
    obj.each_mut("webhooks").for_each(webhook);
}

pub(super) fn mutating_webhooks(obj: &mut Value) {
    for hook in obj.each_mut("webhooks") {
        webhook(hook);
        hook.set_default("reinvocationPolicy", "Never");
    }
}

fn webhook(hook: &mut Value) {
    hook.set_default("failurePolicy", "Fail");
    hook.set_default("timeoutSeconds", 10);
    match_rules(hook, "rules");
    if let Some(service) = hook.reach_mut(&["clientConfig", "service"]) {
        service.set_default("port", HTTPS_PORT);
    }
}

/// Selectors, match policy and the scope of each rule.
fn match_rules(owner: &mut Value, rules: &str) {
    owner.set_default("matchPolicy", "Equivalent");
    owner.set_default("namespaceSelector", empty());
    owner.set_default("objectSelector", empty());
    for rule in owner.each_mut(rules) {
        rule.set_default("scope", "*");
    }
}

pub(super) fn policy(obj: &mut Value) {
    let Some(spec) = obj.object_mut("spec") else { return };
    spec.set_default("failurePolicy", "Fail");
    if let Some(constraints) = spec.existing_mut("matchConstraints") {
        match_resources(constraints);
    }
}

pub(super) fn policy_binding(obj: &mut Value) {
    if let Some(resources) = obj.reach_mut(&["spec", "matchResources"]).filter(|r| r.is_object()) {
        match_resources(resources);
    }
}

fn match_resources(resources: &mut Value) {
    match_rules(resources, "resourceRules");
    for rule in resources.each_mut("excludeResourceRules") {
        rule.set_default("scope", "*");
    }
}

pub(super) fn custom_resource_definition(obj: &mut Value) {
    let Some(spec) = obj.object_mut("spec") else { return };
    if let Some(names) = spec.existing_mut("names") {
        let kind = names.text("kind").to_owned();
        if !kind.is_empty() {
            names.set_default_text("singular", &kind.to_lowercase());
            names.set_default_text("listKind", &format!("{kind}List"));
        }
    }
    if let Some(conversion) = spec.object_mut("conversion") {
        conversion.set_default_text("strategy", "None");
        if let Some(service) = conversion.reach_mut(&["webhook", "clientConfig", "service"]) {
            service.set_default("port", HTTPS_PORT);
        }
    }
}

pub(super) fn api_service(obj: &mut Value) {
    if let Some(service) = obj.reach_mut(&["spec", "service"]).filter(|s| s.is_object()) {
        service.set_default("port", HTTPS_PORT);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn webhook_configurations() {
        let mut obj =
            json!({"webhooks": [{"rules": [{}], "clientConfig": {"service": {"name": "a"}}}]});
        mutating_webhooks(&mut obj);
        assert_eq!(
            obj["webhooks"][0],
            json!({"rules": [{"scope": "*"}], "clientConfig": {"service": {"name": "a", "port": 443}},
                "failurePolicy": "Fail", "timeoutSeconds": 10, "matchPolicy": "Equivalent",
                "namespaceSelector": {}, "objectSelector": {}, "reinvocationPolicy": "Never"})
        );
    }
}

//! A PolicyRule of RBAC and what it matches.

use serde_json::{Value, json};

use crate::request::RequestInfo;

/// `rbac.authorization.k8s.io` PolicyRule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyRule {
    /// Verbs, or `*`.
    pub verbs: Vec<String>,
    /// API groups, or `*`.
    pub api_groups: Vec<String>,
    /// `pods`, `pods/log`, `*/scale`, `*`.
    pub resources: Vec<String>,
    /// Empty for all.
    pub resource_names: Vec<String>,
    /// `/healthz`, `/api/*`, `*`.
    pub non_resource_urls: Vec<String>,
}

/// The rules of a Role or ClusterRole object.
pub fn rules_of(role: &Value) -> Vec<PolicyRule> {
    let rules = role["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
    rules.iter().map(PolicyRule::from_value).collect()
}

impl PolicyRule {
    /// Reads a rule of a stored role.
    pub fn from_value(value: &Value) -> PolicyRule {
        PolicyRule {
            verbs: strings(&value["verbs"]),
            api_groups: strings(&value["apiGroups"]),
            resources: strings(&value["resources"]),
            resource_names: strings(&value["resourceNames"]),
            non_resource_urls: strings(&value["nonResourceURLs"]),
        }
    }

    /// As it is stored: empty lists are absent.
    pub fn to_value(&self) -> Value {
        let mut value = json!({"verbs": self.verbs});
        let lists = [
            ("apiGroups", &self.api_groups),
            ("resources", &self.resources),
            ("resourceNames", &self.resource_names),
            ("nonResourceURLs", &self.non_resource_urls),
        ];
        for (field, list) in lists {
            if !list.is_empty() {
                value[field] = json!(list);
            }
        }
        value
    }

    /// Whether the rule grants the request.
    pub fn allows(&self, info: &RequestInfo) -> bool {
        if !has(&self.verbs, &info.verb) {
            return false;
        }
        if !info.is_resource {
            return self.non_resource_urls.iter().any(|url| url_covers(url, &info.path));
        }
        has(&self.api_groups, &info.group)
            && self.resources.iter().any(|r| resource_matches(r, &info.resource, &info.subresource))
            && (self.resource_names.is_empty() || self.resource_names.contains(&info.name))
    }

    /// `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`, as escalation messages show it.
    pub fn compact(&self) -> String {
        let lists = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        let parts: Vec<String> = lists
            .iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(name, list)| format!("{name}:{}", quoted(list)))
            .collect();
        format!("{{{}}}", parts.join(", "))
    }
}

/// `["a" "b"]`.
pub fn quoted(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

/// Whether the list has `*` or the word.
pub(super) fn has(list: &[String], word: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry == word)
}

/// Whether a path pattern of a rule covers a path (or another pattern).
pub(super) fn url_covers(pattern: &str, path: &str) -> bool {
    pattern == "*"
        || pattern == path
        || pattern.strip_suffix('*').is_some_and(|p| path.starts_with(p.trim_end_matches('*')))
}

/// Whether a rule's resource covers a resource and subresource.
fn resource_matches(pattern: &str, resource: &str, subresource: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    if subresource.is_empty() {
        return pattern == resource;
    }
    match pattern.split_once('/') {
        Some((parent, child)) => child == subresource && (parent == "*" || parent == resource),
        None => false,
    }
}

fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(verb: &str, group: &str, resource: &str, name: &str) -> RequestInfo {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        RequestInfo {
            is_resource: true,
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            name: name.into(),
            ..RequestInfo::default()
        }
    }

    fn check(rule: Value, info: &RequestInfo, expect: bool) {
        assert_eq!(PolicyRule::from_value(&rule).allows(info), expect, "{rule} {info:?}");
    }

    #[test]
    fn resources() {
        let pods = || json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
        check(pods(), &info("get", "", "pods", "a"), true);
        check(pods(), &info("list", "", "pods", ""), false);
        check(pods(), &info("get", "apps", "pods", "a"), false);
        check(pods(), &info("get", "", "pods/log", "a"), false);
        let all = || json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
        check(all(), &info("deletecollection", "x", "y/z", ""), true);
        let scale = || json!({"verbs": ["get"], "apiGroups": ["*"], "resources": ["*/scale"]});
        check(scale(), &info("get", "apps", "deployments/scale", "a"), true);
        check(scale(), &info("get", "apps", "deployments", "a"), false);
        let named = || json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]});
        check(named(), &info("get", "", "secrets", "a"), true);
        check(named(), &info("get", "", "secrets", "b"), false);
        check(
            json!({"verbs": ["get"], "rules": null, "apiGroups": null}),
            &info("get", "", "pods", ""),
            false,
        );
    }

    #[test]
    fn paths() {
        let path = |path: &str| RequestInfo {
            verb: "get".into(),
            path: path.into(),
            ..RequestInfo::default()
        };
        let rule = |url: &str| json!({"verbs": ["get"], "nonResourceURLs": [url]});
        check(rule("/healthz"), &path("/healthz"), true);
        check(rule("/healthz"), &path("/healthz/etcd"), false);
        check(rule("/api/*"), &path("/api/v1"), true);
        check(rule("/api/*"), &path("/apis"), false);
        check(rule("*"), &path("/anything"), true);
    }
}

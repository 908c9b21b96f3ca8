//! `audit.k8s.io/v1` Policy: which requests are logged, and how much of them. The first rule that
//! matches decides.

use kd_api::{FieldError, Path};
use serde::Deserialize;

use crate::configuration::{self, ConfigurationError};
use crate::request::{RequestInfo, UserInfo};

const KIND: &str = "Policy";

/// How much of a request is logged; each includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    #[default]
    None,
    Metadata,
    Request,
    RequestResponse,
}

/// When an event is logged. (A panic ends the process, so there is no stage for one.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    RequestReceived,
    ResponseStarted,
    ResponseComplete,
}

const LEVELS: [(&str, Level); 4] = [
    ("None", Level::None),
    ("Metadata", Level::Metadata),
    ("Request", Level::Request),
    ("RequestResponse", Level::RequestResponse),
];
const STAGES: [&str; 4] = ["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"];

impl Level {
    pub(crate) fn name(self) -> &'static str {
        LEVELS[self as usize].0
    }
}

impl Stage {
    pub(crate) fn name(self) -> &'static str {
        STAGES[self as usize]
    }
}

/// What is logged of requests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AuditPolicy {
    rules: Vec<Rule>,
    omit_stages: Vec<String>,
    omit_managed_fields: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Rule {
    level: String,
    users: Vec<String>,
    user_groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<GroupResources>,
    namespaces: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    omit_stages: Vec<String>,
    omit_managed_fields: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct GroupResources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

/// What a policy says of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) level: Level,
    pub(crate) omit_stages: Vec<String>,
    pub(crate) omit_managed_fields: bool,
}

impl AuditPolicy {
    /// Reads a policy file.
    pub fn parse(text: &str) -> Result<AuditPolicy, ConfigurationError> {
        let policy: AuditPolicy = configuration::read(KIND, "audit.k8s.io", &["v1"], text)?;
        if policy.rules.is_empty() {
            return Err(ConfigurationError::new(KIND, "loaded illegal policy with 0 rules"));
        }
        let mut errors = Vec::new();
        check_stages(&mut errors, &policy.omit_stages, &Path::new("omitStages"));
        for (index, rule) in policy.rules.iter().enumerate() {
            rule.check(&mut errors, &Path::new("rules").index(index));
        }
        ConfigurationError::unless_none(KIND, &errors)?;
        Ok(policy)
    }

    pub(crate) fn choose(&self, user: &UserInfo, info: &RequestInfo) -> Choice {
        let Some(rule) = self.rules.iter().find(|rule| rule.matches(user, info)) else {
            return Choice::default();
        };
        let level = LEVELS.iter().find(|(name, _)| *name == rule.level);
        Choice {
            level: level.map_or(Level::None, |(_, level)| *level),
            omit_stages: [self.omit_stages.as_slice(), &rule.omit_stages].concat(),
            omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
        }
    }
}

fn check_stages(errors: &mut Vec<FieldError>, stages: &[String], path: &Path) {
    for (index, stage) in stages.iter().enumerate() {
        if !STAGES.contains(&stage.as_str()) {
            let why = format!("allowed stages are {}", STAGES.join(","));
            errors.push(FieldError::invalid(path.index(index), stage.as_str(), why));
        }
    }
}

impl Rule {
    fn check(&self, errors: &mut Vec<FieldError>, path: &Path) {
        let level = path.child("level");
        match self.level.as_str() {
            "" => errors.push(FieldError::required(level, "")),
            name if LEVELS.iter().any(|(known, _)| *known == name) => {}
            name => {
                let mut names = LEVELS.map(|(name, _)| name);
                names.sort_unstable();
                errors.push(FieldError::not_supported(level, name, &names));
            }
        }
        check_stages(errors, &self.omit_stages, &path.child("omitStages"));
        let urls = path.child("nonResourceURLs");
        let of_resources = !self.resources.is_empty() || !self.namespaces.is_empty();
        if of_resources && !self.non_resource_urls.is_empty() {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            let shown = serde_json::json!(self.non_resource_urls);
            errors.push(FieldError::invalid(urls.clone(), shown, why));
        }
        for (index, url) in self.non_resource_urls.iter().enumerate() {
            check_url(errors, url, &urls.index(index));
        }
        for (index, resources) in self.resources.iter().enumerate() {
            let path = path.child("resources").index(index);
            if resources.resources.is_empty() && !resources.resource_names.is_empty() {
                let why = "using resourceNames requires at least one resource";
                let shown = serde_json::json!(resources.resource_names);
                errors.push(FieldError::invalid(path.child("resourceNames"), shown, why));
            }
            if resources.group.contains('/') {
                let why = "must be a group without a version";
                errors.push(FieldError::invalid(path.child("group"), &*resources.group, why));
            }
        }
    }

    fn matches(&self, user: &UserInfo, info: &RequestInfo) -> bool {
        let open = |list: &[String], holds: bool| list.is_empty() || holds;
        let in_group = user.groups.iter().any(|group| self.user_groups.contains(group));
        if !open(&self.users, self.users.contains(&user.username))
            || !open(&self.user_groups, in_group)
            || !open(&self.verbs, self.verbs.contains(&info.verb))
        {
            return false;
        }
        if !self.resources.is_empty() || !self.namespaces.is_empty() {
            let of_namespace = open(&self.namespaces, self.namespaces.contains(&info.namespace));
            let any = self.resources.is_empty() || self.resources.iter().any(|r| r.matches(info));
            return info.is_resource && of_namespace && any;
        }
        if !self.non_resource_urls.is_empty() {
            let url = |url: &String| match url.strip_suffix('*') {
                Some(prefix) => info.path.starts_with(prefix),
                None => *url == info.path,
            };
            return !info.is_resource && self.non_resource_urls.iter().any(url);
        }
        true
    }
}

fn check_url(errors: &mut Vec<FieldError>, url: &str, path: &Path) {
    if url == "*" {
        return;
    }
    if !url.starts_with('/') {
        let why = "non-resource URL rules must begin with a '/' character";
        errors.push(FieldError::invalid(path.clone(), url, why));
    }
    if url.strip_suffix('*').unwrap_or(url).contains('*') {
        let why = "non-resource URL wildcards '*' must be the final character of the rule";
        errors.push(FieldError::invalid(path.clone(), url, why));
    }
}

impl GroupResources {
    fn matches(&self, info: &RequestInfo) -> bool {
        if self.group != info.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        let named = self.resource_names.is_empty() || self.resource_names.contains(&info.name);
        named && self.resources.iter().any(|pattern| is_of(pattern, info))
    }
}

/// `pods`, `pods/log`, `pods/*`, `*/log`, `*`.
fn is_of(pattern: &str, info: &RequestInfo) -> bool {
    if pattern == "*" {
        return true;
    }
    match pattern.split_once('/') {
        None => pattern == info.resource && info.subresource.is_empty(),
        Some((resource, "*")) => resource == info.resource,
        Some(("*", subresource)) => !info.subresource.is_empty() && subresource == info.subresource,
        Some((resource, subresource)) => {
            resource == info.resource && subresource == info.subresource
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{resource_info, user};

    const HEAD: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";

    #[test]
    fn the_first_rule_decides() {
        let policy = AuditPolicy::parse(&format!(
            "{HEAD}omitStages: [RequestReceived]\nomitManagedFields: true\nrules:\n\
             - {{level: None, users: [robot]}}\n\
             - {{level: RequestResponse, userGroups: [g], verbs: [create], resources: [{{group: apps, resources: [deployments]}}], omitStages: [ResponseStarted]}}\n\
             - {{level: Metadata, resources: [{{group: '', resources: [secrets], resourceNames: [s]}}]}}\n\
             - {{level: Request, namespaces: [n], resources: [{{group: '', resources: ['pods/*', '*/status']}}], omitManagedFields: false}}\n\
             - {{level: Metadata, nonResourceURLs: ['/healthz*']}}\n\
             - {{level: None, nonResourceURLs: ['*']}}\n"
        ))
        .unwrap();
        let check = |who: &UserInfo, info: RequestInfo, expect: Level| {
            assert_eq!(policy.choose(who, &info).level, expect, "{info:?}");
        };
        let (x, robot) = (user("x", &["g"]), user("robot", &["g"]));
        let apps = || resource_info("create", "apps:deployments", "n", "d");
        check(&robot, apps(), Level::None);
        check(&x, apps(), Level::RequestResponse);
        check(&x, resource_info("update", "apps:deployments", "n", "d"), Level::None);
        check(&x, resource_info("create", "apps:deployments/scale", "n", "d"), Level::None);
        check(&x, resource_info("get", "secrets", "n", "s"), Level::Metadata);
        check(&x, resource_info("get", "secrets", "n", "t"), Level::None);
        check(&x, resource_info("get", "pods", "n", "p"), Level::Request);
        check(&x, resource_info("get", "pods/log", "n", "p"), Level::Request);
        check(&x, resource_info("get", "pods/log", "m", "p"), Level::None);
        check(&x, resource_info("get", "nodes/status", "n", "p"), Level::Request);
        let path = |path: &str| RequestInfo { path: path.into(), ..RequestInfo::default() };
        check(&x, path("/healthz/ping"), Level::Metadata);
        check(&x, path("/version"), Level::None);
        let choice = policy.choose(&x, &apps());
        assert_eq!(choice.omit_stages, ["RequestReceived", "ResponseStarted"]);
        assert!(choice.omit_managed_fields);
        let pods = policy.choose(&x, &resource_info("get", "pods", "n", "p"));
        assert!(!pods.omit_managed_fields);
    }

    #[test]
    fn refused() {
        let check = |text: &str, expect: &str| {
            assert_eq!(AuditPolicy::parse(text).unwrap_err().to_string(), expect);
        };
        let with = |rest: &str| format!("{HEAD}{rest}");
        check(&with("rules: []"), "Policy: loaded illegal policy with 0 rules");
        check(
            "kind: Policy",
            r#"Policy: no kind "Policy" is registered for version "": expected kind "Policy" of audit.k8s.io/v1"#,
        );
        check("- a", "Policy: the file holds no object");
        check(
            &with("rules: [{level: Everything}]"),
            r#"Policy: rules[0].level: Unsupported value: "Everything": supported values: "Metadata", "None", "Request", "RequestResponse""#,
        );
        check(
            &with("rules: [{levl: None}]"),
            "Policy: strict decoding error: unknown field `levl`, expected one of `level`, `users`, `userGroups`, `verbs`, `resources`, `namespaces`, `nonResourceURLs`, `omitStages`, `omitManagedFields`",
        );
        check(
            &with(
                "rules: [{level: None, nonResourceURLs: [healthz], namespaces: [a], omitStages: [x]}]",
            ),
            r#"Policy: [rules[0].omitStages[0]: Invalid value: "x": allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic, rules[0].nonResourceURLs: Invalid value: ["healthz"]: rules cannot apply to both regular resources and non-resource URLs, rules[0].nonResourceURLs[0]: Invalid value: "healthz": non-resource URL rules must begin with a '/' character]"#,
        );
    }
}

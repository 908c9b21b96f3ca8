//! PodSecurity: a namespace's labels say how privileged its pods may be - refused, warned of.

mod baseline;
mod check;
mod restricted;

use std::sync::Arc;

use async_trait::async_trait;
use kd_api::{FieldError, Object, Path, Status};
use serde_json::Value;

use super::forbidden;
use crate::request::{AdmissionAttributes, AdmissionPlugin, Operation, Reader};
use check::{Check, Violation};

const PREFIX: &str = "pod-security.kubernetes.io/";
/// Kinds with a pod template, by group and resource, and where it is.
const TEMPLATES: &[(&str, &str, &[&str])] = &[
    ("", "podtemplates", &["template"]),
    ("", "replicationcontrollers", &["spec", "template"]),
    ("apps", "daemonsets", &["spec", "template"]),
    ("apps", "deployments", &["spec", "template"]),
    ("apps", "replicasets", &["spec", "template"]),
    ("apps", "statefulsets", &["spec", "template"]),
    ("batch", "cronjobs", &["spec", "jobTemplate", "spec", "template"]),
    ("batch", "jobs", &["spec", "template"]),
];
/// Of existing pods, at most so many are looked at when a namespace becomes stricter.
const EXISTING_PODS_MAX: usize = 3000;

/// How strict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    fn parse(text: &str) -> Option<Level> {
        match text {
            "privileged" => Some(Level::Privileged),
            "baseline" => Some(Level::Baseline),
            "restricted" => Some(Level::Restricted),
            _ => None,
        }
    }
}

/// The level and version of one mode (`enforce`, `warn`) of a namespace.
#[derive(Clone, Debug, PartialEq)]
struct Policy {
    level: Level,
    /// `restricted:latest`.
    shown: String,
}

impl Policy {
    fn of(namespace: &Value, mode: &str) -> Policy {
        let label = namespace.label(&format!("{PREFIX}{mode}"));
        // A typing error in what is enforced must not open the namespace.
        let wrong = if mode == "enforce" { "restricted" } else { "privileged" };
        let name = match label {
            None => "privileged",
            Some(name) if Level::parse(name).is_some() => name,
            Some(_) => wrong,
        };
        let version = namespace.label(&format!("{PREFIX}{mode}-version")).unwrap_or("latest");
        let level = Level::parse(name).unwrap_or(Level::Restricted);
        Policy { level, shown: format!("{name}:{version}") }
    }

    /// What a pod (or template) does that the policy forbids.
    fn violations(&self, pod: &Value) -> Vec<Violation> {
        checks(self.level).filter_map(|check| (check.run)(pod)).collect()
    }
}

fn checks(level: Level) -> impl Iterator<Item = &'static Check> {
    let restricted: &[Check] = if level == Level::Restricted { restricted::CHECKS } else { &[] };
    let baseline: &[Check] = if level == Level::Privileged { &[] } else { baseline::CHECKS };
    let replaced = |name: &str| restricted.iter().any(|check| check.replaces == name);
    baseline.iter().filter(move |check| !replaced(check.name)).chain(restricted)
}

fn described(violations: &[Violation]) -> String {
    let texts: Vec<String> = violations
        .iter()
        .map(|Violation { reason, detail }| match detail.as_str() {
            "" => (*reason).to_owned(),
            detail => format!("{reason} ({detail})"),
        })
        .collect();
    texts.join(", ")
}

pub(super) struct PodSecurity {
    reader: Arc<dyn Reader>,
}

impl PodSecurity {
    pub(super) fn new(reader: Arc<dyn Reader>) -> Self {
        Self { reader }
    }

    fn check_pod(&self, attributes: &AdmissionAttributes<'_>) -> Result<(), Status> {
        let Some(namespace) = self.namespace(attributes) else { return Ok(()) };
        let enforced = Policy::of(&namespace, "enforce");
        let violations = enforced.violations(&attributes.object);
        if !violations.is_empty() {
            let why =
                format!("violates PodSecurity {:?}: {}", enforced.shown, described(&violations));
            return Err(forbidden(attributes, why));
        }
        warn(attributes, &namespace, &attributes.object);
        Ok(())
    }

    fn check_template(&self, attributes: &AdmissionAttributes<'_>, path: &[&str]) {
        let template = attributes.object.at(path);
        if let (Some(namespace), Some(template)) = (self.namespace(attributes), template) {
            warn(attributes, &namespace, template);
        }
    }

    fn namespace(&self, attributes: &AdmissionAttributes<'_>) -> Option<Arc<Value>> {
        self.reader.get("", "namespaces", "", &attributes.info.namespace)
    }

    /// A namespace that becomes stricter tells which of its pods would be refused now.
    fn check_namespace(&self, attributes: &AdmissionAttributes<'_>) {
        let Some(old) = &attributes.old else { return };
        let (before, now) = (Policy::of(old, "enforce"), Policy::of(&attributes.object, "enforce"));
        if now.level <= before.level {
            return;
        }
        let name = attributes.object.name();
        let pods = self.reader.list("", "pods", Some(name));
        // The first pod of each set of reasons, and how many more.
        let mut groups: Vec<(String, String, usize)> = Vec::new();
        for pod in pods.iter().take(EXISTING_PODS_MAX) {
            let violations = now.violations(pod);
            let reasons: Vec<&str> = violations.iter().map(|violation| violation.reason).collect();
            let reasons = reasons.join(", ");
            match groups.iter_mut().find(|(_, other, _)| *other == reasons) {
                _ if violations.is_empty() => {}
                Some((_, _, more)) => *more += 1,
                None => groups.push((pod.name().to_owned(), reasons, 0)),
            }
        }
        if groups.is_empty() {
            return;
        }
        attributes.warn(format!(
            "existing pods in namespace {name:?} violate the new PodSecurity enforce level {:?}",
            now.shown
        ));
        for (pod, reasons, more) in groups {
            let others = match more {
                0 => String::new(),
                1 => " (and 1 other pod)".to_owned(),
                more => format!(" (and {more} other pods)"),
            };
            attributes.warn(format!("{pod}{others}: {reasons}"));
        }
    }
}

/// A namespace's labels must mean something, unless they meant as little before.
fn check_labels(attributes: &AdmissionAttributes<'_>) -> Result<(), Status> {
    let errors = label_errors(&attributes.object);
    let before = attributes.old.as_ref().map(|old| label_errors(old)).unwrap_or_default();
    if errors.is_empty() || errors == before {
        return Ok(());
    }
    Err(Status::invalid("", "Namespace", attributes.object.name(), &errors))
}

/// What a value must be, and how to say so.
type LabelRule = (fn(&str) -> bool, &'static str);

fn label_errors(namespace: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for mode in ["enforce", "audit", "warn"] {
        let keys = [format!("{PREFIX}{mode}"), format!("{PREFIX}{mode}-version")];
        let rules: [LabelRule; 2] = [
            (
                |text| Level::parse(text).is_some(),
                "must be one of privileged, baseline, restricted",
            ),
            (is_version, "must be \"latest\" or \"v1.x\""),
        ];
        for (key, (valid, why)) in keys.iter().zip(rules) {
            if let Some(value) = namespace.label(key).filter(|value| !valid(value)) {
                let field = Path::new("metadata").child("labels").key(key);
                errors.push(FieldError::invalid(field, value, why));
            }
        }
    }
    errors
}

fn is_version(text: &str) -> bool {
    let minor = text.strip_prefix("v1.").unwrap_or("");
    let number = !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit());
    text == "latest" || (number && (minor == "0" || !minor.starts_with('0')))
}

fn warn(attributes: &AdmissionAttributes<'_>, namespace: &Value, pod: &Value) {
    let policy = Policy::of(namespace, "warn");
    let violations = policy.violations(pod);
    if !violations.is_empty() {
        let what = described(&violations);
        attributes.warn(format!("would violate PodSecurity {:?}: {what}", policy.shown));
    }
}

#[async_trait]
impl AdmissionPlugin for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, attributes: &AdmissionAttributes<'_>) -> Result<(), Status> {
        if attributes.is("", "namespaces", "") {
            check_labels(attributes)?;
            self.check_namespace(attributes);
            return Ok(());
        }
        let same_spec = |old: &Arc<Value>| old.get("spec") == attributes.object.get("spec");
        let pod = attributes.is("", "pods", "") || attributes.is("", "pods", "ephemeralcontainers");
        if pod && !attributes.old.as_ref().is_some_and(same_spec) {
            return self.check_pod(attributes);
        }
        let template =
            TEMPLATES.iter().find(|(group, resource, _)| attributes.is(group, resource, ""));
        if let Some((_, _, path)) = template {
            self.check_template(attributes, path);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeReader, attributes, resource_info, user};
    use serde_json::json;

    async fn check(labels: Value, resource: &str, object: Value, expect: &str) {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns", "labels": labels}});
        let plugin = PodSecurity::new(FakeReader::with([namespace]));
        let (info, who) = (resource_info("create", resource, "ns", ""), user("x", &[]));
        let attributes = attributes(Operation::Create, &info, &who, object);
        let got = match plugin.validate(&attributes).await {
            Ok(()) => attributes.warnings.lock().unwrap().join("\n"),
            Err(status) => status.message,
        };
        assert_eq!(got, expect);
    }

    fn pod(spec: Value) -> Value {
        json!({"metadata": {"name": "p"}, "spec": spec})
    }

    #[tokio::test]
    async fn enforced() {
        let baseline = || json!({"pod-security.kubernetes.io/enforce": "baseline"});
        let plain = || json!({"containers": [{"name": "a"}]});
        check(json!({}), "pods", pod(json!({"hostNetwork": true})), "").await;
        check(baseline(), "pods", pod(plain()), "").await;
        check(baseline(), "pods", pod(json!({"containers": [{"name": "a", "securityContext": {"privileged": true}}]})),
            r#"pods "p" is forbidden: violates PodSecurity "baseline:latest": privileged (container "a" must not set securityContext.privileged=true)"#).await;
        check(baseline(), "pods", pod(json!({"hostNetwork": true, "hostPID": true,
            "containers": [{"name": "a", "ports": [{"hostPort": 80}], "securityContext": {"capabilities": {"add": ["NET_ADMIN", "CHOWN"]}}}],
            "volumes": [{"name": "v", "hostPath": {"path": "/"}}]})),
            r#"pods "p" is forbidden: violates PodSecurity "baseline:latest": non-default capabilities (container "a" must not include "NET_ADMIN" in securityContext.capabilities.add), host namespaces (hostNetwork=true, hostPID=true), hostPath volumes (volume "v"), hostPort (container "a" uses hostPort 80)"#).await;
        let restricted = || json!({"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "v1.36"});
        check(restricted(), "pods", pod(json!({"containers": [{"name": "a"}, {"name": "b"}], "volumes": [{"name": "v", "hostPath": {"path": "/"}}]})),
            r#"pods "p" is forbidden: violates PodSecurity "restricted:v1.36": allowPrivilegeEscalation != false (containers "a", "b" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers "a", "b" must set securityContext.capabilities.drop=["ALL"]), restricted volume types (volume "v" uses restricted volume type "hostPath"), runAsNonRoot != true (pod or containers "a", "b" must set securityContext.runAsNonRoot=true), seccompProfile (pod or containers "a", "b" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#).await;
        check(restricted(), "pods", pod(json!({"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "a", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}}],
            "volumes": [{"name": "v", "emptyDir": {}}]})), "").await;
    }

    #[tokio::test]
    async fn labels_mean_something() {
        let object = json!({"metadata": {"name": "ns", "labels": {"pod-security.kubernetes.io/enforce": "strict", "pod-security.kubernetes.io/warn-version": "v2"}}});
        check(json!({}), "namespaces", object, "Namespace \"ns\" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"v2\": must be \"latest\" or \"v1.x\"]").await;
    }

    #[tokio::test]
    async fn warned_of() {
        let labels = || json!({"pod-security.kubernetes.io/warn": "baseline"});
        let text =
            r#"would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)"#;
        check(labels(), "pods", pod(json!({"hostNetwork": true})), text).await;
        let deployment = json!({"metadata": {"name": "d"}, "spec": {"template": {"spec": {"hostNetwork": true}}}});
        check(labels(), "apps:deployments", deployment, text).await;
    }

    #[tokio::test]
    async fn a_stricter_namespace() {
        let stored = ["a", "b"].map(|name| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "ns"}, "spec": {"hostNetwork": true}}));
        let plugin = PodSecurity::new(FakeReader::with(stored));
        let (info, who) = (resource_info("update", "namespaces", "", "ns"), user("x", &[]));
        let new = json!({"metadata": {"name": "ns", "labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
        let mut attributes = attributes(Operation::Update, &info, &who, new);
        attributes.old = Some(Arc::new(json!({"metadata": {"name": "ns"}})));
        plugin.validate(&attributes).await.unwrap();
        assert_eq!(
            *attributes.warnings.lock().unwrap(),
            [
                "existing pods in namespace \"ns\" violate the new PodSecurity enforce level \"baseline:latest\"",
                "a (and 1 other pod): host namespaces",
            ]
        );
    }
}

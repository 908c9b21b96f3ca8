//! Whether a webhook is asked about a request, and in which version of its resource.

use kd_api::selector::Selector;
use kd_api::{Kinds, Object, Status};
use serde_json::Value;

use super::hook::Hook;
use super::{EXEMPT, GROUP};
use crate::request::{AdmissionAttributes, Operation, Reader};

/// `RuleWithOperations`.
#[derive(Debug, Default)]
pub(super) struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    /// `pods`, `pods/status`, `pods/*`, `*/scale`, `*`, `*/*`.
    resources: Vec<(String, String)>,
    scope: String,
}

impl Rule {
    pub(super) fn of(rule: &Value) -> Rule {
        let texts = |field: &str| -> Vec<String> {
            let list = rule.list_at(&[field]).iter();
            list.filter_map(|text| text.as_str().map(str::to_owned)).collect()
        };
        let split = |text: String| match text.split_once('/') {
            Some((resource, subresource)) => (resource.to_owned(), subresource.to_owned()),
            None => (text, String::new()),
        };
        Rule {
            operations: texts("operations"),
            groups: texts("apiGroups"),
            versions: texts("apiVersions"),
            resources: texts("resources").into_iter().map(split).collect(),
            scope: rule.str_at(&["scope"]).into(),
        }
    }

    fn matches(&self, subject: &Subject<'_>) -> bool {
        let has = |list: &[String], wanted: &str| {
            list.iter().any(|entry| entry == "*" || entry == wanted)
        };
        let fits = |entry: &str, wanted: &str| entry == "*" || entry == wanted;
        // Requests for a namespace itself come with its name as their namespace.
        let is_namespace = subject.group.is_empty() && subject.resource == "namespaces";
        let in_scope = match self.scope.as_str() {
            "Namespaced" => !is_namespace && !subject.namespace.is_empty(),
            "Cluster" => is_namespace || subject.namespace.is_empty(),
            _ => true,
        };
        in_scope
            && has(&self.operations, operation_name(subject.operation))
            && has(&self.groups, subject.group)
            && has(&self.versions, subject.version)
            && self.resources.iter().any(|(resource, subresource)| {
                fits(resource, subject.resource) && fits(subresource, subject.subresource)
            })
    }
}

/// As rules and reviews call it.
pub(super) fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    }
}

/// What rules look at.
#[derive(Clone, Copy)]
struct Subject<'a> {
    group: &'a str,
    version: &'a str,
    resource: &'a str,
    subresource: &'a str,
    namespace: &'a str,
    operation: Operation,
}

/// In which version a webhook is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invocation {
    /// Group, version, resource.
    pub(super) resource: (String, String, String),
    /// Group, version, kind of the object.
    pub(super) kind: (String, String, String),
}

/// How a webhook is asked about a request; `None` if it is not.
pub(super) fn invocation(
    hook: &Hook,
    attributes: &AdmissionAttributes<'_>,
    reader: &dyn Reader,
    kinds: &Kinds,
) -> Result<Option<Invocation>, Status> {
    let info = attributes.info;
    if info.group == GROUP && EXEMPT.contains(&info.resource.as_str()) {
        return Ok(None);
    }
    let Some(invocation) = by_rules(hook, attributes, kinds) else { return Ok(None) };
    let selected =
        matches_namespace(hook, attributes, reader)? && matches_object(hook, attributes)?;
    Ok(selected.then_some(invocation))
}

fn by_rules(
    hook: &Hook,
    attributes: &AdmissionAttributes<'_>,
    kinds: &Kinds,
) -> Option<Invocation> {
    let info = attributes.info;
    let subject = Subject {
        group: &info.group,
        version: &info.version,
        resource: &info.resource,
        subresource: &info.subresource,
        namespace: &info.namespace,
        operation: attributes.operation,
    };
    let (group, version, kind) = attributes.kind;
    if hook.rules.iter().any(|rule| rule.matches(&subject)) {
        return Some(Invocation {
            resource: (info.group.clone(), info.version.clone(), info.resource.clone()),
            kind: (group.into(), version.into(), kind.into()),
        });
    }
    let asked =
        kinds.get(&info.group, &info.version, &info.resource).filter(|_| hook.equivalent)?;
    let equivalents: Vec<_> = kinds
        .iter()
        .filter(|kind| kind.storage == asked.storage && **kind != *asked)
        .filter(|kind| info.subresource.is_empty() || kind.subresource(&info.subresource).is_some())
        .collect();
    // An earlier rule goes before a better version.
    hook.rules.iter().find_map(|rule| {
        let found = equivalents.iter().find(|kind| {
            let (group, version, resource) = (&*kind.group, &*kind.version, &*kind.plural);
            rule.matches(&Subject { group, version, resource, ..subject })
        })?;
        let own = (found.group.clone(), found.version.clone(), found.kind.clone());
        let body = found.subresource(&info.subresource).map(|sub| sub.body.clone());
        Some(Invocation {
            resource: (found.group.clone(), found.version.clone(), found.plural.clone()),
            kind: body.unwrap_or(own),
        })
    })
}

fn matches_namespace(
    hook: &Hook,
    attributes: &AdmissionAttributes<'_>,
    reader: &dyn Reader,
) -> Result<bool, Status> {
    let info = attributes.info;
    let selector = usable(&hook.namespace_selector)?;
    let is_namespace = info.group.is_empty() && info.resource == "namespaces";
    // What is in no namespace is never left out.
    if selector.is_everything() || (info.namespace.is_empty() && !is_namespace) {
        return Ok(true);
    }
    let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
    if is_namespace && info.subresource.is_empty() && writes {
        return Ok(selector.matches_object(&attributes.object));
    }
    let name = if info.namespace.is_empty() { &info.name } else { &info.namespace };
    let namespace = reader.get("", "namespaces", "", name);
    let namespace = namespace.ok_or_else(|| Status::not_found("", "namespaces", name))?;
    Ok(selector.matches_object(&namespace))
}

fn matches_object(hook: &Hook, attributes: &AdmissionAttributes<'_>) -> Result<bool, Status> {
    let selector = usable(&hook.object_selector)?;
    let old = attributes.old.as_deref().unwrap_or(&Value::Null);
    let matches = |object: &Value| object.is_object() && selector.matches_object(object);
    Ok(selector.is_everything() || matches(&attributes.object) || matches(old))
}

fn usable(selector: &Result<Selector, String>) -> Result<&Selector, Status> {
    selector.as_ref().map_err(Status::internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeReader, attributes, resource_info, user};
    use serde_json::json;

    /// `rule` is `OPERATIONS groups versions resources scope`, lists with commas, `core` for "".
    fn rule(text: &str) -> Value {
        let words: Vec<Vec<&str>> = text
            .split(' ')
            .map(|word| word.split(',').map(|w| if w == "core" { "" } else { w }).collect())
            .collect();
        json!({"operations": words[0], "apiGroups": words[1], "apiVersions": words[2],
            "resources": words[3], "scope": words.get(4).map_or("*", |scope| scope[0])})
    }

    fn check(operation: Operation, resource: &str, namespace: &str, hook: Value, expect: &str) {
        let reader = FakeReader::with([json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "ns", "labels": {"env": "test"}}})]);
        let configuration = json!({"metadata": {"name": "c"}, "webhooks": [hook]});
        let hook = &Hook::all_of(&configuration)[0];
        let (info, who) = (resource_info("x", resource, namespace, "n"), user("x", &[]));
        let object = json!({"metadata": {"labels": {"app": "a"}}});
        let mut attributes = attributes(operation, &info, &who, object);
        attributes.kind.2 = "K";
        let got = match invocation(hook, &attributes, &*reader, &Kinds::known()) {
            Ok(None) => "no".to_owned(),
            Ok(Some(Invocation { resource, kind })) => {
                format!("{}/{}/{} {}", resource.0, resource.1, resource.2, kind.2)
            }
            Err(status) => status.message,
        };
        assert_eq!(got, expect, "{resource}");
    }

    fn by(text: &str) -> Value {
        json!({"rules": [rule(text)]})
    }

    #[test]
    fn rules() {
        use Operation::*;
        check(Create, "pods", "ns", by("CREATE core v1 pods"), "/v1/pods K");
        check(Update, "pods", "ns", by("CREATE core v1 pods"), "no");
        check(Connect, "pods/exec", "ns", by("* core v1 pods"), "no");
        check(Connect, "pods/exec", "ns", by("* core v1 pods/*"), "/v1/pods K");
        check(Connect, "pods/exec", "ns", by("CONNECT * * */exec"), "/v1/pods K");
        check(Create, "pods", "ns", by("* * * *"), "/v1/pods K");
        check(Update, "pods/status", "ns", by("* * * *"), "no");
        check(Update, "pods/status", "ns", by("* * * */*"), "/v1/pods K");
        check(Create, "pods", "ns", by("* * * * Cluster"), "no");
        check(Create, "nodes", "", by("* * * * Cluster"), "/v1/nodes K");
        check(Create, "nodes", "", by("* * * * Namespaced"), "no");
        check(Update, "namespaces", "ns", by("* * * * Cluster"), "/v1/namespaces K");
        check(Update, "namespaces", "ns", by("* * * * Namespaced"), "no");
        check(Create, "apps:deployments", "ns", by("* core,apps v1beta1 deployments"), "no");
        for resource in EXEMPT {
            check(Create, &format!("{GROUP}:{resource}"), "", by("* * * */*"), "no");
        }
    }

    #[test]
    fn equivalent_versions() {
        let rule = "* autoscaling v2 horizontalpodautoscalers";
        let expect = "autoscaling/v2/horizontalpodautoscalers HorizontalPodAutoscaler";
        let asked = "autoscaling:horizontalpodautoscalers";
        check(Operation::Create, asked, "ns", by(rule), expect);
        let exact = json!({"rules": by(rule)["rules"], "matchPolicy": "Exact"});
        check(Operation::Create, asked, "ns", exact, "no");
    }

    #[test]
    fn selectors() {
        let with = |field: &str, labels: Value| {
            let mut hook = by("* * * *");
            hook[field] = json!({"matchLabels": labels});
            hook
        };
        let check = |resource, namespace, hook, expect| {
            check(Operation::Create, resource, namespace, hook, expect);
        };
        check("pods", "ns", with("namespaceSelector", json!({"env": "test"})), "/v1/pods K");
        check("pods", "ns", with("namespaceSelector", json!({"env": "live"})), "no");
        check("nodes", "", with("namespaceSelector", json!({"env": "live"})), "/v1/nodes K");
        check("namespaces", "", with("namespaceSelector", json!({"app": "a"})), "/v1/namespaces K");
        check("namespaces", "", with("namespaceSelector", json!({"env": "test"})), "no");
        check(
            "pods",
            "gone",
            with("namespaceSelector", json!({"env": "x"})),
            "namespaces \"gone\" not found",
        );
        check("pods", "ns", with("objectSelector", json!({"app": "a"})), "/v1/pods K");
        check("pods", "ns", with("objectSelector", json!({"app": "b"})), "no");
    }
}

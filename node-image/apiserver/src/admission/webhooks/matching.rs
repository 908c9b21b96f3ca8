//! Whether a webhook or policy is asked about a request, and in which version of its resource.

use kd_api::selector::Selector;
use kd_api::{Kinds, Object, Status};
use serde_json::Value;

use super::{EXEMPT, GROUP};
use crate::request::{AdmissionAttributes, Operation, Reader};

/// What a webhook, a policy or its binding wants to be asked about.
#[derive(Debug)]
pub(in crate::admission) struct Criteria {
    rules: Vec<Rule>,
    /// What no rule may bring in.
    excluded: Vec<Rule>,
    /// Whether no rules at all mean everything.
    all_without_rules: bool,
    /// Whether rules match other versions of what is asked, too.
    equivalent: bool,
    /// An error is told to whom it concerns.
    namespace_selector: Result<Selector, String>,
    object_selector: Result<Selector, String>,
}

impl Criteria {
    /// Those of a webhook.
    pub(super) fn of_webhook(hook: &Value) -> Criteria {
        Criteria::read(hook, "rules", false)
    }

    /// `matchConstraints` of a policy, or `matchResources` of a binding: there, no rules mean all.
    pub(in crate::admission) fn of_policy(resources: &Value) -> Criteria {
        Criteria::read(resources, "resourceRules", true)
    }

    fn read(from: &Value, rules: &str, all_without_rules: bool) -> Criteria {
        let selector = |field: &str| match from.get(field) {
            None | Some(Value::Null) => Ok(Selector::everything()),
            Some(selector) => Selector::from_object(selector).map_err(|error| error.to_string()),
        };
        let read = |field: &str| from.list_at(&[field]).iter().map(Rule::of).collect();
        Criteria {
            rules: read(rules),
            excluded: read("excludeResourceRules"),
            all_without_rules,
            equivalent: from.str_at(&["matchPolicy"]) != "Exact",
            namespace_selector: selector("namespaceSelector"),
            object_selector: selector("objectSelector"),
        }
    }
}

/// `RuleWithOperations`, of policies with names.
#[derive(Debug, Default)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    /// `pods`, `pods/status`, `pods/*`, `*/scale`, `*`, `*/*`.
    resources: Vec<(String, String)>,
    scope: String,
    /// Empty for all.
    names: Vec<String>,
}

impl Rule {
    fn of(rule: &Value) -> Rule {
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
            names: texts("resourceNames"),
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
            && (self.names.is_empty() || self.names.iter().any(|name| name == subject.name))
            && has(&self.operations, operation_name(subject.operation))
            && has(&self.groups, subject.group)
            && has(&self.versions, subject.version)
            && self.resources.iter().any(|(resource, subresource)| {
                fits(resource, subject.resource) && fits(subresource, subject.subresource)
            })
    }
}

/// As rules and reviews call it.
pub(in crate::admission) fn operation_name(operation: Operation) -> &'static str {
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
    name: &'a str,
    operation: Operation,
}

/// In which version a webhook or policy is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::admission) struct Invocation {
    /// Group, version, resource.
    pub(in crate::admission) resource: (String, String, String),
    /// Group, version, kind of the object.
    pub(in crate::admission) kind: (String, String, String),
}

/// How a webhook or policy is asked about a request; `None` if it is not.
pub(in crate::admission) fn invocation(
    criteria: &Criteria,
    attributes: &AdmissionAttributes<'_>,
    reader: &dyn Reader,
    kinds: &Kinds,
) -> Result<Option<Invocation>, Status> {
    let info = attributes.info;
    if info.group == GROUP && EXEMPT.contains(&info.resource.as_str()) {
        return Ok(None);
    }
    if by_rules(criteria, &criteria.excluded, attributes, kinds).is_some() {
        return Ok(None);
    }
    let by_rules = match criteria.rules.is_empty() && criteria.all_without_rules {
        true => Some(as_asked(attributes)),
        false => by_rules(criteria, &criteria.rules, attributes, kinds),
    };
    let Some(invocation) = by_rules else { return Ok(None) };
    let selected =
        matches_namespace(criteria, attributes, reader)? && matches_object(criteria, attributes)?;
    Ok(selected.then_some(invocation))
}

/// In the request's own version.
fn as_asked(attributes: &AdmissionAttributes<'_>) -> Invocation {
    let info = attributes.info;
    let (group, version, kind) = attributes.kind;
    Invocation {
        resource: (info.group.clone(), info.version.clone(), info.resource.clone()),
        kind: (group.into(), version.into(), kind.into()),
    }
}

fn by_rules(
    criteria: &Criteria,
    rules: &[Rule],
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
        name: if info.name.is_empty() { attributes.object.name() } else { &info.name },
        operation: attributes.operation,
    };
    if rules.iter().any(|rule| rule.matches(&subject)) {
        return Some(as_asked(attributes));
    }
    let asked =
        kinds.get(&info.group, &info.version, &info.resource).filter(|_| criteria.equivalent)?;
    let equivalents: Vec<_> = kinds
        .iter()
        .filter(|kind| kind.storage == asked.storage && **kind != *asked)
        .filter(|kind| info.subresource.is_empty() || kind.subresource(&info.subresource).is_some())
        .collect();
    // An earlier rule goes before a better version.
    rules.iter().find_map(|rule| {
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
    criteria: &Criteria,
    attributes: &AdmissionAttributes<'_>,
    reader: &dyn Reader,
) -> Result<bool, Status> {
    let info = attributes.info;
    let selector = usable(&criteria.namespace_selector)?;
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

fn matches_object(
    criteria: &Criteria,
    attributes: &AdmissionAttributes<'_>,
) -> Result<bool, Status> {
    let selector = usable(&criteria.object_selector)?;
    let old = attributes.old.as_deref().unwrap_or(&Value::Null);
    let matches = |object: &Value| object.is_object() && selector.matches_object(object);
    Ok(selector.is_everything() || matches(&attributes.object) || matches(old))
}

fn usable(selector: &Result<Selector, String>) -> Result<&Selector, Status> {
    selector.as_ref().map_err(Status::internal)
}

#[cfg(test)]
mod tests {
    use super::super::hook::Hook;
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
        let got = match invocation(&hook.criteria, &attributes, &*reader, &Kinds::known()) {
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

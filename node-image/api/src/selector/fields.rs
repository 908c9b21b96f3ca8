//! Field selectors (`metadata.name=a,status.phase!=Running`): which fields a kind offers, parsing
//! with upstream's errors, and matching.

use serde_json::Value;

use super::SelectorError;
use crate::Kind;
use crate::walk::Walk;

/// A parsed field selector of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: String,
    value: String,
    equal: bool,
    /// Events in core: involvedObject, in events.k8s.io: regarding. One storage, either spelling.
    event: bool,
}

/// The fields beyond metadata.name and metadata.namespace, per group and kind.
const FIELDS: &[(&str, &str, &[&str])] = &[
    (
        "",
        "Pod",
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
    ),
    ("", "Event", EVENT_FIELDS),
    ("events.k8s.io", "Event", EVENT_FIELDS),
    ("", "Namespace", &["status.phase"]),
    ("", "Node", &["spec.unschedulable"]),
    ("", "ReplicationController", &["status.replicas"]),
    ("", "Secret", &["type"]),
    ("", "Service", &["spec.clusterIP", "spec.type"]),
    ("apps", "ReplicaSet", &["status.replicas"]),
    ("batch", "Job", &["status.successful"]),
    ("certificates.k8s.io", "CertificateSigningRequest", &["spec.signerName"]),
    ("certificates.k8s.io", "ClusterTrustBundle", &["spec.signerName"]),
    (
        "certificates.k8s.io",
        "PodCertificateRequest",
        &["spec.signerName", "spec.podName", "spec.nodeName"],
    ),
    ("resource.k8s.io", "ResourceSlice", &["spec.nodeName", "spec.driver"]),
];

const EVENT_FIELDS: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingComponent",
    "reportingController",
    "source",
    "type",
];

/// Kinds whose refusal is `field label not supported: x`; all others use the generic sentence.
const SHORT_REFUSAL: &[(&str, &str)] = &[
    ("", "Pod"),
    ("", "Event"),
    ("", "Namespace"),
    ("", "Node"),
    ("", "ReplicationController"),
    ("", "Secret"),
    ("", "Service"),
    ("apps", "ReplicaSet"),
    ("batch", "Job"),
    ("certificates.k8s.io", "CertificateSigningRequest"),
    ("certificates.k8s.io", "ClusterTrustBundle"),
    ("certificates.k8s.io", "PodCertificateRequest"),
    ("events.k8s.io", "Event"),
    ("resource.k8s.io", "ResourceSlice"),
];

/// The field selectors that objects of a kind can be listed by.
pub fn supported_fields(kind: &Kind) -> Vec<&'static str> {
    let mut fields = match kind.custom.is_some() && !kind.namespaced() {
        true => vec!["metadata.name"],
        false => vec!["metadata.name", "metadata.namespace"],
    };
    fields.extend(extra_fields(kind));
    if kind.group.is_empty() && kind.kind == "Pod" {
        fields.push("spec.host");
    }
    fields
}

fn extra_fields(kind: &Kind) -> &'static [&'static str] {
    let row = FIELDS.iter().find(|(group, name, _)| *group == kind.group && *name == kind.kind);
    row.map_or(&[], |(_, _, fields)| fields)
}

impl FieldSelector {
    /// Parses the query form and checks the fields against `kind`.
    pub fn parse(kind: &Kind, text: &str) -> Result<FieldSelector, SelectorError> {
        let declared = kind.custom.as_ref().map_or(&[][..], |custom| &custom.selectable);
        Self::parse_with(kind, text, declared)
    }

    /// Likewise, with the selectable fields that a custom resource declares (JSON paths without
    /// the leading dot).
    pub fn parse_with(
        kind: &Kind,
        text: &str,
        declared: &[String],
    ) -> Result<FieldSelector, SelectorError> {
        let mut terms = Vec::new();
        for part in split_terms(text) {
            if part.is_empty() {
                continue;
            }
            let invalid =
                || SelectorError(format!("invalid selector: '{text}'; can't understand '{part}'"));
            let (field, equal, value) = split_term(part).ok_or_else(invalid)?;
            let value = unescape(value)?;
            check_field(kind, field, declared)?;
            let field = if field == "spec.host" { "spec.nodeName" } else { field };
            let event = kind.kind == "Event";
            terms.push(Term { field: field.to_owned(), value, equal, event });
        }
        Ok(FieldSelector { terms })
    }

    /// Whether there is no condition.
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value that `field` must have, when the selector asks for exactly one: how a list by
    /// metadata.name becomes a get.
    pub fn required(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|t| t.equal && t.field == field).map(|t| t.value.as_str())
    }

    /// Whether `object` satisfies all conditions.
    pub fn matches(&self, object: &Value) -> bool {
        self.terms.iter().all(|term| term.matches(object))
    }
}

impl Term {
    fn matches(&self, object: &Value) -> bool {
        self.holds(object) == self.equal
    }

    fn holds(&self, object: &Value) -> bool {
        let want = self.value.as_str();
        if self.event {
            return event_field(object, &self.field) == want;
        }
        match self.field.as_str() {
            "status.podIPs" => {
                let ips = object["status"].list("podIPs");
                ips.iter().any(|ip| ip.text("ip") == want) || (ips.is_empty() && want.is_empty())
            }
            "spec.unschedulable" | "spec.hostNetwork" => shown_flag(object, &self.field) == want,
            "status.replicas" => integer_text(&object["status"]["replicas"]) == want,
            "status.successful" => integer_text(&object["status"]["succeeded"]) == want,
            path => scalar_text(path.split('.').fold(object, |value, key| &value[key])) == want,
        }
    }
}

fn shown_flag(object: &Value, path: &str) -> &'static str {
    let value = path.split('.').fold(object, |value, key| &value[key]);
    if value.as_bool() == Some(true) { "true" } else { "false" }
}

fn integer_text(value: &Value) -> String {
    value.as_i64().unwrap_or(0).to_string()
}

fn scalar_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A field of an event stored in either of the two shapes.
fn event_field<'a>(event: &'a Value, field: &str) -> &'a str {
    if let Some(name) = field.strip_prefix("involvedObject.").or(field.strip_prefix("regarding.")) {
        let subject = if event.has("involvedObject") { "involvedObject" } else { "regarding" };
        return event[subject].text(name);
    }
    let first = |candidates: &[&'a str]| {
        candidates.iter().copied().find(|text| !text.is_empty()).unwrap_or("")
    };
    let component = first(&[event.text("reportingComponent"), event.text("reportingController")]);
    match field {
        "reportingComponent" | "reportingController" => component,
        "source" => {
            let source = event["source"].text("component");
            first(&[source, event["deprecatedSource"].text("component"), component])
        }
        "metadata.name" | "metadata.namespace" => {
            event["metadata"].text(&field["metadata.".len()..])
        }
        other => event.text(other),
    }
}

fn check_field(kind: &Kind, field: &str, declared: &[String]) -> Result<(), SelectorError> {
    if supported_fields(kind).contains(&field) || declared.iter().any(|d| d == field) {
        return Ok(());
    }
    if kind.custom.is_some() {
        return Err(SelectorError(format!("field label not supported: {field}")));
    }
    let short = SHORT_REFUSAL.contains(&(kind.group.as_str(), kind.kind.as_str()));
    Err(SelectorError(match short {
        true => format!("field label not supported: {field}"),
        false => format!(
            "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        ),
    }))
}

/// Splits at commas that no backslash protects.
fn split_terms(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn split_term(part: &str) -> Option<(&str, bool, &str)> {
    for (index, _) in part.char_indices() {
        let rest = &part[index..];
        for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = rest.strip_prefix(operator) {
                return Some((&part[..index], equal, value));
            }
        }
    }
    None
}

fn unescape(text: &str) -> Result<String, SelectorError> {
    if !text.contains(['\\', ',', '=']) {
        return Ok(text.to_owned());
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => plain.push(next),
                Some(next) => {
                    let message =
                        format!("invalid field selector: invalid escape sequence: \\{next}");
                    return Err(SelectorError(message));
                }
                None => {
                    return Err(SelectorError(
                        "invalid field selector: invalid escape sequence: \\".into(),
                    ));
                }
            },
            ',' | '=' => {
                let message =
                    format!("invalid field selector: unescaped character in value: {text}");
                return Err(SelectorError(message));
            }
            other => plain.push(other),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::kind;

    #[test]
    fn matches_pods() {
        let pod = json!({"metadata": {"name": "a", "namespace": "n"},
            "spec": {"nodeName": "", "restartPolicy": "Always"},
            "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]}});
        let check = |text: &str, want: bool| {
            let selector = FieldSelector::parse(&kind("", "v1", "Pod"), text).unwrap();
            assert_eq!(selector.matches(&pod), want, "{text}");
        };
        check("", true);
        check("metadata.name=a", true);
        check("metadata.name==b", false);
        check("metadata.name=a,status.phase!=Running", false);
        check("spec.nodeName=", true);
        check("spec.nodeName!=", false);
        check("spec.host=", true);
        check("spec.hostNetwork=false", true);
        check("status.podIPs=10.0.0.1", true);
    }

    #[test]
    fn matches_events_of_either_shape() {
        let selector = |text| FieldSelector::parse(&kind("", "v1", "Event"), text).unwrap();
        let old = json!({"involvedObject": {"name": "a", "kind": "Pod"}, "source": {"component": "kubelet"}});
        let new =
            json!({"regarding": {"name": "a", "kind": "Pod"}, "reportingController": "kubelet"});
        for event in [&old, &new] {
            assert!(selector("involvedObject.name=a,involvedObject.kind=Pod").matches(event));
            assert!(selector("source=kubelet").matches(event));
            assert!(!selector("reason=x").matches(event));
        }
    }

    #[test]
    fn refuses() {
        let check = |of: Kind, text: &str, want: &str| {
            assert_eq!(FieldSelector::parse(&of, text).unwrap_err().0, want);
        };
        check(kind("", "v1", "Pod"), "a=b", "field label not supported: a");
        check(
            kind("", "v1", "ConfigMap"),
            "a=b",
            "\"a\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
        );
        check(kind("", "v1", "Pod"), "a", "invalid selector: 'a'; can't understand 'a'");
    }

    #[test]
    fn exact_name() {
        let selector = FieldSelector::parse(&kind("", "v1", "Pod"), "metadata.name=x").unwrap();
        assert_eq!(selector.required("metadata.name"), Some("x"));
        assert_eq!(selector.required("metadata.namespace"), None);
    }
}

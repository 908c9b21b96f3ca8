//! Who owns which field: `metadata.managedFields`, kept from an object's first write on.

use http::header::USER_AGENT;
use jiff::Timestamp;
use kd_api::decode::normalize;
use kd_api::patch::{FieldManager, track};
use kd_api::{Kind, Object, schema};
use serde_json::{Value, json};

use super::VerbRequest;

/// The longest name that is taken from a client's user agent.
const NAME_LENGTH_MAX: usize = 128;

/// Who writes an object.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    name: String,
    subresource: &'static str,
    now: Timestamp,
}

impl Writer {
    /// The request's manager, or else its program, or else its user.
    pub(super) fn of(request: &VerbRequest, subresource: &'static str) -> Writer {
        let name = match request.query().first("fieldManager") {
            "" => {
                let agent = request.exchange.parts.headers.get(USER_AGENT);
                let agent = agent.and_then(|value| value.to_str().ok()).unwrap_or("");
                program(agent, &request.exchange.user.username)
            }
            name => name.to_owned(),
        };
        Writer { name, subresource, now: (request.server().clock)() }
    }

    /// As patches want it.
    pub(super) fn manager<'a>(&'a self, api_version: &'a str) -> FieldManager<'a> {
        let Writer { name, subresource, now } = self;
        FieldManager { name, api_version, subresource, now: *now }
    }

    /// The owners of the fields of a new object, which has its defaults.
    pub(super) fn created(&self, kind: &Kind, proposed: Option<Value>, new: &Value) -> Value {
        let Some(schema) = schema::for_kind(kind) else { return Value::Null };
        // What Go writes of a new object of which nothing was said.
        let nothing = normalize(json!({}), kind).map(|empty| empty.object).unwrap_or_default();
        let proposed = proposed.filter(|owners| !is_reset(owners));
        let owners = entries(proposed);
        let api_version = kind.api_version();
        let manager = self.manager(&api_version);
        track(owners, &nothing, new, &schema, manager, ignored(kind, "")).into()
    }

    /// Records in `new` what a write other than an apply changed of `old`. `proposed` is what the
    /// client sent as owners: none at all leaves them, an empty one gives all up.
    pub(super) fn track(&self, kind: &Kind, proposed: Option<Value>, old: &Value, new: &mut Value) {
        let proposed = proposed.filter(|_| self.subresource.is_empty());
        if proposed.as_ref().is_some_and(is_reset) {
            return;
        }
        let live = || old["metadata"].get("managedFields").cloned();
        let mut owners = entries(proposed);
        if owners.is_empty() {
            owners = entries(live());
        }
        // Nobody knows who wrote what was there before owners were kept.
        let Some(schema) = schema::for_kind(kind).filter(|_| !owners.is_empty()) else { return };
        let api_version = kind.api_version();
        let manager = self.manager(&api_version);
        let owners = track(owners, old, new, &schema, manager, ignored(kind, self.subresource));
        if !owners.is_empty() {
            new.metadata_mut().insert("managedFields".into(), owners.into());
        }
    }
}

/// What a write through a path is never about.
fn ignored(kind: &Kind, subresource: &str) -> &'static [&'static str] {
    match subresource {
        "" if kind.subresource("status").is_some() => &["status"],
        "status" => &["spec"],
        _ => &[],
    }
}

fn entries(owners: Option<Value>) -> Vec<Value> {
    match owners {
        Some(Value::Array(entries)) => entries,
        _ => Vec::new(),
    }
}

/// One entry that says nothing.
fn is_reset(owners: &Value) -> bool {
    *owners == json!([{}])
}

/// `kubectl` of `kubectl/v1.36.0 (linux/amd64)`; of a component inside the server
/// `deployment-controller` of `system:serviceaccount:kube-system:deployment-controller`.
fn program(agent: &str, username: &str) -> String {
    let program = match agent.split('/').next().unwrap_or("") {
        "" => username.rsplit(':').next().unwrap_or(""),
        program => program,
    };
    let mut name = String::new();
    for character in program.chars().filter(|character| !character.is_control()) {
        if name.len() + character.len_utf8() > NAME_LENGTH_MAX {
            break;
        }
        name.push(character);
    }
    name
}

/// Whether two states of an object are the same but for when their owners last wrote.
pub(super) fn same_but_times(one: &Value, other: &Value) -> bool {
    let timeless = |object: &Value| {
        let mut object = object.clone();
        let owners = object["metadata"].get_mut("managedFields").and_then(Value::as_array_mut);
        for owner in owners.into_iter().flatten().filter_map(Value::as_object_mut) {
            owner.remove("time");
        }
        object
    };
    timeless(one) == timeless(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kd_api::Kinds;

    #[test]
    fn programs() {
        let check =
            |agent: &str, user: &str, expect: &str| assert_eq!(program(agent, user), expect);
        check("kubectl/v1.36.0 (linux/amd64) kubernetes/abc", "admin", "kubectl");
        check(
            "",
            "system:serviceaccount:kube-system:deployment-controller",
            "deployment-controller",
        );
        check("", "system:node:a", "a");
        check(&"x".repeat(200), "", &"x".repeat(128));
    }

    #[test]
    fn a_new_pod() {
        let kinds = Kinds::built_in();
        let kind = kinds.get("", "v1", "pods").unwrap();
        let writer = Writer { name: "me".into(), subresource: "", now: Timestamp::UNIX_EPOCH };
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"l": "x"}},
            "spec": {"containers": [{"name": "c", "image": "i", "resources": {},
                "ports": [{"containerPort": 80, "protocol": "TCP"}]}], "securityContext": {}}, "status": {}});
        let owners = writer.created(kind, None, &pod);
        assert_eq!(
            owners[0]["fieldsV1"],
            json!({"f:metadata": {"f:labels": {".": {}, "f:l": {}}},
                "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}, "f:name": {},
                    "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}":
                        {".": {}, "f:containerPort": {}, "f:protocol": {}}},
                    "f:resources": {}}}, "f:securityContext": {}}})
        );
        pod["metadata"]["managedFields"] = owners;
        let mut new = pod.clone();
        new["status"]["phase"] = "Running".into();
        let kubelet = Writer { name: "kubelet".into(), subresource: "status", ..writer };
        kubelet.track(kind, None, &pod, &mut new);
        let owners = &new["metadata"]["managedFields"];
        assert_eq!(owners[0]["manager"], "kubelet");
        assert_eq!(owners[0]["subresource"], "status");
        assert_eq!(owners[0]["fieldsV1"], json!({"f:status": {"f:phase": {}}}));
        kubelet.track(kind, Some(json!([])), &pod, &mut new);
        assert_eq!(new["metadata"]["managedFields"].as_array().unwrap().len(), 2);
    }
}

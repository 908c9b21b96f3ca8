//! Who owns which field: `metadata.managedFields` of objects that are applied by the server. Objects
//! that nobody has applied yet carry none: the first apply finds all of them owned already.

use http::header::USER_AGENT;
use jiff::Timestamp;
use kd_api::patch::{FieldManager, track_update};
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
                let program = match agent.split('/').next().unwrap_or("") {
                    // `system:serviceaccount:kube-system:deployment-controller`
                    "" => request.exchange.user.username.rsplit(':').next().unwrap_or(""),
                    program => program,
                };
                program.chars().take(NAME_LENGTH_MAX).collect()
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

    /// Records in `new` what a write other than an apply changed of `old`. `proposed` is what the
    /// client sent as owners: none at all leaves them, an empty list gives them up.
    pub(super) fn track(&self, kind: &Kind, proposed: Option<Value>, old: &Value, new: &mut Value) {
        let proposed = proposed.filter(|owners| !owners.is_null());
        let owners = proposed.unwrap_or_else(|| old["metadata"]["managedFields"].clone());
        let none = owners.as_array().is_none_or(|list| list.is_empty() || *list == [json!({})]);
        let Some(schema) = schema::for_kind(kind).filter(|_| !none) else { return };
        let mut before = old.clone();
        before.metadata_mut().insert("managedFields".into(), owners);
        let api_version = kind.api_version();
        track_update(&before, new, &schema, self.manager(&api_version));
    }
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

//! Kinds for the tests of the rules.

use serde_json::{Value, json};

use crate::{FieldError, Kind, Kinds, custom};

/// A kind of the table.
pub(crate) fn kind(group: &str, version: &str, name: &str) -> Kind {
    let kinds = Kinds::known();
    Kind::clone(kinds.by_kind(group, version, name).expect("a kind of the table"))
}

/// A custom kind, `example.com/v1 CronTab`, with these fields of its version.
pub(crate) fn custom_kind(version: Value) -> Kind {
    let mut version = version;
    for (field, value) in [("name", json!("v1")), ("served", true.into()), ("storage", true.into())]
    {
        version[field] = value;
    }
    let names = json!({"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "listKind": "CronTabList"});
    let definition = json!({"metadata": {"name": "crontabs.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
        "status": {"acceptedNames": names, "conditions": [{"type": "Established", "status": "True"}]}});
    custom::kinds_of(&definition, 1).remove(0)
}

/// Checks what a rule says of an object.
#[track_caller]
pub(crate) fn check(rule: fn(&mut Vec<FieldError>, &Value), object: Value, want: &[&str]) {
    let mut errors = Vec::new();
    rule(&mut errors, &object);
    let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
    assert_eq!(texts, want, "{object}");
}

//! The status of a definition: whether its names are free, whether it is established, whether its
//! schemas are structural, and whether it is going.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::object::format_time;
use crate::strategy::same;
use crate::validation::{approval_of, structural_violations};
use crate::walk::{Shape, Walk};
use crate::{FieldError, Object};

/// Keeps a definition until its objects are gone.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Whether the kinds of a definition are served.
pub fn is_established(definition: &Value) -> bool {
    is_true(definition, "Established")
}

pub(super) fn is_true(definition: &Value, condition: &str) -> bool {
    let conditions = definition["status"].list("conditions").iter();
    conditions.filter(|c| c.text("type") == condition).any(|c| c.text("status") == "True")
}

fn condition<'v>(definition: &'v Value, name: &str) -> Option<&'v Value> {
    definition["status"].list("conditions").iter().find(|c| c.text("type") == name)
}

/// The status that a definition should have; `others` are the other definitions of its group.
pub fn status_of(definition: &Value, others: &[&Value], now: Timestamp) -> Value {
    let mut new = definition.clone();
    if let Some(status) = new.object_mut("status") {
        status.set_default("conditions", json!([]));
        status.set_default("storedVersions", json!([]));
        status.set_default("acceptedNames", json!({"plural": "", "kind": ""}));
    }
    accept_names(&mut new, others, now);
    establish(&mut new, now);
    match non_structural(definition) {
        Some(message) => {
            set_condition(&mut new, ("NonStructuralSchema", "True", "Violations", &message), now);
        }
        None => remove_condition(&mut new, "NonStructuralSchema"),
    }
    if let Some(approval) = approval_of(definition) {
        const NAME: &str = "KubernetesAPIApprovalPolicyConformant";
        let status = if approval.approved { "True" } else { "False" };
        set_condition(&mut new, (NAME, status, approval.reason, &approval.message), now);
    }
    new["status"].clone()
}

fn non_structural(definition: &Value) -> Option<String> {
    let violations = structural_violations(definition);
    let texts: Vec<String> = violations.iter().map(FieldError::to_string).collect();
    match texts.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

/// The names that others of the group use.
struct Taken {
    resources: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Taken {
    fn by(definitions: &[&Value]) -> Taken {
        let mut taken = Taken { resources: BTreeSet::new(), kinds: BTreeSet::new() };
        for definition in definitions {
            let names = &definition["status"]["acceptedNames"];
            let short = names.list("shortNames").iter().filter_map(Value::as_str);
            let resources = [names.text("plural"), names.text("singular")].into_iter().chain(short);
            taken.resources.extend(resources.map(str::to_owned));
            let kinds = [names.text("kind"), names.text("listKind")];
            taken.kinds.extend(kinds.into_iter().map(str::to_owned));
        }
        taken.resources.remove("");
        taken.kinds.remove("");
        taken
    }
}

fn accept_names(definition: &mut Value, others: &[&Value], now: Timestamp) {
    let wanted = definition["spec"]["names"].clone();
    let accepted = definition["status"]["acceptedNames"].clone();
    if same(&wanted, &accepted) {
        return;
    }
    let taken = Taken::by(others);
    let mut names = accepted.clone();
    let mut conflict: Option<(&str, String)> = None;
    let rows = [
        ("plural", "PluralConflict", &taken.resources),
        ("singular", "SingularConflict", &taken.resources),
        ("shortNames", "ShortNamesConflict", &taken.resources),
        ("kind", "KindConflict", &taken.kinds),
        ("listKind", "ListKindConflict", &taken.kinds),
    ];
    for (field, reason, used) in rows {
        let new: Vec<&str> = match &wanted[field] {
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            other => other.as_str().into_iter().collect(),
        };
        let own =
            |name: &&str| accepted[field] == **name || accepted.list(field).contains(&json!(name));
        let in_use: Vec<String> = new
            .iter()
            .filter(|name| !own(name) && used.contains(**name))
            .map(|name| format!("{name:?} is already in use"))
            .collect();
        match in_use.as_slice() {
            [] if wanted.has(field) => names.put(field, wanted[field].clone()),
            [] => drop(names.take_key(field)),
            [one] => conflict = Some((reason, one.clone())),
            many => conflict = Some((reason, format!("[{}]", many.join(", ")))),
        }
    }
    match &wanted["categories"] {
        Value::Null => drop(names.take_key("categories")),
        categories => names.put("categories", categories.clone()),
    }
    definition["status"].put("acceptedNames", names);
    let (status, reason, message) = match &conflict {
        Some((reason, message)) => ("False", *reason, message.as_str()),
        None => ("True", "NoConflicts", "no conflicts found"),
    };
    set_condition(definition, ("NamesAccepted", status, reason, message), now);
    if conflict.is_some() && condition(definition, "Established").is_none() {
        let why = ("Established", "False", "NotAccepted", "not all names are accepted");
        set_condition(definition, why, now);
    }
}

/// A definition whose names were accepted once is established for good.
fn establish(definition: &mut Value, now: Timestamp) {
    if !is_true(definition, "NamesAccepted") || is_true(definition, "Established") {
        return;
    }
    let why = "the initial names have been accepted";
    set_condition(definition, ("Established", "True", "InitialNamesAccepted", why), now);
}

/// Sets a condition: type, status, reason, message. Its time changes with its status.
pub fn set_condition(definition: &mut Value, new: (&str, &str, &str, &str), now: Timestamp) {
    let (name, status, reason, message) = new;
    let Some(owner) = definition.object_mut("status") else { return };
    let mut conditions = owner.list("conditions").to_vec();
    let found = conditions.iter_mut().find(|c| c.text("type") == name);
    let time = match &found {
        Some(old) if old.text("status") == status && old.has("lastTransitionTime") => {
            old["lastTransitionTime"].clone()
        }
        _ => format_time(now).into(),
    };
    let condition = json!({"type": name, "status": status, "lastTransitionTime": time,
        "reason": reason, "message": message});
    match found {
        Some(slot) => *slot = condition,
        None => conditions.push(condition),
    }
    owner.put("conditions", conditions);
}

fn remove_condition(definition: &mut Value, name: &str) {
    if condition(definition, name).is_none() {
        return;
    }
    let rest: Vec<Value> = definition["status"]
        .list("conditions")
        .iter()
        .filter(|c| c.text("type") != name)
        .cloned()
        .collect();
    definition["status"].put("conditions", rest);
}

/// Marks a definition for deletion: it stays until its objects are gone.
pub fn mark_deleted(definition: &mut Value, now: Timestamp) {
    let mut finalizers: Vec<String> =
        definition.finalizers().into_iter().map(str::to_owned).collect();
    if !finalizers.iter().any(|name| name == CLEANUP_FINALIZER) {
        finalizers.push(CLEANUP_FINALIZER.to_owned());
    }
    definition.set_finalizers(finalizers);
    definition.set_metadata("deletionTimestamp", &format_time(now));
    let why =
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    set_condition(definition, ("Terminating", "True", "InstanceDeletionPending", why), now);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(plural: &str, kind: &str, short: &[&str]) -> Value {
        json!({"metadata": {"name": format!("{plural}.example.com")},
            "spec": {"group": "example.com", "names": {"plural": plural, "singular": kind.to_lowercase(),
                "kind": kind, "listKind": format!("{kind}List"), "shortNames": short}}})
    }

    fn settled(mut definition: Value, others: &[&Value]) -> Value {
        definition["status"] = status_of(&definition, others, Timestamp::UNIX_EPOCH);
        definition
    }

    #[test]
    fn free_names_are_accepted() {
        let one = settled(definition("crontabs", "CronTab", &["ct"]), &[]);
        assert!(is_established(&one));
        assert_eq!(one["status"]["acceptedNames"], one["spec"]["names"]);
        assert_eq!(
            one["status"]["conditions"][0],
            json!({"type": "NamesAccepted", "status": "True", "reason": "NoConflicts",
                "message": "no conflicts found", "lastTransitionTime": "1970-01-01T00:00:00Z"})
        );
        assert_eq!(one["status"]["conditions"][1]["reason"], "InitialNamesAccepted");
        assert_eq!(status_of(&one, &[], Timestamp::UNIX_EPOCH), one["status"]);
    }

    #[test]
    fn names_in_use_are_not() {
        let one = settled(definition("crontabs", "CronTab", &["ct"]), &[]);
        let two = settled(definition("others", "Other", &["ct", "o"]), &[&one]);
        assert!(!is_established(&two));
        let names = condition(&two, "NamesAccepted").unwrap();
        assert_eq!(names["reason"], "ShortNamesConflict");
        assert_eq!(names["message"], "\"ct\" is already in use");
        assert_eq!(condition(&two, "Established").unwrap()["reason"], "NotAccepted");
        assert!(!two["status"]["acceptedNames"].has("shortNames"));
        let freed = settled(two, &[]);
        assert!(is_established(&freed));
    }

    #[test]
    fn a_conflict_later_does_not_end_the_service() {
        let one = settled(definition("crontabs", "CronTab", &["ct"]), &[]);
        let mut two = settled(definition("others", "Other", &[]), &[&one]);
        two["spec"]["names"]["shortNames"] = json!(["ct"]);
        let two = settled(two, &[&one]);
        assert!(is_established(&two));
        assert!(!is_true(&two, "NamesAccepted"));
    }

    #[test]
    fn deleted_definitions_wait() {
        let mut one = settled(definition("crontabs", "CronTab", &[]), &[]);
        mark_deleted(&mut one, Timestamp::UNIX_EPOCH);
        assert_eq!(one.finalizers(), [CLEANUP_FINALIZER]);
        assert_eq!(condition(&one, "Terminating").unwrap()["reason"], "InstanceDeletionPending");
        assert!(is_established(&one));
    }
}

//! Who owns which fields: `metadata.managedFields`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::PatchSchema;
use super::field_set::{FieldPath, FieldSet, shown};
use super::fields::{Changes, changes, set_of};
use crate::walk::{Shape, Walk};
use crate::{Status, StatusCause};

/// Who writes, and how.
#[derive(Clone, Copy, Debug)]
pub struct FieldManager<'a> {
    /// `fieldManager` of the request.
    pub name: &'a str,
    /// The version the fields are named in.
    pub api_version: &'a str,
    /// "" for the object itself.
    pub subresource: &'a str,
    /// When.
    pub now: Timestamp,
}

/// An object has no more owners by update than this: the oldest become one.
const UPDATERS_MAX: usize = 10;
/// Who owns what the oldest of them owned.
const ANCIENT: &str = "ancient-changes";

/// The managedFields after an ordinary write changed `old` into `new`, when they were `owners`
/// before. What is under one of `ignored` (`status`) is not the writer's. For a create, `old` is
/// what every object of the kind begins as.
pub fn track<S: PatchSchema>(
    owners: Vec<Value>,
    old: &Value,
    new: &Value,
    schema: &S,
    manager: FieldManager<'_>,
    ignored: &[&str],
) -> Vec<Value> {
    let mut changes = changes(old, new, schema);
    for field in ignored {
        let element = format!("f:{field}");
        changes.written.detach(&element);
        changes.removed.detach(&element);
    }
    if changes.written.is_empty() && changes.removed.is_empty() {
        return owners;
    }
    let mut owners = Owners::of(owners);
    owners.give_up(&changes);
    if !changes.written.is_empty() {
        let mine = owners.position(manager, "Update");
        let mut owner = match mine {
            Some(index) => owners.0.remove(index),
            None => Owner::new(manager, "Update", FieldSet::default()),
        };
        owner.fields.unite(&changes.written);
        owner.entry.put("time", shown_time(manager.now));
        owners.0.push(owner);
    }
    owners.merge_ancient();
    owners.into_entries()
}

/// The fields of `config` that `live` has with the same values, as conflicts name them.
pub fn fields_in_common<S: PatchSchema>(
    config: &Value,
    live: &Value,
    schema: &S,
) -> BTreeSet<String> {
    let mut same = set_of(config, schema);
    same.subtract(&changes(live, config, schema).written);
    same.paths().iter().map(|path| shown(path)).collect()
}

fn shown_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// One entry of managedFields, and its fields apart.
pub(super) struct Owner {
    entry: Value,
    pub(super) fields: FieldSet,
}

impl Owner {
    pub(super) fn new(manager: FieldManager<'_>, operation: &str, fields: FieldSet) -> Owner {
        let mut entry = json!({
            "manager": manager.name,
            "operation": operation,
            "apiVersion": manager.api_version,
            "time": shown_time(manager.now),
            "fieldsType": "FieldsV1",
        });
        if !manager.subresource.is_empty() {
            entry.put("subresource", manager.subresource);
        }
        Owner { entry, fields }
    }

    fn is_update(&self) -> bool {
        self.entry.text("operation") != "Apply"
    }

    fn describe(&self) -> String {
        let (name, version) = (self.entry.text("manager"), self.entry.text("apiVersion"));
        let mut text = format!("{name:?}");
        let subresource = self.entry.text("subresource");
        if !subresource.is_empty() {
            text += &format!(" with subresource {subresource:?}");
        }
        // Only those who update are told apart by version.
        if self.is_update() {
            text += &format!(" using {version}");
        }
        text
    }
}

/// All of an object's managedFields.
pub(super) struct Owners(pub(super) Vec<Owner>);

impl Owners {
    pub(super) fn of(entries: Vec<Value>) -> Owners {
        let owner = |mut entry: Value| Owner {
            fields: FieldSet::from_json(entry.take_key("fieldsV1").unwrap_or_default()),
            entry,
        };
        Owners(entries.into_iter().map(owner).collect())
    }

    pub(super) fn position(&self, manager: FieldManager<'_>, operation: &str) -> Option<usize> {
        self.0.iter().position(|owner| {
            owner.entry.text("manager") == manager.name
                && owner.entry.text("operation") == operation
                && owner.entry.text("subresource") == manager.subresource
                && (operation == "Apply" || owner.entry.text("apiVersion") == manager.api_version)
        })
    }

    fn give_up(&mut self, changes: &Changes) {
        for owner in &mut self.0 {
            owner.fields.subtract(&changes.written);
            owner.fields.subtract(&changes.removed);
        }
    }

    /// Refuses, or with `force` takes over, what others own and the changes touch.
    pub(super) fn settle(&mut self, changes: &Changes, force: bool) -> Result<(), Status> {
        let conflicts: Vec<(String, Vec<FieldPath>)> = self
            .0
            .iter()
            .map(|owner| (owner.describe(), owner.fields.common(&changes.written)))
            .filter(|(_, paths)| !paths.is_empty())
            .collect();
        if !conflicts.is_empty() && !force {
            return Err(conflict(&conflicts));
        }
        self.give_up(changes);
        Ok(())
    }

    fn merge_ancient(&mut self) {
        let mut updaters: Vec<usize> =
            (0..self.0.len()).filter(|&i| self.0[i].is_update()).collect();
        if updaters.len() <= UPDATERS_MAX {
            return;
        }
        updaters.sort_by_key(|&index| self.0[index].entry.text("time").to_owned());
        let mut oldest = updaters[..=updaters.len() - UPDATERS_MAX].to_vec();
        oldest.sort_unstable_by(|a, b| b.cmp(a));
        for index in oldest {
            let owner = self.0.remove(index);
            let version = owner.entry.text("apiVersion").to_owned();
            let known = self.0.iter_mut().find(|other| {
                other.entry.text("manager") == ANCIENT && other.entry.text("apiVersion") == version
            });
            match known {
                Some(known) => known.fields.unite(&owner.fields),
                None => {
                    let mut ancient = owner;
                    ancient.entry.put("manager", ANCIENT);
                    ancient.entry.take_key("subresource");
                    self.0.push(ancient);
                }
            }
        }
    }

    /// In upstream's order, without those who own nothing.
    pub(super) fn into_entries(mut self) -> Vec<Value> {
        self.0.retain(|owner| !owner.fields.is_empty());
        self.0.sort_by_cached_key(|owner| {
            ["operation", "time", "manager", "apiVersion", "subresource"]
                .map(|field| owner.entry.text(field).to_owned())
        });
        let entry = |mut owner: Owner| {
            owner.entry.put("fieldsV1", owner.fields.into_json());
            owner.entry
        };
        self.0.into_iter().map(entry).collect()
    }
}

fn conflict(conflicts: &[(String, Vec<FieldPath>)]) -> Status {
    let count: usize = conflicts.iter().map(|(_, paths)| paths.len()).sum();
    let texts: Vec<String> = conflicts
        .iter()
        .map(|(owner, paths)| match paths.as_slice() {
            [one] if count == 1 => format!("conflict with {owner}: {}", shown(one)),
            many => {
                let lines: Vec<String> = many.iter().map(|p| format!("\n- {}", shown(p))).collect();
                format!("conflicts with {owner}:{}", lines.concat())
            }
        })
        .collect();
    let plural = if count == 1 { "" } else { "s" };
    let message = format!("Apply failed with {count} conflict{plural}: {}", texts.join("\n"));
    let mut status = Status::failure(409, "Conflict", message);
    let causes = conflicts.iter().flat_map(|(owner, paths)| {
        paths.iter().map(move |path| StatusCause {
            reason: "FieldManagerConflict".into(),
            message: format!("conflict with {owner}"),
            field: shown(path),
        })
    });
    status.details.get_or_insert_default().causes = causes.collect();
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::schema::json_schema::JsonSchema;

    fn by(name: &str) -> FieldManager<'_> {
        FieldManager { name, api_version: "v1", subresource: "", now: Timestamp::UNIX_EPOCH }
    }

    fn tracked(owners: Vec<Value>, old: Value, new: Value, name: &str) -> Vec<Value> {
        let schema = json!({"properties": {"spec": {"properties": {"a": {}, "b": {}}}}});
        track(owners, &old, &new, &JsonSchema(&schema), by(name), &["status"])
    }

    #[test]
    fn a_create_and_updates() {
        let made = tracked(
            Vec::new(),
            json!({"spec": {}}),
            json!({"kind": "X", "spec": {"a": 1}, "status": {"x": 1}}),
            "me",
        );
        let entry = json!({"manager": "me", "operation": "Update", "apiVersion": "v1",
            "time": "1970-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:a": {}}}});
        assert_eq!(made, std::slice::from_ref(&entry));
        let (old, new) = (json!({"spec": {"a": 1}}), json!({"spec": {"a": 1, "b": 2}}));
        let more = tracked(made.clone(), old.clone(), new, "you");
        assert_eq!(more[0], entry);
        assert_eq!(more[1]["fieldsV1"], json!({"f:spec": {"f:b": {}}}));
        let taken = tracked(made.clone(), old.clone(), json!({"spec": {"a": 2}}), "you");
        assert_eq!((taken.len(), &taken[0]["manager"]), (1, &json!("you")));
        let removed = tracked(made.clone(), old.clone(), json!({"spec": {}}), "you");
        assert_eq!(removed, Vec::<Value>::new());
        assert_eq!(tracked(made.clone(), old.clone(), old, "you"), made);
    }

    #[test]
    fn many_updaters() {
        let mut owners = Vec::new();
        let mut object = json!({"metadata": {"labels": {}}});
        for index in 0..UPDATERS_MAX + 3 {
            let old = object.clone();
            object["metadata"]["labels"][format!("l{index}")] = json!("x");
            owners = tracked(owners, old, object.clone(), &format!("m{index:02}"));
        }
        assert_eq!(owners.len(), UPDATERS_MAX);
        let ancient = owners.iter().find(|owner| owner["manager"] == ANCIENT).unwrap();
        let labels = ancient["fieldsV1"]["f:metadata"]["f:labels"].as_object().unwrap();
        assert_eq!(labels.len(), 4);
    }
}

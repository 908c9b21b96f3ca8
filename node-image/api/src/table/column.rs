//! Columns of a Table.

use serde_json::{Value, json};

/// One column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    name: &'static str,
    data_type: &'static str,
    format: &'static str,
    description: &'static str,
    priority: i64,
}

const NAME_TEXT: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const CREATED_TEXT: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// The object's name.
pub(super) const NAME: Column = Column { format: "name", ..text("Name", NAME_TEXT) };
/// How long ago the object was made.
pub(super) const AGE: Column = text("Age", CREATED_TEXT);
/// When the object was made.
pub(super) const CREATED: Column = Column { data_type: "date", ..text("Created At", CREATED_TEXT) };
pub(super) const CONTAINERS: Column =
    wide(text("Containers", "Names of each container in the template."));
pub(super) const IMAGES: Column =
    wide(text("Images", "Images referenced by each container in the template."));
pub(super) const SELECTOR: Column = wide(text("Selector", "Which pods belong to this object."));

pub(super) const fn text(name: &'static str, description: &'static str) -> Column {
    Column { name, data_type: "string", format: "", description, priority: 0 }
}

pub(super) const fn number(name: &'static str, description: &'static str) -> Column {
    Column { data_type: "integer", ..text(name, description) }
}

pub(super) const fn boolean(name: &'static str, description: &'static str) -> Column {
    Column { data_type: "boolean", ..text(name, description) }
}

/// Shown with `-o wide` only.
pub(super) const fn wide(column: Column) -> Column {
    Column { priority: 1, ..column }
}

/// A column that holds the object's name under `-o wide`.
pub(super) const fn named(column: Column) -> Column {
    Column { format: "name", ..column }
}

impl Column {
    /// The TableColumnDefinition.
    pub(super) fn definition(&self) -> Value {
        json!({
            "name": self.name,
            "type": self.data_type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        })
    }
}

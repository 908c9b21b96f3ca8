//! The parameters of requests.

/// Where a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) place: Place,
    /// `string`, `integer`, `boolean`.
    pub(super) type_name: &'static str,
    pub(super) text: String,
}

impl Parameter {
    pub(super) fn path(name: &str, text: &str) -> Parameter {
        let (name, text) = (name.to_owned(), text.to_owned());
        Parameter { name, place: Place::Path, type_name: "string", text }
    }

    pub(super) fn query(name: &str, type_name: &'static str, text: &str) -> Parameter {
        let (name, text) = (name.to_owned(), text.to_owned());
        Parameter { name, place: Place::Query, type_name, text }
    }
}

type Row = (&'static str, &'static str, &'static str);

const DRY_RUN: Row =
    ("dryRun", "string", "With All, nothing is stored; the answer is as if it were.");
const FIELD_MANAGER: Row =
    ("fieldManager", "string", "The name under which the changed fields are owned.");
const FIELD_VALIDATION: Row = (
    "fieldValidation",
    "string",
    "What to do about unknown and duplicate fields: Ignore drops them, Warn drops them and says so, Strict refuses the request.",
);
const FORCE: Row = ("force", "boolean", "Whether an apply takes over fields that others own.");

pub(super) const WRITE: &[Row] = &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
pub(super) const PATCH: &[Row] = &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE];
pub(super) const DELETE: &[Row] = &[
    DRY_RUN,
    ("gracePeriodSeconds", "integer", "Seconds before the object is removed; 0 is at once."),
    ("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    (
        "propagationPolicy",
        "string",
        "What becomes of dependents: Orphan, Background or Foreground.",
    ),
];
pub(super) const LIST: &[Row] = &[
    ("allowWatchBookmarks", "boolean", "Whether a watch may carry BOOKMARK events."),
    ("continue", "string", "The token of the previous chunk."),
    ("fieldSelector", "string", "Restricts the objects by their fields."),
    ("labelSelector", "string", "Restricts the objects by their labels."),
    ("limit", "integer", "The most objects in one answer; the rest follows with continue."),
    ("resourceVersion", "string", "The state from which to read or watch."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
    ("sendInitialEvents", "boolean", "Whether a watch begins with the objects that are there."),
    ("timeoutSeconds", "integer", "How long a list or a watch may last."),
    ("watch", "boolean", "Whether to follow changes instead of listing."),
];

pub(super) fn queries(rows: &[Row]) -> Vec<Parameter> {
    rows.iter().map(|(name, type_name, text)| Parameter::query(name, type_name, text)).collect()
}

//! Which objects a list, watch or deletecollection is about.

use std::sync::Arc;

use kd_api::selector::{FieldSelector, Selector};
use kd_api::{Kind, Object, Status};
use kd_store::Entry;
use serde::Deserialize;
use serde_json::Value;

use crate::storage::{Objects, metadata};
use crate::verbs::VerbRequest;

/// A label and a field selector.
pub(crate) struct Selection {
    labels: Selector,
    fields: FieldSelector,
    /// Whether the fields are of the metadata only.
    by_name: Option<(String, String)>,
    /// The one name that the request is about, and authorized for.
    name: String,
}

/// The part of the metadata that labels are in.
#[derive(Deserialize)]
struct Labels {
    #[serde(default)]
    labels: Value,
}

impl Selection {
    pub(crate) fn of(request: &VerbRequest) -> Result<Selection, Status> {
        let info = request.info();
        let unparsable = |error: kd_api::selector::SelectorError| {
            Status::bad_request(format!("unable to parse requirement: {error}"))
        };
        let labels = match info.label_selector.as_str() {
            "" => Selector::everything(),
            text => Selector::parse(text).map_err(unparsable)?,
        };
        let fields = FieldSelector::parse(&request.kind, &info.field_selector)?;
        let by_name = only_name(&info.field_selector);
        Ok(Selection { labels, fields, by_name, name: info.name.clone() })
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything() && self.name.is_empty()
    }

    /// Whether an entry is selected; decodes no more of it than needed.
    pub(crate) fn matches(
        &self,
        objects: &Objects,
        kind: &Arc<Kind>,
        entry: &Entry,
    ) -> Result<bool, Status> {
        if self.is_everything() {
            return Ok(true);
        }
        if !self.name.is_empty() && entry.key.rsplit('/').next() != Some(&self.name) {
            return Ok(false);
        }
        if let Some((field, value)) = &self.by_name {
            let mut parts = entry.key.rsplit('/');
            let (name, namespace) = (parts.next(), parts.next());
            let found = if field == "metadata.name" { name } else { namespace };
            if found != Some(value) {
                return Ok(false);
            }
        } else if !self.fields.is_everything() {
            let object = objects.decode(kind, entry)?;
            return Ok(self.matches_object(&object));
        }
        if self.labels.is_everything() {
            return Ok(true);
        }
        let part: Labels =
            serde_json::from_slice(metadata(&entry.value)).map_err(Status::internal)?;
        Ok(self.labels.matches(&part.labels))
    }

    /// Whether a decoded object is selected.
    pub(crate) fn matches_object(&self, object: &Value) -> bool {
        let labels = object.at(&["metadata", "labels"]).unwrap_or(&Value::Null);
        self.labels.matches(labels) && self.fields.matches(object)
    }
}

/// A selector of one name or namespace.
fn only_name(text: &str) -> Option<(String, String)> {
    let (field, value) = text.split_once('=')?;
    let value = value.trim_start_matches('=');
    let simple = !value.contains([',', '=', '\\', '!']) && !value.is_empty();
    let known = matches!(field, "metadata.name" | "metadata.namespace");
    (simple && known).then(|| (field.to_owned(), value.to_owned()))
}

//! The types of `metrics.k8s.io`, which the table of upstream's own types does not have.

use serde_json::{Map, Value, json};

use super::Dialect;
use super::definitions::META;
use crate::kind::METRICS_GROUP;

const PACKAGE: &str = "io.k8s.metrics.pkg.apis.metrics.v1beta1";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";

/// A type of the group.
pub(super) struct Metrics {
    name: &'static str,
    text: &'static str,
    fields: &'static [Field],
    required: &'static [&'static str],
}

/// Name, text, what it is.
type Field = (&'static str, &'static str, Of);

enum Of {
    /// `apiVersion`, `kind`, a name.
    Text,
    /// A type of `meta/v1`.
    Meta(&'static str),
    /// A list of a type of the group.
    List(&'static str),
    /// Amounts by resource.
    Usage,
}

const API_VERSION: Field = ("apiVersion", "The version of the schema of this object.", Of::Text);
const KIND: Field = ("kind", "The kind of this object.", Of::Text);
const METADATA: Field = ("metadata", "Standard object's metadata.", Of::Meta("ObjectMeta"));
const LIST_METADATA: Field = ("metadata", "Standard list metadata.", Of::Meta("ListMeta"));
const TIMESTAMP: Field =
    ("timestamp", "When the interval ended in which usage was measured.", Of::Meta("Time"));
const WINDOW: Field = ("window", "How long that interval was.", Of::Meta("Duration"));

const TYPES: [Metrics; 5] = [
    Metrics {
        name: "ContainerMetrics",
        text: "What one container uses.",
        fields: &[
            ("name", "The container's name in its pod.", Of::Text),
            ("usage", "CPU, averaged over the interval, and memory in use.", Of::Usage),
        ],
        required: &["name", "usage"],
    },
    Metrics {
        name: "NodeMetrics",
        text: "What one node uses.",
        fields: &[
            API_VERSION,
            KIND,
            METADATA,
            TIMESTAMP,
            ("usage", "CPU, averaged over the interval, and memory in use.", Of::Usage),
            WINDOW,
        ],
        required: &["timestamp", "usage", "window"],
    },
    Metrics {
        name: "NodeMetricsList",
        text: "What nodes use.",
        fields: &[
            API_VERSION,
            ("items", "The nodes.", Of::List("NodeMetrics")),
            KIND,
            LIST_METADATA,
        ],
        required: &["items"],
    },
    Metrics {
        name: "PodMetrics",
        text: "What the containers of one pod use.",
        fields: &[
            API_VERSION,
            ("containers", "All of the pod's containers.", Of::List("ContainerMetrics")),
            KIND,
            METADATA,
            TIMESTAMP,
            WINDOW,
        ],
        required: &["containers", "timestamp", "window"],
    },
    Metrics {
        name: "PodMetricsList",
        text: "What pods use.",
        fields: &[API_VERSION, ("items", "The pods.", Of::List("PodMetrics")), KIND, LIST_METADATA],
        required: &["items"],
    },
];

/// The name of a kind's type, for kinds of the group.
pub(super) fn name_of(group: &str, kind: &str) -> Option<String> {
    let known = group == METRICS_GROUP && TYPES.iter().any(|one| one.name == kind);
    known.then(|| format!("{PACKAGE}.{kind}"))
}

/// The type of a name.
pub(super) fn find(name: &str) -> Option<&'static Metrics> {
    let name = name.strip_prefix(PACKAGE)?.strip_prefix('.')?;
    TYPES.iter().find(|one| one.name == name)
}

impl Metrics {
    /// The types that it leads to.
    pub(super) fn references(&self) -> impl Iterator<Item = String> {
        self.fields.iter().filter_map(|(_, _, of)| of.reference())
    }

    pub(super) fn schema(&self, dialect: Dialect) -> Map<String, Value> {
        let properties = self.fields.iter().map(|(name, text, of)| {
            let mut schema = of.schema(dialect);
            schema.insert("description".into(), (*text).into());
            ((*name).to_owned(), Value::Object(schema))
        });
        let properties: Map<String, Value> = properties.collect();
        Map::from_iter([
            ("type".to_owned(), "object".into()),
            ("description".to_owned(), self.text.into()),
            ("properties".to_owned(), properties.into()),
            ("required".to_owned(), self.required.into()),
        ])
    }
}

impl Of {
    fn reference(&self) -> Option<String> {
        match self {
            Of::Text => None,
            Of::Meta(name) => Some(format!("{META}.{name}")),
            Of::List(name) => Some(format!("{PACKAGE}.{name}")),
            Of::Usage => Some(QUANTITY.to_owned()),
        }
    }

    fn schema(&self, dialect: Dialect) -> Map<String, Value> {
        let to = self.reference().unwrap_or_default();
        let to = json!({"$ref": format!("{}{to}", dialect.reference_prefix())});
        let schema = match self {
            Of::Text => json!({"type": "string"}),
            // Version 3 allows nothing beside a reference.
            Of::Meta(_) if dialect == Dialect::V3 => json!({"allOf": [to]}),
            Of::Meta(_) => to,
            Of::List(_) => json!({"type": "array", "items": to}),
            Of::Usage => json!({"type": "object", "additionalProperties": to}),
        };
        match schema {
            Value::Object(schema) => schema,
            _ => Map::new(),
        }
    }
}

//! Field paths and validation errors, in upstream's words
//! (`spec.containers[0].name: Required value`).

use std::fmt;

use serde_json::Value;

/// The path of a field, built from the root down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// The path of a top-level field; "" is the object itself.
    pub fn new(root: &str) -> Path {
        Path(root.to_owned())
    }

    /// A field under this one.
    pub fn child(&self, name: &str) -> Path {
        if self.0.is_empty() { Path(name.to_owned()) } else { Path(format!("{}.{name}", self.0)) }
    }

    /// A path that continues this one.
    pub fn join(&self, rest: &Path) -> Path {
        match (self.0.as_str(), rest.0.as_str()) {
            ("", _) => rest.clone(),
            (_, "") => self.clone(),
            (start, rest) if rest.starts_with('[') => Path(format!("{start}{rest}")),
            (start, rest) => Path(format!("{start}.{rest}")),
        }
    }

    /// An element of this list.
    pub fn index(&self, index: usize) -> Path {
        Path(format!("{}[{index}]", self.0))
    }

    /// An entry of this map.
    pub fn key(&self, key: &str) -> Path {
        Path(format!("{}[{key}]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

/// The kinds of error that upstream's `field` package tells apart; the names are the `reason` of a
/// Status cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldErrorType {
    /// `Required value`
    Required,
    /// `Invalid value`
    Invalid,
    /// `Invalid value`, where the value is too large to show.
    InvalidUnshown,
    /// `Unsupported value`
    NotSupported,
    /// `Duplicate value`
    Duplicate,
    /// `Forbidden`
    Forbidden,
    /// `Not found`
    NotFound,
    /// `Too long`
    TooLong,
    /// `Too many`
    TooMany,
    /// `Internal error`
    Internal,
    /// `Invalid value` with the reason of a wrong type
    TypeInvalid,
}

impl FieldErrorType {
    /// `FieldValueRequired` and so on: the cause's `reason`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid | Self::InvalidUnshown => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::NotFound => "FieldValueNotFound",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::InvalidUnshown | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not found",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }
}

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// What sort of wrong.
    pub error_type: FieldErrorType,
    /// Where.
    pub field: Path,
    /// The value found; shown for `Invalid`, `NotSupported`, `Duplicate` and `NotFound`.
    pub bad_value: Value,
    /// Why, or what is allowed.
    pub detail: String,
}

impl FieldError {
    /// A required value is missing.
    pub fn required(field: Path, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorType::Required, field, Value::Null, detail)
    }

    /// A value breaks a rule.
    pub fn invalid(field: Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorType::Invalid, field, value, detail)
    }

    /// A whole breaks a rule, and is not shown.
    pub fn invalid_unshown(field: Path, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorType::InvalidUnshown, field, Value::Null, detail)
    }

    /// A value is none of those allowed; `supported` in upstream's order.
    pub fn not_supported(field: Path, value: impl Into<Value>, supported: &[&str]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        let detail = match quoted.is_empty() {
            true => String::new(),
            false => format!("supported values: {}", quoted.join(", ")),
        };
        Self::new(FieldErrorType::NotSupported, field, value, detail)
    }

    /// A value that must be unique occurs again.
    pub fn duplicate(field: Path, value: impl Into<Value>) -> Self {
        Self::new(FieldErrorType::Duplicate, field, value, "")
    }

    /// A field may not be set, or not changed, here.
    pub fn forbidden(field: Path, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorType::Forbidden, field, Value::Null, detail)
    }

    /// A reference leads nowhere.
    pub fn not_found(field: Path, value: impl Into<Value>) -> Self {
        Self::new(FieldErrorType::NotFound, field, value, "")
    }

    /// A string is longer than `limit` bytes.
    pub fn too_long(field: Path, limit: usize) -> Self {
        let detail = format!("may not be more than {limit} bytes");
        Self::new(FieldErrorType::TooLong, field, Value::Null, detail)
    }

    /// A list has `actual` elements, more than `limit`.
    pub fn too_many(field: Path, actual: usize, limit: usize) -> Self {
        let detail = format!("must have at most {limit} items");
        Self::new(FieldErrorType::TooMany, field, actual, detail)
    }

    fn new(
        error_type: FieldErrorType,
        field: Path,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self { error_type, field, bad_value: value.into(), detail: detail.into() }
    }

    /// The message without the path: a Status cause's `message`.
    pub fn body(&self) -> String {
        use FieldErrorType::*;
        let mut text = self.error_type.words().to_owned();
        let shows_value =
            !matches!(self.error_type, Required | InvalidUnshown | Forbidden | TooLong | Internal);
        if shows_value {
            let value = match &self.bad_value {
                Value::Null => "null".to_owned(),
                Value::String(s) => format!("{s:?}"),
                other => other.to_string(),
            };
            text = format!("{text}: {value}");
        }
        if self.detail.is_empty() { text } else { format!("{text}: {}", self.detail) }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

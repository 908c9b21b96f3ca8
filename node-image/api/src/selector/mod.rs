//! Label and field selectors: parsing with upstream's errors, and matching on JSON objects.

mod fields;
mod labels;

pub use fields::{FieldSelector, supported_fields};
pub use labels::{Operator, Requirement, Selector};

/// Why a selector is refused; the text is upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub String);

impl From<SelectorError> for crate::Status {
    fn from(error: SelectorError) -> crate::Status {
        crate::Status::bad_request(error.0)
    }
}

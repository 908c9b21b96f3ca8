//! What a Kubernetes object is: kinds as rows, schemas, defaults, validation, selectors, quantities,
//! patches, tables. Pure: no I/O, no clock.

mod field;
pub mod kind;
mod status;

pub use field::{FieldError, FieldErrorType, Path};
pub use kind::{Kind, Scope, Subresource};
pub use status::{Status, StatusCause, StatusDetails};

//! What a Kubernetes object is: kinds as rows, schemas, defaults, validation, selectors, quantities,
//! patches, tables. Pure: no I/O, no clock.

mod field;
pub mod kind;
pub mod object;
mod status;

pub use field::{FieldError, FieldErrorType, Path};
pub use kind::{Kind, Kinds, Scope, Subresource};
pub use object::{Object, OwnerReference};
pub use status::{Status, StatusCause, StatusDetails};

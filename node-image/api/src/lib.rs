//! What a Kubernetes object is: kinds as rows, schemas, defaults, validation, selectors, quantities,
//! patches, tables. Pure: no I/O, no clock.

pub mod conversion;
pub mod custom;
pub mod decode;
pub mod defaults;
pub mod discovery;
mod field;
pub mod flow_control;
pub mod kind;
pub mod object;
pub mod openapi;
pub mod patch;
pub mod pod_resources;
pub mod protobuf;
pub mod quantity;
pub mod quota;
pub mod schedule;
pub mod schema;
pub mod selector;
mod status;
pub mod strategy;
pub mod table;
#[cfg(test)]
mod testing;
pub mod validation;
mod walk;
mod warnings;
mod wire;

pub use field::{FieldError, FieldErrorType, Path};
pub use kind::{Kind, Kinds, Scope, Subresource};
pub use object::{Object, OwnerReference};
pub use status::{Status, StatusCause, StatusDetails};
pub use warnings::warnings;

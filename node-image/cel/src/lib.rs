//! The Kubernetes CEL environment of v1.36: expressions are compiled against declared variables, checked,
//! priced, and evaluated. Pure: no I/O, no clock, no panic, and every evaluation is bounded.
//!
//! [`Environment`] shows how it is used.

mod ast;
mod check;
mod convert;
mod cost;
mod deep;
mod environment;
mod error;
mod escape;
mod estimate;
mod evaluate;
mod library;
mod schema;
mod structs;
mod syntax;
mod types;
mod unify;
mod validators;
mod value;

pub use environment::{
    Activation, Budget, Environment, MATCH_CONDITIONS_BUDGET, MESSAGE_MAX, PER_CALL_LIMIT, Program,
    RUNTIME_BUDGET,
};
pub use error::{CompileError, Error, Issue};
pub use escape::escape;
pub use library::{Authorizer, Decision, Opaque, PathCheck, ResourceCheck};
pub use schema::Schema;
pub use structs::{applied_object, json_patch};
pub use types::{ObjectType, Type};
pub use value::{Fields, Key, List, ListKind, Map, Value};

/// The type of the variable `authorizer`.
pub const AUTHORIZER: Type = Type::Opaque(types::opaque::AUTHORIZER);
/// The type of `authorizer.requestResource`.
pub const RESOURCE_CHECK: Type = Type::Opaque(types::opaque::RESOURCE_CHECK);

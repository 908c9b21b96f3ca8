//! What ResourceQuotas count: which objects a quota is about, and what each takes from it. Admission
//! and the controller that writes the status count alike.

mod scopes;
mod usage;

pub use scopes::matches;
pub use usage::{of, unspecified};

//! The ways to change an object by a patch: JSON Patch, JSON Merge Patch, strategic merge and
//! server-side apply.

mod apply;
mod field_set;
mod json;
mod merge;
mod schema;
mod strategic;

pub use apply::{FieldManager, apply, track_update};
pub use json::json;
pub use merge::merge;
pub use schema::PatchSchema;
pub use strategic::strategic;

use crate::Status;

/// The 422 without detail with which upstream answers a patch that does not fit its object.
fn unprocessable() -> Status {
    let text = "the server rejected our request due to an error in our request";
    let mut status = Status::failure(422, "Invalid", text);
    status.details = Some(Default::default());
    status
}

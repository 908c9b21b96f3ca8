//! What paths of JSON patches need.

use super::{Row, global, text};
use crate::cost::Cost;
use crate::value::Value;

pub(super) const ROWS: &[Row] =
    &[global("jsonpatch.escapeKey", "string -> string", Cost::Copy, |_, args| {
        Ok(Value::from(text(args, 0)?.replace('~', "~0").replace('/', "~1")))
    })];

//! Kinds for the tests of the rules.

use crate::{Kind, Kinds};

/// A kind of the table.
pub(crate) fn kind(group: &str, version: &str, name: &str) -> Kind {
    let kinds = Kinds::known();
    Kind::clone(kinds.by_kind(group, version, name).expect("a kind of the table"))
}

//! `matchConditions`: expressions that must all hold for a webhook to be asked.

use super::hook::Hook;

/// Whether all conditions hold; the error says why that cannot be told.
pub(super) fn hold(hook: &Hook) -> Result<bool, String> {
    match hook.match_conditions.is_empty() {
        true => Ok(true),
        false => Err("matchConditions are not evaluated yet".into()),
    }
}

//! Conditions of statuses.

use jiff::Timestamp;
use serde_json::{Value, json};

/// A condition as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub kind: &'static str,
    pub status: bool,
    pub reason: &'static str,
    pub message: String,
}

impl Condition {
    /// It holds.
    pub(super) fn yes(
        kind: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Condition {
        Condition { kind, status: true, reason, message: message.into() }
    }

    /// It does not.
    pub(super) fn no(
        kind: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Condition {
        Condition { status: false, ..Condition::yes(kind, reason, message) }
    }
}

/// A list of conditions after another: what did not change keeps its time, what is others' stays.
pub(super) fn conditions(
    before: &Value,
    wanted: &[Condition],
    generation: i64,
    now: Timestamp,
) -> Value {
    let before: Vec<&Value> = before.as_array().into_iter().flatten().collect();
    let of = |kind: &str| before.iter().copied().find(|condition| condition["type"] == kind);
    let one = |condition: &Condition| {
        let status = if condition.status { "True" } else { "False" };
        let same = of(condition.kind).filter(|before| before["status"] == status);
        let time = same.map(|before| before["lastTransitionTime"].clone());
        let time = time.unwrap_or_else(|| json!(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()));
        json!({"type": condition.kind, "status": status, "reason": condition.reason,
            "message": condition.message, "observedGeneration": generation,
            "lastTransitionTime": time})
    };
    let is_ours = |other: &&&Value| wanted.iter().any(|condition| other["type"] == condition.kind);
    let others = before.iter().filter(|other| !is_ours(other)).copied().cloned();
    wanted.iter().map(one).chain(others).collect()
}

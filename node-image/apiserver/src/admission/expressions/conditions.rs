//! `matchConditions`: expressions that must all hold for a webhook or policy to be asked.

use kd_api::{FieldError, Object, Path};
use kd_cel::{Budget, Environment, MATCH_CONDITIONS_BUDGET, Type};
use serde_json::Value;

use super::{Expression, Scope};

/// Compiled conditions.
#[derive(Debug, Default)]
pub(in super::super) struct Conditions {
    expressions: Vec<Expression>,
}

/// What came of them.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Held {
    /// All hold.
    Yes,
    /// One does not, or the failure policy says so.
    No,
    /// That cannot be told, in upstream's words.
    Unknown(String),
}

impl Conditions {
    /// Compiles the field `matchConditions` of a webhook or of a policy's spec.
    pub(in super::super) fn of(owner: &Value, environment: &Environment) -> Conditions {
        let conditions = owner.list_at(&["matchConditions"]).iter();
        let expressions = conditions.map(|condition| {
            Expression::new(environment, condition.str_at(&["expression"]), &[Type::Bool])
        });
        Conditions { expressions: expressions.collect() }
    }

    /// What is wrong with those that cannot be compiled; `owner` is the place of the field's owner.
    pub(in super::super) fn flaws(&self, owner: &Path) -> Vec<FieldError> {
        let path = owner.child("matchConditions");
        let flaw = |(index, expression): (usize, &Expression)| {
            expression.flaw(path.index(index).child("expression"))
        };
        self.expressions.iter().enumerate().filter_map(flaw).collect()
    }

    /// Whether there are none, and no scope need be made.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.expressions.is_empty()
    }

    /// Whether all conditions hold. One that does not outweighs the errors of others.
    pub(in super::super) fn hold(&self, scope: &Scope, ignores_failure: bool) -> Held {
        let mut budget = Budget::new(MATCH_CONDITIONS_BUDGET);
        let mut errors = Vec::new();
        for expression in &self.expressions {
            match expression.evaluate(scope, &mut budget) {
                Ok(Ok(value)) if value.as_bool() == Some(false) => return Held::No,
                Ok(Ok(_)) => {}
                Ok(Err(error)) => errors.push(error),
                Err(error) => {
                    errors = vec![error];
                    break;
                }
            }
        }
        match errors.as_slice() {
            [] => Held::Yes,
            _ if ignores_failure => Held::No,
            [one] => Held::Unknown(one.clone()),
            several => Held::Unknown(format!("[{}]", several.join(", "))),
        }
    }
}

//! What a ValidatingAdmissionPolicy says of a request: a decision for each of its validations, and
//! annotations for the audit log.

use kd_api::{FieldError, Object, Path};
use kd_cel::{Budget, Environment, MESSAGE_MAX, RUNTIME_BUDGET, Type};
use serde_json::Value;

use super::super::expressions::{Expression, Scope};
use super::Environments;

/// The rules of a policy.
pub(super) struct Validations {
    validations: Vec<Validation>,
    annotations: Vec<Annotation>,
}

struct Validation {
    expression: Expression,
    message: String,
    message_expression: Option<Expression>,
    reason: String,
}

struct Annotation {
    key: String,
    expression: Expression,
}

/// A validation that did not hold, or could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Denial {
    /// Which validation.
    pub(super) index: usize,
    pub(super) message: String,
    /// Of the Status; empty for `Invalid`.
    pub(super) reason: String,
}

/// What is to become of an annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Annotated {
    Publish { key: String, value: String },
    Failed(String),
}

impl Validations {
    pub(super) fn of(spec: &Value, environments: &Environments) -> Validations {
        let validation = |validation: &Value| Validation {
            expression: expression(&environments.full, validation, "expression", &[Type::Bool]),
            message: validation.str_at(&["message"]).trim().to_owned(),
            message_expression: (!validation.str_at(&["messageExpression"]).is_empty()).then(
                || {
                    expression(
                        &environments.messages,
                        validation,
                        "messageExpression",
                        &[Type::String],
                    )
                },
            ),
            reason: validation.str_at(&["reason"]).to_owned(),
        };
        let annotation = |annotation: &Value| Annotation {
            key: annotation.str_at(&["key"]).to_owned(),
            expression: expression(
                &environments.full,
                annotation,
                "valueExpression",
                &[Type::String, Type::Null],
            ),
        };
        Validations {
            validations: spec.list_at(&["validations"]).iter().map(validation).collect(),
            annotations: spec.list_at(&["auditAnnotations"]).iter().map(annotation).collect(),
        }
    }

    /// What is wrong with expressions that cannot be compiled.
    pub(super) fn flaws(&self, spec: &Path) -> Vec<FieldError> {
        let mut flaws = Vec::new();
        for (index, validation) in self.validations.iter().enumerate() {
            let path = spec.child("validations").index(index);
            flaws.extend(validation.expression.flaw(path.child("expression")));
            let message = validation.message_expression.as_ref();
            flaws.extend(message.and_then(|text| text.flaw(path.child("messageExpression"))));
        }
        for (index, annotation) in self.annotations.iter().enumerate() {
            let path = spec.child("auditAnnotations").index(index).child("valueExpression");
            flaws.extend(annotation.expression.flaw(path));
        }
        flaws
    }

    /// The validations that do not hold. What cannot be evaluated is left out if failures are ignored.
    pub(super) fn denials(&self, scope: &Scope, ignores_failure: bool) -> Vec<Denial> {
        let failed =
            |index: usize, message: String| Denial { index, message, reason: String::new() };
        let mut budget = Budget::new(RUNTIME_BUDGET);
        let mut outcomes = Vec::new();
        for validation in &self.validations {
            match validation.expression.evaluate(scope, &mut budget) {
                Ok(outcome) => outcomes.push(outcome),
                Err(_) if ignores_failure => return Vec::new(),
                Err(message) => return vec![failed(0, message)],
            }
        }
        let mut denials = Vec::new();
        for (index, (validation, outcome)) in self.validations.iter().zip(outcomes).enumerate() {
            match outcome {
                Err(_) if ignores_failure => {}
                Err(message) => denials.push(failed(index, message)),
                Ok(value) if value.as_bool() == Some(true) => {}
                Ok(_) => match validation.explain(scope, &mut budget) {
                    Ok(message) => {
                        let reason = validation.reason.clone();
                        denials.push(Denial { index, message, reason });
                    }
                    Err(_) if ignores_failure => {}
                    Err(why) => {
                        denials.push(failed(index, format!("failed messageExpression: {why}")));
                    }
                },
            }
        }
        denials
    }

    /// What the audit log is told.
    pub(super) fn annotations(&self, scope: &Scope, ignores_failure: bool) -> Vec<Annotated> {
        let mut budget = Budget::new(RUNTIME_BUDGET);
        let mut annotated = Vec::new();
        for Annotation { key, expression } in &self.annotations {
            let outcome = match expression.evaluate(scope, &mut budget) {
                Ok(outcome) => outcome,
                Err(message) => Err(message),
            };
            match outcome {
                Err(_) if ignores_failure => {}
                Err(message) => annotated.push(Annotated::Failed(message)),
                Ok(value) => {
                    let text = value.as_str().unwrap_or_default().trim();
                    if !text.is_empty() {
                        let (key, value) = (key.clone(), text.to_owned());
                        annotated.push(Annotated::Publish { key, value });
                    }
                }
            }
        }
        annotated
    }
}

impl Validation {
    /// What the user is told: the message that is computed, the one that is written, or the expression.
    fn explain(&self, scope: &Scope, budget: &mut Budget) -> Result<String, String> {
        if let Some(expression) = &self.message_expression
            && let Ok(value) = expression.evaluate(scope, budget)?
        {
            let message = value.as_str().unwrap_or_default().trim();
            if !message.is_empty() && message.len() <= MESSAGE_MAX && !message.contains('\n') {
                return Ok(message.to_owned());
            }
        }
        match self.message.is_empty() {
            false => Ok(self.message.clone()),
            true => Ok(format!("failed expression: {}", self.expression.text())),
        }
    }
}

fn expression(environment: &Environment, from: &Value, field: &str, types: &[Type]) -> Expression {
    Expression::new(environment, from.str_at(&[field]), types)
}

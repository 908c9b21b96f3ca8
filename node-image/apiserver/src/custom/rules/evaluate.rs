//! Rules are evaluated: those of a value, then those of what is in it.

use kd_api::{FieldError, FieldErrorType, Path};
use kd_cel::{Activation, Budget, Error, MESSAGE_MAX, Program, RUNTIME_BUDGET, Value as Cel};
use serde_json::Value;

use super::{Node, Rule};

/// What rules find wrong with an object.
pub(super) fn evaluate(
    node: &Node,
    new: &Value,
    old: Option<&Value>,
    errors: &mut Vec<FieldError>,
) {
    let mut run = Run { budget: Budget::new(RUNTIME_BUDGET), errors };
    let place = Place { new, old, nearest: None };
    // What ends early has said why.
    let _ = run.node(node, &Path::new(""), place);
}

/// A value, what it was, and the nearest value around it that can be compared with what it was.
#[derive(Clone, Copy)]
struct Place<'v> {
    new: &'v Value,
    old: Option<&'v Value>,
    nearest: Option<(&'v Value, &'v Value)>,
}

impl<'v> Place<'v> {
    /// A value in this one.
    fn under(self, new: &'v Value, old: Option<&'v Value>) -> Place<'v> {
        let nearest = self.old.map(|old| (self.new, old)).or(self.nearest);
        Place { new, old, nearest }
    }

    /// Whether nothing changed: what is wrong then was wrong before.
    fn is_unchanged(self) -> bool {
        let compared = self.old.map(|old| (self.new, old)).or(self.nearest);
        compared.is_some_and(|(new, old)| new == old)
    }
}

/// No more rules are evaluated.
struct Stop;

struct Run<'e> {
    budget: Budget,
    errors: &'e mut Vec<FieldError>,
}

impl Run<'_> {
    fn node(&mut self, node: &Node, path: &Path, place: Place<'_>) -> Result<(), Stop> {
        if place.new.is_null() {
            return Ok(());
        }
        self.rules(node, path, place)?;
        match place.new {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let (inner, path) = match (node.properties.get(name), &node.values) {
                        (Some(property), _) => (property, path.child(name)),
                        (None, Some(values)) => (values.as_ref(), path.key(name)),
                        (None, None) => continue,
                    };
                    let old = place.old.filter(|_| !node.is_atomic);
                    let old = old.and_then(|old| old.get(name));
                    self.node(inner, &path, place.under(value, old))?;
                }
                Ok(())
            }
            Value::Array(items) => {
                let Some(inner) = &node.items else { return Ok(()) };
                for (index, item) in items.iter().enumerate() {
                    let old = counterpart(node, item, place.old);
                    self.node(inner, &path.index(index), place.under(item, old))?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn rules(&mut self, node: &Node, path: &Path, place: Place<'_>) -> Result<(), Stop> {
        let Some(schema) = &node.schema else { return Ok(()) };
        let value = Cel::with_schema(place.new, schema);
        let old = place.old.map(|old| Cel::with_schema(old, schema));
        for rule in &node.rules {
            let program = match &rule.compiled.rule {
                Ok(program) => program,
                Err(error) => {
                    let text = format!("rule compile error: {error}");
                    self.errors.push(FieldError::invalid_unshown(path.clone(), text));
                    continue;
                }
            };
            let is_transition = program.uses("oldSelf");
            if is_transition && old.is_none() && !rule.optional_old {
                continue;
            }
            let known = match (rule.optional_old, &old) {
                (true, old) => old.clone().map_or(Cel::Optional(None), Cel::some),
                (false, old) => old.clone().unwrap_or_default(),
            };
            let activation = Activation::new().with("self", value.clone()).with("oldSelf", known);
            let may_stay = !is_transition && place.is_unchanged();
            match program.evaluate(&activation, &mut self.budget) {
                Ok(result) if result.as_bool() == Some(true) => {}
                Ok(_) => self.broken(node, rule, path, place.new, &activation, may_stay)?,
                Err(error) => self.failed(rule, path, &error)?,
            }
        }
        Ok(())
    }

    /// A rule does not hold.
    fn broken(
        &mut self,
        node: &Node,
        rule: &Rule,
        path: &Path,
        value: &Value,
        activation: &Activation,
        may_stay: bool,
    ) -> Result<(), Stop> {
        let message = match &rule.compiled.message {
            Some(Ok(program)) => self.message(program, path, activation)?,
            _ => None,
        };
        if may_stay {
            return Ok(());
        }
        let detail = message.unwrap_or_else(|| match rule.message.trim() {
            "" => format!("failed rule: {}", rule.text.trim()),
            text => text.to_owned(),
        });
        let field = rule.field.iter().fold(path.clone(), |path, name| path.child(name));
        self.errors.push(match rule.reason.as_str() {
            "FieldValueForbidden" => FieldError::forbidden(field, detail),
            "FieldValueRequired" => FieldError::required(field, detail),
            "FieldValueDuplicate" => FieldError {
                error_type: FieldErrorType::Duplicate,
                field,
                bad_value: value.clone(),
                detail,
            },
            _ if node.is_whole => FieldError::invalid_unshown(field, detail),
            _ => FieldError::invalid(field, value.clone(), detail),
        });
        Ok(())
    }

    /// What `messageExpression` says; none if that is no good message.
    fn message(
        &mut self,
        program: &Program,
        path: &Path,
        activation: &Activation,
    ) -> Result<Option<String>, Stop> {
        match program.evaluate(activation, &mut self.budget) {
            Ok(text) => {
                let text = text.as_str().unwrap_or("").trim();
                let good = !text.is_empty() && !text.contains('\n') && text.len() <= MESSAGE_MAX;
                Ok(good.then(|| text.to_owned()))
            }
            Err(Error::OutOfBudget) => {
                let text = "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run";
                self.errors.push(FieldError::invalid_unshown(path.clone(), text));
                Err(Stop)
            }
            Err(_) => Ok(None),
        }
    }

    /// A rule could not be evaluated.
    fn failed(&mut self, rule: &Rule, path: &Path, error: &Error) -> Result<(), Stop> {
        let shown = match rule.message.trim() {
            "" => rule.text.trim(),
            text => text,
        };
        let (text, next) = match error {
            Error::OutOfBudget => (
                "validation failed due to running out of cost budget, no further validation rules will be run".to_owned(),
                Err(Stop),
            ),
            Error::CostLimit => (
                format!("'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {shown}"),
                Err(Stop),
            ),
            Error::NoSuchOverload => (
                format!("'{error}': call arguments did not match a supported operator, function or macro signature for rule: {shown}"),
                Ok(()),
            ),
            _ => (format!("{error} evaluating rule: {shown}"), Ok(())),
        };
        self.errors.push(FieldError::invalid_unshown(path.clone(), text));
        next
    }
}

/// What an element of a list was: elements have a history only where keys tell them apart.
fn counterpart<'v>(node: &Node, item: &Value, old: Option<&'v Value>) -> Option<&'v Value> {
    let keys = node.list_keys.as_ref()?;
    let same = |other: &&Value| keys.iter().all(|key| other.get(key) == item.get(key));
    old?.as_array()?.iter().find(same)
}

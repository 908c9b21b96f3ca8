//! What a MutatingAdmissionPolicy makes of an object: one change after the other, as an applied
//! configuration or as a JSON patch.

use kd_api::decode::normalize;
use kd_api::defaults::apply_defaults;
use kd_api::{FieldError, Kind, Object, Path, patch, schema};
use kd_cel::{Budget, RUNTIME_BUDGET, Type, applied_object, json_patch};
use serde_json::Value;

use super::super::expressions::{Expression, Scope};
use super::Environments;

/// The rules of a policy.
pub(super) struct Mutations {
    pub(super) mutations: Vec<Mutation>,
    /// Whether it runs again when others change the object after it.
    pub(super) reinvoked: bool,
}

/// A change.
pub(super) enum Mutation {
    Apply(Expression),
    JsonPatch(Expression),
}

impl Mutations {
    pub(super) fn of(spec: &Value, environments: &Environments) -> Mutations {
        let environment = environments.full.clone().with_mutation();
        let mutation = |mutation: &Value| {
            let text = |field: &str| mutation.str_at(&[field, "expression"]);
            match mutation.str_at(&["patchType"]) {
                "JSONPatch" => {
                    let types = [Type::list(Type::object("JSONPatch", []))];
                    Mutation::JsonPatch(Expression::new(&environment, text("jsonPatch"), &types))
                }
                _ => {
                    let types = [Type::object("Object", [])];
                    Mutation::Apply(Expression::new(
                        &environment,
                        text("applyConfiguration"),
                        &types,
                    ))
                }
            }
        };
        Mutations {
            mutations: spec.list_at(&["mutations"]).iter().map(mutation).collect(),
            reinvoked: spec.str_at(&["reinvocationPolicy"]) == "IfNeeded",
        }
    }

    /// What is wrong with expressions that cannot be compiled.
    pub(super) fn flaws(&self, spec: &Path) -> Vec<FieldError> {
        let flaw = |(index, mutation): (usize, &Mutation)| {
            let (field, expression) = match mutation {
                Mutation::Apply(expression) => ("applyConfiguration", expression),
                Mutation::JsonPatch(expression) => ("jsonPatch", expression),
            };
            expression.flaw(spec.child("mutations").index(index).child(field).child("expression"))
        };
        self.mutations.iter().enumerate().filter_map(flaw).collect()
    }
}

impl Mutation {
    /// The object as the change makes it, with defaults.
    ///
    /// # Errors
    /// In upstream's words.
    pub(super) fn apply(
        &self,
        scope: &Scope,
        object: &Value,
        kind: &Kind,
    ) -> Result<Value, String> {
        let mut budget = Budget::new(RUNTIME_BUDGET);
        let expression = match self {
            Mutation::Apply(expression) | Mutation::JsonPatch(expression) => expression,
        };
        let value = expression.evaluate(scope, &mut budget)??;
        let changed = match self {
            Mutation::Apply(_) => {
                let config =
                    applied_object(&value).map_err(|error| format!("type mismatch: {error}"))?;
                merged(object, config, kind)?
            }
            Mutation::JsonPatch(_) => {
                let operations = json_patch(&value).map_err(|error| error.to_string())?;
                match patch::json(object, &operations) {
                    Ok(changed) => changed,
                    // A test that fails is no error: the patch is not for this object.
                    Err(_) if has_test(&operations) => return Ok(object.clone()),
                    Err(status) => return Err(format!("JSON Patch: {}", status.message)),
                }
            }
        };
        let mut changed = normalize(changed, kind).map_err(|error| error.to_string())?.object;
        apply_defaults(kind, &mut changed);
        Ok(changed)
    }
}

fn has_test(operations: &Value) -> bool {
    let mut operations = operations.as_array().into_iter().flatten();
    operations.any(|operation| operation.str_at(&["op"]) == "test")
}

/// The object with what is applied to it. Lists and maps that would have to be replaced as a whole are
/// refused: nobody means to lose what is in them.
fn merged(object: &Value, mut config: Value, kind: &Kind) -> Result<Value, String> {
    config["apiVersion"] = object.api_version().into();
    config["kind"] = object.kind().into();
    let Some(schema) = schema::for_kind(kind) else {
        return Ok(patch::merge(object, &config));
    };
    patch::merge_config(object, &config, &schema).map_err(|paths| {
        let why = format!("may not mutate atomic arrays, maps or structs: {}", paths.join(", "));
        format!("error applying patch: invalid ApplyConfiguration: {why}")
    })
}

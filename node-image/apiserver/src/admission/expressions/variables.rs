//! `variables`: named expressions of a policy, evaluated when another expression asks for them, and at
//! most once for each set of inputs.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use kd_api::Object;
use kd_cel::{
    Activation, Budget, Environment, Error, Fields, PER_CALL_LIMIT, Program, Type, Value as Cel,
};
use serde_json::Value;

use super::compile;

/// The compiled variables of a policy.
#[derive(Debug, Default)]
pub(in super::super) struct Variables {
    programs: HashMap<String, Result<Program, String>>,
}

impl Variables {
    /// Compiles a policy's variables, each of which may use those before it, and adds `variables` to
    /// the environment.
    pub(in super::super) fn of(
        spec: &Value,
        environment: Environment,
    ) -> (Arc<Variables>, Environment) {
        let mut fields: Vec<(&str, Type)> = Vec::new();
        let mut programs = HashMap::new();
        let with = |fields: &[(&str, Type)]| {
            let type_ = Type::object("kubernetes.variables", fields.iter().cloned());
            environment.clone().variable("variables", type_)
        };
        for variable in spec.list_at(&["variables"]) {
            let name = variable.str_at(&["name"]);
            let program = compile(&with(&fields), variable.str_at(&["expression"]), &[]);
            let type_ = program.as_ref().map_or(Type::Dyn, |program| program.result_type().clone());
            fields.push((name, type_));
            programs.insert(name.to_owned(), program);
        }
        (Arc::new(Variables { programs }), with(&fields))
    }

    /// Why a variable cannot be compiled.
    pub(in super::super) fn error(&self, name: &str) -> Option<&str> {
        self.programs.get(name)?.as_ref().err().map(String::as_str)
    }
}

/// What expressions see, with the variables of a policy.
pub(in super::super) struct Scope {
    pub(super) activation: Activation,
    state: Option<Arc<State>>,
}

impl Scope {
    /// Without variables.
    pub(in super::super) fn plain(activation: Activation) -> Scope {
        Scope { activation, state: None }
    }

    /// With a policy's variables.
    pub(in super::super) fn new(activation: Activation, variables: &Arc<Variables>) -> Scope {
        let state = Arc::new(State {
            variables: variables.clone(),
            base: activation.clone(),
            known: Mutex::default(),
        });
        let fields = Cel::Fields(Arc::new(View(state.clone())));
        Scope { activation: activation.with("variables", fields), state: Some(state) }
    }

    /// What the variables cost since this was asked before.
    pub(super) fn take_cost(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| mem::take(&mut state.known().cost))
    }
}

#[derive(Debug)]
struct State {
    variables: Arc<Variables>,
    base: Activation,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    values: HashMap<String, Result<Cel, Error>>,
    cost: u64,
}

impl State {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The object `variables`.
#[derive(Debug)]
struct View(Arc<State>);

impl Fields for View {
    fn field(&self, name: &str) -> Option<Result<Cel, Error>> {
        let state = &self.0;
        let program = state.variables.programs.get(name)?;
        if let Some(value) = state.known().values.get(name) {
            return Some(value.clone());
        }
        let value = match program {
            Err(why) => {
                Err(Error::other(format!("composited variable {name:?} fails to compile: {why}")))
            }
            Ok(program) => {
                let fields = Cel::Fields(Arc::new(View(state.clone())));
                let activation = state.base.clone().with("variables", fields);
                let mut budget = Budget::new(PER_CALL_LIMIT);
                let value = program.evaluate(&activation, &mut budget);
                state.known().cost += PER_CALL_LIMIT - budget.left();
                value.map_err(|error| {
                    Error::other(format!("composited variable {name:?} fails to evaluate: {error}"))
                })
            }
        };
        state.known().values.insert(name.to_owned(), value.clone());
        Some(value)
    }
}

//! What expressions may use, and how they are compiled and run.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ast::Expr;
use crate::check::{self, Checked};
use crate::deep;
use crate::error::{CompileError, Error, Issue};
use crate::estimate;
use crate::evaluate::Evaluator;
use crate::library::Regexes;
use crate::schema::Schema;
use crate::structs::Structs;
use crate::syntax::{self, MacroSet, Parsed};
use crate::types::Type;
use crate::value::Value;

/// The most that one evaluation may cost.
pub const PER_CALL_LIMIT: u64 = 1_000_000;
/// The most that all evaluations for one object may cost together: the rules of a custom resource, or a
/// policy's binding.
pub const RUNTIME_BUDGET: u64 = 10_000_000;
/// The most that the match conditions of one webhook or policy may cost together.
pub const MATCH_CONDITIONS_BUDGET: u64 = 2_500_000;
/// The longest text that a `messageExpression` may make, in bytes.
pub const MESSAGE_MAX: usize = 5 * 1024;

/// What expressions may use: the libraries of Kubernetes v1.36, and declared variables.
///
/// ```
/// use std::sync::Arc;
/// use kd_cel::{Activation, Budget, Environment, RUNTIME_BUDGET, Schema, Type, Value};
/// use serde_json::json;
///
/// let schema = json!({"type": "object", "properties": {"replicas": {"type": "integer"}}});
/// let schema = Arc::new(Schema::new(&schema, false).expect("a type that expressions know"));
/// let environment = Environment::new()
///     .schema_variable("self", &schema)
///     .variable("limit", Type::Int);
/// let program = environment.compile("self.replicas <= limit").expect("it compiles");
/// assert_eq!(program.result_type(), &Type::Bool);
///
/// let object = Value::with_schema(&json!({"replicas": 3}), &schema);
/// let activation = Activation::new().with("self", object).with("limit", Value::Int(5));
/// let mut budget = Budget::new(RUNTIME_BUDGET);
/// let value = program.evaluate(&activation, &mut budget).expect("it has a value");
/// assert_eq!(value.as_bool(), Some(true));
/// ```
///
/// * [`Environment::compile`] makes a [`Program`], or a
///   [`CompileError`] that reads as upstream's. Keep programs: compiling costs much more than running.
/// * [`Schema`] is an OpenAPI schema read for expressions, and [`Value::with_schema`] makes values that it
///   directs. Values share their parts: convert an object once, then walk both with [`Value::get`] and
///   [`Schema::property`] (mind [`escape`](crate::escape())) to evaluate rules of its parts. Without a schema there is
///   [`Value::from_json`], and the type is [`Type::Dyn`].
/// * Rules of custom resources: `self`, and `oldSelf` in transition rules, which [`Program::uses`] tells;
///   [`Program::cost_max`] is what cost limits are checked against (times the number of elements that the
///   rule's place may have).
/// * Match conditions and policies: `object`, `oldObject`, `request`, `params`, `namespaceObject` are
///   `dyn` values, `authorizer` is a [`Value::authorizer`] over the caller's [`Authorizer`](crate::Authorizer), `variables` is
///   a [`Fields`](crate::Fields) whose fields are evaluated when they are asked for.
/// * Costs are upstream's: [`PER_CALL_LIMIT`] for one evaluation, a [`Budget`] for those that share one.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, Type>,
    schemas: BTreeMap<String, Arc<Schema>>,
    macros: MacroSet,
    structs: Structs,
}

impl Environment {
    /// The libraries, and no variable.
    pub fn new() -> Environment {
        Environment::default()
    }

    /// Declares a variable.
    pub fn variable(mut self, name: &str, type_: Type) -> Environment {
        self.variables.insert(name.to_owned(), type_);
        self
    }

    /// Declares a variable whose values have a schema, which also says how large they may be.
    pub fn schema_variable(mut self, name: &str, schema: &Arc<Schema>) -> Environment {
        self.schemas.insert(name.to_owned(), schema.clone());
        self.variable(name, schema.value_type())
    }

    /// Adds `cel.bind(name, value, expression)`, which only the expressions of device classes have.
    pub fn with_bindings(mut self) -> Environment {
        self.macros.bind = true;
        self
    }

    /// Adds the objects that mutations make: `Object{…}` and `JSONPatch{…}`.
    pub fn with_mutation(mut self) -> Environment {
        self.structs = Structs::Mutation;
        self
    }

    /// Compiles an expression.
    ///
    /// # Errors
    /// If the text is no expression, or its types do not fit. The error reads as upstream's compiler
    /// prints it.
    pub fn compile(&self, text: &str) -> Result<Program, CompileError> {
        let refused = |issues| CompileError { source_text: text.to_owned(), issues };
        let Parsed { expr, count, depth } = syntax::parse(text, self.macros)?;
        let checked = deep::run(depth, || {
            let checked = check::check(&expr, count, &self.variables, self.structs)?;
            let estimate = estimate::estimate(&expr, &checked, &self.schemas);
            Ok((checked, estimate))
        });
        let no_thread = || vec![Issue { at: 0, message: deep::NO_THREAD.into() }];
        let (checked, estimate) = checked.unwrap_or_else(|| Err(no_thread())).map_err(refused)?;
        Ok(Program { expr, depth, checked, estimate, regexes: Regexes::default() })
    }
}

/// A compiled expression. It may run in any number of threads at once.
pub struct Program {
    expr: Expr,
    depth: usize,
    checked: Checked,
    estimate: (u64, u64),
    regexes: Regexes,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("result", self.result_type()).finish_non_exhaustive()
    }
}

impl Program {
    /// The type of the value.
    pub fn result_type(&self) -> &Type {
        &self.checked.types[self.expr.id]
    }

    /// The most that an evaluation may cost, by the sizes that the schemas of the variables allow.
    /// `u64::MAX` if nothing limits it.
    pub fn cost_max(&self) -> u64 {
        self.estimate.1
    }

    /// Whether the expression mentions a variable.
    pub fn uses(&self, variable: &str) -> bool {
        estimate::mentions(&self.expr, variable)
    }

    /// Evaluates the expression. What it costs is taken from the budget, in any case.
    ///
    /// # Errors
    /// [`Error::CostLimit`] if this evaluation costs more than [`PER_CALL_LIMIT`],
    /// [`Error::OutOfBudget`] if it costs more than the budget has left, and whatever the expression's
    /// own operations refuse.
    pub fn evaluate(&self, activation: &Activation, budget: &mut Budget) -> Result<Value, Error> {
        let evaluator = Evaluator::new(&self.checked, activation, &self.regexes, PER_CALL_LIMIT);
        let ran = deep::run(self.depth, || evaluator.run(&self.expr));
        let (outcome, cost) = ran.ok_or_else(|| Error::other(deep::NO_THREAD))?;
        budget.take(cost)?;
        outcome
    }
}

/// The values of the variables for one evaluation or several.
#[derive(Clone, Debug, Default)]
pub struct Activation {
    pub(crate) variables: BTreeMap<String, Value>,
}

impl Activation {
    /// No variable.
    pub fn new() -> Activation {
        Activation::default()
    }

    /// With a variable.
    pub fn with(mut self, name: &str, value: Value) -> Activation {
        self.variables.insert(name.to_owned(), value);
        self
    }
}

/// What evaluations may still cost together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    left: u64,
}

impl Budget {
    /// A budget.
    pub fn new(limit: u64) -> Budget {
        Budget { left: limit }
    }

    /// What is left of it.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Takes a cost out.
    ///
    /// # Errors
    /// [`Error::OutOfBudget`] if that is more than was left; nothing is left then.
    pub fn take(&mut self, cost: u64) -> Result<(), Error> {
        let enough = cost <= self.left;
        self.left = self.left.saturating_sub(cost);
        if enough { Ok(()) } else { Err(Error::OutOfBudget) }
    }
}

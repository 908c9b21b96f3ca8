//! Expressions and what becomes of them: their value, their error, or why they do not compile.

mod authorizer;
mod costs;
mod language;
mod libraries;
mod odd_input;
mod schemas;

use kd_cel::{Activation, Budget, Environment, RUNTIME_BUDGET, Type, Value};
use serde_json::json;

fn environment() -> Environment {
    Environment::new().variable("d", Type::Dyn).with_bindings()
}

fn evaluate(expression: &str) -> Result<Value, String> {
    let program = environment().compile(expression).map_err(|error| error.to_string())?;
    let data = json!({"a": {"b": [1, 2, 3]}, "n": null, "s": "text", "f": 1.5, "x-y": 1});
    let activation = Activation::new().with("d", Value::from_json(&data));
    let mut budget = Budget::new(RUNTIME_BUDGET);
    program.evaluate(&activation, &mut budget).map_err(|error| error.to_string())
}

/// Every expression is true.
fn hold(expressions: &[&str]) {
    for expression in expressions {
        let value = evaluate(expression);
        let held = matches!(value, Ok(Value::Bool(true)));
        assert!(held, "{expression}: {value:?}");
    }
}

/// Every expression fails, when it is compiled or when it runs, and says this.
fn fail(cases: &[(&str, &str)]) {
    for (expression, expect) in cases {
        match evaluate(expression) {
            Ok(value) => panic!("{expression}: {value:?}"),
            Err(error) => assert!(error.contains(expect), "{expression}: {error}"),
        }
    }
}

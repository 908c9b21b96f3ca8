//! What expressions cost: estimated by schemas, and actually.

use std::sync::Arc;

use kd_cel::{Activation, Budget, Environment, Error, RUNTIME_BUDGET, Schema, Type, Value};
use serde_json::json;

fn actual(expression: &str) -> u64 {
    let environment = Environment::new().variable("x", Type::Dyn);
    let program = environment.compile(expression).expect(expression);
    let data = Value::from_json(&json!({"a": {"b": "0123456789"}, "l": [1, 2, 3]}));
    let mut budget = Budget::new(RUNTIME_BUDGET);
    program.evaluate(&Activation::new().with("x", data), &mut budget).expect(expression);
    RUNTIME_BUDGET - budget.left()
}

#[test]
fn evaluations_are_counted() {
    let check = |expression: &str, expect: u64| {
        assert_eq!(actual(expression), expect, "{expression}");
    };
    check("true", 0);
    check("x", 1);
    check("x.a.b", 3);
    check("has(x.a)", 1);
    check("1 + 1 == 2", 2);
    check("[1, 2]", 10);
    check("{'a': 1}", 30);
    check("x.a.b.startsWith('0')", 4);
    check("x.a.b.contains('01234567890123456789')", 5);
    check("x.a.b.matches('[0-9]+')", 3 + 2 * 2);
    check("[1, 2, 3].all(e, e > 0)", 10 + 3 * (2 + 1 + 2) + 1);
    check("true || x.a.b == 'c'", 0);
    check("true ? 1 : x.l.size()", 0);
    check("lists.range(5)", 16);
    check("sets.contains([1], [1])", 22);
}

#[test]
fn schemas_limit_estimates() {
    let check = |property: serde_json::Value, rule: &str, expect: u64| {
        let schema = json!({"type": "object", "properties": {"v": property}});
        let schema = Arc::new(Schema::new(&schema, false).expect("a typed schema"));
        let environment = Environment::new().schema_variable("self", &schema);
        let program = environment.compile(rule).expect(rule);
        assert_eq!(program.cost_max(), expect, "{rule}");
    };
    let integer = json!({"type": "integer"});
    check(integer.clone(), "self.v > 5", 3);
    check(integer.clone(), "true", 0);
    let text = json!({"type": "string", "maxLength": 10});
    check(text.clone(), "self.v == 'abc'", 3);
    check(text.clone(), "self.v.matches('[a-z]')", 2 + 5 * 2);
    let list = json!({"type": "array", "maxItems": 10, "items": text});
    // Each turn: the condition (2), the accumulator, the variable, startsWith; then the result.
    check(list, "self.v.all(x, x.startsWith('a'))", 2 + 10 * (2 + 1 + 1 + 1) + 1);
    // Keys have no size, as upstream has it.
    let map =
        json!({"type": "object", "maxProperties": 16, "additionalProperties": {"type": "string"}});
    check(map, "self.v.all(k, k.matches('[a-z]'))", 2 + 16 * (2 + 1 + 1 + 2) + 1);
    let free = json!({"type": "array", "items": {"type": "integer"}});
    check(free, "self.v.all(x, x > 0)", 3 + (3 * 1024 * 1024 - 2) / 2 * 5);
}

#[test]
fn budgets_run_out() {
    let environment = Environment::new();
    let run = |expression: &str, budget: &mut Budget| {
        let program = environment.compile(expression).expect(expression);
        program.evaluate(&Activation::new(), budget).map(|_| ())
    };
    let mut budget = Budget::new(25);
    assert_eq!(run("[1] == [1]", &mut budget), Ok(()));
    assert_eq!(run("[1] == [1]", &mut budget), Err(Error::OutOfBudget));
    assert_eq!(budget.left(), 0);
    let mut budget = Budget::new(RUNTIME_BUDGET);
    let deep = "lists.range(1000).all(a, lists.range(1000).all(b, a + b >= 0))";
    assert_eq!(run(deep, &mut budget), Err(Error::CostLimit));
    // No term makes up for a limit.
    assert_eq!(run(&format!("{deep} || true"), &mut budget), Err(Error::CostLimit));
}

//! The macros: what looks like a call and becomes a loop.

use super::grammar::Parser;
use crate::ast::{ACCUMULATOR, Comprehension, Expr, Kind, operator};
use crate::error::Issue;
use crate::value::Value;

/// Which macros beyond the usual ones an environment has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MacroSet {
    /// `cel.bind(name, value, expression)`.
    pub bind: bool,
}

/// What became of a call.
pub(super) enum Expansion {
    Done(Box<Expr>),
    /// It is no macro; here are its parts again.
    No(Option<Expr>, Vec<Expr>),
}

/// The name of the loop variable that nobody reads.
const UNUSED: &str = "#unused";
/// The variable in which `sortBy` keeps its list.
const SORTED: &str = "@__sortBy_input__";

/// Expands a call if a macro of this name, form and number of arguments exists.
pub(super) fn expand(
    parser: &mut Parser,
    set: MacroSet,
    at: usize,
    function: &str,
    target: Option<Expr>,
    mut args: Vec<Expr>,
) -> Result<Expansion, Issue> {
    let is_bind = matches!(&target, Some(Expr { kind: Kind::Ident(name), .. }) if name == "cel");
    let Some(target) = target else {
        return match (function, args.len()) {
            ("has", 1) => has(parser, args.remove(0)).map(done),
            _ => Ok(Expansion::No(None, args)),
        };
    };
    let mut build = Builder { parser, at };
    let expanded = match (function, args.len()) {
        ("bind", 3) if set.bind && is_bind => build.bind(args)?,
        ("all" | "exists" | "exists_one" | "existsOne" | "filter", 2) | ("map", 2 | 3) => {
            let variable = name(&args.remove(0), "argument must be a simple name")?;
            let loop_over = Loop { range: target, variable, second_variable: None };
            build.quantifier(function, loop_over, args)
        }
        ("all" | "exists" | "exists_one" | "existsOne", 3)
        | ("transformList" | "transformMap" | "transformMapEntry", 3 | 4) => {
            let rest = args.split_off(2);
            let loop_over = two_variables(target, &args)?;
            build.quantifier(function, loop_over, rest)
        }
        ("optMap" | "optFlatMap", 2) => build.optional_map(function, target, args)?,
        ("sortBy", 2) => build.sort_by(target, args)?,
        _ => return Ok(Expansion::No(Some(target), args)),
    };
    Ok(done(expanded))
}

fn done(expr: Expr) -> Expansion {
    Expansion::Done(Box::new(expr))
}

fn has(parser: &mut Parser, argument: Expr) -> Result<Expr, Issue> {
    match argument.kind {
        Kind::Select { operand, field, .. } => {
            Ok(parser.node(argument.at, Kind::Select { operand, field, test: true }))
        }
        _ => Err(Issue { at: argument.at, message: "invalid argument to has() macro".into() }),
    }
}

fn name(argument: &Expr, message: &str) -> Result<String, Issue> {
    match &argument.kind {
        Kind::Ident(name) => Ok(name.clone()),
        _ => Err(Issue { at: argument.at, message: message.to_owned() }),
    }
}

fn two_variables(range: Expr, args: &[Expr]) -> Result<Loop, Issue> {
    let variable = name(&args[0], "argument must be a simple name")?;
    let second = name(&args[1], "argument must be a simple name")?;
    if variable == second {
        let message = format!("duplicate variable name: {variable}");
        return Err(Issue { at: args[1].at, message });
    }
    Ok(Loop { range, variable, second_variable: Some(second) })
}

struct Loop {
    range: Expr,
    variable: String,
    second_variable: Option<String>,
}

struct Builder<'a> {
    parser: &'a mut Parser,
    at: usize,
}

impl Builder<'_> {
    fn node(&mut self, kind: Kind) -> Expr {
        self.parser.node(self.at, kind)
    }

    fn literal(&mut self, value: Value) -> Expr {
        self.node(Kind::Literal(value))
    }

    fn ident(&mut self, name: &str) -> Expr {
        self.node(Kind::Ident(name.to_owned()))
    }

    fn accumulator(&mut self) -> Expr {
        self.ident(ACCUMULATOR)
    }

    fn call(&mut self, function: &str, args: Vec<Expr>) -> Expr {
        self.parser.call(self.at, function, args)
    }

    fn list(&mut self, elements: Vec<Expr>) -> Expr {
        let optional = vec![false; elements.len()];
        self.node(Kind::List { elements, optional })
    }

    /// `args` are what follows the variables: the condition, the transformation, or both.
    fn quantifier(&mut self, function: &str, over: Loop, mut args: Vec<Expr>) -> Expr {
        let last = args.remove(args.len() - 1);
        let first = args.pop();
        match function {
            "all" => self.all(over, last),
            "exists" => self.exists(over, last),
            "exists_one" | "existsOne" => self.exists_one(over, last),
            "filter" => self.filter(over, last),
            "map" | "transformList" => {
                let accumulator = self.accumulator();
                let element = self.list(vec![last]);
                let step = self.call(operator::ADD, vec![accumulator, element]);
                let initial = self.list(Vec::new());
                self.collect(over, initial, step, first)
            }
            _ => self.transform_map(function, over, last, first),
        }
    }

    fn all(&mut self, over: Loop, predicate: Expr) -> Expr {
        let initial = self.literal(Value::Bool(true));
        let accumulator = self.accumulator();
        let condition = self.call(operator::NOT_STRICTLY_FALSE, vec![accumulator]);
        let accumulator = self.accumulator();
        let step = self.call(operator::AND, vec![accumulator, predicate]);
        let result = self.accumulator();
        self.comprehension(over, initial, condition, step, result)
    }

    fn exists(&mut self, over: Loop, predicate: Expr) -> Expr {
        let initial = self.literal(Value::Bool(false));
        let accumulator = self.accumulator();
        let negated = self.call(operator::NOT, vec![accumulator]);
        let condition = self.call(operator::NOT_STRICTLY_FALSE, vec![negated]);
        let accumulator = self.accumulator();
        let step = self.call(operator::OR, vec![accumulator, predicate]);
        let result = self.accumulator();
        self.comprehension(over, initial, condition, step, result)
    }

    fn exists_one(&mut self, over: Loop, predicate: Expr) -> Expr {
        let initial = self.literal(Value::Int(0));
        let condition = self.literal(Value::Bool(true));
        let accumulator = self.accumulator();
        let one = self.literal(Value::Int(1));
        let more = self.call(operator::ADD, vec![accumulator, one]);
        let same = self.accumulator();
        let step = self.call(operator::CONDITIONAL, vec![predicate, more, same]);
        let accumulator = self.accumulator();
        let one = self.literal(Value::Int(1));
        let result = self.call(operator::EQUALS, vec![accumulator, one]);
        self.comprehension(over, initial, condition, step, result)
    }

    fn filter(&mut self, over: Loop, predicate: Expr) -> Expr {
        let element = self.ident(&over.variable);
        let element = self.list(vec![element]);
        let accumulator = self.accumulator();
        let step = self.call(operator::ADD, vec![accumulator, element]);
        let initial = self.list(Vec::new());
        self.collect(over, initial, step, Some(predicate))
    }

    fn transform_map(
        &mut self,
        function: &str,
        over: Loop,
        transform: Expr,
        condition: Option<Expr>,
    ) -> Expr {
        let mut args = vec![self.accumulator()];
        if function == "transformMap" {
            args.push(self.ident(&over.variable));
        }
        args.push(transform);
        let step = self.call(operator::MAP_INSERT, args);
        let initial = self.node(Kind::Map(Vec::new()));
        self.collect(over, initial, step, condition)
    }

    /// A loop that takes the step for every element that the condition holds for.
    fn collect(&mut self, over: Loop, initial: Expr, step: Expr, condition: Option<Expr>) -> Expr {
        let step = match condition {
            None => step,
            Some(condition) => {
                let same = self.accumulator();
                self.call(operator::CONDITIONAL, vec![condition, step, same])
            }
        };
        let condition = self.literal(Value::Bool(true));
        let result = self.accumulator();
        self.comprehension(over, initial, condition, step, result)
    }

    fn comprehension(
        &mut self,
        over: Loop,
        initial: Expr,
        condition: Expr,
        step: Expr,
        result: Expr,
    ) -> Expr {
        self.node(Kind::Comprehension(Box::new(Comprehension {
            range: over.range,
            variable: over.variable,
            second_variable: over.second_variable,
            accumulator: ACCUMULATOR.to_owned(),
            initial,
            condition,
            step,
            result,
        })))
    }

    /// A loop over nothing whose accumulator is the bound variable.
    fn bind_to(&mut self, variable: String, value: Expr, result: Expr) -> Expr {
        let range = self.list(Vec::new());
        let condition = self.literal(Value::Bool(false));
        let step = self.ident(&variable);
        self.node(Kind::Comprehension(Box::new(Comprehension {
            range,
            variable: UNUSED.to_owned(),
            second_variable: None,
            accumulator: variable,
            initial: value,
            condition,
            step,
            result,
        })))
    }

    fn bind(&mut self, mut args: Vec<Expr>) -> Result<Expr, Issue> {
        let message = "cel.bind() variable names must be simple identifiers";
        let variable = name(&args.remove(0), message)?;
        let value = args.remove(0);
        let result = args.remove(0);
        Ok(self.bind_to(variable, value, result))
    }

    /// `target.hasValue() ? optional.of(bind(v, target.value(), f)) : optional.none()`, with the target
    /// evaluated once.
    fn optional_map(
        &mut self,
        function: &str,
        target: Expr,
        mut args: Vec<Expr>,
    ) -> Result<Expr, Issue> {
        let message = format!("{function}() variable name must be a simple identifier");
        let variable = name(&args.remove(0), &message)?;
        let transform = args.remove(0);
        let whole = "@opt_target";
        let operand = self.ident(whole);
        let condition = self.method("hasValue", operand);
        let operand = self.ident(whole);
        let value = self.method("value", operand);
        let mut some = self.bind_to(variable, value, transform);
        if function == "optMap" {
            some = self.call("optional.of", vec![some]);
        }
        let none = self.call("optional.none", Vec::new());
        let result = self.call(operator::CONDITIONAL, vec![condition, some, none]);
        Ok(self.bind_to(whole.to_owned(), target, result))
    }

    fn method(&mut self, function: &str, target: Expr) -> Expr {
        let target = Some(Box::new(target));
        self.node(Kind::Call { function: function.to_owned(), target, args: Vec::new() })
    }

    /// `bind(list, target, list.@sortByAssociatedKeys(list.map(e, key)))`
    fn sort_by(&mut self, target: Expr, mut args: Vec<Expr>) -> Result<Expr, Issue> {
        let message = "sortBy can only be applied to a list, identifier, comprehension, call or select expression";
        if matches!(target.kind, Kind::Literal(_) | Kind::Map(_) | Kind::Struct { .. }) {
            return Err(Issue { at: target.at, message: message.to_owned() });
        }
        let variable = name(&args.remove(0), "argument must be a simple name")?;
        let range = self.ident(SORTED);
        let over = Loop { range, variable, second_variable: None };
        let keys = self.quantifier("map", over, args);
        let list = self.ident(SORTED);
        let sorted = self.node(Kind::Call {
            function: "@sortByAssociatedKeys".to_owned(),
            target: Some(Box::new(list)),
            args: vec![keys],
        });
        Ok(self.bind_to(SORTED.to_owned(), target, sorted))
    }
}

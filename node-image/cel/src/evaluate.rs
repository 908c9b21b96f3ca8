//! Evaluation: a walk over the nodes that counts what it costs and stops when that is too much.

use std::mem;
use std::sync::Arc;

use crate::ast::{ACCUMULATOR, Comprehension, Entry, Expr, Field, Kind, operator};
use crate::check::{Checked, Reference};
use crate::environment::Activation;
use crate::error::Error;
use crate::library::{self, Context, Overload, Regexes};
use crate::structs;
use crate::types::Type;
use crate::value::{Key, List, Map, Value};

/// What making a list, a map and an object costs.
const LIST: u64 = 10;
const MAP: u64 = 30;
const STRUCT: u64 = 40;

type Outcome = Result<Value, Error>;

/// Runs an expression.
pub(crate) struct Evaluator<'a> {
    checked: &'a Checked,
    activation: &'a Activation,
    context: Context<'a>,
    /// The variables of the loops around, the innermost last. An accumulator may be an error that a
    /// later element makes up for.
    scopes: Vec<(&'a str, Outcome)>,
    cost: u64,
    limit: u64,
}

impl<'a> Evaluator<'a> {
    pub fn new(
        checked: &'a Checked,
        activation: &'a Activation,
        regexes: &'a Regexes,
        limit: u64,
    ) -> Evaluator<'a> {
        let context = Context { regexes, work: 0 };
        Evaluator { checked, activation, context, scopes: Vec::new(), cost: 0, limit }
    }

    /// The value and what it cost.
    pub fn run(mut self, expr: &'a Expr) -> (Outcome, u64) {
        let outcome = self.expr(expr).and_then(Value::valid);
        (outcome, self.cost)
    }

    fn charge(&mut self, cost: u64) -> Result<(), Error> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit { Err(Error::CostLimit) } else { Ok(()) }
    }

    fn expr(&mut self, expr: &'a Expr) -> Outcome {
        match &expr.kind {
            Kind::Literal(value) => Ok(value.clone()),
            Kind::Ident(name) => self.ident(expr, name),
            Kind::Select { operand, field, test } => self.select(expr, operand, field, *test),
            Kind::Call { function, target, args } => {
                self.call(expr, function, target.as_deref(), args)
            }
            Kind::List { elements, optional } => self.list(elements, optional),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct { name, fields } => self.object(name, fields),
            Kind::Comprehension(comprehension) => self.comprehension(comprehension),
        }
    }

    fn ident(&mut self, expr: &Expr, name: &str) -> Outcome {
        self.charge(1)?;
        if let Reference::Constant(value) = &self.checked.references[expr.id] {
            return Ok(value.clone());
        }
        if let Some((_, value)) = self.scopes.iter().rev().find(|(known, _)| *known == name) {
            return value.clone();
        }
        self.variable(name)
    }

    fn variable(&self, name: &str) -> Outcome {
        let found = self.activation.variables.get(name).cloned();
        found.ok_or_else(|| Error::other(format!("no such attribute(s): {name}")))?.valid()
    }

    fn select(&mut self, expr: &Expr, operand: &'a Expr, field: &str, test: bool) -> Outcome {
        match &self.checked.references[expr.id] {
            Reference::Constant(value) => {
                self.charge(1)?;
                return Ok(value.clone());
            }
            Reference::Variable(name) => {
                self.charge(1)?;
                return self.variable(name);
            }
            _ => {}
        }
        let operand = self.expr(operand)?;
        if test {
            return has(&operand, field).map(Value::Bool);
        }
        self.charge(1)?;
        match operand {
            Value::Optional(_) => optional_element(&operand, &Value::from(field)),
            operand => selected(&operand, field)?.ok_or_else(|| Error::NoSuchKey(field.to_owned())),
        }
    }

    fn call(
        &mut self,
        expr: &'a Expr,
        function: &str,
        target: Option<&'a Expr>,
        args: &'a [Expr],
    ) -> Outcome {
        match (function, args) {
            (operator::AND, _) => self.logical(args, false),
            (operator::OR, _) => self.logical(args, true),
            (operator::CONDITIONAL, [condition, then, otherwise]) => match self.expr(condition)? {
                Value::Bool(true) => self.expr(then),
                Value::Bool(false) => self.expr(otherwise),
                _ => Err(Error::NoSuchOverload),
            },
            (operator::NOT_STRICTLY_FALSE, [condition]) => {
                let outcome = self.expr(condition);
                self.charge(1)?;
                match outcome {
                    Err(error) if error.is_limit() => Err(error),
                    outcome => Ok(Value::Bool(!matches!(outcome, Ok(Value::Bool(false))))),
                }
            }
            (operator::OPTIONAL_SELECT | operator::OPTIONAL_INDEX, [operand, key]) => {
                let operand = self.expr(operand)?;
                let key = self.expr(key)?;
                self.charge(1)?;
                optional_element(&operand, &key)
            }
            ("or" | "orValue", [_]) if target.is_some() => self.alternative(expr, target, args),
            (operator::ADD | operator::MAP_INSERT, [accumulator, rest @ ..])
                if is_accumulator(accumulator) =>
            {
                self.accumulate(expr, rest)
            }
            _ => self.overloaded(expr, target, args),
        }
    }

    /// `&&` and `||`: one term that decides outweighs errors in the others.
    fn logical(&mut self, terms: &'a [Expr], decisive: bool) -> Outcome {
        let mut failed = None;
        for term in terms {
            match self.expr(term) {
                Ok(Value::Bool(value)) if value == decisive => return Ok(Value::Bool(decisive)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => failed = failed.or(Some(Error::NoSuchOverload)),
                Err(error) if error.is_limit() => return Err(error),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(Value::Bool(!decisive)), Err)
    }

    /// `or`, `orValue`: the second side is looked at only if the first is absent.
    fn alternative(
        &mut self,
        expr: &'a Expr,
        target: Option<&'a Expr>,
        args: &'a [Expr],
    ) -> Outcome {
        let Some(target) = target else { return self.overloaded(expr, target, args) };
        let found = self.expr(target)?;
        let is_or_value =
            matches!(&expr.kind, Kind::Call { function, .. } if function == "orValue");
        match found {
            Value::Optional(Some(value)) if is_or_value => Ok(value.as_ref().clone()),
            some @ Value::Optional(Some(_)) => Ok(some),
            Value::Optional(None) => match self.expr(&args[0])? {
                other @ Value::Optional(_) => Ok(other),
                other if is_or_value => Ok(other),
                _ => Err(Error::NoSuchOverload),
            },
            _ => Err(Error::NoSuchOverload),
        }
    }

    fn overloaded(
        &mut self,
        expr: &'a Expr,
        target: Option<&'a Expr>,
        args: &'a [Expr],
    ) -> Outcome {
        let Reference::Overloads { overloads, dotted } = &self.checked.references[expr.id] else {
            return Err(Error::NoSuchOverload);
        };
        let mut values = Vec::with_capacity(args.len() + 1);
        if let Some(target) = target.filter(|_| !dotted) {
            values.push(self.expr(target)?);
        }
        for arg in args {
            values.push(self.expr(arg)?);
        }
        if let [operand @ Value::Optional(_), key] = values.as_slice()
            && overloads.iter().any(|overload| overload.row.name == operator::INDEX)
        {
            self.charge(1)?;
            return optional_element(operand, key);
        }
        self.dispatch(overloads, &values)
    }

    /// Calls the first overload that takes the values.
    fn dispatch(&mut self, overloads: &[&'static Overload], values: &[Value]) -> Outcome {
        let takes = |overload: &&&Overload| {
            overload.args.iter().zip(values).all(|(type_, value)| is_of(value, type_))
        };
        let Some(overload) = overloads.iter().find(takes) else {
            return Err(values
                .iter()
                .find_map(|value| value.clone().valid().err())
                .unwrap_or(Error::NoSuchOverload));
        };
        // A text is not made or searched before it is paid for.
        let before = overload.row.cost.actual(values, None);
        if self.cost.saturating_add(before) > self.limit {
            return Err(Error::CostLimit);
        }
        let outcome = (overload.row.call)(&mut self.context, values);
        self.charge(overload.row.cost.actual(values, outcome.as_ref().ok()))?;
        outcome
    }

    /// An addition to the accumulator, which nobody else sees: it grows in place.
    fn accumulate(&mut self, expr: &'a Expr, rest: &'a [Expr]) -> Outcome {
        self.charge(1)?;
        let mut values = vec![Value::Null];
        for arg in rest {
            values.push(self.expr(arg)?);
        }
        let slot = self.scopes.iter_mut().rev().find(|(name, _)| *name == ACCUMULATOR);
        let Some((_, slot)) = slot else { return Err(Error::NoSuchOverload) };
        let accumulated = mem::replace(slot, Ok(Value::Null))?;
        match (accumulated, values.as_slice()) {
            (Value::List(mut list), [_, Value::List(more)]) => {
                self.charge(1)?;
                self.context.charge(more.items.len())?;
                Arc::make_mut(&mut list).items.extend(more.items.iter().cloned());
                Ok(Value::List(list))
            }
            (Value::Map(mut map), [_, key, value]) => {
                self.charge(1)?;
                self.context.charge(1)?;
                library::insert(Arc::make_mut(&mut map), key, value.clone())?;
                Ok(Value::Map(map))
            }
            (Value::Map(mut map), [_, Value::Map(more)]) => {
                self.charge(1)?;
                self.context.charge(more.entries.len())?;
                let map_mut = Arc::make_mut(&mut map);
                for (key, value) in &more.entries {
                    library::insert(map_mut, &key.value(), value.clone())?;
                }
                Ok(Value::Map(map))
            }
            (other, _) => {
                values[0] = other;
                let Reference::Overloads { overloads, .. } = &self.checked.references[expr.id]
                else {
                    return Err(Error::NoSuchOverload);
                };
                self.dispatch(overloads, &values)
            }
        }
    }

    fn list(&mut self, elements: &'a [Expr], optional: &[bool]) -> Outcome {
        let mut items = Vec::with_capacity(elements.len());
        for (element, optional) in elements.iter().zip(optional) {
            let value = self.expr(element)?;
            items.extend(present(value, *optional)?);
        }
        self.charge(LIST)?;
        Ok(Value::from(items))
    }

    fn map(&mut self, entries: &'a [Entry]) -> Outcome {
        let mut map = Map::default();
        for entry in entries {
            let key = self.expr(&entry.key)?;
            let value = self.expr(&entry.value)?;
            let key = Key::of(&key).ok_or_else(|| Error::other("unsupported key type"))?;
            if let Some(value) = present(value, entry.optional)?
                && map.entries.insert(key.clone(), value).is_some()
            {
                return Err(Error::other(format!("Failed with repeated key: {key}")));
            }
        }
        self.charge(MAP)?;
        Ok(Value::Map(map.into()))
    }

    fn object(&mut self, name: &str, fields: &'a [Field]) -> Outcome {
        let mut map = Map { type_name: Some(name.into()), ..Map::default() };
        for field in fields {
            let value = self.expr(&field.value)?;
            if let Some(value) = present(value, field.optional)? {
                map.entries.insert(Key::String(field.name.as_str().into()), value);
            }
        }
        if name == structs::JSON_PATCH {
            map.entries.retain(|_, value| !matches!(value, Value::Optional(None)));
        }
        self.charge(STRUCT)?;
        Ok(Value::Map(map.into()))
    }

    fn comprehension(&mut self, loop_: &'a Comprehension) -> Outcome {
        let range = self.expr(&loop_.range)?;
        let initial = self.expr(&loop_.initial)?;
        let outside = self.scopes.len();
        self.scopes.push((&loop_.accumulator, Ok(initial)));
        let ran = self.iterate(loop_, range, outside);
        self.scopes.truncate(outside + 1);
        let outcome = ran.and_then(|()| self.expr(&loop_.result));
        self.scopes.truncate(outside);
        outcome
    }

    fn iterate(
        &mut self,
        loop_: &'a Comprehension,
        range: Value,
        outside: usize,
    ) -> Result<(), Error> {
        let two = loop_.second_variable.is_some();
        match range {
            Value::List(list) => {
                for (index, item) in list.items.iter().enumerate() {
                    let item = item.clone().valid()?;
                    let (first, second) =
                        if two { (Value::Int(index as i64), item) } else { (item, Value::Null) };
                    if !self.turn(loop_, first, second, outside)? {
                        break;
                    }
                }
                Ok(())
            }
            Value::Map(map) => {
                for (key, value) in &map.entries {
                    let second = if two { value.clone().valid()? } else { Value::Null };
                    if !self.turn(loop_, key.value(), second, outside)? {
                        break;
                    }
                }
                Ok(())
            }
            _ => Err(Error::NoSuchOverload),
        }
    }

    /// One turn of a loop. Returns whether there is to be another.
    fn turn(
        &mut self,
        loop_: &'a Comprehension,
        first: Value,
        second: Value,
        outside: usize,
    ) -> Result<bool, Error> {
        self.scopes.push((&loop_.variable, Ok(first)));
        if let Some(name) = &loop_.second_variable {
            self.scopes.push((name, Ok(second)));
        }
        let goes_on = self.expr(&loop_.condition)?;
        if !matches!(goes_on, Value::Bool(true)) {
            self.scopes.truncate(outside + 1);
            return Ok(false);
        }
        let step = self.expr(&loop_.step);
        self.scopes.truncate(outside + 1);
        // Only `all` and `exists` can make up for an error.
        let absorbs = matches!(&loop_.step.kind,
            Kind::Call { function, .. } if function == operator::AND || function == operator::OR);
        if let Err(error) = &step
            && (!absorbs || error.is_limit())
        {
            return Err(error.clone());
        }
        self.scopes[outside].1 = step;
        Ok(true)
    }
}

fn is_accumulator(expr: &Expr) -> bool {
    matches!(&expr.kind, Kind::Ident(name) if name == ACCUMULATOR)
}

/// The value, or nothing if it is an optional that is absent and may be.
fn present(value: Value, optional: bool) -> Result<Option<Value>, Error> {
    match value {
        Value::Optional(value) if optional => Ok(value.map(|value| value.as_ref().clone())),
        _ if optional => Err(Error::NoSuchOverload),
        value => value.valid().map(Some),
    }
}

/// The field of an object or entry of a map.
fn selected(operand: &Value, field: &str) -> Result<Option<Value>, Error> {
    match operand {
        Value::Map(_) | Value::Fields(_) => library::element(operand, &Value::from(field)),
        _ => Err(Error::NoSuchOverload),
    }
}

fn has(operand: &Value, field: &str) -> Result<bool, Error> {
    match operand {
        Value::Optional(None) => Ok(false),
        Value::Optional(Some(inner)) => has(inner, field),
        Value::Map(map) => Ok(map.get(field).is_some()),
        Value::Fields(fields) => Ok(fields.field(field).is_some()),
        _ => Err(Error::NoSuchOverload),
    }
}

/// What `?.` and `[?]` yield, and every further selection from it.
fn optional_element(operand: &Value, key: &Value) -> Outcome {
    let operand = match operand {
        Value::Optional(None) => return Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => inner,
        other => other,
    };
    let found = match operand {
        Value::Null => None,
        operand => library::element(operand, key)?,
    };
    Ok(Value::Optional(found.map(Arc::new)))
}

/// Whether a value is of a type, as far as that can be seen without looking at its elements, except the
/// first: overloads of lists differ by those.
fn is_of(value: &Value, type_: &Type) -> bool {
    match (type_, value) {
        (_, Value::Invalid(_)) => false,
        (Type::Dyn | Type::Variable(_), _) => true,
        (Type::List(element), Value::List(list)) => first_is_of(list, element),
        (Type::Map(..), Value::Map(_) | Value::Fields(_)) => true,
        (Type::Optional(inner), Value::Optional(value)) => {
            value.as_ref().is_none_or(|value| is_of(value, inner))
        }
        (Type::Type(_), Value::Type(_)) => true,
        (Type::Opaque(name), Value::Opaque(opaque)) => opaque.type_name() == *name,
        (Type::Object(_), Value::Map(_)) => true,
        (
            Type::Null
            | Type::Bool
            | Type::Int
            | Type::Uint
            | Type::Double
            | Type::String
            | Type::Bytes
            | Type::Duration
            | Type::Timestamp,
            value,
        ) => value.type_of() == *type_,
        _ => false,
    }
}

fn first_is_of(list: &List, element: &Type) -> bool {
    list.items.first().is_none_or(|item| is_of(item, element))
}

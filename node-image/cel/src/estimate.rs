//! What an expression may cost at most, by the sizes that schemas allow.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::ast::{ACCUMULATOR, Comprehension, Expr, Id, Kind, operator};
use crate::check::{Checked, Reference};
use crate::cost::{Argument, Range};
use crate::schema::{Schema, Step};
use crate::types::Type;
use crate::value::Value;

const LIST: Range = Range::fixed(10);
const MAP: Range = Range::fixed(30);
const STRUCT: Range = Range::fixed(40);
const ONE: Range = Range::fixed(1);

/// The least and the most that an evaluation may cost.
pub(crate) fn estimate(
    expr: &Expr,
    checked: &Checked,
    schemas: &BTreeMap<String, Arc<Schema>>,
) -> (u64, u64) {
    let mut estimator = Estimator {
        checked,
        schemas,
        scopes: Vec::new(),
        sizes: HashMap::new(),
        elements: HashMap::new(),
        paths: HashMap::new(),
    };
    let cost = estimator.cost(expr);
    (cost.min, cost.max)
}

/// Whether the expression refers to a variable of that name.
pub(crate) fn mentions(expr: &Expr, name: &str) -> bool {
    let any = |exprs: &[Expr]| exprs.iter().any(|expr| mentions(expr, name));
    match &expr.kind {
        Kind::Literal(_) => false,
        Kind::Ident(found) => found == name,
        Kind::Select { operand, .. } => mentions(operand, name),
        Kind::Call { target, args, .. } => {
            target.as_ref().is_some_and(|target| mentions(target, name)) || any(args)
        }
        Kind::List { elements, .. } => any(elements),
        Kind::Map(entries) => {
            entries.iter().any(|entry| mentions(&entry.key, name) || mentions(&entry.value, name))
        }
        Kind::Struct { fields, .. } => fields.iter().any(|field| mentions(&field.value, name)),
        Kind::Comprehension(loop_) => {
            let parts =
                [&loop_.range, &loop_.initial, &loop_.condition, &loop_.step, &loop_.result];
            parts.iter().any(|part| mentions(part, name))
        }
    }
}

/// Where a value comes from: a variable, and the steps from there.
#[derive(Clone, Debug)]
struct Path {
    variable: String,
    steps: Vec<Step>,
}

/// The sizes of the keys or indexes, and of the elements or values.
#[derive(Clone, Copy, Debug)]
struct Elements {
    keys: Range,
    values: Range,
}

impl Elements {
    fn union(self, other: Elements) -> Elements {
        Elements { keys: self.keys.union(other.keys), values: self.values.union(other.values) }
    }
}

struct Local<'a> {
    name: &'a str,
    path: Option<Path>,
    size: Option<Range>,
    elements: Option<Elements>,
}

struct Estimator<'a> {
    checked: &'a Checked,
    schemas: &'a BTreeMap<String, Arc<Schema>>,
    scopes: Vec<Local<'a>>,
    sizes: HashMap<Id, Range>,
    elements: HashMap<Id, Elements>,
    paths: HashMap<Id, Path>,
}

impl<'a> Estimator<'a> {
    fn type_of(&self, expr: &Expr) -> &'a Type {
        &self.checked.types[expr.id]
    }

    fn local(&self, name: &str) -> Option<&Local<'a>> {
        self.scopes.iter().rev().find(|local| local.name == name)
    }

    fn cost(&mut self, expr: &'a Expr) -> Range {
        match &expr.kind {
            Kind::Literal(_) => Range::ZERO,
            Kind::Ident(name) => {
                let path = match self.local(name) {
                    Some(local) => local.path.clone(),
                    None => Some(Path { variable: name.clone(), steps: Vec::new() }),
                };
                self.set_path(expr, path);
                ONE
            }
            Kind::Select { operand, field, test } => self.select(expr, operand, field, *test),
            Kind::Call { function, target, args } => {
                self.call(expr, function, target.as_deref(), args)
            }
            Kind::List { elements, .. } => {
                let costs: Vec<Range> = elements.iter().map(|element| self.cost(element)).collect();
                let values = elements.iter().map(|element| self.size_or_unknown(element));
                let values = values.reduce(Range::union).unwrap_or(Range::ZERO);
                self.elements.insert(expr.id, Elements { keys: ONE, values });
                costs.into_iter().fold(LIST, Range::plus)
            }
            Kind::Map(entries) => {
                let mut cost = MAP;
                for entry in entries {
                    cost = cost.plus(self.cost(&entry.key)).plus(self.cost(&entry.value));
                }
                let keys = entries.iter().map(|entry| self.size_or_unknown(&entry.key));
                let keys = keys.reduce(Range::union).unwrap_or(Range::ZERO);
                let values = entries.iter().map(|entry| self.size_or_unknown(&entry.value));
                let values = values.reduce(Range::union).unwrap_or(Range::ZERO);
                self.elements.insert(expr.id, Elements { keys, values });
                cost
            }
            Kind::Struct { fields, .. } => {
                fields.iter().fold(STRUCT, |sum, field| sum.plus(self.cost(&field.value)))
            }
            Kind::Comprehension(loop_) if is_bind(loop_) => self.bind(expr, loop_),
            Kind::Comprehension(loop_) => self.comprehension(expr, loop_),
        }
    }

    fn set_path(&mut self, expr: &Expr, path: Option<Path>) {
        if let Some(path) = path {
            self.paths.insert(expr.id, path);
        }
    }

    fn path(&self, expr: &Expr, step: Step) -> Option<Path> {
        let mut path = self.paths.get(&expr.id)?.clone();
        path.steps.push(step);
        Some(path)
    }

    fn select(&mut self, expr: &Expr, operand: &'a Expr, field: &str, test: bool) -> Range {
        let cost = self.cost(operand);
        if test {
            return cost;
        }
        let path = self.path(operand, Step::Field(field.to_owned()));
        self.set_path(expr, path);
        match self.type_of(operand) {
            Type::Map(..) | Type::Object(_) | Type::Dyn => cost.plus(ONE),
            _ => cost,
        }
    }

    fn call(
        &mut self,
        expr: &'a Expr,
        function: &str,
        target: Option<&'a Expr>,
        args: &'a [Expr],
    ) -> Range {
        let Reference::Overloads { overloads, dotted } = &self.checked.references[expr.id] else {
            // An optional selection.
            return args.iter().fold(ONE, |sum, arg| sum.plus(self.cost(arg)));
        };
        let target = target.filter(|_| !dotted);
        let all: Vec<&'a Expr> = target.into_iter().chain(args).collect();
        let costs: Vec<Range> = all.iter().map(|arg| self.cost(arg)).collect();
        let sum = costs.iter().copied().fold(Range::ZERO, Range::plus);
        match (function, costs.as_slice()) {
            (operator::AND | operator::OR, [first, ..]) => {
                return Range { min: first.min, max: sum.max };
            }
            (operator::CONDITIONAL, [condition, then, otherwise]) => {
                self.conditional(expr, args);
                return condition.plus(then.union(*otherwise));
            }
            ("dyn", _) => {
                self.copy_sizes(expr, all[0]);
                return sum.plus(ONE);
            }
            _ => {}
        }
        let arguments: Vec<Argument<'_>> = all.iter().map(|arg| self.argument(arg)).collect();
        let mut cost: Option<Range> = None;
        let mut size: Option<Range> = None;
        for overload in overloads {
            let estimate = overload.row.cost.estimate(&arguments);
            cost = Some(cost.map_or(estimate.cost, |known| known.union(estimate.cost)));
            size = match (size, estimate.size) {
                (Some(a), Some(b)) => Some(a.union(b)),
                (known, found) => known.or(found),
            };
        }
        self.call_sizes(expr, function, &all, size);
        sum.plus(cost.unwrap_or(ONE))
    }

    /// What is known of a call's result.
    fn call_sizes(&mut self, expr: &Expr, function: &str, all: &[&'a Expr], size: Option<Range>) {
        match (function, all) {
            (operator::INDEX, [operand, _]) => {
                let path = self.path(operand, Step::Element);
                self.set_path(expr, path);
                if let Some(elements) = self.elements_of(operand) {
                    self.sizes.insert(expr.id, elements.values);
                }
            }
            (operator::ADD | operator::MAP_INSERT, [first, rest @ ..]) => {
                let mut elements = self.elements_of(first);
                for other in rest {
                    elements = match (elements, self.elements_of(other)) {
                        (Some(a), Some(b)) => Some(a.union(b)),
                        _ => None,
                    };
                }
                self.elements.extend(elements.map(|elements| (expr.id, elements)));
            }
            _ => {}
        }
        let size = size.or_else(|| self.size(expr));
        self.sizes.extend(size.map(|size| (expr.id, size)));
    }

    fn conditional(&mut self, expr: &Expr, args: &'a [Expr]) {
        let [_, then, otherwise] = args else { return };
        let size = self.size_or_unknown(then).union(self.size_or_unknown(otherwise));
        self.sizes.insert(expr.id, size);
        if let (Some(a), Some(b)) = (self.elements_of(then), self.elements_of(otherwise)) {
            self.elements.insert(expr.id, a.union(b));
        }
    }

    fn argument(&mut self, expr: &'a Expr) -> Argument<'a> {
        let number = match &expr.kind {
            Kind::Literal(Value::Int(number)) => Some(*number),
            _ => None,
        };
        let element = self.elements_of(expr).map(|elements| elements.values);
        let path = self.path(expr, Step::Element);
        let element = element.or_else(|| self.schema_size(path.as_ref()));
        Argument {
            size: self.size_or_unknown(expr),
            type_: self.type_of(expr),
            element: element.unwrap_or(Range::UNKNOWN),
            number,
        }
    }

    fn schema_size(&self, path: Option<&Path>) -> Option<Range> {
        let path = path?;
        self.schemas.get(&path.variable)?.at(&path.steps).map(Schema::size)
    }

    fn size_or_unknown(&mut self, expr: &Expr) -> Range {
        self.size(expr).unwrap_or(Range::UNKNOWN)
    }

    fn size(&mut self, expr: &Expr) -> Option<Range> {
        if let Some(size) = self.sizes.get(&expr.id) {
            return Some(*size);
        }
        let literal = match &expr.kind {
            Kind::Literal(value) => Some(value.size()),
            Kind::List { elements, .. } => Some(elements.len() as u64),
            Kind::Map(entries) => Some(entries.len() as u64),
            _ => None,
        };
        if let Some(size) = literal {
            return Some(Range::fixed(size));
        }
        if let Some(size) = self.schema_size(self.paths.get(&expr.id)) {
            return Some(size);
        }
        if is_scalar(self.type_of(expr)) {
            return Some(ONE);
        }
        match &expr.kind {
            Kind::Ident(name) => self.local(name)?.size,
            _ => None,
        }
    }

    fn elements_of(&self, expr: &Expr) -> Option<Elements> {
        let known = self.elements.get(&expr.id).copied();
        known.or_else(|| match &expr.kind {
            Kind::Ident(name) => self.local(name)?.elements,
            _ => None,
        })
    }

    fn copy_sizes(&mut self, to: &Expr, from: &Expr) {
        let size = self.size(from);
        self.sizes.extend(size.map(|size| (to.id, size)));
        let elements = self.elements_of(from);
        self.elements.extend(elements.map(|elements| (to.id, elements)));
    }

    fn push(&mut self, name: &'a str, expr: &'a Expr) {
        let path = self.paths.get(&expr.id).cloned();
        let (size, elements) = (self.size(expr), self.elements_of(expr));
        self.scopes.push(Local { name, path, size, elements });
    }

    /// `cel.bind` and what is made like it.
    fn bind(&mut self, expr: &Expr, loop_: &'a Comprehension) -> Range {
        let mut cost = self.cost(&loop_.range).plus(self.cost(&loop_.initial));
        self.push(&loop_.accumulator, &loop_.initial);
        cost = cost.plus(self.cost(&loop_.result));
        self.scopes.pop();
        self.copy_sizes(expr, &loop_.result);
        cost
    }

    fn comprehension(&mut self, expr: &Expr, loop_: &'a Comprehension) -> Range {
        let outside = self.scopes.len();
        let before = self.cost(&loop_.range).plus(self.cost(&loop_.initial));
        self.push(&loop_.accumulator, &loop_.initial);
        self.push_variables(loop_);
        let turn = self.cost(&loop_.condition).plus(self.cost(&loop_.step));
        self.scopes.truncate(outside + 1);
        let result = self.cost(&loop_.result);
        self.scopes.truncate(outside);
        let turns = self.size_or_unknown(&loop_.range);
        match &loop_.initial.kind {
            Kind::Literal(_) => {
                let size = self.size(&loop_.initial);
                self.sizes.extend(size.map(|size| (expr.id, size)));
            }
            Kind::List { .. } | Kind::Map(_) => {
                self.sizes.insert(expr.id, turns);
                let elements = self.elements_of(&loop_.step);
                self.elements.extend(elements.map(|elements| (expr.id, elements)));
            }
            _ => {}
        }
        before.plus(result).plus(turns.times(turn))
    }

    fn push_variables(&mut self, loop_: &'a Comprehension) {
        let elements = self.elements_of(&loop_.range);
        let is_list = matches!(self.type_of(&loop_.range), Type::List(_));
        let two = loop_.second_variable.is_some();
        let keys = elements.map(|elements| elements.keys);
        let values = elements.map(|elements| elements.values);
        let first_is_element = is_list && !two;
        let first = if first_is_element { Step::Element } else { Step::Key };
        let path = self.path(&loop_.range, first);
        let size = if first_is_element { values } else { keys };
        self.scopes.push(Local { name: &loop_.variable, path, size, elements: None });
        if let Some(name) = &loop_.second_variable {
            let path = self.path(&loop_.range, Step::Element);
            self.scopes.push(Local { name, path, size: values, elements: None });
        }
    }
}

fn is_bind(loop_: &Comprehension) -> bool {
    let empty = matches!(&loop_.range.kind, Kind::List { elements, .. } if elements.is_empty());
    let never = matches!(&loop_.condition.kind, Kind::Literal(Value::Bool(false)));
    empty && never && loop_.accumulator != ACCUMULATOR
}

fn is_scalar(type_: &Type) -> bool {
    match type_ {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => {
            true
        }
        Type::Optional(inner) => is_scalar(inner),
        _ => false,
    }
}

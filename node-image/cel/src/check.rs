//! The type check: what every name refers to, which overloads a call may mean, and the type of every
//! node. Goes through the whole text and reports everything it finds.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ast::{Comprehension, Entry, Expr, Field, Kind, operator};
use crate::error::Issue;
use crate::library::{self, Overload};
use crate::structs::{self, Structs};
use crate::types::{self, Type};
use crate::unify::{Bindings, bounded, most_general};
use crate::validators;
use crate::value::Value;

/// The most issues that are reported.
const ISSUES_MAX: usize = 100;

/// What a node refers to.
#[derive(Clone, Default)]
pub(crate) enum Reference {
    /// Nothing, or a variable by its name.
    #[default]
    Plain,
    /// A variable whose name has dots.
    Variable(String),
    /// A value that is known now, such as a type.
    Constant(Value),
    /// The overloads that a call may mean. A call of a function with a dotted name has no receiver,
    /// whatever it looks like.
    Overloads { overloads: Vec<&'static Overload>, dotted: bool },
}

/// What the check finds out, by the numbers of the nodes.
pub(crate) struct Checked {
    pub types: Vec<Type>,
    pub references: Vec<Reference>,
}

/// Checks an expression with so many nodes.
pub(crate) fn check(
    expr: &Expr,
    count: usize,
    variables: &BTreeMap<String, Type>,
    structs: Structs,
) -> Result<Checked, Vec<Issue>> {
    let mut checker = Checker {
        variables,
        structs,
        scopes: Vec::new(),
        bindings: Bindings::default(),
        types: vec![Type::Error; count],
        references: vec![Reference::Plain; count],
        issues: Vec::new(),
    };
    checker.expr(expr);
    if !checker.issues.is_empty() {
        checker.issues.sort_by_key(|issue| issue.at);
        checker.issues.truncate(ISSUES_MAX);
        return Err(checker.issues);
    }
    let types = checker.types.iter().map(|type_| checker.bindings.resolve(type_, true)).collect();
    Ok(Checked { types, references: checker.references })
}

struct Checker<'a> {
    variables: &'a BTreeMap<String, Type>,
    structs: Structs,
    /// The variables of the loops around, the innermost last.
    scopes: Vec<(&'a str, Type)>,
    bindings: Bindings,
    types: Vec<Type>,
    references: Vec<Reference>,
    issues: Vec<Issue>,
}

impl<'a> Checker<'a> {
    fn issue(&mut self, at: usize, message: String) {
        self.issues.push(Issue { at, message });
    }

    fn undeclared(&mut self, at: usize, name: &str) {
        self.issue(at, format!("undeclared reference to '{name}' (in container '')"));
    }

    fn mismatch(&mut self, at: usize, expected: &Type, found: &Type) {
        let expected = self.bindings.resolve(expected, true);
        let found = self.bindings.resolve(found, true);
        self.issue(at, format!("expected type '{expected}' but found '{found}'"));
    }

    fn expr(&mut self, expr: &'a Expr) -> Type {
        let type_ = match &expr.kind {
            Kind::Literal(value) => value.type_of(),
            Kind::Ident(name) => self.ident(expr, name),
            Kind::Select { operand, field, test } => self.select(expr, operand, field, *test),
            Kind::Call { function, target, args } => {
                self.call(expr, function, target.as_deref(), args)
            }
            Kind::List { elements, optional } => self.list(elements, optional),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct { name, fields } => self.object(expr, name, fields),
            Kind::Comprehension(comprehension) => self.comprehension(comprehension),
        };
        let type_ = bounded(type_);
        self.types[expr.id] = type_.clone();
        type_
    }

    fn local(&self, name: &str) -> Option<Type> {
        self.scopes.iter().rev().find(|(known, _)| *known == name).map(|(_, type_)| type_.clone())
    }

    fn ident(&mut self, expr: &Expr, name: &str) -> Type {
        let variable = self.local(name).or_else(|| self.variables.get(name).cloned());
        if let Some(type_) = variable {
            return type_;
        }
        match self.type_name(name) {
            Some(type_) => self.constant(expr, type_),
            None => {
                self.undeclared(expr.at, name);
                Type::Error
            }
        }
    }

    fn type_name(&self, name: &str) -> Option<Type> {
        types::denoted(name).or_else(|| structs::named(self.structs, name))
    }

    fn constant(&mut self, expr: &Expr, type_: Type) -> Type {
        self.references[expr.id] = Reference::Constant(Value::Type(type_.clone()));
        Type::type_of(type_)
    }

    fn select(&mut self, expr: &Expr, operand: &'a Expr, field: &str, test: bool) -> Type {
        if !test && let Some(name) = self.dotted_name(operand, field) {
            if let Some(type_) = self.variables.get(&name).cloned() {
                self.references[expr.id] = Reference::Variable(name);
                return type_;
            }
            let root = name.split('.').next().unwrap_or_default();
            if !self.variables.contains_key(root)
                && let Some(type_) = self.type_name(&name)
            {
                return self.constant(expr, type_);
            }
        }
        let type_ = self.field(expr, operand, field, false);
        if test { Type::Bool } else { type_ }
    }

    /// Names with dots between them, unless the first is a variable of a loop.
    fn dotted_name(&self, operand: &Expr, field: &str) -> Option<String> {
        let prefix = dotted(operand)?;
        let root = prefix.split('.').next().unwrap_or_default();
        self.local(root).is_none().then(|| format!("{prefix}.{field}"))
    }

    fn field(&mut self, expr: &Expr, operand: &'a Expr, field: &str, optional: bool) -> Type {
        let found = self.expr(operand);
        let found = self.bindings.resolve(&found, false);
        let (target, was_optional) = match &found {
            Type::Optional(inner) => (inner.as_ref().clone(), true),
            other => (other.clone(), false),
        };
        let result = match &target {
            Type::Map(_, value) => value.as_ref().clone(),
            Type::Object(object) => match object.fields.get(field) {
                Some(type_) => type_.clone(),
                None if object.open => Type::Dyn,
                None => {
                    self.issue(expr.at, format!("undefined field '{field}'"));
                    Type::Error
                }
            },
            Type::Variable(_) => {
                self.bindings.assign(&Type::Dyn, &target);
                Type::Dyn
            }
            Type::Dyn | Type::Error => Type::Dyn,
            _ => {
                self.issue(expr.at, format!("type '{target}' does not support field selection"));
                Type::Dyn
            }
        };
        if was_optional || optional { Type::optional(result) } else { result }
    }

    fn call(
        &mut self,
        expr: &'a Expr,
        function: &str,
        target: Option<&'a Expr>,
        args: &'a [Expr],
    ) -> Type {
        if function == operator::OPTIONAL_SELECT {
            return self.optional_select(expr, args);
        }
        let mut found: Vec<Type> = Vec::with_capacity(args.len() + 1);
        for arg in args {
            found.push(self.expr(arg));
        }
        if function == operator::AND || function == operator::OR {
            return self.logical(function, expr, args, &found);
        }
        validators::literals(function, args, &mut self.issues);
        let dotted_name = target.and_then(dotted).map(|prefix| format!("{prefix}.{function}"));
        if let Some(name) = dotted_name
            && let Some(overloads) = library::overloads(&name)
        {
            return self.resolve(expr, &name, overloads, &found, false, true);
        }
        if let Some(target) = target {
            found.insert(0, self.expr(target));
        }
        match library::overloads(function) {
            Some(overloads) => {
                self.resolve(expr, function, overloads, &found, target.is_some(), false)
            }
            None => {
                self.undeclared(expr.at, function);
                Type::Error
            }
        }
    }

    fn optional_select(&mut self, expr: &Expr, args: &'a [Expr]) -> Type {
        match args {
            [operand, Expr { kind: Kind::Literal(Value::String(field)), .. }] => {
                self.field(expr, operand, field, true)
            }
            _ => {
                self.issue(expr.at, "unsupported optional field selection".into());
                Type::Error
            }
        }
    }

    fn logical(&mut self, function: &str, expr: &Expr, args: &[Expr], found: &[Type]) -> Type {
        for (arg, type_) in args.iter().zip(found) {
            if !self.bindings.assign(type_, &Type::Bool) {
                self.mismatch(arg.at, &Type::Bool, type_);
            }
        }
        let overloads = library::overloads(function).unwrap_or_default().iter().collect();
        self.references[expr.id] = Reference::Overloads { overloads, dotted: false };
        Type::Bool
    }

    fn resolve(
        &mut self,
        expr: &Expr,
        name: &str,
        overloads: &'static [Overload],
        found: &[Type],
        member: bool,
        dotted: bool,
    ) -> Type {
        let mut chosen: Vec<&'static Overload> = Vec::new();
        let mut result: Option<Type> = None;
        for overload in overloads {
            if overload.row.member != member || overload.args.len() != found.len() {
                continue;
            }
            let mut types = overload.args.clone();
            types.push(overload.result.clone());
            let mut types = self.bindings.instantiate(&types);
            let returned = types.pop().unwrap_or_default();
            if !self.bindings.assign_all(found, &types) {
                continue;
            }
            chosen.push(overload);
            let returned = self.bindings.resolve(&returned, false);
            result = Some(match result {
                None => returned,
                Some(known) if known == Type::Dyn || known == returned => known,
                Some(_) => Type::Dyn,
            });
        }
        let Some(result) = result else {
            self.no_overload(expr, name, found, member);
            return Type::Error;
        };
        self.references[expr.id] = Reference::Overloads { overloads: chosen, dotted };
        result
    }

    fn no_overload(&mut self, expr: &Expr, name: &str, found: &[Type], member: bool) {
        let shown: Vec<String> =
            found.iter().map(|type_| self.bindings.resolve(type_, true).to_string()).collect();
        let signature = match shown.split_first() {
            Some((receiver, args)) if member => format!("{receiver}.({})", args.join(", ")),
            _ => format!("({})", shown.join(", ")),
        };
        let message = format!("found no matching overload for '{name}' applied to '{signature}'");
        self.issue(expr.at, message);
    }

    /// The type of a value whose absence means that the element is left out.
    fn unwrapped(&mut self, at: usize, found: Type, optional: bool) -> Type {
        match self.bindings.resolve(&found, false) {
            Type::Optional(inner) if optional => inner.as_ref().clone(),
            other => {
                if optional && !other.is_dynamic() {
                    self.mismatch(at, &Type::optional(other.clone()), &other);
                }
                other
            }
        }
    }

    fn join(&mut self, at: usize, known: Option<Type>, found: Type) -> Type {
        let Some(known) = known else { return found };
        if self.bindings.assign(&known, &found) {
            return most_general(&known, &found);
        }
        self.mismatch(at, &known, &found);
        Type::Error
    }

    fn list(&mut self, elements: &'a [Expr], optional: &[bool]) -> Type {
        let mut joined = None;
        for (element, optional) in elements.iter().zip(optional) {
            let found = self.expr(element);
            let found = self.unwrapped(element.at, found, *optional);
            joined = Some(self.join(element.at, joined, found));
        }
        Type::list(joined.unwrap_or_else(|| self.bindings.fresh()))
    }

    fn map(&mut self, entries: &'a [Entry]) -> Type {
        let mut keys = None;
        let mut values = None;
        for entry in entries {
            let key = self.expr(&entry.key);
            keys = Some(self.join(entry.key.at, keys, key));
            let found = self.expr(&entry.value);
            let found = self.unwrapped(entry.value.at, found, entry.optional);
            values = Some(self.join(entry.value.at, values, found));
        }
        let keys = keys.unwrap_or_else(|| self.bindings.fresh());
        Type::map(keys, values.unwrap_or_else(|| self.bindings.fresh()))
    }

    fn object(&mut self, expr: &Expr, name: &str, fields: &'a [Field]) -> Type {
        let Some(type_) = structs::named(self.structs, name) else {
            match types::denoted(name) {
                Some(type_) => {
                    self.issue(expr.at, format!("'{type_}' is not a message type"));
                }
                None => self.undeclared(expr.at, name),
            }
            return Type::Error;
        };
        let declared = match &type_ {
            Type::Object(object) => object.clone(),
            _ => Arc::default(),
        };
        for field in fields {
            let found = self.expr(&field.value);
            let found = self.unwrapped(field.value.at, found, field.optional);
            let expected = match declared.fields.get(&field.name) {
                Some(expected) => expected.clone(),
                None if declared.open => Type::Dyn,
                None => {
                    self.issue(field.at, format!("undefined field '{}'", field.name));
                    continue;
                }
            };
            if !self.bindings.assign(&expected, &found) {
                let found = self.bindings.resolve(&found, true);
                let message = format!(
                    "expected type of field '{}' is '{expected}' but provided type is '{found}'",
                    field.name
                );
                self.issue(field.at, message);
            }
        }
        type_
    }

    fn comprehension(&mut self, loop_: &'a Comprehension) -> Type {
        let range = self.expr(&loop_.range);
        let accumulated = self.expr(&loop_.initial);
        let range = self.bindings.resolve(&range, false);
        let outside = self.scopes.len();
        self.scopes.push((&loop_.accumulator, accumulated.clone()));
        let two = loop_.second_variable.is_some();
        let (first, second) = match &range {
            Type::List(element) if two => (Type::Int, element.as_ref().clone()),
            Type::List(element) => (element.as_ref().clone(), Type::Error),
            Type::Map(key, value) => (key.as_ref().clone(), value.as_ref().clone()),
            Type::Dyn | Type::Error | Type::Variable(_) => {
                self.bindings.assign(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            _ => {
                let message = format!(
                    "expression of type '{range}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.issue(loop_.range.at, message);
                (Type::Error, Type::Error)
            }
        };
        self.scopes.push((&loop_.variable, first));
        if let Some(name) = &loop_.second_variable {
            self.scopes.push((name, second));
        }
        let condition = self.expr(&loop_.condition);
        self.expect(&loop_.condition, &Type::Bool, &condition);
        let step = self.expr(&loop_.step);
        self.expect(&loop_.step, &accumulated, &step);
        self.scopes.truncate(outside + 1);
        let result = self.expr(&loop_.result);
        self.scopes.truncate(outside);
        self.bindings.resolve(&result, false)
    }

    fn expect(&mut self, expr: &Expr, expected: &Type, found: &Type) {
        if !self.bindings.assign(expected, found) {
            self.mismatch(expr.at, expected, found);
        }
    }
}

/// Names with dots between them, as text.
pub(crate) fn dotted(expr: &Expr) -> Option<String> {
    match &expr.kind {
        Kind::Ident(name) => Some(name.clone()),
        Kind::Select { operand, field, test: false } => {
            Some(format!("{}.{field}", dotted(operand)?))
        }
        _ => None,
    }
}

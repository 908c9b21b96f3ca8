//! Which types go where others are expected, and what type parameters stand for.

use std::sync::Arc;

use crate::types::Type;

/// The largest type that is kept, in nodes; a larger one becomes `dyn`.
const TYPE_SIZE_MAX: usize = 500;

/// What the type variables stand for.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    bound: Vec<Option<Type>>,
    /// What was bound before each change, newest last; for taking changes back.
    trail: Vec<(u32, Option<Type>)>,
}

impl Bindings {
    /// A type variable that stands for nothing yet.
    pub fn fresh(&mut self) -> Type {
        self.bound.push(None);
        Type::Variable(self.bound.len() as u32 - 1)
    }

    /// The types with their parameters replaced by fresh variables, the same for all of them.
    pub fn instantiate(&mut self, types: &[Type]) -> Vec<Type> {
        let base = self.bound.len() as u32;
        let most = types.iter().filter_map(largest_variable).max();
        if let Some(most) = most {
            self.bound.resize(self.bound.len() + most as usize + 1, None);
        }
        types.iter().map(|type_| shift(type_, base)).collect()
    }

    fn find(&self, variable: u32) -> Option<&Type> {
        self.bound.get(variable as usize).and_then(Option::as_ref)
    }

    fn bind(&mut self, variable: u32, to: Type) {
        if let Some(slot) = self.bound.get_mut(variable as usize) {
            self.trail.push((variable, slot.replace(to)));
        }
    }

    /// The type with everything replaced that is known; what is not becomes `dyn` if `final_`.
    pub fn resolve(&self, type_: &Type, final_: bool) -> Type {
        let inner = |type_: &Arc<Type>| Arc::new(self.resolve(type_, final_));
        match type_ {
            Type::Variable(variable) => match self.find(*variable) {
                Some(bound) => self.resolve(bound, final_),
                None if final_ => Type::Dyn,
                None => type_.clone(),
            },
            Type::List(element) => Type::List(inner(element)),
            Type::Map(key, value) => Type::Map(inner(key), inner(value)),
            Type::Optional(of) => Type::Optional(inner(of)),
            Type::Type(Some(of)) => Type::Type(Some(inner(of))),
            other => other.clone(),
        }
    }

    /// Whether every type goes where its counterpart is expected. If not, nothing is bound.
    pub fn assign_all(&mut self, found: &[Type], expected: &[Type]) -> bool {
        let mark = self.trail.len();
        let fits = found.len() == expected.len()
            && found.iter().zip(expected).all(|(found, expected)| self.try_assign(found, expected));
        if !fits {
            while self.trail.len() > mark {
                if let Some((variable, before)) = self.trail.pop() {
                    self.bound[variable as usize] = before;
                }
            }
        }
        fits
    }

    /// Whether one type goes where the other is expected.
    pub fn assign(&mut self, found: &Type, expected: &Type) -> bool {
        self.assign_all(std::slice::from_ref(found), std::slice::from_ref(expected))
    }

    fn try_assign(&mut self, found: &Type, expected: &Type) -> bool {
        if let Type::Variable(variable) = expected {
            match self.substitute(found, *variable) {
                (true, _) => return true,
                (false, true) => return false,
                (false, false) => {}
            }
        }
        if let Type::Variable(variable) = found {
            return self.substitute(expected, *variable).0;
        }
        if found.is_dynamic() || expected.is_dynamic() {
            return true;
        }
        match (found, expected) {
            (Type::Null, Type::Null) => true,
            (Type::Null, other) | (other, Type::Null) => is_nullable(other),
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => {
                self.try_assign(a, b)
            }
            (Type::Map(a, b), Type::Map(c, d)) => self.try_assign(a, c) && self.try_assign(b, d),
            (Type::Type(_), Type::Type(_)) => true,
            (a, b) => a == b,
        }
    }

    /// Whether the variable may stand for the type, and whether it already stood for something.
    fn substitute(&mut self, type_: &Type, variable: u32) -> (bool, bool) {
        if *type_ == Type::Variable(variable) {
            return (true, true);
        }
        if let Some(bound) = self.find(variable).cloned() {
            if *type_ == bound {
                return (true, true);
            }
            if !self.try_assign(type_, &bound) {
                return (false, true);
            }
            let general = most_general(type_, &bound);
            if !self.occurs(variable, &general) {
                self.bind(variable, general);
            }
            return (true, true);
        }
        if self.occurs(variable, type_) {
            return (false, false);
        }
        self.bind(variable, type_.clone());
        (true, false)
    }

    /// Whether the variable is part of the type.
    fn occurs(&self, variable: u32, within: &Type) -> bool {
        match within {
            Type::Variable(other) if *other == variable => true,
            Type::Variable(other) => {
                self.find(*other).is_some_and(|bound| self.occurs(variable, bound))
            }
            Type::List(inner) | Type::Optional(inner) | Type::Type(Some(inner)) => {
                self.occurs(variable, inner)
            }
            Type::Map(key, value) => self.occurs(variable, key) || self.occurs(variable, value),
            _ => false,
        }
    }
}

fn is_nullable(type_: &Type) -> bool {
    matches!(
        type_,
        Type::Optional(_) | Type::Opaque(_) | Type::Object(_) | Type::Duration | Type::Timestamp
    )
}

/// Whichever says less, of two types that go together.
pub(crate) fn most_general(a: &Type, b: &Type) -> Type {
    if is_less_specific(a, b) { a.clone() } else { b.clone() }
}

fn is_less_specific(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Dyn | Type::Variable(_), _) => true,
        (_, Type::Dyn | Type::Variable(_)) => false,
        (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => {
            is_less_specific(a, b)
        }
        (Type::Map(a, b), Type::Map(c, d)) => is_less_specific(a, c) && is_less_specific(b, d),
        (a, b) => a == b,
    }
}

fn largest_variable(type_: &Type) -> Option<u32> {
    match type_ {
        Type::Variable(variable) => Some(*variable),
        Type::List(inner) | Type::Optional(inner) | Type::Type(Some(inner)) => {
            largest_variable(inner)
        }
        Type::Map(key, value) => largest_variable(key).max(largest_variable(value)),
        _ => None,
    }
}

fn shift(type_: &Type, by: u32) -> Type {
    let inner = |type_: &Arc<Type>| Arc::new(shift(type_, by));
    match type_ {
        Type::Variable(variable) => Type::Variable(variable + by),
        Type::List(element) => Type::List(inner(element)),
        Type::Map(key, value) => Type::Map(inner(key), inner(value)),
        Type::Optional(of) => Type::Optional(inner(of)),
        Type::Type(Some(of)) => Type::Type(Some(inner(of))),
        other => other.clone(),
    }
}

/// The type, or `dyn` if it is too large to work with: maps of maps can double with every step.
pub(crate) fn bounded(type_: Type) -> Type {
    let mut left = TYPE_SIZE_MAX;
    if fits(&type_, &mut left) { type_ } else { Type::Dyn }
}

fn fits(type_: &Type, left: &mut usize) -> bool {
    if *left == 0 {
        return false;
    }
    *left -= 1;
    match type_ {
        Type::List(inner) | Type::Optional(inner) | Type::Type(Some(inner)) => fits(inner, left),
        Type::Map(key, value) => fits(key, left) && fits(value, left),
        _ => true,
    }
}

//! The values that expressions work on. They are shared, never changed in place, and cheap to clone.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::civil::DateTime;

use crate::error::Error;
use crate::library::Opaque;
use crate::types::Type;

/// A value.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A floating point number.
    Double(f64),
    /// Unicode text.
    String(Arc<str>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A span of time, in nanoseconds.
    Duration(i64),
    /// A point in time, as the date and time in UTC.
    Timestamp(DateTime),
    /// A list.
    List(Arc<List>),
    /// A map or an object.
    Map(Arc<Map>),
    /// A type.
    Type(Type),
    /// A value that may be absent.
    Optional(Option<Arc<Value>>),
    /// A value of a library.
    Opaque(Opaque),
    /// An object whose fields are made when they are asked for.
    Fields(Arc<dyn Fields>),
    /// Data that does not fit its schema: an error as soon as an expression touches it.
    Invalid(Arc<str>),
}

/// An object whose fields are made when they are asked for.
pub trait Fields: fmt::Debug + Send + Sync {
    /// The field of that name, `None` if there is none.
    fn field(&self, name: &str) -> Option<Result<Value, Error>>;
}

/// The elements of a list and how its schema says that they are compared and added.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// The elements.
    pub items: Vec<Value>,
    /// The schema's list type.
    pub kind: ListKind,
}

/// What `x-kubernetes-list-type` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListKind {
    /// A sequence.
    #[default]
    Atomic,
    /// Order means nothing; adding is the union.
    Set,
    /// Elements are identified by the values of these fields.
    Map(Arc<[String]>),
}

/// The entries of a map or object.
#[derive(Clone, Debug, Default)]
pub struct Map {
    /// The entries in the order of their keys.
    pub entries: BTreeMap<Key, Value>,
    /// The name of the type, if it is an object and no map.
    pub type_name: Option<Arc<str>>,
}

/// A key of a map. Numbers of both kinds that are equal are one key.
#[derive(Clone, Debug)]
pub enum Key {
    /// A boolean.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// Text.
    String(Arc<str>),
}

impl Key {
    fn number(&self) -> Option<i128> {
        match self {
            Key::Int(number) => Some(i128::from(*number)),
            Key::Uint(number) => Some(i128::from(*number)),
            _ => None,
        }
    }

    /// The key that a value is. `None` if values of its type are no keys.
    pub fn of(value: &Value) -> Option<Key> {
        match value {
            Value::Bool(key) => Some(Key::Bool(*key)),
            Value::Int(key) => Some(Key::Int(*key)),
            Value::Uint(key) => Some(Key::Uint(*key)),
            Value::String(key) => Some(Key::String(key.clone())),
            _ => None,
        }
    }

    /// The key that a look-up with this value means; whole floating point numbers are integers.
    pub fn lookup(value: &Value) -> Option<Key> {
        match value {
            Value::Double(number) => {
                let whole = number.trunc() == *number && number.abs() < 9.3e18;
                whole.then_some(Key::Int(*number as i64))
            }
            other => Key::of(other),
        }
    }

    /// The key as a value.
    pub fn value(&self) -> Value {
        match self {
            Key::Bool(key) => Value::Bool(*key),
            Key::Int(key) => Value::Int(*key),
            Key::Uint(key) => Value::Uint(*key),
            Key::String(key) => Value::String(key.clone()),
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        match (self, other) {
            (Key::String(a), Key::String(b)) => a.cmp(b),
            (Key::Bool(a), Key::Bool(b)) => a.cmp(b),
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => self.rank().cmp(&other.rank()),
            },
        }
    }
}

impl Key {
    fn rank(&self) -> u8 {
        match self {
            Key::Bool(_) => 0,
            Key::Int(_) | Key::Uint(_) => 1,
            Key::String(_) => 2,
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Bool(key) => write!(f, "{key}"),
            Key::Int(key) => write!(f, "{key}"),
            Key::Uint(key) => write!(f, "{key}"),
            Key::String(key) => f.write_str(key),
        }
    }
}

impl Map {
    /// The entry of a name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.entries.get(&Key::String(name.into()))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::String(text.into())
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Value {
        Value::List(Arc::new(List { items, kind: ListKind::Atomic }))
    }
}

impl Value {
    /// A map from entries.
    pub fn map(entries: impl IntoIterator<Item = (Key, Value)>) -> Value {
        Value::Map(Arc::new(Map { entries: entries.into_iter().collect(), type_name: None }))
    }

    /// A map from names to values.
    pub fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
        Value::map(fields.into_iter().map(|(name, value)| (Key::String(name.into()), value)))
    }

    /// An optional that has a value.
    pub fn some(value: Value) -> Value {
        Value::Optional(Some(Arc::new(value)))
    }

    /// What `type()` returns.
    pub fn type_of(&self) -> Type {
        match self {
            Value::Null => Type::Null,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Uint(_) => Type::Uint,
            Value::Double(_) => Type::Double,
            Value::String(_) => Type::String,
            Value::Bytes(_) => Type::Bytes,
            Value::Duration(_) => Type::Duration,
            Value::Timestamp(_) => Type::Timestamp,
            Value::List(_) => Type::list(Type::Dyn),
            Value::Map(_) | Value::Fields(_) => Type::map(Type::Dyn, Type::Dyn),
            Value::Type(_) => Type::Type(None),
            Value::Optional(_) => Type::optional(Type::Dyn),
            Value::Opaque(opaque) => Type::Opaque(opaque.type_name()),
            Value::Invalid(_) => Type::Error,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The truth, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The elements, if it is a list.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(list) => Some(&list.items),
            _ => None,
        }
    }

    /// The field or entry of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Map(map) => map.get(name),
            _ => None,
        }
    }

    /// The value itself, or the error that its data is.
    pub(crate) fn valid(self) -> Result<Value, Error> {
        match self {
            Value::Invalid(message) => Err(Error::Other(message.to_string())),
            valid => Ok(valid),
        }
    }

    /// How many characters, bytes, elements or entries; 1 for everything else. What costs count.
    pub(crate) fn size(&self) -> u64 {
        let size = match self {
            Value::String(text) => text.chars().count(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(list) => list.items.len(),
            Value::Map(map) => map.entries.len(),
            Value::Optional(Some(value)) => return value.size(),
            Value::Opaque(opaque) => return opaque.size(),
            _ => 1,
        };
        size as u64
    }

    /// Whether two values are equal. Numbers of different types may be, other values may not.
    pub fn equals(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Value::List(a), Value::List(b)) => a.equals(b),
            (Value::Map(a), Value::Map(b)) => a.equals(b),
            (Value::Type(a), Value::Type(b)) => a.name() == b.name(),
            (Value::Optional(a), Value::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => a.equals(b),
                (None, None) => true,
                _ => false,
            },
            (Value::Opaque(a), Value::Opaque(b)) => a.equals(b),
            _ => numbers(self, other) == Some(Ordering::Equal),
        }
    }

    /// The order of two values that have one: numbers, texts, bytes, booleans, times and durations.
    pub fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
            (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
            (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
            _ => numbers(self, other),
        }
    }
}

/// The order of two numbers of any types; `None` for anything else, and for what is no number.
fn numbers(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Double(a), b) => double_to_integer(*a, integer(b)?),
        (a, Value::Double(b)) => double_to_integer(*b, integer(a)?).map(Ordering::reverse),
        (a, b) => Some(integer(a)?.cmp(&integer(b)?)),
    }
}

fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::Uint(number) => Some(i128::from(*number)),
        _ => None,
    }
}

fn double_to_integer(double: f64, integer: i128) -> Option<Ordering> {
    match double {
        d if d.is_nan() => None,
        d if d >= 1.9e19 => Some(Ordering::Greater),
        d if d <= -1.9e19 => Some(Ordering::Less),
        d => {
            let whole = (d.trunc() as i128).cmp(&integer);
            let fraction = d.fract().partial_cmp(&0.0)?;
            Some(whole.then(fraction))
        }
    }
}

impl List {
    fn equals(&self, other: &List) -> bool {
        if self.items.len() != other.items.len() {
            return false;
        }
        match &self.kind {
            ListKind::Atomic => self.items.iter().zip(&other.items).all(|(a, b)| a.equals(b)),
            ListKind::Set => {
                let mine: Vec<Identity> = self.items.iter().map(Identity::of).collect();
                let set: std::collections::BTreeSet<&Identity> = mine.iter().collect();
                other.items.iter().all(|item| set.contains(&Identity::of(item)))
            }
            ListKind::Map(keys) => {
                let identified = |item: &Value| Identity::of_fields(item, keys);
                let mine: BTreeMap<Identity, &Value> =
                    self.items.iter().map(|item| (identified(item), item)).collect();
                let is_same = |item: &Value| {
                    mine.get(&identified(item)).is_some_and(|found| found.equals(item))
                };
                other.items.iter().all(is_same)
            }
        }
    }

    /// Both lists as one: appended, united, or merged by key.
    pub(crate) fn plus(&self, other: &List) -> List {
        let mut items = self.items.clone();
        let kind = self.kind.clone();
        let identity = |item: &Value| match &kind {
            ListKind::Map(keys) => Identity::of_fields(item, keys),
            _ => Identity::of(item),
        };
        if kind == ListKind::Atomic {
            items.extend(other.items.iter().cloned());
            return List { items, kind };
        }
        let mut places: BTreeMap<Identity, usize> =
            items.iter().enumerate().map(|(place, item)| (identity(item), place)).collect();
        for item in &other.items {
            match places.get(&identity(item)) {
                Some(place) => items[*place] = item.clone(),
                None => {
                    places.insert(identity(item), items.len());
                    items.push(item.clone());
                }
            }
        }
        List { items, kind }
    }
}

/// What makes two elements of a set or keyed list the same one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    Key(Option<Key>),
    Text(String),
    Fields(Vec<Identity>),
}

impl Identity {
    fn of(value: &Value) -> Identity {
        match (Key::lookup(value), value) {
            (Some(key), _) => Identity::Key(Some(key)),
            (None, Value::Null) => Identity::Key(None),
            (None, other) => Identity::Text(format!("{other:?}")),
        }
    }

    fn of_fields(value: &Value, keys: &[String]) -> Identity {
        let field = |key: &String| value.get(key).map_or(Identity::Key(None), Identity::of);
        Identity::Fields(keys.iter().map(field).collect())
    }
}

impl Map {
    fn equals(&self, other: &Map) -> bool {
        let same = |(key, value): (&Key, &Value)| {
            other.entries.get(key).is_some_and(|found| found.equals(value))
        };
        self.entries.len() == other.entries.len() && self.entries.iter().all(same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_types_compare() {
        use Value::{Double, Int, Uint};
        let check = |a: Value, b: Value, expect: Option<Ordering>| {
            assert_eq!(a.compare(&b), expect, "{a:?} {b:?}");
            assert_eq!(a.equals(&b), expect == Some(Ordering::Equal), "{a:?} {b:?}");
        };
        check(Int(1), Uint(1), Some(Ordering::Equal));
        check(Int(-1), Uint(u64::MAX), Some(Ordering::Less));
        check(Double(1.0), Int(1), Some(Ordering::Equal));
        check(Double(1.5), Int(1), Some(Ordering::Greater));
        check(Double(-1.5), Int(-1), Some(Ordering::Less));
        check(Uint(3), Double(2.5), Some(Ordering::Greater));
        check(Double(f64::INFINITY), Uint(u64::MAX), Some(Ordering::Greater));
        check(Double(f64::NAN), Int(0), None);
        check(Int(0), Value::from("0"), None);
    }

    #[test]
    fn lists_compare_by_their_kind() {
        let list = |items: &[&str], kind: &ListKind| List {
            items: items.iter().map(|text| Value::from(*text)).collect(),
            kind: kind.clone(),
        };
        let atomic = ListKind::Atomic;
        assert!(!list(&["a", "b"], &atomic).equals(&list(&["b", "a"], &atomic)));
        assert!(list(&["a", "b"], &ListKind::Set).equals(&list(&["b", "a"], &ListKind::Set)));
        assert_eq!(list(&["a"], &ListKind::Set).plus(&list(&["a", "b"], &atomic)).items.len(), 2);
        let entry = |key: &str, value: i64| {
            Value::object([("k", Value::from(key)), ("v", Value::Int(value))])
        };
        let keyed = ListKind::Map(Arc::from(["k".to_owned()]));
        let one = List { items: vec![entry("a", 1), entry("b", 2)], kind: keyed.clone() };
        let two = List { items: vec![entry("b", 2), entry("a", 1)], kind: keyed.clone() };
        assert!(one.equals(&two));
        let merged = one.plus(&List { items: vec![entry("a", 3), entry("c", 4)], kind: keyed });
        let expect = [entry("a", 3), entry("b", 2), entry("c", 4)];
        assert!(merged.items.iter().zip(&expect).all(|(a, b)| a.equals(b)));
    }
}

//! The types of expressions, how messages show them, and how library tables write them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A type of the language.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Type {
    /// Anything; checked when the expression runs.
    #[default]
    Dyn,
    /// The type of an expression that does not check.
    Error,
    /// `null`.
    Null,
    /// `bool`.
    Bool,
    /// A signed integer of 64 bits.
    Int,
    /// An unsigned integer of 64 bits.
    Uint,
    /// A floating point number.
    Double,
    /// Unicode text.
    String,
    /// A sequence of bytes.
    Bytes,
    /// A span of time.
    Duration,
    /// A point in time.
    Timestamp,
    /// A list of values of one type.
    List(Arc<Type>),
    /// A map from keys of one type to values of another.
    Map(Arc<Type>, Arc<Type>),
    /// The type of types.
    Type(Option<Arc<Type>>),
    /// A value that may be absent.
    Optional(Arc<Type>),
    /// A type of a library, by its name.
    Opaque(&'static str),
    /// An object with declared fields.
    Object(Arc<ObjectType>),
    /// A type parameter, or a type that inference has yet to find.
    Variable(u32),
}

/// The declared fields of an object.
#[derive(Debug, Default)]
pub struct ObjectType {
    /// What messages call it.
    pub name: String,
    /// The types of the fields, by their names as expressions write them.
    pub fields: BTreeMap<String, Type>,
    /// Whether any other field may be selected too; its type is then `dyn`.
    pub open: bool,
}

impl PartialEq for ObjectType {
    fn eq(&self, other: &ObjectType) -> bool {
        self.name == other.name
    }
}

impl Eq for ObjectType {}

impl Type {
    /// `list(element)`.
    pub fn list(element: Type) -> Type {
        Type::List(Arc::new(element))
    }

    /// `map(key, value)`.
    pub fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new(key), Arc::new(value))
    }

    /// `optional_type(inner)`.
    pub fn optional(inner: Type) -> Type {
        Type::Optional(Arc::new(inner))
    }

    /// `type(of)`.
    pub fn type_of(of: Type) -> Type {
        Type::Type(Some(Arc::new(of)))
    }

    /// An object with these fields.
    pub fn object<'a>(name: &str, fields: impl IntoIterator<Item = (&'a str, Type)>) -> Type {
        let fields = fields.into_iter().map(|(field, type_)| (field.to_owned(), type_)).collect();
        Type::Object(Arc::new(ObjectType { name: name.to_owned(), fields, open: false }))
    }

    /// The name without parameters, as `type()` returns it.
    pub fn name(&self) -> &str {
        match self {
            Type::Dyn => "dyn",
            Type::Error => "!error!",
            Type::Null => "null_type",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Duration => "google.protobuf.Duration",
            Type::Timestamp => "google.protobuf.Timestamp",
            Type::List(_) => "list",
            Type::Map(..) => "map",
            Type::Type(_) => "type",
            Type::Optional(_) => "optional_type",
            Type::Opaque(name) => name,
            Type::Object(object) => &object.name,
            Type::Variable(_) => "dyn",
        }
    }

    /// Whether checks wait until the expression runs.
    pub(crate) fn is_dynamic(&self) -> bool {
        matches!(self, Type::Dyn | Type::Error)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Null => f.write_str("null"),
            Type::Duration => f.write_str("duration"),
            Type::Timestamp => f.write_str("timestamp"),
            Type::List(element) => write!(f, "list({element})"),
            Type::Map(key, value) => write!(f, "map({key}, {value})"),
            Type::Optional(inner) => write!(f, "optional_type({inner})"),
            Type::Type(Some(of)) => write!(f, "type({of})"),
            other => f.write_str(other.name()),
        }
    }
}

/// The names of types that expressions may mention, besides those of objects.
const NAMED: &[(&str, Type)] = &[
    ("bool", Type::Bool),
    ("bytes", Type::Bytes),
    ("double", Type::Double),
    ("dyn", Type::Dyn),
    ("duration", Type::Duration),
    ("google.protobuf.Duration", Type::Duration),
    ("google.protobuf.Timestamp", Type::Timestamp),
    ("int", Type::Int),
    ("null_type", Type::Null),
    ("string", Type::String),
    ("timestamp", Type::Timestamp),
    ("type", Type::Type(None)),
    ("uint", Type::Uint),
];

/// The library types, by their full names.
pub(crate) mod opaque {
    pub const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
    pub const CIDR: &str = "net.CIDR";
    pub const DECISION: &str = "kubernetes.authorization.Decision";
    pub const FORMAT: &str = "kubernetes.NamedFormat";
    pub const GROUP_CHECK: &str = "kubernetes.authorization.GroupCheck";
    pub const IP: &str = "net.IP";
    pub const PATH_CHECK: &str = "kubernetes.authorization.PathCheck";
    pub const QUANTITY: &str = "kubernetes.Quantity";
    pub const RESOURCE_CHECK: &str = "kubernetes.authorization.ResourceCheck";
    pub const SEMVER: &str = "kubernetes.Semver";
    pub const URL: &str = "kubernetes.URL";

    pub const ALL: &[&str] = &[
        AUTHORIZER,
        CIDR,
        DECISION,
        FORMAT,
        GROUP_CHECK,
        IP,
        PATH_CHECK,
        QUANTITY,
        RESOURCE_CHECK,
        SEMVER,
        URL,
    ];
}

/// The type that an identifier denotes in an expression such as `type(x) == int`.
pub(crate) fn denoted(name: &str) -> Option<Type> {
    // These two names are functions that convert, and not types.
    let convert = ["dyn", "duration", "timestamp"].contains(&name);
    match name {
        "list" => return Some(Type::list(Type::Dyn)),
        "map" => return Some(Type::map(Type::Dyn, Type::Dyn)),
        "optional_type" => return Some(Type::optional(Type::Dyn)),
        _ if convert => return None,
        _ => {}
    }
    let library = opaque::ALL.iter().find(|known| **known == name);
    named(name).or(library.map(|name| Type::Opaque(name)))
}

fn named(name: &str) -> Option<Type> {
    NAMED.iter().find(|(known, _)| *known == name).map(|(_, type_)| type_.clone())
}

/// A type as library tables write it: `map(A, list(int))`. Single capital letters are parameters.
/// Returns the type and the rest of the text.
fn read(text: &str) -> Option<(Type, &str)> {
    let text = text.trim_start();
    let end = text.find(|c: char| !(c.is_alphanumeric() || "._".contains(c))).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let (arguments, rest) = match rest.strip_prefix('(') {
        None => (Vec::new(), rest),
        Some(inner) => read_arguments(inner)?,
    };
    let mut arguments = arguments.into_iter();
    let mut next = || arguments.next();
    let type_ = match name {
        "list" => Type::list(next()?),
        "map" => Type::map(next()?, next()?),
        "optional" => Type::optional(next()?),
        "type" => next().map_or(Type::Type(None), Type::type_of),
        _ => parameter(name).or_else(|| named(name)).or_else(|| denoted(name))?,
    };
    Some((type_, rest))
}

fn parameter(name: &str) -> Option<Type> {
    match name.as_bytes() {
        [letter @ b'A'..=b'Z'] => Some(Type::Variable(u32::from(letter - b'A'))),
        _ => None,
    }
}

fn read_arguments(mut rest: &str) -> Option<(Vec<Type>, &str)> {
    let mut arguments = Vec::new();
    loop {
        let (argument, after) = read(rest)?;
        arguments.push(argument);
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Some((arguments, rest.strip_prefix(')')?)),
        }
    }
}

/// A signature such as `string, int -> list(string)`: the arguments and the result.
pub(crate) fn signature(text: &str) -> Option<(Vec<Type>, Type)> {
    let (arguments, result) = text.split_once("->")?;
    let arguments = match arguments.trim() {
        "" => Vec::new(),
        some => {
            let closed = format!("{some})");
            let (arguments, rest) = read_arguments(&closed)?;
            rest.is_empty().then_some(arguments)?
        }
    };
    let (result, rest) = read(result)?;
    rest.trim().is_empty().then_some((arguments, result))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_read() {
        let check = |text: &str, expect: Option<(usize, &str)>| {
            let found = signature(text).map(|(arguments, result)| {
                let arguments: Vec<String> = arguments.iter().map(Type::to_string).collect();
                (arguments.len(), format!("{}>{result}", arguments.join(";")))
            });
            assert_eq!(found, expect.map(|(count, text)| (count, text.to_owned())), "{text}");
        };
        check("string -> int", Some((1, "string>int")));
        check("-> timestamp", Some((0, ">timestamp")));
        check(
            "map(string, list(int)), net.IP -> dyn",
            Some((2, "map(string, list(int));net.IP>dyn")),
        );
        check("optional(duration) -> bool", Some((1, "optional_type(duration)>bool")));
        check("string int -> bool", None);
        check("nothing -> bool", None);
        check("int", None);
    }
}

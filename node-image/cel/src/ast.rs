//! What an expression is once it is read: the macros are expanded, every node has a number and knows
//! where in the text it began.

use crate::value::Value;

/// The number of a node within its expression; side tables are indexed by it.
pub(crate) type Id = usize;

/// A node.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub id: Id,
    /// Where it began, in characters from the start of the text.
    pub at: usize,
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Literal(Value),
    Ident(String),
    Select { operand: Box<Expr>, field: String, test: bool },
    Call { function: String, target: Option<Box<Expr>>, args: Vec<Expr> },
    List { elements: Vec<Expr>, optional: Vec<bool> },
    Map(Vec<Entry>),
    Struct { name: String, fields: Vec<Field> },
    Comprehension(Box<Comprehension>),
}

/// An entry of a map literal.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: Expr,
    pub value: Expr,
    pub optional: bool,
}

/// A field of an object literal.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub at: usize,
    pub name: String,
    pub value: Expr,
    pub optional: bool,
}

/// A loop over a list or map; what the macros become.
#[derive(Clone, Debug)]
pub(crate) struct Comprehension {
    pub range: Expr,
    pub variable: String,
    pub second_variable: Option<String>,
    pub accumulator: String,
    pub initial: Expr,
    pub condition: Expr,
    pub step: Expr,
    pub result: Expr,
}

/// The names of the operators as functions.
pub(crate) mod operator {
    pub const ADD: &str = "_+_";
    pub const AND: &str = "_&&_";
    pub const CONDITIONAL: &str = "_?_:_";
    pub const DIVIDE: &str = "_/_";
    pub const EQUALS: &str = "_==_";
    pub const GREATER: &str = "_>_";
    pub const GREATER_EQUALS: &str = "_>=_";
    pub const IN: &str = "@in";
    pub const INDEX: &str = "_[_]";
    pub const LESS: &str = "_<_";
    pub const LESS_EQUALS: &str = "_<=_";
    pub const MAP_INSERT: &str = "cel.@mapInsert";
    pub const MODULO: &str = "_%_";
    pub const MULTIPLY: &str = "_*_";
    pub const NEGATE: &str = "-_";
    pub const NOT: &str = "!_";
    pub const NOT_EQUALS: &str = "_!=_";
    pub const NOT_STRICTLY_FALSE: &str = "@not_strictly_false";
    pub const OPTIONAL_INDEX: &str = "_[?_]";
    pub const OPTIONAL_SELECT: &str = "_?._";
    pub const OR: &str = "_||_";
    pub const SUBTRACT: &str = "_-_";
}

/// The variable in which the macros collect their result. No expression can spell it.
pub(crate) const ACCUMULATOR: &str = "@result";

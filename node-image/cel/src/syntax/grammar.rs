//! The grammar, by recursive descent. Chains of `&&` and `||` are one node with many arguments.

use std::mem;

use super::macros::{self, Expansion, MacroSet};
use super::token::{Token, TokenKind};
use super::{DEPTH_MAX, Parsed, literal};
use crate::ast::{Entry, Expr, Field, Kind, operator};
use crate::error::Issue;
use crate::value::Value;

/// What may begin an operand; messages list it.
const OPERAND: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

/// Words that are no names.
pub(crate) const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

const RELATIONS: &[(&str, &str)] = &[
    ("<", operator::LESS),
    ("<=", operator::LESS_EQUALS),
    (">=", operator::GREATER_EQUALS),
    (">", operator::GREATER),
    ("==", operator::EQUALS),
    ("!=", operator::NOT_EQUALS),
    ("in", operator::IN),
];
const SUMS: &[(&str, &str)] = &[("+", operator::ADD), ("-", operator::SUBTRACT)];
const PRODUCTS: &[(&str, &str)] =
    &[("*", operator::MULTIPLY), ("/", operator::DIVIDE), ("%", operator::MODULO)];

/// Operators that bind from the left, the loosest first.
const BINARY: &[&[(&str, &str)]] = &[RELATIONS, SUMS, PRODUCTS];

type Parse<T> = Result<T, Issue>;

pub(super) fn parse(tokens: Vec<Token>, macros: MacroSet) -> Parse<Parsed> {
    let mut parser = Parser { tokens, next: 0, count: 0, depth: 0, macros };
    let expr = parser.expr(0)?;
    match parser.peek() {
        TokenKind::End => Ok(Parsed { expr, count: parser.count, depth: parser.depth }),
        _ => {
            let shown = parser.token().shown();
            Err(parser.issue(format!("Syntax error: extraneous input '{shown}' expecting <EOF>")))
        }
    }
}

pub(super) struct Parser {
    tokens: Vec<Token>,
    next: usize,
    count: usize,
    /// The deepest nesting so far.
    depth: usize,
    macros: MacroSet,
}

impl Parser {
    fn token(&self) -> &Token {
        // The last token is the end, and nothing goes past it.
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn peek(&self) -> &TokenKind {
        &self.token().kind
    }

    fn at(&self) -> usize {
        self.token().at
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.peek(), TokenKind::Symbol(found) if *found == symbol)
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        self.next += usize::from(found);
        found
    }

    fn issue(&self, message: String) -> Issue {
        Issue { at: self.at(), message }
    }

    fn unexpected(&self, expecting: &str) -> Issue {
        let shown = self.token().shown();
        self.issue(format!("Syntax error: mismatched input '{shown}' expecting {expecting}"))
    }

    fn expect(&mut self, symbol: &str) -> Parse<()> {
        match self.take(symbol) {
            true => Ok(()),
            false => Err(self.unexpected(&format!("'{symbol}'"))),
        }
    }

    pub fn node(&mut self, at: usize, kind: Kind) -> Expr {
        self.count += 1;
        Expr { id: self.count - 1, at, kind }
    }

    pub fn call(&mut self, at: usize, function: &str, args: Vec<Expr>) -> Expr {
        self.node(at, Kind::Call { function: function.to_owned(), target: None, args })
    }

    fn bounded(&mut self, depth: usize) -> Parse<usize> {
        if depth >= DEPTH_MAX {
            return Err(self.issue(format!("expression recursion limit exceeded: {DEPTH_MAX}")));
        }
        self.depth = self.depth.max(depth + 1);
        Ok(depth + 1)
    }

    fn expr(&mut self, depth: usize) -> Parse<Expr> {
        let depth = self.bounded(depth)?;
        let condition = self.logical(depth, "||", operator::OR)?;
        let at = self.at();
        if !self.take("?") {
            return Ok(condition);
        }
        let then = self.logical(depth, "||", operator::OR)?;
        self.expect(":")?;
        let otherwise = self.expr(depth)?;
        Ok(self.call(at, operator::CONDITIONAL, vec![condition, then, otherwise]))
    }

    fn logical(&mut self, depth: usize, symbol: &str, function: &str) -> Parse<Expr> {
        let mut at = self.at();
        let mut terms = Vec::new();
        loop {
            terms.push(match function {
                operator::OR => self.logical(depth, "&&", operator::AND)?,
                _ => self.binary(depth, 0)?,
            });
            let here = self.at();
            if !self.take(symbol) {
                break;
            }
            at = here;
        }
        match terms.len() {
            1 => Ok(terms.remove(0)),
            _ => Ok(self.call(at, function, terms)),
        }
    }

    fn binary(&mut self, depth: usize, level: usize) -> Parse<Expr> {
        let Some(operators) = BINARY.get(level) else { return self.unary(depth) };
        let mut left = self.binary(depth, level + 1)?;
        let mut depth = depth;
        loop {
            let at = self.at();
            let found = operators.iter().find(|(symbol, _)| self.is(symbol));
            let Some((_, function)) = found else { return Ok(left) };
            depth = self.bounded(depth)?;
            self.next += 1;
            let right = self.binary(depth, level + 1)?;
            left = self.call(at, function, vec![left, right]);
        }
    }

    fn unary(&mut self, depth: usize) -> Parse<Expr> {
        let at = self.at();
        for (symbol, function) in [("!", operator::NOT), ("-", operator::NEGATE)] {
            let mut count = 0;
            // A minus right before a number belongs to the number.
            while self.is(symbol) && (symbol == "!" || !self.minus_of_number()) {
                self.next += 1;
                count += 1;
            }
            if count > 0 {
                let operand = self.member(depth)?;
                return Ok(match count % 2 {
                    0 => operand,
                    _ => self.call(at, function, vec![operand]),
                });
            }
        }
        self.member(depth)
    }

    fn minus_of_number(&self) -> bool {
        let next = self.tokens.get(self.next + 1).map(|token| &token.kind);
        matches!(next, Some(TokenKind::Int(_) | TokenKind::Double(_)))
    }

    fn member(&mut self, depth: usize) -> Parse<Expr> {
        let mut operand = self.primary(depth)?;
        let mut depth = depth;
        loop {
            let at = self.at();
            if self.take(".") {
                depth = self.bounded(depth)?;
                operand = self.selection(operand, at, depth)?;
            } else if self.take("[") {
                depth = self.bounded(depth)?;
                let optional = self.take("?");
                let index = self.expr(depth)?;
                self.expect("]")?;
                let function = if optional { operator::OPTIONAL_INDEX } else { operator::INDEX };
                operand = self.call(at, function, vec![operand, index]);
            } else {
                return Ok(operand);
            }
        }
    }

    /// What follows a dot: a field, an optional field, or a call.
    fn selection(&mut self, operand: Expr, at: usize, depth: usize) -> Parse<Expr> {
        let optional = self.take("?");
        let name = match self.peek() {
            TokenKind::Ident(name) => name.clone(),
            TokenKind::Escaped(_) => return Err(self.issue("unsupported syntax: '`'".into())),
            _ => return Err(self.unexpected("IDENTIFIER")),
        };
        let name_at = self.at();
        self.next += 1;
        if optional {
            let field = self.node(name_at, Kind::Literal(Value::from(name)));
            return Ok(self.call(at, operator::OPTIONAL_SELECT, vec![operand, field]));
        }
        let open = self.at();
        if self.take("(") {
            let args = self.arguments(")", depth)?;
            return self.invoke(open, name, Some(operand), args);
        }
        Ok(self.node(at, Kind::Select { operand: Box::new(operand), field: name, test: false }))
    }

    /// A call, or what the macro of that name makes of it.
    fn invoke(
        &mut self,
        at: usize,
        function: String,
        target: Option<Expr>,
        args: Vec<Expr>,
    ) -> Parse<Expr> {
        let set = self.macros;
        match macros::expand(self, set, at, &function, target, args)? {
            Expansion::Done(expr) => Ok(*expr),
            Expansion::No(target, args) => {
                Ok(self.node(at, Kind::Call { function, target: target.map(Box::new), args }))
            }
        }
    }

    fn arguments(&mut self, close: &str, depth: usize) -> Parse<Vec<Expr>> {
        let mut arguments = Vec::new();
        if self.take(close) {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expr(depth)?);
            if !self.take(",") {
                self.expect(close)?;
                return Ok(arguments);
            }
        }
    }

    fn primary(&mut self, depth: usize) -> Parse<Expr> {
        let at = self.at();
        if self.take("(") {
            let inner = self.expr(depth)?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.take("[") {
            return self.list(at, depth);
        }
        if self.take("{") {
            return self.map(at, depth);
        }
        if let Some(literal) = self.literal()? {
            return Ok(self.node(at, Kind::Literal(literal)));
        }
        let dotted = self.is(".");
        self.next += usize::from(dotted);
        let TokenKind::Ident(name) = self.peek() else { return Err(self.unexpected(OPERAND)) };
        let name = name.clone();
        if let Some(end) = self.struct_name_end() {
            return self.object(at, end, depth);
        }
        if RESERVED.contains(&name.as_str()) {
            return Err(self.issue(format!("reserved identifier: {name}")));
        }
        self.next += 1;
        let open = self.at();
        if self.take("(") {
            let args = self.arguments(")", depth)?;
            return self.invoke(open, name, None, args);
        }
        Ok(self.node(at, Kind::Ident(name)))
    }

    /// The token of the brace, if names and dots up to an open brace follow.
    fn struct_name_end(&self) -> Option<usize> {
        let mut index = self.next;
        loop {
            match (&self.tokens.get(index)?.kind, &self.tokens.get(index + 1)?.kind) {
                (TokenKind::Ident(_), TokenKind::Symbol("{")) => return Some(index + 1),
                (TokenKind::Ident(_), TokenKind::Symbol(".")) => index += 2,
                _ => return None,
            }
        }
    }

    fn object(&mut self, at: usize, brace: usize, depth: usize) -> Parse<Expr> {
        let name: String = self.tokens[self.next..brace].iter().map(Token::shown).collect();
        self.next = brace + 1;
        let mut fields = Vec::new();
        while !self.is("}") {
            let optional = self.take("?");
            let field_at = self.at();
            let TokenKind::Ident(field) = self.peek() else {
                return Err(self.unexpected("IDENTIFIER"));
            };
            let name = field.clone();
            self.next += 1;
            self.expect(":")?;
            let value = self.expr(depth)?;
            fields.push(Field { at: field_at, name, value, optional });
            if !self.take(",") {
                break;
            }
        }
        self.expect("}")?;
        Ok(self.node(at, Kind::Struct { name, fields }))
    }

    fn list(&mut self, at: usize, depth: usize) -> Parse<Expr> {
        let mut elements = Vec::new();
        let mut optional = Vec::new();
        while !self.is("]") {
            optional.push(self.take("?"));
            elements.push(self.expr(depth)?);
            if !self.take(",") {
                break;
            }
        }
        self.expect("]")?;
        Ok(self.node(at, Kind::List { elements, optional }))
    }

    fn map(&mut self, at: usize, depth: usize) -> Parse<Expr> {
        let mut entries = Vec::new();
        while !self.is("}") {
            let optional = self.take("?");
            let key = self.expr(depth)?;
            self.expect(":")?;
            let value = self.expr(depth)?;
            entries.push(Entry { key, value, optional });
            if !self.take(",") {
                break;
            }
        }
        self.expect("}")?;
        Ok(self.node(at, Kind::Map(entries)))
    }

    fn literal(&mut self) -> Parse<Option<Value>> {
        let negative = self.is("-");
        let index = self.next + usize::from(negative);
        let Some(token) = self.tokens.get_mut(index) else { return Ok(None) };
        let value = match &mut token.kind {
            TokenKind::Int(text) => {
                literal::int(text, negative).map(Value::Int).ok_or("invalid int literal")
            }
            TokenKind::Double(text) => {
                literal::double(text, negative).map(Value::Double).ok_or("invalid double literal")
            }
            _ if negative => return Ok(None),
            TokenKind::Uint(text) => {
                literal::uint(text).map(Value::Uint).ok_or("invalid uint literal")
            }
            TokenKind::Text(text) => literal::text(&mem::take(text)),
            TokenKind::Symbol("true") => Ok(Value::Bool(true)),
            TokenKind::Symbol("false") => Ok(Value::Bool(false)),
            TokenKind::Symbol("null") => Ok(Value::Null),
            _ => return Ok(None),
        };
        let value = value.map_err(|message| self.issue(message.to_owned()))?;
        self.next = index + 1;
        Ok(Some(value))
    }
}

//! Label selectors: `a=b,c!=d,e in (x,y),!f` and the object form with matchExpressions.

use std::fmt;

use serde_json::Value;

use super::SelectorError;
use crate::validation::names;
use crate::walk::Walk;

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `key in (a,b)`
    In,
    /// `key notin (a,b)`
    NotIn,
    /// `key=a`
    Equals,
    /// `key==a`
    DoubleEquals,
    /// `key!=a`
    NotEquals,
    /// `key`
    Exists,
    /// `!key`
    DoesNotExist,
    /// `key>1`
    GreaterThan,
    /// `key<1`
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// The comparison.
    pub operator: Operator,
    /// What is compared with; sorted.
    pub values: Vec<String>,
}

/// A conjunction of requirements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl Selector {
    /// Matches everything.
    pub fn everything() -> Selector {
        Selector::default()
    }

    /// Matches nothing.
    pub fn nothing() -> Selector {
        Selector { requirements: Vec::new(), nothing: true }
    }

    /// Parses the query form.
    pub fn parse(text: &str) -> Result<Selector, SelectorError> {
        let mut parser = Parser { tokens: lex(text), position: 0 };
        let mut requirements = parser.selector().map_err(SelectorError)?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Selector { requirements, nothing: false })
    }

    /// Reads a `meta/v1` LabelSelector. Null selects nothing, `{}` everything.
    pub fn from_object(selector: &Value) -> Result<Selector, SelectorError> {
        if selector.is_null() {
            return Ok(Selector::nothing());
        }
        let mut requirements = Vec::new();
        for (key, value) in selector.entries("matchLabels") {
            let value = value.as_str().unwrap_or("").to_owned();
            requirements.push(requirement(key, Operator::Equals, vec![value])?);
        }
        for expression in selector.list("matchExpressions") {
            requirements.push(expression_requirement(expression)?);
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Selector { requirements, nothing: false })
    }

    /// Reads a plain map of labels, as in `spec.selector` of a Service or ReplicationController.
    pub fn from_map(labels: &Value) -> Selector {
        let entries = labels.as_object().into_iter().flatten();
        let requirements = entries
            .map(|(key, value)| Requirement {
                key: key.clone(),
                operator: Operator::Equals,
                values: vec![value.as_str().unwrap_or("").to_owned()],
            })
            .collect();
        Selector { requirements, nothing: false }
    }

    /// Whether there is no requirement, so that every object matches.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// Whether no object can match.
    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    /// The conditions, by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether `labels`, a JSON map of strings or null, satisfies all requirements.
    pub fn matches(&self, labels: &Value) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(labels[&r.key].as_str()))
    }

    /// Whether the labels of `object` match.
    pub fn matches_object(&self, object: &Value) -> bool {
        self.is_everything() || self.matches(&object["metadata"]["labels"])
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

impl Requirement {
    /// Whether a label value (or its absence) satisfies this.
    pub fn matches(&self, value: Option<&str>) -> bool {
        let among = |value: &str| self.values.iter().any(|v| v == value);
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(among),
            Operator::NotIn | Operator::NotEquals => !value.is_some_and(among),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => self.compares(value, |have, bound| have > bound),
            Operator::LessThan => self.compares(value, |have, bound| have < bound),
        }
    }

    fn compares(&self, value: Option<&str>, rule: fn(i64, i64) -> bool) -> bool {
        let have = value.and_then(|v| v.parse().ok());
        let bound = self.values.first().and_then(|v| v.parse().ok());
        have.zip(bound).is_some_and(|(have, bound)| rule(have, bound))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values.join(",");
        match self.operator {
            Operator::In => write!(f, "{} in ({values})", self.key),
            Operator::NotIn => write!(f, "{} notin ({values})", self.key),
            Operator::Equals => write!(f, "{}={values}", self.key),
            Operator::DoubleEquals => write!(f, "{}=={values}", self.key),
            Operator::NotEquals => write!(f, "{}!={values}", self.key),
            Operator::Exists => f.write_str(&self.key),
            Operator::DoesNotExist => write!(f, "!{}", self.key),
            Operator::GreaterThan => write!(f, "{}>{values}", self.key),
            Operator::LessThan => write!(f, "{}<{values}", self.key),
        }
    }
}

fn expression_requirement(expression: &Value) -> Result<Requirement, SelectorError> {
    let operator = match expression.text("operator") {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => {
            return Err(SelectorError(format!("{other:?} is not a valid label selector operator")));
        }
    };
    let values = expression.list("values").iter().filter_map(|v| v.as_str()).map(str::to_owned);
    requirement(expression.text("key"), operator, values.collect())
}

/// Builds a requirement under upstream's rules for keys, value counts and values.
fn requirement(
    key: &str,
    operator: Operator,
    mut values: Vec<String>,
) -> Result<Requirement, SelectorError> {
    let mut problems: Vec<String> = names::qualified_name(key)
        .iter()
        .map(|m| format!("key: Invalid value: {key:?}: {m}"))
        .collect();
    let listed =
        format!("[{}]", values.iter().map(|v| format!("{v:?}")).collect::<Vec<_>>().join(","));
    let bad_values = |text: &str| format!("values: Invalid value: {listed}: {text}");
    match operator {
        Operator::In | Operator::NotIn if values.is_empty() => {
            problems.push(bad_values("for 'in', 'notin' operators, values set can't be empty"));
        }
        Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
            problems.push(bad_values("exact-match compatibility requires one single value"));
        }
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
            problems.push(bad_values("values set must be empty for exists and does not exist"));
        }
        Operator::GreaterThan | Operator::LessThan => match values.as_slice() {
            [one] if one.parse::<i64>().is_ok() => {}
            [one] => problems.push(format!(
                "values[0]: Invalid value: {one:?}: for 'Gt', 'Lt' operators, the value must be an integer"
            )),
            _ => problems
                .push(bad_values("for 'Gt', 'Lt' operators, exactly one value is required")),
        },
        _ => {}
    }
    for (index, value) in values.iter().enumerate() {
        let wrong = names::label_value(value);
        problems.extend(
            wrong.iter().map(|m| format!("values[{index}][{key}]: Invalid value: {value:?}: {m}")),
        );
    }
    values.sort();
    match problems.len() {
        0 => Ok(Requirement { key: key.to_owned(), operator, values }),
        1 => Err(SelectorError(problems.remove(0))),
        _ => Err(SelectorError(format!("[{}]", problems.join(", ")))),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Bang,
    Comma,
    Open,
    Close,
    Equals,
    DoubleEquals,
    NotEquals,
    Greater,
    Less,
    End,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Token::Word(word) => word,
            Token::Bang => "!",
            Token::Comma => ",",
            Token::Open => "(",
            Token::Close => ")",
            Token::Equals => "=",
            Token::DoubleEquals => "==",
            Token::NotEquals => "!=",
            Token::Greater => ">",
            Token::Less => "<",
            Token::End => "",
        }
    }
}

/// Cuts the query form into tokens, the end of the string included.
fn lex(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first.is_ascii_whitespace() {
            rest = &rest[1..];
            continue;
        }
        let token = symbol(rest);
        let length = match &token {
            Some(token) => token.text().len(),
            None => rest.find(is_special).unwrap_or(rest.len()),
        };
        tokens.push(token.unwrap_or_else(|| Token::Word(rest[..length].to_owned())));
        rest = &rest[length..];
    }
    tokens.push(Token::End);
    tokens
}

fn is_special(c: char) -> bool {
    c.is_ascii_whitespace() || "=!(),><".contains(c)
}

fn symbol(text: &str) -> Option<Token> {
    let two = [("==", Token::DoubleEquals), ("!=", Token::NotEquals)];
    if let Some((_, token)) = two.into_iter().find(|(s, _)| text.starts_with(s)) {
        return Some(token);
    }
    match text.as_bytes().first()? {
        b'!' => Some(Token::Bang),
        b',' => Some(Token::Comma),
        b'(' => Some(Token::Open),
        b')' => Some(Token::Close),
        b'=' => Some(Token::Equals),
        b'>' => Some(Token::Greater),
        b'<' => Some(Token::Less),
        _ => None,
    }
}

struct Parser {
    tokens: Vec<Token>,
    position: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.position).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.position += 1;
        token
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        if *self.peek() == Token::End {
            return Ok(requirements);
        }
        loop {
            match self.peek() {
                Token::Word(_) | Token::Bang => {
                    let parsed = self.requirement();
                    requirements
                        .push(parsed.map_err(|e| format!("unable to parse requirement: {e}"))?);
                }
                other => {
                    let found = other.text();
                    return Err(format!(
                        "found '{found}', expected: !, identifier, or 'end of string'"
                    ));
                }
            }
            match self.next() {
                Token::End => return Ok(requirements),
                Token::Comma if matches!(self.peek(), Token::Word(_) | Token::Bang) => {}
                Token::Comma => {
                    let found = self.peek().text();
                    return Err(format!("found '{found}', expected: identifier after ','"));
                }
                other => {
                    let found = other.text();
                    return Err(format!("found '{found}', expected: ',' or 'end of string'"));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let negated = *self.peek() == Token::Bang;
        if negated {
            self.next();
        }
        let key = match self.next() {
            Token::Word(key) => key,
            other => return Err(format!("found '{}', expected: identifier", other.text())),
        };
        if negated {
            return checked(requirement(&key, Operator::DoesNotExist, Vec::new()));
        }
        if matches!(self.peek(), Token::End | Token::Comma) {
            return checked(requirement(&key, Operator::Exists, Vec::new()));
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        checked(requirement(&key, operator, values))
    }

    fn operator(&mut self) -> Result<Operator, String> {
        match self.next() {
            Token::Equals => Ok(Operator::Equals),
            Token::DoubleEquals => Ok(Operator::DoubleEquals),
            Token::NotEquals => Ok(Operator::NotEquals),
            Token::Greater => Ok(Operator::GreaterThan),
            Token::Less => Ok(Operator::LessThan),
            Token::Word(word) if word == "in" => Ok(Operator::In),
            Token::Word(word) if word == "notin" => Ok(Operator::NotIn),
            other => {
                Err(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", other.text()))
            }
        }
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        match self.next() {
            Token::Open => {}
            other => return Err(format!("found '{}' expected: '('", other.text())),
        }
        let mut values = Vec::new();
        let mut empty_slot = true;
        loop {
            match self.next() {
                Token::Word(word) if empty_slot => {
                    values.push(word);
                    empty_slot = false;
                }
                Token::Comma => {
                    if empty_slot {
                        values.push(String::new());
                    }
                    empty_slot = true;
                }
                Token::Close => {
                    if empty_slot {
                        values.push(String::new());
                    }
                    values.sort();
                    values.dedup();
                    return Ok(values);
                }
                other => {
                    return Err(format!(
                        "found '{}', expected: ',', ')' or identifier",
                        other.text()
                    ));
                }
            }
        }
    }

    fn exact_value(&mut self) -> Result<String, String> {
        match self.peek() {
            Token::End | Token::Comma => Ok(String::new()),
            Token::Word(_) => Ok(self.next().text().to_owned()),
            other => Err(format!("found '{}', expected: identifier", other.text())),
        }
    }
}

fn checked(built: Result<Requirement, SelectorError>) -> Result<Requirement, String> {
    built.map_err(|e| e.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parses_and_prints() {
        let check = |text: &str, want: &str| {
            assert_eq!(Selector::parse(text).unwrap().to_string(), want, "{text}");
        };
        check("", "");
        check("x=a,y=b,z=c", "x=a,y=b,z=c");
        check(" b != 1 , a == 2 ", "a==2,b!=1");
        check("e in (y,x), !f, g", "e in (x,y),!f,g");
        check("x notin (a)", "x notin (a)");
        check("x>1,y<7", "x>1,y<7");
        check("x=,y", "x=,y");
        check("in in (in)", "in in (in)");
        check("x in (,a)", "x in (,a)");
    }

    #[test]
    fn refuses() {
        let check = |text: &str, want: &str| {
            let got = Selector::parse(text).unwrap_err().0;
            let got = got.strip_prefix("unable to parse requirement: ").unwrap_or(&got);
            assert!(got.starts_with(want), "{text}: {got}");
        };
        check("x=a||y=b", "values[0][x]: Invalid value: \"a||y\"");
        check("-x", "key: Invalid value: \"-x\": name part must consist of");
        check("=a", "found '=', expected: !, identifier, or 'end of string'");
        check("a,", "found '', expected: identifier after ','");
        check("a=b c", "found 'c', expected: ',' or 'end of string'");
        check("a foo b", "found 'foo', expected: in, notin, =, ==, !=, gt, lt");
        check("a in b", "found 'b' expected: '('");
        check(
            "a>b",
            "values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be an integer",
        );
        check("!!a", "found '!', expected: identifier");
    }

    #[test]
    fn matches_labels() {
        let labels = json!({"app": "web", "tier": "front", "size": "5"});
        let check = |text: &str, want: bool| {
            assert_eq!(Selector::parse(text).unwrap().matches(&labels), want, "{text}");
        };
        check("", true);
        check("app=web", true);
        check("app!=web", false);
        check("none!=web", true);
        check("app in (web,db),tier", true);
        check("app notin (web)", false);
        check("none notin (web)", true);
        check("!app", false);
        check("!none", true);
        check("size>4,size<6", true);
        check("size>5", false);
        check("app>5", false);
    }

    #[test]
    fn object_form() {
        let check = |object: Value, labels: Value, want: bool| {
            assert_eq!(Selector::from_object(&object).unwrap().matches(&labels), want, "{object}");
        };
        check(json!(null), json!({}), false);
        check(json!({}), json!({}), true);
        check(json!({"matchLabels": {"a": "b"}}), json!({"a": "b"}), true);
        check(json!({"matchLabels": {"a": "b"}}), json!(null), false);
        let expressions =
            json!({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["x"]}]});
        check(expressions, json!({"a": "b"}), true);
        let unknown = json!({"matchExpressions": [{"key": "a", "operator": "Near"}]});
        assert_eq!(
            Selector::from_object(&unknown).unwrap_err().0,
            "\"Near\" is not a valid label selector operator"
        );
    }
}

//! TOML, as far as files about registries use it: no dates, no floats.
//! (<https://toml.io/en/v1.0.0>)

use std::iter::Peekable;
use std::str::Chars;

/// A value. Tables keep the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Value {
    Text(String),
    Number(i64),
    Bool(bool),
    List(Vec<Value>),
    Table(Vec<(String, Value)>),
}

/// How deep values may be nested.
const DEPTH_MAX: usize = 32;

impl Value {
    /// The entry of a table.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The entries of a table; none of anything else.
    pub fn entries(&self) -> &[(String, Value)] {
        match self {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }
}

/// Parses a document. The error names the line.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut parser = Parser { chars: text.chars().peekable(), line: 1 };
    let line = |parser: &Parser<'_>, reason: String| format!("line {}: {reason}", parser.line);
    parser.document().map_err(|reason| line(&parser, reason))
}

struct Parser<'a> {
    chars: Peekable<Chars<'a>>,
    line: usize,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<Value, String> {
        let mut root = Value::Table(Vec::new());
        let mut at: Vec<String> = Vec::new();
        loop {
            self.skip_lines();
            match self.chars.peek() {
                None => return Ok(root),
                Some('[') => {
                    self.next();
                    if self.chars.peek() == Some(&'[') {
                        return Err("lists of tables are not read".to_owned());
                    }
                    at = self.key()?;
                    self.expect(']')?;
                    table(&mut root, &at)?;
                }
                Some(_) => {
                    let mut path = self.key()?;
                    self.expect('=')?;
                    let value = self.value(0)?;
                    let name = path.pop().unwrap_or_default();
                    let whole: Vec<String> = at.iter().chain(&path).cloned().collect();
                    insert(table(&mut root, &whole)?, name, value)?;
                }
            }
            self.end_of_line()?;
        }
    }

    fn next(&mut self) -> Option<char> {
        let next = self.chars.next();
        self.line += usize::from(next == Some('\n'));
        next
    }

    fn skip_blanks(&mut self) {
        while matches!(self.chars.peek(), Some(' ' | '\t' | '\r')) {
            self.next();
        }
    }

    /// Blanks, empty lines and comments.
    fn skip_lines(&mut self) {
        loop {
            self.skip_blanks();
            match self.chars.peek() {
                Some('\n') => drop(self.next()),
                Some('#') => {
                    while !matches!(self.chars.peek(), None | Some('\n')) {
                        self.next();
                    }
                }
                _ => return,
            }
        }
    }

    fn end_of_line(&mut self) -> Result<(), String> {
        self.skip_blanks();
        match self.chars.peek() {
            None | Some('\n' | '#') => Ok(()),
            Some(other) => Err(format!("{other:?} is not expected here")),
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        self.skip_blanks();
        match self.chars.peek() {
            Some(found) if *found == wanted => {
                self.next();
                Ok(())
            }
            Some(found) => Err(format!("{wanted:?} is expected, not {found:?}")),
            None => Err(format!("{wanted:?} is missing")),
        }
    }

    /// `a."b.c".d`
    fn key(&mut self) -> Result<Vec<String>, String> {
        let mut parts = Vec::new();
        loop {
            self.skip_blanks();
            parts.push(match self.chars.peek() {
                Some('"' | '\'') => self.string()?,
                _ => self.word()?,
            });
            self.skip_blanks();
            if self.chars.peek() != Some(&'.') {
                return Ok(parts);
            }
            self.next();
        }
    }

    fn word(&mut self) -> Result<String, String> {
        let mut word = String::new();
        while let Some(c) = self.chars.peek().filter(|c| c.is_alphanumeric() || "-_+".contains(**c))
        {
            word.push(*c);
            self.next();
        }
        match word.is_empty() {
            true => Err("a key or a value is missing".to_owned()),
            false => Ok(word),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEPTH_MAX {
            return Err("it is nested too deep".to_owned());
        }
        self.skip_blanks();
        match self.chars.peek() {
            Some('"' | '\'') => self.string().map(Value::Text),
            Some('[') => self.list(depth),
            Some('{') => self.inline_table(depth),
            _ => match self.word()?.as_str() {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                word => match word.replace('_', "").parse() {
                    Ok(number) => Ok(Value::Number(number)),
                    Err(_) => Err(format!("{word} is no value that is read here")),
                },
            },
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, String> {
        self.expect('[')?;
        let mut values = Vec::new();
        loop {
            self.skip_lines();
            if self.chars.peek() == Some(&']') {
                break;
            }
            values.push(self.value(depth + 1)?);
            self.skip_lines();
            if self.chars.peek() != Some(&',') {
                break;
            }
            self.next();
        }
        self.expect(']')?;
        Ok(Value::List(values))
    }

    fn inline_table(&mut self, depth: usize) -> Result<Value, String> {
        self.expect('{')?;
        let mut whole = Value::Table(Vec::new());
        self.skip_blanks();
        while self.chars.peek() != Some(&'}') {
            let mut path = self.key()?;
            self.expect('=')?;
            let value = self.value(depth + 1)?;
            let name = path.pop().unwrap_or_default();
            insert(table(&mut whole, &path)?, name, value)?;
            self.skip_blanks();
            if self.chars.peek() != Some(&',') {
                break;
            }
            self.next();
            self.skip_blanks();
        }
        self.expect('}')?;
        Ok(whole)
    }

    fn string(&mut self) -> Result<String, String> {
        let quote = self.next().unwrap_or('"');
        let mut text = String::new();
        loop {
            match self.next() {
                None | Some('\n') => return Err("a text is not closed".to_owned()),
                Some(c) if c == quote => break,
                Some('\\') if quote == '"' => text.push(self.escape()?),
                Some(c) => text.push(c),
            }
        }
        if text.is_empty() && self.chars.peek() == Some(&quote) {
            return Err("texts of several lines are not read".to_owned());
        }
        Ok(text)
    }

    fn escape(&mut self) -> Result<char, String> {
        let digits = match self.next() {
            Some('n') => return Ok('\n'),
            Some('t') => return Ok('\t'),
            Some('r') => return Ok('\r'),
            Some(c @ ('"' | '\\')) => return Ok(c),
            Some('u') => 4,
            Some('U') => 8,
            other => return Err(format!("\\{} is no escape", other.unwrap_or(' '))),
        };
        let code: String = (0..digits).filter_map(|_| self.next()).collect();
        let character = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
        character.ok_or_else(|| format!("\\u{code} is no character"))
    }
}

/// The table of a path, made when it is not there.
fn table<'a>(root: &'a mut Value, path: &[String]) -> Result<&'a mut Value, String> {
    let mut at = root;
    for part in path {
        let Value::Table(entries) = at else { return Err(format!("{part} is in no table")) };
        let index = entries.iter().position(|(name, _)| name == part).unwrap_or_else(|| {
            entries.push((part.clone(), Value::Table(Vec::new())));
            entries.len() - 1
        });
        at = &mut entries[index].1;
    }
    Ok(at)
}

fn insert(into: &mut Value, name: String, value: Value) -> Result<(), String> {
    match into {
        Value::Table(entries) if entries.iter().any(|(known, _)| *known == name) => {
            Err(format!("{name} is there twice"))
        }
        Value::Table(entries) => {
            entries.push((name, value));
            Ok(())
        }
        _ => Err(format!("{name} is in no table")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents() {
        let text = r#"
# a comment
server = "https://r.example" # another
[host."https://m.example:5000"]
  capabilities = [
    "pull", # with a comment
    'resolve',
  ]
  skip_verify = true
  client = [["a.pem", "b.pem"]]
[host."https://m.example:5000".header]
  x-a = "tab\tand \u00e9"
  "x b" = {c.d = 1_000, e = []}
"#;
        let parsed = parse(text).unwrap();
        assert_eq!(parsed.get("server"), Some(&Value::Text("https://r.example".into())));
        let (name, host) = &parsed.get("host").unwrap().entries()[0];
        assert_eq!(name, "https://m.example:5000");
        let list = |texts: &[&str]| {
            Value::List(texts.iter().map(|text| Value::Text((*text).to_owned())).collect())
        };
        assert_eq!(host.get("capabilities"), Some(&list(&["pull", "resolve"])));
        assert_eq!(host.get("skip_verify"), Some(&Value::Bool(true)));
        assert_eq!(host.get("client"), Some(&Value::List(vec![list(&["a.pem", "b.pem"])])));
        let header = host.get("header").unwrap();
        assert_eq!(header.get("x-a"), Some(&Value::Text("tab\tand é".into())));
        let inner = header.get("x b").unwrap().get("c").unwrap();
        assert_eq!(inner.get("d"), Some(&Value::Number(1000)));
        assert_eq!(parse("").unwrap(), Value::Table(Vec::new()));
    }

    #[test]
    fn mistakes() {
        let check = |text: &str, expect: &str| {
            let reason = parse(text).unwrap_err();
            assert!(reason.contains(expect), "{text:?}: {reason}");
        };
        check("a = 1\nb = \"x", "line 2: a text is not closed");
        check("a", "'=' is missing");
        check("a = 1 b = 2", "not expected");
        check("a = 1\na = 2", "twice");
        check("a = 1\n[a.b]\nc = 1", "in no table");
        check("[[a]]", "lists of tables");
        check("a = 2020-01-01", "no value");
        check("a = 1.5", "not expected");
        check("a = \"\"\"x\"\"\"", "several lines");
        check("a = \"\\x\"", "no escape");
        check(&format!("a = {}", "[".repeat(1000)), "too deep");
    }
}

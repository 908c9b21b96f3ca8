//! JSONPath as kubectl and printer columns write it: `.status.conditions[?(@.type=="Ready")].status`.

use std::cmp::Ordering;

use serde_json::Value;

use super::value::equal;

/// A parsed path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    /// Every field or element.
    All,
    /// Every value below, and the value itself.
    Descend,
    Index(i64),
    /// From, to, step.
    Slice(Option<i64>, Option<i64>, i64),
    /// Several of fields and indexes.
    Union(Vec<Step>),
    Filter(Filter),
}

#[derive(Clone, Debug, PartialEq)]
struct Filter {
    left: Operand,
    /// `==` and so on with the right side; without one, existence is asked.
    test: Option<(Comparison, Operand)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(JsonPath),
    Literal(Value),
}

/// Steps and nested filters of one path.
const STEPS_MAX: usize = 100;
const DEPTH_MAX: usize = 4;

/// Longer ones first.
const COMPARISONS: &[(&str, Comparison)] = &[
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

impl JsonPath {
    /// Parses a path without the braces around it. The error says what makes no sense.
    pub fn parse(text: &str) -> Result<JsonPath, String> {
        parse(text, DEPTH_MAX)
    }

    /// The first value that the path leads to.
    pub fn first<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        self.all(root).first().copied()
    }

    fn all<'v>(&self, root: &'v Value) -> Vec<&'v Value> {
        self.steps.iter().fold(vec![root], |found, step| {
            found.into_iter().flat_map(|value| step.of(value)).collect()
        })
    }
}

fn parse(text: &str, depth: usize) -> Result<JsonPath, String> {
    let mut steps = Vec::new();
    let mut rest = text.trim().trim_start_matches(['$', '@']);
    while !rest.is_empty() {
        if steps.len() >= STEPS_MAX {
            return Err("the path is too long".into());
        }
        if let Some(after) = rest.strip_prefix("..") {
            steps.push(Step::Descend);
            rest = match after.starts_with('[') {
                true => after,
                false => field(&mut steps, after),
            };
        } else if let Some(after) = rest.strip_prefix('.') {
            rest = field(&mut steps, after);
        } else if rest.starts_with('[') {
            let end = closing(rest).ok_or("unterminated array")?;
            steps.push(bracket(rest[1..end].trim(), depth)?);
            rest = &rest[end + 1..];
        } else {
            rest = field(&mut steps, rest);
        }
    }
    Ok(JsonPath { steps })
}

/// Reads a field's name, in which a backslash protects what follows; a lone dot is the value itself.
fn field<'t>(steps: &mut Vec<Step>, text: &'t str) -> &'t str {
    let mut name = String::new();
    let mut chars = text.char_indices();
    let mut end = text.len();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            '.' | '[' => {
                end = at;
                break;
            }
            other => name.push(other),
        }
    }
    match name.as_str() {
        "" => {}
        "*" => steps.push(Step::All),
        _ => steps.push(Step::Field(name)),
    }
    &text[end..]
}

/// Where the bracket at the beginning is closed; quotes protect.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn bracket(inner: &str, depth: usize) -> Result<Step, String> {
    if inner == "*" {
        return Ok(Step::All);
    }
    if let Some(filter) = inner.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        let depth = depth.checked_sub(1).ok_or("the filters are nested too deep")?;
        return filter_of(filter, depth).map(Step::Filter);
    }
    if let Some(name) = quoted(inner) {
        return Ok(Step::Field(name));
    }
    if inner.contains(',') {
        let parts: Result<Vec<Step>, String> =
            inner.split(',').map(|part| bracket(part.trim(), depth)).collect();
        return parts.map(Step::Union);
    }
    let number = |text: &str| -> Result<Option<i64>, String> {
        match text.trim() {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| format!("invalid array index {inner}")),
        }
    };
    match inner.split(':').collect::<Vec<_>>().as_slice() {
        [index] => number(index)?.map(Step::Index).ok_or_else(|| "empty array index".into()),
        [from, to] => Ok(Step::Slice(number(from)?, number(to)?, 1)),
        [from, to, step] => Ok(Step::Slice(number(from)?, number(to)?, number(step)?.unwrap_or(1))),
        _ => Err(format!("invalid array index {inner}")),
    }
}

fn quoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    (!inner.contains(quote)).then(|| inner.to_owned())
}

fn filter_of(text: &str, depth: usize) -> Result<Filter, String> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, _) => {
                let found = COMPARISONS.iter().find(|(sign, _)| text[at..].starts_with(sign));
                if let Some((sign, comparison)) = found {
                    let left = operand(&text[..at], depth)?;
                    let right = operand(&text[at + sign.len()..], depth)?;
                    return Ok(Filter { left, test: Some((*comparison, right)) });
                }
            }
        }
    }
    Ok(Filter { left: operand(text, depth)?, test: None })
}

fn operand(text: &str, depth: usize) -> Result<Operand, String> {
    let text = text.trim();
    if let Some(literal) = quoted(text) {
        return Ok(Operand::Literal(literal.into()));
    }
    if text.starts_with('@') || text.starts_with('$') || text.starts_with('.') {
        return parse(text, depth).map(Operand::Path);
    }
    serde_json::from_str(text)
        .map(Operand::Literal)
        .map_err(|_| format!("unrecognized character in filter: {text}"))
}

impl Step {
    fn of<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match self {
            Step::Field(name) => value.get(name.as_str()).into_iter().collect(),
            Step::All => children(value).collect(),
            Step::Descend => descendants(value),
            Step::Index(index) => {
                let list = value.as_array().map_or(&[][..], Vec::as_slice);
                list.get(at(*index, list.len())).into_iter().collect()
            }
            Step::Slice(from, to, step) => {
                let list = value.as_array().map_or(&[][..], Vec::as_slice);
                let from = at(from.unwrap_or(0), list.len()).min(list.len());
                let to = to.map_or(list.len(), |to| at(to, list.len())).min(list.len());
                let step = usize::try_from(*step).unwrap_or(1).max(1);
                list.get(from..to).unwrap_or(&[]).iter().step_by(step).collect()
            }
            Step::Union(steps) => steps.iter().flat_map(|step| step.of(value)).collect(),
            Step::Filter(filter) => children(value).filter(|child| filter.holds(child)).collect(),
        }
    }
}

/// The position that an index means; negative ones count from the end.
fn at(index: i64, length: usize) -> usize {
    match index {
        0.. => index as usize,
        _ => (length as i64 + index).try_into().unwrap_or(usize::MAX),
    }
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(list) => Box::new(list.iter()),
        Value::Object(map) => Box::new(map.values()),
        _ => Box::new(std::iter::empty()),
    }
}

fn descendants(value: &Value) -> Vec<&Value> {
    let mut found = vec![value];
    found.extend(children(value).flat_map(descendants));
    found
}

impl Filter {
    fn holds(&self, value: &Value) -> bool {
        let side = |operand: &Operand| match operand {
            Operand::Literal(literal) => Some(literal.clone()),
            Operand::Path(path) => path.first(value).cloned(),
        };
        let left = side(&self.left);
        let Some((comparison, right)) = &self.test else { return left.is_some() };
        let (Some(left), Some(right)) = (left, side(right)) else { return false };
        let ordered = || match (&left, &right) {
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (a, b) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        };
        match comparison {
            Comparison::Equal => equal(&left, &right),
            Comparison::NotEqual => !equal(&left, &right),
            Comparison::Less => ordered() == Some(Ordering::Less),
            Comparison::LessOrEqual => ordered().is_some_and(Ordering::is_le),
            Comparison::Greater => ordered() == Some(Ordering::Greater),
            Comparison::GreaterOrEqual => ordered().is_some_and(Ordering::is_ge),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths() {
        let object = json!({"metadata": {"annotations": {"a.b/c": "x"}}, "spec": {"n": 3, "list": [10, 20, 30]},
            "status": {"conditions": [{"type": "A", "status": "False"}, {"type": "Ready", "status": "True", "n": 2}]}});
        let check = |path: &str, want: Option<Value>| {
            let parsed = JsonPath::parse(path).unwrap();
            assert_eq!(parsed.first(&object).cloned(), want, "{path}");
        };
        check(".spec.n", Some(json!(3)));
        check("spec.n", Some(json!(3)));
        check(".spec.none", None);
        check(".spec.list[1]", Some(json!(20)));
        check(".spec.list[-1]", Some(json!(30)));
        check(".spec.list[*]", Some(json!(10)));
        check(".spec.list[1:]", Some(json!(20)));
        check(".spec.list[5]", None);
        check(r".metadata.annotations.a\.b/c", Some(json!("x")));
        check(".metadata.annotations['a.b/c']", Some(json!("x")));
        check(r#".status.conditions[?(@.type=="Ready")].status"#, Some(json!("True")));
        check(".status.conditions[?(@.type=='Ready')].status", Some(json!("True")));
        check(r#".status.conditions[?(@.type != "A")].type"#, Some(json!("Ready")));
        check(".status.conditions[?(@.n > 1)].type", Some(json!("Ready")));
        check(".status.conditions[?(@.n)].type", Some(json!("Ready")));
        check("..type", Some(json!("A")));
        check(".spec['n','list']", Some(json!(3)));
        check(".", Some(object.clone()));
    }

    #[test]
    fn what_makes_no_sense() {
        for path in [".a[", ".a[x]", ".a[?(@.b==c)]", ".a[1:2:3:4]", ".a[]"] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }
}

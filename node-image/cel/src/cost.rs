//! What overloads cost: one rule per row, read by the evaluator for actual values and by the estimator
//! for the sizes that a schema allows.

use crate::types::Type;
use crate::value::Value;

/// What traversing a string costs for each character.
const TRAVERSAL: f64 = 0.1;
/// What a pattern costs for each of its characters, for each unit that the text costs.
const PATTERN: f64 = 0.25;
/// What a call and the making of a list cost.
const LIST_CALL: u64 = 11;
/// An authorization check; an expression can pay for two.
const AUTHORIZATION: u64 = 350_000;
/// The longest pattern behind a named format, in characters.
const FORMAT_PATTERN: f64 = 128.0;

/// A least and a most: of a size, or of a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub min: u64,
    pub max: u64,
}

impl Range {
    pub const UNKNOWN: Range = Range { min: 0, max: u64::MAX };
    pub const ZERO: Range = Range::fixed(0);

    pub const fn fixed(value: u64) -> Range {
        Range { min: value, max: value }
    }

    pub fn plus(self, other: Range) -> Range {
        Range { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    pub fn times(self, other: Range) -> Range {
        Range { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    /// Multiplied and rounded up.
    pub fn scaled(self, factor: f64) -> Range {
        Range { min: scale(self.min, factor), max: scale(self.max, factor) }
    }

    pub fn union(self, other: Range) -> Range {
        Range { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// Rounds up; what does not fit is the largest number.
fn scale(value: u64, factor: f64) -> u64 {
    (value as f64 * factor).ceil() as u64
}

/// How an overload is charged. "First" is the receiver or the first argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cost {
    /// 1.
    Nominal,
    /// One traversal of the first; nothing is known of the result's size.
    Read,
    /// Two traversals of the first.
    ReadTwice,
    /// One traversal of the first, and the result is as large.
    Copy,
    /// `startsWith`, `endsWith`.
    Affix,
    /// Equality and order: the smaller of both.
    Compare,
    /// Addition of texts.
    Concat,
    /// Addition of lists.
    Append,
    /// `in` a list.
    Search,
    /// Matching a pattern.
    Matches,
    /// Finding what matches a pattern.
    Find,
    /// Finding a text in a text.
    Contains,
    /// `replace`.
    Replace,
    /// `split`.
    Split,
    /// `join`.
    Join,
    /// A walk over all elements: `sum`, `min`, `indexOf`…
    Scan,
    /// Whether a network contains an address or network, that is given as text or not.
    Network { network: bool, text: bool },
    /// A selector's text.
    Selector,
    /// An authorization check.
    Authorization,
    /// A named format.
    Format,
    /// Set operations, with this factor.
    Sets(u64),
    /// A list as large as the result.
    Range,
    /// `slice`.
    Slice,
    /// `reverse`.
    Reverse,
    /// `flatten`.
    Flatten,
    /// `distinct`, `sort`: every element against every other.
    Quadratic,
    /// `sortBy`: likewise, of the keys.
    QuadraticKeys,
    /// `bytes(string)`: up to 4 bytes for a character.
    ToBytes,
    /// `string(bytes)`.
    FromBytes,
    /// `strings.quote`.
    Quote,
}

impl Cost {
    /// What a call costs that was made.
    pub fn actual(self, args: &[Value], result: Option<&Value>) -> u64 {
        let size = |index: usize| args.get(index).map_or(0, Value::size);
        let traverse = |size: u64, times: f64| scale(size, times * TRAVERSAL);
        match self {
            Cost::Nominal => 1,
            Cost::Read
            | Cost::Copy
            | Cost::Affix
            | Cost::ToBytes
            | Cost::FromBytes
            | Cost::Quote => traverse(size(0), 1.0),
            Cost::ReadTwice | Cost::Replace | Cost::Split => traverse(size(0), 2.0),
            Cost::Compare => compare(args),
            Cost::Concat => traverse(size(0).saturating_add(size(1)), 1.0),
            Cost::Append => 1,
            Cost::Search => size(1),
            Cost::Matches | Cost::Find => {
                traverse(size(0) + 1, 1.0).saturating_mul(scale(size(1), PATTERN))
            }
            Cost::Contains => traverse(size(0), 1.0).saturating_mul(traverse(size(1), 1.0)),
            Cost::Join => traverse(result.map_or(0, Value::size), 2.0),
            Cost::Scan => args.first().map_or(0, walk),
            Cost::Network { network, text } => network_actual(network, text, size(0), size(1)),
            Cost::Selector => selector(Range::fixed(size(1))).max,
            Cost::Authorization => AUTHORIZATION,
            Cost::Format => {
                traverse(size(1) + 1, 1.0).saturating_mul(scale(format_size(args), PATTERN))
            }
            Cost::Sets(factor) => size(0).saturating_mul(size(1)).saturating_mul(factor) + 1,
            Cost::Range | Cost::Slice | Cost::Reverse => {
                result.map_or(0, Value::size).saturating_add(LIST_CALL)
            }
            Cost::Flatten => {
                let depth = args.get(1).map_or(1, depth_of);
                size(0).saturating_mul(depth).saturating_add(LIST_CALL)
            }
            Cost::Quadratic => quadratic(args.first()),
            Cost::QuadraticKeys => quadratic(args.get(1)),
        }
    }
}

fn depth_of(value: &Value) -> u64 {
    match value {
        Value::Int(depth) => u64::try_from(*depth).unwrap_or(0),
        _ => 1,
    }
}

fn format_size(args: &[Value]) -> u64 {
    match args.first() {
        Some(Value::Opaque(crate::library::Opaque::Format(format))) => format.pattern_size(),
        _ => FORMAT_PATTERN as u64,
    }
}

fn compare(args: &[Value]) -> u64 {
    if matches!(args.first(), Some(Value::Opaque(_))) {
        return 1;
    }
    let smaller = args.iter().map(Value::size).min().unwrap_or(0);
    scale(smaller, TRAVERSAL)
}

fn network_actual(network: bool, text: bool, size: u64, other: u64) -> u64 {
    let bytes = |size: u64| scale(size, TRAVERSAL);
    let base = bytes(size.saturating_mul(2));
    let mask = if network { bytes(size) + 1 } else { 0 };
    let parse = if text { bytes(other) } else { 0 };
    base.saturating_add(mask).saturating_add(parse)
}

fn quadratic(list: Option<&Value>) -> u64 {
    let items = list.and_then(Value::as_list).unwrap_or_default();
    let is_text = matches!(items.first(), Some(Value::String(_) | Value::Bytes(_)));
    let factor = if is_text { 2.0 + TRAVERSAL } else { 2.0 };
    let size = items.len() as u64;
    ((size.saturating_mul(size) as f64 * factor) as u64).saturating_add(LIST_CALL)
}

/// What walking through all of a value costs.
fn walk(value: &Value) -> u64 {
    match value {
        Value::String(text) => (text.len() as f64 * TRAVERSAL) as u64,
        Value::Bytes(bytes) => (bytes.len() as f64 * TRAVERSAL) as u64,
        Value::List(list) => list.items.iter().map(walk).sum(),
        Value::Map(map) => {
            let entry = |(key, value)| walk(&crate::value::Key::value(key)) + walk(value);
            map.entries.iter().map(entry).sum()
        }
        _ => 1,
    }
}

/// The parts of a selector: a list, the reading of the text, and a struct with a list for every other
/// character.
fn selector(length: Range) -> Range {
    const LIST: u64 = 10;
    const REQUIREMENT: f64 = 50.0;
    let parse = length.scaled(TRAVERSAL);
    let requirements = length.scaled(0.5).scaled(REQUIREMENT);
    Range::fixed(LIST).plus(parse).plus(requirements)
}

/// What the estimator knows of an argument.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Argument<'a> {
    pub size: Range,
    pub type_: &'a Type,
    /// The sizes of the elements, if it is a list and something is known of them.
    pub element: Range,
    /// The number, if it is a literal.
    pub number: Option<i64>,
}

/// An estimate: the cost without the arguments' own, and the size of the result.
pub(crate) struct Estimate {
    pub cost: Range,
    pub size: Option<Range>,
}

impl Cost {
    /// What a call may cost, by the sizes of its arguments.
    pub fn estimate(self, args: &[Argument<'_>]) -> Estimate {
        let size = |index: usize| args.get(index).map_or(Range::ZERO, |arg| arg.size);
        let only = |cost: Range| Estimate { cost, size: None };
        let sized = |cost: Range, size: Range| Estimate { cost, size: Some(size) };
        let first = size(0);
        match self {
            Cost::Nominal => only(Range::fixed(1)),
            Cost::Read => only(first.scaled(TRAVERSAL)),
            Cost::ReadTwice => only(first.scaled(2.0 * TRAVERSAL)),
            Cost::Copy => sized(first.scaled(TRAVERSAL), first),
            Cost::Affix => only(size(1).scaled(TRAVERSAL)),
            Cost::Compare => only(estimate_compare(args)),
            Cost::Concat => {
                let sum = first.plus(size(1));
                sized(sum.scaled(TRAVERSAL), sum)
            }
            Cost::Append => sized(Range::fixed(1), first.plus(size(1))),
            Cost::Search => only(size(1)),
            Cost::Matches => only(estimate_pattern(first, size(1))),
            Cost::Find => sized(estimate_pattern(first, size(1)), Range { min: 0, max: first.max }),
            Cost::Contains => only(first.scaled(TRAVERSAL).times(size(1).scaled(TRAVERSAL))),
            Cost::Replace => {
                sized(first.scaled(2.0 * TRAVERSAL), replaced(first, size(1), size(2)))
            }
            Cost::Split => {
                let limit = args.get(2).and_then(|arg| arg.number);
                let max = limit.map_or(first.max, |limit| limit as u64);
                sized(first.scaled(2.0 * TRAVERSAL), Range { min: 0, max })
            }
            Cost::Join => estimate_join(args),
            Cost::Scan => only(estimate_scan(args)),
            Cost::Network { network, text } => only(estimate_network(network, text, size(1))),
            Cost::Selector => only(selector(size(1))),
            Cost::Authorization => only(Range::fixed(AUTHORIZATION)),
            Cost::Format => only(size(1).scaled(TRAVERSAL).scaled(FORMAT_PATTERN * PATTERN)),
            Cost::Sets(factor) => {
                only(first.times(size(1)).times(Range::fixed(factor)).plus(Range::fixed(1)))
            }
            _ => self.estimate_list(args),
        }
    }

    fn estimate_list(self, args: &[Argument<'_>]) -> Estimate {
        let size = |index: usize| args.get(index).map_or(Range::ZERO, |arg| arg.size);
        let number = |index: usize, otherwise: u64| {
            let number = args.get(index).and_then(|arg| arg.number);
            number.map_or(otherwise, |number| u64::try_from(number).unwrap_or(0))
        };
        let list = |size: Range, factor: f64| {
            let cost = size.scaled(factor).plus(Range::fixed(LIST_CALL));
            Estimate { cost, size: Some(size) }
        };
        let first = size(0);
        let traversal = first.scaled(TRAVERSAL);
        match self {
            Cost::Range => list(Range::fixed(number(0, u64::MAX)), 1.0),
            Cost::Slice => {
                let length = number(2, first.max).saturating_sub(number(1, 0));
                list(Range::fixed(length), 1.0)
            }
            Cost::Flatten => {
                let depth = if args.len() > 1 { number(1, u64::MAX) } else { 1 };
                list(first, depth as f64)
            }
            Cost::Quadratic => list(first.times(first), 2.0 + element_factor(args.first())),
            Cost::QuadraticKeys => list(size(1).times(size(1)), 2.0 + element_factor(args.get(1))),
            Cost::ToBytes => Estimate {
                cost: traversal,
                size: Some(Range { min: first.min, max: first.max.saturating_mul(4) }),
            },
            Cost::FromBytes => Estimate {
                cost: traversal,
                size: Some(Range { min: first.min / 4, max: first.max }),
            },
            Cost::Quote => {
                let max = first.max.saturating_mul(2).saturating_add(2);
                let min = first.min.saturating_add(2);
                Estimate { cost: traversal, size: Some(Range { min, max }) }
            }
            _ => list(first, 1.0),
        }
    }
}

fn element_factor(list: Option<&Argument<'_>>) -> f64 {
    match list.map(|list| list.type_) {
        Some(Type::List(element)) if is_text(element) => TRAVERSAL,
        _ => 0.0,
    }
}

fn is_text(type_: &Type) -> bool {
    matches!(type_, Type::String | Type::Bytes)
}

fn estimate_compare(args: &[Argument<'_>]) -> Range {
    if let Some(Argument { type_: Type::Opaque(_), .. }) = args.first() {
        return Range::fixed(1);
    }
    let max = args.iter().map(|arg| arg.size.max).min().unwrap_or(0);
    Range { min: u64::from(max > 0), max }.scaled(TRAVERSAL)
}

fn estimate_pattern(text: Range, pattern: Range) -> Range {
    text.plus(Range::fixed(1)).scaled(TRAVERSAL).times(pattern.scaled(PATTERN))
}

/// How long a text may be after every `from` in it became `to`.
fn replaced(text: Range, from: Range, to: Range) -> Range {
    let times = |size: u64, divisor: u64| size.div_ceil(divisor.max(1));
    let max = match from.min {
        0 => text.max.saturating_add(1).saturating_mul(to.max).saturating_add(text.max),
        _ if to.max <= from.min => text.max,
        shortest => times(text.max, shortest).saturating_mul(to.max),
    };
    let min = match from.max {
        0 => text.min.saturating_add(1).saturating_mul(to.min).saturating_add(text.min),
        longest if longest <= to.min => text.min,
        longest => times(text.min, longest).saturating_mul(to.min),
    };
    Range { min, max }
}

fn estimate_join(args: &[Argument<'_>]) -> Estimate {
    let Some(list) = args.first() else { return Estimate { cost: Range::ZERO, size: None } };
    let mut size = list.size.times(list.element);
    if let Some(separator) = args.get(1) {
        let gaps =
            Range { min: list.size.min.saturating_sub(1), max: list.size.max.saturating_sub(1) };
        size = size.plus(separator.size.times(gaps));
    }
    Estimate { cost: size.scaled(TRAVERSAL), size: Some(size) }
}

fn estimate_scan(args: &[Argument<'_>]) -> Range {
    let Some(first) = args.first() else { return Range::ZERO };
    match first.type_ {
        Type::List(element) => {
            let text = if is_text(element) { first.element.scaled(TRAVERSAL) } else { Range::ZERO };
            first.size.times(Range::fixed(1).plus(text))
        }
        _ => first.size.scaled(TRAVERSAL),
    }
}

fn estimate_network(network: bool, text: bool, other: Range) -> Range {
    let bytes = Range { min: 4, max: 16 };
    let mut cost = bytes.plus(bytes).scaled(TRAVERSAL);
    if network {
        cost = cost.plus(bytes.scaled(TRAVERSAL)).plus(Range::fixed(1));
    }
    if text {
        cost = cost.plus(other.scaled(TRAVERSAL));
    }
    cost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_are_sized() {
        let check = |text, from, to, expect: (u64, u64)| {
            let range = |(min, max)| Range { min, max };
            assert_eq!(replaced(range(text), range(from), range(to)), range(expect));
        };
        check((0, 10), (1, 1), (1, 1), (0, 10));
        check((0, 10), (1, 1), (3, 3), (0, 30));
        check((2, 10), (0, 0), (3, 3), (11, 43));
        check((0, u64::MAX), (0, 0), (1, 9), (1, u64::MAX));
    }
}

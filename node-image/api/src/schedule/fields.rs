//! One field of a schedule: lists of numbers, names and ranges with steps, as a set of bits.

/// The values that a field allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    bits: u64,
    star: bool,
}

impl Field {
    /// Whether the value is allowed.
    pub fn has(self, value: i8) -> bool {
        u32::try_from(value).is_ok_and(|value| self.bits & (1 << value) != 0)
    }

    /// Whether the field is `*` or `?`, which restricts nothing.
    pub fn is_star(self) -> bool {
        self.star
    }
}

/// What a field may hold.
pub(super) struct Bounds {
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

const MONTHS: &[&str] =
    &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

pub(super) const MINUTE: Bounds = Bounds { low: 0, high: 59, names: &[] };
pub(super) const HOUR: Bounds = Bounds { low: 0, high: 23, names: &[] };
pub(super) const DAY: Bounds = Bounds { low: 1, high: 31, names: &[] };
pub(super) const MONTH: Bounds = Bounds { low: 1, high: 12, names: MONTHS };
pub(super) const WEEKDAY: Bounds = Bounds { low: 0, high: 6, names: WEEKDAYS };

impl Bounds {
    /// Reads a field.
    pub(super) fn parse(&self, text: &str) -> Result<Field, String> {
        let mut field = Field { bits: 0, star: false };
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let range = self.range(part)?;
            field.bits |= range.bits;
            field.star |= range.star;
        }
        Ok(field)
    }

    /// `*`, `5`, `1-5`, each with an optional `/step`.
    fn range(&self, text: &str) -> Result<Field, String> {
        let (limits, step) = match text.split('/').collect::<Vec<_>>().as_slice() {
            [limits] => (*limits, None),
            [limits, step] => (*limits, Some(number(step)?)),
            _ => return Err(format!("too many slashes: {text}")),
        };
        let (low, mut high, star) = match limits.split('-').collect::<Vec<_>>().as_slice() {
            ["*" | "?"] => (self.low, self.high, true),
            [one] => {
                let value = self.value(one)?;
                // With a step, a single number is where the range begins.
                (value, if step.is_some() { self.high } else { value }, false)
            }
            [low, high] => (self.value(low)?, self.value(high)?, false),
            _ => return Err(format!("too many hyphens: {text}")),
        };
        if low < self.low {
            let least = self.low;
            return Err(format!("beginning of range ({low}) below minimum ({least}): {text}"));
        }
        if high > self.high {
            let most = self.high;
            return Err(format!("end of range ({high}) above maximum ({most}): {text}"));
        }
        if low > high {
            return Err(format!("beginning of range ({low}) beyond end of range ({high}): {text}"));
        }
        let step = step.unwrap_or(1);
        if step == 0 {
            return Err(format!("step of range should be a positive number: {text}"));
        }
        high = high.min(63);
        let mut bits = 0;
        let mut value = low;
        while value <= high {
            bits |= 1 << value;
            value = value.saturating_add(step);
        }
        Ok(Field { bits, star: star && step == 1 })
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        let lower = text.to_lowercase();
        match self.names.iter().position(|name| *name == lower) {
            Some(index) => Ok(self.low + u32::try_from(index).unwrap_or(0)),
            None => number(text),
        }
    }
}

fn number(text: &str) -> Result<u32, String> {
    match text.parse::<i64>() {
        Ok(number) if number < 0 => Err(format!("negative number ({number}) not allowed: {text}")),
        Ok(number) => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
        Err(_) => Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax"
        )),
    }
}

//! CPU use per second, from two readings of a counter. The earlier one is that of the last question:
//! nobody reads counters while nobody asks.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

/// A rate over a shorter time says little: then the one before is told again.
const AGE_MIN_NS: i128 = 1_000_000_000;
/// A rate over a longer time says nothing about now.
const AGE_MAX_NS: i128 = 600_000_000_000;

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Timestamp,
    used_ns: u64,
    rate: Option<u64>,
}

/// The last readings, by what was read.
#[derive(Debug, Default)]
pub struct Rates(Mutex<HashMap<String, Reading>>);

impl Rates {
    /// Takes in a reading and tells billionths of a core since the one before, if there is one.
    pub fn take(&self, name: &str, used_ns: u64, at: Timestamp) -> Option<u64> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.get(name).copied();
        let elapsed = before.map(|b| at.as_nanosecond() - b.at.as_nanosecond());
        let rate = match (before, elapsed) {
            (Some(before), Some(elapsed)) if elapsed < AGE_MIN_NS => return before.rate,
            (Some(before), Some(elapsed)) if elapsed <= AGE_MAX_NS => {
                let used = u128::from(used_ns.saturating_sub(before.used_ns));
                u64::try_from(used * 1_000_000_000 / elapsed.unsigned_abs()).ok()
            }
            _ => None,
        };
        known.insert(name.to_owned(), Reading { at, used_ns, rate });
        rate
    }

    /// Forgets what was not read at this time or later.
    pub fn forget_before(&self, at: Timestamp) {
        let oldest = at.as_nanosecond() - AGE_MAX_NS;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, reading| reading.at.as_nanosecond() >= oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        let rates = Rates::default();
        let check = |at_ms: i64, used_ns: u64, expect: Option<u64>| {
            let at = Timestamp::from_millisecond(at_ms).unwrap();
            assert_eq!(rates.take("a", used_ns, at), expect, "{at_ms}");
        };
        check(0, 1_000, None);
        check(2_000, 1_000_001_000, Some(500_000_000));
        check(2_500, 9_000_001_000, Some(500_000_000));
        check(4_000, 1_000_001_000, Some(0));
        check(4_000 + 700_000, 2_000_001_000, None);
        rates.forget_before(Timestamp::from_millisecond(5_000_000).unwrap());
        check(5_000_000, 3_000_001_000, None);
    }
}

//! Delays that double with each failure and are forgotten after a quiet time.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

/// The first delay.
pub const DELAY_MIN: Duration = Duration::from_secs(10);
/// The longest delay.
pub const DELAY_MAX: Duration = Duration::from_secs(300);
/// A failure this long after the last one counts as the first.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// Doubling delays by key.
#[derive(Clone, Debug, Default)]
pub struct BackOff {
    entries: HashMap<String, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    delay: Duration,
    updated_at: Timestamp,
}

impl BackOff {
    /// The delay that still holds for something that failed at `failed_at`: its length and its end.
    pub fn holds(
        &self,
        key: &str,
        failed_at: Timestamp,
        now: Timestamp,
    ) -> Option<(Duration, Timestamp)> {
        let entry = self.entries.get(key)?;
        if since(entry.updated_at, failed_at) > FORGOTTEN_AFTER {
            return None;
        }
        let until = later(failed_at, entry.delay);
        (now < until).then_some((entry.delay, until))
    }

    /// Counts one more try of something that failed at `failed_at`.
    pub fn next(&mut self, key: &str, failed_at: Timestamp, now: Timestamp) {
        let delay = match self.entries.get(key) {
            Some(entry) if since(entry.updated_at, failed_at) <= FORGOTTEN_AFTER => {
                (entry.delay * 2).min(DELAY_MAX)
            }
            _ => DELAY_MIN,
        };
        self.entries.insert(key.to_owned(), Entry { delay, updated_at: now });
    }

    /// Forgets a key.
    pub fn forget(&mut self, key: &str) {
        self.entries.remove(key);
    }
}

/// `at` plus a delay, saturating.
pub fn later(at: Timestamp, delay: Duration) -> Timestamp {
    at.checked_add(delay).unwrap_or(Timestamp::MAX)
}

/// How long `to` is after `from`; zero when it is not.
pub fn since(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn doubles_up_to_five_minutes_and_is_forgotten() {
        let mut backoff = BackOff::default();
        assert_eq!(backoff.holds("a", at(0), at(0)), None, "the first restart is immediate");
        let mut now = 0;
        for expect in [10, 20, 40, 80, 160, 300, 300] {
            backoff.next("a", at(now), at(now));
            let held = backoff.holds("a", at(now), at(now)).unwrap();
            assert_eq!(held, (Duration::from_secs(expect), at(now + expect as i64)));
            assert_eq!(backoff.holds("a", at(now), at(now + expect as i64)), None);
            now += expect as i64;
        }
        assert_eq!(backoff.holds("a", at(now + 601), at(now + 601)), None);
        backoff.next("a", at(now + 601), at(now + 601));
        assert_eq!(backoff.holds("a", at(now + 601), at(now + 601)).unwrap().0, DELAY_MIN);
    }
}

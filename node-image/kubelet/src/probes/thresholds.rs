//! From single looks to a result: so many in a row change it.

use super::{Look, Timing};
use crate::lifecycle::Outcome;

/// Counts looks.
#[derive(Debug, Default)]
pub struct Thresholds {
    last: Option<Outcome>,
    run: u32,
}

impl Thresholds {
    /// Counts a look; the result when the thresholds are met.
    pub fn count(&mut self, look: &Look, timing: &Timing) -> Option<Outcome> {
        let outcome = match look {
            Look::Success | Look::Warning(_) => Outcome::Success,
            Look::Failure(_) => Outcome::Failure,
            // Neither for nor against.
            Look::Unknown(_) => return None,
        };
        self.run = if self.last == Some(outcome) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(outcome);
        let needed = match outcome {
            Outcome::Success => timing.success_threshold,
            Outcome::Failure => timing.failure_threshold,
        };
        (self.run >= needed).then_some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn runs() {
        let timing = Timing {
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            success_threshold: 2,
            failure_threshold: 3,
        };
        let check = |looks: &str, expect: &str| {
            let mut thresholds = Thresholds::default();
            let result = |c| {
                let look = match c {
                    's' => Look::Success,
                    'f' => Look::Failure(String::new()),
                    _ => Look::Unknown(String::new()),
                };
                match thresholds.count(&look, &timing) {
                    Some(Outcome::Success) => 'S',
                    Some(Outcome::Failure) => 'F',
                    None => '.',
                }
            };
            assert_eq!(looks.chars().map(result).collect::<String>(), expect, "{looks}");
        };
        check("sss", ".SS");
        check("ffff", "..FF");
        check("sfs", "...");
        check("ssfffss", ".S..F.S");
        check("ffuf", "...F");
    }
}

//! How much directories take, remembered for a while: reading them all for every question would cost
//! more than what is measured.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kd_runtime::DiskUse;

use crate::lifecycle::backoff::since;

/// Upstream measures volumes as often.
pub const AGE_MAX: Duration = Duration::from_secs(60);

/// What was measured, by what it is of.
#[derive(Debug, Default)]
pub struct Disks(Mutex<HashMap<String, (Timestamp, DiskUse)>>);

impl Disks {
    /// What was measured no longer ago than that.
    pub fn known(&self, name: &str, now: Timestamp, age_max: Duration) -> Option<DiskUse> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, used) = known.get(name)?;
        (since(*at, now) < age_max).then_some(*used)
    }

    /// Remembers; forgets what is too old for anybody.
    pub fn note(&self, name: &str, used: DiskUse, now: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, _)| since(*at, now) < AGE_MAX);
        known.insert(name.to_owned(), (now, used));
    }

    /// Measures a directory, unless that was done a short while ago.
    pub async fn of(&self, path: &Path, age_max: Duration) -> Option<DiskUse> {
        let (name, now) = (path.display().to_string(), Timestamp::now());
        if let Some(used) = self.known(&name, now, age_max) {
            return Some(used);
        }
        let path = path.to_owned();
        let used = tokio::task::spawn_blocking(move || kd_runtime::disk_use(&path)).await.ok()?;
        self.note(&name, used, now);
        Some(used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_a_while() {
        let disks = Disks::default();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let used = DiskUse { bytes: 1, inodes: 1 };
        disks.note("a", used, at(0));
        let check = |second, age, expect| {
            assert_eq!(disks.known("a", at(second), Duration::from_secs(age)), expect);
        };
        check(59, 60, Some(used));
        check(60, 60, None);
        check(1, 0, None);
        disks.note("b", used, at(61));
        check(0, 60, None);
    }
}

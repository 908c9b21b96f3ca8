//! How long a Job waits after failures before it makes new pods: longer each time, and not at all
//! after a success. Read from the pods that are there.

use jiff::{SignedDuration, Timestamp};

use super::pod::JobPod;

const FIRST: SignedDuration = SignedDuration::from_secs(10);
const LONGEST: SignedDuration = SignedDuration::from_secs(600);

/// When the next pods may be made; None: now.
pub(super) fn until(pods: &[JobPod], only_failed: bool, now: Timestamp) -> Option<Timestamp> {
    let success = pods.iter().filter(|pod| pod.has_succeeded()).map(JobPod::finished_at).max();
    // Pods that were taken down because they were too many are no failures.
    let failures = pods
        .iter()
        .filter(|pod| pod.has_failed(only_failed) && (pod.tracked || !pod.is_deleting()));
    let since: Vec<Timestamp> = failures
        .map(JobPod::finished_at)
        .filter(|at| success.is_none_or(|success| *at > success))
        .collect();
    let last = *since.iter().max()?;
    after(since.len(), last, now)
}

/// When a pod may be made after so many failures, the last of them at a time; None: now.
pub(super) fn after(failures: usize, last: Timestamp, now: Timestamp) -> Option<Timestamp> {
    if failures == 0 {
        return None;
    }
    let doublings = u32::try_from(failures - 1).unwrap_or(u32::MAX).min(10);
    let wait = (FIRST * 2_i32.pow(doublings)).min(LONGEST);
    Some(last + wait).filter(|time| *time > now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    #[test]
    fn it_doubles_up_to_ten_minutes() {
        let check = |failures: usize, now: i64, expect: Option<i64>| {
            assert_eq!(after(failures, at(0), at(now)), expect.map(at), "{failures} at {now}");
        };
        check(0, 0, None);
        check(1, 3, Some(10));
        check(1, 10, None);
        check(2, 10, Some(20));
        check(4, 10, Some(80));
        check(40, 10, Some(600));
    }
}

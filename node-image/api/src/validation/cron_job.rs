//! CronJobs.

use serde_json::Value;

use super::check::{Errors, not_negative, required_choice};
use super::job::job_spec;
use super::workload::spec_path;
use crate::schedule::{Schedule, time_zone};
use crate::walk::Walk;
use crate::{FieldError, Path};

/// A Job's name is its CronJob's and eleven characters.
const NAME_MAX: usize = 63 - 11;
/// The longest part of a time zone's name.
const ZONE_PART_MAX: usize = 14;

pub(super) fn create(errors: &mut Errors, object: &Value) {
    spec(errors, &object["spec"], None);
    let name = object["metadata"].text("name");
    if name.len() > NAME_MAX {
        let text = format!("must be no more than {NAME_MAX} characters");
        errors.push(FieldError::invalid(Path::new("metadata").child("name"), name, text));
    }
}

pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    spec(errors, &new["spec"], Some(&old["spec"]));
}

fn spec(errors: &mut Errors, spec: &Value, old: Option<&Value>) {
    let path = spec_path();
    let zone_in_schedule = old.is_some_and(|old| old.text("schedule").contains("TZ"));
    match spec.text("schedule") {
        "" => errors.push(FieldError::required(path.child("schedule"), "")),
        _ => schedule(errors, spec, zone_in_schedule, &path.child("schedule")),
    }
    not_negative(errors, spec, "startingDeadlineSeconds", &path);
    if old.is_none_or(|old| old["timeZone"] != spec["timeZone"]) {
        zone(errors, &spec["timeZone"], &path.child("timeZone"));
    }
    required_choice(errors, spec, "concurrencyPolicy", &path, &["Allow", "Forbid", "Replace"]);
    let (job, path) = (&spec["jobTemplate"]["spec"], path.child("jobTemplate").child("spec"));
    job_spec(errors, job, &path);
    if job.has("selector") {
        let text = "`selector` will be auto-generated";
        errors.push(FieldError::invalid(path.child("selector"), job["selector"].clone(), text));
    }
    if job.flag("manualSelector") {
        let supported = ["nil", "false"];
        errors.push(FieldError::not_supported(path.child("manualSelector"), true, &supported));
    }
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        not_negative(errors, spec, field, &spec_path());
    }
}

fn schedule(errors: &mut Errors, spec: &Value, zone_allowed: bool, path: &Path) {
    let text = spec.text("schedule");
    let named = text.contains("TZ");
    // Old objects may begin with the zone.
    let rest = match text.split_once(' ') {
        Some((zone, rest)) if zone.starts_with("TZ=") || zone.starts_with("CRON_TZ=") => rest,
        _ => text,
    };
    if let Err(problem) = Schedule::parse(rest.trim()) {
        errors.push(FieldError::invalid(path.clone(), text, problem));
    }
    if named && zone_allowed && spec.has("timeZone") {
        let why = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
        errors.push(FieldError::invalid(path.clone(), text, why));
    } else if named && !zone_allowed {
        let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        errors.push(FieldError::invalid(path.clone(), text, why));
    }
}

fn zone(errors: &mut Errors, zone: &Value, path: &Path) {
    let Some(name) = zone.as_str() else { return };
    let part_is_bad = |part: &str| {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b".-_+".contains(&b);
        matches!(part, "" | "." | "..")
            || part.starts_with('-')
            || part.len() > ZONE_PART_MAX
            || !part.bytes().all(fine)
    };
    let text = if name.is_empty() {
        "timeZone must be nil or non-empty string".to_owned()
    } else if name.eq_ignore_ascii_case("local") {
        "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
            .to_owned()
    } else if name.split('/').any(part_is_bad) || time_zone(name).is_none() {
        format!("unknown time zone {name}")
    } else {
        return;
    };
    errors.push(FieldError::invalid(path.clone(), name, text));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::defaults::apply_defaults;
    use crate::testing::kind;

    fn check(change: fn(&mut Value), want: &[&str]) {
        let mut object = json!({"metadata": {"name": "c"}, "spec": {"schedule": "* * * * *",
            "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never",
                "containers": [{"name": "c", "image": "x"}]}}}}}});
        change(&mut object);
        apply_defaults(&kind("batch", "v1", "CronJob"), &mut object);
        let mut errors = Errors::new();
        create(&mut errors, &object);
        let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        assert_eq!(texts, want);
    }

    #[test]
    fn cron_jobs() {
        check(|_| {}, &[]);
        check(|o| o["spec"]["timeZone"] = json!("Asia/Tokyo"), &[]);
        check(
            |o| o["spec"]["schedule"] = json!("* * * *"),
            &[
                r#"spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]"#,
            ],
        );
        check(
            |o| o["spec"]["schedule"] = json!("TZ=UTC 0 0 * * *"),
            &[
                r#"spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead"#,
            ],
        );
        check(
            |o| o["spec"]["timeZone"] = json!("Europe/Atlantis"),
            &[
                r#"spec.timeZone: Invalid value: "Europe/Atlantis": unknown time zone Europe/Atlantis"#,
            ],
        );
        check(
            |o| o["spec"]["jobTemplate"]["spec"]["selector"] = json!({}),
            &[
                "spec.jobTemplate.spec.selector: Invalid value: {}: `selector` will be auto-generated",
            ],
        );
        check(
            |o| {
                drop(
                    o["spec"]["jobTemplate"]["spec"]["template"]["spec"]
                        .as_object_mut()
                        .unwrap()
                        .remove("restartPolicy"),
                )
            },
            &[
                r#"spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never""#,
            ],
        );
        check(
            |o| o["metadata"]["name"] = json!("a".repeat(53)),
            &[&format!(
                r#"metadata.name: Invalid value: "{}": must be no more than 52 characters"#,
                "a".repeat(53)
            )],
        );
    }
}

//! CronJobs as tables: what is there, what is done next. The time is 2001-09-09T01:46:40Z plus 500.

use super::*;
use crate::testing::{at, body, lines, merge, object, plan, time, view};

/// The latest full minute before the tests' time, in minutes after the epoch.
const MINUTE: i64 = 16_666_675;

fn cron_job(spec: Value, status: Value) -> Value {
    let mut all = object(
        "CronJob",
        "a",
        "c",
        json!({"spec": {"schedule": "* * * * *", "concurrencyPolicy": "Allow",
            "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 1,
            "jobTemplate": {"metadata": {"labels": {"x": "y"}}, "spec": {"template": {}}}},
            "status": {"lastScheduleTime": time(440)}}),
    );
    merge(&mut all, json!({"spec": spec, "status": status}));
    all
}

fn job(name: &str, minute: Option<i64>, more: Value) -> Value {
    let mut all = object(
        "Job",
        "a",
        name,
        json!({"metadata": {"ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob",
            "name": "c", "uid": "c-uid", "controller": true}]}, "spec": {"template": {}}}),
    );
    if let Some(minute) = minute {
        let scheduled = Timestamp::from_second(minute * 60).unwrap().to_string();
        all["metadata"]["annotations"] = json!({SCHEDULED: scheduled});
    }
    merge(&mut all, more);
    all
}

fn ended(condition: &str, start: i64) -> Value {
    json!({"status": {"startTime": time(start), "completionTime": time(start),
        "conditions": [{"type": condition, "status": "True"}]}})
}

fn active(names: &[&str]) -> Value {
    let all: Vec<Value> =
        names.iter().map(|name| json!({"name": name, "uid": format!("{name}-uid")})).collect();
    json!({"active": all})
}

fn check(objects: &[Value], expect: &[&str], reasons: &[&str]) -> Plan {
    let plan = plan(&CronJobs, &view(objects), &resources::CRON_JOBS, ("a", "c"), 500);
    assert_eq!(lines(&plan), expect);
    let told: Vec<&str> = plan.events.iter().map(|event| event.reason.as_str()).collect();
    assert_eq!(told, reasons);
    plan
}

#[test]
fn a_job_is_made_for_its_minute() {
    let name = format!("c-{MINUTE}");
    let plan = check(&[cron_job(json!({}), json!({}))], &[&format!("create jobs a/{name}")], &[]);
    let made = &body(&plan, 0)["metadata"];
    assert_eq!(made["annotations"], json!({SCHEDULED: time(500)}));
    assert_eq!(made["labels"], json!({"x": "y"}));
    assert_eq!(made["ownerReferences"][0]["kind"], "CronJob");
    let zoned = cron_job(json!({"timeZone": "Asia/Tokyo"}), json!({}));
    let plan = check(&[zoned], &[&format!("create jobs a/{name}")], &[]);
    let annotations = &body(&plan, 0)["metadata"]["annotations"];
    assert_eq!(annotations[SCHEDULED], "2001-09-09T10:55:00+09:00");
}

#[test]
fn its_job_is_listed_then_the_next_time_is_awaited() {
    let name = format!("c-{MINUTE}");
    let mine = job(&name, Some(MINUTE), json!({}));
    let plan = check(
        &[cron_job(json!({}), json!({})), mine.clone()],
        &["update cronjobs/status a/c"],
        &[],
    );
    let status = &body(&plan, 0)["status"];
    assert_eq!(status["active"][0]["name"], json!(name));
    assert_eq!(status["lastScheduleTime"], time(500));
    let settled = cron_job(json!({}), status.clone());
    let plan = check(&[settled, mine], &[], &[]);
    assert_eq!(plan.again, Some(at(560) + SignedDuration::from_millis(100)));
}

#[test]
fn what_ended_leaves_the_list() {
    let spec = json!({"successfulJobsHistoryLimit": 3});
    let plan = check(
        &[cron_job(spec, active(&["x", "gone"])), job("x", None, ended("Complete", 450))],
        &["update cronjobs/status a/c"],
        &["SawCompletedJob", "MissingJob"],
    );
    let status = &body(&plan, 0)["status"];
    assert_eq!(
        (&status["active"], &status["lastSuccessfulTime"]),
        (&Value::Null, &json!(time(450)))
    );
}

#[test]
fn concurrency() {
    let create = format!("create jobs a/c-{MINUTE}");
    let running = || job("x", None, json!({}));
    let with = |policy: &str| cron_job(json!({"concurrencyPolicy": policy}), active(&["x"]));
    check(&[with("Allow"), running()], &[&create], &[]);
    check(&[with("Forbid"), running()], &[], &["JobAlreadyActive"]);
    check(&[with("Replace"), running()], &["delete jobs a/x", "--", &create], &[]);
}

#[test]
fn nothing_is_made() {
    check(&[cron_job(json!({"suspend": true}), json!({}))], &[], &[]);
    check(&[cron_job(json!({}), json!({"lastScheduleTime": time(500)}))], &[], &[]);
    check(&[cron_job(json!({"timeZone": "Mars/North"}), json!({}))], &[], &["UnknownTimeZone"]);
    check(&[cron_job(json!({"schedule": "x"}), json!({}))], &[], &["UnparseableSchedule"]);
    let late = json!({"schedule": "@every 1h", "startingDeadlineSeconds": 10});
    check(&[cron_job(late, json!({"lastScheduleTime": time(-3300)}))], &[], &[]);
}

#[test]
fn jobs_of_others_are_told() {
    check(
        &[cron_job(json!({"suspend": true}), json!({})), job("x", None, json!({}))],
        &[],
        &["UnexpectedJob"],
    );
}

#[test]
fn history_is_limited() {
    let objects = [
        cron_job(json!({"suspend": true}), json!({"lastSuccessfulTime": time(300)})),
        job("one", None, ended("Complete", 100)),
        job("three", None, ended("Complete", 300)),
        job("two", None, ended("Complete", 200)),
        job("bad", None, ended("Failed", 50)),
    ];
    check(&objects, &["delete jobs a/two", "delete jobs a/one"], &[]);
}

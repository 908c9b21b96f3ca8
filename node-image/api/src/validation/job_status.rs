//! The status of Jobs: what it may say, and how it may change. A rule is asked only when something
//! it is about changes, so that an update of other fields never fails.

use serde_json::Value;

use super::check::{Errors, none_negative};
use super::index_list;
use crate::walk::Walk;
use crate::{FieldError, Path};

pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    let path = Path::new("status");
    let counts = ["active", "succeeded", "failed", "ready", "terminating"];
    none_negative(errors, &new["status"], &counts, &path);
    uncounted(errors, &new["status"], &path.child("uncountedTerminatedPods"));
    let change = Change { new, old };
    let rules = [conditions(&change), times(&change), counters(&change), indexes(&change)];
    for rule in rules.into_iter().flatten().filter(|rule| rule.broken) {
        errors.push(rule.error(&new["status"], &path));
    }
}

fn uncounted(errors: &mut Errors, status: &Value, path: &Path) {
    let mut seen = Vec::new();
    for list in ["succeeded", "failed"] {
        let pods = status["uncountedTerminatedPods"].list(list);
        for (index, uid) in pods.iter().filter_map(Value::as_str).enumerate() {
            let path = path.child(list).index(index);
            if uid.is_empty() {
                errors.push(FieldError::invalid(path, uid, "must not be empty"));
            } else if seen.contains(&uid) {
                errors.push(FieldError::duplicate(path, uid));
            } else {
                seen.push(uid);
            }
        }
    }
}

/// What a status says, and what it said.
struct Change<'a> {
    new: &'a Value,
    old: &'a Value,
}

/// A rule, with whether it is asked and broken.
struct Rule {
    broken: bool,
    field: &'static str,
    required: bool,
    text: String,
}

impl Rule {
    fn error(self, status: &Value, path: &Path) -> FieldError {
        let path = path.child(self.field);
        match self.field {
            _ if self.required => FieldError::required(path, self.text),
            "conditions" => FieldError::invalid_unshown(path, self.text),
            field => FieldError::invalid(path, status[field].clone(), self.text),
        }
    }
}

fn invalid(broken: bool, field: &'static str, text: impl Into<String>) -> Rule {
    Rule { broken, field, required: false, text: text.into() }
}

fn required(broken: bool, field: &'static str, text: &str) -> Rule {
    Rule { broken, field, required: true, text: text.into() }
}

fn holds(job: &Value, name: &str) -> bool {
    let conditions = job["status"].list("conditions");
    conditions.iter().any(|c| c.text("type") == name && c.text("status") == "True")
}

fn finished(job: &Value) -> bool {
    holds(job, "Complete") || holds(job, "Failed")
}

impl Change<'_> {
    fn now(&self, condition: &str) -> bool {
        holds(self.new, condition)
    }

    fn before(&self, condition: &str) -> bool {
        holds(self.old, condition)
    }

    /// Whether any of these conditions changed.
    fn turned(&self, conditions: &[&str]) -> bool {
        conditions.iter().any(|name| self.now(name) != self.before(name))
    }

    /// Whether any of these fields of the status changed.
    fn touched(&self, fields: &[&str]) -> bool {
        fields.iter().any(|field| self.new["status"][field] != self.old["status"][field])
    }

    fn count(&self, field: &str) -> i64 {
        self.new["status"].integer(field).unwrap_or(0)
    }

    fn ended(&self) -> bool {
        finished(self.new) != finished(self.old)
    }
}

fn conditions(job: &Change) -> Vec<Rule> {
    let [complete, failed, target, met] =
        ["Complete", "Failed", "FailureTarget", "SuccessCriteriaMet"].map(|name| job.now(name));
    let mut rules = Vec::new();
    let mut rule = |asked: bool, broken: bool, text: String| {
        rules.push(invalid(asked && broken, "conditions", text));
    };
    let both = |a: &str, b: &str| format!("cannot set {a}=True and {b}=true conditions");
    rule(job.turned(&["Complete", "Failed"]), complete && failed, both("Complete", "Failed"));
    rule(
        job.turned(&["Complete", "FailureTarget"]),
        complete && target,
        both("Complete", "FailureTarget"),
    );
    rule(
        job.turned(&["Failed"]) || job.touched(&["failedIndexes"]),
        failed && !target,
        "cannot set Failed=True condition without the FailureTarget=true condition".into(),
    );
    rule(
        job.turned(&["Complete", "SuccessCriteriaMet"]),
        complete && !met,
        "cannot set Complete=True condition without the SuccessCriteriaMet=true condition".into(),
    );
    rule(true, met && failed, both("SuccessCriteriaMet", "Failed"));
    rule(true, met && target, both("SuccessCriteriaMet", "FailureTarget"));
    rule(
        job.new["spec"].has("successPolicy"),
        complete && !met,
        "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True".into(),
    );
    for name in ["Failed", "Complete", "FailureTarget"] {
        let text = format!("cannot disable the terminal {name}=True condition");
        rule(job.before(name), !job.now(name), text);
    }
    let (was_met, was_complete) = (job.before("SuccessCriteriaMet"), job.before("Complete"));
    rule(was_met, !met, "cannot disable the SuccessCriteriaMet=True condition".into());
    rule(
        was_complete && !was_met,
        met,
        "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions".into(),
    );
    rules
}

fn times(job: &Change) -> Vec<Rule> {
    let (spec, status, old) = (&job.new["spec"], &job.new["status"], &job.old["status"]);
    let time = |status: &Value, field: &str| status.text(field).parse::<jiff::Timestamp>().ok();
    let start = time(status, "startTime");
    let end = time(status, "completionTime");
    let complete = job.now("Complete");
    let completes = job.turned(&["Complete"]) || job.touched(&["completionTime"]);
    let never_ran = spec.flag("suspend") && spec.integer("completions") == Some(0);
    let starts = job.touched(&["startTime"]);
    vec![
        invalid(
            completes && end.is_some() && !complete,
            "completionTime",
            "cannot set completionTime when there is no Complete=True condition",
        ),
        required(
            completes && end.is_none() && complete,
            "completionTime",
            "completionTime is required for Complete jobs",
        ),
        invalid(
            job.touched(&["startTime", "completionTime"])
                && start.zip(end).is_some_and(|(start, end)| end < start),
            "completionTime",
            "completionTime cannot be set before startTime",
        ),
        required(
            (job.ended() || starts) && !never_ran && start.is_none() && finished(job.new),
            "startTime",
            "startTime is required for finished job",
        ),
        invalid(
            end.is_some() && time(old, "completionTime").is_some_and(|old| Some(old) != end),
            "completionTime",
            "completionTime cannot be mutated",
        ),
        required(
            starts && time(old, "startTime").is_some() && !spec.flag("suspend"),
            "startTime",
            "startTime cannot be removed for unsuspended job",
        ),
    ]
}

fn counters(job: &Change) -> Vec<Rule> {
    let (spec, status, old) = (&job.new["spec"], &job.new["status"], &job.old["status"]);
    let done = finished(job.new);
    let elastic = spec.text("completionMode") == "Indexed"
        && spec.integer("completions") == spec.integer("parallelism");
    let fewer = |field: &str| job.count(field) < old.integer(field).unwrap_or(0);
    let uncounted = &status["uncountedTerminatedPods"];
    let uncounted = uncounted.list("succeeded").len() + uncounted.list("failed").len();
    vec![
        invalid(
            (job.ended() || job.touched(&["active"])) && done && job.count("active") > 0,
            "active",
            "active>0 is invalid for finished job",
        ),
        invalid(
            (job.ended() || job.touched(&["uncountedTerminatedPods"])) && done && uncounted > 0,
            "uncountedTerminatedPods",
            "uncountedTerminatedPods needs to be empty for finished job",
        ),
        invalid(
            (job.ended() || job.touched(&["terminating"])) && done && job.count("terminating") > 0,
            "terminating",
            "terminating>0 is invalid for finished job",
        ),
        invalid(
            job.touched(&["ready", "active"]) && job.count("ready") > job.count("active"),
            "ready",
            "cannot set more ready pods than active",
        ),
        invalid(fewer("failed"), "failed", "cannot decrease the failed counter"),
        invalid(
            fewer("succeeded") && !elastic,
            "succeeded",
            "cannot decrease the succeeded counter",
        ),
    ]
}

fn indexes(job: &Change) -> Vec<Rule> {
    let (spec, status) = (&job.new["spec"], &job.new["status"]);
    let [completed, failed] = ["completedIndexes", "failedIndexes"].map(|field| status.text(field));
    let completions = spec.integer("completions");
    let limited = spec.has("backoffLimitPerIndex");
    let mut rules = vec![
        invalid(
            job.touched(&["completedIndexes"])
                && !completed.is_empty()
                && spec.text("completionMode") != "Indexed",
            "completedIndexes",
            "cannot set non-empty completedIndexes when non-indexed completion mode",
        ),
        invalid(
            job.touched(&["failedIndexes"]) && !limited && status.has("failedIndexes"),
            "failedIndexes",
            "cannot set non-null failedIndexes when backoffLimitPerIndex is null",
        ),
    ];
    let Some(completions) = completions else { return rules };
    for (field, list, asked) in
        [("completedIndexes", completed, true), ("failedIndexes", failed, limited)]
    {
        if let Err(problem) = index_list::count(list, completions) {
            let text = format!("error parsing {field}: {problem}");
            rules.push(invalid(asked && job.touched(&[field]), field, text));
        }
    }
    if let Some(index) = index_list::overlap(completed, failed, completions) {
        let text = format!("failedIndexes and completedIndexes overlap at index: {index}");
        let asked = job.touched(&["completedIndexes", "failedIndexes"]);
        rules.push(invalid(asked, "failedIndexes", text));
    }
    rules
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn statuses() {
        let check = |spec: Value, old: Value, new: Value, want: &[&str]| {
            let mut errors = Errors::new();
            let shown = new.to_string();
            update(
                &mut errors,
                &json!({"spec": spec, "status": new}),
                &json!({"spec": spec, "status": old}),
            );
            let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
            assert_eq!(texts, want, "{shown}");
        };
        let condition = |name: &str| json!({"type": name, "status": "True"});
        let (start, end) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:05Z");
        check(json!({}), json!({}), json!({"startTime": start, "active": 1, "ready": 0}), &[]);
        check(
            json!({}),
            json!({"startTime": start, "active": 1}),
            json!({"startTime": start, "completionTime": end, "succeeded": 1,
                "conditions": [condition("SuccessCriteriaMet"), condition("Complete")]}),
            &[],
        );
        check(
            json!({}),
            json!({"startTime": start}),
            json!({"startTime": start, "active": 1, "conditions": [condition("Complete")]}),
            &[
                "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
                "status.completionTime: Required value: completionTime is required for Complete jobs",
                "status.active: Invalid value: 1: active>0 is invalid for finished job",
            ],
        );
        check(
            json!({}),
            json!({"failed": 2, "conditions": [condition("FailureTarget")]}),
            json!({"failed": 1, "completedIndexes": "0"}),
            &[
                "status.conditions: Invalid value: cannot disable the terminal FailureTarget=True condition",
                "status.failed: Invalid value: 1: cannot decrease the failed counter",
                r#"status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed completion mode"#,
            ],
        );
        check(
            json!({"completionMode": "Indexed", "completions": 3, "backoffLimitPerIndex": 1}),
            json!({}),
            json!({"completedIndexes": "0-1", "failedIndexes": "1,9"}),
            &[
                r#"status.failedIndexes: Invalid value: "1,9": error parsing failedIndexes: too large index: "9""#,
                r#"status.failedIndexes: Invalid value: "1,9": failedIndexes and completedIndexes overlap at index: 1"#,
            ],
        );
    }
}

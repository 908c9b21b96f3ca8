//! Whether a Job has come to its end, and why.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{JobCondition, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kd_client::EventType;

use super::policy::{Failure, judge, success};
use super::{Round, Sync, job_event};

/// How a Job ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub success: bool,
    pub reason: String,
    pub message: String,
}

impl Verdict {
    /// All completions are there.
    pub fn completed() -> Verdict {
        Verdict {
            success: true,
            reason: "CompletionsReached".into(),
            message: "Reached expected number of succeeded pods".into(),
        }
    }

    fn failed(reason: &str, message: impl Into<String>) -> Verdict {
        Verdict { success: false, reason: reason.into(), message: message.into() }
    }

    /// The condition that says so while pods are still there.
    pub fn interim(&self) -> &'static str {
        if self.success { "SuccessCriteriaMet" } else { "FailureTarget" }
    }

    /// The condition that ends the Job.
    pub fn terminal(&self) -> &'static str {
        if self.success { "Complete" } else { "Failed" }
    }
}

/// A condition that is true.
fn standing<'a>(status: &'a JobStatus, name: &str) -> Option<&'a JobCondition> {
    let conditions = status.conditions.iter().flatten();
    conditions.into_iter().find(|c| c.type_ == name && c.status == "True")
}

/// Sets a condition and tells whether that changed anything. One that was never there need not be
/// told that it is false.
pub(super) fn set_condition(
    status: &mut JobStatus,
    name: &str,
    value: &str,
    (reason, message): (&str, &str),
    now: Timestamp,
) -> bool {
    let conditions = status.conditions.get_or_insert_default();
    let time = Some(Time(now));
    match conditions.iter_mut().find(|c| c.type_ == name) {
        None if value != "True" => {
            if conditions.is_empty() {
                status.conditions = None;
            }
            return false;
        }
        None => conditions.push(JobCondition {
            type_: name.into(),
            status: value.into(),
            reason: Some(reason.into()),
            message: Some(message.into()),
            last_probe_time: time.clone(),
            last_transition_time: time,
        }),
        Some(known) if known.status == value => return false,
        Some(known) => {
            known.status = value.into();
            known.reason = Some(reason.into());
            known.message = Some(message.into());
            known.last_probe_time = time.clone();
            known.last_transition_time = time;
        }
    }
    true
}

impl Sync<'_> {
    /// How the Job ends, if something has decided that.
    pub(super) fn verdict(&self, round: &mut Round) -> Option<Verdict> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        for (name, success) in [("SuccessCriteriaMet", true), ("FailureTarget", false)] {
            if let Some(known) = standing(&round.status, name) {
                let (reason, message) = (text(&known.reason), text(&known.message));
                return Some(Verdict { success, reason, message });
            }
        }
        self.failure(round).or_else(|| self.index_failure()).or_else(|| self.early_success())
    }

    fn failure(&self, round: &mut Round) -> Option<Verdict> {
        let policy = self.spec.pod_failure_policy.as_ref();
        let failed = self.pods.iter().filter(|pod| pod.has_failed(self.replaces_only_failed()));
        for pod in failed.filter(|_| policy.is_some()) {
            if let Failure::FailsJob(message) = judge(policy, pod) {
                return Some(Verdict::failed("PodFailurePolicy", message));
            }
        }
        let limit = self.spec.backoff_limit.unwrap_or(6);
        if self.tally.failed > usize::try_from(limit).unwrap_or(0)
            || self.restarted_too_often(limit)
        {
            let message = "Job has reached the specified backoff limit";
            return Some(Verdict::failed("BackoffLimitExceeded", message));
        }
        let deadline = self.deadline(&round.status)?;
        if deadline > self.now {
            round.pods.not_later_than(deadline);
            return None;
        }
        let message = "Job was active longer than specified deadline";
        Some(Verdict::failed("DeadlineExceeded", message))
    }

    /// Containers that are restarted in place count as failures too.
    fn restarted_too_often(&self, limit: i32) -> bool {
        let spec = self.spec.template.spec.as_ref();
        if spec.and_then(|s| s.restart_policy.as_deref()) != Some("OnFailure") {
            return false;
        }
        let alive = self.pods.iter().filter(|pod| !pod.state.has_ended());
        let restarts: i32 = alive.map(|pod| pod.restarts()).sum();
        if limit == 0 { restarts > 0 } else { restarts >= limit }
    }

    fn deadline(&self, status: &JobStatus) -> Option<Timestamp> {
        let seconds = self.spec.active_deadline_seconds.filter(|_| !self.is_suspended())?;
        let start = status.start_time.as_ref()?.0;
        start.checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    fn index_failure(&self) -> Option<Verdict> {
        let failed = self.tally.failed_indexes.as_ref()?.total();
        let limit = self.spec.max_failed_indexes.and_then(|limit| usize::try_from(limit).ok());
        if limit.is_some_and(|limit| failed > limit) {
            let message = "Job has exceeded the specified maximal number of failed indexes";
            return Some(Verdict::failed("MaxFailedIndexesExceeded", message));
        }
        let ended = failed + self.tally.succeeded_indexes.total();
        (failed > 0 && ended >= self.completions())
            .then(|| Verdict::failed("FailedIndexes", "Job has failed indexes"))
    }

    fn early_success(&self) -> Option<Verdict> {
        if !self.is_indexed() {
            return None;
        }
        let policy = self.spec.success_policy.as_ref();
        let message = success(policy, self.completions(), &self.tally.succeeded_indexes)?;
        Some(Verdict { success: true, reason: "SuccessPolicy".into(), message })
    }

    /// Whether everything has succeeded and nothing runs any more. Without a number of completions
    /// one success is enough, and the other pods are waited for.
    pub(super) fn is_complete(&self, active: usize) -> bool {
        let succeeded = self.tally.succeeded;
        active == 0
            && match self.spec.completions {
                None => succeeded > 0,
                Some(_) => succeeded >= self.completions(),
            }
    }

    pub(super) fn tell_suspension(&self, round: &mut Round) {
        let (value, reason, message, told) = match self.is_suspended() {
            true => ("True", "JobSuspended", "Job suspended", "Suspended"),
            false => ("False", "JobResumed", "Job resumed", "Resumed"),
        };
        let status = &mut round.status;
        if !set_condition(status, "Suspended", value, (reason, message), self.now) {
            return;
        }
        if !self.is_suspended() {
            // The deadline does not count the time of the suspension.
            status.start_time = Some(self.time());
        }
        round.pods.events.push(job_event(self.object, EventType::Normal, told, message));
    }
}

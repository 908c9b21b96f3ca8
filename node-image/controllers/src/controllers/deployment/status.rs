//! A Deployment's status and conditions.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentStatus, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kd_client::resources;

use super::{Rollout, available, status_count, wanted};
use crate::Step;

const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const FAILURE: &str = "ReplicaFailure";
const COMPLETE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";

fn find<'a>(status: &'a DeploymentStatus, name: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.as_ref()?.iter().find(|c| c.type_ == name)
}

fn remove(status: &mut DeploymentStatus, name: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|c| c.type_ != name);
        if conditions.is_empty() {
            status.conditions = None;
        }
    }
}

/// Sets a condition, unless it says the same already.
fn set(
    status: &mut DeploymentStatus,
    (name, value, reason, message): (&str, &str, &str, String),
    now: Timestamp,
) {
    let known = find(status, name);
    if known.is_some_and(|c| c.status == value && c.reason.as_deref() == Some(reason)) {
        return;
    }
    let since = known.filter(|c| c.status == value).and_then(|c| c.last_transition_time.clone());
    remove(status, name);
    status.conditions.get_or_insert_default().push(DeploymentCondition {
        type_: name.into(),
        status: value.into(),
        reason: Some(reason.into()),
        message: Some(message),
        last_update_time: Some(Time(now)),
        last_transition_time: since.or(Some(Time(now))),
    });
}

fn count(value: i32) -> Option<i32> {
    (value != 0).then_some(value)
}

impl Rollout<'_> {
    fn deadline_seconds(&self) -> Option<i32> {
        let spec = self.deployment.spec.as_ref();
        spec.and_then(|s| s.progress_deadline_seconds).filter(|seconds| *seconds != i32::MAX)
    }

    fn before(&self) -> DeploymentStatus {
        self.deployment.status.clone().unwrap_or_default()
    }

    /// A paused rollout does not run out of time.
    pub(super) fn pause_condition(&self) -> Option<Step> {
        self.deadline_seconds()?;
        let before = self.before();
        let progressing = find(&before, PROGRESSING);
        let reason = progressing.and_then(|c| c.reason.as_deref()).unwrap_or("");
        if reason == TIMED_OUT {
            return None;
        }
        let paused = reason == "DeploymentPaused";
        let news = match (self.paused(), paused) {
            (true, false) => ("Unknown", "DeploymentPaused", "Deployment is paused"),
            (false, true) => ("Unknown", "DeploymentResumed", "Deployment is resumed"),
            _ => return None,
        };
        let mut status = before;
        set(&mut status, (PROGRESSING, news.0, news.1, news.2.into()), self.now);
        Some(self.write(status))
    }

    /// The status write, if one is due, and when the deadline has to be looked at.
    pub(super) fn status(&self) -> (Option<Step>, Option<Timestamp>) {
        let before = self.before();
        let mut status = self.counted(&before);
        self.set_available(&mut status);
        self.set_progressing(&before, &mut status);
        self.set_failure(&mut status);
        let again = self.next_look(&status);
        ((status != before).then(|| self.write(status)), again)
    }

    fn write(&self, status: DeploymentStatus) -> Step {
        let mut updated = self.deployment.clone();
        updated.status = Some(status);
        Step::update_status(&resources::DEPLOYMENTS, self.object.key(), &updated)
    }

    fn counted(&self, before: &DeploymentStatus) -> DeploymentStatus {
        let sum = |field: &dyn Fn(&ReplicaSet) -> i32| self.all_sets().map(field).sum::<i32>();
        let serving = sum(&available);
        let replicas = |set: &ReplicaSet| status_count(set, |s| Some(s.replicas));
        DeploymentStatus {
            observed_generation: Some(self.object.metadata.generation),
            replicas: count(sum(&replicas)),
            updated_replicas: count(self.new.as_ref().map_or(0, replicas)),
            ready_replicas: count(sum(&|set| status_count(set, |s| s.ready_replicas))),
            available_replicas: count(serving),
            terminating_replicas: self.terminating(),
            unavailable_replicas: count((sum(&wanted) - serving).max(0)),
            ..before.clone()
        }
    }

    /// Unknown as long as a ReplicaSet does not say.
    fn terminating(&self) -> Option<i32> {
        let of_set = |set: &ReplicaSet| set.status.as_ref()?.terminating_replicas;
        self.all_sets().map(of_set).sum()
    }

    fn set_available(&self, status: &mut DeploymentStatus) {
        let serving = status.available_replicas.unwrap_or(0);
        let news = match serving >= self.replicas() - self.max_unavailable() {
            true => ("True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
            false => (
                "False",
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.",
            ),
        };
        set(status, (AVAILABLE, news.0, news.1, news.2.into()), self.now);
    }

    /// Whether the rollout is over: everything wanted is of the new template and available.
    pub(super) fn is_complete(&self) -> bool {
        self.completes(&self.counted(&self.before()))
    }

    fn completes(&self, status: &DeploymentStatus) -> bool {
        let all = self.replicas();
        [status.updated_replicas, status.replicas, status.available_replicas]
            .iter()
            .all(|count| count.unwrap_or(0) == all)
    }

    fn set_progressing(&self, before: &DeploymentStatus, status: &mut DeploymentStatus) {
        if self.deadline_seconds().is_none() {
            return remove(status, PROGRESSING);
        }
        let current = find(before, PROGRESSING).cloned();
        let reason = current.as_ref().and_then(|c| c.reason.as_deref()).unwrap_or("");
        let settled = status.replicas == status.updated_replicas && reason == COMPLETE;
        if settled || self.paused() {
            return;
        }
        let subject = match &self.new {
            Some(set) => format!("ReplicaSet {:?}", set.metadata.name.as_deref().unwrap_or("")),
            None => format!("Deployment {:?}", self.object.metadata.name),
        };
        if self.completes(status) {
            let message = format!("{subject} has successfully progressed.");
            set(status, (PROGRESSING, "True", COMPLETE, message), self.now);
        } else if progresses(before, status) || current.is_none() {
            // Progress starts the clock again: the condition is written anew.
            let since = current.filter(|c| c.status == "True").and_then(|c| c.last_transition_time);
            remove(status, PROGRESSING);
            let message = format!("{subject} is progressing.");
            set(status, (PROGRESSING, "True", "ReplicaSetUpdated", message), self.now);
            let written = status.conditions.as_mut().and_then(|all| all.last_mut());
            if let (Some(written), Some(since)) = (written, since) {
                written.last_transition_time = Some(since);
            }
        } else if self.deadline(before).is_some_and(|deadline| deadline <= self.now) {
            let message = format!("{subject} has timed out progressing.");
            set(status, (PROGRESSING, "False", TIMED_OUT, message), self.now);
        }
    }

    /// When the rollout runs out of time.
    fn deadline(&self, status: &DeploymentStatus) -> Option<Timestamp> {
        let seconds = self.deadline_seconds()?;
        let condition = find(status, PROGRESSING)?;
        let reason = condition.reason.as_deref().unwrap_or("");
        if [COMPLETE, TIMED_OUT, "DeploymentPaused"].contains(&reason) {
            return None;
        }
        let updated = condition.last_update_time.as_ref()?.0;
        Some(updated + SignedDuration::from_secs(i64::from(seconds)))
    }

    fn next_look(&self, status: &DeploymentStatus) -> Option<Timestamp> {
        self.deadline(status).filter(|time| *time > self.now && !self.completes(status))
    }

    /// A ReplicaSet that cannot create pods: the new one's failure before the old ones'.
    fn set_failure(&self, status: &mut DeploymentStatus) {
        let failure = |set: &ReplicaSet| {
            let conditions = set.status.as_ref()?.conditions.as_ref()?;
            conditions.iter().find(|c| c.type_ == FAILURE && c.status == "True").cloned()
        };
        let found = self.new.iter().chain(&self.old).find_map(failure);
        match found {
            None => remove(status, FAILURE),
            Some(c) => {
                let reason = c.reason.unwrap_or_default();
                let message = c.message.unwrap_or_default();
                set(status, (FAILURE, "True", &reason, message), self.now);
            }
        }
    }
}

fn progresses(before: &DeploymentStatus, after: &DeploymentStatus) -> bool {
    let n = |value: Option<i32>| value.unwrap_or(0);
    let old = |status: &DeploymentStatus| n(status.replicas) - n(status.updated_replicas);
    n(after.updated_replicas) > n(before.updated_replicas)
        || old(after) < old(before)
        || n(after.ready_replicas) > n(before.ready_replicas)
        || n(after.available_replicas) > n(before.available_replicas)
}

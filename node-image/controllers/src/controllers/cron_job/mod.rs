//! CronJob: makes a Job at each scheduled time, named for the minute, so that it is made once.

mod times;

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kd_client::{
    Change, DeleteOptions, EventType, Interest, Key, Object, Occurrence, View, resources,
};
use serde_json::{Value, json};

use self::times::Clock;
use super::job::finished_condition;
use crate::claims::{claimants, owner_reference};
use crate::{Controller, Plan, Step, Target, event};

const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

pub(super) struct CronJobs;

/// A CronJob and its Jobs at one moment.
struct Sync<'a> {
    object: &'a Object,
    cron_job: CronJob,
    spec: CronJobSpec,
    jobs: Vec<Job>,
    now: Timestamp,
}

impl Controller for CronJobs {
    fn name(&self) -> &'static str {
        "cronjob-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![Interest::full(&resources::CRON_JOBS), Interest::full(&resources::JOBS)]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        if change.resource.same(&resources::JOBS) {
            return claimants(view, change, &resources::CRON_JOBS, |_| None);
        }
        change.object().map(|object| Target::of(&change.resource, object)).into_iter().collect()
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        let Some(object) = view.object(&resources::CRON_JOBS, &target.key) else {
            return Plan::nothing();
        };
        let Some(cron_job) = object.decode::<CronJob>() else { return Plan::nothing() };
        let spec = cron_job.spec.clone();
        let jobs = view.controlled_by(&resources::JOBS, &object.metadata.uid);
        let jobs = jobs.filter_map(|job| job.decode()).collect();
        Sync { object, cron_job, spec, jobs, now }.plan()
    }
}

impl Sync<'_> {
    fn plan(&self) -> Plan {
        let mut plan = Plan::nothing();
        let mut status = self.cron_job.status.clone().unwrap_or_default();
        self.follow(&mut status, &mut plan);
        plan.then(self.cleanup());
        if self.cron_job.status.clone().unwrap_or_default() != status {
            // What is due is decided on the status as the View shows it.
            plan.then(vec![self.write(status)]);
            return plan;
        }
        let suspended = self.spec.suspend == Some(true);
        if !self.object.metadata.is_deleting() && !suspended {
            match Clock::of(&self.spec) {
                Ok(clock) => self.schedule(&clock, &status, &mut plan),
                Err((reason, message)) => plan.events.push(self.warning(reason, message)),
            }
        }
        plan
    }

    /// Brings the list of active Jobs and the times up to what the Jobs themselves say.
    fn follow(&self, status: &mut CronJobStatus, plan: &mut Plan) {
        let mut active = status.active.take().unwrap_or_default();
        for job in &self.jobs {
            let uid = &job.metadata.uid;
            let name = job.metadata.name.as_deref().unwrap_or_default();
            let place = active.iter().position(|reference| reference.uid == *uid);
            let scheduled = self.scheduled_time(job);
            if let Some(time) = scheduled
                && status.last_schedule_time.as_ref().is_none_or(|last| last.0 < time)
            {
                status.last_schedule_time = Some(Time(time));
            }
            match (place, finished_condition(job)) {
                (None, None) if scheduled.is_some() => active.push(reference(job)),
                (None, None) => {
                    let message =
                        format!("Saw a job that the controller did not create or forgot: {name}");
                    plan.events.push(self.warning("UnexpectedJob", message));
                }
                (Some(place), Some(condition)) => {
                    active.remove(place);
                    let condition = &condition.type_;
                    let message = format!("Saw completed job: {name}, condition: {condition}");
                    plan.events.push(self.notice("SawCompletedJob", message));
                }
                _ => {}
            }
            note_success(status, job);
        }
        active.retain(|reference| {
            let found = self.jobs.iter().any(|job| job.metadata.uid == reference.uid);
            if !found {
                let name = reference.name.as_deref().unwrap_or_default();
                let message = format!("Active job went missing: {name}");
                plan.events.push(self.notice("MissingJob", message));
            }
            found
        });
        status.active = (!active.is_empty()).then_some(active);
    }

    /// The time that a Job was made for, if we made it.
    fn scheduled_time(&self, job: &Job) -> Option<Timestamp> {
        let annotations = job.metadata.annotations.as_ref()?;
        let time: Timestamp = annotations.get(SCHEDULED)?.parse().ok()?;
        (job.metadata.name.as_deref() == Some(&self.job_name(time))).then_some(time)
    }

    fn job_name(&self, time: Timestamp) -> String {
        format!("{}-{}", self.object.metadata.name, time.as_second().div_euclid(60))
    }

    fn schedule(&self, clock: &Clock, status: &CronJobStatus, plan: &mut Plan) {
        plan.again = clock.next(&self.cron_job, self.now);
        let due = match clock.due(&self.cron_job, true, self.now) {
            Ok(due) => due,
            Err((reason, message)) => return plan.events.push(self.warning(reason, message)),
        };
        if due.too_many() {
            let message = "too many missed start times. Set or decrease \
                           .spec.startingDeadlineSeconds or check clock skew";
            plan.events.push(self.warning("TooManyMissedTimes", message.to_owned()));
        }
        let Some(time) = due.latest else { return };
        let deadline = self.spec.starting_deadline_seconds.map(SignedDuration::from_secs);
        if deadline.and_then(|wait| time.checked_add(wait).ok()).is_some_and(|end| end < self.now) {
            let time = time.strftime("%a, %d %b %Y %H:%M:%S +0000");
            let message = format!("Missed scheduled time to start a job: {time}");
            return plan.events.push(self.warning("MissSchedule", message));
        }
        let name = self.job_name(time);
        let active = status.active.as_deref().unwrap_or_default();
        let exists = self.jobs.iter().any(|job| job.metadata.name.as_ref() == Some(&name));
        let processed = status.last_schedule_time.as_ref().is_some_and(|last| last.0 == time);
        if exists || processed {
            return;
        }
        let policy = self.spec.concurrency_policy.as_deref().unwrap_or("Allow");
        if policy == "Forbid" && !active.is_empty() {
            let message = "Not starting job because prior execution is running and concurrency \
                           policy is Forbid";
            return plan.events.push(self.notice("JobAlreadyActive", message.to_owned()));
        }
        if policy == "Replace" {
            let uids = active.iter().filter_map(|reference| reference.uid.as_ref());
            let replaced = uids.filter_map(|uid| {
                self.jobs.iter().find(|job| job.metadata.uid.as_ref() == Some(uid))
            });
            plan.then(replaced.map(|job| self.delete(job)).collect());
        }
        plan.then(vec![self.create(clock, &name, time)]);
    }

    fn create(&self, clock: &Clock, name: &str, time: Timestamp) -> Step {
        let template: Value = self
            .object
            .decode()
            .map(|json: Value| json["spec"]["jobTemplate"].clone())
            .unwrap_or_default();
        let zoned = time.to_zoned(clock.zone.clone());
        let offset = if zoned.offset().is_zero() { "Z" } else { "%:z" };
        let mut metadata = json!({
            "name": name,
            "namespace": self.object.metadata.namespace,
            "annotations": template["metadata"]["annotations"],
            "ownerReferences": [owner_reference(&resources::CRON_JOBS, self.object)],
        });
        let scheduled = zoned.strftime(&format!("%Y-%m-%dT%H:%M:%S{offset}")).to_string();
        metadata["annotations"][SCHEDULED] = json!(scheduled);
        if !template["metadata"]["labels"].is_null() {
            metadata["labels"] = template["metadata"]["labels"].clone();
        }
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata,
            "spec": template["spec"]});
        Step::create(&resources::JOBS, &self.object.metadata.namespace, &job)
            .telling(self.notice("SuccessfulCreate", "Created job {}".into()))
            .complaining(self.warning("FailedCreate", "Error creating job: {}".into()))
    }

    /// Ended Jobs beyond what is kept of successes and of failures.
    fn cleanup(&self) -> Vec<Step> {
        let limits = [
            ("Complete", self.spec.successful_jobs_history_limit),
            ("Failed", self.spec.failed_jobs_history_limit),
        ];
        let mut steps = Vec::new();
        for (condition, limit) in limits {
            let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { continue };
            let ended = |job: &&Job| finished_condition(job).is_some_and(|c| c.type_ == condition);
            let mut jobs: Vec<&Job> = self.jobs.iter().filter(ended).collect();
            jobs.sort_by_key(|job| {
                let start = job.status.as_ref().and_then(|s| s.start_time.as_ref());
                Reverse((start.map(|time| time.0), job.metadata.name.as_deref()))
            });
            let old = jobs.into_iter().skip(limit);
            let old = old.filter(|job| job.metadata.deletion_timestamp.is_none());
            steps.extend(old.map(|job| self.delete(job)));
        }
        steps
    }

    fn delete(&self, job: &Job) -> Step {
        let name = job.metadata.name.as_deref().unwrap_or_default();
        let key = Key::new(&self.object.metadata.namespace, name);
        let mut options = DeleteOptions::of(job.metadata.uid.as_deref().unwrap_or_default());
        options.propagation_policy = Some("Background");
        Step::delete(&resources::JOBS, key, options)
            .telling(self.notice("SuccessfulDelete", format!("Deleted job {name}")))
            .complaining(self.warning("FailedDelete", "Deleted job: {}".into()))
    }

    fn write(&self, status: CronJobStatus) -> Step {
        let mut updated = self.cron_job.clone();
        updated.status = Some(status);
        Step::update_status(&resources::CRON_JOBS, self.object.key(), &updated)
    }

    fn notice(&self, reason: &str, message: String) -> Occurrence {
        event(&resources::CRON_JOBS, self.object, EventType::Normal, reason, message)
    }

    fn warning(&self, reason: &str, message: String) -> Occurrence {
        event(&resources::CRON_JOBS, self.object, EventType::Warning, reason, message)
    }
}

fn reference(job: &Job) -> ObjectReference {
    ObjectReference {
        api_version: Some(resources::JOBS.api_version()),
        kind: Some(resources::JOBS.kind.to_string()),
        name: job.metadata.name.clone(),
        namespace: job.metadata.namespace.clone(),
        resource_version: job.metadata.resource_version.clone(),
        uid: job.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

fn note_success(status: &mut CronJobStatus, job: &Job) {
    if finished_condition(job).is_none_or(|condition| condition.type_ != "Complete") {
        return;
    }
    let Some(time) = job.status.as_ref().and_then(|s| s.completion_time.as_ref()) else { return };
    if status.last_successful_time.as_ref().is_none_or(|last| last.0 < time.0) {
        status.last_successful_time = Some(time.clone());
    }
}

#[cfg(test)]
mod tests;

//! Job: pods run until enough of them have succeeded. A finalizer keeps each pod until it is counted,
//! so that none is forgotten and none is counted twice.

mod backoff;
mod indexes;
mod orphans;
mod pod;
mod policy;
mod tally;
mod tracking;
mod verdict;
mod workers;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};
use kd_api::selector::Selector;
use kd_client::{Change, EventType, Interest, Object, Occurrence, View, label_selector, resources};
use serde_json::Value;

use self::pod::JobPod;
use self::tally::Tally;
use crate::claims::{Claim, claimants};
use crate::controller::Failure;
use crate::{Controller, Plan, Step, Target, event};

const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// Annotation and label of a pod of an Indexed Job.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-failure-count";
const IGNORED_FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
/// Jobs that are managed by anything else are left alone.
const MANAGER: &str = "kubernetes.io/job-controller";

pub(super) struct Jobs;

/// A Job and its pods at one moment.
struct Sync<'a> {
    object: &'a Object,
    job: &'a Job,
    spec: &'a JobSpec,
    template: Value,
    pods: Vec<JobPod>,
    tally: Tally,
    now: Timestamp,
}

/// What is decided so far.
struct Round {
    /// Pods that come and go.
    pods: Plan,
    status: JobStatus,
    active: usize,
    ready: usize,
    terminating: usize,
}

impl Controller for Jobs {
    fn name(&self) -> &'static str {
        "job-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![Interest::full(&resources::JOBS), Interest::full(&resources::PODS)]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        let Some(object) = change.object() else { return Vec::new() };
        if change.resource.same(&resources::PODS) {
            let selector = |job: &Object| selector_of(job.decode::<Job>()?.spec.as_ref()?);
            let mut targets = claimants(view, change, &resources::JOBS, selector);
            targets.extend(orphans::of_pod(view, change));
            return targets;
        }
        let mut targets = vec![Target::of(&change.resource, object)];
        targets.extend(orphans::of_job(view, object));
        targets
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        if target.resource.same(&resources::PODS) {
            return orphans::release(view, target);
        }
        let Some((object, job)) = managed(view, target) else { return Plan::nothing() };
        let Some(spec) = job.spec.as_ref() else { return Plan::nothing() };
        let claims = claims(view, object, spec);
        if !claims.is_empty() {
            return Plan::together(claims);
        }
        Sync::of(view, object, &job, spec, now).plan(true)
    }

    fn failed(&self, view: &View, target: &Target, now: Timestamp, failure: &Failure) -> Plan {
        if !failure.resource.same(&resources::PODS) || !failure.create {
            return Plan::nothing();
        }
        let Some((object, job)) = managed(view, target) else { return Plan::nothing() };
        let Some(spec) = job.spec.as_ref() else { return Plan::nothing() };
        Sync::of(view, object, &job, spec, now).plan(false)
    }
}

/// The Job of a target, if it is ours and has not ended.
fn managed<'a>(view: &'a View, target: &Target) -> Option<(&'a Arc<Object>, Job)> {
    let object = view.object(&resources::JOBS, &target.key)?;
    let job: Job = object.decode()?;
    let ours = is_ours(&job) && !is_finished(&job);
    ours.then_some((object, job))
}

fn is_ours(job: &Job) -> bool {
    let manager = job.spec.as_ref().and_then(|spec| spec.managed_by.as_deref());
    manager.is_none_or(|name| name == MANAGER)
}

/// Whether a Job is complete or has failed.
pub(super) fn is_finished(job: &Job) -> bool {
    finished_condition(job).is_some()
}

/// The condition that ended a Job.
pub(super) fn finished_condition(job: &Job) -> Option<&k8s_openapi::api::batch::v1::JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| matches!(&*c.type_, "Complete" | "Failed") && c.status == "True")
}

fn selector_of(spec: &JobSpec) -> Option<Selector> {
    label_selector(Some(spec.selector.as_ref()?)).ok()
}

fn claims(view: &View, object: &Object, spec: &JobSpec) -> Vec<Step> {
    let Some(selector) = selector_of(spec) else { return Vec::new() };
    let resource = &resources::JOBS;
    let claim = Claim {
        resource,
        object,
        selector: &selector,
        finalizer: Some(FINALIZER),
        fits: &|_| true,
    };
    claim.settle(view, &resources::PODS, |_| true)
}

fn job_event(
    object: &Object,
    event_type: EventType,
    reason: &str,
    message: impl Into<String>,
) -> Occurrence {
    event(&resources::JOBS, object, event_type, reason, message)
}

impl<'a> Sync<'a> {
    fn of(
        view: &View,
        object: &'a Arc<Object>,
        job: &'a Job,
        spec: &'a JobSpec,
        now: Timestamp,
    ) -> Sync<'a> {
        let owned = view.controlled_by(&resources::PODS, &object.metadata.uid);
        let mut pods: Vec<JobPod> = owned.map(JobPod::of).collect();
        // Completed indexes become known in order.
        pods.sort_by_key(|pod| pod.index);
        let template = object.decode::<Value>().map(|mut json| json["spec"]["template"].take());
        let tally = Tally::of(job, spec, &pods);
        Sync { object, job, spec, template: template.unwrap_or_default(), pods, tally, now }
    }

    /// What to do. Without `manage` only what happened is written down.
    fn plan(&self, manage: bool) -> Plan {
        let mut round = self.begin();
        let mut verdict = self.verdict(&mut round);
        if verdict.is_some() {
            self.delete_active(&mut round);
        } else {
            let manage = manage && !self.object.metadata.is_deleting();
            if manage {
                self.manage(&mut round);
            }
            if self.is_complete(round.active) {
                verdict = Some(verdict::Verdict::completed());
            } else if manage {
                self.tell_suspension(&mut round);
            }
        }
        self.track(round, verdict)
    }

    fn begin(&self) -> Round {
        let mut status = self.job.status.clone().unwrap_or_default();
        if status.start_time.is_none() && !self.is_suspended() {
            status.start_time = Some(self.time());
        }
        let active = || self.pods.iter().filter(|pod| pod.state.is_active());
        Round {
            pods: Plan::nothing(),
            status,
            active: active().count(),
            ready: active().filter(|pod| pod.state.is_ready()).count(),
            terminating: self.pods.iter().filter(|pod| pod.is_terminating()).count(),
        }
    }

    fn is_suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    fn is_indexed(&self) -> bool {
        tally::is_indexed(self.spec)
    }

    fn completions(&self) -> usize {
        tally::completions(self.spec)
    }

    fn parallelism(&self) -> usize {
        usize::try_from(self.spec.parallelism.unwrap_or(1)).unwrap_or(0)
    }

    fn replaces_only_failed(&self) -> bool {
        tally::replaces_only_failed(self.spec)
    }

    fn time(&self) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Time {
        k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.now)
    }
}

#[cfg(test)]
mod tests;

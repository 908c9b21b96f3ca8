//! Counting each ended pod exactly once: its uid is written to the status, then its finalizer is
//! removed, then the uid is turned into a count. Completed indexes stand for themselves.

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::{JobStatus, UncountedTerminatedPods};
use kd_client::{EventType, resources};

use super::indexes::Indexes;
use super::orphans::untrack;
use super::pod::JobPod;
use super::policy::{Failure, judge};
use super::verdict::{Verdict, set_condition};
use super::{Round, Sync, job_event};
use crate::{Plan, Step};

/// Pods on their way from being seen to being counted.
const UNCOUNTED_MAX: usize = 500;

/// Pods whose finalizers may go once the status says so, and whether there are more.
struct Counted<'a> {
    releases: Vec<&'a JobPod>,
    indexes: Vec<usize>,
    more: bool,
}

impl Sync<'_> {
    /// Adds the status write and what follows it to a round.
    pub(super) fn track(&self, round: Round, verdict: Option<Verdict>) -> Plan {
        let Round { pods: mut plan, mut status, active, ready, terminating } = round;
        let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        status.active = Some(count(active)).filter(|count| *count > 0);
        status.ready = Some(count(ready));
        status.terminating = Some(count(terminating));
        self.count_released(&mut status);
        let counted = self.count_ended(&mut status, verdict.as_ref());
        if self.is_indexed() {
            self.write_indexes(&mut status, &counted.indexes);
        }
        let mut done = None;
        if let Some(verdict) = &verdict {
            let said = (verdict.reason.as_str(), verdict.message.as_str());
            set_condition(&mut status, verdict.interim(), "True", said, self.now);
            let settled = counted.releases.is_empty() && !counted.more;
            if settled && terminating == 0 && uncounted(&status) == 0 {
                done = Some(self.finish(&mut status, verdict));
            }
        }
        if self.job.status.as_ref() != Some(&status) {
            let mut updated = self.job.clone();
            updated.status = Some(status);
            let mut step = Step::update_status(&resources::JOBS, self.object.key(), &updated);
            step.done = done;
            plan.then(vec![step]);
        }
        plan.then(counted.releases.iter().map(|pod| untrack(&pod.state.object)).collect());
        plan
    }

    fn finish(&self, status: &mut JobStatus, verdict: &Verdict) -> kd_client::Occurrence {
        let said = (verdict.reason.as_str(), verdict.message.as_str());
        set_condition(status, verdict.terminal(), "True", said, self.now);
        if verdict.success {
            status.completion_time = Some(self.time());
            return job_event(self.object, EventType::Normal, "Completed", "Job completed");
        }
        let (reason, message) = (&verdict.reason, verdict.message.clone());
        job_event(self.object, EventType::Warning, reason, message)
    }

    /// Pods that have lost their finalizer move from the list to the count.
    fn count_released(&self, status: &mut JobStatus) {
        let tracked: BTreeSet<&str> =
            self.pods.iter().filter(|pod| pod.tracked).map(JobPod::uid).collect();
        let mut uncounted = status.uncounted_terminated_pods.take().unwrap_or_default();
        for (list, total) in [
            (&mut uncounted.succeeded, &mut status.succeeded),
            (&mut uncounted.failed, &mut status.failed),
        ] {
            let Some(uids) = list else { continue };
            let before = uids.len();
            uids.retain(|uid| tracked.contains(uid.as_str()));
            let moved = i32::try_from(before - uids.len()).unwrap_or(0);
            if moved > 0 {
                *total = Some(total.unwrap_or(0) + moved);
            }
            if uids.is_empty() {
                *list = None;
            }
        }
        status.uncounted_terminated_pods = Some(uncounted);
    }

    /// Lists pods that have ended since.
    fn count_ended(&self, status: &mut JobStatus, verdict: Option<&Verdict>) -> Counted<'_> {
        let lists = status.uncounted_terminated_pods.get_or_insert_default();
        let mut counted = Counted { releases: Vec::new(), indexes: Vec::new(), more: false };
        let over_failed = verdict.is_some_and(|verdict| !verdict.success);
        for pod in self.pods.iter().filter(|pod| pod.tracked) {
            let failed = pod.has_failed(self.replaces_only_failed());
            if !self.may_go(pod, failed, verdict.is_some()) {
                continue;
            }
            counted.releases.push(pod);
            let valid = pod.index.filter(|index| *index < self.completions());
            let listed_failed = self.tally.uncounted_failed.contains(pod.uid());
            if pod.has_succeeded() && !listed_failed {
                if self.is_indexed() {
                    let new = valid.filter(|index| !self.tally.known_indexes.has(*index));
                    counted.indexes.extend(new);
                } else if !self.tally.uncounted_succeeded.contains(pod.uid()) {
                    lists.succeeded.get_or_insert_default().push(pod.uid().to_owned());
                }
            } else if (failed || over_failed)
                && !listed_failed
                && (!self.is_indexed() || valid.is_some())
                && judge(self.spec.pod_failure_policy.as_ref(), pod) != Failure::Ignored
            {
                lists.failed.get_or_insert_default().push(pod.uid().to_owned());
            }
            if counted.indexes.len() + listed(lists) >= UNCOUNTED_MAX {
                counted.more = true;
                break;
            }
        }
        counted
    }

    /// Whether a pod need not be kept: it has ended, or the Job has.
    fn may_go(&self, pod: &JobPod, failed: bool, over: bool) -> bool {
        if self.object.metadata.is_deleting() || over || pod.has_succeeded() {
            return true;
        }
        let awaits_replacement = || {
            let place = pod.index.and_then(|index| self.tally.delayed.get(&index));
            place.is_some_and(|place| self.pods[*place].uid() == pod.uid())
        };
        failed && !awaits_replacement()
    }

    fn write_indexes(&self, status: &mut JobStatus, new: &[usize]) {
        let complete = self.tally.known_indexes.union(&Indexes::of(new.iter().copied()));
        let total = i32::try_from(complete.total()).unwrap_or(i32::MAX);
        status.succeeded = Some(total).filter(|total| *total > 0);
        status.completed_indexes = Some(complete.to_string()).filter(|text| !text.is_empty());
        status.failed_indexes = self.tally.failed_indexes.as_ref().map(ToString::to_string);
    }
}

fn listed(lists: &UncountedTerminatedPods) -> usize {
    lists.succeeded.as_ref().map_or(0, Vec::len) + lists.failed.as_ref().map_or(0, Vec::len)
}

fn uncounted(status: &JobStatus) -> usize {
    status.uncounted_terminated_pods.as_ref().map_or(0, listed)
}

//! How many pods of a Job have succeeded and failed, by count and by index.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::batch::v1::{Job, JobSpec};

use super::indexes::Indexes;
use super::pod::JobPod;
use super::policy::{Failure, judge};

/// What is counted in the status, and what its pods show beyond that.
pub(super) struct Tally {
    pub succeeded: usize,
    pub failed: usize,
    /// Indexes that the status lists as complete.
    pub known_indexes: Indexes,
    /// Those, and the ones whose pods have succeeded since.
    pub succeeded_indexes: Indexes,
    /// Failed indexes, where each index has its own limit.
    pub failed_indexes: Option<Indexes>,
    /// By index, the place of the failed pod that its replacement takes the failure count from.
    pub delayed: BTreeMap<usize, usize>,
    /// Uids in the status, not yet counted.
    pub uncounted_succeeded: BTreeSet<String>,
    pub uncounted_failed: BTreeSet<String>,
}

pub(super) fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

pub(super) fn completions(spec: &JobSpec) -> usize {
    usize::try_from(spec.completions.unwrap_or(1)).unwrap_or(0)
}

/// Whether pods that are only being deleted are waited for.
pub(super) fn replaces_only_failed(spec: &JobSpec) -> bool {
    spec.pod_replacement_policy.as_deref() == Some("Failed") || spec.pod_failure_policy.is_some()
}

impl Tally {
    pub fn of(job: &Job, spec: &JobSpec, pods: &[JobPod]) -> Tally {
        let status = job.status.clone().unwrap_or_default();
        let uncounted = status.uncounted_terminated_pods.unwrap_or_default();
        let uids = |list: Option<Vec<String>>| list.into_iter().flatten().collect();
        let uncounted_succeeded: BTreeSet<String> = uids(uncounted.succeeded);
        let uncounted_failed: BTreeSet<String> = uids(uncounted.failed);
        let only_failed = replaces_only_failed(spec);
        let valid = |pod: &&JobPod| {
            pod.tracked && (!is_indexed(spec) || pod.index.is_some_and(|i| i < completions(spec)))
        };
        let fresh = || pods.iter().filter(valid);
        let new_succeeded =
            fresh().filter(|pod| pod.has_succeeded() && !uncounted_succeeded.contains(pod.uid()));
        let new_failed = fresh().filter(|pod| {
            pod.has_failed(only_failed)
                && !uncounted_failed.contains(pod.uid())
                && judge(spec.pod_failure_policy.as_ref(), pod) != Failure::Ignored
        });
        let counted = |count: Option<i32>| usize::try_from(count.unwrap_or(0)).unwrap_or(0);
        let mut tally = Tally {
            succeeded: counted(status.succeeded)
                + new_succeeded.count()
                + uncounted_succeeded.len(),
            failed: counted(status.failed) + new_failed.count() + uncounted_failed.len(),
            known_indexes: Indexes::default(),
            succeeded_indexes: Indexes::default(),
            failed_indexes: None,
            delayed: BTreeMap::new(),
            uncounted_succeeded,
            uncounted_failed,
        };
        if is_indexed(spec) {
            let complete = status.completed_indexes.unwrap_or_default();
            let failed = status.failed_indexes.unwrap_or_default();
            tally.count_indexes(spec, pods, &complete, &failed);
        }
        tally
    }

    fn count_indexes(&mut self, spec: &JobSpec, pods: &[JobPod], complete: &str, failed: &str) {
        let limit = completions(spec);
        let tracked = || pods.iter().filter(|pod| pod.tracked);
        let index = |pod: &JobPod| pod.index.filter(|index| *index < limit);
        self.known_indexes = Indexes::parse(complete, limit);
        let new = tracked().filter(|pod| pod.has_succeeded()).filter_map(index);
        self.succeeded_indexes = self.known_indexes.union(&Indexes::of(new));
        self.succeeded = self.succeeded_indexes.total();
        let Some(per_index) = spec.backoff_limit_per_index else { return };
        let per_index = u32::try_from(per_index).unwrap_or(0);
        let new = tracked().filter(|pod| index_has_failed(spec, pod, per_index)).filter_map(index);
        let failed = Indexes::parse(failed, limit).union(&Indexes::of(new));
        let active: BTreeSet<usize> =
            pods.iter().filter(|pod| pod.state.is_active()).filter_map(|pod| pod.index).collect();
        for (place, pod) in pods.iter().enumerate() {
            let Some(index) = index(pod) else { continue };
            let settled = self.succeeded_indexes.has(index) || failed.has(index);
            let replaced = active.contains(&index);
            let fails = pod.has_failed(replaces_only_failed(spec));
            if !pod.tracked || !fails || settled || replaced {
                continue;
            }
            let failures = |place: usize| all_failures(&pods[place]);
            let known = self.delayed.get(&index).copied();
            if known.is_none_or(|known| failures(known) <= failures(place)) {
                self.delayed.insert(index, place);
            }
        }
        self.failed_indexes = Some(failed);
    }
}

/// Failures of the pod's index before it, whether or not they counted.
pub(super) fn all_failures(pod: &JobPod) -> u32 {
    pod.index_failures.saturating_add(pod.index_ignored_failures)
}

fn index_has_failed(spec: &JobSpec, pod: &JobPod, limit: u32) -> bool {
    if !pod.has_failed(replaces_only_failed(spec)) {
        return false;
    }
    match judge(spec.pod_failure_policy.as_ref(), pod) {
        Failure::FailsIndex => true,
        Failure::Ignored => false,
        Failure::Counts | Failure::FailsJob(_) => pod.index_failures >= limit,
    }
}

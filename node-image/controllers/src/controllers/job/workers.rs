//! The pods that a Job runs: which are surplus, which are missing, and what new ones look like.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kd_client::resources;
use serde_json::{Value, json};

use super::orphans::untrack;
use super::pod::JobPod;
use super::policy::{Failure, judge};
use super::tally::all_failures;
use super::{FAILURE_COUNT, FINALIZER, IGNORED_FAILURE_COUNT, INDEX, Round, Sync, backoff};
use crate::Step;
use crate::pods::{
    PodState, deletion_order, growing_batches, pod_creation, pod_deletion, pod_from_template,
};

/// Pods created or deleted in one plan.
const BURST_PODS: usize = 500;
/// The longest prefix that the server completes to a name.
const PREFIX_MAX: usize = 58;
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

impl Sync<'_> {
    /// Ends what still runs, as the Job is over. Their finalizers stay until they are counted.
    pub(super) fn delete_active(&self, round: &mut Round) {
        let active = self.pods.iter().filter(|pod| pod.state.is_active());
        let steps =
            active.map(|pod| pod_deletion(&resources::JOBS, self.object, &pod.state.object));
        round.pods.then(steps.collect());
        round.terminating += round.active;
        (round.active, round.ready) = (0, 0);
    }

    /// Creates or deletes pods so that as many run as should.
    pub(super) fn manage(&self, round: &mut Round) {
        let wanted = self.wanted(round.active);
        let surplus = self.surplus(round.active.saturating_sub(wanted));
        if !surplus.is_empty() {
            self.take_down(round, &surplus[..surplus.len().min(BURST_PODS)]);
            return;
        }
        if self.is_suspended() {
            return;
        }
        let leaving = if self.replaces_only_failed() { round.terminating } else { 0 };
        let missing = wanted.saturating_sub(leaving + round.active).min(BURST_PODS);
        if missing > 0 {
            self.create(round, missing);
        }
    }

    fn wanted(&self, active: usize) -> usize {
        if self.is_suspended() {
            return 0;
        }
        match self.spec.completions {
            None if self.tally.succeeded > 0 => active,
            None => self.parallelism(),
            Some(_) => {
                self.completions().saturating_sub(self.tally.succeeded).min(self.parallelism())
            }
        }
    }

    /// At least so many active pods to remove: those without a valid index or with one that another
    /// pod has too, then those that lose least.
    fn surplus(&self, at_least: usize) -> Vec<PodState> {
        let active = self.pods.iter().filter(|pod| pod.state.is_active());
        let mut indexed: Vec<(Option<usize>, PodState)> =
            active.map(|pod| (pod.index, pod.state.clone())).collect();
        let mut removed = Vec::new();
        if self.is_indexed() {
            let mut states: Vec<PodState> = indexed.iter().map(|(_, pod)| pod.clone()).collect();
            deletion_order(&mut states, &BTreeMap::new());
            let rank = |pod: &PodState| {
                states.iter().position(|s| s.object.metadata.uid == pod.object.metadata.uid)
            };
            // The pod that would go last keeps the index.
            indexed.sort_by_cached_key(|(_, pod)| std::cmp::Reverse(rank(pod)));
            let mut taken = BTreeSet::new();
            let limit = self.completions();
            let keeps = |index: Option<usize>| index.is_some_and(|i| i < limit);
            indexed.retain(|(index, pod)| {
                let kept = keeps(*index) && taken.insert(*index);
                if !kept {
                    removed.push(pod.clone());
                }
                kept
            });
        }
        let more = at_least.saturating_sub(removed.len());
        let mut left: Vec<PodState> = indexed.into_iter().map(|(_, pod)| pod).collect();
        deletion_order(&mut left, &BTreeMap::new());
        removed.extend(left.into_iter().take(more));
        removed
    }

    /// Deletes pods that are too many; they are let go first, so that they count as nothing.
    fn take_down(&self, round: &mut Round, pods: &[PodState]) {
        let tracked =
            |pod: &&PodState| pod.object.metadata.finalizers.iter().any(|f| f == FINALIZER);
        round.pods.then(pods.iter().filter(tracked).map(|pod| untrack(&pod.object)).collect());
        let steps = pods.iter().map(|pod| pod_deletion(&resources::JOBS, self.object, &pod.object));
        round.pods.then(steps.collect());
        round.active -= pods.len();
        round.ready -= pods.iter().filter(|pod| pod.is_ready()).count();
        round.terminating += pods.len();
    }

    fn create(&self, round: &mut Round, missing: usize) {
        let per_index = self.tally.failed_indexes.is_some();
        if !per_index {
            let wait = backoff::until(&self.pods, self.replaces_only_failed(), self.now);
            if let Some(time) = wait {
                round.pods.not_later_than(time);
                return;
            }
        }
        let steps: Vec<Step> = if self.is_indexed() {
            let (indexes, wait) = self.ready_indexes(self.pending_indexes(missing));
            if let Some(time) = wait {
                round.pods.not_later_than(time);
            }
            indexes.into_iter().map(|index| self.indexed_pod(index)).collect()
        } else {
            vec![self.plain_pod(); missing]
        };
        round.active += steps.len();
        let mut steps = steps.into_iter();
        for size in growing_batches(steps.len()) {
            round.pods.then(steps.by_ref().take(size).collect());
        }
    }

    fn pending_indexes(&self, count: usize) -> Vec<usize> {
        let busy = self.pods.iter().filter(|pod| {
            pod.state.is_active() || (self.replaces_only_failed() && pod.is_terminating())
        });
        let busy = super::indexes::Indexes::of(busy.filter_map(|pod| pod.index));
        let mut settled = self.tally.succeeded_indexes.union(&busy);
        if let Some(failed) = &self.tally.failed_indexes {
            settled = settled.union(failed);
        }
        settled.missing(count, self.completions())
    }

    /// The indexes that need not wait for their own back-off, and until when the first of the others
    /// has to.
    fn ready_indexes(&self, indexes: Vec<usize>) -> (Vec<usize>, Option<Timestamp>) {
        let wait = |index: &usize| {
            let pod = &self.pods[*self.tally.delayed.get(index)?];
            let failures = usize::try_from(all_failures(pod)).unwrap_or(usize::MAX);
            backoff::after(failures.saturating_add(1), pod.finished_at(), self.now)
        };
        let waits: Vec<Option<Timestamp>> = indexes.iter().map(wait).collect();
        let first = waits.iter().flatten().min().copied();
        let ready = indexes.into_iter().zip(&waits).filter(|(_, wait)| wait.is_none());
        (ready.map(|(index, _)| index).collect(), first)
    }

    fn plain_pod(&self) -> Step {
        let mut pod = self.pod();
        pod["metadata"]["generateName"] = json!(format!("{}-", self.object.metadata.name));
        pod_creation(&resources::JOBS, self.object, &pod)
    }

    fn pod(&self) -> Value {
        let mut pod = pod_from_template(&resources::JOBS, self.object, &self.template);
        let mut finalizers = pod["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        if !finalizers.iter().any(|f| f == FINALIZER) {
            finalizers.push(json!(FINALIZER));
        }
        pod["metadata"]["finalizers"] = json!(finalizers);
        pod
    }

    fn indexed_pod(&self, index: usize) -> Step {
        let mut pod = self.pod();
        let job = &self.object.metadata.name;
        let suffix = format!("-{index}-");
        let kept = job.get(..PREFIX_MAX.saturating_sub(suffix.len())).unwrap_or(job);
        let metadata = &mut pod["metadata"];
        metadata["generateName"] = json!(format!("{kept}{suffix}"));
        metadata["annotations"][INDEX] = json!(index.to_string());
        metadata["labels"][INDEX] = json!(index.to_string());
        if self.tally.failed_indexes.is_some() {
            let (counted, ignored) = self.failures_before(index);
            metadata["annotations"][FAILURE_COUNT] = json!(counted.to_string());
            if ignored > 0 {
                metadata["annotations"][IGNORED_FAILURE_COUNT] = json!(ignored.to_string());
            }
        }
        pod["spec"]["hostname"] = json!(format!("{job}-{index}"));
        for list in ["initContainers", "containers"] {
            for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
                add_index_variable(container);
            }
        }
        if pod["spec"]["initContainers"].is_null()
            && let Some(spec) = pod["spec"].as_object_mut()
        {
            spec.remove("initContainers");
        }
        pod_creation(&resources::JOBS, self.object, &pod)
    }

    /// Failures that the new pod of an index inherits: those that count, and the ignored ones.
    fn failures_before(&self, index: usize) -> (u32, u32) {
        let Some(place) = self.tally.delayed.get(&index) else { return (0, 0) };
        let pod: &JobPod = &self.pods[*place];
        let (counted, ignored) = (pod.index_failures, pod.index_ignored_failures);
        match judge(self.spec.pod_failure_policy.as_ref(), pod) {
            Failure::Ignored => (counted, ignored.saturating_add(1)),
            _ => (counted.saturating_add(1), ignored),
        }
    }
}

fn add_index_variable(container: &mut Value) {
    let mut variables = container["env"].as_array().cloned().unwrap_or_default();
    if variables.iter().any(|variable| variable["name"] == INDEX_VARIABLE) {
        return;
    }
    let path = format!("metadata.labels['{INDEX}']");
    variables.push(json!({"name": INDEX_VARIABLE,
        "valueFrom": {"fieldRef": {"fieldPath": path}}}));
    container["env"] = json!(variables);
}

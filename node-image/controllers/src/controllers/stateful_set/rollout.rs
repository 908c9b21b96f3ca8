//! In which order the pods of a StatefulSet come, go and are renewed.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::RollingUpdateStatefulSetStrategy;

use super::{Member, Sync, is_running_and_ready, is_terminating};
use crate::pods::growing_batches;
use crate::share::resolve;
use crate::{Plan, Step};

/// Pods created or deleted in one plan.
const BURST_PODS: usize = 500;

/// Steps by what they concern, in the order in which they have to be done.
#[derive(Default)]
struct Steps {
    claims: Vec<Step>,
    creates: Vec<Step>,
    changes: Vec<Step>,
    deletes: Vec<Step>,
}

impl Sync<'_> {
    /// What to do about the pods.
    pub(super) fn process(&self, plan: &mut Plan) {
        let mut steps = Steps::default();
        self.decide(&mut steps);
        plan.then(steps.claims);
        plan.then(steps.changes);
        let mut creates = steps.creates.into_iter();
        for batch in growing_batches(creates.len().min(BURST_PODS)) {
            plan.then(creates.by_ref().take(batch).collect());
        }
        plan.then(steps.deletes.into_iter().take(BURST_PODS).collect());
    }

    fn decide(&self, steps: &mut Steps) {
        let by_ordinal: BTreeMap<i32, &Member> =
            self.members.iter().map(|member| (member.ordinal, member)).collect();
        let ordered = self.is_ordered();
        for ordinal in self.start()..self.start().saturating_add(self.replicas()) {
            let waits = match by_ordinal.get(&ordinal) {
                Some(member) => self.keep(steps, member),
                None => self.add(steps, ordinal),
            };
            if ordered && waits {
                return;
            }
        }
        let condemned = || self.members.iter().rev().filter(|m| !self.in_range(m.ordinal));
        steps.claims.extend(condemned().flat_map(|member| self.own_claims(member)));
        let first_unhealthy = self.first_unhealthy();
        for member in condemned() {
            let unhealthy = first_unhealthy == Some(member.ordinal);
            let waits = self.condemn(steps, member, unhealthy);
            if ordered && waits {
                return;
            }
        }
        if self.rolls() {
            self.renew(steps);
        }
    }

    /// Looks after a pod that should be there. Whether the next ones wait for it.
    fn keep(&self, steps: &mut Steps, member: &Member) -> bool {
        if member.state.has_ended() {
            if !is_terminating(member) {
                steps.deletes.push(self.delete(member));
            }
            return true;
        }
        if member.state.phase == "Pending" {
            steps.claims.extend(self.create_claims(member.ordinal).unwrap_or_default());
        }
        if self.is_ordered() && !self.serves(member) {
            return true;
        }
        steps.changes.extend(self.identify(member));
        steps.claims.extend(self.own_claims(member));
        false
    }

    fn add(&self, steps: &mut Steps, ordinal: i32) -> bool {
        if let Some(claims) = self.create_claims(ordinal) {
            steps.claims.extend(claims);
            steps.creates.push(self.create(ordinal));
        }
        true
    }

    /// Removes a pod beyond the last ordinal; in order, and not while another one is unhealthy.
    fn condemn(&self, steps: &mut Steps, member: &Member, first_unhealthy: bool) -> bool {
        if is_terminating(member) {
            return true;
        }
        if !self.is_ordered() || self.is_available(member) || first_unhealthy {
            steps.deletes.push(self.delete(member));
        }
        true
    }

    fn first_unhealthy(&self) -> Option<i32> {
        let unhealthy = |m: &&Member| !is_running_and_ready(m) || is_terminating(m);
        let (kept, condemned): (Vec<&Member>, Vec<&Member>) =
            self.members.iter().filter(unhealthy).partition(|m| self.in_range(m.ordinal));
        kept.first().or(condemned.first()).map(|member| member.ordinal)
    }

    fn rolling(&self) -> Option<&RollingUpdateStatefulSetStrategy> {
        self.spec.update_strategy.as_ref()?.rolling_update.as_ref()
    }

    fn max_unavailable(&self) -> usize {
        let wanted = self.rolling().and_then(|rolling| rolling.max_unavailable.as_ref());
        // Zero, by rounding, would never move.
        let resolved = resolve(wanted, self.replicas(), false).max(1);
        usize::try_from(resolved).unwrap_or(1)
    }

    /// Deletes pods of old revisions, the highest ordinals first, as many at once as may be missing.
    /// Those that do not serve anyway count where they stand.
    fn renew(&self, steps: &mut Steps) {
        let partition = self.rolling().and_then(|rolling| rolling.partition).unwrap_or(0);
        let from = self.start().saturating_add(partition);
        let update = Some(self.update.name());
        let stale =
            |m: &Member| m.ordinal >= from && self.revision_of(m) != update && !is_terminating(m);
        let kept = || self.members.iter().filter(|m| self.in_range(m.ordinal));
        let present = kept().count();
        let serving = kept().filter(|m| self.serves(m) || stale(m)).count();
        let replicas = usize::try_from(self.replicas()).unwrap_or(0).max(present);
        let room = self.max_unavailable().saturating_sub(replicas - serving);
        let ended = |m: &&Member| !m.state.has_ended();
        let old = kept().rev().filter(|m| stale(m)).filter(ended);
        steps.deletes.extend(old.take(room).map(|member| self.delete(member)));
    }
}

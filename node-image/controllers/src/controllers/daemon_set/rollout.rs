//! The rolling update of a DaemonSet: old pods go as far as maxUnavailable allows, or, with
//! maxSurge, once a new pod beside them is available.

use k8s_openapi::api::apps::v1::RollingUpdateDaemonSet;

use super::Sync;
use super::nodes::by_name;
use super::pods::Changes;
use crate::Plan;
use crate::pods::PodState;
use crate::share::resolve;

/// The pods of a node that are not on their way out; None when there are two of a kind.
struct Pair<'a> {
    new: Option<&'a PodState>,
    old: Option<&'a PodState>,
}

impl<'a> Sync<'a> {
    fn rolling(&self) -> Option<&RollingUpdateDaemonSet> {
        self.spec.update_strategy.as_ref()?.rolling_update.as_ref()
    }

    /// How many nodes should have a pod.
    pub(super) fn desired(&self) -> i32 {
        count(self.nodes.iter().filter(|node| node.runs).count())
    }

    /// Whether new pods may stand beside old ones.
    pub(super) fn surges(&self) -> bool {
        self.rolls() && self.max_surge() > 0
    }

    fn max_surge(&self) -> i32 {
        resolve(self.rolling().and_then(|r| r.max_surge.as_ref()), self.desired(), true)
    }

    fn max_unavailable(&self) -> i32 {
        let wanted = self.rolling().and_then(|r| r.max_unavailable.as_ref());
        match resolve(wanted, self.desired(), true) {
            0 if self.max_surge() == 0 => 1,
            resolved => resolved,
        }
    }

    fn pair(&self, pods: &'a [PodState]) -> Option<Pair<'a>> {
        let mut pair = Pair { new: None, old: None };
        for pod in pods.iter().filter(|pod| !pod.object.metadata.is_deleting()) {
            let place = if self.is_current(pod) { &mut pair.new } else { &mut pair.old };
            if place.replace(pod).is_some() {
                return None;
            }
        }
        Some(pair)
    }

    /// What the update does next.
    pub(super) fn roll(&'a self, plan: &mut Plan) -> Changes<'a> {
        if let Some(time) = self.next_available() {
            plan.not_later_than(time);
        }
        if self.surges() { self.roll_by_surge() } else { self.roll_in_place() }
    }

    /// When the next pod has been ready for long enough.
    fn next_available(&self) -> Option<jiff::Timestamp> {
        let seconds = self.spec.min_ready_seconds.unwrap_or(0);
        let times = self.pods.values().flatten().filter_map(|pod| pod.available_at(seconds));
        times.filter(|time| *time > self.now).min()
    }

    fn roll_in_place(&'a self) -> Changes<'a> {
        let empty: &[PodState] = &[];
        let with_pods = self.pods.values().map(Vec::as_slice);
        let without = self.nodes.iter().filter(|n| n.runs && !self.pods.contains_key(&n.name));
        let mut unavailable = 0;
        let mut changes = Changes::default();
        let mut candidates = Vec::new();
        for pods in with_pods.chain(without.map(|_| empty)) {
            match self.pair(pods) {
                Some(Pair { new: Some(new), old: None }) if self.is_available(new) => {}
                Some(Pair { new: None, old: Some(old) }) if self.is_available(old) => {
                    candidates.push(old);
                }
                Some(Pair { new: None, old: Some(old) }) => {
                    // Nothing is lost by replacing what does not serve.
                    changes.deletes.push(old);
                    unavailable += 1;
                }
                _ => unavailable += 1,
            }
        }
        let room = usize::try_from(self.max_unavailable() - unavailable).unwrap_or(0);
        changes.deletes.extend(candidates.into_iter().take(room));
        changes
    }

    fn roll_by_surge(&'a self) -> Changes<'a> {
        let nodes = by_name(&self.nodes);
        let (mut surging, mut available) = (0, 0);
        let mut changes = Changes::default();
        let mut candidates: Vec<&str> = Vec::new();
        let mut misplaced: Vec<&PodState> = Vec::new();
        for (node, pods) in &self.pods {
            let Some(pair) = self.pair(pods) else {
                surging += 1;
                continue;
            };
            let serving = pair.old.or(pair.new).is_some_and(|pod| self.is_available(pod));
            available += i32::from(serving);
            match pair {
                Pair { old: None, .. } => {}
                Pair { old: Some(old), new: None } => {
                    let runs = nodes.get(node.as_str()).is_some_and(|node| node.runs);
                    match (runs, serving) {
                        (false, _) => misplaced.push(old),
                        (true, false) => changes.nodes.push(node),
                        (true, true) => candidates.push(node),
                    }
                }
                Pair { old: Some(old), new: Some(new) } => {
                    if !serving || self.is_available(new) {
                        changes.deletes.push(old);
                    } else {
                        surging += 1;
                    }
                }
            }
        }
        let room = usize::try_from(self.max_surge() - surging).unwrap_or(0);
        changes.nodes.extend(candidates.into_iter().take(room));
        // A pod on a node that is no longer wanted goes when another one serves in its place.
        let spare = usize::try_from(available - self.desired()).unwrap_or(0);
        changes.deletes.extend(misplaced.into_iter().take(spare));
        changes
    }
}

fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

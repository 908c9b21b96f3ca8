//! The arithmetic of a rollout: how many pods each ReplicaSet gets next.

use k8s_openapi::api::apps::v1::{ReplicaSet, RollingUpdateDeployment};

use super::{DESIRED, MAX, Rollout, available, number, wanted};
use crate::share::resolve;

impl Rollout<'_> {
    fn rolling(&self) -> Option<&RollingUpdateDeployment> {
        let strategy = self.deployment.spec.as_ref()?.strategy.as_ref()?;
        strategy.rolling_update.as_ref().filter(|_| !self.recreates())
    }

    /// How many pods there may be beyond the wanted number.
    pub(super) fn max_surge(&self) -> i32 {
        let surge = self.rolling().and_then(|r| r.max_surge.as_ref());
        resolve(surge, self.replicas(), true)
    }

    /// How many pods of the wanted number may be missing.
    pub(super) fn max_unavailable(&self) -> i32 {
        if self.recreates() || self.replicas() == 0 {
            return 0;
        }
        let missing = self.rolling().and_then(|r| r.max_unavailable.as_ref());
        let resolved = resolve(missing, self.replicas(), false).min(self.replicas());
        // Both zero, by rounding, would never move.
        if resolved == 0 && self.max_surge() == 0 { 1 } else { resolved }
    }

    fn total_wanted(&self) -> i32 {
        self.all_sets().map(wanted).sum()
    }

    /// The size with which the new ReplicaSet is created.
    pub(super) fn first_size(&self) -> i32 {
        if self.recreates() { self.replicas() } else { self.grown(0) }
    }

    fn grown(&self, current: i32) -> i32 {
        let room = self.replicas() + self.max_surge() - self.total_wanted();
        if room <= 0 { current } else { current + room.min(self.replicas() - current) }
    }

    /// The next sizes of a rolling update: the new ReplicaSet first, then the old ones.
    pub(super) fn rolled(&self) -> Vec<(&ReplicaSet, i32)> {
        let Some(new) = &self.new else { return Vec::new() };
        let size = wanted(new);
        let next = match size.cmp(&self.replicas()) {
            std::cmp::Ordering::Equal => size,
            std::cmp::Ordering::Greater => self.replicas(),
            std::cmp::Ordering::Less => self.grown(size),
        };
        if next != size {
            return vec![(new, next)];
        }
        self.shrunk_old(new)
    }

    fn shrunk_old(&self, new: &ReplicaSet) -> Vec<(&ReplicaSet, i32)> {
        let least = self.replicas() - self.max_unavailable();
        let new_missing = (wanted(new) - available(new)).max(0);
        let mut removable = self.total_wanted() - least - new_missing;
        let mut sizes: Vec<(&ReplicaSet, i32)> =
            self.old.iter().map(|set| (set, wanted(set))).collect();
        if removable <= 0 {
            return Vec::new();
        }
        // Pods that do not serve go first: nobody misses them.
        for (set, size) in sizes.iter_mut().filter(|(_, size)| *size > 0) {
            let unhealthy = (*size - available(set)).max(0).min(removable);
            *size -= unhealthy;
            removable -= unhealthy;
        }
        let serving: i32 = self.all_sets().map(available).sum();
        let mut spare = (serving - least).max(0);
        for (_, size) in &mut sizes {
            let fewer = (*size).min(spare);
            *size -= fewer;
            spare -= fewer;
        }
        sizes.retain(|(set, size)| wanted(set) != *size);
        sizes
    }

    /// Whether the wanted number changed since the ReplicaSets were last sized.
    pub(super) fn is_scaling(&self) -> bool {
        let active = self.all_sets().filter(|set| wanted(set) > 0);
        active.into_iter().any(|set| number(set, DESIRED).is_some_and(|d| d != self.replicas()))
    }

    /// The sizes after the wanted number changed, or while the rollout is paused.
    pub(super) fn scaled(&self) -> Vec<(&ReplicaSet, i32)> {
        let active: Vec<&ReplicaSet> = self.all_sets().filter(|set| wanted(set) > 0).collect();
        if active.len() <= 1 {
            let newest = || self.new.as_ref().or(self.old.last());
            let only = active.first().copied().or_else(newest);
            return only.map(|set| (set, self.replicas())).into_iter().collect();
        }
        if self.new.as_ref().is_some_and(|new| self.is_saturated(new)) {
            return self.old.iter().filter(|set| wanted(set) > 0).map(|set| (set, 0)).collect();
        }
        if self.recreates() { Vec::new() } else { self.proportional(active) }
    }

    fn is_saturated(&self, set: &ReplicaSet) -> bool {
        let all = self.replicas();
        number(set, DESIRED) == Some(all) && wanted(set) == all && available(set) == all
    }

    fn proportional<'s>(&self, mut active: Vec<&'s ReplicaSet>) -> Vec<(&'s ReplicaSet, i32)> {
        let allowed = if self.replicas() > 0 { self.replicas() + self.max_surge() } else { 0 };
        let to_add = allowed - self.total_wanted();
        // The larger come first; among equals the newer when growing, the older when shrinking.
        if to_add > 0 {
            active.reverse();
        }
        active.sort_by_key(|set| std::cmp::Reverse(wanted(set)));
        let mut added = 0;
        let mut sizes: Vec<(&ReplicaSet, i32)> = Vec::with_capacity(active.len());
        for set in active {
            let mut size = wanted(set);
            if to_add != 0 {
                let share = self.share(set);
                let left = to_add - added;
                let change = if to_add > 0 { share.min(left) } else { share.max(left) };
                size += change;
                added += change;
            }
            sizes.push((set, size));
        }
        if let Some((_, first)) = sizes.first_mut() {
            *first = (*first + to_add - added).max(0);
        }
        sizes
    }

    /// By how much a ReplicaSet changes in proportion to its size.
    fn share(&self, set: &ReplicaSet) -> i32 {
        if self.replicas() == 0 {
            return -wanted(set);
        }
        let after = f64::from(self.replicas() + self.max_surge());
        let status = self.deployment.status.as_ref();
        let counted = || status.and_then(|s| s.replicas).unwrap_or(0);
        let before = f64::from(number(set, MAX).unwrap_or_else(counted));
        if before == 0.0 {
            return 0;
        }
        (f64::from(wanted(set)) * after / before).round() as i32 - wanted(set)
    }
}

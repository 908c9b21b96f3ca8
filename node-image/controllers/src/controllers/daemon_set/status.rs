//! A DaemonSet's status: what should be, what is, what serves.

use k8s_openapi::api::apps::v1::DaemonSetStatus;
use kd_client::resources;

use super::Sync;
use crate::{Plan, Step};

impl Sync<'_> {
    /// The status write, if one is due.
    pub(super) fn status(&self, plan: &mut Plan) -> Option<Step> {
        let before = self.set.status.clone().unwrap_or_default();
        let status = self.counted(&before, plan);
        if self.set.status.as_ref() == Some(&status) {
            return None;
        }
        let mut updated = self.set.clone();
        updated.status = Some(status);
        Some(Step::update_status(&resources::DAEMON_SETS, self.object.key(), &updated))
    }

    fn counted(&self, before: &DaemonSetStatus, plan: &mut Plan) -> DaemonSetStatus {
        let (mut current, mut misscheduled, mut ready) = (0, 0, 0);
        let (mut available, mut updated) = (0, 0);
        for node in &self.nodes {
            let Some(pod) = self.pods.get(&node.name).and_then(|pods| pods.first()) else {
                continue;
            };
            if !node.runs {
                misscheduled += 1;
                continue;
            }
            current += 1;
            ready += i32::from(pod.is_ready());
            available += i32::from(self.is_available(pod));
            updated += i32::from(self.is_current(pod));
            let time = pod.available_at(self.spec.min_ready_seconds.unwrap_or(0));
            if let Some(time) = time.filter(|time| *time > self.now) {
                plan.not_later_than(time);
            }
        }
        let some = |count: i32| Some(count).filter(|count| *count != 0);
        DaemonSetStatus {
            collision_count: before.collision_count,
            conditions: before.conditions.clone(),
            current_number_scheduled: current,
            desired_number_scheduled: self.desired(),
            number_available: some(available),
            number_misscheduled: misscheduled,
            number_ready: ready,
            number_unavailable: some(self.desired() - available),
            observed_generation: Some(self.object.metadata.generation),
            updated_number_scheduled: some(updated),
        }
    }
}

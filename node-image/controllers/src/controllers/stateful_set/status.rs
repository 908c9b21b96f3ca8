//! A StatefulSet's status: how many pods there are, how many serve, and of which revision.

use k8s_openapi::api::apps::v1::StatefulSetStatus;
use kd_client::resources;

use super::{Member, Sync, is_running_and_ready, is_terminating};
use crate::Step;

impl Sync<'_> {
    /// The status write, if one is due.
    pub(super) fn status(&self) -> Option<Step> {
        let status = self.counted();
        if self.set.status.as_ref() == Some(&status) {
            return None;
        }
        let mut updated = self.set.clone();
        updated.status = Some(status);
        Some(Step::update_status(&resources::STATEFUL_SETS, self.object.key(), &updated))
    }

    fn counted(&self) -> StatefulSetStatus {
        let before = self.set.status.clone().unwrap_or_default();
        let count = |counts: &dyn Fn(&&Member) -> bool| {
            i32::try_from(self.members.iter().filter(counts).count()).unwrap_or(i32::MAX)
        };
        let of_revision =
            |name: &str| count(&|m| !is_terminating(m) && self.revision_of(m) == Some(name));
        let some = |count: i32| Some(count).filter(|count| *count != 0);
        let (total, ready) = (count(&|_| true), count(&|m| is_running_and_ready(m)));
        let updated = of_revision(self.update.name());
        let mut status = StatefulSetStatus {
            available_replicas: Some(count(&|m| self.is_available(m))),
            collision_count: Some(before.collision_count.unwrap_or(0)),
            conditions: before.conditions,
            current_replicas: some(of_revision(self.current.name())),
            current_revision: Some(self.current.name().to_owned()),
            observed_generation: Some(self.object.metadata.generation),
            ready_replicas: some(ready),
            replicas: total,
            update_revision: Some(self.update.name().to_owned()),
            updated_replicas: some(updated),
        };
        let wanted = self.replicas();
        if self.rolls() && [updated, ready, total].iter().all(|count| *count == wanted) {
            status.current_replicas = status.updated_replicas;
            status.current_revision = status.update_revision.clone();
        }
        status
    }
}

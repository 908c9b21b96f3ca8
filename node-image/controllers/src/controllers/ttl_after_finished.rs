//! Deletes Jobs a while after they have ended, where they say how long that is.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kd_client::{Change, DeleteOptions, Interest, View, resources};

use super::job::finished_condition;
use crate::controller::itself;
use crate::{Controller, Plan, Step, Target};

pub(super) struct TtlAfterFinished;

impl Controller for TtlAfterFinished {
    fn name(&self) -> &'static str {
        "ttl-after-finished-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![Interest::full(&resources::JOBS)]
    }

    fn targets(&self, _view: &View, change: &Change) -> Vec<Target> {
        itself(&resources::JOBS, change).into_iter().collect()
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        let Some(object) = view.object(&resources::JOBS, &target.key) else {
            return Plan::nothing();
        };
        let Some(time) = object.decode().and_then(|job| expires(&job)) else {
            return Plan::nothing();
        };
        if object.metadata.is_deleting() {
            return Plan::nothing();
        }
        if time > now {
            return Plan::at(time);
        }
        let mut options = DeleteOptions::of(&object.metadata.uid);
        options.propagation_policy = Some("Foreground");
        options.preconditions.resource_version = Some(object.metadata.resource_version.clone());
        Plan::one(Step::delete(&resources::JOBS, object.key(), options))
    }
}

/// When a Job is to go.
fn expires(job: &Job) -> Option<Timestamp> {
    let seconds = job.spec.as_ref()?.ttl_seconds_after_finished?;
    let finished = finished_condition(job)?.last_transition_time.as_ref()?.0;
    finished.checked_add(SignedDuration::from_secs(i64::from(seconds))).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{at, lines, object, plan, time, view};

    #[test]
    fn jobs_expire() {
        let check = |ttl: Value, condition: &str, expect: &[&str], again: Option<i64>| {
            let job = object(
                "Job",
                "a",
                "j",
                json!({"spec": {"ttlSecondsAfterFinished": ttl, "template": {}},
                    "status": {"conditions": [{"type": condition, "status": "True",
                        "lastTransitionTime": time(60)}]}}),
            );
            let plan = plan(&TtlAfterFinished, &view(&[job]), &resources::JOBS, ("a", "j"), 100);
            assert_eq!(
                (lines(&plan), plan.again),
                (expect.iter().map(|l| (*l).to_owned()).collect(), again.map(at))
            );
        };
        check(json!(30), "Complete", &["delete jobs a/j"], None);
        check(json!(0), "Failed", &["delete jobs a/j"], None);
        check(json!(50), "Failed", &[], Some(110));
        check(Value::Null, "Complete", &[], None);
        check(json!(30), "Suspended", &[], None);
    }
}

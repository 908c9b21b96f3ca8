//! Claims that are to grow: none of the volumes known here can be grown from here, so it is told that
//! a driver's own controller has to do it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kd_client::{Change, EventType, Interest, Object, View, resources};
use serde_json::{Value, json};

use crate::controller::itself;
use crate::{Answers, Ask, Controller, Plan, Target, event};

pub(super) struct VolumeExpand;

impl Controller for VolumeExpand {
    fn name(&self) -> &'static str {
        "volume_expand"
    }

    fn account(&self) -> &'static str {
        "expand-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![Interest::full(&resources::PERSISTENT_VOLUME_CLAIMS)]
    }

    fn targets(&self, _view: &View, change: &Change) -> Vec<Target> {
        itself(&resources::PERSISTENT_VOLUME_CLAIMS, change).into_iter().collect()
    }

    fn ask(&self, view: &View, target: &Target, _now: Timestamp, _memory: &Value) -> Ask {
        match view.object(&target.resource, &target.key).and_then(|object| wanted(object)) {
            Some(_) => Ask::Paths(Vec::new()),
            None => Ask::Nothing,
        }
    }

    fn reconcile(&self, _view: &View, _target: &Target, _now: Timestamp) -> Plan {
        Plan::nothing()
    }

    /// Tells it once for each size.
    fn decide(&self, view: &View, target: &Target, _now: Timestamp, answers: &Answers) -> Plan {
        let Some(object) = view.object(&target.resource, &target.key) else {
            return Plan::nothing();
        };
        let Some(size) = wanted(object).filter(|size| answers.memory != json!(size)) else {
            return Plan::nothing();
        };
        let message = "Ignoring the PVC: didn't find a plugin capable of expanding the volume; \
                       waiting for an external controller to process this PVC.";
        let (kind, reason) = (EventType::Warning, "ExternalExpanding");
        let told = event(&target.resource, object, kind, reason, message);
        Plan { events: vec![told], remember: Some(json!(size)), ..Plan::nothing() }
    }
}

/// The size that a bound claim wants, if it has less.
fn wanted(object: &Object) -> Option<String> {
    let claim: PersistentVolumeClaim = object.decode()?;
    let status = claim.status.filter(|status| status.phase.as_deref() == Some("Bound"))?;
    let bytes = |text: &str| text.parse::<kd_api::quantity::Quantity>().map(|q| q.value()).ok();
    let has = bytes(&status.capacity?.get("storage")?.0)?;
    let wants = claim.spec?.resources?.requests?.remove("storage")?.0;
    (bytes(&wants)? > has).then_some(wants)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, object, view};
    use kd_client::Key;
    use std::sync::Arc;

    #[test]
    fn who_is_to_wait() {
        let check = |wants: &str, has: &str, memory: Value, told: usize| {
            let claim = object(
                "PersistentVolumeClaim",
                "a",
                "c",
                json!({"spec": {"resources": {"requests": {"storage": wants}}},
                    "status": {"phase": "Bound", "capacity": {"storage": has}}}),
            );
            let target = Target::new(
                &Arc::new(resources::PERSISTENT_VOLUME_CLAIMS.clone()),
                Key::new("a", "c"),
            );
            let answers = Answers { memory, ..Answers::default() };
            let plan = VolumeExpand.decide(&view(&[claim]), &target, at(1), &answers);
            assert_eq!((plan.events.len(), plan.is_empty()), (told, true), "{wants} {has}");
        };
        check("2Gi", "1Gi", Value::Null, 1);
        check("2Gi", "1Gi", json!("2Gi"), 0);
        check("3Gi", "1Gi", json!("2Gi"), 1);
        check("1Gi", "1Gi", Value::Null, 0);
        check("1024Mi", "1Gi", Value::Null, 0);
    }
}

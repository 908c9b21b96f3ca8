//! Objects of one kind shown as another that shares its storage: Events of two groups, and
//! HorizontalPodAutoscalers of two versions.

pub(crate) mod autoscaler;
mod event;

use serde_json::Value;

use crate::defaults::apply_defaults;
use crate::{Kind, Object};

/// Turns an object of `from` into one of `to`, which says the same in its own fields.
pub fn convert(mut object: Value, from: &Kind, to: &Kind) -> Value {
    match (from.kind.as_str(), to.group.as_str(), to.version.as_str()) {
        ("Event", ..) if from.group != to.group => event::convert(&mut object, to.group.is_empty()),
        ("HorizontalPodAutoscaler", "autoscaling", "v1") => autoscaler::to_first(&mut object),
        ("HorizontalPodAutoscaler", "autoscaling", "v2") if from.version == "v1" => {
            autoscaler::to_second(&mut object);
        }
        _ => {}
    }
    object.set_type(&to.api_version(), &to.kind);
    if from.version != to.version {
        apply_defaults(to, &mut object);
    }
    object
}

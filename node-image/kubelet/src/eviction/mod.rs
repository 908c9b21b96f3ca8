//! Eviction: when the node runs short of memory, disk or process ids, pods go, one at a time, those
//! first that take more than they asked for.

mod local_storage;
mod message;
mod ranking;
mod run;
mod signals;

pub(crate) use run::run_eviction;
pub use signals::{Condition, Level, Levels, Pressures, Signal};

use k8s_openapi::api::core::v1::{Pod, Taint};
use kd_client::placement::is_tolerated;

use crate::lifecycle::Stop;
use crate::pod::PodExt;
use crate::qos::{QosClass, qos_class};
use crate::static_pods::is_static;

/// Priorities from here on are the system's own.
const SYSTEM_CRITICAL: i32 = 2_000_000_000;

/// Whether a pod stays whatever happens.
pub fn is_critical(pod: &Pod) -> bool {
    is_static(pod) || pod.spec().priority.is_some_and(|priority| priority >= SYSTEM_CRITICAL)
}

/// Refuses new pods that would only make a shortage worse.
pub fn admit_under_pressure(pod: &Pod, pressures: &Pressures) -> Result<(), Stop> {
    let conditions = pressures.conditions();
    if conditions.is_empty() || is_critical(pod) {
        return Ok(());
    }
    // What asked for memory gets it; what did not would be the first to go.
    if conditions == [Condition::Memory]
        && (qos_class(pod) != QosClass::BestEffort || tolerates_memory_pressure(pod))
    {
        return Ok(());
    }
    let names: Vec<&str> = conditions.iter().map(|condition| condition.as_str()).collect();
    let message = format!("The node had condition: [{}]. ", names.join(" "));
    Err(Stop::of("Evicted", message))
}

fn tolerates_memory_pressure(pod: &Pod) -> bool {
    let taint = Taint {
        key: "node.kubernetes.io/memory-pressure".into(),
        effect: "NoSchedule".into(),
        ..Taint::default()
    };
    is_tolerated(pod.spec().tolerations.as_deref().unwrap_or_default(), &taint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use serde_json::{Value, json};

    #[test]
    fn who_may_come_in() {
        let check = |signals: &[Signal], spec: Value, expect: Option<&str>| {
            let pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            let mut pressures = Pressures::default();
            pressures.note(signals, Timestamp::UNIX_EPOCH);
            let refused = admit_under_pressure(&pod, &pressures).err().map(|stop| stop.message);
            assert_eq!(refused.as_deref(), expect);
        };
        let bare = || json!({"containers": [{"name": "c"}]});
        let asking =
            || json!({"containers": [{"name": "c", "resources": {"requests": {"memory": "1Mi"}}}]});
        let memory = "The node had condition: [MemoryPressure]. ";
        check(&[], bare(), None);
        check(&[Signal::MemoryAvailable], bare(), Some(memory));
        check(&[Signal::MemoryAvailable], asking(), None);
        let mut tolerating = bare();
        tolerating["tolerations"] = json!([{"operator": "Exists"}]);
        check(&[Signal::MemoryAvailable], tolerating.clone(), None);
        let disk = "The node had condition: [DiskPressure]. ";
        check(&[Signal::DiskAvailable], asking(), Some(disk));
        check(&[Signal::DiskInodesFree], tolerating, Some(disk));
        let mut critical = bare();
        critical["priority"] = json!(SYSTEM_CRITICAL);
        check(&[Signal::PidsAvailable], critical, None);
    }
}

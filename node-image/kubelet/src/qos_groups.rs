//! The control groups between the node's and the pods': all pods together get what the node has for
//! them, burstable pods share by what they ask for, best-effort pods get what is left
//! (<https://kubernetes.io/docs/tasks/administer-cluster/reserve-compute-resources/>).

use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kd_runtime::Resources as Limits;

use crate::kubelet::Kubelet;
use crate::node::Machine;
use crate::qos::{QosClass, Side, effective, qos_class, shares};
use crate::quantity::{amount, cpu_milli};

/// The shares that the burstable pods have now; changed one at a time, the newest last.
#[derive(Default)]
pub struct QosGroups {
    burstable: Mutex<Option<u64>>,
    turn: tokio::sync::Mutex<()>,
}

/// The limits of all pods together: the node's capacity without what is reserved.
fn of_all_pods(machine: &Machine, reserved: &crate::quantity::Resources) -> Limits {
    let without = |name: &str, whole: i64| {
        whole - reserved.get(name).map_or(0, |quantity| amount(name, quantity))
    };
    let memory = i64::try_from(machine.memory_bytes()).unwrap_or(i64::MAX);
    Limits {
        cpu_shares: Some(shares(without("cpu", machine.cpu_milli()))),
        memory_limit_bytes: Some(without("memory", memory)).filter(|bytes| *bytes > 0),
        ..Limits::default()
    }
}

/// The shares of all burstable pods together.
fn of_burstable<'a>(pods: impl Iterator<Item = &'a Pod>) -> u64 {
    let burstable = pods.filter(|pod| qos_class(pod) == QosClass::Burstable);
    let asked = burstable.filter_map(|pod| cpu_milli(Some(&effective(pod, Side::Requests))));
    shares(asked.sum())
}

impl Kubelet {
    /// Makes the groups before the first pod needs one.
    pub(crate) async fn make_groups(&self) {
        let root = &self.config().cgroup_root;
        let table = [
            (root.clone(), of_all_pods(self.machine(), &self.config().reserved)),
            (
                format!("{root}/burstable"),
                Limits { cpu_shares: Some(shares(0)), ..Limits::default() },
            ),
            (
                format!("{root}/besteffort"),
                Limits { cpu_shares: Some(shares(0)), ..Limits::default() },
            ),
        ];
        for (group, limits) in table {
            if let Err(error) = self.runtime().set_group(&group, limits).await {
                tracing::error!(group, %error, "cannot set a group of pods up");
            }
        }
    }

    /// Pods came, went or were resized: the burstable ones share anew.
    pub(crate) fn share_out(self: &Arc<Self>) {
        let counted = self.pods();
        let counted = counted.iter().filter(|entry| entry.is_admitted() && !entry.has_ended());
        let pods: Vec<Arc<Pod>> = counted.map(|entry| entry.granted_pod()).collect();
        let wanted = of_burstable(pods.iter().map(Arc::as_ref));
        let mut last = self.qos_groups().burstable.lock().unwrap_or_else(PoisonError::into_inner);
        if last.replace(wanted) == Some(wanted) {
            return;
        }
        drop(last);
        let kubelet = Arc::clone(self);
        tokio::spawn(async move { kubelet.set_burstable().await });
    }

    async fn set_burstable(&self) {
        let groups = self.qos_groups();
        let _turn = groups.turn.lock().await;
        let newest = *groups.burstable.lock().unwrap_or_else(PoisonError::into_inner);
        let group = format!("{}/burstable", self.config().cgroup_root);
        let limits = Limits { cpu_shares: newest, ..Limits::default() };
        if let Err(error) = self.runtime().set_group(&group, limits).await {
            tracing::warn!(group, %error, "cannot change what burstable pods share");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
    use serde_json::json;

    #[test]
    fn shares_of_burstable_pods() {
        let check = |pods: &[(&str, &str)], expect: u64| {
            let made = |(request, limit): &(&str, &str)| -> Pod {
                let resources = json!({"requests": {"cpu": request, "memory": "1Mi"},
                    "limits": {"cpu": limit, "memory": "1Mi"}});
                serde_json::from_value(json!({"spec": {"containers": [
                    {"name": "c", "resources": resources}]}}))
                .unwrap()
            };
            let pods: Vec<Pod> = pods.iter().map(made).collect();
            assert_eq!(of_burstable(pods.iter()), expect);
        };
        check(&[], 2);
        check(&[("1", "1")], 2);
        check(&[("1", "2"), ("500m", "1"), ("2", "2")], 1536);
    }

    #[test]
    fn what_is_reserved_is_not_for_pods() {
        let machine = Machine::read(&Config::default());
        let memory = i64::try_from(machine.memory_bytes()).unwrap();
        let reserved = [("memory".to_owned(), Quantity("1Mi".into()))].into();
        assert_eq!(of_all_pods(&machine, &reserved).memory_limit_bytes, Some(memory - (1 << 20)));
    }
}

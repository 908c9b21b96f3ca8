//! PodDisruptionBudgets, as preemption respects them: it prefers victims whose budgets allow it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kd_api::selector::Selector;
use kd_client::{Key, label_selector, selects};

use crate::pod::PodFacts;

/// What a PodDisruptionBudget allows.
#[derive(Clone, Debug)]
pub struct Budget {
    selector: Selector,
    allowed: i32,
    /// Pods whose disruption is counted already.
    disrupted: HashSet<String>,
}

impl Budget {
    /// Reads a budget. One whose selector cannot be read guards no pod.
    pub fn of(budget: PodDisruptionBudget) -> Budget {
        let selector = budget.spec.and_then(|spec| spec.selector);
        let status = budget.status.unwrap_or_default();
        let disrupted: Option<BTreeMap<_, _>> = status.disrupted_pods;
        Budget {
            selector: label_selector(selector.as_ref()).unwrap_or_else(|_| Selector::nothing()),
            allowed: status.disruptions_allowed.unwrap_or(0),
            disrupted: disrupted.unwrap_or_default().into_keys().collect(),
        }
    }
}

/// The pods among `pods` whose removal, one after the other, would break a budget.
pub fn violating(budgets: &HashMap<Key, Budget>, pods: &[&Arc<PodFacts>]) -> HashSet<Key> {
    let mut allowed: HashMap<&Key, i32> = budgets.iter().map(|(k, b)| (k, b.allowed)).collect();
    let mut found = HashSet::new();
    for pod in pods.iter().filter(|pod| !pod.wishes.labels.is_empty()) {
        let guards = budgets.iter().filter(|(key, budget)| {
            key.namespace == pod.key.namespace
                && selects(&budget.selector, &pod.wishes.labels)
                && !budget.disrupted.contains(&*pod.key.name)
        });
        for (key, _) in guards {
            let left = allowed.entry(key).or_insert(0);
            *left -= 1;
            if *left < 0 {
                found.insert(pod.key.clone());
            }
        }
    }
    found
}

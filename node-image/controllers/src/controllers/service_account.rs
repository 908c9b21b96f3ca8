//! Every namespace has a ServiceAccount `default`.

use jiff::Timestamp;
use kd_client::{Change, Interest, Key, View, resources};
use serde_json::json;

use super::namespace::{is_active, namespace_of};
use crate::{Controller, Plan, Step, Target};

const NAME: &str = "default";

pub(super) struct ServiceAccounts;

impl Controller for ServiceAccounts {
    fn name(&self) -> &'static str {
        "service-account-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![
            Interest::full(&resources::NAMESPACES),
            Interest::metadata(&resources::SERVICE_ACCOUNTS),
        ]
    }

    fn targets(&self, _: &View, change: &Change) -> Vec<Target> {
        namespace_of(change, NAME)
    }

    fn reconcile(&self, view: &View, target: &Target, _: Timestamp) -> Plan {
        let namespace = &target.key.name;
        let key = Key::new(namespace, NAME);
        if !is_active(view, namespace) || view.object(&resources::SERVICE_ACCOUNTS, &key).is_some()
        {
            return Plan::nothing();
        }
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": NAME, "namespace": &**namespace},
        });
        Plan::one(Step::create(&resources::SERVICE_ACCOUNTS, namespace, &account))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{lines, object, plan, view};

    #[test]
    fn default_account() {
        let check = |phase: &str, account: bool, expect: &[&str]| {
            let mut all = vec![object("Namespace", "", "a", json!({"status": {"phase": phase}}))];
            if account {
                all.push(object("ServiceAccount", "a", NAME, json!({})));
            }
            let plan = plan(&ServiceAccounts, &view(&all), &resources::NAMESPACES, ("", "a"), 0);
            assert_eq!(lines(&plan), expect);
        };
        check("Active", false, &["create serviceaccounts a/default"]);
        check("Active", true, &[]);
        check("Terminating", false, &[]);
    }
}

//! Every namespace has a ConfigMap `kube-root-ca.crt` with the cluster's CA.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kd_client::{Change, Interest, Key, View, resources};
use serde_json::json;

use super::kept;
use super::namespace::{is_active, namespace_of};
use crate::{Config, Controller, Plan, Step, Target};

/// The ConfigMap's name, in every namespace.
pub(super) const NAME: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when \
    using internal endpoints such as the internal service IP or kubernetes.default.svc. No other \
    usage is guaranteed across distributions of Kubernetes clusters.";

pub(super) struct RootCaPublisher {
    root_ca: String,
}

impl RootCaPublisher {
    pub(super) fn new(config: &Config) -> RootCaPublisher {
        RootCaPublisher { root_ca: config.root_ca.clone() }
    }
}

impl Controller for RootCaPublisher {
    fn name(&self) -> &'static str {
        "root-ca-certificate-publisher-controller"
    }

    fn account(&self) -> &'static str {
        "root-ca-cert-publisher"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![Interest::full(&resources::NAMESPACES), kept::config_maps()]
    }

    fn targets(&self, _: &View, change: &Change) -> Vec<Target> {
        namespace_of(change, NAME)
    }

    fn reconcile(&self, view: &View, target: &Target, _: Timestamp) -> Plan {
        let namespace = &target.key.name;
        if !is_active(view, namespace) {
            return Plan::nothing();
        }
        let data = BTreeMap::from([("ca.crt".to_owned(), self.root_ca.clone())]);
        let Some(mut map) = view.get::<ConfigMap>(namespace, NAME) else {
            let map = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": NAME, "namespace": &**namespace,
                    "annotations": {"kubernetes.io/description": DESCRIPTION}},
                "data": data,
            });
            return Plan::one(Step::create(&resources::CONFIG_MAPS, namespace, &map));
        };
        let annotations = map.metadata.annotations.get_or_insert_default();
        let described = annotations.insert("kubernetes.io/description".into(), DESCRIPTION.into());
        if map.data.as_ref() == Some(&data) && described.as_deref() == Some(DESCRIPTION) {
            return Plan::nothing();
        }
        map.data = Some(data);
        Plan::one(Step::update(&resources::CONFIG_MAPS, Key::new(namespace, NAME), &map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{body, lines, object, plan, view};

    #[test]
    fn published_and_repaired() {
        let config = Config::new("10.244.0.0/16".parse().unwrap(), 24, "PEM");
        let controller = RootCaPublisher::new(&config);
        let namespace = object("Namespace", "", "a", json!({"status": {"phase": "Active"}}));
        let reconcile = |objects: &[serde_json::Value]| {
            plan(&controller, &view(objects), &resources::NAMESPACES, ("", "a"), 0)
        };
        let created = reconcile(std::slice::from_ref(&namespace));
        assert_eq!(lines(&created), ["create configmaps a/kube-root-ca.crt"]);
        let mut map = object("ConfigMap", "a", NAME, body(&created, 0).clone());
        assert!(reconcile(&[namespace.clone(), map.clone()]).is_empty());
        map["data"]["ca.crt"] = json!("other");
        let repaired = reconcile(&[namespace, map]);
        assert_eq!(lines(&repaired), ["update configmaps a/kube-root-ca.crt"]);
        assert_eq!(body(&repaired, 0)["data"]["ca.crt"], "PEM");
    }
}

//! Which pods belong together when a pod does not say so itself: those that its Services and its
//! controller select. PodTopologySpread spreads them by default.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kd_api::selector::Selector;
use kd_client::{Key, label_selector, selects_all};

use crate::pod::PodFacts;

/// The selectors of Services and of the controllers that make pods.
#[derive(Clone, Debug, Default)]
pub struct Siblings {
    /// By namespace and name.
    services: HashMap<String, BTreeMap<String, BTreeMap<String, String>>>,
    /// By key, each with its kind.
    controllers: HashMap<Key, Vec<(&'static str, LabelSelector)>>,
}

impl Siblings {
    /// A Service is new or changed, or gone (`None`).
    pub fn set_service(&mut self, key: Key, selector: Option<BTreeMap<String, String>>) {
        let (namespace, name) = (key.namespace.to_string(), key.name.to_string());
        let here = self.services.entry(namespace).or_default();
        match selector.filter(|selector| !selector.is_empty()) {
            Some(selector) => here.insert(name, selector),
            None => here.remove(&name),
        };
        if here.is_empty() {
            self.services.remove(&*key.namespace);
        }
    }

    /// A controller of pods is new or changed, or gone (`None`).
    pub fn set_controller(&mut self, kind: &'static str, key: Key, to: Option<LabelSelector>) {
        let here = self.controllers.entry(key.clone()).or_default();
        here.retain(|(known, _)| *known != kind);
        here.extend(to.map(|selector| (kind, selector)));
        if here.is_empty() {
            self.controllers.remove(&key);
        }
    }

    /// What selects a pod's siblings; None when nothing does.
    pub fn of(&self, pod: &PodFacts) -> Option<Selector> {
        let mut wanted = LabelSelector::default();
        let mut labels = BTreeMap::new();
        let here = self.services.get(&*pod.key.namespace).into_iter().flatten();
        for (_, selector) in here.filter(|(_, all)| selects_all(all, &pod.wishes.labels)) {
            labels.extend(selector.clone());
        }
        if let Some((kind, name)) = &pod.controller {
            let key = Key::new(&pod.key.namespace, name);
            let known = self.controllers.get(&key).into_iter().flatten().find(|(k, _)| k == kind);
            if let Some((_, selector)) = known {
                labels.extend(selector.match_labels.clone().unwrap_or_default());
                wanted.match_expressions = selector.match_expressions.clone();
            }
        }
        if labels.is_empty() && wanted.match_expressions.as_ref().is_none_or(Vec::is_empty) {
            return None;
        }
        wanted.match_labels = Some(labels);
        label_selector(Some(&wanted)).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::pod;

    #[test]
    fn services_and_the_controller_select() {
        let map = |value: Value| serde_json::from_value(value).unwrap();
        let mut siblings = Siblings::default();
        siblings.set_service(Key::new("n", "web"), Some(map(json!({"app": "web"}))));
        siblings.set_service(Key::new("n", "all"), Some(map(json!({}))));
        siblings.set_service(Key::new("other", "web"), Some(map(json!({"x": "y"}))));
        let selector = json!({"matchLabels": {"hash": "1"}});
        let selector = serde_json::from_value(selector).unwrap();
        siblings.set_controller("ReplicaSet", Key::new("n", "web-1"), Some(selector));
        let check = |labels: Value, owner: Option<&str>, expect: Option<&str>| {
            let owners = owner.map(|name| {
                json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name,
                    "uid": "u", "controller": true}])
            });
            let pod = pod("p", json!({"metadata": {"labels": labels, "ownerReferences": owners}}));
            assert_eq!(siblings.of(&pod).map(|s| s.to_string()).as_deref(), expect);
        };
        check(json!({"app": "web"}), None, Some("app=web"));
        check(json!({"app": "web", "hash": "1"}), Some("web-1"), Some("app=web,hash=1"));
        check(json!({"hash": "1"}), Some("web-1"), Some("hash=1"));
        check(json!({"x": "y"}), None, None);
        check(json!({"hash": "1"}), Some("web-2"), None);
    }
}

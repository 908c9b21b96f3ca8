//! Keeps the kernel's rules equal to the API's NetworkPolicies, as far as they are about this node's
//! pods.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kd_client::{Cache, Change, Client, Interest, Keep, Key, Resource, View, resources};
use kd_network::{Policies, PolicyRules};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::gate::{Arrival, Arrivals};
use super::pods::PodFacts;
use super::rules::{Surroundings, policy_rules};
use crate::proxy::RETRY_PAUSE;

/// What the enforcer of a node is told.
#[derive(Clone, Debug)]
pub struct PolicyConfig {
    /// The node's name.
    pub node: String,
    /// Where the node's pods are answered names.
    pub dns: Vec<IpAddr>,
}

/// Programs this network namespace until the process ends. Rules of an earlier run stay in force
/// until everything is known.
pub async fn enforce(client: Client, config: PolicyConfig, mut arrivals: Arrivals) {
    let pods = Interest { keep: Keep::Once, ..Interest::full(&resources::PODS) };
    let interests = vec![
        pods,
        Interest::metadata(&resources::NAMESPACES),
        Interest::full(&Resource::of::<NetworkPolicy>()),
    ];
    let (cache, mut changes) = Cache::start(client, interests);
    let mut enforcer = Enforcer::new(config);
    loop {
        tokio::select! {
            batch = changes.next() => match batch {
                Some(batch) => enforcer.note(&batch),
                None => return,
            },
            Some(arrival) = arrivals.0.recv() => enforcer.expect(arrival),
            () = sleep(RETRY_PAUSE), if enforcer.is_behind => {}
        }
        let view = cache.view();
        if view.resources().all(|resource| view.is_synced(resource)) {
            enforcer.apply(&view);
        }
    }
}

struct Enforcer {
    config: PolicyConfig,
    pods: BTreeMap<Key, PodFacts>,
    /// Addresses of this node's pods that the API may not know yet, by uid.
    given: HashMap<String, Vec<IpAddr>>,
    waiting: Vec<(String, oneshot::Sender<()>)>,
    policies: Policies,
    /// Something that rules are made of changed.
    is_stale: bool,
    /// The last rules could not be written.
    is_behind: bool,
}

impl Enforcer {
    fn new(config: PolicyConfig) -> Enforcer {
        Enforcer {
            config,
            pods: BTreeMap::new(),
            given: HashMap::new(),
            waiting: Vec::new(),
            policies: Policies::default(),
            is_stale: true,
            is_behind: false,
        }
    }

    fn note(&mut self, changes: &[Change]) {
        for change in changes.iter().filter(|change| !change.is_progress()) {
            match change.resource.same(&resources::PODS) {
                true => self.note_pod(change),
                false => self.is_stale = true,
            }
        }
    }

    fn note_pod(&mut self, change: &Change) {
        let Some(key) = change.object().map(|object| object.key()) else { return };
        let pod = change.new.as_ref().and_then(|object| object.decode::<Pod>());
        let facts = pod.as_ref().and_then(PodFacts::of);
        let uid_before = self.pods.get(&key).map(|pod| pod.uid.clone());
        if let Some(uid) = uid_before
            && facts.as_ref().is_none_or(|facts| facts.uid != uid)
        {
            self.given.remove(&uid);
        }
        let same = self.pods.get(&key) == facts.as_ref();
        match facts {
            Some(facts) => self.pods.insert(key, facts),
            None => self.pods.remove(&key),
        };
        self.is_stale |= !same;
    }

    fn expect(&mut self, arrival: Arrival) {
        let before = self.given.insert(arrival.pod.clone(), arrival.addresses.clone());
        self.is_stale |= before.as_ref() != Some(&arrival.addresses);
        self.waiting.retain(|(_, sender)| !sender.is_closed());
        self.waiting.push((arrival.pod, arrival.guarded));
    }

    fn apply(&mut self, view: &View) {
        if std::mem::take(&mut self.is_stale) {
            let rules = self.rules(view);
            let written = self.policies.set(&rules);
            self.is_behind = written.is_err();
            if let Err(error) = written {
                // Pods that wait for their rules go on waiting.
                tracing::error!(%error, "cannot enforce network policies");
                self.is_stale = true;
                return;
            }
        }
        let none = view.objects(&Resource::of::<NetworkPolicy>(), None).next().is_none();
        let known = |uid: &str| self.pods.values().any(|pod| pod.uid == uid);
        for (uid, guarded) in std::mem::take(&mut self.waiting) {
            if none || known(&uid) {
                // Whoever asked may have stopped waiting.
                let _ = guarded.send(());
            } else {
                self.waiting.push((uid, guarded));
            }
        }
    }

    fn rules(&self, view: &View) -> PolicyRules {
        let policies: Vec<NetworkPolicy> = view.list(None);
        if policies.is_empty() {
            return PolicyRules::default();
        }
        let namespaces = view.objects(&resources::NAMESPACES, None);
        let namespaces =
            namespaces.map(|n| (n.metadata.name.clone(), n.metadata.labels.clone())).collect();
        let surroundings = Surroundings {
            node: self.config.node.clone(),
            dns: self.config.dns.clone(),
            namespaces,
        };
        let with_address = |pod: &PodFacts| {
            let mut pod = pod.clone();
            if let Some(addresses) = self.given.get(&pod.uid) {
                pod.addresses.clone_from(addresses);
            }
            pod
        };
        let pods: Vec<PodFacts> = self.pods.values().map(with_address).collect();
        policy_rules(&policies, &pods, &surroundings)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use kd_client::Object;
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, address: Option<&str>) -> Arc<Object> {
        let json = json!({"metadata": {"namespace": "n", "name": "p", "uid": uid},
            "spec": {"nodeName": "here", "containers": []}, "status": {"podIP": address}});
        let bytes = serde_json::to_vec(&json).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        Arc::new(Object::parse(&resources::PODS, &bytes, Keep::Full, now).unwrap())
    }

    fn view() -> View {
        let policy = Resource::of::<NetworkPolicy>();
        let mut view = View::of([policy.clone(), resources::NAMESPACES.clone()]);
        let json = json!({"metadata": {"namespace": "n", "name": "deny", "uid": "u"},
            "spec": {"podSelector": {}}});
        let bytes = serde_json::to_vec(&json).unwrap();
        let parsed = Object::parse(&policy, &bytes, Keep::Full, Timestamp::UNIX_EPOCH);
        view.insert(&policy, parsed.unwrap());
        view
    }

    fn guarded(enforcer: &Enforcer) -> Vec<String> {
        let rules = enforcer.rules(&view());
        rules.ingress.pods.keys().map(ToString::to_string).collect()
    }

    fn change(old: Option<Arc<Object>>, new: Option<Arc<Object>>) -> Change {
        Change { resource: Arc::new(resources::PODS.clone()), old, new }
    }

    #[test]
    fn a_pod_is_guarded_before_the_api_knows_its_address() {
        let config = PolicyConfig { node: "here".into(), dns: Vec::new() };
        let mut enforcer = Enforcer::new(config);
        let arrive = |enforcer: &mut Enforcer, pod: &str, address: &str| {
            let (guarded, _) = oneshot::channel();
            let addresses = vec![address.parse().unwrap()];
            enforcer.expect(Arrival { pod: pod.into(), addresses, guarded });
        };
        enforcer.note(&[change(None, Some(pod("u1", None)))]);
        assert!(guarded(&enforcer).is_empty());
        arrive(&mut enforcer, "u1", "10.244.0.2");
        assert_eq!(guarded(&enforcer), ["10.244.0.2"]);
        enforcer.is_stale = false;
        enforcer.note(&[change(Some(pod("u1", None)), Some(pod("u1", Some("10.244.0.2"))))]);
        assert!(enforcer.is_stale);
        // The next pod of the name, and the end of it.
        enforcer.note(&[change(Some(pod("u1", None)), Some(pod("u2", None)))]);
        assert!(guarded(&enforcer).is_empty() && enforcer.given.is_empty());
        arrive(&mut enforcer, "u2", "10.244.0.3");
        assert_eq!(guarded(&enforcer), ["10.244.0.3"]);
        enforcer.note(&[change(Some(pod("u2", None)), None)]);
        assert!(guarded(&enforcer).is_empty() && enforcer.pods.is_empty());
    }
}

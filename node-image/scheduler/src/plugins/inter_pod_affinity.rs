//! InterPodAffinity: pods that want to be near others, or away from them, within a topology domain
//! (nodes that share a label's value).

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{PodAffinityTerm, WeightedPodAffinityTerm};
use kd_api::selector::Selector;
use kd_client::{label_selector, selects};

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Normalize, Plugin, Prepared, Refusal};
use crate::pod::PodFacts;

const AFFINITY: &str = "node(s) didn't match pod affinity rules";
const ANTI_AFFINITY: &str = "node(s) didn't match pod anti-affinity rules";
const EXISTING: &str = "node(s) didn't satisfy existing pods anti-affinity rules";
/// How much an existing pod's required affinity counts in scores.
const REQUIRED_WEIGHT: i64 = 1;

pub(super) struct InterPodAffinity;

/// Topology key and value.
type Domain = (String, String);

/// A term ready to match pods.
struct Term {
    topology_key: String,
    selector: Selector,
    namespaces: Vec<String>,
    namespace_selector: Option<Selector>,
}

impl Term {
    /// `owner` is the pod whose spec holds the term.
    fn of(term: &PodAffinityTerm, owner: &PodFacts) -> Term {
        // matchLabelKeys and mismatchLabelKeys are in the selector: the API server merged them.
        let selector =
            label_selector(term.label_selector.as_ref()).unwrap_or_else(|_| Selector::nothing());
        let mut namespaces = term.namespaces.clone().unwrap_or_default();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.push(owner.key.namespace.to_string());
        }
        let namespace_selector = term.namespace_selector.as_ref();
        Term {
            topology_key: term.topology_key.clone(),
            selector,
            namespaces,
            namespace_selector: namespace_selector
                .map(|s| label_selector(Some(s)).unwrap_or_else(|_| Selector::nothing())),
        }
    }

    fn matches(&self, cluster: &Cluster, pod: &PodFacts) -> bool {
        let namespace = &*pod.key.namespace;
        let in_namespace = self.namespaces.iter().any(|n| n == namespace)
            || self.namespace_selector.as_ref().is_some_and(|selector| {
                let labels = cluster.namespaces.get(namespace).cloned().unwrap_or_default();
                selects(selector, &labels)
            });
        in_namespace && selects(&self.selector, &pod.wishes.labels)
    }

    fn domain(&self, node: &NodeFacts) -> Option<Domain> {
        let value = node.labels.get(&self.topology_key)?;
        Some((self.topology_key.clone(), value.clone()))
    }
}

fn terms(list: Option<&Vec<PodAffinityTerm>>, owner: &PodFacts) -> Vec<Term> {
    list.into_iter().flatten().map(|term| Term::of(term, owner)).collect()
}

fn required_affinity(pod: &PodFacts) -> Vec<Term> {
    let affinity = pod.wishes.affinity.as_ref().and_then(|a| a.pod_affinity.as_ref());
    let list =
        affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    terms(list, pod)
}

fn required_anti_affinity(pod: &PodFacts) -> Vec<Term> {
    let affinity = pod.wishes.affinity.as_ref().and_then(|a| a.pod_anti_affinity.as_ref());
    let list =
        affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    terms(list, pod)
}

/// Preferred terms with signed weights: anti-affinity counts against a node.
fn preferred(pod: &PodFacts) -> Vec<(Term, i64)> {
    let Some(affinity) = pod.wishes.affinity.as_ref() else { return Vec::new() };
    let near = affinity.pod_affinity.as_ref();
    let near = near.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
    let away = affinity.pod_anti_affinity.as_ref();
    let away = away.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
    let weighted = |list: Option<&Vec<WeightedPodAffinityTerm>>, sign: i64| {
        let all = list.into_iter().flatten();
        all.map(|w| (Term::of(&w.pod_affinity_term, pod), sign * i64::from(w.weight)))
            .collect::<Vec<_>>()
    };
    let mut all = weighted(near, 1);
    all.extend(weighted(away, -1));
    all
}

fn has_pod_affinity(pod: &PodFacts) -> bool {
    let affinity = pod.wishes.affinity.as_ref();
    affinity.is_some_and(|a| a.pod_affinity.is_some() || a.pod_anti_affinity.is_some())
}

struct Counts {
    affinity: Vec<Term>,
    anti_affinity: Vec<Term>,
    /// Pods that match all affinity terms, by domain.
    near: HashMap<Domain, i64>,
    /// Pods that match an anti-affinity term, by domain.
    away: HashMap<Domain, i64>,
    /// Domains that existing pods keep this pod out of.
    refused: HashMap<Domain, i64>,
    /// Score by domain.
    liked: HashMap<Domain, i64>,
    /// The pod would be the first of its group and matches its own terms.
    first_of_group: bool,
}

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn weight(&self) -> i64 {
        2
    }

    fn normalize(&self) -> Normalize {
        Normalize::Range
    }

    fn prepare<'a>(
        &self,
        cluster: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        let mut counts = Counts {
            affinity: required_affinity(pod),
            anti_affinity: required_anti_affinity(pod),
            near: HashMap::new(),
            away: HashMap::new(),
            refused: HashMap::new(),
            liked: HashMap::new(),
            first_of_group: false,
        };
        let preferred = preferred(pod);
        let own = has_pod_affinity(pod);
        for node in cluster.nodes() {
            for existing in node.pods.iter().filter(|p| own || has_pod_affinity(p)) {
                counts.add_own(cluster, node, existing, &preferred);
                if has_pod_affinity(existing) {
                    counts.add_existing(cluster, node, existing, pod);
                }
            }
        }
        let matches_itself = counts.affinity.iter().all(|term| term.matches(cluster, pod));
        counts.first_of_group = counts.near.is_empty() && matches_itself;
        let silent = !own && counts.refused.is_empty() && counts.liked.is_empty();
        Ok((!silent).then(|| Box::new(counts) as Box<dyn Prepared>))
    }

    fn helped_by(&self, event: &ClusterEvent, _: &PodFacts) -> bool {
        !matches!(event, ClusterEvent::Storage)
    }
}

impl Counts {
    /// Counts an existing pod for the terms of the pod to place.
    fn add_own(
        &mut self,
        cluster: &Cluster,
        node: &NodeFacts,
        existing: &PodFacts,
        preferred: &[(Term, i64)],
    ) {
        let all = !self.affinity.is_empty()
            && self.affinity.iter().all(|term| term.matches(cluster, existing));
        for domain in self.affinity.iter().filter(|_| all).filter_map(|term| term.domain(node)) {
            *self.near.entry(domain).or_insert(0) += 1;
        }
        for term in self.anti_affinity.iter().filter(|term| term.matches(cluster, existing)) {
            if let Some(domain) = term.domain(node) {
                *self.away.entry(domain).or_insert(0) += 1;
            }
        }
        for (term, weight) in preferred.iter().filter(|(term, _)| term.matches(cluster, existing)) {
            if let Some(domain) = term.domain(node) {
                *self.liked.entry(domain).or_insert(0) += weight;
            }
        }
    }

    /// Counts the terms of an existing pod that the pod to place matches.
    fn add_existing(
        &mut self,
        cluster: &Cluster,
        node: &NodeFacts,
        existing: &PodFacts,
        pod: &PodFacts,
    ) {
        let matching = |term: &Term| term.matches(cluster, pod);
        for term in required_anti_affinity(existing).into_iter().filter(|t| matching(t)) {
            if let Some(domain) = term.domain(node) {
                *self.refused.entry(domain).or_insert(0) += 1;
            }
        }
        let required = required_affinity(existing).into_iter().map(|term| (term, REQUIRED_WEIGHT));
        for (term, weight) in required.chain(preferred(existing)).filter(|(t, _)| matching(t)) {
            if let Some(domain) = term.domain(node) {
                *self.liked.entry(domain).or_insert(0) += weight;
            }
        }
    }

    fn near_enough(&self, node: &NodeFacts) -> bool {
        let mut everywhere = true;
        for term in &self.affinity {
            let Some(domain) = term.domain(node) else { return false };
            everywhere &= self.near.contains_key(&domain);
        }
        everywhere || self.first_of_group
    }
}

impl Prepared for Counts {
    fn filter(&self, node: &NodeFacts) -> Vec<Refusal> {
        let in_domain = |domains: &HashMap<Domain, i64>| {
            domains.keys().any(|(key, value)| node.labels.get(key) == Some(value))
        };
        if !self.near_enough(node) {
            return vec![Refusal::fixed(AFFINITY)];
        }
        let too_near = |term: &Term| term.domain(node).is_some_and(|d| self.away.contains_key(&d));
        if self.anti_affinity.iter().any(too_near) {
            return vec![Refusal::resolvable(ANTI_AFFINITY)];
        }
        match in_domain(&self.refused) {
            true => vec![Refusal::resolvable(EXISTING)],
            false => Vec::new(),
        }
    }

    fn score(&self, node: &NodeFacts) -> i64 {
        let liked = self.liked.iter();
        let here = liked.filter(|((key, value), _)| node.labels.get(key) == Some(value));
        here.map(|(_, weight)| weight).sum()
    }
}

//! Sets of pods as specs name them: by namespaces and labels. Affinity terms and spread constraints
//! are read into them once, when the pod is.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Affinity, PodAffinityTerm, WeightedPodAffinityTerm};
use kd_api::selector::{Operator, Selector};
use kd_client::{label_selector, selects};

use crate::pod::PodFacts;

/// Labels of the namespaces there are.
pub type Namespaces = imbl::HashMap<String, BTreeMap<String, String>>;

/// Pods of some namespaces that a selector selects.
#[derive(Clone, Debug, PartialEq)]
pub struct PodSet {
    /// By name.
    pub namespaces: Vec<String>,
    /// By labels, besides.
    pub namespace_selector: Option<Selector>,
    /// Their own labels.
    pub selector: Selector,
}

impl PodSet {
    /// Whether a pod is in it.
    pub fn has(&self, namespaces: &Namespaces, pod: &PodFacts) -> bool {
        selects(&self.selector, &pod.wishes.labels)
            && self.has_namespace(namespaces, &pod.key.namespace)
    }

    fn has_namespace(&self, namespaces: &Namespaces, name: &str) -> bool {
        let none = BTreeMap::new();
        self.namespaces.iter().any(|known| known == name)
            || self
                .namespace_selector
                .as_ref()
                .is_some_and(|selector| selects(selector, namespaces.get(name).unwrap_or(&none)))
    }
}

/// The pods that are in all of some sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The sets.
    pub sets: Vec<PodSet>,
    /// Whether pods that are being deleted are left out.
    pub living: bool,
    /// The same text for equal groups.
    pub signature: Box<str>,
}

impl Group {
    /// A group with its signature.
    pub fn new(sets: Vec<PodSet>, living: bool) -> Group {
        let signature = format!("{living}{sets:?}").into();
        Group { sets, living, signature }
    }

    /// Whether a pod belongs to it.
    pub fn has(&self, namespaces: &Namespaces, pod: &PodFacts) -> bool {
        !(self.living && pod.deleting) && self.sets.iter().all(|set| set.has(namespaces, pod))
    }

    /// Whether what belongs to it hangs on the labels of namespaces.
    pub fn by_namespace_labels(&self) -> bool {
        self.sets.iter().any(|set| set.namespace_selector.is_some())
    }

    /// A label that all of its pods have.
    pub fn anchor(&self) -> Option<Anchor> {
        self.sets.iter().find_map(|set| anchor(&set.selector))
    }
}

/// A label and its value, as one number: what does not have it is not looked at. Different labels
/// may share one.
pub type Anchor = u64;

/// The anchor of a label.
pub fn label_anchor(key: &str, value: &str) -> Anchor {
    let mut hasher = DefaultHasher::new();
    (key, value).hash(&mut hasher);
    hasher.finish()
}

/// A label that everything selected has.
pub fn anchor(selector: &Selector) -> Option<Anchor> {
    let exact =
        |operator| matches!(operator, Operator::In | Operator::Equals | Operator::DoubleEquals);
    let mut all = selector.requirements().iter();
    let one = all.find(|r| exact(r.operator) && r.values.len() == 1)?;
    Some(label_anchor(&one.key, one.values.first()?))
}

/// A term of a pod's affinity.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// Nodes with the same value of this label are one domain.
    pub topology_key: String,
    /// The pods meant.
    pub pods: PodSet,
    /// The same as a group that can be counted.
    pub group: Arc<Group>,
    /// The same text for equal terms.
    pub signature: Box<str>,
}

impl Term {
    /// `namespace` is the namespace of the pod whose spec holds the term.
    fn of(term: &PodAffinityTerm, namespace: &str) -> Term {
        // matchLabelKeys and mismatchLabelKeys are in the selector: the API server merged them.
        let read =
            |selector| label_selector(Some(selector)).unwrap_or_else(|_| Selector::nothing());
        let mut namespaces = term.namespaces.clone().unwrap_or_default();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.push(namespace.to_owned());
        }
        let pods = PodSet {
            namespaces,
            namespace_selector: term.namespace_selector.as_ref().map(read),
            selector: term.label_selector.as_ref().map_or_else(Selector::nothing, read),
        };
        let topology_key = term.topology_key.clone();
        let signature = format!("{topology_key}{pods:?}").into();
        let group = Arc::new(Group::new(vec![pods.clone()], false));
        Term { topology_key, pods, group, signature }
    }
}

/// What a pod says of other pods near it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AffinityTerms {
    /// Must be near.
    pub required: Vec<Arc<Term>>,
    /// Must not be near.
    pub anti: Vec<Arc<Term>>,
    /// Should be near, or should not: then the weight is negative.
    pub preferred: Vec<(Arc<Term>, i64)>,
    /// The pods that all required terms mean.
    pub near: Option<Arc<Group>>,
}

impl AffinityTerms {
    /// Reads a pod's affinity.
    pub fn of(affinity: Option<&Affinity>, namespace: &str) -> AffinityTerms {
        let Some(affinity) = affinity else { return AffinityTerms::default() };
        let terms = |list: Option<&Vec<PodAffinityTerm>>| -> Vec<Arc<Term>> {
            let all = list.into_iter().flatten();
            all.map(|term| Arc::new(Term::of(term, namespace))).collect()
        };
        let weighted = |list: Option<&Vec<WeightedPodAffinityTerm>>, sign: i64| {
            let all = list.into_iter().flatten();
            let term = |w: &WeightedPodAffinityTerm| {
                let term = Term::of(&w.pod_affinity_term, namespace);
                (Arc::new(term), sign * i64::from(w.weight))
            };
            all.map(term).collect::<Vec<_>>()
        };
        let mut read = AffinityTerms::default();
        if let Some(near) = &affinity.pod_affinity {
            read.required =
                terms(near.required_during_scheduling_ignored_during_execution.as_ref());
            read.preferred =
                weighted(near.preferred_during_scheduling_ignored_during_execution.as_ref(), 1);
        }
        if let Some(away) = &affinity.pod_anti_affinity {
            let soft = away.preferred_during_scheduling_ignored_during_execution.as_ref();
            read.anti = terms(away.required_during_scheduling_ignored_during_execution.as_ref());
            read.preferred.extend(weighted(soft, -1));
        }
        let sets: Vec<PodSet> = read.required.iter().map(|term| term.pods.clone()).collect();
        read.near = (!sets.is_empty()).then(|| Arc::new(Group::new(sets, false)));
        read
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.required.is_empty() && self.anti.is_empty() && self.preferred.is_empty()
    }

    /// All of its terms.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Term>> {
        let preferred = self.preferred.iter().map(|(term, _)| term);
        self.required.iter().chain(&self.anti).chain(preferred)
    }
}

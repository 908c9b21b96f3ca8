//! Topology spread constraints as they are meant: everything defaulted and read once.

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kd_api::selector::Selector;
use kd_client::label_selector;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::pod_set::{Group, PodSet};

/// The label that gives each node a domain of its own.
pub const HOSTNAME: &str = "kubernetes.io/hostname";

/// A constraint.
#[derive(Clone, Debug, PartialEq)]
pub struct Constraint {
    /// Its topology key.
    pub key: String,
    /// How uneven it may be.
    pub skew_max: i64,
    /// Whether it must hold.
    pub required: bool,
    /// With fewer domains the emptiest counts as empty.
    pub domains_min: i64,
    /// Nodes that the pod's affinity refuses do not take part.
    pub by_affinity: bool,
    /// Nodes whose taints it does not tolerate do not take part.
    pub by_taints: bool,
    /// The pods that are counted.
    pub group: Arc<Group>,
}

impl Constraint {
    /// Reads a constraint of a pod with these labels.
    pub fn of(
        constraint: &TopologySpreadConstraint,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Constraint {
        let mut selector = constraint.label_selector.clone();
        if let Some(selector) = &mut selector {
            add_own_values(selector, constraint.match_label_keys.as_deref(), labels);
        }
        let read = label_selector(selector.as_ref()).unwrap_or_else(|_| Selector::nothing());
        Constraint {
            required: constraint.when_unsatisfiable != "ScheduleAnyway",
            domains_min: constraint.min_domains.unwrap_or(1).into(),
            by_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
            by_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
            ..Constraint::wish(
                &constraint.topology_key,
                constraint.max_skew.into(),
                namespace,
                read,
            )
        }
    }

    /// A wish that any node may leave unfulfilled.
    pub fn wish(key: &str, skew_max: i64, namespace: &str, selector: Selector) -> Constraint {
        let namespaces = vec![namespace.to_owned()];
        let set = PodSet { namespaces, namespace_selector: None, selector };
        Constraint {
            key: key.to_owned(),
            skew_max,
            required: false,
            domains_min: 1,
            by_affinity: true,
            by_taints: false,
            group: Arc::new(Group::new(vec![set], true)),
        }
    }
}

/// Adds the pod's own values of `matchLabelKeys`. The API server has done so already, unless the pod
/// is older than that.
fn add_own_values(
    selector: &mut LabelSelector,
    keys: Option<&[String]>,
    labels: &BTreeMap<String, String>,
) {
    for key in keys.unwrap_or_default() {
        let Some(value) = labels.get(key) else { continue };
        let requirement = LabelSelectorRequirement {
            key: key.clone(),
            operator: "In".into(),
            values: Some(vec![value.clone()]),
        };
        let expressions = selector.match_expressions.get_or_insert_default();
        if !expressions.contains(&requirement) {
            expressions.push(requirement);
        }
    }
}

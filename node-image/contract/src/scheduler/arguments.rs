//! The arguments of plugins, with upstream's defaults and checks.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{invalid, unsupported};

const STRATEGIES: [&str; 3] = ["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"];
const SCORE_MAX: i32 = 10;

/// The arguments of a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PluginArgs {
    /// Of DefaultPreemption.
    DefaultPreemption(DefaultPreemptionArgs),
    /// Of InterPodAffinity.
    InterPodAffinity(InterPodAffinityArgs),
    /// Of NodeAffinity.
    NodeAffinity(NodeAffinityArgs),
    /// Of NodeResourcesBalancedAllocation.
    BalancedAllocation(BalancedAllocationArgs),
    /// Of NodeResourcesFit.
    NodeResourcesFit(NodeResourcesFitArgs),
    /// Of PodTopologySpread.
    PodTopologySpread(PodTopologySpreadArgs),
    /// Of VolumeBinding.
    VolumeBinding(VolumeBindingArgs),
    /// Of a plugin that takes none.
    Other,
}

/// How many nodes preemption compares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DefaultPreemptionArgs {
    /// In percent.
    pub min_candidate_nodes_percentage: i32,
    /// At least.
    pub min_candidate_nodes_absolute: i32,
}

impl Default for DefaultPreemptionArgs {
    fn default() -> DefaultPreemptionArgs {
        DefaultPreemptionArgs {
            min_candidate_nodes_percentage: 10,
            min_candidate_nodes_absolute: 100,
        }
    }
}

/// Weights of affinity between pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct InterPodAffinityArgs {
    /// How much existing pods' required affinity scores.
    pub hard_pod_affinity_weight: i32,
    /// Whether existing pods' preferences count only for pods that have some.
    pub ignore_preferred_terms_of_existing_pods: bool,
}

impl Default for InterPodAffinityArgs {
    fn default() -> InterPodAffinityArgs {
        InterPodAffinityArgs {
            hard_pod_affinity_weight: 1,
            ignore_preferred_terms_of_existing_pods: false,
        }
    }
}

/// Node affinity that every pod gets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NodeAffinityArgs {
    /// A core/v1 NodeAffinity.
    pub added_affinity: Option<Value>,
}

/// A resource with its weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceSpec {
    /// Its name.
    pub name: String,
    /// Its weight.
    #[serde(default = "one")]
    pub weight: i64,
}

fn one() -> i64 {
    1
}

fn cpu_and_memory() -> Vec<ResourceSpec> {
    let resource = |name: &str| ResourceSpec { name: name.into(), weight: 1 };
    ["cpu", "memory"].map(resource).into()
}

/// What should fill up evenly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BalancedAllocationArgs {
    /// The resources.
    pub resources: Vec<ResourceSpec>,
}

impl Default for BalancedAllocationArgs {
    fn default() -> BalancedAllocationArgs {
        BalancedAllocationArgs { resources: cpu_and_memory() }
    }
}

/// How nodes are scored by what they have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NodeResourcesFitArgs {
    /// Extended resources that are not looked at.
    pub ignored_resources: Vec<String>,
    /// Likewise, by the part before the slash.
    pub ignored_resource_groups: Vec<String>,
    /// How they are scored.
    pub scoring_strategy: ScoringStrategy,
}

/// How nodes are scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ScoringStrategy {
    /// One of three.
    #[serde(rename = "type")]
    pub kind: String,
    /// By which resources.
    pub resources: Vec<ResourceSpec>,
    /// For the third.
    pub requested_to_capacity_ratio: Option<Shape>,
}

impl Default for ScoringStrategy {
    fn default() -> ScoringStrategy {
        ScoringStrategy {
            kind: STRATEGIES[0].into(),
            resources: cpu_and_memory(),
            requested_to_capacity_ratio: None,
        }
    }
}

/// A function from use to score.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Shape {
    /// Its points; straight lines between.
    pub shape: Vec<ShapePoint>,
}

/// A point of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ShapePoint {
    /// In percent.
    pub utilization: i32,
    /// 0 to 10.
    pub score: i32,
}

/// How pods are spread that do not say so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PodTopologySpreadArgs {
    /// Constraints without selectors.
    pub default_constraints: Vec<DefaultConstraint>,
    /// `System` or `List`.
    pub defaulting_type: String,
}

impl Default for PodTopologySpreadArgs {
    fn default() -> PodTopologySpreadArgs {
        PodTopologySpreadArgs { default_constraints: Vec::new(), defaulting_type: "System".into() }
    }
}

/// A constraint without a selector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DefaultConstraint {
    /// How uneven.
    pub max_skew: i32,
    /// Over what.
    pub topology_key: String,
    /// `DoNotSchedule` or `ScheduleAnyway`.
    pub when_unsatisfiable: String,
    /// Must be absent.
    pub label_selector: Option<Value>,
}

/// How long volumes may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct VolumeBindingArgs {
    /// In seconds.
    pub bind_timeout_seconds: i64,
    /// Only with a feature that is off.
    pub shape: Option<Vec<ShapePoint>>,
}

impl Default for VolumeBindingArgs {
    fn default() -> VolumeBindingArgs {
        VolumeBindingArgs { bind_timeout_seconds: 600, shape: None }
    }
}

impl PluginArgs {
    /// Reads the arguments of a plugin.
    pub fn read(name: &str, args: &Value) -> serde_json::Result<PluginArgs> {
        let mut args = if args.is_null() { serde_json::json!({}) } else { args.clone() };
        if let Some(fields) = args.as_object_mut() {
            fields.remove("apiVersion");
            fields.remove("kind");
        }
        use serde_json::from_value as read;
        Ok(match name {
            "DefaultPreemption" => PluginArgs::DefaultPreemption(read(args)?),
            "InterPodAffinity" => PluginArgs::InterPodAffinity(read(args)?),
            "NodeAffinity" => PluginArgs::NodeAffinity(read(args)?),
            "NodeResourcesBalancedAllocation" => PluginArgs::BalancedAllocation(read(args)?),
            "NodeResourcesFit" => PluginArgs::NodeResourcesFit(read(args)?),
            "PodTopologySpread" => PluginArgs::PodTopologySpread(read(args)?),
            "VolumeBinding" => PluginArgs::VolumeBinding(read(args)?),
            _ => PluginArgs::Other,
        })
    }

    /// What is wrong with them.
    pub(super) fn errors(&self, path: &str) -> Vec<String> {
        match self {
            PluginArgs::DefaultPreemption(args) => args.errors(path),
            PluginArgs::InterPodAffinity(args) => {
                let weight = args.hard_pod_affinity_weight;
                let path = format!("{path}.hardPodAffinityWeight");
                let wrong = !(0..=100).contains(&weight);
                wrong
                    .then(|| invalid(&path, weight, "not in valid range [0, 100]"))
                    .into_iter()
                    .collect()
            }
            PluginArgs::BalancedAllocation(args) => balanced_errors(args, path),
            PluginArgs::NodeResourcesFit(args) => args.errors(path),
            PluginArgs::PodTopologySpread(args) => args.errors(path),
            PluginArgs::VolumeBinding(args) => args.errors(path),
            PluginArgs::NodeAffinity(_) | PluginArgs::Other => Vec::new(),
        }
    }
}

impl DefaultPreemptionArgs {
    fn errors(&self, path: &str) -> Vec<String> {
        let (percentage, absolute) =
            (self.min_candidate_nodes_percentage, self.min_candidate_nodes_absolute);
        let at = |name: &str| format!("{path}.{name}");
        let (first, second) = (at("minCandidateNodesPercentage"), at("minCandidateNodesAbsolute"));
        let mut errors = Vec::new();
        if !(0..=100).contains(&percentage) {
            errors.push(invalid(&first, percentage, "not in valid range [0, 100]"));
        }
        if absolute < 0 {
            errors.push(invalid(&second, absolute, "not in valid range [0, inf)"));
        }
        if percentage == 0 && absolute == 0 {
            let why = |other: &str| format!("cannot be zero at the same time as {other}");
            errors.push(invalid(&first, percentage, &why("minCandidateNodesAbsolute")));
            errors.push(invalid(&second, absolute, &why("minCandidateNodesPercentage")));
        }
        errors
    }
}

fn balanced_errors(args: &BalancedAllocationArgs, path: &str) -> Vec<String> {
    let mut errors = Vec::new();
    for (index, resource) in args.resources.iter().enumerate() {
        let path = format!("{path}.resources[{index}]");
        if args.resources[..index].iter().any(|other| other.name == resource.name) {
            errors.push(format!("{path}.name: Duplicate value: {:?}", resource.name));
        }
        if resource.weight != 1 {
            errors.push(invalid(&format!("{path}.weight"), resource.weight, "must be 1"));
        }
    }
    errors
}

impl NodeResourcesFitArgs {
    fn errors(&self, path: &str) -> Vec<String> {
        let mut errors = Vec::new();
        for (index, group) in self.ignored_resource_groups.iter().enumerate() {
            if group.contains('/') {
                let path = format!("{path}.ignoredResourceGroups[{index}]");
                let why = "resource group name can't contain '/'";
                errors.push(invalid(&path, format!("{group:?}"), why));
            }
        }
        let (strategy, path) = (&self.scoring_strategy, format!("{path}.scoringStrategy"));
        if !STRATEGIES.contains(&strategy.kind.as_str()) {
            errors.push(unsupported(&format!("{path}.type"), &strategy.kind, &STRATEGIES));
        }
        for (index, resource) in strategy.resources.iter().enumerate() {
            if !(1..=100).contains(&resource.weight) {
                let why =
                    format!("resource weight of {} not in valid range (0, 100]", resource.name);
                let path = format!("{path}.resources[{index}].weight");
                errors.push(invalid(&path, resource.weight, &why));
            }
        }
        let path = format!("{path}.requestedToCapacityRatio");
        match (strategy.kind == STRATEGIES[2], &strategy.requested_to_capacity_ratio) {
            (true, Some(shape)) => {
                errors.extend(shape_errors(&shape.shape, &format!("{path}.shape")));
            }
            (true, None) => errors.push(format!(
                "{path}: Required value: must be specified when type is RequestedToCapacityRatio"
            )),
            (false, Some(_)) => errors.push(format!(
                "{path}: Forbidden: must be nil when type is not RequestedToCapacityRatio"
            )),
            (false, None) => {}
        }
        errors
    }
}

fn shape_errors(shape: &[ShapePoint], path: &str) -> Vec<String> {
    if shape.is_empty() {
        return vec![format!("{path}: Required value: at least one point must be specified")];
    }
    let mut errors = Vec::new();
    let unsorted = (1..shape.len()).find(|i| shape[i - 1].utilization >= shape[*i].utilization);
    if let Some(index) = unsorted {
        let path = format!("{path}[{index}].utilization");
        let why = "values must be sorted in increasing order";
        errors.push(invalid(&path, shape[index].utilization, why));
    }
    for (index, point) in shape.iter().enumerate() {
        if !(0..=100).contains(&point.utilization) {
            let path = format!("{path}[{index}].utilization");
            errors.push(invalid(&path, point.utilization, "not in valid range [0, 100]"));
        }
        if !(0..=SCORE_MAX).contains(&point.score) {
            let path = format!("{path}[{index}].score");
            errors.push(invalid(&path, point.score, "not in valid range [0, 10]"));
        }
    }
    errors
}

impl PodTopologySpreadArgs {
    fn errors(&self, path: &str) -> Vec<String> {
        let mut errors = Vec::new();
        let kind = &self.defaulting_type;
        if !["List", "System"].contains(&kind.as_str()) {
            let path = format!("{path}.defaultingType");
            errors.push(unsupported(&path, kind, &["List", "System"]));
        } else if kind == "System" && !self.default_constraints.is_empty() {
            let path = format!("{path}.defaultingType");
            let why = "when .defaultConstraints are not empty";
            errors.push(invalid(&path, format!("{kind:?}"), why));
        }
        for (index, constraint) in self.default_constraints.iter().enumerate() {
            let path = format!("{path}.defaultConstraints[{index}]");
            errors.extend(constraint.errors(&path));
            let same = |other: &&DefaultConstraint| {
                other.topology_key == constraint.topology_key
                    && other.when_unsatisfiable == constraint.when_unsatisfiable
            };
            if self.default_constraints[..index].iter().any(|other| same(&other)) {
                let (key, when) = (&constraint.topology_key, &constraint.when_unsatisfiable);
                errors.push(format!("{path}: Duplicate value: \"{{{key}, {when}}}\""));
            }
        }
        errors
    }
}

impl DefaultConstraint {
    fn errors(&self, path: &str) -> Vec<String> {
        let mut errors = Vec::new();
        if self.max_skew <= 0 {
            let path = format!("{path}.maxSkew");
            errors.push(invalid(&path, self.max_skew, "not in valid range (0, inf)"));
        }
        if self.topology_key.is_empty() {
            errors.push(format!("{path}.topologyKey: Required value: can not be empty"));
        }
        let (when, path_of_when) = (&self.when_unsatisfiable, format!("{path}.whenUnsatisfiable"));
        let known = ["DoNotSchedule", "ScheduleAnyway"];
        if when.is_empty() {
            errors.push(format!("{path_of_when}: Required value: can not be empty"));
        } else if !known.contains(&when.as_str()) {
            errors.push(unsupported(&path_of_when, when, &known));
        }
        if self.label_selector.is_some() {
            errors.push(format!(
                "{path}.labelSelector: Forbidden: constraint must not define a selector, as they \
                 deduced for each pod"
            ));
        }
        errors
    }
}

impl VolumeBindingArgs {
    fn errors(&self, path: &str) -> Vec<String> {
        let mut errors = Vec::new();
        if self.bind_timeout_seconds < 0 {
            let why = "invalid BindTimeoutSeconds, should not be a negative value";
            let path = format!("{path}.bindTimeoutSeconds");
            errors.push(invalid(&path, self.bind_timeout_seconds, why));
        }
        if let Some(shape) = &self.shape {
            let value = serde_json::to_string(shape).unwrap_or_default();
            let why = "unexpected field `shape`, remove it or turn on the feature gate \
                       StorageCapacityScoring";
            errors.push(invalid(&format!("{path}.shape"), value, why));
        }
        errors
    }
}

//! A profile: the plugins that place the pods of one scheduler name, in order and with weights.

use std::time::Duration;

use kd_contract::scheduler::{
    NodeResourcesFitArgs, PluginArgs, PodTopologySpreadArgs, ResolvedProfile, ResourceSpec,
};

use crate::cluster::Cluster;
use crate::plugin::{ClusterEvent, Counting, Plugin};
use crate::plugins::{
    BalancedAllocation, DefaultConstraint, InterPodAffinity, NodeAffinity, NodeResourcesFit,
    PodTopologySpread, Strategy, Weighed, plugins,
};
use crate::pod::PodFacts;

/// A plugin and what it is enabled for.
pub struct Enabled {
    /// The plugin.
    pub plugin: Box<dyn Plugin>,
    /// Whether it filters.
    pub filters: bool,
    /// The weight of its scores; 0 when it does not score.
    pub weight: i64,
}

/// How the pods of one scheduler name are placed.
pub struct Profile {
    /// The name.
    pub scheduler_name: String,
    /// In the order in which they filter: the first refusal of a node is the one told.
    pub plugins: Vec<Enabled>,
    /// Whether pods that fit nowhere may take the place of others.
    pub preempts: bool,
    /// The share of nodes to find before the best is chosen; 0 for upstream's rule.
    pub percentage_of_nodes: i32,
    /// How many nodes are looked at for victims.
    pub candidates: Candidates,
    /// Whether scheduling gates hold pods back.
    pub gates: bool,
    /// How long a pod's volumes may take to be bound.
    pub volumes_max: Duration,
}

/// The name under which extenders refuse nodes.
pub const EXTENDER: &str = "Extender";
/// Upstream's default of `bindTimeoutSeconds`.
const VOLUMES_MAX: Duration = Duration::from_secs(600);
/// Scores of shapes are out of 10.
const SHAPE_SCALE: i64 = 10;

/// How many nodes preemption compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// Share of the nodes, in percent.
    pub percentage_min: i32,
    /// At least so many.
    pub absolute_min: i32,
}

impl Default for Candidates {
    fn default() -> Candidates {
        Candidates { percentage_min: 10, absolute_min: 100 }
    }
}

impl Default for Profile {
    fn default() -> Profile {
        let enabled =
            |plugin: Box<dyn Plugin>| Enabled { filters: true, weight: plugin.weight(), plugin };
        Profile {
            scheduler_name: "default-scheduler".into(),
            plugins: plugins().into_iter().map(enabled).collect(),
            preempts: true,
            percentage_of_nodes: 0,
            candidates: Candidates::default(),
            gates: true,
            volumes_max: VOLUMES_MAX,
        }
    }
}

impl Profile {
    /// The profile that a configuration means. `ignored` are resources that extenders look after.
    pub fn of(resolved: &ResolvedProfile, ignored: &[String]) -> Profile {
        let mut profile = Profile {
            scheduler_name: resolved.scheduler_name.clone(),
            plugins: Vec::new(),
            preempts: resolved.preempts,
            gates: resolved.gates,
            percentage_of_nodes: resolved.percentage_of_nodes,
            ..Profile::default()
        };
        let mut left = plugins();
        let plain = PluginArgs::NodeResourcesFit(NodeResourcesFitArgs::default());
        let arguments = &resolved.arguments;
        for args in std::iter::once(&plain).chain(arguments) {
            profile.configure(args, ignored, &mut left);
        }
        let scores = resolved.scores.iter().map(|(name, _)| name);
        for name in resolved.filters.iter().chain(scores) {
            let Some(at) = left.iter().position(|plugin| plugin.name() == name) else { continue };
            let weight = resolved.scores.iter().find(|(scoring, _)| scoring == name);
            profile.plugins.push(Enabled {
                plugin: left.remove(at),
                filters: resolved.filters.contains(name),
                weight: weight.map_or(0, |(_, weight)| i64::from(*weight)),
            });
        }
        profile
    }

    /// Gives a plugin its arguments.
    fn configure(
        &mut self,
        args: &PluginArgs,
        ignored: &[String],
        plugins: &mut [Box<dyn Plugin>],
    ) {
        let made: Box<dyn Plugin> = match args {
            PluginArgs::DefaultPreemption(args) => {
                self.candidates = Candidates {
                    percentage_min: args.min_candidate_nodes_percentage,
                    absolute_min: args.min_candidate_nodes_absolute,
                };
                return;
            }
            PluginArgs::VolumeBinding(args) => {
                let seconds = u64::try_from(args.bind_timeout_seconds).unwrap_or_default();
                self.volumes_max = Duration::from_secs(seconds.min(u32::MAX.into()));
                return;
            }
            PluginArgs::InterPodAffinity(args) => Box::new(InterPodAffinity {
                required_weight: args.hard_pod_affinity_weight.into(),
                ignore_existing_preferences: args.ignore_preferred_terms_of_existing_pods,
            }),
            PluginArgs::NodeAffinity(args) => {
                let added = args.added_affinity.clone();
                let added = added.and_then(|added| serde_json::from_value(added).ok());
                Box::new(NodeAffinity::with_added(added.as_ref()))
            }
            PluginArgs::BalancedAllocation(args) => {
                Box::new(BalancedAllocation { resources: weighed(&args.resources) })
            }
            PluginArgs::NodeResourcesFit(args) => Box::new(fit(args, ignored)),
            PluginArgs::PodTopologySpread(args) => Box::new(spread(args)),
            PluginArgs::Other => return,
        };
        if let Some(plugin) = plugins.iter_mut().find(|plugin| plugin.name() == made.name()) {
            *plugin = made;
        }
    }

    /// Whether a change may help a pod that these plugins refused.
    pub fn helped(&self, by: &[&str], event: &ClusterEvent, pod: &PodFacts) -> bool {
        // Nobody tells what would change an extender's mind.
        if by.contains(&EXTENDER) {
            return true;
        }
        let plugins = self.plugins.iter().map(|enabled| &enabled.plugin);
        plugins.filter(|p| by.contains(&p.name())).any(|p| p.helped_by(event, pod))
    }

    /// The counts that placing a pod reads.
    pub fn counts(&self, cluster: &Cluster, pod: &PodFacts) -> Vec<Counting> {
        self.plugins.iter().flat_map(|enabled| enabled.plugin.counts(cluster, pod)).collect()
    }
}

fn weighed(resources: &[ResourceSpec]) -> Vec<Weighed> {
    resources.iter().map(|resource| (resource.name.clone(), resource.weight)).collect()
}

fn fit(args: &NodeResourcesFitArgs, ignored: &[String]) -> NodeResourcesFit {
    let strategy = &args.scoring_strategy;
    let shape = strategy.requested_to_capacity_ratio.iter().flat_map(|ratio| &ratio.shape);
    let shape = shape.map(|p| (p.utilization.into(), i64::from(p.score) * SHAPE_SCALE));
    NodeResourcesFit {
        strategy: match strategy.kind.as_str() {
            "MostAllocated" => Strategy::Most,
            "RequestedToCapacityRatio" => Strategy::Shape(shape.collect()),
            _ => Strategy::Least,
        },
        resources: weighed(&strategy.resources),
        ignored: args.ignored_resources.iter().chain(ignored).cloned().collect(),
        ignored_groups: args.ignored_resource_groups.clone(),
    }
}

fn spread(args: &PodTopologySpreadArgs) -> PodTopologySpread {
    if args.defaulting_type == "System" {
        return PodTopologySpread::default();
    }
    let constraint = |c: &kd_contract::scheduler::DefaultConstraint| DefaultConstraint {
        key: c.topology_key.clone(),
        skew_max: c.max_skew.into(),
        required: c.when_unsatisfiable != "ScheduleAnyway",
    };
    PodTopologySpread {
        defaults: args.default_constraints.iter().map(constraint).collect(),
        system_defaults: false,
    }
}

#[cfg(test)]
mod tests {
    use kd_contract::scheduler::SchedulerConfiguration;
    use serde_json::json;

    use super::*;

    #[test]
    fn configured_profiles() {
        let file = json!({"apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration", "percentageOfNodesToScore": 40,
            "profiles": [{"schedulerName": "a"}, {"schedulerName": "b",
                "plugins": {"multiPoint": {"disabled": [{"name": "InterPodAffinity"}]},
                    "score": {"disabled": [{"name": "*"}],
                        "enabled": [{"name": "NodeResourcesFit", "weight": 5}]}},
                "pluginConfig": [{"name": "NodeResourcesFit", "args": {
                    "scoringStrategy": {"type": "MostAllocated"}}}]}]});
        let read = SchedulerConfiguration::read(file).unwrap().resolved().unwrap();
        let profiles: Vec<Profile> = read.iter().map(|profile| Profile::of(profile, &[])).collect();
        let names = |profile: &Profile| -> Vec<(&'static str, i64)> {
            profile.plugins.iter().map(|e| (e.plugin.name(), e.weight)).collect()
        };
        let plain: Vec<_> = names(&Profile::default());
        assert_eq!(names(&profiles[0]), plain, "no configuration, upstream's profile");
        let scoring: Vec<_> = names(&profiles[1]).into_iter().filter(|(_, w)| *w > 0).collect();
        assert_eq!(scoring, [("NodeResourcesFit", 5)]);
        assert!(!names(&profiles[1]).iter().any(|(name, _)| *name == "InterPodAffinity"));
        assert_eq!(profiles[1].percentage_of_nodes, 40);
    }
}

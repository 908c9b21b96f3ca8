//! The scheduler's configuration file, `kubescheduler.config.k8s.io/v1` KubeSchedulerConfiguration:
//! as it is written, checked with upstream's messages
//! (<https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/>), and resolved.

mod arguments;
mod extender;
mod resolve;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use arguments::{
    BalancedAllocationArgs, DefaultConstraint, DefaultPreemptionArgs, InterPodAffinityArgs,
    NodeAffinityArgs, NodeResourcesFitArgs, PluginArgs, PodTopologySpreadArgs, ResourceSpec,
    ScoringStrategy, ShapePoint, VolumeBindingArgs,
};
pub use extender::{Extender, ExtenderTls, ManagedResource};
pub use resolve::{PLUGINS, PluginRow, Point, ResolvedProfile};

const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
const KIND: &str = "KubeSchedulerConfiguration";
/// The name of the profile of a configuration that has one without a name.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// The file. What concerns a process of its own (clients, leader election, serving) is read and has
/// no effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SchedulerConfiguration {
    /// Always the one version.
    pub api_version: String,
    /// Always the one kind.
    pub kind: String,
    /// Accepted; a cycle here runs on one core.
    pub parallelism: i32,
    /// No effect.
    #[serde(skip_serializing)]
    leader_election: Value,
    /// No effect.
    #[serde(skip_serializing)]
    client_connection: Value,
    /// No effect.
    #[serde(skip_serializing)]
    enable_profiling: Value,
    /// No effect.
    #[serde(skip_serializing)]
    enable_contention_profiling: Value,
    /// No effect.
    #[serde(skip_serializing)]
    delay_cache_until_active: Value,
    /// The share of nodes to find before the best is chosen; 0 or absent for the rule by size.
    pub percentage_of_nodes_to_score: Option<i32>,
    /// The first back-off of a pod.
    pub pod_initial_backoff_seconds: i64,
    /// The longest back-off of a pod.
    pub pod_max_backoff_seconds: i64,
    /// The profiles.
    pub profiles: Vec<ProfileConfiguration>,
    /// Programs to ask besides.
    pub extenders: Vec<Extender>,
}

impl Default for SchedulerConfiguration {
    fn default() -> SchedulerConfiguration {
        SchedulerConfiguration {
            api_version: API_VERSION.into(),
            kind: KIND.into(),
            parallelism: 16,
            leader_election: Value::Null,
            client_connection: Value::Null,
            enable_profiling: Value::Null,
            enable_contention_profiling: Value::Null,
            delay_cache_until_active: Value::Null,
            percentage_of_nodes_to_score: None,
            pod_initial_backoff_seconds: 1,
            pod_max_backoff_seconds: 10,
            profiles: Vec::new(),
            extenders: Vec::new(),
        }
    }
}

/// A profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ProfileConfiguration {
    /// Its pods' `schedulerName`.
    pub scheduler_name: Option<String>,
    /// Overrides the configuration's.
    pub percentage_of_nodes_to_score: Option<i32>,
    /// Which plugins.
    pub plugins: Plugins,
    /// Their arguments.
    pub plugin_config: Vec<PluginConfig>,
}

/// The arguments of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PluginConfig {
    /// Its name.
    pub name: String,
    /// As written.
    #[serde(default)]
    pub args: Value,
}

/// Plugins by extension point.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Plugins {
    pub multi_point: PluginSet,
    pub pre_enqueue: PluginSet,
    pub queue_sort: PluginSet,
    pub pre_filter: PluginSet,
    pub filter: PluginSet,
    pub post_filter: PluginSet,
    pub pre_score: PluginSet,
    pub score: PluginSet,
    pub reserve: PluginSet,
    pub permit: PluginSet,
    pub pre_bind: PluginSet,
    pub bind: PluginSet,
    pub post_bind: PluginSet,
}

/// Plugins enabled and disabled at a point.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PluginSet {
    /// Besides or instead of the default ones.
    pub enabled: Vec<NamedPlugin>,
    /// Of the default ones; `*` for all.
    pub disabled: Vec<NamedPlugin>,
}

/// A plugin by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamedPlugin {
    /// Its name.
    pub name: String,
    /// The weight of its scores; 0 for the default.
    #[serde(default)]
    pub weight: i32,
}

/// An invalid value, as upstream writes it.
fn invalid(path: &str, value: impl std::fmt::Display, why: &str) -> String {
    format!("{path}: Invalid value: {value}: {why}")
}

/// A value that is not one of some.
fn unsupported(path: &str, value: &str, supported: &[&str]) -> String {
    let quoted: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
    format!("{path}: Unsupported value: {value:?}: supported values: {}", quoted.join(", "))
}

impl SchedulerConfiguration {
    /// Reads and checks a file that was parsed before; errors are upstream's sentences.
    pub fn read(file: Value) -> Result<SchedulerConfiguration, Vec<String>> {
        let text = |name: &str| file[name].as_str().unwrap_or_default().to_owned();
        if (text("apiVersion"), text("kind")) != (API_VERSION.into(), KIND.into()) {
            let (version, kind) = (text("apiVersion"), text("kind"));
            return Err(vec![format!(
                "no kind {kind:?} is registered for version {version:?} in scheme \
                 \"pkg/scheduler/apis/config/scheme/scheme.go\""
            )]);
        }
        let mut read: SchedulerConfiguration =
            serde_json::from_value(file).map_err(|error| vec![decoding_error(&error)])?;
        if read.profiles.is_empty() {
            read.profiles.push(ProfileConfiguration::default());
        }
        if let [only] = read.profiles.as_mut_slice()
            && only.scheduler_name.is_none()
        {
            only.scheduler_name = Some(DEFAULT_SCHEDULER.into());
        }
        let errors = read.errors();
        if errors.is_empty() { Ok(read) } else { Err(errors) }
    }

    fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if self.parallelism <= 0 {
            let why = "should be an integer value greater than zero";
            errors.push(invalid("parallelism", self.parallelism, why));
        }
        for (index, profile) in self.profiles.iter().enumerate() {
            let path = format!("profiles[{index}]");
            errors.extend(profile.errors(&path));
            let before = self.profiles[..index].iter();
            let mut same = before.filter(|other| other.scheduler_name == profile.scheduler_name);
            if same.next().is_some() {
                let name = profile.scheduler_name.as_deref().unwrap_or_default();
                errors.push(format!("{path}.schedulerName: Duplicate value: {name:?}"));
            }
        }
        errors.extend(self.queue_sort_errors());
        errors.extend(percentage_error(
            "percentageOfNodesToScore",
            self.percentage_of_nodes_to_score,
        ));
        if self.pod_initial_backoff_seconds <= 0 {
            let value = self.pod_initial_backoff_seconds;
            errors.push(invalid("podInitialBackoffSeconds", value, "must be greater than 0"));
        }
        if self.pod_max_backoff_seconds < self.pod_initial_backoff_seconds {
            let why = "must be greater than or equal to PodInitialBackoffSeconds";
            errors.push(invalid("podMaxBackoffSeconds", self.pod_max_backoff_seconds, why));
        }
        errors.extend(extender::errors(&self.extenders));
        errors
    }

    fn queue_sort_errors(&self) -> Vec<String> {
        let sets: Vec<&PluginSet> = self.profiles.iter().map(|p| &p.plugins.queue_sort).collect();
        let mut errors = Vec::new();
        if sets.first().is_some_and(|set| set.enabled.len() > 1) {
            let why = "only one queue sort plugin can be enabled";
            let path = "profiles[0].plugins.queueSort.Enabled";
            errors.push(invalid(path, sets[0].enabled.len(), why));
        }
        for (index, set) in sets.iter().enumerate().skip(1).filter(|(_, set)| **set != sets[0]) {
            let path = format!("profiles[{index}].plugins.queueSort");
            let value = serde_json::to_string(set).unwrap_or_default();
            errors.push(invalid(&path, value, "must be the same for all profiles"));
        }
        errors
    }

    /// The profiles as they are meant.
    pub fn resolved(&self) -> Result<Vec<ResolvedProfile>, String> {
        let percentage = self.percentage_of_nodes_to_score;
        self.profiles.iter().map(|profile| ResolvedProfile::of(profile, percentage)).collect()
    }
}

impl ProfileConfiguration {
    fn errors(&self, path: &str) -> Vec<String> {
        let mut errors = Vec::new();
        if self.scheduler_name.as_deref().unwrap_or_default().is_empty() {
            errors.push(format!("{path}.schedulerName: Required value"));
        }
        let percentage = self.percentage_of_nodes_to_score;
        errors.extend(percentage_error(&format!("{path}.percentageOfNodesToScore"), percentage));
        for (index, config) in self.plugin_config.iter().enumerate() {
            let path = format!("{path}.pluginConfig[{index}]");
            if self.plugin_config[..index].iter().any(|other| other.name == config.name) {
                errors.push(format!("{path}: Duplicate value: {:?}", config.name));
            }
            match PluginArgs::read(&config.name, &config.args) {
                Ok(args) => errors.extend(args.errors(&format!("{path}.args"))),
                Err(error) => errors.push(format!(
                    "decoding .{path}.args for plugin {}: {}",
                    config.name,
                    decoding_error(&error)
                )),
            }
        }
        if errors.is_empty() {
            errors.extend(ResolvedProfile::of(self, None).err());
        }
        errors
    }
}

fn percentage_error(path: &str, percentage: Option<i32>) -> Option<String> {
    let wrong = percentage.filter(|percentage| !(0..=100).contains(percentage))?;
    Some(invalid(path, wrong, "not in valid range [0-100]"))
}

/// What strict decoding says of a field that there is not.
fn decoding_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
        Some((field, _)) => format!("strict decoding error: unknown field {field:?}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(more: Value) -> Vec<String> {
        let mut file = json!({"apiVersion": API_VERSION, "kind": KIND});
        for (key, value) in more.as_object().unwrap() {
            file[key] = value.clone();
        }
        SchedulerConfiguration::read(file).err().unwrap_or_default()
    }

    #[test]
    fn what_is_refused() {
        let check = |more: Value, expect: &str| assert_eq!(errors(more), [expect]);
        check(
            json!({"kind": "Pod"}),
            "no kind \"Pod\" is registered for version \"kubescheduler.config.k8s.io/v1\" in scheme \"pkg/scheduler/apis/config/scheme/scheme.go\"",
        );
        check(json!({"profile": []}), "strict decoding error: unknown field \"profile\"");
        check(
            json!({"parallelism": 0}),
            "parallelism: Invalid value: 0: should be an integer value greater than zero",
        );
        check(
            json!({"percentageOfNodesToScore": 101}),
            "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]",
        );
        check(
            json!({"podInitialBackoffSeconds": 0}),
            "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0",
        );
        check(
            json!({"podMaxBackoffSeconds": 0}),
            "podMaxBackoffSeconds: Invalid value: 0: must be greater than or equal to PodInitialBackoffSeconds",
        );
        let two = json!({"profiles": [{"schedulerName": "a"}, {"schedulerName": "a"}]});
        check(two, "profiles[1].schedulerName: Duplicate value: \"a\"");
        let unnamed = json!({"profiles": [{"schedulerName": "a"}, {}]});
        check(unnamed, "profiles[1].schedulerName: Required value");
        let plugin = |point: &str, set: Value| json!({"profiles": [{"plugins": {point: set}}]});
        check(
            plugin("filter", json!({"enabled": [{"name": "Foo"}]})),
            "filter plugin \"Foo\" does not exist",
        );
        check(
            plugin("score", json!({"enabled": [{"name": "NodeName"}]})),
            "plugin \"NodeName\" does not extend score plugin",
        );
        check(
            plugin("bind", json!({"disabled": [{"name": "*"}]})),
            "at least one bind plugin is needed for profile with scheduler name \"default-scheduler\"",
        );
        let args = |name: &str, args: Value| json!({"profiles": [{"pluginConfig": [{"name": name, "args": args}]}]});
        check(
            args("InterPodAffinity", json!({"hardPodAffinityWeight": 101})),
            "profiles[0].pluginConfig[0].args.hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]",
        );
        check(
            args("NodeResourcesFit", json!({"scoringStrategy": {"type": "Best"}})),
            "profiles[0].pluginConfig[0].args.scoringStrategy.type: Unsupported value: \"Best\": supported values: \"LeastAllocated\", \"MostAllocated\", \"RequestedToCapacityRatio\"",
        );
        check(
            args("DefaultPreemption", json!({"minCandidateNodesPercentage": -1})),
            "profiles[0].pluginConfig[0].args.minCandidateNodesPercentage: Invalid value: -1: not in valid range [0, 100]",
        );
        let extender = json!({"urlPrefix": "http://e", "prioritizeVerb": "p"});
        check(
            json!({"extenders": [extender]}),
            "extenders[0].weight: Invalid value: 0: must have a positive weight applied to it",
        );
    }

    #[test]
    fn what_is_meant() {
        let file = json!({"apiVersion": API_VERSION, "kind": KIND, "profiles": [{"plugins": {
            "multiPoint": {"disabled": [{"name": "ImageLocality"}]},
            "filter": {"disabled": [{"name": "NodePorts"}]},
            "score": {"enabled": [{"name": "NodeAffinity", "weight": 7}],
                "disabled": [{"name": "TaintToleration"}]},
            "postFilter": {"disabled": [{"name": "*"}]}}}]});
        let read = SchedulerConfiguration::read(file).unwrap();
        let profile = &read.resolved().unwrap()[0];
        assert_eq!(profile.scheduler_name, DEFAULT_SCHEDULER);
        let scores: Vec<String> =
            profile.scores.iter().map(|(name, weight)| format!("{name}:{weight}")).collect();
        assert_eq!(scores[0], "NodeAffinity:7");
        assert!(!scores.iter().any(|s| s.starts_with("Image") || s.starts_with("Taint")));
        assert!(!profile.filters.iter().any(|name| name == "NodePorts"));
        assert!(!profile.preempts && profile.gates);
        let empty = SchedulerConfiguration::default();
        assert!(empty.resolved().unwrap().is_empty());
    }
}

//! Which plugins a profile has at which extension point: upstream's defaults, merged with what the
//! file enables and disables.

use serde::{Deserialize, Serialize};

use super::arguments::PluginArgs;
use super::{NamedPlugin, PluginSet, ProfileConfiguration};

/// An extension point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Point {
    PreEnqueue,
    QueueSort,
    PreFilter,
    Filter,
    PostFilter,
    PreScore,
    Score,
    Reserve,
    Permit,
    PreBind,
    Bind,
    PostBind,
}

use Point::{
    Bind, Filter, Permit, PostBind, PostFilter, PreBind, PreEnqueue, PreFilter, PreScore,
    QueueSort, Reserve, Score,
};

/// A plugin.
pub struct PluginRow {
    /// Its name.
    pub name: &'static str,
    /// Its weight by default.
    pub weight: i32,
    /// What it extends.
    pub points: &'static [Point],
}

const fn row(name: &'static str, weight: i32, points: &'static [Point]) -> PluginRow {
    PluginRow { name, weight, points }
}

/// The plugins that are enabled by default, in upstream's order.
pub const PLUGINS: &[PluginRow] = &[
    row("SchedulingGates", 0, &[PreEnqueue]),
    row("PrioritySort", 0, &[QueueSort]),
    row("NodeUnschedulable", 0, &[Filter]),
    row("NodeName", 0, &[Filter]),
    row("TaintToleration", 3, &[Filter, PreScore, Score]),
    row("NodeAffinity", 2, &[PreFilter, Filter, PreScore, Score]),
    row("NodePorts", 0, &[PreFilter, Filter]),
    row("NodeResourcesFit", 1, &[PreFilter, Filter, PreScore, Score]),
    row("VolumeRestrictions", 0, &[PreFilter, Filter]),
    row("NodeVolumeLimits", 0, &[PreFilter, Filter]),
    row("VolumeBinding", 0, &[PreFilter, Filter, Reserve, PreBind]),
    row("VolumeZone", 0, &[PreFilter, Filter]),
    row("PodTopologySpread", 2, &[PreFilter, Filter, PreScore, Score]),
    row("InterPodAffinity", 2, &[PreFilter, Filter, PreScore, Score]),
    row("DynamicResources", 0, &[PreEnqueue, PreFilter, Filter, PostFilter, Reserve, PreBind]),
    row("DefaultPreemption", 0, &[PostFilter]),
    row("NodeResourcesBalancedAllocation", 1, &[PreScore, Score]),
    row("ImageLocality", 1, &[Score]),
    row("DefaultBinder", 0, &[Bind]),
];

/// Points by the names that messages give them.
const POINTS: [(Point, &str); 12] = [
    (PreEnqueue, "preEnqueue"),
    (QueueSort, "queueSort"),
    (PreFilter, "preFilter"),
    (Filter, "filter"),
    (PostFilter, "postFilter"),
    (PreScore, "preScore"),
    (Score, "score"),
    (Reserve, "reserve"),
    (Permit, "permit"),
    (PreBind, "preBind"),
    (Bind, "bind"),
    (PostBind, "postBind"),
];

/// A profile as it is meant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolvedProfile {
    /// Its pods' `schedulerName`.
    pub scheduler_name: String,
    /// 0 for the rule by size.
    pub percentage_of_nodes: i32,
    /// Plugins that filter, in order.
    pub filters: Vec<String>,
    /// Plugins that score, with their weights.
    pub scores: Vec<(String, i32)>,
    /// Whether pods take the place of others.
    pub preempts: bool,
    /// Whether scheduling gates hold pods back.
    pub gates: bool,
    /// Plugins' arguments.
    pub arguments: Vec<PluginArgs>,
}

fn row_of(name: &str) -> Option<&'static PluginRow> {
    PLUGINS.iter().find(|row| row.name == name)
}

fn disables(set: &PluginSet, name: &str) -> bool {
    set.disabled.iter().any(|disabled| disabled.name == "*" || disabled.name == name)
}

impl ResolvedProfile {
    /// Merges a profile with the defaults.
    pub fn of(profile: &ProfileConfiguration, percentage: Option<i32>) -> Result<Self, String> {
        let scheduler_name = profile.scheduler_name.clone().unwrap_or_default();
        let everywhere = everywhere(&profile.plugins.multi_point)?;
        let at = |point: Point| at_point(profile, &everywhere, point);
        for (point, _) in POINTS {
            at(point)?;
        }
        let names = |all: Vec<NamedPlugin>| all.into_iter().map(|p| p.name).collect::<Vec<_>>();
        for (point, what) in [(QueueSort, "queue sort"), (Bind, "bind")] {
            if at(point)?.is_empty() {
                return Err(format!(
                    "at least one {what} plugin is needed for profile with scheduler name \
                     {scheduler_name:?}"
                ));
            }
        }
        let read = profile.plugin_config.iter().map(|c| PluginArgs::read(&c.name, &c.args));
        Ok(ResolvedProfile {
            percentage_of_nodes: profile
                .percentage_of_nodes_to_score
                .or(percentage)
                .unwrap_or_default(),
            filters: names(at(Filter)?),
            scores: at(Score)?.into_iter().map(|p| (p.name, p.weight)).collect(),
            preempts: at(PostFilter)?.iter().any(|p| p.name == "DefaultPreemption"),
            gates: at(PreEnqueue)?.iter().any(|p| p.name == "SchedulingGates"),
            arguments: read.filter_map(Result::ok).collect(),
            scheduler_name,
        })
    }
}

/// The default plugins with what `multiPoint` says.
fn everywhere(set: &PluginSet) -> Result<Vec<NamedPlugin>, String> {
    let mut all: Vec<NamedPlugin> = PLUGINS
        .iter()
        .filter(|row| !disables(set, row.name))
        .map(|row| NamedPlugin { name: row.name.into(), weight: row.weight })
        .collect();
    for plugin in &set.enabled {
        let Some(row) = row_of(&plugin.name) else {
            return Err(format!("plugin {:?} does not exist", plugin.name));
        };
        let weight = if plugin.weight == 0 { row.weight } else { plugin.weight };
        let plugin = NamedPlugin { name: plugin.name.clone(), weight };
        match all.iter_mut().find(|known| known.name == plugin.name) {
            Some(known) => *known = plugin,
            None => all.push(plugin),
        }
    }
    Ok(all)
}

/// The plugins at a point: those named there that are everywhere, too, then the rest of those, then
/// others named there.
fn at_point(
    profile: &ProfileConfiguration,
    everywhere: &[NamedPlugin],
    point: Point,
) -> Result<Vec<NamedPlugin>, String> {
    let set = set_of(profile, point);
    let label = POINTS.iter().find(|(known, _)| *known == point).map_or("", |(_, name)| name);
    for plugin in &set.enabled {
        let Some(row) = row_of(&plugin.name) else {
            return Err(format!("{label} plugin {:?} does not exist", plugin.name));
        };
        if !row.points.contains(&point) {
            return Err(format!("plugin {:?} does not extend {label} plugin", plugin.name));
        }
    }
    let extends =
        |plugin: &&NamedPlugin| row_of(&plugin.name).is_some_and(|row| row.points.contains(&point));
    let named = |name: &str| set.enabled.iter().any(|plugin| plugin.name == name);
    let is_everywhere = |name: &str| everywhere.iter().any(|plugin| plugin.name == name);
    let (overriding, other): (Vec<&NamedPlugin>, Vec<&NamedPlugin>) =
        set.enabled.iter().partition(|plugin| is_everywhere(&plugin.name));
    let rest = everywhere
        .iter()
        .filter(extends)
        .filter(|plugin| !named(&plugin.name) && !disables(set, &plugin.name));
    let weighed = |plugin: &NamedPlugin| NamedPlugin {
        weight: if plugin.weight == 0 { 1 } else { plugin.weight },
        ..plugin.clone()
    };
    Ok(overriding.into_iter().chain(rest).chain(other).map(weighed).collect())
}

fn set_of(profile: &ProfileConfiguration, point: Point) -> &PluginSet {
    let plugins = &profile.plugins;
    match point {
        PreEnqueue => &plugins.pre_enqueue,
        QueueSort => &plugins.queue_sort,
        PreFilter => &plugins.pre_filter,
        Filter => &plugins.filter,
        PostFilter => &plugins.post_filter,
        PreScore => &plugins.pre_score,
        Score => &plugins.score,
        Reserve => &plugins.reserve,
        Permit => &plugins.permit,
        PreBind => &plugins.pre_bind,
        Bind => &plugins.bind,
        PostBind => &plugins.post_bind,
    }
}

//! What single nodes have besides the others: labels, taints, folders of this machine.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::PlannedNode;
use super::ports::{self, NodeFilter};
use crate::docker::HostFolder;
use crate::error::{Error, ExitCode, Result};

/// What some nodes have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSetting {
    /// Which nodes.
    pub filters: Vec<NodeFilter>,
    /// What.
    pub what: Setting,
}

/// One of these things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A label of the Node object.
    Label(String, String),
    /// A taint of the Node object: `key=value:effect`.
    Taint(String),
    /// A folder or file of this machine.
    Folder(HostFolder),
}

/// All that one node has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSettings {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Taints.
    pub taints: Vec<String>,
    /// Folders.
    pub folders: Vec<HostFolder>,
}

/// Reads `KEY=VALUE[@NODEFILTER[;NODEFILTER...]]`.
pub fn label(text: &str) -> std::result::Result<NodeSetting, String> {
    let (label, filters) = with_filters(text)?;
    let (key, value) = label.split_once('=').unwrap_or((label, ""));
    match key.is_empty() {
        true => Err("it is not written KEY=VALUE[@NODEFILTER]".to_owned()),
        false => {
            Ok(NodeSetting { filters, what: Setting::Label(key.to_owned(), value.to_owned()) })
        }
    }
}

/// Reads `KEY[=VALUE]:EFFECT[@NODEFILTER[;NODEFILTER...]]`.
pub fn taint(text: &str) -> std::result::Result<NodeSetting, String> {
    let (taint, filters) = with_filters(text)?;
    let (key, effect) = taint.rsplit_once(':').unwrap_or((taint, ""));
    if key.is_empty() || !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
        return Err("it is not written KEY=VALUE:EFFECT[@NODEFILTER], where the effect is \
                    NoSchedule, PreferNoSchedule or NoExecute"
            .to_owned());
    }
    Ok(NodeSetting { filters, what: Setting::Taint(taint.to_owned()) })
}

/// Reads `SOURCE:TARGET[:ro][@NODEFILTER[;NODEFILTER...]]`, as k3d's `--volume`.
pub fn folder(text: &str) -> std::result::Result<NodeSetting, String> {
    let (mapping, filters) = with_filters(text)?;
    let parts: Vec<&str> = mapping.split(':').collect();
    let (source, target, read_only) = match parts[..] {
        [source, target] => (source, target, false),
        [source, target, "ro"] => (source, target, true),
        [source, target, "rw"] => (source, target, false),
        _ => return Err("it is not written SOURCE:TARGET[:ro][@NODEFILTER]".to_owned()),
    };
    let folder = HostFolder::new(source, target, read_only)?;
    Ok(NodeSetting { filters, what: Setting::Folder(folder) })
}

/// What stands before the filters, and the filters: all nodes when there are none.
fn with_filters(text: &str) -> std::result::Result<(&str, Vec<NodeFilter>), String> {
    let Some((before, filters)) = text.rsplit_once('@') else {
        return Ok((text, vec![NodeFilter::All]));
    };
    let filters: std::result::Result<Vec<NodeFilter>, String> =
        filters.split(';').map(ports::filter).collect();
    Ok((before, filters?))
}

/// What each node has, by its name.
pub fn by_node(
    settings: &[NodeSetting],
    nodes: &[PlannedNode],
) -> Result<BTreeMap<String, NodeSettings>> {
    let mut all = BTreeMap::<String, NodeSettings>::new();
    for setting in settings {
        let mut names = BTreeSet::new();
        for filter in &setting.filters {
            if *filter == NodeFilter::LoadBalancer {
                let message = "the load balancer is no node: it has no labels, taints and folders";
                return Err(Error::new(ExitCode::Usage, message));
            }
            names.extend(filter.names(nodes));
        }
        if names.is_empty() {
            let message = format!("no node of the cluster is meant by {:?}", setting.what);
            return Err(Error::new(ExitCode::Usage, message));
        }
        for name in names {
            let of_node = all.entry(name).or_default();
            match setting.what.clone() {
                Setting::Label(key, value) => drop(of_node.labels.insert(key, value)),
                Setting::Taint(taint) => of_node.taints.push(taint),
                Setting::Folder(folder) => of_node.folders.push(folder),
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use kd_contract::NodeRole;

    use super::*;

    #[test]
    fn what_users_write() {
        let label_of = |text: &str| label(text).ok().map(|setting| setting.what);
        let pair = |key: &str, value: &str| Some(Setting::Label(key.to_owned(), value.to_owned()));
        assert_eq!(label_of("a=b"), pair("a", "b"));
        assert_eq!(label_of("a@agent:0"), pair("a", ""));
        assert_eq!(label_of("=b"), None);
        assert_eq!(label_of("a=b@moon"), None);
        assert!(taint("a=b:NoSchedule@server:0").is_ok());
        assert!(taint("a:NoExecute").is_ok());
        for wrong in ["a", "a:Never", ":NoSchedule"] {
            assert!(taint(wrong).is_err(), "{wrong}");
        }
        assert!(folder("/a:/b:ro@all").is_ok());
        for wrong in ["/a", "/a:b", "/a:/b:rx"] {
            assert!(folder(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nodes_have_what_is_theirs() {
        let node = |name: &str, role| PlannedNode { name: name.to_owned(), role };
        let nodes = [node("s0", NodeRole::Server), node("a0", NodeRole::Agent)];
        let settings = [label("a=b").unwrap(), taint("k:NoSchedule@server:0").unwrap()];
        let all = by_node(&settings, &nodes).unwrap();
        assert_eq!((all["s0"].labels.len(), all["s0"].taints.len()), (1, 1));
        assert_eq!((all["a0"].labels.len(), all["a0"].taints.len()), (1, 0));
        assert!(by_node(&[label("a=b@agent:7").unwrap()], &nodes).is_err());
        assert!(by_node(&[label("a=b@loadbalancer").unwrap()], &nodes).is_err());
    }
}

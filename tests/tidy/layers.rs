//! Which crate may use which: the table of ARCHITECTURE.md, checked against every manifest.

use std::collections::BTreeMap;

use crate::exceptions::{Rule, Violation, judge};
use crate::{code, tree};

/// A crate under node-image/ and the crates of the workspace that it may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("apiserver", &["api", "cel", "store"]),
    ("cel", &[]),
    ("client", &["api"]),
    ("contract", &[]),
    ("controllers", &["api", "client"]),
    ("dns", &["api", "client", "network"]),
    ("ingress", &["api", "client", "relay"]),
    ("kubelet", &["api", "client", "network", "relay", "runtime"]),
    ("network", &[]),
    ("node", ALL),
    ("proxy", &["api", "client", "network"]),
    ("relay", &[]),
    ("runtime", &[]),
    ("scheduler", &["api", "cel", "client", "contract"]),
    ("store", &[]),
    ("testkit", ALL),
];

const ALL: &[&str] = &[
    "api",
    "apiserver",
    "cel",
    "client",
    "contract",
    "controllers",
    "dns",
    "ingress",
    "kubelet",
    "network",
    "proxy",
    "relay",
    "runtime",
    "scheduler",
    "store",
];

/// Crates that know no Kubernetes, and what would teach it to them.
const KNOW_NO_KUBERNETES: &[&str] = &["contract", "network", "relay", "runtime", "store"];
const KUBERNETES: &[&str] = &["k8s-openapi", "kube"];

/// A manifest's dependencies by the name of their section.
type Sections = BTreeMap<String, Vec<String>>;

#[test]
fn crates_use_what_their_layer_may() {
    let folders = tree::names("node-image");
    assert_eq!(folders, LAYERS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let mut violations = Vec::new();
    for (name, allowed) in LAYERS {
        let sections = manifest(&format!("node-image/{name}/Cargo.toml"));
        for used in of_workspace(&sections, "dependencies") {
            if !allowed.contains(&used.as_str()) {
                violations.push(Violation::new(*name, format!("may not use {used}")));
            }
        }
    }
    judge(Rule::Layers, &violations);
}

#[test]
fn lower_layers_know_no_kubernetes() {
    for name in KNOW_NO_KUBERNETES {
        let sections = manifest(&format!("node-image/{name}/Cargo.toml"));
        let used = sections.get("dependencies").into_iter().flatten();
        let known: Vec<_> = used.filter(|used| KUBERNETES.contains(&used.as_str())).collect();
        assert!(known.is_empty(), "{name} uses {known:?}");
    }
}

/// Without the node programs kd is built for machines that cannot run them.
#[test]
fn the_command_reaches_the_node_in_one_place() {
    let sections = manifest("Cargo.toml");
    assert_eq!(of_workspace(&sections, "dependencies"), ["contract", "node", "relay"]);
    let files = tree::rust_files().into_iter().filter(|file| file.path.starts_with("src/"));
    let uses_node = files.filter(|file| {
        let code = code::without_texts(&file.text);
        code::words(&code).any(|(_, word)| word == "kd_node")
    });
    let places: Vec<String> = uses_node.map(|file| file.path).collect();
    assert_eq!(places, ["src/main.rs"]);
}

/// The names of the workspace's crates in a section, without `kd-`.
fn of_workspace(sections: &Sections, section: &str) -> Vec<String> {
    let used = sections.get(section).into_iter().flatten();
    used.filter_map(|name| name.strip_prefix("kd-").map(str::to_owned)).collect()
}

/// Reads the keys of a manifest's sections. A target's dependencies count as dependencies.
fn manifest(path: &str) -> Sections {
    let mut sections = Sections::new();
    let mut current = String::new();
    for line in tree::read(path).lines() {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(']');
            let last = header.rsplit('.').next().unwrap_or(header);
            current = if header.starts_with("target.") { last } else { header }.to_owned();
        } else if let Some((key, _)) = line.split_once('=')
            && !line.starts_with([' ', '#'])
        {
            let name = key.trim().trim_end_matches(".workspace").trim_matches('"').to_owned();
            sections.entry(current.clone()).or_default().push(name);
        }
    }
    sections
}

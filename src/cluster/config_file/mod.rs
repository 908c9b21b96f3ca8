//! Configuration files of clusters, in kind's form and in k3d's.

mod containerd;
mod k3d;
mod kind;
mod kubeadm;

use std::io::Read;
use std::path::Path;

use kd_contract::registries::Registries;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::node_settings::NodeSetting;
use super::ports::PortRequest;
use crate::error::{Error, ExitCode, Result};

/// What a file asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileConfig {
    /// The cluster's name.
    pub name: Option<String>,
    /// How many servers.
    pub servers: Option<usize>,
    /// How many agents.
    pub agents: Option<usize>,
    /// The node image.
    pub image: Option<String>,
    /// The API server's port on this machine.
    pub api_port: Option<u16>,
    /// The API server's address on this machine.
    pub api_host: Option<String>,
    /// The address range of the cluster's network.
    pub subnet: Option<String>,
    /// Ports.
    pub ports: Vec<PortRequest>,
    /// What single nodes have.
    pub settings: Vec<NodeSetting>,
    /// What pods and services get, where kind's file says so.
    pub network: FileNetwork,
    /// Mirrors of registries, and how they are spoken to.
    pub registries: Registries,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// The part of a file about pods and services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileNetwork {
    /// `ipv4`, `ipv6` or `dual`.
    pub family: Option<String>,
    /// The range of pods.
    pub pods: Option<String>,
    /// The range of services.
    pub services: Option<String>,
    /// Whether CNI plugins are installed later.
    pub disable_default_cni: bool,
    /// Whether a proxy is installed later.
    pub disable_kube_proxy: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    api_version: String,
}

/// Reads a file; `-` is standard input.
pub fn read(path: &Path) -> Result<FileConfig> {
    let shown = path.display();
    let text = match path == Path::new("-") {
        true => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        false => std::fs::read_to_string(path),
    };
    let text = text.map_err(|source| {
        Error::new(ExitCode::Usage, format!("read the configuration {shown}")).because(source)
    })?;
    parse(&text).map_err(|reason| {
        Error::new(ExitCode::Usage, format!("the configuration {shown} cannot be used: {reason}"))
    })
}

fn parse(text: &str) -> std::result::Result<FileConfig, String> {
    let head: Head = of_yaml(text)?;
    match (head.kind.as_str(), head.api_version.as_str()) {
        ("Cluster", "kind.x-k8s.io/v1alpha4") => kind::resolve(of_yaml(text)?),
        ("Simple", version) if version.starts_with("k3d.io/v1alpha") => {
            k3d::resolve(of_yaml(text)?)
        }
        (kind, version) => Err(format!(
            "it is a {kind:?} of {version:?}; what is read is a Cluster of kind.x-k8s.io/v1alpha4 or \
             a Simple of k3d.io/v1alpha5"
        )),
    }
}

fn of_yaml<T: DeserializeOwned>(text: &str) -> std::result::Result<T, String> {
    serde_yaml::from_str(text).map_err(|error| error.to_string())
}

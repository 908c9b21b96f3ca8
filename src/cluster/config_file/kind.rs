//! kind's file (<https://kind.sigs.k8s.io/docs/user/configuration/>).

use std::collections::{BTreeMap, BTreeSet};

use kd_contract::{NodeRole, PublishedProtocol};
use serde::Deserialize;

use super::super::node_settings::{NodeSetting, Setting};
use super::super::ports::{NodeFilter, PortRequest};
use super::{FileConfig, FileNetwork, containerd, kubeadm};
use crate::docker::HostFolder;

/// kind's own node images, which hold programs that kd has no use for.
const KIND_IMAGES: &str = "kindest/node";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct File {
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(rename = "apiVersion")]
    _api_version: String,
    name: Option<String>,
    nodes: Vec<Node>,
    networking: Networking,
    feature_gates: BTreeMap<String, bool>,
    runtime_config: BTreeMap<String, String>,
    kubeadm_config_patches: Vec<String>,
    #[serde(rename = "kubeadmConfigPatchesJSON6902")]
    kubeadm_json_patches: Vec<serde_json::Value>,
    containerd_config_patches: Vec<String>,
    #[serde(rename = "containerdConfigPatchesJSON6902")]
    containerd_json_patches: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Node {
    role: String,
    image: Option<String>,
    labels: BTreeMap<String, String>,
    extra_mounts: Vec<Mount>,
    extra_port_mappings: Vec<PortMapping>,
    kubeadm_config_patches: Vec<String>,
    #[serde(rename = "kubeadmConfigPatchesJSON6902")]
    kubeadm_json_patches: Vec<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Mount {
    host_path: String,
    container_path: String,
    read_only: bool,
    selinux_relabel: bool,
    propagation: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct PortMapping {
    container_port: u16,
    host_port: i32,
    listen_address: String,
    protocol: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Networking {
    ip_family: Option<String>,
    api_server_address: Option<String>,
    api_server_port: Option<i32>,
    pod_subnet: Option<String>,
    service_subnet: Option<String>,
    #[serde(rename = "disableDefaultCNI")]
    disable_default_cni: bool,
    kube_proxy_mode: Option<String>,
    dns_search: Option<Vec<String>>,
}

/// What the file asks for, in kd's terms.
pub(super) fn resolve(file: File) -> Result<FileConfig, String> {
    refuse(&file)?;
    let mut config = FileConfig { name: file.name, ..FileConfig::default() };
    let mut counts: BTreeMap<NodeRole, usize> = BTreeMap::new();
    for patch in &file.kubeadm_config_patches {
        let all = || vec![NodeFilter::All];
        config.settings.extend(kubeadm::settings(patch)?.into_iter().map(|what| with(all(), what)));
    }
    for patch in &file.containerd_config_patches {
        containerd::apply(patch, &mut config.registries)
            .map_err(|reason| format!("containerdConfigPatches: {reason}"))?;
    }
    for node in file.nodes {
        let role = match node.role.as_str() {
            "" | "control-plane" => NodeRole::Server,
            "worker" => NodeRole::Agent,
            other => return Err(format!("{other:?} is no role of a node")),
        };
        let count = counts.entry(role).or_default();
        let filters = vec![NodeFilter::Role(role, Some(BTreeSet::from([*count])))];
        *count += 1;
        add_node(&mut config, node, &filters)?;
    }
    if !counts.is_empty() {
        let of = |role| counts.get(&role).copied().unwrap_or(0);
        config.servers = Some(of(NodeRole::Server));
        config.agents = Some(of(NodeRole::Agent));
    }
    if !file.feature_gates.is_empty() {
        let gates: Vec<&str> = file.feature_gates.keys().map(String::as_str).collect();
        let text = format!("kd has no feature gates; not followed: {}", gates.join(", "));
        config.warnings.push(text);
    }
    if !file.runtime_config.is_empty() {
        let keys: Vec<&str> = file.runtime_config.keys().map(String::as_str).collect();
        let text = format!("kd serves every API that it has; not followed: {}", keys.join(", "));
        config.warnings.push(text);
    }
    networking(&mut config, file.networking)?;
    Ok(config)
}

fn with(filters: Vec<NodeFilter>, what: Setting) -> NodeSetting {
    NodeSetting { filters, what }
}

/// What would be lost in silence.
fn refuse(file: &File) -> Result<(), String> {
    let has_json = !file.kubeadm_json_patches.is_empty()
        || file.nodes.iter().any(|node| !node.kubeadm_json_patches.is_empty());
    if has_json {
        return Err("kubeadmConfigPatchesJSON6902: kd has no kubeadm".to_owned());
    }
    if !file.containerd_json_patches.is_empty() {
        return Err("containerdConfigPatchesJSON6902: kd has no containerd; what is followed are \
                    registries in containerdConfigPatches"
            .to_owned());
    }
    match &file.networking.dns_search {
        Some(search) if !search.is_empty() => {
            Err("networking.dnsSearch is not followed: pods have the search list of their node"
                .to_owned())
        }
        _ => Ok(()),
    }
}

fn add_node(config: &mut FileConfig, node: Node, filters: &[NodeFilter]) -> Result<(), String> {
    let filters = || filters.to_vec();
    match node.image {
        Some(image) if image.starts_with(KIND_IMAGES) => {
            let text = format!("nodes are of kd's own image, not of {image}");
            if !config.warnings.contains(&text) {
                config.warnings.push(text);
            }
        }
        Some(image) if config.image.as_ref().is_some_and(|other| *other != image) => {
            return Err(format!("all nodes have the same image, so {image} cannot be one's"));
        }
        Some(image) => config.image = Some(image),
        None => {}
    }
    let labels = node.labels.into_iter().map(|(key, value)| Setting::Label(key, value));
    config.settings.extend(labels.map(|label| with(filters(), label)));
    for patch in &node.kubeadm_config_patches {
        let settings = kubeadm::settings(patch)?;
        config.settings.extend(settings.into_iter().map(|what| with(filters(), what)));
    }
    for mount in node.extra_mounts {
        if mount.selinux_relabel {
            return Err("extraMounts.selinuxRelabel is not followed".to_owned());
        }
        let folder = HostFolder::new(&mount.host_path, &mount.container_path, mount.read_only)?;
        let folder = folder.propagated(&mount.propagation)?;
        config.settings.push(with(filters(), Setting::Folder(folder)));
    }
    for mapping in node.extra_port_mappings {
        config.ports.push(port(&mapping, filters())?);
    }
    Ok(())
}

fn port(mapping: &PortMapping, filters: Vec<NodeFilter>) -> Result<PortRequest, String> {
    let protocol = match mapping.protocol.to_ascii_uppercase().as_str() {
        "" | "TCP" => PublishedProtocol::Tcp,
        "UDP" => PublishedProtocol::Udp,
        other => return Err(format!("extraPortMappings.protocol: {other} cannot be published")),
    };
    let host = match mapping.listen_address.as_str() {
        "" => "0.0.0.0",
        address => address,
    };
    let host = host.parse().map_err(|_| format!("listenAddress: {host:?} is no address"))?;
    if mapping.container_port == 0 {
        return Err("extraPortMappings.containerPort is missing".to_owned());
    }
    // Both 0 and -1 leave the choice to somebody else.
    let host_port = match mapping.host_port {
        -1 | 0 => None,
        port => Some(u16::try_from(port).map_err(|_| format!("hostPort: {port} is no port"))?),
    };
    Ok(PortRequest { host, host_port, port: mapping.container_port, protocol, filters })
}

fn networking(config: &mut FileConfig, networking: Networking) -> Result<(), String> {
    config.api_host = networking.api_server_address.filter(|address| !address.is_empty());
    config.api_port = match networking.api_server_port {
        None | Some(-1 | 0) => None,
        Some(port) => {
            Some(u16::try_from(port).map_err(|_| format!("apiServerPort: {port} is no port"))?)
        }
    };
    let disable_kube_proxy = match networking.kube_proxy_mode.as_deref() {
        None | Some("" | "nftables") => false,
        Some("none") => true,
        Some(mode @ ("iptables" | "ipvs")) => {
            config.warnings.push(format!("Services are led by nftables, not by {mode}"));
            false
        }
        Some(other) => return Err(format!("kubeProxyMode: {other:?} is none")),
    };
    config.network = FileNetwork {
        family: networking.ip_family.filter(|family| !family.is_empty()),
        pods: networking.pod_subnet.filter(|range| !range.is_empty()),
        services: networking.service_subnet.filter(|range| !range.is_empty()),
        disable_default_cni: networking.disable_default_cni,
        disable_kube_proxy,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn file(body: &str) -> Result<FileConfig, String> {
        parse(&format!("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n{body}"))
    }

    #[test]
    fn nodes_with_ports_folders_and_labels() {
        let config = file(
            "name: app
nodes:
- role: control-plane
  image: kindest/node:v1.36.0
  kubeadmConfigPatches:
  - |
    kind: InitConfiguration
    nodeRegistration:
      kubeletExtraArgs:
        node-labels: \"ingress-ready=true\"
  extraPortMappings:
  - containerPort: 80
    hostPort: 8080
    listenAddress: 127.0.0.1
    protocol: TCP
  - {containerPort: 53, protocol: UDP}
- role: worker
  labels: {tier: front}
  extraMounts:
  - {hostPath: /data, containerPath: /files, readOnly: true, propagation: HostToContainer}
- role: worker
",
        )
        .unwrap();
        assert_eq!((config.servers, config.agents), (Some(1), Some(2)));
        assert_eq!(config.name.as_deref(), Some("app"));
        assert_eq!(config.image, None);
        assert!(config.warnings[0].contains("kindest/node"), "{:?}", config.warnings);
        let ports: Vec<String> = config
            .ports
            .iter()
            .map(|p| format!("{} {:?} {}/{}", p.host, p.host_port, p.port, p.protocol))
            .collect();
        assert_eq!(ports, ["127.0.0.1 Some(8080) 80/tcp", "0.0.0.0 None 53/udp"]);
        let first = |role| vec![NodeFilter::Role(role, Some(BTreeSet::from([0])))];
        assert_eq!(config.ports[0].filters, first(NodeRole::Server));
        let label = |key: &str, value: &str| Setting::Label(key.to_owned(), value.to_owned());
        assert_eq!(
            config.settings[0],
            with(first(NodeRole::Server), label("ingress-ready", "true"))
        );
        assert_eq!(config.settings[1], with(first(NodeRole::Agent), label("tier", "front")));
        assert!(matches!(config.settings[2].what, Setting::Folder(_)));
    }

    #[test]
    fn networks() {
        let config = file(
            "networking:
  ipFamily: dual
  apiServerAddress: 0.0.0.0
  apiServerPort: 6443
  podSubnet: 10.1.0.0/16
  serviceSubnet: 10.2.0.0/16
  disableDefaultCNI: true
  kubeProxyMode: none
featureGates: {X: true}
runtimeConfig: {api/all: \"true\"}
",
        )
        .unwrap();
        assert_eq!((config.api_port, config.api_host.as_deref()), (Some(6443), Some("0.0.0.0")));
        assert_eq!(config.network.family.as_deref(), Some("dual"));
        assert_eq!(config.network.pods.as_deref(), Some("10.1.0.0/16"));
        assert!(config.network.disable_default_cni && config.network.disable_kube_proxy);
        assert_eq!(config.warnings.len(), 2);
        assert_eq!((config.servers, config.agents), (None, None));
    }

    #[test]
    fn what_is_refused() {
        let check = |body: &str, expect: &str| {
            let error = file(body).unwrap_err();
            assert!(error.contains(expect), "{error}");
        };
        check("nods: []", "unknown field `nods`");
        check("nodes: [{role: master}]", "\"master\" is no role");
        check("nodes: [{image: a:1}, {image: b:1}]", "the same image");
        check("containerdConfigPatches: [x]", "containerdConfigPatches: line 1");
        check("containerdConfigPatchesJSON6902: [x]", "what is followed are registries");
        let patch = "kubeadmConfigPatches:\n- |\n  kind: ClusterConfiguration\n  apiServer: {}";
        check(patch, "apiServer");
        check("nodes: [{extraPortMappings: [{containerPort: 1, protocol: SCTP}]}]", "SCTP");
        check("nodes: [{extraPortMappings: [{hostPort: 1}]}]", "containerPort is missing");
        check("nodes: [{extraMounts: [{hostPath: /a, containerPath: b}]}]", "\"b\"");
        check("networking: {kubeProxyMode: magic}", "magic");
        let error = parse("kind: Cluster\napiVersion: example.com/v1").unwrap_err();
        assert!(error.contains("kind.x-k8s.io/v1alpha4"), "{error}");
    }
}

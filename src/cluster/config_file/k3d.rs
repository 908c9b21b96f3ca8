//! k3d's simple file (<https://k3d.io/stable/usage/configfile/>): what has a meaning without k3s.

use std::collections::BTreeMap;
use std::path::Path;

use kd_contract::registries::{Mirror, Registries};
use serde::Deserialize;

use super::super::node_settings;
use super::super::ports;
use super::super::registries;
use super::FileConfig;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct File {
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(rename = "apiVersion")]
    _api_version: String,
    metadata: Metadata,
    servers: Option<usize>,
    agents: Option<usize>,
    image: Option<String>,
    subnet: Option<String>,
    #[serde(rename = "kubeAPI")]
    kube_api: KubeApi,
    ports: Vec<Port>,
    volumes: Vec<Volume>,
    registries: RegistriesSection,
    options: Options,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RegistriesSection {
    create: Option<serde_json::Value>,
    #[serde(rename = "use")]
    used: Vec<String>,
    /// A file of k3s' form, or its path.
    config: String,
    mirrors: BTreeMap<String, Mirror>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Metadata {
    name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct KubeApi {
    host: Option<String>,
    #[serde(rename = "hostIP")]
    host_ip: Option<String>,
    host_port: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Port {
    port: String,
    node_filters: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Volume {
    volume: String,
    node_filters: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    /// How k3d waits, which kd always does.
    #[serde(rename = "k3d")]
    _k3d: serde_json::Value,
    k3s: K3s,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct K3s {
    node_labels: Vec<Label>,
    extra_args: Vec<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Label {
    label: String,
    node_filters: Vec<String>,
}

/// What the file asks for, in kd's terms.
pub(super) fn resolve(file: File) -> Result<FileConfig, String> {
    if !file.options.k3s.extra_args.is_empty() {
        return Err("options.k3s.extraArgs: kd has no k3s".to_owned());
    }
    let api_port = file.kube_api.host_port.filter(|port| !port.is_empty());
    let api_port = api_port.map(|port| port.parse().map_err(|_| format!("{port:?} is no port")));
    let mut config = FileConfig {
        name: file.metadata.name,
        servers: file.servers,
        agents: file.agents,
        subnet: file.subnet,
        api_port: api_port.transpose()?,
        api_host: file.kube_api.host.or(file.kube_api.host_ip),
        ..FileConfig::default()
    };
    if let Some(image) = file.image {
        config.warnings.push(format!("nodes are of kd's own image, not of {image}"));
    }
    config.registries = registries_of(file.registries)?;
    for Port { port, node_filters } in file.ports {
        let parsed = ports::parse(&filtered(&port, &node_filters));
        config.ports.extend(parsed.map_err(|error| error.to_string())?);
    }
    for Volume { volume, node_filters } in file.volumes {
        config.settings.push(node_settings::folder(&filtered(&volume, &node_filters))?);
    }
    for Label { label, node_filters } in file.options.k3s.node_labels {
        config.settings.push(node_settings::label(&filtered(&label, &node_filters))?);
    }
    Ok(config)
}

fn registries_of(section: RegistriesSection) -> Result<Registries, String> {
    if section.create.is_some() || !section.used.is_empty() {
        return Err("registries.create and registries.use: kd makes no registry; run one, connect it \
                    with `docker network connect kd-NAME REGISTRY`, and name it in registries.config"
            .to_owned());
    }
    let config = section.config.trim();
    let is_path = !config.contains('\n') && !config.contains(": ") && !config.is_empty();
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))
    };
    let mut found = match is_path {
        true => {
            let folder = Path::new(config).parent().unwrap_or(Path::new(""));
            registries::of_k3s(&read(Path::new(config))?, folder)
        }
        false => registries::of_k3s(config, Path::new("")),
    }
    .map_err(|reason| format!("registries.config: {reason}"))?;
    found.mirrors.extend(section.mirrors);
    Ok(found)
}

/// As flags write it.
fn filtered(text: &str, filters: &[String]) -> String {
    match filters.is_empty() {
        true => text.to_owned(),
        false => format!("{text}@{}", filters.join(";")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[test]
    fn files() {
        let file =
            |body: &str| parse(&format!("apiVersion: k3d.io/v1alpha5\nkind: Simple\n{body}"));
        let config = file(
            "metadata: {name: mine}
servers: 1
agents: 2
image: rancher/k3s:v1.30.0-k3s1
kubeAPI: {hostIP: 0.0.0.0, hostPort: '6445'}
ports:
- {port: '8080:80', nodeFilters: [loadbalancer]}
volumes:
- {volume: '/a:/b', nodeFilters: ['server:0', 'agent:*']}
options:
  k3d: {wait: true}
  k3s: {nodeLabels: [{label: a=b, nodeFilters: ['agent:1']}]}
",
        )
        .unwrap();
        assert_eq!((config.servers, config.agents), (Some(1), Some(2)));
        assert_eq!((config.api_port, config.api_host.as_deref()), (Some(6445), Some("0.0.0.0")));
        assert_eq!((config.ports.len(), config.settings.len()), (1, 2));
        assert_eq!(config.settings[0].filters.len(), 2);
        assert_eq!(config.warnings.len(), 1);
        assert!(file("options: {k3s: {extraArgs: [{arg: --x}]}}").unwrap_err().contains("k3s"));
        assert!(file("ports: [{port: x}]").is_err());
        assert!(file("sevrers: 1").unwrap_err().contains("sevrers"));
    }

    #[test]
    fn registries() {
        let file =
            |body: &str| parse(&format!("apiVersion: k3d.io/v1alpha5\nkind: Simple\n{body}"));
        let inline = file(
            "registries:
  config: |
    mirrors:
      docker.io: {endpoint: [http://cache:5000]}
  mirrors: {r.example: {endpoint: [http://other:5000]}}
",
        )
        .unwrap();
        assert_eq!(inline.registries.mirrors["docker.io"].endpoints, ["http://cache:5000"]);
        assert_eq!(inline.registries.mirrors["r.example"].endpoints, ["http://other:5000"]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registries.yaml");
        std::fs::write(&path, "mirrors: {a: {endpoint: [b]}}").unwrap();
        let named = file(&format!("registries: {{config: {}}}", path.display())).unwrap();
        assert_eq!(named.registries.mirrors["a"].endpoints, ["b"]);
        for (body, reason) in [
            ("registries: {use: [k3d-r:5000]}", "docker network connect"),
            ("registries: {create: {name: r}}", "kd makes no registry"),
            ("registries: {config: /no/such/file}", "read /no/such/file"),
            ("registries: {config: 'mirors: {}'}", "registries.config: unknown field"),
        ] {
            let error = file(body).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}

//! A pod on the plugins' network: how it was attached and what came of it. Kept on disk, for only who
//! knows both can take the pod off again.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::configuration::Configuration;
use super::plugin::Command;
use crate::{Error, PodLink, Protocol, Result};

const INTERFACE: &str = "eth0";
const RECORD_ENDING: &str = "json";
/// What other runtimes ask for besides a rate: as much as there is.
const BURST_BITS: u32 = i32::MAX as u32;

/// One pod's attachment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Attachment {
    pub uid: String,
    pub sandbox: String,
    netns: String,
    arguments: String,
    facts: Map<String, Value>,
    pub configuration: Configuration,
    /// None: it was never finished.
    pub result: Option<Value>,
}

impl Attachment {
    pub(super) fn new(configuration: Configuration, pod: &PodLink) -> Attachment {
        Attachment {
            uid: pod.uid.clone(),
            sandbox: pod.sandbox.clone(),
            netns: pod.netns.display().to_string(),
            arguments: format!(
                "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};\
                 K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID={}",
                pod.namespace, pod.name, pod.sandbox, pod.uid
            ),
            facts: facts(pod),
            configuration,
            result: None,
        }
    }

    /// How plugins tell attachments apart.
    pub(super) fn identity(&self) -> Value {
        json!({"containerID": self.sandbox, "ifname": INTERFACE})
    }

    /// Runs every plugin with what the one before it answered.
    pub(super) async fn add(&mut self, plugins: &Path) -> io::Result<()> {
        let command = self.command("ADD", plugins);
        let mut result: Option<Value> = None;
        for index in 0..self.configuration.len() {
            let input = self.configuration.input(index, result.as_ref(), Some(&self.facts));
            let answer = command.run(self.configuration.plugin(index), &input).await?;
            // A plugin that answers nothing changed nothing.
            result = answer.or(result);
        }
        self.result = Some(result.unwrap_or_else(|| json!({})));
        Ok(())
    }

    /// Runs the plugins backwards; one that fails does not keep the others from running.
    pub(super) async fn remove(&self, plugins: &Path) -> io::Result<()> {
        let command = self.command("DEL", plugins);
        let mut outcome = Ok(());
        for index in (0..self.configuration.len()).rev() {
            let result = self.result.as_ref();
            let input = self.configuration.input(index, result, Some(&self.facts));
            let removed = command.run(self.configuration.plugin(index), &input).await;
            outcome = outcome.and(removed.map(drop));
        }
        outcome
    }

    /// Asks the plugins whether the pod is as they left it.
    pub(super) async fn check(&self, plugins: &Path) -> io::Result<()> {
        if self.result.is_none() || !self.configuration.checks() {
            return Ok(());
        }
        let command = self.command("CHECK", plugins);
        for index in 0..self.configuration.len() {
            let result = self.result.as_ref();
            let input = self.configuration.input(index, result, Some(&self.facts));
            command.run(self.configuration.plugin(index), &input).await?;
        }
        Ok(())
    }

    /// The addresses of the pod's interface.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let Some(result) = &self.result else { return Vec::new() };
        let interfaces = result["interfaces"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_pods = |ip: &Value| match ip["interface"].as_u64() {
            // An interface of the pod has a sandbox; those of the node have none.
            Some(index) => {
                interfaces.get(usize::try_from(index).unwrap_or(usize::MAX)).is_some_and(
                    |interface| interface["sandbox"].as_str().is_some_and(|s| !s.is_empty()),
                )
            }
            None => true,
        };
        let listed = result["ips"].as_array().into_iter().flatten().filter(|ip| is_pods(ip));
        let written = listed.filter_map(|ip| ip["address"].as_str());
        // Versions before 0.3.0 have one of a family.
        let old = ["ip4", "ip6"].iter().filter_map(|family| result[*family]["ip"].as_str());
        let address = |text: &str| text.split('/').next()?.parse().ok();
        written.chain(old).filter_map(address).collect()
    }

    fn command<'a>(&self, name: &'static str, plugins: &'a Path) -> Command<'a> {
        // A namespace that is gone is told as none: plugins must still give back addresses.
        let is_gone = name == "DEL" && !Path::new(&self.netns).exists();
        let netns = if is_gone { String::new() } else { self.netns.clone() };
        let environment = vec![
            ("CNI_CONTAINERID", self.sandbox.clone()),
            ("CNI_NETNS", netns),
            ("CNI_IFNAME", INTERFACE.to_owned()),
            ("CNI_ARGS", self.arguments.clone()),
        ];
        Command { name, plugins, environment }
    }

    fn to_json(&self) -> Value {
        json!({"uid": self.uid, "sandbox": self.sandbox, "netns": self.netns,
            "arguments": self.arguments, "facts": self.facts,
            "configuration": self.configuration.as_json(), "result": self.result})
    }

    fn from_json(record: &Value) -> Option<Attachment> {
        let text = |field: &str| record[field].as_str().map(str::to_owned);
        Some(Attachment {
            uid: text("uid")?,
            sandbox: text("sandbox")?,
            netns: text("netns")?,
            arguments: text("arguments")?,
            facts: record["facts"].as_object()?.clone(),
            configuration: Configuration::of(record["configuration"].clone()).ok()?,
            result: Some(record["result"].clone()).filter(Value::is_object),
        })
    }
}

/// What plugins may ask to be told of a pod: capabilities by their names in the conventions.
fn facts(pod: &PodLink) -> Map<String, Value> {
    let mut facts = Map::new();
    let protocol = |protocol: Protocol| match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    };
    let mappings: Vec<Value> = pod
        .host_ports
        .iter()
        .map(|port| {
            json!({"hostPort": port.port, "containerPort": port.pod_port,
                "protocol": protocol(port.protocol),
                "hostIP": port.address.map(|ip| ip.to_string()).unwrap_or_default()})
        })
        .collect();
    if !mappings.is_empty() {
        facts.insert("portMappings".into(), mappings.into());
    }
    let mut bandwidth = Map::new();
    for (name, rate) in [("ingress", pod.bandwidth.ingress), ("egress", pod.bandwidth.egress)] {
        if let Some(rate) = rate {
            bandwidth.insert(format!("{name}Rate"), rate.into());
            bandwidth.insert(format!("{name}Burst"), BURST_BITS.into());
        }
    }
    if !bandwidth.is_empty() {
        facts.insert("bandwidth".into(), bandwidth.into());
    }
    facts
}

/// The attachments of a node, one file each.
pub(super) struct Attachments(PathBuf);

impl Attachments {
    pub(super) fn open(directory: PathBuf) -> Result<Attachments> {
        std::fs::create_dir_all(&directory)
            .map_err(Error::of(format!("make {}", directory.display())))?;
        Ok(Attachments(directory))
    }

    pub(super) fn write(&self, attachment: &Attachment) -> Result<()> {
        let path = self.path(&attachment.uid);
        let operation = format!("write {}", path.display());
        let new = path.with_extension("new");
        let written = std::fs::write(&new, attachment.to_json().to_string());
        written.and_then(|()| std::fs::rename(&new, &path)).map_err(Error::of(operation))
    }

    pub(super) fn read(&self, uid: &str) -> Option<Attachment> {
        read(&self.path(uid))
    }

    pub(super) fn forget(&self, uid: &str) -> Result<()> {
        let path = self.path(uid);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(Error::of(format!("remove {}", path.display()))),
        }
    }

    pub(super) fn all(&self) -> Vec<Attachment> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let records = paths.filter(|path| path.extension().is_some_and(|end| end == RECORD_ENDING));
        records.filter_map(|path| read(&path)).collect()
    }

    fn path(&self, uid: &str) -> PathBuf {
        self.0.join(format!("{uid}.{RECORD_ENDING}"))
    }
}

fn read(path: &Path) -> Option<Attachment> {
    let bytes = std::fs::read(path).ok()?;
    Attachment::from_json(&serde_json::from_slice(&bytes).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bandwidth, HostPort};

    fn attachment(result: Value) -> Attachment {
        let configuration = Configuration::parse(r#"{"name": "n", "type": "a"}"#).unwrap();
        let pod = PodLink {
            uid: "u".into(),
            namespace: "ns".into(),
            name: "p".into(),
            sandbox: "s".into(),
            host_ports: vec![HostPort {
                address: None,
                port: 8080,
                pod_port: 80,
                protocol: Protocol::Tcp,
            }],
            bandwidth: Bandwidth { ingress: Some(1000), egress: None },
            ..PodLink::default()
        };
        Attachment { result: Some(result), ..Attachment::new(configuration, &pod) }
    }

    #[test]
    fn what_plugins_are_told_of_a_pod() {
        let made = attachment(json!({}));
        assert_eq!(
            Value::from(made.facts.clone()),
            json!({"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp",
                "hostIP": ""}], "bandwidth": {"ingressRate": 1000, "ingressBurst": 2147483647}})
        );
        let expect = "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=p;\
            K8S_POD_INFRA_CONTAINER_ID=s;K8S_POD_UID=u";
        assert_eq!(made.arguments, expect);
        assert_eq!(Attachment::from_json(&made.to_json()), Some(made));
    }

    #[test]
    fn addresses_of_results() {
        let check = |result: Value, expect: &[&str]| {
            let found: Vec<String> =
                attachment(result).addresses().iter().map(ToString::to_string).collect();
            assert_eq!(found, expect);
        };
        let interfaces = json!([{"name": "veth1"}, {"name": "eth0", "sandbox": "/n"}]);
        check(
            json!({"interfaces": interfaces, "ips": [{"address": "10.1.0.1/24", "interface": 0},
                {"address": "10.1.0.2/24", "interface": 1}, {"address": "fd00::2/64"}]}),
            &["10.1.0.2", "fd00::2"],
        );
        check(json!({"ip4": {"ip": "10.1.0.2/24"}}), &["10.1.0.2"]);
        check(json!({}), &[]);
    }
}

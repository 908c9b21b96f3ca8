//! `[LOCAL:]REMOTE` as written, and resolved against a pod and perhaps a Service.

use std::str::FromStr;

use k8s_openapi::api::core::v1::{Container, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::error::{Error, ExitCode, Result};

/// A port by number or name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// A number.
    Number(u16),
    /// The name of a port of a container or Service.
    Name(String),
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSpec {
    local: Local,
    remote: Port,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Local {
    Number(u16),
    Random,
    SameAsRemote,
}

/// What to do: `local` 0 is any free port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortPair {
    /// The port on this machine.
    pub local: u16,
    /// The port in the pod.
    pub remote: u16,
}

impl FromStr for PortSpec {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<PortSpec, String> {
        let invalid = |part: &str| format!("{part:?} is not a port");
        let (local, remote) = match text.split_once(':') {
            None => (Local::SameAsRemote, text),
            Some(("" | "0", remote)) => (Local::Random, remote),
            Some((local, remote)) => {
                (Local::Number(local.parse().map_err(|_| invalid(local))?), remote)
            }
        };
        let remote = match remote.parse::<u16>() {
            Ok(0) => return Err("the remote port must be above 0".to_owned()),
            Ok(number) => Port::Number(number),
            Err(_) if is_port_name(remote) => Port::Name(remote.to_owned()),
            Err(_) => return Err(invalid(remote)),
        };
        Ok(PortSpec { local, remote })
    }
}

impl PortSpec {
    /// Resolves the port against a pod.
    pub fn for_pod(&self, pod: &Pod) -> Result<PortPair> {
        let remote = match &self.remote {
            Port::Number(number) => *number,
            Port::Name(name) => container_port(pod, name).ok_or_else(|| {
                let pod = pod.metadata.name.as_deref().unwrap_or_default();
                Error::new(ExitCode::NotFound, format!("the pod {pod} has no port named {name:?}"))
            })?,
        };
        Ok(self.pair(remote, remote))
    }

    /// The port of a Service that is meant.
    pub fn of_service<'s>(&self, service: &'s Service) -> Result<&'s ServicePort> {
        let spec = service.spec.as_ref();
        let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
        let is_meant = |port: &&ServicePort| match &self.remote {
            Port::Number(number) => port.port == i32::from(*number),
            Port::Name(name) => port.name.as_ref() == Some(name),
        };
        ports.iter().find(is_meant).ok_or_else(|| {
            let name = service.metadata.name.as_deref().unwrap_or_default();
            let message = format!("the service {name} has no port {}", self.wanted());
            let numbers: Vec<String> = ports.iter().map(|port| port.port.to_string()).collect();
            Error::new(ExitCode::NotFound, message).hint(format!("it has: {}", numbers.join(", ")))
        })
    }

    fn wanted(&self) -> String {
        match &self.remote {
            Port::Number(number) => number.to_string(),
            Port::Name(name) => format!("{name:?}"),
        }
    }

    /// Resolves the port of a Service against one of its pods.
    pub fn for_service(&self, service: &Service, pod: &Pod) -> Result<PortPair> {
        let port = self.of_service(service)?;
        let spec = service.spec.as_ref();
        let headless = spec.and_then(|spec| spec.cluster_ip.as_deref()) == Some("None");
        let number = u16::try_from(port.port).unwrap_or_default();
        let remote = match &port.target_port {
            _ if headless => Some(number),
            None | Some(IntOrString::Int(0)) => Some(number),
            Some(IntOrString::Int(target)) => u16::try_from(*target).ok(),
            Some(IntOrString::String(target)) => container_port(pod, target),
        };
        let remote = remote.ok_or_else(|| {
            let pod = pod.metadata.name.as_deref().unwrap_or_default();
            let wanted = self.wanted();
            let message = format!("the pod {pod} has no port for the service's port {wanted}");
            Error::new(ExitCode::NotFound, message)
        })?;
        Ok(self.pair(remote, number))
    }

    fn pair(&self, remote: u16, same: u16) -> PortPair {
        let local = match self.local {
            Local::Number(number) => number,
            Local::Random => 0,
            Local::SameAsRemote => same,
        };
        PortPair { local, remote }
    }
}

/// IANA service names: at most 15 characters, at least one letter.
fn is_port_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.len() <= 15
        && text.chars().all(allowed)
        && text.contains(|c: char| c.is_ascii_lowercase())
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn container_port(pod: &Pod, name: &str) -> Option<u16> {
    let spec = pod.spec.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let ports = |container: &Container| container.ports.clone().unwrap_or_default();
    let all = spec.containers.iter().chain(sidecars).flat_map(ports);
    let mut named = all.filter(|port| port.name.as_deref() == Some(name));
    named.find_map(|port| u16::try_from(port.container_port).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Pod {
        serde_json::from_str(
            r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","ports":[
                {"name":"http","containerPort":8080},{"containerPort":9090}]}],
                "initContainers":[
                {"name":"once","ports":[{"name":"once","containerPort":1}]},
                {"name":"side","restartPolicy":"Always","ports":[{"name":"side","containerPort":2}]}]}}"#,
        )
        .unwrap()
    }

    fn service(cluster_ip: &str) -> Service {
        let json = format!(
            r#"{{"metadata":{{"name":"s"}},"spec":{{"clusterIP":"{cluster_ip}","ports":[
                {{"name":"web","port":80,"targetPort":"http"}},
                {{"name":"num","port":81,"targetPort":9090}},
                {{"name":"same","port":82}},
                {{"name":"bad","port":83,"targetPort":"gone"}}]}}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    fn pair(result: Result<PortPair>) -> Option<(u16, u16)> {
        result.ok().map(|pair| (pair.local, pair.remote))
    }

    #[test]
    fn ports_of_a_pod() {
        let check = |text: &str, expect: Option<(u16, u16)>| {
            let spec = text.parse::<PortSpec>().ok();
            assert_eq!(spec.and_then(|spec| pair(spec.for_pod(&pod()))), expect, "{text}");
        };
        check("80", Some((80, 80)));
        check("8888:80", Some((8888, 80)));
        check(":80", Some((0, 80)));
        check("0:80", Some((0, 80)));
        check("http", Some((8080, 8080)));
        check("8888:http", Some((8888, 8080)));
        check(":side", Some((0, 2)));
        check("once", None);
        check("0", None);
        check("80:0", None);
        check("65536", None);
        check("x:80", None);
        check("80:", None);
        check("", None);
        check("1:2:3", None);
        check("HTTP", None);
        check("-1", None);
    }

    #[test]
    fn ports_of_a_service() {
        let check = |cluster_ip: &str, text: &str, expect: Option<(u16, u16)>| {
            let spec: PortSpec = text.parse().unwrap();
            assert_eq!(pair(spec.for_service(&service(cluster_ip), &pod())), expect, "{text}");
        };
        check("10.96.0.9", "80", Some((80, 8080)));
        check("10.96.0.9", "web", Some((80, 8080)));
        check("10.96.0.9", "8888:num", Some((8888, 9090)));
        check("10.96.0.9", ":81", Some((0, 9090)));
        check("10.96.0.9", "82", Some((82, 82)));
        check("10.96.0.9", "83", None);
        check("10.96.0.9", "84", None);
        check("None", "80", Some((80, 80)));
    }
}

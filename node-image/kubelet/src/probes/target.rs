//! Where a probe or hook of HTTP, TCP or gRPC goes.

use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// A URL in parts, with headers.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Use TLS (certificates are not verified).
    pub tls: bool,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path with query.
    pub path: String,
    /// More headers, in order.
    pub headers: Vec<(String, String)>,
}

impl Target {
    /// The target of an httpGet action.
    pub fn http(
        action: &HTTPGetAction,
        container: &Container,
        pod_ip: &str,
    ) -> Result<Target, String> {
        let path = action.path.as_deref().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        let headers = action.http_headers.iter().flatten();
        let host = action.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(pod_ip);
        Ok(Target {
            tls: action.scheme.as_deref().is_some_and(|s| s.eq_ignore_ascii_case("HTTPS")),
            host: host.to_owned(),
            port: port_number(&action.port, container)?,
            path: format!("{slash}{path}"),
            headers: headers.map(|h| (h.name.clone(), h.value.clone())).collect(),
        })
    }

    /// `http://host:port/path`
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.path)
    }

    /// `host:port`
    pub fn authority(&self) -> String {
        host_port(&self.host, self.port)
    }
}

/// `host:port`, an IPv6 address in brackets.
pub fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The number of a port given by number or by name.
pub fn port_number(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let ports = container.ports.iter().flatten();
            let named = ports.into_iter().find(|p| p.name.as_deref() == Some(name));
            match named.map(|p| p.container_port).or_else(|| name.parse().ok()) {
                Some(number) => number,
                None => return Err(format!("couldn't find port: {name:?}")),
            }
        }
    };
    let invalid = || format!("invalid port number: {number}");
    u16::try_from(number).ok().filter(|n| *n > 0).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn targets() {
        let container: Container = serde_json::from_value(
            json!({"name": "c", "ports": [{"name": "web", "containerPort": 8080}]}),
        )
        .unwrap();
        let check = |action, expect: Result<&str, &str>| {
            let action: HTTPGetAction = serde_json::from_value(action).unwrap();
            let url = Target::http(&action, &container, "10.0.0.5").map(|t| t.url());
            assert_eq!(url.as_deref().map_err(String::as_str), expect);
        };
        check(json!({"port": 80}), Ok("http://10.0.0.5:80/"));
        check(
            json!({"port": "web", "path": "x?y", "scheme": "HTTPS"}),
            Ok("https://10.0.0.5:8080/x?y"),
        );
        check(json!({"port": "9", "host": "::1", "path": "/"}), Ok("http://[::1]:9/"));
        check(json!({"port": "bogus"}), Err("couldn't find port: \"bogus\""));
        check(json!({"port": 70000}), Err("invalid port number: 70000"));
    }
}

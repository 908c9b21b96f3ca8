//! Variables that tell of services, in Docker's and in Kubernetes' form.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort};

/// The namespace and name of the API server's own service: every pod is told of it.
const MASTER: (&str, &str) = ("default", "kubernetes");

/// The variables of a pod's namespace. Without `links` only the API server's service is told of.
pub fn service_variables(
    services: &[Service],
    namespace: &str,
    links: bool,
) -> BTreeMap<String, String> {
    let mut chosen: BTreeMap<&str, &Service> = BTreeMap::new();
    for service in services {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let own = service.metadata.namespace.as_deref().unwrap_or_default();
        let has_address = cluster_ip(service).is_some();
        if (own, name) == MASTER && has_address {
            // One of the pod's own namespace with that name wins.
            chosen.entry(name).or_insert(service);
        } else if own == namespace && links && has_address {
            chosen.insert(name, service);
        }
    }
    chosen.into_iter().flat_map(|(name, service)| variables(name, service)).collect()
}

fn cluster_ip(service: &Service) -> Option<&str> {
    let ip = service.spec.as_ref()?.cluster_ip.as_deref()?;
    (!ip.is_empty() && ip != "None").then_some(ip)
}

fn variables(name: &str, service: &Service) -> Vec<(String, String)> {
    let Some(ip) = cluster_ip(service) else { return Vec::new() };
    let ports = service.spec.as_ref().and_then(|s| s.ports.as_deref()).unwrap_or_default();
    let prefix = name.to_ascii_uppercase().replace('-', "_");
    let mut made = vec![(format!("{prefix}_SERVICE_HOST"), ip.to_owned())];
    let Some(first) = ports.first() else { return made };
    made.push((format!("{prefix}_SERVICE_PORT"), first.port.to_string()));
    for port in ports {
        if let Some(port_name) = port.name.as_deref().filter(|n| !n.is_empty()) {
            let port_name = port_name.to_ascii_uppercase().replace('-', "_");
            made.push((format!("{prefix}_SERVICE_PORT_{port_name}"), port.port.to_string()));
        }
    }
    made.push((format!("{prefix}_PORT"), url(ip, first)));
    for port in ports {
        let (number, protocol) = (port.port, protocol(port));
        let linked = format!("{prefix}_PORT_{number}_{}", protocol.to_ascii_uppercase());
        made.push((linked.clone(), url(ip, port)));
        made.push((format!("{linked}_PROTO"), protocol));
        made.push((format!("{linked}_PORT"), number.to_string()));
        made.push((format!("{linked}_ADDR"), ip.to_owned()));
    }
    made
}

fn protocol(port: &ServicePort) -> String {
    port.protocol.as_deref().unwrap_or("TCP").to_ascii_lowercase()
}

fn url(ip: &str, port: &ServicePort) -> String {
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    format!("{}://{host}:{}", protocol(port), port.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(namespace: &str, name: &str, ip: &str) -> Service {
        serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name},
            "spec": {"clusterIP": ip, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}}))
        .unwrap()
    }

    #[test]
    fn both_forms() {
        let found = service_variables(&[service("n", "my-db", "10.96.0.7")], "n", true);
        let expect = [
            ("MY_DB_PORT", "tcp://10.96.0.7:80"),
            ("MY_DB_PORT_80_TCP", "tcp://10.96.0.7:80"),
            ("MY_DB_PORT_80_TCP_ADDR", "10.96.0.7"),
            ("MY_DB_PORT_80_TCP_PORT", "80"),
            ("MY_DB_PORT_80_TCP_PROTO", "tcp"),
            ("MY_DB_SERVICE_HOST", "10.96.0.7"),
            ("MY_DB_SERVICE_PORT", "80"),
            ("MY_DB_SERVICE_PORT_HTTP", "80"),
        ];
        let expect = expect.map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expect);
    }

    #[test]
    fn which_services() {
        let all = [
            service("default", "kubernetes", "10.96.0.1"),
            service("n", "a", "10.96.0.7"),
            service("n", "headless", "None"),
            service("other", "b", "10.96.0.8"),
        ];
        let hosts = |links| {
            let found = service_variables(&all, "n", links);
            found.into_keys().filter(|k| k.ends_with("_HOST")).collect::<Vec<_>>()
        };
        assert_eq!(hosts(true), ["A_SERVICE_HOST", "KUBERNETES_SERVICE_HOST"]);
        assert_eq!(hosts(false), ["KUBERNETES_SERVICE_HOST"]);
    }
}

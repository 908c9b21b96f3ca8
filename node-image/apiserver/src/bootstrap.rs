//! What a cluster begins with: namespaces, default roles, priority classes and levels, the service
//! `default/kubernetes` and where it leads. Everything in one transaction.

use std::net::IpAddr;
use std::sync::Arc;

use kd_api::defaults::apply_defaults;
use kd_api::kind::split_api_version;
use kd_api::{Kind, Object, Status, flow_control, strategy};
use kd_store::{Error, Expect, Snapshot, Transaction};
use serde_json::{Value, json};

use crate::aggregation::registrations;
use crate::authn;
use crate::authz::bootstrap_objects;
use crate::namespace_contents;
use crate::server::ApiServer;
use crate::service_allocation::{self, first_address};
use crate::storage::{key_of, store_failed};
use crate::verbs::set_system_fields;

const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];
/// Times that it begins again because another server did the same.
const ATTEMPTS_MAX: usize = 8;

/// Stores what is missing.
pub(crate) async fn run(server: &ApiServer) -> Result<(), Status> {
    again(server, |snapshot| {
        let mut objects: Vec<Value> = NAMESPACES.iter().map(|name| namespace(name)).collect();
        objects.extend(bootstrap_objects(&server.reader()));
        objects.extend(flow_control::bootstrap_objects());
        objects.extend(service_range(server));
        objects.push(kubernetes_service(server));
        objects.extend(api_services(server));
        let mut transaction = Transaction::new();
        for object in objects {
            transaction = transaction.and(written(server, snapshot, object)?);
        }
        transaction = transaction.and(replaced(server, snapshot, authentication(server))?);
        Ok(transaction)
    })
    .await?;
    advertise(server, &server.config.advertised).await
}

/// Makes `default/kubernetes` lead to these addresses.
pub(crate) async fn advertise(server: &ApiServer, addresses: &[IpAddr]) -> Result<(), Status> {
    if addresses.is_empty() {
        return Ok(());
    }
    again(server, |snapshot| {
        let mut transaction = Transaction::new();
        for object in [endpoints(server, addresses), endpoint_slice(server, addresses)] {
            transaction = transaction.and(replaced(server, snapshot, object)?);
        }
        Ok(transaction)
    })
    .await
}

async fn again(
    server: &ApiServer,
    transaction: impl Fn(&Snapshot) -> Result<Transaction, Status>,
) -> Result<(), Status> {
    for _ in 0..ATTEMPTS_MAX {
        let transaction = transaction(&server.objects.snapshot())?;
        match server.objects.store.commit(transaction).await {
            Ok(_) => return Ok(()),
            Err(Error::Conflict { .. }) => {}
            Err(other) => return Err(store_failed(other)),
        }
    }
    Err(Status::internal("what a cluster begins with is written by others again and again"))
}

fn kind_of(server: &ApiServer, object: &Value) -> Result<Arc<Kind>, Status> {
    let kinds = server.objects.kinds();
    let (group, version) = split_api_version(object.api_version());
    let kind = kinds.by_kind(group, version, object.kind()).cloned();
    kind.ok_or_else(|| Status::internal(format!("no kind {} is served", object.kind())))
}

/// A new object; one with a resourceVersion replaces that version.
fn written(
    server: &ApiServer,
    snapshot: &Snapshot,
    mut object: Value,
) -> Result<Transaction, Status> {
    let kind = kind_of(server, &object)?;
    let key = key_of(&kind, object.namespace(), object.name());
    if let Ok(revision) = object.resource_version().parse() {
        let bytes = server.objects.encode(&kind, &object);
        return Ok(Transaction::new().put(key, bytes, Expect::Revision(revision)));
    }
    if snapshot.get(&key).is_some() {
        return Ok(Transaction::new());
    }
    let status = object.at(&["status"]).cloned();
    set_system_fields(server, &mut object);
    apply_defaults(&kind, &mut object);
    strategy::prepare_create(&kind, &mut object);
    if let Some(status) = status {
        object["status"] = status;
    }
    let effects = match kind.kind.as_str() {
        "Namespace" => namespace_contents::transaction(server, &object),
        "Service" => service_allocation::allocate(server, snapshot, &mut object, None)?,
        _ => Transaction::new(),
    };
    Ok(Transaction::new().create(key, server.objects.encode(&kind, &object)).and(effects))
}

/// An object that is made so whatever it was.
fn replaced(
    server: &ApiServer,
    snapshot: &Snapshot,
    mut object: Value,
) -> Result<Transaction, Status> {
    let kind = kind_of(server, &object)?;
    let key = key_of(&kind, object.namespace(), object.name());
    let Some(entry) = snapshot.get(&key) else { return written(server, snapshot, object) };
    let old = server.objects.decode(&kind, entry)?;
    object["metadata"] = old["metadata"].clone();
    apply_defaults(&kind, &mut object);
    let bytes = server.objects.encode(&kind, &object);
    match bytes == entry.value {
        true => Ok(Transaction::new()),
        false => Ok(Transaction::new().put(key, bytes, Expect::Revision(entry.revision))),
    }
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": name, "labels": {"kubernetes.io/metadata.name": name}}})
}

/// What is answered here, if anybody can ask.
fn api_services(server: &ApiServer) -> Vec<Value> {
    let kinds = server.objects.kinds();
    match kinds.by_kind("apiregistration.k8s.io", "v1", "APIService") {
        Some(_) => registrations(&kinds, (server.clock)()),
        None => Vec::new(),
    }
}

/// What aggregated servers must know to tell who asks.
fn authentication(server: &ApiServer) -> Value {
    let mut data = json!({"client-ca-file": server.config.ca_certificate_pem});
    if let Some(front_proxy) = &server.config.front_proxy {
        data["requestheader-client-ca-file"] = front_proxy.ca_certificate_pem.as_str().into();
        let lists: [(&str, &[&str]); 5] = [
            ("requestheader-allowed-names", &authn::ALLOWED_NAMES),
            ("requestheader-extra-headers-prefix", &[authn::EXTRA_PREFIX]),
            ("requestheader-group-headers", &[authn::GROUP]),
            ("requestheader-uid-headers", &[authn::UID]),
            ("requestheader-username-headers", &[authn::USER]),
        ];
        for (field, list) in lists {
            data[field] = json!(list).to_string().into();
        }
    }
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"}})
}

fn service_range(server: &ApiServer) -> Option<Value> {
    let ranges: Vec<String> =
        server.config.service_ranges.iter().map(ToString::to_string).collect();
    let kinds = server.objects.kinds();
    kinds.preferred("networking.k8s.io", "servicecidrs")?;
    Some(json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"}, "spec": {"cidrs": ranges}}))
}

fn kubernetes_service(server: &ApiServer) -> Value {
    let address = server.config.service_ranges.first().map(first_address);
    let address = address.map(|address| address.to_string());
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"type": "ClusterIP", "sessionAffinity": "None",
            "clusterIP": address, "clusterIPs": [address],
            "ports": [{"name": "https", "protocol": "TCP", "port": 443,
                "targetPort": server.config.port}]}})
}

fn endpoints(server: &ApiServer, addresses: &[IpAddr]) -> Value {
    let addresses: Vec<Value> =
        addresses.iter().map(|address| json!({"ip": address.to_string()})).collect();
    json!({"apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": "kubernetes", "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": addresses,
            "ports": [{"name": "https", "port": server.config.port, "protocol": "TCP"}]}]})
}

/// The slice of the first address's family.
fn endpoint_slice(server: &ApiServer, addresses: &[IpAddr]) -> Value {
    let is_ipv6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let endpoints: Vec<Value> = addresses
        .iter()
        .filter(|address| address.is_ipv6() == is_ipv6)
        .map(|address| json!({"addresses": [address.to_string()], "conditions": {"ready": true}}))
        .collect();
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": if is_ipv6 { "IPv6" } else { "IPv4" },
        "endpoints": endpoints,
        "ports": [{"name": "https", "port": server.config.port, "protocol": "TCP"}]})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FrontProxy;
    use crate::testing::authority::Authority;
    use crate::testing::server::TestServer;

    #[tokio::test]
    async fn aggregated_servers_learn_whom_to_believe() {
        let path =
            "GET /api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
        let server = TestServer::start().await;
        let got = server.ask(path, Value::Null).await;
        assert_eq!(got.body["data"], json!({"client-ca-file": "a certificate"}));
        let ca = Authority::new().pem();
        let front_proxy = FrontProxy {
            ca_certificate_pem: ca.clone(),
            certificate_pem: String::new(),
            key_pem: String::new(),
        };
        let server = TestServer::with(|config| config.front_proxy = Some(front_proxy)).await;
        let got = server.ask(path, Value::Null).await;
        let expect = json!({
            "client-ca-file": "a certificate",
            "requestheader-allowed-names": r#"["front-proxy-client"]"#,
            "requestheader-client-ca-file": ca,
            "requestheader-extra-headers-prefix": r#"["X-Remote-Extra-"]"#,
            "requestheader-group-headers": r#"["X-Remote-Group"]"#,
            "requestheader-uid-headers": r#"["X-Remote-Uid"]"#,
            "requestheader-username-headers": r#"["X-Remote-User"]"#,
        });
        assert_eq!(got.body["data"], expect);
    }
}

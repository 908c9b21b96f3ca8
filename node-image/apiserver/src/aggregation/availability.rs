//! Whether a server elsewhere is there: its Service, its endpoints, its discovery document.

use std::sync::Arc;

use http::HeaderMap;
use http::header::{ACCEPT, HeaderValue};
use kd_api::Object;
use serde_json::{Value, json};

use super::client::RemoteClient;
use super::remote::{Documents, Remote};
use crate::authn::speak_for;
use crate::request::{Reader, UserInfo};
use crate::webhook::{ready_endpoints, service_port};

/// Times that a server is asked before it counts as away: one of its endpoints may be.
const ATTEMPTS_MAX: usize = 5;

/// The condition `Available`, but for its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) available: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

fn away(reason: &'static str, message: String) -> Condition {
    Condition { available: false, reason, message }
}

/// What can be told from the Service and its endpoints: why the server cannot be there.
pub(super) fn missing(reader: &dyn Reader, remote: &Remote) -> Option<Condition> {
    let Remote { namespace, service: name, port, .. } = remote;
    let Some(service) = reader.get("", "services", namespace, name) else {
        let message = format!("service/{name} in {namespace:?} is not present");
        return Some(away("ServiceNotFound", message));
    };
    if !matches!(service.str_at(&["spec", "type"]), "" | "ClusterIP") {
        return None;
    }
    let Some(port_name) = service_port(&service, &port.to_string()) else {
        let message = format!("service/{name} in {namespace:?} is not listening on port {port}");
        return Some(away("ServicePortError", message));
    };
    let slices = reader.list("discovery.k8s.io", "endpointslices", Some(namespace));
    let is_own =
        |slice: &&Arc<Value>| slice.label("kubernetes.io/service-name") == Some(name.as_str());
    if !slices.iter().any(|slice| is_own(&slice)) {
        let message = format!("cannot find endpointslices for service/{name} in {namespace:?}");
        return Some(away("EndpointsNotFound", message));
    }
    if ready_endpoints(reader, namespace, name, port_name).is_empty() {
        let message = format!(
            "endpointslices for service/{name} in {namespace:?} have no addresses with port name {port_name:?}"
        );
        return Some(away("MissingEndpoints", message));
    }
    None
}

/// Asks everything, and the server itself last. What it says of itself comes with the condition.
pub(super) async fn check(reader: &dyn Reader, remote: &Remote) -> (Condition, Option<Documents>) {
    if let Some(condition) = missing(reader, remote) {
        return (condition, None);
    }
    let failed = |why: String| (away("FailedDiscoveryCheck", why), None);
    let client = match &remote.client {
        Ok(client) => client,
        Err(why) => return failed(why.clone()),
    };
    let mut last = String::new();
    for _ in 0..ATTEMPTS_MAX {
        match resources(client, remote).await {
            Ok(resources) => {
                let documents = documents(client, remote, resources).await;
                let (reason, message) = ("Passed", "all checks passed".into());
                return (Condition { available: true, reason, message }, Some(documents));
            }
            Err(why) => last = why,
        }
    }
    failed(last)
}

/// This server as itself: it may see everything that there is to discover.
fn aggregators_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    let user = UserInfo {
        username: "system:kube-aggregator".into(),
        groups: vec!["system:masters".into()],
        ..UserInfo::default()
    };
    speak_for(&user, &mut headers);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers
}

async fn resources(client: &RemoteClient, remote: &Remote) -> Result<Value, String> {
    let path = remote.root();
    let url = client.url(&path);
    let missing = |why: String| format!("failing or missing response from {url}: {why}");
    let (code, body) = client.get(&path, aggregators_headers()).await.map_err(missing)?;
    if !(200..300).contains(&code) {
        return Err(missing(format!("bad status from {url}: {code}")));
    }
    // A server that answers is there, whatever it says.
    Ok(serde_json::from_slice(&body).unwrap_or_default())
}

async fn documents(client: &RemoteClient, remote: &Remote, resources: Value) -> Documents {
    let json = async |path: &str| -> Value {
        match client.get(path, aggregators_headers()).await {
            Ok((200, body)) => serde_json::from_slice(&body).unwrap_or_default(),
            Ok(_) => Value::Null,
            Err(why) => {
                tracing::debug!(remote = remote.name, why, "no OpenAPI document");
                Value::Null
            }
        }
    };
    let index = json("/openapi/v3").await;
    let root = remote.root();
    let own = &index["paths"][root.trim_start_matches('/')]["serverRelativeURL"];
    let hash = own.as_str().and_then(|url| url.split_once("hash=")).map(|(_, hash)| hash);
    let known = remote.documents();
    let openapi_v2 = match hash {
        // The same document as before.
        Some(hash) if hash == known.openapi_hash && !known.openapi_v2.is_null() => known.openapi_v2,
        _ => Arc::new(json("/openapi/v2").await),
    };
    Documents {
        resources: Arc::new(resources),
        openapi_hash: hash.unwrap_or_default().to_owned(),
        openapi_v2,
    }
}

/// The conditions of an APIService with this one; the time stays while the status does.
pub(super) fn with_condition(conditions: &[Value], condition: &Condition, now: &str) -> Vec<Value> {
    let status = if condition.available { "True" } else { "False" };
    let mut conditions = conditions.to_vec();
    let old = conditions.iter().position(|old| old["type"] == "Available");
    let since = old.map(|at| &conditions[at]).filter(|old| old["status"] == status);
    let since = since.map_or_else(|| json!(now), |old| old["lastTransitionTime"].clone());
    let new = json!({"type": "Available", "status": status, "reason": condition.reason,
        "message": condition.message, "lastTransitionTime": since});
    match old {
        Some(at) => conditions[at] = new,
        None => conditions.push(new),
    }
    conditions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeReader;

    #[test]
    fn what_is_missing() {
        let check = |objects: Vec<Value>, expect: &str| {
            let reader: Arc<dyn Reader> = FakeReader::with(objects);
            let service = json!({"metadata": {"name": "v1.g"}, "spec": {"group": "g", "version": "v1",
                "service": {"namespace": "ns", "name": "s", "port": 443}}});
            let remote = Remote::new(&service, None, &reader);
            let got = missing(&*reader, &remote)
                .map_or("nothing".into(), |c| format!("{}: {}", c.reason, c.message));
            assert_eq!(got, expect);
        };
        let service = |port: u16| {
            json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "s", "namespace": "ns"},
            "spec": {"type": "ClusterIP", "ports": [{"name": "https", "port": port}]}})
        };
        let slice = |ready: bool| {
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "s-1", "namespace": "ns", "labels": {"kubernetes.io/service-name": "s"}},
            "ports": [{"name": "https", "port": 8443}],
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}]})
        };
        check(vec![], "ServiceNotFound: service/s in \"ns\" is not present");
        check(
            vec![service(80)],
            "ServicePortError: service/s in \"ns\" is not listening on port 443",
        );
        check(
            vec![service(443)],
            "EndpointsNotFound: cannot find endpointslices for service/s in \"ns\"",
        );
        check(
            vec![service(443), slice(false)],
            "MissingEndpoints: endpointslices for service/s in \"ns\" have no addresses with port name \"https\"",
        );
        check(vec![service(443), slice(true)], "nothing");
    }

    #[test]
    fn times_change_with_the_status() {
        let passed = Condition { available: true, reason: "Passed", message: "m".into() };
        let first = with_condition(&[], &passed, "1");
        assert_eq!(first[0]["lastTransitionTime"], "1");
        assert_eq!(with_condition(&first, &passed, "2"), first);
        let gone = with_condition(&first, &away("ServiceNotFound", String::new()), "3");
        assert_eq!(
            (&gone[0]["status"], &gone[0]["lastTransitionTime"]),
            (&json!("False"), &json!("3"))
        );
    }
}

//! Objects for tests.

use jiff::Timestamp;
use kd_client::{Keep, Object, Resource, View, resources};
use serde_json::{Value, json};

use crate::gateway::kinds;
use crate::ingresses::{ingress_classes, ingresses};

/// An object of a kind.
pub(crate) fn object(kind: &str, namespace: &str, name: &str, more: Value) -> Value {
    let mut object = json!({"kind": kind, "metadata": {"namespace": namespace, "name": name,
        "resourceVersion": "1", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}});
    merge(&mut object, more);
    object
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// A View of objects.
pub(crate) fn view(objects: &[Value]) -> View {
    let mut view = View::default();
    view.sync(&crate::gateway::gateway_classes(), 1);
    for object in objects {
        let resource = resource(object["kind"].as_str().unwrap());
        let bytes = serde_json::to_vec(object).unwrap();
        let parsed = Object::parse(&resource, &bytes, Keep::Full, Timestamp::UNIX_EPOCH);
        view.insert(&resource, parsed.unwrap());
    }
    view
}

fn resource(kind: &str) -> Resource {
    match kind {
        "Ingress" => ingresses(),
        "IngressClass" => ingress_classes(),
        "Service" => resources::SERVICES.clone(),
        "EndpointSlice" => resources::ENDPOINT_SLICES.clone(),
        "Secret" => resources::SECRETS.clone(),
        "Node" => resources::NODES.clone(),
        "Namespace" => resources::NAMESPACES.clone(),
        kind => kinds().into_iter().find(|resource| resource.kind == kind).expect(kind),
    }
}

/// A Service with port 80, named `web`, and its one endpoint.
pub(crate) fn service(namespace: &str, name: &str, address: &str) -> [Value; 2] {
    let labels = json!({"kubernetes.io/service-name": name});
    [
        object(
            "Service",
            namespace,
            name,
            json!({"spec": {"ports": [{"name": "web", "port": 80}]}}),
        ),
        object(
            "EndpointSlice",
            namespace,
            &format!("{name}-1"),
            json!({
            "metadata": {"labels": labels}, "addressType": "IPv4",
            "ports": [{"name": "web", "port": 8080}],
            "endpoints": [{"addresses": [address]}]}),
        ),
    ]
}

/// A class of Ingresses.
pub(crate) fn ingress_class(name: &str, controller: &str) -> Value {
    object("IngressClass", "", name, json!({"spec": {"controller": controller}}))
}

/// A Secret with a self-signed certificate.
pub(crate) fn tls_secret(namespace: &str, name: &str, hosts: &[&str]) -> Value {
    use base64::Engine;
    let encoded = |text: String| base64::prelude::BASE64_STANDARD.encode(text);
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let issued = rcgen::generate_simple_self_signed(hosts).unwrap();
    object(
        "Secret",
        namespace,
        name,
        json!({"type": "kubernetes.io/tls", "data": {
        "tls.crt": encoded(issued.cert.pem()), "tls.key": encoded(issued.signing_key.serialize_pem())}}),
    )
}

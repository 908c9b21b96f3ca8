//! Views from JSON and plans as text, for the tables of tests.

use std::sync::Arc;

use jiff::Timestamp;
use kd_client::{Keep, Key, Object, Resource, View, resources};
use serde_json::{Value, json};

use crate::{Action, Controller, Plan, Step, Target};

/// The resources of test Views.
pub const KNOWN: [&Resource; 36] = [
    &resources::API_SERVICES,
    &resources::CERTIFICATE_SIGNING_REQUESTS,
    &resources::CLUSTER_ROLES,
    &resources::CONFIG_MAPS,
    &resources::CONTROLLER_REVISIONS,
    &resources::CRON_JOBS,
    &resources::CSI_DRIVERS,
    &resources::CSI_NODES,
    &resources::DAEMON_SETS,
    &resources::DEPLOYMENTS,
    &resources::ENDPOINTS,
    &resources::ENDPOINT_SLICES,
    &resources::HORIZONTAL_POD_AUTOSCALERS,
    &resources::IP_ADDRESSES,
    &resources::JOBS,
    &resources::LEASES,
    &resources::NAMESPACES,
    &resources::NODES,
    &resources::PERSISTENT_VOLUMES,
    &resources::PERSISTENT_VOLUME_CLAIMS,
    &resources::PODS,
    &resources::POD_DISRUPTION_BUDGETS,
    &resources::REPLICATION_CONTROLLERS,
    &resources::REPLICA_SETS,
    &resources::RESOURCE_CLAIMS,
    &resources::RESOURCE_CLAIM_TEMPLATES,
    &resources::RESOURCE_QUOTAS,
    &resources::RESOURCE_SLICES,
    &resources::SECRETS,
    &resources::SERVICES,
    &resources::SERVICE_ACCOUNTS,
    &resources::SERVICE_CIDRS,
    &resources::STATEFUL_SETS,
    &resources::STORAGE_CLASSES,
    &resources::VOLUME_ATTACHMENTS,
    &resources::VOLUME_ATTRIBUTES_CLASSES,
];

/// Seconds after the epoch of all tests.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000_000 + second).unwrap()
}

/// The same as text.
pub fn time(second: i64) -> String {
    at(second).to_string()
}

/// An object with metadata filled in: uid `<name>-uid`, resourceVersion 1, created at 0.
pub fn object(kind: &str, namespace: &str, name: &str, rest: Value) -> Value {
    let resource = KNOWN.iter().find(|r| r.kind == kind).unwrap();
    let mut all = json!({
        "apiVersion": resource.api_version(), "kind": kind,
        "metadata": {"name": name, "uid": format!("{name}-uid"), "resourceVersion": "1",
            "creationTimestamp": time(0)}});
    if !namespace.is_empty() {
        all["metadata"]["namespace"] = json!(namespace);
    }
    merge(&mut all, rest);
    all
}

/// Merges maps, replaces anything else.
pub fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// A View of objects, all resources synced, observed at 0.
pub fn view(objects: &[Value]) -> View {
    let mut view = View::of(KNOWN.into_iter().cloned());
    for resource in KNOWN {
        view.sync(resource, 100);
    }
    for object in objects {
        let resource = KNOWN.iter().find(|r| object["kind"] == *r.kind).unwrap();
        let bytes = serde_json::to_vec(object).unwrap();
        view.insert(resource, Object::parse(resource, &bytes, Keep::Full, at(0)).unwrap());
    }
    view
}

/// The plan for one object.
pub fn plan(
    controller: &impl Controller,
    view: &View,
    resource: &Resource,
    key: (&str, &str),
    second: i64,
) -> Plan {
    let target = Target::new(&Arc::new(resource.clone()), Key::new(key.0, key.1));
    controller.reconcile(view, &target, at(second))
}

/// Steps as lines: `verb resource[/subresource] key`, stages parted by `--`.
pub fn lines(plan: &Plan) -> Vec<String> {
    let stages = plan.stages.iter().map(|s| s.iter().map(line).collect::<Vec<_>>());
    let mut all: Vec<String> = Vec::new();
    for stage in stages {
        if !all.is_empty() {
            all.push("--".into());
        }
        all.extend(stage);
    }
    all
}

fn line(step: &Step) -> String {
    let (verb, subresource) = match &step.action {
        Action::Create(_) => ("create", ""),
        Action::Update(subresource, _) => ("update", *subresource),
        Action::FillToken { .. } => ("fill-token", ""),
        Action::Patch(subresource, _, _) => ("patch", *subresource),
        Action::Delete(_) => ("delete", ""),
        Action::DeleteCollection(_) => ("delete-all", ""),
        Action::Sign(..) => ("sign", ""),
    };
    let slash = if subresource.is_empty() { "" } else { "/" };
    format!("{verb} {}{slash}{subresource} {}", step.resource.plural, step.key)
}

/// The body of the n-th step.
pub fn body(plan: &Plan, index: usize) -> &Value {
    match &plan.steps().nth(index).unwrap().action {
        Action::Create(body)
        | Action::Update(_, body)
        | Action::Patch(_, _, body)
        | Action::FillToken { secret: body, .. }
        | Action::Sign(body, _) => body,
        other => panic!("no body in {other:?}"),
    }
}

/// CertificateSigningRequests with real requests in them.
pub mod certificates {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
    use serde_json::{Value, json};

    use super::object;

    /// One named `r` that asks for a client certificate.
    pub fn request(common_name: &str, organizations: &[&str], signer: &str) -> Value {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for organization in organizations {
            params.distinguished_name.push(DnType::OrganizationName, *organization);
        }
        params.distinguished_name.push(DnType::CommonName, common_name);
        let made = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
        let request = BASE64_STANDARD.encode(made.pem().unwrap());
        let spec = json!({"request": request, "signerName": signer, "username": "someone",
            "usages": ["client auth", "digital signature"]});
        object("CertificateSigningRequest", "", "r", json!({"spec": spec, "status": {}}))
    }

    /// The same, approved.
    pub fn approved(request: Value) -> Value {
        let conditions = json!([{"type": "Approved", "status": "True"}]);
        with(request, "/status", json!({"conditions": conditions}))
    }

    /// With another value at a pointer.
    pub fn with(mut object: Value, pointer: &str, value: Value) -> Value {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[field] = value;
        object
    }
}

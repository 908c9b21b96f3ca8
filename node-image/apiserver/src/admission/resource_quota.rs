//! ResourceQuota: a request may not take a namespace over its quotas. Usage is counted from the
//! objects that exist, and from those that were admitted a moment ago and are still being written.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use kd_api::pod_resources::{Resources, add, quantities};
use kd_api::quantity::Quantity;
use kd_api::{Object, Status, quota};
use serde_json::Value;

use super::forbidden;
use crate::request::{AdmissionAttributes, AdmissionPlugin, Operation, Reader};

/// How long an admitted request may take until it is stored; one that was refused later on counts
/// for as long.
const RESERVATION_LIFETIME: Duration = Duration::from_secs(5);

pub(super) struct ResourceQuota {
    reader: Arc<dyn Reader>,
    reservations: Mutex<Vec<Reservation>>,
}

/// An object that was admitted and is not stored yet.
struct Reservation {
    group: String,
    resource: String,
    object: Value,
    until: Instant,
}

/// The objects of a namespace, by the resource they are.
struct Counted {
    group: String,
    resource: String,
    objects: Vec<Arc<Value>>,
}

impl ResourceQuota {
    pub(super) fn new(reader: Arc<dyn Reader>) -> Self {
        Self { reader, reservations: Mutex::default() }
    }

    fn quotas(&self, attributes: &AdmissionAttributes<'_>) -> Vec<Arc<Value>> {
        let quotas = self.reader.list("", "resourcequotas", Some(&attributes.info.namespace));
        let info = attributes.info;
        let matching = quotas
            .into_iter()
            .filter(|quota| quota::matches(quota, &info.group, &info.resource, &attributes.object));
        matching.collect()
    }

    /// The objects that share quota with the request's, without that object itself.
    fn counted(
        &self,
        attributes: &AdmissionAttributes<'_>,
        reservations: &mut Vec<Reservation>,
    ) -> Counted {
        let info = attributes.info;
        let (namespace, own) = (info.namespace.as_str(), attributes.object.name());
        let mut objects = self.reader.list(&info.group, &info.resource, Some(namespace));
        let now = Instant::now();
        reservations.retain(|reserved| {
            let object = &reserved.object;
            let place = (&reserved.group, &reserved.resource, object.namespace(), object.name());
            let stored = self.reader.get(place.0, place.1, place.2, place.3).is_some();
            !stored && reserved.until > now
        });
        let admitted = reservations.iter().filter(|reserved| {
            reserved.group == info.group
                && reserved.resource == info.resource
                && reserved.object.namespace() == namespace
        });
        objects.extend(admitted.map(|reserved| Arc::new(reserved.object.clone())));
        objects.retain(|object| object.name() != own);
        Counted { group: info.group.clone(), resource: info.resource.clone(), objects }
    }
}

#[async_trait]
impl AdmissionPlugin for ResourceQuota {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, attributes: &AdmissionAttributes<'_>) -> Result<(), Status> {
        let info = attributes.info;
        let place = (info.resource.as_str(), info.subresource.as_str());
        let counts = matches!(place, ("pods", "resize") | (_, ""));
        // A namespace is in no namespace, though its requests name one.
        if info.namespace.is_empty() || info.resource == "namespaces" || !counts {
            return Ok(());
        }
        let quotas = self.quotas(attributes);
        if quotas.is_empty() {
            return Ok(());
        }
        let requested = requested(attributes);
        // Held until the reservation stands: two requests may not both take the last place.
        let mut reservations = self.reservations.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = self.counted(attributes, &mut reservations);
        for quota in &quotas {
            check_quota(attributes, quota, &requested, &counted)?;
        }
        if attributes.operation == Operation::Create && !attributes.dry_run {
            let mut object = attributes.object.clone();
            object.set_namespace(&info.namespace);
            reservations.push(Reservation {
                group: info.group.clone(),
                resource: info.resource.clone(),
                object,
                until: Instant::now() + RESERVATION_LIFETIME,
            });
        }
        Ok(())
    }
}

/// What the request adds to the usage; an update adds the difference.
fn requested(attributes: &AdmissionAttributes<'_>) -> Resources {
    let info = attributes.info;
    let mut requested = quota::of(&info.group, &info.resource, &attributes.object);
    if let Some(old) = &attributes.old {
        for (name, quantity) in quota::of(&info.group, &info.resource, old) {
            requested.entry(name).or_default().sub(&quantity);
        }
    }
    requested
}

fn check_quota(
    attributes: &AdmissionAttributes<'_>,
    quota: &Value,
    requested: &Resources,
    counted: &Counted,
) -> Result<(), Status> {
    let hard = quantities(quota.at(&["spec", "hard"]));
    if attributes.operation == Operation::Create && attributes.is("", "pods", "") {
        let missing = quota::unspecified(&attributes.object, &hard);
        if !missing.is_empty() {
            let why = format!("failed quota: {}: must specify {missing}", quota.name());
            return Err(forbidden(attributes, why));
        }
    }
    let mut used = Resources::new();
    for object in &counted.objects {
        if quota::matches(quota, &counted.group, &counted.resource, object) {
            add(&mut used, &quota::of(&counted.group, &counted.resource, object));
        }
    }
    if let Some(old) = &attributes.old {
        add(&mut used, &quota::of(&counted.group, &counted.resource, old));
    }
    let exceeded: Vec<&String> = hard
        .iter()
        .filter(|(name, limit)| {
            let Some(more) = requested.get(*name).filter(|more| more.signum() > 0) else {
                return false;
            };
            let mut total = used.get(*name).copied().unwrap_or_default();
            total.add(more);
            total > **limit
        })
        .map(|(name, _)| name)
        .collect();
    if exceeded.is_empty() {
        return Ok(());
    }
    Err(forbidden(
        attributes,
        format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {}",
            quota.name(),
            shown(&exceeded, requested),
            shown(&exceeded, &used),
            shown(&exceeded, &hard)
        ),
    ))
}

/// `pods=1,requests.cpu=2`.
fn shown(names: &[&String], values: &Resources) -> String {
    let zero = Quantity::default();
    let pairs: Vec<String> =
        names.iter().map(|name| format!("{name}={}", values.get(*name).unwrap_or(&zero))).collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeReader, attributes, resource_info, user};
    use serde_json::json;

    fn quota(hard: Value, scopes: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "ns"},
            "spec": {"hard": hard, "scopes": scopes}})
    }

    fn pod(name: &str, requests: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "ns"},
            "spec": {"containers": [{"name": "a", "resources": {"requests": requests}}]}})
    }

    async fn create(plugin: &ResourceQuota, resource: &str, object: Value) -> String {
        let (info, who) = (resource_info("create", resource, "ns", ""), user("x", &[]));
        let attributes = attributes(Operation::Create, &info, &who, object);
        plugin.validate(&attributes).await.map_or_else(|s| s.message, |()| "ok".into())
    }

    #[tokio::test]
    async fn pods() {
        let check = async |hard: Value, requests: Value, expect: &str| {
            let objects = [quota(hard, json!([])), pod("one", json!({"cpu": "1"}))];
            let plugin = ResourceQuota::new(FakeReader::with(objects));
            assert_eq!(create(&plugin, "pods", pod("two", requests)).await, expect);
        };
        check(json!({"pods": "1"}), json!({}), "pods \"two\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1").await;
        check(json!({"pods": "2", "count/pods": "2"}), json!({}), "ok").await;
        check(json!({"requests.cpu": "2"}), json!({"cpu": "1500m"}), "pods \"two\" is forbidden: exceeded quota: q, requested: requests.cpu=1500m, used: requests.cpu=1, limited: requests.cpu=2").await;
        check(json!({"requests.cpu": "2", "limits.memory": "1Gi"}), json!({}), "pods \"two\" is forbidden: failed quota: q: must specify limits.memory for: a; requests.cpu for: a").await;
    }

    #[tokio::test]
    async fn what_is_being_written_counts() {
        let reader = FakeReader::with([quota(json!({"configmaps": "1"}), json!([]))]);
        let plugin = ResourceQuota::new(reader);
        let map = |name: &str| json!({"metadata": {"name": name}});
        assert_eq!(create(&plugin, "configmaps", map("a")).await, "ok");
        assert_eq!(
            create(&plugin, "configmaps", map("b")).await,
            "configmaps \"b\" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: configmaps=1"
        );
        assert_eq!(create(&plugin, "configmaps", map("a")).await, "ok");
        assert_eq!(create(&plugin, "secrets", map("a")).await, "ok");
    }

    #[tokio::test]
    async fn scopes() {
        let reader = FakeReader::with([quota(json!({"pods": "0"}), json!(["BestEffort"]))]);
        let plugin = ResourceQuota::new(reader);
        assert_eq!(create(&plugin, "pods", pod("a", json!({"cpu": "1"}))).await, "ok");
        assert_eq!(
            create(&plugin, "pods", pod("b", json!({}))).await,
            "pods \"b\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0"
        );
    }
}

//! Dynamic resource allocation on a node (KEP 4381): the drivers of a pod's ResourceClaims prepare
//! their devices before the pod starts and take them back after its end.

mod record;
mod service;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceSlice};
use kube::Api;
use kube::api::{DeleteParams, ListParams};

use crate::error::api_message;
use crate::grpc::Message;
use crate::pod::PodExt;
use record::{PreparedClaim, load, save};
use service::{Driver, checked_version};

/// Below the kubelet's root.
const FILE: &str = "dra_manager_state";
/// A driver that is gone for so long offers nothing any more (upstream's figure).
const SLICES_AFTER: Duration = Duration::from_secs(30);

/// The claims that are prepared on a node, and the drivers that do it.
pub struct ResourceClaims {
    path: PathBuf,
    node: String,
    drivers: RwLock<HashMap<String, Driver>>,
    prepared: Mutex<Vec<PreparedClaim>>,
    /// One pod at a time.
    alone: tokio::sync::Mutex<()>,
}

impl ResourceClaims {
    /// Reads what an earlier kubelet has had prepared.
    pub fn open(root: &Path, node: &str) -> ResourceClaims {
        let path = root.join(FILE);
        let prepared = load(&path).unwrap_or_else(|error| {
            tracing::warn!(error, "the claims prepared before are not known");
            Vec::new()
        });
        ResourceClaims {
            path,
            node: node.to_owned(),
            drivers: RwLock::default(),
            prepared: Mutex::new(prepared),
            alone: tokio::sync::Mutex::default(),
        }
    }

    /// Takes a driver on.
    pub fn register(
        &self,
        name: &str,
        endpoint: &Path,
        registrar: &Path,
        versions: &[String],
    ) -> Result<(), String> {
        let service = checked_version(name, versions)?;
        let driver =
            Driver { socket: endpoint.to_owned(), service, registrar: registrar.to_owned() };
        self.drivers.write().unwrap_or_else(PoisonError::into_inner).insert(name.into(), driver);
        Ok(())
    }

    /// A registrar is gone. Unless its driver comes back, its devices are offered no longer.
    pub async fn deregister(&self, client: &kube::Client, name: &str, registrar: &Path) {
        {
            let mut drivers = self.drivers.write().unwrap_or_else(PoisonError::into_inner);
            if drivers.get(name).is_none_or(|driver| driver.registrar != registrar) {
                return;
            }
            drivers.remove(name);
        }
        tokio::time::sleep(SLICES_AFTER).await;
        if self.driver(name).is_ok() {
            return;
        }
        let fields = format!("spec.nodeName={},spec.driver={name}", self.node);
        let slices: Api<ResourceSlice> = Api::all(client.clone());
        let gone = slices
            .delete_collection(&DeleteParams::default(), &ListParams::default().fields(&fields))
            .await;
        if let Err(error) = gone {
            tracing::warn!(driver = name, %error, "the driver's ResourceSlices stay");
        }
    }

    fn driver(&self, name: &str) -> Result<Driver, String> {
        let drivers = self.drivers.read().unwrap_or_else(PoisonError::into_inner);
        drivers.get(name).cloned().ok_or_else(|| format!("DRA driver {name} is not registered"))
    }

    fn prepared(&self) -> MutexGuard<'_, Vec<PreparedClaim>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<PreparedClaim>)) -> Result<(), String> {
        let mut prepared = self.prepared();
        change(&mut prepared);
        save(&self.path, &prepared)
            .map_err(|error| format!("write {}: {error}", self.path.display()))
    }

    /// Has the claims of a pod prepared; those that are already are left as they are.
    pub async fn prepare(&self, client: &kube::Client, pod: &Pod) -> Result<(), String> {
        if pod.spec().resource_claims.as_deref().unwrap_or_default().is_empty() {
            return Ok(());
        }
        let _alone = self.alone.lock().await;
        let api: Api<ResourceClaim> = Api::namespaced(client.clone(), pod.namespace());
        for name in claim_names(pod)? {
            let claim = api.get(&name).await.map_err(|error| {
                format!("fetch ResourceClaim {}/{name}: {}", pod.namespace(), api_message(&error))
            })?;
            checked_claim(pod, &claim)?;
            self.prepare_one(pod.uid(), &claim).await?;
        }
        Ok(())
    }

    async fn prepare_one(&self, pod: &str, claim: &ResourceClaim) -> Result<(), String> {
        let known = PreparedClaim::of(claim);
        let drivers = known.drivers.clone();
        // Written before anything is done: whatever happens, it is taken back.
        self.change(|all| match all.iter_mut().find(|one| one.uid == known.uid) {
            Some(one) => drop(one.pods.insert(pod.to_owned())),
            None => all.push(PreparedClaim { pods: BTreeSet::from([pod.into()]), ..known.clone() }),
        })?;
        if self.prepared().iter().any(|one| one.uid == known.uid && one.complete) {
            return Ok(());
        }
        let mut devices = BTreeMap::new();
        for name in drivers.keys() {
            let made = self.driver(name)?.prepare(&known).await;
            devices.insert(name.clone(), made.map_err(|error| failed(&known, "prepare", &error))?);
        }
        self.change(|all| {
            if let Some(one) = all.iter_mut().find(|one| one.uid == known.uid) {
                (one.drivers, one.complete) = (devices, true);
            }
        })
    }

    /// Takes back what a pod had, unless another pod has it, too.
    pub async fn release(&self, pod: &str) -> Result<(), String> {
        let ours: Vec<PreparedClaim> =
            self.prepared().iter().filter(|one| one.pods.contains(pod)).cloned().collect();
        if ours.is_empty() {
            return Ok(());
        }
        let _alone = self.alone.lock().await;
        for claim in ours {
            if claim.pods.len() == 1 {
                for name in claim.drivers.keys() {
                    let done = self.driver(name)?.unprepare(&claim).await;
                    done.map_err(|error| failed(&claim, "unprepare", &error))?;
                }
            }
            self.change(|all| {
                for one in all.iter_mut().filter(|one| one.uid == claim.uid) {
                    one.pods.remove(pod);
                }
                all.retain(|one| !one.pods.is_empty());
            })?;
        }
        Ok(())
    }

    /// The uids of pods that have claims prepared.
    pub fn users(&self) -> BTreeSet<String> {
        self.prepared().iter().flat_map(|claim| claim.pods.clone()).collect()
    }

    /// The CDI devices of a container.
    pub fn devices_of(&self, pod: &Pod, container: &Container) -> Vec<String> {
        let mut found = Vec::new();
        self.each_of(pod, container, |_, _, device| {
            let new = device.cdi.iter().filter(|id| !found.contains(*id)).cloned();
            let new: Vec<String> = new.collect();
            found.extend(new);
        });
        found
    }

    /// `DynamicResource`s of a container, for the pod resources API.
    pub fn told(&self, pod: &Pod, container: &Container) -> Vec<Message> {
        let mut all = Vec::new();
        self.each_of(pod, container, |claim, driver, device| {
            let ids = device.cdi.iter().map(|id| Message::new().text(1, id));
            let resource = Message::new()
                .messages(1, ids)
                .text(2, driver)
                .text(3, &device.pool)
                .text(4, &device.device);
            let made = Message::new().text(2, &claim.name).text(3, &claim.namespace);
            all.push(made.message(4, &resource));
        });
        all
    }

    fn each_of(
        &self,
        pod: &Pod,
        container: &Container,
        mut take: impl FnMut(&PreparedClaim, &str, &record::PreparedDevice),
    ) {
        let asked = container.resources.as_ref().and_then(|all| all.claims.as_ref());
        let prepared = self.prepared();
        for wanted in asked.into_iter().flatten() {
            let Ok(Some(name)) = claim_name(pod, &wanted.name) else { continue };
            let ours = prepared.iter().filter(|one| {
                one.name == name && one.namespace == pod.namespace() && one.pods.contains(pod.uid())
            });
            for (claim, (driver, devices)) in
                ours.flat_map(|claim| claim.drivers.iter().map(move |driver| (claim, driver)))
            {
                let request = wanted.request.as_deref();
                for device in devices.iter().filter(|device| device.serves(request)) {
                    take(claim, driver, device);
                }
            }
        }
    }
}

fn failed(claim: &PreparedClaim, what: &str, error: &str) -> String {
    format!("{what} ResourceClaim {}/{}: {error}", claim.namespace, claim.name)
}

/// The names of a pod's claims, which the controller makes for those of templates.
fn claim_names(pod: &Pod) -> Result<Vec<String>, String> {
    let claims = pod.spec().resource_claims.as_deref().unwrap_or_default();
    let mut names = Vec::new();
    for claim in claims {
        names.extend(claim_name(pod, &claim.name)?);
    }
    Ok(names)
}

/// None when it turned out that no claim is needed.
fn claim_name(pod: &Pod, name: &str) -> Result<Option<String>, String> {
    let claims = pod.spec().resource_claims.as_deref().unwrap_or_default();
    let claim = claims.iter().find(|claim| claim.name == name);
    let Some(claim) = claim else { return Err(format!("pod has no claim {name}")) };
    if let Some(direct) = &claim.resource_claim_name {
        return Ok(Some(direct.clone()));
    }
    let statuses = PodExt::status(pod).resource_claim_statuses.as_deref().unwrap_or_default();
    match statuses.iter().find(|status| status.name == name) {
        Some(status) => Ok(status.resource_claim_name.clone()),
        None => Err(format!("ResourceClaim not created yet for pod claim {name}")),
    }
}

/// Only a pod that a claim is reserved for may use it.
fn checked_claim(pod: &Pod, claim: &ResourceClaim) -> Result<(), String> {
    let reserved = claim.status.as_ref().and_then(|status| status.reserved_for.as_deref());
    let ours = reserved.unwrap_or_default().iter().any(|consumer| consumer.uid == pod.uid());
    if ours {
        return Ok(());
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Err(format!(
        "pod {}({}) is not allowed to use resource claim {}({})",
        pod.name(),
        pod.uid(),
        text(&claim.metadata.name),
        text(&claim.metadata.uid)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(statuses: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"containers": [{"name": "c", "resources": {"claims": [
                    {"name": "direct", "request": "a"}]}}],
                "resourceClaims": [{"name": "direct", "resourceClaimName": "mine"},
                    {"name": "made", "resourceClaimTemplateName": "t"}]},
            "status": {"resourceClaimStatuses": statuses}}))
        .unwrap()
    }

    #[test]
    fn names_of_claims() {
        let check = |statuses: Value, expect: Result<&[&str], &str>| {
            let found = claim_names(&pod(statuses));
            let expect = expect.map(|names| names.iter().map(|n| (*n).to_owned()).collect());
            assert_eq!(found, expect.map_err(str::to_owned));
        };
        check(json!([]), Err("ResourceClaim not created yet for pod claim made"));
        let made = json!([{"name": "made", "resourceClaimName": "p-made-x"}]);
        check(made, Ok(&["mine", "p-made-x"]));
        check(json!([{"name": "made"}]), Ok(&["mine"]));
    }

    #[test]
    fn only_for_whom_it_is_reserved() {
        let check = |uid: &str, ok: bool| {
            let claim = json!({"metadata": {"name": "mine"}, "spec": {"devices": {}},
                "status": {"reservedFor": [{"resource": "pods", "name": "p", "uid": uid}]}});
            let claim = serde_json::from_value(claim).unwrap();
            assert_eq!(checked_claim(&pod(json!([])), &claim).is_ok(), ok, "{uid}");
        };
        check("u", true);
        check("other", false);
    }

    #[test]
    fn what_containers_get() {
        let folder = tempfile::tempdir().unwrap();
        let claims = ResourceClaims::open(folder.path(), "n");
        let device = |request: &str, id: &str| record::PreparedDevice {
            requests: vec![request.to_owned()],
            cdi: vec![id.to_owned()],
            ..record::PreparedDevice::default()
        };
        let prepared = PreparedClaim {
            namespace: "n".into(),
            name: "mine".into(),
            uid: "claim".into(),
            pods: BTreeSet::from(["u".into()]),
            drivers: BTreeMap::from([(
                "d".into(),
                vec![device("a", "v/c=1"), device("b", "v/c=2")],
            )]),
            complete: true,
        };
        claims.change(|all| all.push(prepared)).unwrap();
        let again = ResourceClaims::open(folder.path(), "n");
        let pod = pod(json!([]));
        let container = &pod.spec().containers[0];
        assert_eq!(again.devices_of(&pod, container), ["v/c=1"]);
        assert_eq!(again.told(&pod, container).len(), 1);
    }
}

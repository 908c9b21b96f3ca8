//! Drivers that come and go: what their nodes are called and where they are is written to the Node
//! and the CSINode.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::storage::v1::{CSINode, CSINodeDriver, CSINodeSpec, VolumeNodeResources};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::node_service::{NodeInfo, NodeService};
use super::{Csi, Driver};
use crate::error::{api_code, api_message};
use crate::events::node_owner;

/// On the Node: what each driver calls it, as JSON.
const NODE_IDS: &str = "csi.volume.kubernetes.io/nodeid";
/// Others write to the CSINode, too; a conflict is tried again this often.
const TRIES_MAX: usize = 5;

impl Csi {
    /// Takes on a driver, with its own socket and that of its registrar, who is told the error.
    pub async fn register(
        &self,
        client: &kube::Client,
        name: &str,
        endpoint: (&Path, &Path),
        versions: &[String],
    ) -> Result<(), String> {
        checked_versions(name, versions)?;
        let _alone = self.registering.lock().await;
        let (endpoint, registrar) = (endpoint.0.to_owned(), endpoint.1.to_owned());
        let service = NodeService::new(endpoint);
        let info = service.info().await.map_err(|status| status.to_string())?;
        let written = self.write(client, name, Some(&info)).await;
        written.map_err(|error| format!("error updating CSI node info: {error}"))?;
        let driver = Driver { service, registrar };
        self.drivers.send_modify(|drivers| drop(drivers.insert(name.to_owned(), driver)));
        Ok(())
    }

    /// A registrar is gone, and its driver with it unless another one has registered it since.
    pub async fn deregister(&self, client: &kube::Client, name: &str, registrar: &Path) {
        let _alone = self.registering.lock().await;
        let known = self.drivers.borrow().get(name).cloned();
        if known.is_some_and(|driver| driver.registrar != registrar) {
            return;
        }
        self.drivers.send_modify(|drivers| drop(drivers.remove(name)));
        if let Err(error) = self.write(client, name, None).await {
            tracing::warn!(driver = name, error, "a driver could not be removed from the CSINode");
        }
    }

    /// Writes again what is known of all drivers: the node's objects are new.
    pub async fn announce(&self, client: &kube::Client) {
        let _alone = self.registering.lock().await;
        let drivers = self.drivers.borrow().clone();
        for (name, driver) in drivers {
            let written = match driver.service.info().await {
                Ok(info) => self.write(client, &name, Some(&info)).await,
                Err(status) => Err(status.to_string()),
            };
            if let Err(error) = written {
                tracing::warn!(driver = name, error, "a driver's node is not written");
            }
        }
    }

    async fn write(
        &self,
        client: &kube::Client,
        name: &str,
        info: Option<&NodeInfo>,
    ) -> Result<(), String> {
        let nodes: Api<Node> = Api::all(client.clone());
        let node = nodes.get(&self.node_name).await.map_err(|error| api_message(&error))?;
        if let Some(patch) = node_patch(&node, name, info)? {
            let patch = Patch::Merge(patch);
            let patched = nodes.patch(&self.node_name, &PatchParams::default(), &patch).await;
            patched.map_err(|error| api_message(&error))?;
        }
        let api: Api<CSINode> = Api::all(client.clone());
        for attempt in 1.. {
            let found = match api.get(&self.node_name).await {
                Err(error) if api_code(&error) == Some(404) => {
                    let made = api.create(&PostParams::default(), &csi_node(&node)).await;
                    made.map_err(|error| api_message(&error))?
                }
                found => found.map_err(|error| api_message(&error))?,
            };
            let Some(wanted) = with_driver(found, name, info) else { return Ok(()) };
            match api.replace(&self.node_name, &PostParams::default(), &wanted).await {
                Err(error) if api_code(&error) == Some(409) && attempt < TRIES_MAX => {}
                result => return result.map(drop).map_err(|error| api_message(&error)),
            }
        }
        Ok(())
    }
}

/// The node's object for storage drivers, without any.
pub fn csi_node(node: &Node) -> CSINode {
    CSINode {
        metadata: ObjectMeta {
            name: node.metadata.name.clone(),
            owner_references: Some(vec![node_owner(node)]),
            ..ObjectMeta::default()
        },
        spec: CSINodeSpec::default(),
    }
}

/// Only the first major version is spoken here.
fn checked_versions(name: &str, versions: &[String]) -> Result<(), String> {
    let is_first = |version: &String| {
        let version = version.trim_start_matches('v');
        version.split('.').next() == Some("1")
    };
    match versions.iter().any(is_first) {
        true => Ok(()),
        false => Err(format!(
            "RegisterPlugin error -- validate versions failed for CSI driver {name}: none of the \
             versions {versions:?} is supported, 1.x is"
        )),
    }
}

/// What changes on the Node when a driver comes (with its information) or goes.
fn node_patch(
    node: &Node,
    name: &str,
    info: Option<&NodeInfo>,
) -> Result<Option<serde_json::Value>, String> {
    let annotations = node.metadata.annotations.as_ref();
    let written = annotations.and_then(|all| all.get(NODE_IDS));
    let known: BTreeMap<String, String> =
        written.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut ids = known.clone();
    match info {
        Some(info) => drop(ids.insert(name.to_owned(), info.id.clone())),
        None => drop(ids.remove(name)),
    }
    let labels = node.metadata.labels.clone().unwrap_or_default();
    let mut added = BTreeMap::new();
    for (key, value) in info.map(|info| &info.topology).into_iter().flatten() {
        match labels.get(key) {
            Some(other) if other != value => {
                return Err(format!(
                    "detected topology value collision: driver reported \"{key}\":\"{value}\" but \
                     existing label is \"{key}\":\"{other}\""
                ));
            }
            Some(_) => {}
            None => drop(added.insert(key.clone(), value.clone())),
        }
    }
    if ids == known && added.is_empty() {
        return Ok(None);
    }
    let text = (!ids.is_empty()).then(|| serde_json::to_string(&ids).unwrap_or_default());
    let metadata = json!({"annotations": {NODE_IDS: text}, "labels": added});
    Ok(Some(json!({ "metadata": metadata })))
}

/// The CSINode with or without a driver; none when that changes nothing.
fn with_driver(mut object: CSINode, name: &str, info: Option<&NodeInfo>) -> Option<CSINode> {
    let drivers = &mut object.spec.drivers;
    let before = drivers.clone();
    drivers.retain(|driver| driver.name != name);
    drivers.extend(info.map(|info| CSINodeDriver {
        name: name.to_owned(),
        node_id: info.id.clone(),
        topology_keys: (!info.topology.is_empty()).then(|| info.topology.keys().cloned().collect()),
        allocatable: info.volumes_max.map(|count| VolumeNodeResources {
            count: Some(i32::try_from(count).unwrap_or(i32::MAX)),
        }),
    }));
    let by_name = |drivers: &[CSINodeDriver]| -> BTreeMap<String, CSINodeDriver> {
        drivers.iter().map(|driver| (driver.name.clone(), driver.clone())).collect()
    };
    (by_name(&before) != by_name(drivers)).then_some(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn info(topology: &[(&str, &str)]) -> NodeInfo {
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        NodeInfo {
            id: "id".into(),
            volumes_max: Some(5),
            topology: topology.iter().map(text).collect(),
        }
    }

    #[test]
    fn what_changes_on_the_node() {
        let check =
            |metadata: Value, info: Option<NodeInfo>, expect: Result<Option<Value>, &str>| {
                let node = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
                let found = node_patch(&node, "d", info.as_ref());
                let expect = expect.map(|all| all.map(|all| json!({ "metadata": all })));
                assert_eq!(found, expect.map_err(str::to_owned));
            };
        check(
            json!({}),
            Some(info(&[("zone", "a")])),
            Ok(Some(json!({"annotations": {NODE_IDS: "{\"d\":\"id\"}"}, "labels": {"zone": "a"}}))),
        );
        let known = json!({"annotations": {NODE_IDS: "{\"d\":\"id\"}"}, "labels": {"zone": "a"}});
        check(known.clone(), Some(info(&[("zone", "a")])), Ok(None));
        check(
            known.clone(),
            Some(info(&[("zone", "b")])),
            Err("detected topology value collision: driver reported \"zone\":\"b\" but existing \
                 label is \"zone\":\"a\""),
        );
        check(known, None, Ok(Some(json!({"annotations": {NODE_IDS: null}, "labels": {}}))));
        let other = json!({"annotations": {NODE_IDS: "{\"e\":\"x\"}"}});
        check(other, None, Ok(None));
    }

    #[test]
    fn drivers_of_the_node() {
        let object = |drivers: Value| -> CSINode {
            let all = json!({"metadata": {"name": "n"}, "spec": {"drivers": drivers}});
            serde_json::from_value(all).unwrap()
        };
        let with = with_driver(object(json!([])), "d", Some(&info(&[("zone", "a")]))).unwrap();
        let expect = json!([{"name": "d", "nodeID": "id", "topologyKeys": ["zone"],
            "allocatable": {"count": 5}}]);
        assert_eq!(serde_json::to_value(&with.spec.drivers).unwrap(), expect);
        assert_eq!(with_driver(with.clone(), "d", Some(&info(&[("zone", "b")]))), None);
        assert!(with_driver(with, "d", None).unwrap().spec.drivers.is_empty());
        assert_eq!(with_driver(object(json!([])), "d", None), None);
    }

    #[test]
    fn versions() {
        let check = |versions: &[&str], ok: bool| {
            let versions: Vec<String> = versions.iter().map(|v| (*v).to_owned()).collect();
            assert_eq!(checked_versions("d", &versions).is_ok(), ok, "{versions:?}");
        };
        check(&["1.0.0"], true);
        check(&["v1.2"], true);
        check(&["0.3.0"], false);
        check(&[], false);
        check(&["10.0.0"], false);
    }
}

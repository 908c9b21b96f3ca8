//! The pods and containers that paths name, and why they cannot be had.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::Kubelet;
use crate::error::Error;
use crate::logs::LogOptions;

/// Why a request cannot be answered: the HTTP status and the text that kubectl shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub code: u16,
    pub message: String,
}

impl Refusal {
    pub(super) fn new(code: u16, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        let code = match &error {
            Error::NotFound(_) | Error::Runtime(kd_runtime::Error::NotFound { .. }) => 404,
            Error::BadRequest(_) => 400,
            _ => 500,
        };
        Refusal::new(code, error.to_string())
    }
}

/// The pod that a path names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PodPath {
    pub namespace: String,
    pub name: String,
    /// When the path has one, another pod of the same name is not meant.
    pub uid: Option<String>,
}

impl PodPath {
    pub(super) fn new(namespace: &str, name: &str, uid: Option<&str>) -> PodPath {
        PodPath { namespace: namespace.into(), name: name.into(), uid: uid.map(str::to_owned) }
    }

    /// The runtime's id of a container that runs.
    pub(super) async fn container(
        &self,
        kubelet: &Arc<Kubelet>,
        container: &str,
    ) -> Result<Option<String>, Refusal> {
        let pod = kubelet.find_pod(&self.namespace, &self.name, self.uid.as_deref())?;
        let found = kubelet.find_running(&pod, container).await;
        Ok(found.ok().map(|found| found.status.id))
    }

    /// The runtime's id of the pod's sandbox.
    pub(super) async fn sandbox(&self, kubelet: &Arc<Kubelet>) -> Result<String, Refusal> {
        let pod = kubelet.find_pod(&self.namespace, &self.name, self.uid.as_deref())?;
        Ok(kubelet.sandbox_of(&pod).await?.id)
    }

    /// A container's log, in pieces.
    pub(super) async fn log(
        &self,
        kubelet: &Arc<Kubelet>,
        container: &str,
        previous: bool,
        options: LogOptions,
    ) -> Result<mpsc::Receiver<io::Result<Bytes>>, Refusal> {
        let pod = kubelet.find_pod(&self.namespace, &self.name, self.uid.as_deref())?;
        Ok(kubelet.container_log(&pod, container, previous, options).await?)
    }
}

/// The node's pods as a `v1` PodList.
pub(super) fn pod_list(kubelet: &Kubelet) -> Vec<u8> {
    let pods: Vec<Value> = kubelet
        .pods()
        .iter()
        .filter_map(|entry| {
            let mut pod = serde_json::to_value(&*entry.pod()).ok()?;
            pod["status"] = serde_json::to_value(&*entry.status()).ok()?;
            Some(pod)
        })
        .collect();
    let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods});
    list.to_string().into_bytes()
}

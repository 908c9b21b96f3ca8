//! What the server asks of the kubelet that it belongs to.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use kd_runtime::Runtime;
use tokio::sync::mpsc;

/// Why a request about a pod cannot be answered: the HTTP status and the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status code.
    pub code: u16,
    /// For people; kubectl shows it.
    pub message: String,
}

impl Refusal {
    /// A refusal with its text.
    pub fn new(code: u16, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }
}

/// The pod that a path names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodPath {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid, when the path has one: another pod of the same name is then not meant.
    pub uid: Option<String>,
}

/// What part of a log is wanted (`pods/log` options,
/// <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#get-read-log-of-the-specified-pod>).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogOptions {
    /// Go on with what is written later.
    pub follow: bool,
    /// The container before the last restart.
    pub previous: bool,
    /// Begin with the line's time.
    pub timestamps: bool,
    /// Only lines not older than this.
    pub since: Option<jiff::Timestamp>,
    /// Only the last lines.
    pub tail_lines: Option<u64>,
    /// No more bytes than this.
    pub limit_bytes: Option<u64>,
    /// Only `Stdout` or `Stderr`; both when absent.
    pub stream: Option<String>,
}

/// The kubelet, as its server sees it.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The runtime.
    fn runtime(&self) -> Arc<dyn Runtime>;
    /// The runtime's id of a pod's running container.
    async fn container(&self, pod: &PodPath, container: &str) -> Result<String, Refusal>;
    /// The runtime's id of a pod's sandbox.
    async fn sandbox(&self, pod: &PodPath) -> Result<String, Refusal>;
    /// The log of a container. The receiver ends when the log does, or the client is gone.
    async fn logs(
        &self,
        pod: &PodPath,
        container: &str,
        options: LogOptions,
    ) -> Result<mpsc::Receiver<std::io::Result<Bytes>>, Refusal>;
    /// The pods of this node, as a `v1` PodList in JSON.
    fn pods(&self) -> Vec<u8>;
}

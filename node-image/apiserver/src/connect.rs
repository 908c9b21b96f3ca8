//! Requests that go on to a node, a pod or a service: exec, attach, port-forward, logs and proxies.
//! Who reaches them is handed in.

use std::sync::Arc;

use async_trait::async_trait;
use http::Request;
use kd_api::Status;
use serde_json::Value;

use crate::answer::{Answer, RequestBody};
use crate::request::{RequestInfo, UserInfo};

/// A request to be passed on; authorized and admitted.
pub struct ConnectRequest {
    /// What is asked: resource, subresource, name (`https:name:port` for proxies) and rest.
    pub info: RequestInfo,
    /// By whom.
    pub user: UserInfo,
    /// The object that the name means.
    pub object: Arc<Value>,
    /// The request as it came, with hyper's `OnUpgrade` in its extensions if the client may upgrade.
    pub request: Request<RequestBody>,
}

/// Passes requests on.
#[async_trait]
pub trait Connect: Send + Sync {
    /// Answers in the place of the kubelet, pod or service.
    async fn connect(&self, request: ConnectRequest) -> Result<Answer, Status>;
}

/// The object's name in a proxy's `[scheme:]name[:port]`.
pub(crate) fn object_name(name: &str) -> &str {
    let parts: Vec<&str> = name.split(':').collect();
    match parts.as_slice() {
        [_, name, _] => name,
        [name, _] => name,
        _ => name,
    }
}

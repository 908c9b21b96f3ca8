//! Requests on any resource, over `kube::Client` (an in-process service of the API server, or TLS).

use http::{Method, Request};
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Keep, Object, Resource, Result};

/// Speaks to the API server as one user.
#[derive(Clone)]
pub struct Client {
    inner: kube::Client,
}

/// How a patch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own, with merge keys.
    Strategic,
}

impl PatchKind {
    fn content_type(self) -> &'static str {
        match self {
            PatchKind::Json => "application/json-patch+json",
            PatchKind::Merge => "application/merge-patch+json",
            PatchKind::Strategic => "application/strategic-merge-patch+json",
        }
    }
}

/// How to delete.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteOptions {
    /// 0 for at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_period_seconds: Option<i64>,
    /// `Background`, `Foreground` or `Orphan`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagation_policy: Option<&'static str>,
    /// Refuse unless these hold.
    #[serde(skip_serializing_if = "Preconditions::is_empty")]
    pub preconditions: Preconditions,
}

/// What a delete insists on.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preconditions {
    /// The object's uid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The object's resourceVersion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

impl Preconditions {
    fn is_empty(&self) -> bool {
        self.uid.is_none() && self.resource_version.is_none()
    }
}

impl DeleteOptions {
    /// Refuse unless the object still has this uid.
    pub fn of(uid: &str) -> DeleteOptions {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        DeleteOptions { preconditions, ..DeleteOptions::default() }
    }
}

/// One page of a list.
pub(crate) struct Page {
    pub objects: Vec<Object>,
    pub revision: String,
    pub proceed: Option<String>,
}

#[derive(Deserialize)]
struct ListBody<'a> {
    #[serde(default)]
    metadata: ListMetadata,
    #[serde(borrow, default)]
    items: Option<Vec<&'a serde_json::value::RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMetadata {
    resource_version: String,
    #[serde(rename = "continue")]
    proceed: Option<String>,
}

const JSON: &str = "application/json";
const METADATA: &str =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
const METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

impl From<kube::Client> for Client {
    fn from(inner: kube::Client) -> Client {
        Client { inner }
    }
}

impl Client {
    /// The `kube` client underneath, for typed use.
    pub fn kube(&self) -> &kube::Client {
        &self.inner
    }

    /// One object.
    pub async fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Object> {
        let path = resource.path(namespace, name, "");
        self.object(resource, Method::GET, &path, JSON, Vec::new()).await
    }

    /// Creates an object and returns it as stored.
    pub async fn create(
        &self,
        resource: &Resource,
        namespace: &str,
        object: &impl Serialize,
    ) -> Result<Object> {
        let path = resource.path(namespace, "", "");
        let body = encode(&path, object)?;
        self.object(resource, Method::POST, &path, JSON, body).await
    }

    /// Replaces an object, or a subresource of it ("" for the object itself).
    pub async fn update(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        subresource: &str,
        object: &impl Serialize,
    ) -> Result<Object> {
        let path = resource.path(namespace, name, subresource);
        let body = encode(&path, object)?;
        self.object(resource, Method::PUT, &path, JSON, body).await
    }

    /// Patches an object, or a subresource of it ("" for the object itself).
    pub async fn patch(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        subresource: &str,
        kind: PatchKind,
        patch: &Value,
    ) -> Result<Object> {
        let path = resource.path(namespace, name, subresource);
        let body = encode(&path, patch)?;
        self.object(resource, Method::PATCH, &path, kind.content_type(), body).await
    }

    /// Creates a subresource (`binding`, `eviction`, `token`) and returns the raw answer.
    pub async fn post(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        subresource: &str,
        body: &impl Serialize,
    ) -> Result<Vec<u8>> {
        let path = resource.path(namespace, name, subresource);
        let body = encode(&path, body)?;
        self.bytes(Method::POST, &path, JSON, JSON, body).await
    }

    /// Deletes an object.
    pub async fn delete(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<()> {
        let path = resource.path(namespace, name, "");
        let body = encode(&path, options)?;
        self.bytes(Method::DELETE, &path, JSON, JSON, body).await.map(drop)
    }

    /// Deletes all objects of a namespace.
    pub async fn delete_collection(
        &self,
        resource: &Resource,
        namespace: &str,
        options: &DeleteOptions,
    ) -> Result<()> {
        let path = resource.path(namespace, "", "");
        let body = encode(&path, options)?;
        self.bytes(Method::DELETE, &path, JSON, JSON, body).await.map(drop)
    }

    /// Whether a collection has no object.
    pub async fn is_empty(&self, resource: &Resource, namespace: &str) -> Result<bool> {
        let query = "limit=1";
        let page = self.page(resource, namespace, query, Keep::Metadata).await?;
        Ok(page.objects.is_empty())
    }

    /// Reads any path as JSON.
    pub async fn read<T: DeserializeOwned>(&self, path: &str, accept: &str) -> Result<T> {
        let bytes = self.bytes(Method::GET, path, accept, JSON, Vec::new()).await?;
        serde_json::from_slice(&bytes).map_err(|source| decode_error(path, source))
    }

    pub(crate) async fn page(
        &self,
        resource: &Resource,
        namespace: &str,
        query: &str,
        keep: Keep,
    ) -> Result<Page> {
        let path = format!("{}?{query}", resource.path(namespace, "", ""));
        let accept = if matches!(keep, Keep::Metadata) { METADATA_LIST } else { JSON };
        let bytes = self.bytes(Method::GET, &path, accept, JSON, Vec::new()).await?;
        let failed = |source| decode_error(&path, source);
        let body: ListBody<'_> = serde_json::from_slice(&bytes).map_err(failed)?;
        let now = Timestamp::now();
        let objects = body
            .items
            .unwrap_or_default()
            .into_iter()
            .map(|raw| Object::parse(resource, raw.get().as_bytes(), keep, now).map_err(failed))
            .collect::<Result<Vec<Object>>>()?;
        let proceed = body.metadata.proceed.filter(|token| !token.is_empty());
        Ok(Page { objects, revision: body.metadata.resource_version, proceed })
    }

    /// The open answer of a watch request.
    pub(crate) async fn open_watch(
        &self,
        resource: &Resource,
        namespace: &str,
        query: &str,
        keep: Keep,
    ) -> Result<http::Response<kube::client::Body>> {
        let path = format!("{}?{query}", resource.path(namespace, "", ""));
        let accept = if matches!(keep, Keep::Metadata) { METADATA } else { JSON };
        self.send(Method::GET, &path, accept, JSON, Vec::new()).await
    }

    async fn object(
        &self,
        resource: &Resource,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Object> {
        let bytes = self.bytes(method, path, JSON, content_type, body).await?;
        Object::parse(resource, &bytes, Keep::Full, Timestamp::now())
            .map_err(|source| decode_error(path, source))
    }

    async fn bytes(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Vec<u8>> {
        let response = self.send(method, path, accept, content_type, body).await?;
        let collected = response.into_body().collect().await;
        Ok(collected.map_err(|source| transport(path, source))?.to_bytes().to_vec())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<http::Response<kube::client::Body>> {
        let operation = || format!("{method} {path}");
        let mut request = Request::builder().method(&method).uri(path);
        request = request.header(http::header::ACCEPT, accept);
        if !body.is_empty() {
            request = request.header(http::header::CONTENT_TYPE, content_type);
        }
        let request = request
            .body(kube::client::Body::from(body))
            .map_err(|source| Error::Transport { operation: operation(), source: source.into() })?;
        let sent = self.inner.send(request).await;
        let response = sent
            .map_err(|source| Error::Transport { operation: operation(), source: source.into() })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let code = response.status().as_u16();
        let collected = response.into_body().collect().await;
        let bytes = collected.map_err(|source| transport(path, source))?.to_bytes();
        Err(Error::Api { operation: operation(), status: Box::new(status_of(&bytes, code)) })
    }
}

/// The Status in a failed answer, or one made from a body that is none (a proxy's page).
pub(crate) fn status_of(bytes: &[u8], code: u16) -> kube::core::Status {
    let parsed = serde_json::from_slice::<kube::core::Status>(bytes);
    let mut status = parsed.unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(bytes);
        let message = text.chars().take(1024).collect::<String>();
        kube::core::Status::failure(&message, "Unknown")
    });
    if status.code == 0 {
        status.code = code;
    }
    status
}

fn encode(path: &str, object: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(object).map_err(|source| decode_error(path, source))
}

fn decode_error(path: &str, source: serde_json::Error) -> Error {
    Error::Decode { operation: path.to_owned(), source }
}

fn transport(path: &str, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Transport { operation: path.to_owned(), source: source.into() }
}

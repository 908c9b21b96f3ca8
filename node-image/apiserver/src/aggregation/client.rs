//! Connections to a server elsewhere: kept ones for requests, one of its own for each upgrade.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use rustls::pki_types::ServerName;

use crate::answer::{RequestBody, full};
use crate::request::Reader;
use crate::webhook::{Connector, Target, cause, client_config, keeping_client};

/// A document of another server may not be longer.
const DOCUMENT_BYTES_MAX: usize = 32 << 20;
/// How long a document may take.
const DOCUMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// Reaches one server.
pub(crate) struct RemoteClient {
    /// `https://name.namespace.svc:443`
    origin: String,
    kept: Client<Connector, RequestBody>,
    /// Without HTTP/2, which knows no upgrades.
    upgrades: Connector,
}

impl RemoteClient {
    /// The error says what is wrong with the certificates.
    pub(super) fn new(target: Target, reader: Arc<dyn Reader>) -> Result<RemoteClient, String> {
        let tls = client_config(&target.authorities, target.insecure, target.identity.as_ref())?;
        let server_name = ServerName::try_from(target.server_name).map_err(|e| e.to_string())?;
        let upgrades =
            Connector { place: target.place, server_name, tls: Arc::new(tls.clone()), reader };
        let mut tls = tls;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let kept = keeping_client(Connector { tls: Arc::new(tls), ..upgrades.clone() });
        Ok(RemoteClient { origin: target.origin, kept, upgrades })
    }

    /// The URL of a path and query there.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Sends a request whose URI is absolute. The error is a sentence.
    pub(super) async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, String> {
        self.kept.request(request).await.map_err(|error| cause(&error))
    }

    /// A connection for an upgrade.
    pub(super) fn connector(&self) -> &Connector {
        &self.upgrades
    }

    /// A document and its code.
    pub(super) async fn get(&self, path: &str, headers: HeaderMap) -> Result<(u16, Bytes), String> {
        let url = self.url(path);
        let mut request = Request::get(&url).body(full(Bytes::new())).map_err(|e| e.to_string())?;
        *request.headers_mut() = headers;
        let fetched = async {
            let answer = self.send(request).await?;
            let code = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), DOCUMENT_BYTES_MAX).collect().await;
            Ok((code, body.map_err(|error| error.to_string())?.to_bytes()))
        };
        let fetched = tokio::time::timeout(DOCUMENT_TIMEOUT, fetched).await;
        fetched
            .unwrap_or_else(|_| Err("context deadline exceeded".into()))
            .map_err(|why: String| format!("Get {url:?}: {why}"))
    }
}

//! Requests to one endpoint: its credentials are tried in order, and tokens that end are renewed.

use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::super::manifest::DOCUMENT_BYTES_MAX;
use super::challenge::Challenge;
use super::endpoint::Endpoint;
use crate::RegistryAuth;

/// How much of a refusal is read.
const REFUSAL_BYTES_MAX: usize = 16 << 10;

/// Why an endpoint did not answer with content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Refusal {
    /// It has no such thing.
    NotFound,
    /// It wants other credentials.
    Unauthorized(String),
    /// Anything else, which may pass.
    Unavailable(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::NotFound => f.write_str("not found"),
            Refusal::Unauthorized(why) => write!(
                f,
                "pull access denied, repository does not exist or may require authorization: {why}"
            ),
            Refusal::Unavailable(why) => f.write_str(why),
        }
    }
}

/// One endpoint, with what is known of its credentials.
pub(super) struct Session {
    pub endpoint: Endpoint,
    client: Client,
    /// At least one, which may be nobody's.
    candidates: Vec<RegistryAuth>,
    granted: Mutex<Granted>,
}

#[derive(Clone, Default)]
struct Granted {
    /// The header of requests.
    authorization: Option<String>,
    /// Whether it was good once: then a refusal means that it ended.
    worked: bool,
    /// Which candidate comes next.
    next: usize,
}

impl Session {
    /// A session with the credentials that came with the pull.
    pub(super) fn new(endpoint: Endpoint, given: &[RegistryAuth]) -> Result<Session, String> {
        let client = endpoint.client()?;
        let own = endpoint.auth.iter().cloned();
        let mut candidates: Vec<RegistryAuth> = match endpoint.mirror_of {
            // A mirror with an account of its own has no use for somebody else's.
            Some(_) if endpoint.auth.is_some() => own.collect(),
            _ => given.iter().cloned().chain(own).collect(),
        };
        if candidates.is_empty() {
            candidates.push(RegistryAuth::default());
        }
        Ok(Session { endpoint, client, candidates, granted: Mutex::default() })
    }

    /// Asks for a path below the repository (`manifests/latest`), from an offset on.
    pub(super) async fn get(
        &self,
        path: &str,
        accept: &str,
        offset: u64,
    ) -> Result<Response, Refusal> {
        // Every candidate once, a token that ended, and the first request without anything.
        for _ in 0..self.candidates.len() + 2 {
            let used = self.granted.lock().await.authorization.clone();
            let answer = self.send(path, accept, offset, used.as_deref()).await?;
            if answer.status() == StatusCode::UNAUTHORIZED {
                self.authorize(answer, used).await?;
                continue;
            }
            if !answer.status().is_success() {
                return Err(refusal_of(answer).await);
            }
            let mut granted = self.granted.lock().await;
            granted.worked |= granted.authorization == used;
            return Ok(answer);
        }
        Err(unauthorized("401 Unauthorized"))
    }

    async fn send(
        &self,
        path: &str,
        accept: &str,
        offset: u64,
        authorization: Option<&str>,
    ) -> Result<Response, Refusal> {
        let Endpoint { url, repository, mirror_of, headers, .. } = &self.endpoint;
        let mut address = format!("{url}/{repository}/{path}");
        if let Some(registry) = mirror_of {
            address = format!("{address}?ns={registry}");
        }
        let mut request = self.client.get(address).header("accept", accept);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        if offset > 0 {
            request = request.header("range", format!("bytes={offset}-"));
        }
        request
            .send()
            .await
            .map_err(|error| Refusal::Unavailable(super::super::chain(&error.without_url())))
    }

    /// Gets the next authorization, unless another request has got one meanwhile.
    async fn authorize(&self, refused: Response, used: Option<String>) -> Result<(), Refusal> {
        let headers = refused.headers().get_all("www-authenticate");
        let headers: Vec<&str> = headers.iter().filter_map(|value| value.to_str().ok()).collect();
        let challenge = Challenge::of(&headers, &self.endpoint.repository);
        let mut granted = self.granted.lock().await;
        if granted.authorization != used {
            return Ok(());
        }
        let Some(challenge) = challenge else { return Err(refusal_of(refused).await) };
        if granted.worked {
            // A token lives for minutes; a pull may take longer.
            granted.next -= 1;
            granted.worked = false;
        }
        let mut last = unauthorized("authorization failed: 401 Unauthorized");
        while let Some(candidate) = self.candidates.get(granted.next) {
            granted.next += 1;
            match challenge.meet(&self.client, candidate).await {
                Ok(authorization) => {
                    granted.authorization = Some(authorization);
                    return Ok(());
                }
                Err(refusal @ Refusal::Unavailable(_)) => return Err(refusal),
                Err(refusal) => last = refusal,
            }
        }
        Err(last)
    }
}

fn unauthorized(why: &str) -> Refusal {
    Refusal::Unauthorized(why.to_owned())
}

/// A whole document.
pub(super) async fn body(answer: &mut Response) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|e| super::super::chain(&e))? {
        if (bytes.len() + piece.len()) as u64 > DOCUMENT_BYTES_MAX {
            return Err(format!("it sends a document of more than {DOCUMENT_BYTES_MAX} bytes"));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// What an answer that is no success means.
pub(super) async fn refusal_of(mut answer: Response) -> Refusal {
    let status = answer.status();
    let mut bytes = Vec::new();
    while bytes.len() < REFUSAL_BYTES_MAX {
        // Without a body the status says enough.
        let Ok(Some(piece)) = answer.chunk().await else { break };
        bytes.extend_from_slice(&piece);
    }
    let parsed: Option<ErrorBody> = serde_json::from_slice(&bytes).ok();
    let entry = parsed.and_then(|body| body.errors.into_iter().next());
    let denied = entry.as_ref().is_some_and(|e| matches!(&*e.code, "UNAUTHORIZED" | "DENIED"));
    let detail = match entry {
        Some(entry) => format!("{status}: {} {}", entry.code.to_lowercase(), entry.message),
        None => status.to_string(),
    };
    match status {
        StatusCode::NOT_FOUND => Refusal::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Refusal::Unauthorized(format!("authorization failed: {detail}"))
        }
        _ if denied => Refusal::Unauthorized(format!("authorization failed: {detail}")),
        _ => Refusal::Unavailable(format!("unexpected status: {detail}")),
    }
}

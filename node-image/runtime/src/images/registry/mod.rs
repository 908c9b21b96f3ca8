//! A repository of a registry: its endpoints are tried in order, for each document and each layer.

mod challenge;
mod download;
mod endpoint;
mod session;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};

use oci_spec::distribution::Reference;
use reqwest::Response;

use super::layer::{digest_of, is_digest};
use super::manifest::MEDIA_TYPES;
use crate::{Error, ImageError, RegistryAuth, Result};
pub(super) use download::Download;
pub use endpoint::{Endpoint, EndpointTls, Registries};
use session::{Refusal, Session, body};

/// A repository that is pulled from.
pub(super) struct Repository {
    image: Reference,
    sessions: Vec<Session>,
    /// Which endpoint answered last: it most likely has the rest too.
    preferred: AtomicUsize,
}

impl Repository {
    /// The repository of an image.
    pub(super) fn open(
        registries: &dyn Registries,
        image: &Reference,
        auth: &[RegistryAuth],
    ) -> Result<Repository> {
        let unusable = |reason| ImageError::Unavailable {
            reference: image.whole(),
            reason: format!("the configuration of {} is unusable: {reason}", image.registry()),
        };
        let endpoints =
            registries.endpoints(image.registry(), image.repository()).map_err(unusable)?;
        if endpoints.is_empty() {
            return Err(unusable("it names no endpoint".to_owned()).into());
        }
        let mut auth = auth.to_vec();
        auth.extend(registries.credentials(image.registry(), image.repository()));
        let session = |endpoint: Endpoint| {
            let url = endpoint.url.clone();
            Session::new(endpoint, &auth).map_err(|reason| unusable(format!("{url}: {reason}")))
        };
        let sessions: std::result::Result<Vec<_>, _> = endpoints.into_iter().map(session).collect();
        Ok(Repository { image: image.clone(), sessions: sessions?, preferred: AtomicUsize::new(0) })
    }

    /// A manifest or index by tag or digest, and its digest. What has a digest is verified.
    pub(super) async fn manifest(&self, name: &str) -> Result<(Vec<u8>, String)> {
        let accept = MEDIA_TYPES.join(", ");
        let path = format!("manifests/{name}");
        let mut refusals = Vec::new();
        for (index, session) in self.sessions.iter().enumerate() {
            if session.endpoint.content_only && !is_digest(name) {
                continue;
            }
            match manifest_of(session, &path, &accept, name).await {
                Ok(found) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(found);
                }
                Err(refusal) => refusals.push((session.endpoint.url.clone(), refusal)),
            }
        }
        Err(self.failure("failed to resolve reference", &refusals))
    }

    /// Begins to read a blob. An endpoint may begin at its start instead of the offset.
    async fn blob(
        &self,
        digest: &str,
        offset: u64,
    ) -> std::result::Result<Response, Vec<(String, Refusal)>> {
        let path = format!("blobs/{digest}");
        let preferred = self.preferred.load(Ordering::Relaxed);
        let order = (0..self.sessions.len()).map(|i| (preferred + i) % self.sessions.len());
        let mut refusals = Vec::new();
        for index in order {
            let session = &self.sessions[index];
            match session.get(&path, "application/octet-stream, */*", offset).await {
                Ok(answer) => return Ok(answer),
                Err(refusal) => refusals.push((session.endpoint.url.clone(), refusal)),
            }
        }
        Err(refusals)
    }

    /// The error of a pull, of all endpoints' refusals, in containerd's words where people search
    /// for them.
    fn failure(&self, what: &str, refusals: &[(String, Refusal)]) -> Error {
        let reference = self.image.whole();
        let told = match refusals {
            [] => "no endpoint may be asked what a tag means".to_owned(),
            [(_, Refusal::NotFound)] => format!("{reference}: not found"),
            [(url, refusal @ Refusal::Unavailable(_))] => format!("{url}: {refusal}"),
            [(_, refusal)] => refusal.to_string(),
            many => {
                let each: Vec<String> =
                    many.iter().map(|(url, refusal)| format!("{url}: {refusal}")).collect();
                each.join("; ")
            }
        };
        let reason = format!("{what} {reference:?}: {told}");
        let any = |wanted: fn(&Refusal) -> bool| refusals.iter().any(|(_, r)| wanted(r));
        let error = if any(|refusal| matches!(refusal, Refusal::Unauthorized(_))) {
            ImageError::Unauthorized { reference, reason }
        } else if any(|refusal| matches!(refusal, Refusal::Unavailable(_))) || refusals.is_empty() {
            ImageError::Unavailable { reference, reason }
        } else {
            ImageError::NotFound { reference, reason }
        };
        error.into()
    }
}

async fn manifest_of(
    session: &Session,
    path: &str,
    accept: &str,
    name: &str,
) -> std::result::Result<(Vec<u8>, String), Refusal> {
    let mut answer = session.get(path, accept, 0).await?;
    let bytes = body(&mut answer).await.map_err(Refusal::Unavailable)?;
    let digest = digest_of(&bytes);
    if name.contains(':') && name != digest {
        let what = format!("the manifest that it sends for {name} is {digest}");
        return Err(Refusal::Unavailable(what));
    }
    Ok((bytes, digest))
}

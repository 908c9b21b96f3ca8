//! Pulling from registries, over `oci-client`.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{ImageIndexEntry, OciDescriptor, OciImageManifest};
use oci_client::secrets::RegistryAuth as Credentials;
use oci_client::{Client, Reference};
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::layer::LayerStore;
use super::record::Record;
use super::{ImageConfig, archive, chain, joined, reference};
use crate::{ImageError, RegistryAuth, Result};

/// What the OCI calls this machine.
pub(super) const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
/// Layers downloaded and unpacked at once.
const LAYERS_AT_ONCE: usize = 3;
/// A configuration may not be larger.
const CONFIG_BYTES_MAX: usize = 8 << 20;
/// A registry that sends nothing for this long is taken for gone.
const READ_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);
const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(15);

/// Pulls an image's layers into the store and returns what it is; naming it is the caller's. The
/// credentials are tried in order; the last refusal is the error.
pub(super) async fn pull(
    config: &ImageConfig,
    layers: &Arc<LayerStore>,
    name: &str,
    auth: &[RegistryAuth],
) -> Result<Record> {
    let image = reference::parse(name)?;
    let anonymous = RegistryAuth::default();
    let (last, others) = auth.split_last().unwrap_or((&anonymous, &[]));
    for credentials in others {
        match Pull::new(config, layers, &image, credentials)?.run().await {
            Err(crate::Error::Image(ImageError::Unauthorized { .. })) => {}
            done => return done,
        }
    }
    Pull::new(config, layers, &image, last)?.run().await
}

struct Pull<'a> {
    client: Client,
    credentials: Credentials,
    image: &'a Reference,
    layers: &'a Arc<LayerStore>,
}

impl<'a> Pull<'a> {
    fn new(
        config: &ImageConfig,
        layers: &'a Arc<LayerStore>,
        image: &'a Reference,
        auth: &RegistryAuth,
    ) -> Result<Pull<'a>> {
        let client = Client::try_from(client_config(config, image))
            .map_err(|error| failure(image, &error))?;
        Ok(Pull { client, credentials: credentials(auth), image, layers })
    }

    async fn run(&self) -> Result<Record> {
        let failed = |error| failure(self.image, &error);
        let (manifest, digest, index) = self
            .client
            .pull_image_manifest_and_list_digest(self.image, &self.credentials)
            .await
            .map_err(failed)?;
        let config = self.config(&manifest).await?;
        let diff_ids = archive::diff_ids(&config)?;
        if diff_ids.len() != manifest.layers.len() {
            return Err(self.content("its manifest and its configuration name different layers"));
        }
        let wanted: Vec<_> = manifest.layers.iter().cloned().zip(diff_ids.clone()).collect();
        stream::iter(wanted)
            .map(|(layer, diff_id)| self.layer(layer, diff_id))
            .buffer_unordered(LAYERS_AT_ONCE)
            .try_collect::<()>()
            .await?;
        let sizes: Result<Vec<u64>> = diff_ids.iter().map(|id| self.layers.size(id)).collect();
        let repository = reference::repository(self.image);
        Ok(Record {
            id: manifest.config.digest.clone(),
            tags: self.image.tag().map(|tag| format!("{repository}:{tag}")).into_iter().collect(),
            digests: vec![format!("{repository}@{}", index.unwrap_or(digest))],
            size: sizes?.iter().sum(),
            config: String::from_utf8_lossy(&config).into_owned(),
            layers: diff_ids,
        })
    }

    async fn config(&self, manifest: &OciImageManifest) -> Result<Vec<u8>> {
        if manifest.config.size > CONFIG_BYTES_MAX as i64 {
            return Err(self.content("its configuration is too large"));
        }
        let mut bytes = Vec::new();
        let pulled = self.client.pull_blob(self.image, &manifest.config, &mut bytes).await;
        pulled.map_err(|error| failure(self.image, &error))?;
        Ok(bytes)
    }

    /// Downloads and unpacks at once: no layer is held in memory or written packed.
    async fn layer(&self, layer: OciDescriptor, diff_id: String) -> Result<()> {
        if self.layers.has(&diff_id) {
            return Ok(());
        }
        let blob = self.client.pull_blob_stream(self.image, &layer).await;
        let blob = blob.map_err(|error| failure(self.image, &error))?;
        let reader = SyncIoBridge::new(StreamReader::new(blob.stream));
        let (layers, name) = (self.layers.clone(), self.image.whole());
        let unpacked =
            tokio::task::spawn_blocking(move || layers.unpack(&name, reader, Some(&diff_id)));
        let unpacked = joined(unpacked.await)?;
        if unpacked.digest != layer.digest {
            return Err(self.content(format!("a layer's content is {}", unpacked.digest)));
        }
        Ok(())
    }

    fn content(&self, reason: impl Into<String>) -> crate::Error {
        ImageError::Content { reference: self.image.whole(), reason: reason.into() }.into()
    }
}

fn client_config(config: &ImageConfig, image: &Reference) -> ClientConfig {
    let mut roots: Vec<Certificate> = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .map(|der| Certificate { encoding: CertificateEncoding::Der, data: der.to_vec() })
        .collect();
    roots.extend(config.registry_authorities.iter().map(|pem| Certificate {
        encoding: CertificateEncoding::Pem,
        data: pem.clone().into_bytes(),
    }));
    let mut plain = config.insecure_registries.clone();
    if is_loopback(image.resolve_registry()) {
        plain.push(image.resolve_registry().to_owned());
    }
    ClientConfig {
        protocol: ClientProtocol::HttpsExcept(plain),
        tls_certs_only: roots,
        platform_resolver: Some(Box::new(resolve_platform)),
        read_timeout: Some(READ_TIMEOUT),
        connect_timeout: Some(CONNECT_TIMEOUT),
        user_agent: concat!("kd/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    }
}

fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|a| a.is_loopback())
}

fn resolve_platform(manifests: &[ImageIndexEntry]) -> Option<String> {
    let ours = manifests.iter().find(|entry| {
        entry.platform.as_ref().is_some_and(|platform| {
            platform.os.to_string() == "linux" && platform.architecture.to_string() == ARCHITECTURE
        })
    });
    ours.map(|entry| entry.digest.clone())
}

fn credentials(auth: &RegistryAuth) -> Credentials {
    if !auth.identity_token.is_empty() {
        return Credentials::Bearer(auth.identity_token.clone());
    }
    match auth.username.is_empty() && auth.password.is_empty() {
        true => Credentials::Anonymous,
        false => Credentials::Basic(auth.username.clone(), auth.password.clone()),
    }
}

/// Tells the registry's answers apart, in containerd's words where people search for them.
fn failure(image: &Reference, error: &OciDistributionError) -> crate::Error {
    use OciDistributionError as E;
    let reference = image.whole();
    let resolve = |what: &str| format!("failed to resolve reference {reference:?}: {what}");
    let not_found = || resolve(&format!("{reference}: not found"));
    let unauthorized = |detail: &str| {
        resolve(&format!(
            "pull access denied, repository does not exist or may require authorization: {detail}"
        ))
    };
    let failure = match error {
        E::ImageManifestNotFoundError(_) => ImageError::NotFound { reason: not_found(), reference },
        E::ServerError { code: 404, .. } => ImageError::NotFound { reason: not_found(), reference },
        E::UnauthorizedError { .. } | E::AuthenticationFailure(_) => ImageError::Unauthorized {
            reason: unauthorized("authorization failed: 401 Unauthorized"),
            reference,
        },
        E::ServerError { code: 401 | 403, .. } => {
            ImageError::Unauthorized { reason: unauthorized("authorization failed"), reference }
        }
        E::RegistryError { envelope, .. } => match envelope.errors.first().map(|e| &e.code) {
            Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => {
                ImageError::Unauthorized { reason: unauthorized(&envelope.to_string()), reference }
            }
            Some(
                OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound,
            ) => ImageError::NotFound { reason: not_found(), reference },
            _ => ImageError::Unavailable { reason: resolve(&envelope.to_string()), reference },
        },
        E::ImageIndexParsingNoPlatformResolverError => {
            let reason = format!("no match for platform linux/{ARCHITECTURE} in its index");
            ImageError::Content { reference, reason }
        }
        other => ImageError::Unavailable { reason: resolve(&chain(other)), reference },
    };
    failure.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_plain_by_itself() {
        for registry in ["localhost:5000", "127.0.0.1:5000", "localhost", "[::1]:5000"] {
            assert!(is_loopback(registry), "{registry}");
        }
        for registry in ["docker.io", "192.168.1.1:5000", "localhost.example:5000"] {
            assert!(!is_loopback(registry), "{registry}");
        }
    }

    #[test]
    fn registries_answers_are_told_apart() {
        let image = reference::parse("nginx:nope").unwrap();
        let gone = OciDistributionError::ImageManifestNotFoundError(String::new());
        let text = failure(&image, &gone).to_string();
        assert!(text.ends_with("docker.io/library/nginx:nope: not found"), "{text}");
        let denied = OciDistributionError::UnauthorizedError { url: String::new() };
        assert!(matches!(
            failure(&image, &denied),
            crate::Error::Image(ImageError::Unauthorized { .. })
        ));
    }
}

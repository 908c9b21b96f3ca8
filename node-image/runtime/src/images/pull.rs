//! Pulling from registries: a manifest, its configuration, and its layers, unpacked as they come.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use oci_spec::distribution::Reference;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::layer::{LayerStore, digest_of, is_digest};
use super::manifest::{DOCUMENT_BYTES_MAX, Descriptor, Document, INDEX_DEPTH_MAX, Manifest};
use super::record::Record;
use super::references::Claim;
use super::registry::{Download, Registries, Repository};
use super::{archive, joined, reference};
use crate::{ImageError, RegistryAuth, Result};

/// Layers downloaded and unpacked at once.
const LAYERS_AT_ONCE: usize = 3;
/// How long a pull waits for another node's download of a layer.
const TURN_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(600);

/// Pulls an image's layers into the store and returns what it is, with a claim on the layers; naming
/// it is the caller's. The credentials are tried in order; the last refusal is the error.
pub(super) async fn pull(
    registries: &dyn Registries,
    layers: &Arc<LayerStore>,
    name: &str,
    auth: &[RegistryAuth],
) -> Result<(Record, Claim)> {
    let image = reference::parse(name)?;
    let repository = Arc::new(Repository::open(registries, &image, auth)?);
    Pull { repository, image: &image, layers }.run().await
}

struct Pull<'a> {
    repository: Arc<Repository>,
    image: &'a Reference,
    layers: &'a Arc<LayerStore>,
}

impl Pull<'_> {
    async fn run(&self) -> Result<(Record, Claim)> {
        let (manifest, digest) = self.manifest().await?;
        let config = self.config(&manifest.config).await?;
        let diff_ids = archive::diff_ids(&config)?;
        if diff_ids.len() != manifest.layers.len() {
            return Err(self.content("its manifest and its configuration name different layers"));
        }
        // Before it is looked what is here: that must stay.
        let claim = self.layers.claim(Some(&diff_ids))?;
        let wanted: Vec<_> = manifest.layers.iter().cloned().zip(diff_ids.clone()).collect();
        stream::iter(wanted)
            .map(|(layer, diff_id)| self.layer(layer, diff_id))
            .buffer_unordered(LAYERS_AT_ONCE)
            .try_collect::<()>()
            .await?;
        let sizes: Result<Vec<u64>> = diff_ids.iter().map(|id| self.layers.size(id)).collect();
        let repository = reference::repository(self.image);
        let record = Record {
            id: manifest.config.digest.clone(),
            tags: self.image.tag().map(|tag| format!("{repository}:{tag}")).into_iter().collect(),
            digests: vec![format!("{repository}@{digest}")],
            size: sizes?.iter().sum(),
            config: String::from_utf8_lossy(&config).into_owned(),
            layers: diff_ids,
        };
        Ok((record, claim))
    }

    /// The manifest for this machine, and the digest that the image's name stands for.
    async fn manifest(&self) -> Result<(Manifest, String)> {
        let named = self.image.digest().or(self.image.tag()).unwrap_or("latest");
        let (mut bytes, digest) = self.repository.manifest(named).await?;
        let mut found = digest.clone();
        for _ in 0..=INDEX_DEPTH_MAX {
            let document = Document::parse(&bytes);
            let document = document.map_err(|why| self.content(format!("manifest {found} {why}")));
            match document? {
                Document::Manifest(manifest) => return Ok((manifest, digest)),
                Document::Index(index) => {
                    let ours = index.ours().map_err(|why| self.content(why))?;
                    self.check(ours)?;
                    (bytes, found) = self.repository.manifest(&ours.digest).await?;
                }
            }
        }
        Err(self.content("its indexes are nested too deep"))
    }

    async fn config(&self, wanted: &Descriptor) -> Result<Vec<u8>> {
        self.check(wanted)?;
        if wanted.size > DOCUMENT_BYTES_MAX {
            return Err(self.content("its configuration is too large"));
        }
        let (pieces, failure) = Download::new(self.repository.clone(), wanted).pieces();
        let bytes = pieces.try_fold(Vec::new(), |mut bytes, piece| async move {
            bytes.extend_from_slice(&piece);
            Ok(bytes)
        });
        let bytes = bytes
            .await
            .map_err(|ended| failure.take().unwrap_or_else(|| self.content(ended.to_string())))?;
        match digest_of(&bytes) {
            found if found == wanted.digest => Ok(bytes),
            found => Err(self.content(format!("the content of {} is {found}", wanted.digest))),
        }
    }

    /// Downloads and unpacks at once: no layer is held in memory or written packed.
    async fn layer(&self, layer: Descriptor, diff_id: String) -> Result<()> {
        self.check(&layer)?;
        if self.layers.has(&diff_id) {
            return Ok(());
        }
        let (layers, wanted) = (self.layers.clone(), diff_id.clone());
        let turn = tokio::task::spawn_blocking(move || layers.turn(&wanted));
        let _turn = match tokio::time::timeout(TURN_WAIT_MAX, turn).await {
            Ok(turn) => Some(joined(turn)?),
            // Who has it may be frozen. To download it twice does no harm.
            Err(_) => None,
        };
        // Another node, or another pod's pull, has made it meanwhile.
        if self.layers.has(&diff_id) {
            return Ok(());
        }
        let (pieces, failure) = Download::new(self.repository.clone(), &layer).pieces();
        let reader = SyncIoBridge::new(StreamReader::new(Box::pin(pieces)));
        let (layers, name) = (self.layers.clone(), self.image.whole());
        let unpacked =
            tokio::task::spawn_blocking(move || layers.unpack(&name, reader, Some(&diff_id)));
        // A download that ends early looks like a damaged layer.
        let unpacked = joined(unpacked.await).map_err(|damage| failure.take().unwrap_or(damage))?;
        if unpacked.digest != layer.digest {
            return Err(self.content(format!("a layer's content is {}", unpacked.digest)));
        }
        Ok(())
    }

    /// Names that are not digests do not become parts of addresses.
    fn check(&self, wanted: &Descriptor) -> Result<()> {
        match is_digest(&wanted.digest) {
            true => Ok(()),
            false => Err(self.content(format!("{:?} is not a sha256 digest", wanted.digest))),
        }
    }

    fn content(&self, reason: impl Into<String>) -> crate::Error {
        ImageError::Content { reference: self.image.whole(), reason: reason.into() }.into()
    }
}

//! The images of a node. Layers are unpacked once per host, in a directory that all nodes share;
//! which images a node has, and under which names, is the node's own.

mod archive;
mod layer;
mod manifest;
mod pull;
mod record;
mod reference;
mod registry;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::io::AsyncRead;
use tokio::sync::Mutex;
use tokio_util::io::SyncIoBridge;

use crate::{Error, Image, ImageError, Images, RegistryAuth, Result, RootFileSystem};
use layer::LayerStore;
use record::{Record, Records};
pub use registry::{Endpoint, EndpointTls, Registries};

/// Where images are kept and how registries are reached.
#[derive(Clone, Debug)]
pub struct ImageConfig {
    /// Unpacked layers: shared by all nodes of the host, safe under concurrent use.
    pub shared: PathBuf,
    /// This node's image records.
    pub state: PathBuf,
    /// Names this node's unfinished work in `shared`, so that it can be cleared after a crash.
    pub owner: String,
    /// Where images are pulled from.
    pub registries: Arc<dyn Registries>,
}

/// The images of a node, on disk.
pub struct ImageStore {
    config: ImageConfig,
    layers: Arc<LayerStore>,
    records: Arc<Records>,
    /// One pull or import at a time changes names; layers unpack in parallel.
    naming: Mutex<()>,
}

impl ImageStore {
    /// Opens the store, creating its directories. Several processes of one node may have it open.
    pub fn open(config: ImageConfig) -> Result<ImageStore> {
        let layers = Arc::new(LayerStore::open(&config.shared, &config.owner)?);
        let records = Arc::new(Records::open(&config.state)?);
        Ok(ImageStore { config, layers, records, naming: Mutex::new(()) })
    }

    /// Removes what a crashed import or pull of this node left unfinished. Call it once, before
    /// any other use: it would take the work of a running import away.
    pub fn clear_unfinished(&self) -> Result<()> {
        self.layers.clear_unfinished()
    }

    /// Imports a docker-archive or OCI layout (a tar stream, also compressed). Layers that the
    /// archive lacks must be here already. Every digest is verified. On error nothing is named.
    /// Returns the images, in the archive's order.
    pub async fn import<R: AsyncRead + Unpin + Send + 'static>(
        &self,
        from: R,
    ) -> Result<Vec<Image>> {
        let layers = self.layers.clone();
        let bridge = SyncIoBridge::new(from);
        let read = tokio::task::spawn_blocking(move || archive::read(bridge, &layers));
        let records = joined(read.await)?;
        let _naming = self.naming.lock().await;
        records.into_iter().map(|record| self.register(record)).collect()
    }

    /// Those of the layers (diff ids, `sha256:<hex>`) that are unpacked here.
    pub fn known_layers(&self, diff_ids: &[String]) -> Vec<String> {
        diff_ids.iter().filter(|id| self.layers.has(id)).cloned().collect()
    }

    /// Writes a record, taking its tags from other images.
    fn register(&self, record: Record) -> Result<Image> {
        self.records.put(record).map(|record| record.image())
    }
}

/// A blocking task's result; a panic in it becomes an error.
fn joined<T>(result: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    result.unwrap_or_else(|error| {
        Err(Error::System {
            operation: "unpack an image".into(),
            source: std::io::Error::other(error),
        })
    })
}

/// An error with its causes: the text of tar's and reqwest's own stops at the first.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[async_trait]
impl Images for ImageStore {
    async fn status(&self, reference: &str) -> Result<Option<Image>> {
        Ok(self.records.find(reference)?.map(|record| record.image()))
    }

    async fn list(&self) -> Result<Vec<Image>> {
        Ok(self.records.all()?.iter().map(|record| record.image()).collect())
    }

    async fn pull(&self, reference: &str, auth: &[RegistryAuth]) -> Result<Image> {
        let record = pull::pull(&*self.config.registries, &self.layers, reference, auth).await?;
        let _naming = self.naming.lock().await;
        self.register(record)
    }

    async fn remove(&self, reference: &str) -> Result<()> {
        let _naming = self.naming.lock().await;
        self.records.remove(reference)
    }

    async fn root_file_system(&self, image_id: &str) -> Result<RootFileSystem> {
        let found = self.records.find(image_id)?;
        let record = found.ok_or_else(|| Error::NotFound { kind: "image", id: image_id.into() })?;
        let config = serde_json::from_str(&record.config).map_err(|e| ImageError::Content {
            reference: image_id.into(),
            reason: format!("its configuration does not parse: {e}"),
        })?;
        let layers = record.layers.iter().rev().map(|id| self.layers.directory(id)).collect();
        Ok(RootFileSystem { layers, config })
    }
}

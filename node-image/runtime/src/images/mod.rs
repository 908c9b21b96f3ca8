//! The images of a node. Layers are unpacked once per host, in a directory that all nodes share;
//! which images a node has, and under which names, is the node's own.

mod archive;
mod layer;
mod manifest;
mod pull;
mod record;
mod reference;
mod references;
mod registry;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncRead;
use tokio::sync::RwLock;
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
    /// The node's name.
    pub node: String,
    /// Names this process' unfinished work in `shared`.
    pub owner: String,
    /// Where images are pulled from.
    pub registries: Arc<dyn Registries>,
}

/// The images of a node, on disk.
pub struct ImageStore {
    config: ImageConfig,
    layers: Arc<LayerStore>,
    records: Arc<Records>,
    /// See [`Images::making`].
    making: Arc<RwLock<()>>,
}

/// Layers that nothing uses are kept for so long, for the next cluster.
const UNUSED_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

impl ImageStore {
    /// Opens the store, creating its directories. Several processes of one node may have it open.
    pub fn open(config: ImageConfig) -> Result<ImageStore> {
        let records = Arc::new(Records::open(&config.state)?);
        let user = format!("{}.{}", config.node, records.incarnation()?);
        let layers = Arc::new(LayerStore::open(&config.shared, &config.owner, &user)?);
        Ok(ImageStore { config, layers, records, making: Arc::default() })
    }

    /// Removes what killed processes left unfinished, and layers that nothing has used for long;
    /// makes the uses of layers agree with the node's images.
    pub fn clear_unfinished(&self) -> Result<()> {
        self.layers.clear_unfinished()?;
        self.reconcile()?;
        let prefix = format!("{}.", self.config.node);
        let earlier: Vec<String> =
            self.users()?.into_iter().filter(|user| user.starts_with(&prefix)).collect();
        self.forget(&earlier)?;
        let freed = self.layers.sweep(UNUSED_KEPT, u64::MAX)?;
        if freed > 0 {
            tracing::info!(bytes = freed, "layers that nothing used were removed");
        }
        Ok(())
    }

    fn reconcile(&self) -> Result<()> {
        let _turn = self.records.turn()?;
        let (references, lock) = self.layers.references();
        let shared = lock.shared()?;
        let records = self.records.all()?;
        for record in records.iter().filter(|record| !references.keeps(&record.id)) {
            references.keep(&shared, &record.id, &record.layers)?;
        }
        for image in references.kept()? {
            if !records.iter().any(|record| record.id == image) {
                references.release(&image)?;
            }
        }
        Ok(())
    }

    /// The nodes, of all clusters, that use layers: `NAME.INCARNATION`.
    pub fn users(&self) -> Result<Vec<String>> {
        self.layers.references().0.users()
    }

    /// Forgets what nodes used that are no more; this one is never forgotten.
    pub fn forget(&self, users: &[String]) -> Result<()> {
        let (references, lock) = self.layers.references();
        let freed = references.forget(&lock.alone()?, users)?;
        self.layers.touch(&freed)
    }

    /// Removes all layers that nothing uses. Returns how many bytes were freed.
    pub fn prune(&self) -> Result<u64> {
        self.layers.clear_unfinished()?;
        self.layers.sweep(Duration::ZERO, u64::MAX)
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
        // Which layers it needs is known at its end.
        let claim = self.layers.claim(None)?;
        let read = tokio::task::spawn_blocking(move || archive::read(bridge, &layers));
        let records = joined(read.await)?;
        let registered = records.into_iter().map(|record| self.register(record)).collect();
        drop(claim);
        registered
    }

    /// Those of the layers (diff ids, `sha256:<hex>`) that are unpacked here.
    pub fn known_layers(&self, diff_ids: &[String]) -> Vec<String> {
        diff_ids.iter().filter(|id| self.layers.has(id)).cloned().collect()
    }

    /// Writes a record, taking its tags from other images. Its layers are claimed already.
    fn register(&self, record: Record) -> Result<Image> {
        let _turn = self.records.turn()?;
        let (references, lock) = self.layers.references();
        references.keep(&lock.shared()?, &record.id, &record.layers)?;
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
        let found = self.records.find(reference)?;
        // Who takes the volume of layers away takes the images along.
        let found = found.filter(|record| record.layers.iter().all(|id| self.layers.has(id)));
        Ok(found.map(|record| record.image()))
    }

    async fn list(&self) -> Result<Vec<Image>> {
        Ok(self.records.all()?.iter().map(|record| record.image()).collect())
    }

    async fn pull(&self, reference: &str, auth: &[RegistryAuth]) -> Result<Image> {
        let registries = &*self.config.registries;
        let (record, claim) = pull::pull(registries, &self.layers, reference, auth).await?;
        let image = self.register(record);
        drop(claim);
        image
    }

    async fn remove(&self, reference: &str) -> Result<()> {
        let _turn = self.records.turn()?;
        let Some(found) = self.records.find(reference)? else { return Ok(()) };
        self.records.remove(reference)?;
        if self.records.find(&found.id)?.is_none() {
            self.layers.references().0.release(&found.id)?;
            self.layers.touch(&found.layers)?;
        }
        Ok(())
    }

    fn making(&self) -> Arc<RwLock<()>> {
        self.making.clone()
    }

    async fn free(&self, bytes: u64) -> Result<u64> {
        let layers = self.layers.clone();
        let swept = tokio::task::spawn_blocking(move || layers.sweep(Duration::ZERO, bytes));
        joined(swept.await)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Nowhere;

    impl Registries for Nowhere {
        fn endpoints(&self, _: &str, _: &str) -> std::result::Result<Vec<Endpoint>, String> {
            Ok(Vec::new())
        }

        fn credentials(&self, _: &str, _: &str) -> Vec<RegistryAuth> {
            Vec::new()
        }
    }

    /// A process of a node: all share layers, those of one node share records.
    fn node(root: &std::path::Path, name: &str, volume: &str) -> ImageStore {
        let store = ImageStore::open(ImageConfig {
            shared: root.join("shared"),
            state: root.join(volume),
            node: name.to_owned(),
            owner: format!("{name}-kubelet"),
            registries: Arc::new(Nowhere),
        });
        store.unwrap()
    }

    /// An image of one layer, as `docker save` writes it.
    fn archive(tag: &str, text: &str) -> Vec<u8> {
        let tar = |files: &[(&str, &[u8])]| {
            let mut builder = tar::Builder::new(Vec::new());
            for (path, bytes) in files {
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                header.set_mode(0o644);
                header.set_uid(nix::unistd::getuid().as_raw().into());
                header.set_gid(nix::unistd::getgid().as_raw().into());
                builder.append_data(&mut header, path, *bytes).unwrap();
            }
            builder.into_inner().unwrap()
        };
        let layer = tar(&[("file", text.as_bytes())]);
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
            layer::digest_of(&layer)
        );
        let manifest = format!(r#"[{{"Config":"c","RepoTags":["{tag}"],"Layers":["l"]}}]"#);
        tar(&[("c", config.as_bytes()), ("l", &layer), ("manifest.json", manifest.as_bytes())])
    }

    async fn import(store: &ImageStore, tag: &str, text: &str) {
        store.import(std::io::Cursor::new(archive(tag, text))).await.unwrap();
    }

    async fn has(store: &ImageStore, tag: &str) -> bool {
        store.status(tag).await.unwrap().is_some()
    }

    #[tokio::test]
    async fn a_layer_stays_while_any_node_has_an_image_of_it() {
        let root = tempfile::tempdir().unwrap();
        let (a, b) = (node(root.path(), "a", "a"), node(root.path(), "b", "b"));
        import(&a, "x:1", "same").await;
        import(&a, "x:2", "only in a").await;
        import(&b, "y:1", "same").await;
        assert_eq!(a.prune().unwrap(), 0);
        a.remove("x:1").await.unwrap();
        a.remove("x:2").await.unwrap();
        assert!(a.prune().unwrap() > 0);
        assert!(has(&b, "y:1").await && !has(&a, "x:1").await);
        b.remove("y:1").await.unwrap();
        assert!(b.free(1).await.unwrap() > 0);
        assert_eq!(b.prune().unwrap(), 0);
    }

    #[tokio::test]
    async fn nodes_that_are_no_more_are_forgotten() {
        let root = tempfile::tempdir().unwrap();
        let (gone, lives) = (node(root.path(), "gone", "1"), node(root.path(), "lives", "2"));
        import(&gone, "x:1", "a").await;
        import(&lives, "y:1", "b").await;
        let users = lives.users().unwrap();
        assert_eq!(users.len(), 2);
        lives.forget(&users).unwrap();
        assert!(lives.prune().unwrap() > 0);
        assert!(has(&lives, "y:1").await);
        // A node that is made anew under its name does not keep what the earlier one used.
        import(&lives, "z:1", "c").await;
        let again = node(root.path(), "lives", "3");
        again.clear_unfinished().unwrap();
        assert_eq!(again.users().unwrap().len(), 1);
        assert!(again.prune().unwrap() > 0);
        assert!(!has(&lives, "y:1").await);
    }

    #[tokio::test]
    async fn uses_agree_with_images_after_a_crash() {
        let root = tempfile::tempdir().unwrap();
        let store = node(root.path(), "a", "a");
        import(&store, "x:1", "a").await;
        let (references, lock) = store.layers.references();
        let id = store.status("x:1").await.unwrap().unwrap().id;
        references.release(&id).unwrap();
        let lost = format!("sha256:{}", "0".repeat(64));
        references.keep(&lock.shared().unwrap(), &lost, &[]).unwrap();
        let again = node(root.path(), "a", "a");
        again.clear_unfinished().unwrap();
        assert_eq!(references.kept().unwrap(), [id]);
        assert_eq!(again.prune().unwrap(), 0);
        assert!(has(&again, "x:1").await);
    }
}

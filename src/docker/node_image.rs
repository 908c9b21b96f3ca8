//! The node image in the engine: built from this executable when it is not there yet.

use std::fs::File;
use std::io::Read;

use bollard::query_parameters::{
    CreateImageOptionsBuilder, ImportImageOptionsBuilder, PruneImagesOptionsBuilder,
};
use bytes::Bytes;
use futures::TryStreamExt;
use kd_contract::LABEL_CONTENT;

use super::archive::{self, EXECUTABLE_PREFIX_BYTES, NodeImageArchive};
use super::engine::{Engine, has_status, label_filter, refused};
use crate::error::{Error, ExitCode, Result};

/// The repository of images that kd builds.
const REPOSITORY: &str = "kd-node";

/// An image that nodes are made of.
#[derive(Clone, Debug)]
pub struct NodeImage {
    /// Its name.
    pub reference: String,
    content: Option<String>,
}

/// What the engine knows about a node image.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageFacts {
    /// The image's name.
    pub reference: String,
    /// The image's ID.
    pub id: String,
    /// Its size.
    pub size_bytes: i64,
    /// The content hash of what it was built from, if kd built it.
    pub content: Option<String>,
}

impl NodeImage {
    /// The image of this executable.
    pub fn of_this_executable() -> Result<NodeImage> {
        if !cfg!(all(feature = "node", target_os = "linux", target_feature = "crt-static")) {
            return Err(Error::new(
                ExitCode::ImageMissing,
                "this kd holds no node programs, so it cannot build the node image",
            )
            .hint("name an image with --image, or use a static Linux build of kd"));
        }
        let content = content_of_this_executable()?;
        Ok(NodeImage { reference: format!("{REPOSITORY}:{content}"), content: Some(content) })
    }

    /// An image by name.
    pub fn named(reference: &str) -> NodeImage {
        NodeImage { reference: reference.to_owned(), content: None }
    }

    /// The same content under another name.
    pub fn tagged(self, reference: &str) -> NodeImage {
        NodeImage { reference: reference.to_owned(), ..self }
    }

    /// What the engine knows about the image; `None` when it is not there.
    pub async fn inspect(&self, engine: &Engine) -> Result<Option<ImageFacts>> {
        match engine.docker.inspect_image(&self.reference).await {
            Ok(image) => Ok(Some(ImageFacts {
                reference: self.reference.clone(),
                id: image.id.unwrap_or_default(),
                size_bytes: image.size.unwrap_or_default(),
                content: image
                    .config
                    .and_then(|config| config.labels)
                    .and_then(|mut labels| labels.remove(LABEL_CONTENT)),
            })),
            Err(error) if has_status(&error, 404) => Ok(None),
            Err(error) => Err(refused(format!("inspect image {}", self.reference), error)),
        }
    }

    /// Makes sure that the engine has the image. Tells whether it had to be loaded.
    pub async fn ensure(&self, engine: &Engine) -> Result<bool> {
        let there = self.inspect(engine).await?;
        // A tag of kd's own that someone moved to another image is taken back.
        let is_right = |facts: &ImageFacts| self.content.is_none() || facts.content == self.content;
        let is_missing = !there.as_ref().is_some_and(is_right);
        if is_missing {
            self.provide(engine).await?;
        }
        if self.content.is_none() {
            let facts = if is_missing { self.inspect(engine).await? } else { there };
            if facts.is_none_or(|facts| facts.content.is_none()) {
                let message = format!("the image {} is no node image of kd", self.reference);
                return Err(Error::new(ExitCode::ImageMissing, message)
                    .hint("leave --image out: kd brings its own nodes"));
            }
        }
        Ok(is_missing)
    }

    /// Loads the image into the engine whether it is there or not.
    pub async fn provide(&self, engine: &Engine) -> Result<()> {
        match &self.content {
            Some(content) => load(engine, self.build(content).await?).await,
            None => pull(engine, &self.reference).await,
        }
    }

    /// Deletes the images that kd built and no container uses, except `kept`. Returns their names.
    pub async fn prune(engine: &Engine, kept: Option<&NodeImage>) -> Result<Vec<String>> {
        let mut filters = label_filter(LABEL_CONTENT);
        filters.insert("dangling".to_owned(), vec!["false".to_owned()]);
        if let Some(content) = kept.and_then(|image| image.content.as_ref()) {
            filters.insert("label!".to_owned(), vec![format!("{LABEL_CONTENT}={content}")]);
        }
        let options = PruneImagesOptionsBuilder::default().filters(&filters).build();
        let pruned = engine.docker.prune_images(Some(options)).await;
        let pruned = pruned.map_err(|source| refused("delete unused node images", source))?;
        let deleted = pruned.images_deleted.unwrap_or_default();
        Ok(deleted.into_iter().filter_map(|image| image.untagged).collect())
    }

    /// The image as an archive.
    pub async fn archive(&self) -> Result<NodeImageArchive> {
        match &self.content {
            Some(content) => self.build(content).await,
            None => Err(Error::failure(format!("{} is not built by kd", self.reference))),
        }
    }

    async fn build(&self, content: &str) -> Result<NodeImageArchive> {
        let (content, reference) = (content.to_owned(), self.reference.clone());
        let build = move || -> std::io::Result<NodeImageArchive> {
            let executable = std::fs::read(std::env::current_exe()?)?;
            NodeImageArchive::build(Bytes::from(executable), &content, &reference)
        };
        let built = tokio::task::spawn_blocking(build).await;
        built
            .map_err(std::io::Error::other)
            .and_then(|result| result)
            .map_err(|source| Error::failure("build the node image").because(source))
    }
}

fn content_of_this_executable() -> Result<String> {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(std::env::current_exe()?)?;
        let mut executable = Vec::with_capacity(EXECUTABLE_PREFIX_BYTES);
        file.by_ref().take(EXECUTABLE_PREFIX_BYTES as u64).read_to_end(&mut executable)?;
        if let Some(content) = archive::quick_content_hash(&executable) {
            return Ok(content);
        }
        file.read_to_end(&mut executable)?;
        Ok(archive::content_hash(&executable))
    };
    read().map_err(|source| Error::failure("read kd's own executable").because(source))
}

async fn load(engine: &Engine, archive: NodeImageArchive) -> Result<()> {
    let reference = archive.reference;
    let stream = futures::stream::iter(archive.pieces.into_iter().map(Ok::<_, std::io::Error>));
    let options = ImportImageOptionsBuilder::default().quiet(true).build();
    let progress = engine.docker.import_image_stream(options, stream, None);
    progress
        .try_for_each(|_| async { Ok(()) })
        .await
        .map_err(|source| refused(format!("load the node image {reference}"), source))
}

async fn pull(engine: &Engine, reference: &str) -> Result<()> {
    let options = CreateImageOptionsBuilder::default().from_image(&with_tag(reference)).build();
    let progress = engine.docker.create_image(Some(options), None, None);
    progress.try_for_each(|_| async { Ok(()) }).await.map_err(|source| {
        let message = format!("the image {reference} is not there and cannot be pulled");
        Error::new(ExitCode::ImageMissing, message)
            .because(source)
            .hint("leave --image out to use the image that kd builds itself")
    })
}

/// Without a tag an engine would pull every tag of the repository.
fn with_tag(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    if name.contains(':') || name.contains('@') {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_names_a_tag() {
        let check = |reference: &str, expect: &str| assert_eq!(with_tag(reference), expect);
        check("node", "node:latest");
        check("localhost:5000/node", "localhost:5000/node:latest");
        check("localhost:5000/node:v1", "localhost:5000/node:v1");
        check("node@sha256:abc", "node@sha256:abc");
    }
}

//! Folders of containers as archives, read and written while the container runs or not.

use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use futures::TryStreamExt;

use super::engine::{Engine, has_status, refused};
use crate::error::{Error, Result};

/// The largest archive that is read.
const ARCHIVE_BYTES_MAX: usize = 256 << 20;

impl Engine {
    /// A folder of a container as a tar archive; none when the container has no such folder.
    pub async fn read_folder(&self, container: &str, path: &str) -> Result<Option<Vec<u8>>> {
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let mut pieces = self.docker.download_from_container(container, Some(options));
        let mut archive = Vec::new();
        loop {
            match pieces.try_next().await {
                Ok(None) => return Ok(Some(archive)),
                Ok(Some(piece)) if archive.len() + piece.len() <= ARCHIVE_BYTES_MAX => {
                    archive.extend_from_slice(&piece);
                }
                Ok(Some(_)) => {
                    return Err(Error::failure(format!("{path} of {container} is too large")));
                }
                Err(error) if has_status(&error, 404) => return Ok(None),
                Err(error) => return Err(refused(format!("read {path} of {container}"), error)),
            }
        }
    }

    /// Unpacks a tar archive in a folder of a container.
    pub async fn write_folder(&self, container: &str, path: &str, archive: Bytes) -> Result<()> {
        let options = UploadToContainerOptionsBuilder::default().path(path).build();
        let body = bollard::body_full(archive);
        let written = self.docker.upload_to_container(container, Some(options), body).await;
        written.map_err(|source| refused(format!("write {path} of {container}"), source))
    }
}

//! `image` volumes: the files of an image, to be read.

use std::path::Path;

use k8s_openapi::api::core::v1::ImageVolumeSource;
use kd_runtime::{Image, Images, RegistryAuth, mount_image};

use super::directory::is_mounted;

/// Mounts the image at a directory; it is pulled first when its policy says so.
pub async fn mount(
    images: &dyn Images,
    source: &ImageVolumeSource,
    auth: &[RegistryAuth],
    target: &Path,
) -> Result<(), String> {
    if is_mounted(target).map_err(|error| error.to_string())? {
        return Ok(());
    }
    let image = image(images, source, auth).await?;
    let making = images.making();
    let _making = making.read().await;
    let files = images.root_file_system(&image.id).await.map_err(|error| error.to_string())?;
    let target = target.to_owned();
    let mounted = tokio::task::spawn_blocking(move || mount_image(&files.layers, &target)).await;
    mounted.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(|e| e.to_string())
}

async fn image(
    images: &dyn Images,
    source: &ImageVolumeSource,
    auth: &[RegistryAuth],
) -> Result<Image, String> {
    let reference = source.reference.as_deref().unwrap_or_default();
    let text = |error: kd_runtime::Error| error.to_string();
    let here = match source.pull_policy.as_deref() {
        Some("Always") => None,
        _ => images.status(reference).await.map_err(text)?,
    };
    match (here, source.pull_policy.as_deref()) {
        (Some(image), _) => Ok(image),
        (None, Some("Never")) => Err(format!(
            "ErrImageNeverPull: Container image {reference:?} is not present with pull policy of \
             Never"
        )),
        (None, _) => {
            let pulled = images.pull(reference, auth).await;
            pulled.map_err(|error| format!("ErrImagePull: {error}"))
        }
    }
}

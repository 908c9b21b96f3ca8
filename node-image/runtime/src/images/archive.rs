//! Image archives: what `docker save` writes, and the OCI image layout. Read in one pass from a
//! stream: layers are unpacked as they come, documents are kept until the end explains them.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Component, Path};

use serde::Deserialize;
use tar::EntryType;

use super::layer::{LayerStore, Unpacked, decompress, digest_of, is_digest};
use super::manifest::{DOCUMENT_BYTES_MAX, Descriptor, Document, INDEX_DEPTH_MAX, Index};
use super::record::Record;
use super::reference;
use crate::{Error, ImageError, Result};

/// All documents of one archive together.
const DOCUMENTS_BYTES_MAX: u64 = 64 << 20;
/// Where a tar header says that it is one.
const TAR_MAGIC: std::ops::Range<usize> = 257..262;
const TAR_BLOCK: usize = 512;

/// Reads an archive. The layers are in the store afterwards; naming the images is the caller's.
pub(super) fn read(from: impl Read, layers: &LayerStore) -> Result<Vec<Record>> {
    let contents = Contents::read(from, layers)?;
    if let Some(manifest) = contents.documents.get("manifest.json") {
        return docker_images(manifest, &contents, layers);
    }
    if let Some(index) = contents.documents.get("index.json") {
        return oci_images(index, &contents, layers);
    }
    Err(bad("it has neither manifest.json (docker save) nor index.json (OCI layout)"))
}

fn bad(reason: impl Into<String>) -> Error {
    ImageError::Content { reference: "archive".into(), reason: reason.into() }.into()
}

/// What an archive held, by path.
#[derive(Default)]
struct Contents {
    documents: HashMap<String, Vec<u8>>,
    layers: HashMap<String, Unpacked>,
    links: HashMap<String, String>,
}

impl Contents {
    fn read(from: impl Read, layers: &LayerStore) -> Result<Contents> {
        let unreadable = |error: io::Error| bad(format!("it cannot be read: {error}"));
        let mut contents = Contents::default();
        let mut archive = tar::Archive::new(decompress(from).map_err(unreadable)?);
        let mut left = DOCUMENTS_BYTES_MAX;
        for entry in archive.entries().map_err(unreadable)? {
            let mut entry = entry.map_err(unreadable)?;
            let path = normal(&entry.path().map_err(unreadable)?);
            match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {
                    contents.take(path, &mut entry, layers, &mut left)?;
                }
                EntryType::Symlink | EntryType::Link => {
                    let target = entry.link_name().map_err(unreadable)?.unwrap_or_default();
                    let base = Path::new(&path).parent().unwrap_or(Path::new(""));
                    contents.links.insert(path.clone(), normal(&base.join(target)));
                }
                _ => {}
            }
        }
        Ok(contents)
    }

    fn take(
        &mut self,
        path: String,
        entry: &mut impl Read,
        layers: &LayerStore,
        left: &mut u64,
    ) -> Result<()> {
        let mut start = vec![0; TAR_BLOCK];
        let length = read_up_to(entry, &mut start)
            .map_err(|error| bad(format!("{path} cannot be read: {error}")))?;
        start.truncate(length);
        let mut whole = start.as_slice().chain(entry);
        if looks_like_layer(&start) {
            let unpacked = layers.unpack(&path, whole, None)?;
            self.layers.insert(path, unpacked);
            return Ok(());
        }
        let limit = DOCUMENT_BYTES_MAX.min(*left);
        let mut bytes = Vec::new();
        (&mut whole)
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| bad(format!("{path} cannot be read: {error}")))?;
        if bytes.len() as u64 > limit {
            return Err(bad(format!("{path} is neither a layer nor a document of a sane size")));
        }
        *left -= bytes.len() as u64;
        self.documents.insert(path, bytes);
        Ok(())
    }

    fn document(&self, path: &str) -> Result<&[u8]> {
        let found = self.documents.get(path).ok_or_else(|| bad(format!("{path} is missing")))?;
        Ok(found)
    }

    fn layer(&self, path: &str) -> Option<&Unpacked> {
        self.layers.get(path).or_else(|| self.layers.get(self.links.get(path)?))
    }
}

fn read_up_to(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match from.read(&mut buffer[length..])? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

/// Compressed, a tar, or the empty tar (nothing but zeros).
fn looks_like_layer(start: &[u8]) -> bool {
    start.starts_with(&[0x1f, 0x8b])
        || start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || start.get(TAR_MAGIC).is_some_and(|magic| magic == b"ustar")
        || (start.len() == TAR_BLOCK && start.iter().all(|byte| *byte == 0))
}

/// `./a/../b` is `b`.
fn normal(path: &Path) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    parts.join("/")
}

/// One image of a docker-archive's manifest.json.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

fn docker_images(manifest: &[u8], contents: &Contents, layers: &LayerStore) -> Result<Vec<Record>> {
    let images: Vec<DockerImage> = serde_json::from_slice(manifest)
        .map_err(|error| bad(format!("manifest.json does not parse: {error}")))?;
    let one = |image: DockerImage| {
        let tags = image.repo_tags.unwrap_or_default();
        let tags = tags.iter().map(|tag| Ok(reference::parse(tag)?.whole()));
        let config = contents.document(&normal(Path::new(&image.config)))?;
        let paths = image.layers.iter().map(|path| normal(Path::new(path))).collect();
        record(config, tags.collect::<Result<_>>()?, paths, contents, layers)
    };
    images.into_iter().map(one).collect()
}

fn oci_images(index: &[u8], contents: &Contents, layers: &LayerStore) -> Result<Vec<Record>> {
    let index: Index = parse("index.json", index)?;
    let one = |descriptor: &Descriptor| {
        let names = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
        let name = names.iter().find_map(|key| descriptor.annotations.get(*key));
        // A bare tag names no repository; the image is then known by its id only.
        let tags = name.filter(|n| n.contains(['/', ':'])).map(|n| reference::parse(n));
        let tags = tags.transpose()?.map(|r| r.whole()).into_iter().collect();
        oci_image(descriptor, tags, contents, layers, 0)
    };
    index.manifests.iter().map(one).collect()
}

fn oci_image(
    descriptor: &Descriptor,
    tags: Vec<String>,
    contents: &Contents,
    layers: &LayerStore,
    depth: usize,
) -> Result<Record> {
    let bytes = blob(descriptor, contents)?;
    let document = Document::parse(bytes);
    match document.map_err(|reason| bad(format!("{} {reason}", descriptor.digest)))? {
        Document::Index(_) if depth == INDEX_DEPTH_MAX => {
            Err(bad("its indexes are nested too deep"))
        }
        Document::Index(index) => {
            let ours = index.ours().map_err(bad)?;
            oci_image(ours, tags, contents, layers, depth + 1)
        }
        Document::Manifest(manifest) => {
            let config = blob(&manifest.config, contents)?;
            let paths = manifest.layers.iter().map(|l| blob_path(&l.digest));
            record(config, tags, paths.collect::<Result<_>>()?, contents, layers)
        }
    }
}

fn parse<T: for<'a> Deserialize<'a>>(name: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| bad(format!("{name} does not parse: {error}")))
}

fn blob_path(digest: &str) -> Result<String> {
    if !is_digest(digest) {
        return Err(bad(format!("{digest:?} is not a sha256 digest")));
    }
    Ok(format!("blobs/{}", digest.replacen(':', "/", 1)))
}

fn blob<'a>(descriptor: &Descriptor, contents: &'a Contents) -> Result<&'a [u8]> {
    let bytes = contents.document(&blob_path(&descriptor.digest)?)?;
    let found = digest_of(bytes);
    if found != descriptor.digest {
        return Err(bad(format!("the content of {} is {found}", descriptor.digest)));
    }
    Ok(bytes)
}

/// An image of its configuration and its layers' paths: every layer must be the one that the
/// configuration names.
fn record(
    config: &[u8],
    tags: Vec<String>,
    paths: Vec<String>,
    contents: &Contents,
    layers: &LayerStore,
) -> Result<Record> {
    let id = digest_of(config);
    let diff_ids = diff_ids(config)?;
    if diff_ids.len() != paths.len() {
        return Err(bad(format!(
            "image {id} names {} layers, but its archive lists {}",
            diff_ids.len(),
            paths.len()
        )));
    }
    let mut size = 0;
    for (diff_id, path) in diff_ids.iter().zip(&paths) {
        match contents.layer(path) {
            Some(unpacked) => verify(path, unpacked, diff_id)?,
            None if layers.has(diff_id) => {}
            None => return Err(bad(format!("layer {path} ({diff_id}) is missing"))),
        }
        size += layers.size(diff_id)?;
    }
    let config = String::from_utf8_lossy(config).into_owned();
    Ok(Record { id, tags, digests: Vec::new(), size, config, layers: diff_ids })
}

fn verify(path: &str, unpacked: &Unpacked, diff_id: &str) -> Result<()> {
    let named_by_digest = path.strip_prefix("blobs/sha256/");
    if unpacked.diff_id != diff_id {
        return Err(bad(format!(
            "layer {path} holds {}, but the image's configuration says {diff_id}",
            unpacked.diff_id
        )));
    }
    match named_by_digest {
        Some(hex) if unpacked.digest != format!("sha256:{hex}") => {
            Err(bad(format!("the content of {path} is {}", unpacked.digest)))
        }
        _ => Ok(()),
    }
}

/// The layers that an image's configuration names, lowest first.
pub(super) fn diff_ids(config: &[u8]) -> Result<Vec<String>> {
    let parsed: oci_spec::image::ImageConfiguration = serde_json::from_slice(config)
        .map_err(|error| bad(format!("the image's configuration does not parse: {error}")))?;
    let ids = parsed.rootfs().diff_ids().clone();
    match ids.iter().find(|id| !is_digest(id)) {
        Some(wrong) => Err(bad(format!("{wrong:?} is not a sha256 digest"))),
        None => Ok(ids),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files(tar::Builder<Vec<u8>>);

    impl Files {
        fn new() -> Files {
            Files(tar::Builder::new(Vec::new()))
        }

        fn add(mut self, path: &str, bytes: &[u8]) -> Files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            self.0.append_data(&mut header, path, bytes).unwrap();
            self
        }

        fn bytes(self) -> Vec<u8> {
            self.0.into_inner().unwrap()
        }
    }

    fn layer() -> Vec<u8> {
        Files::new().add("hello", b"world").bytes()
    }

    fn config(diff_id: &str) -> Vec<u8> {
        format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}},"config":{{"User":"1000"}}}}"#
        )
        .into_bytes()
    }

    fn docker(diff_id: &str, with_layer: bool) -> Vec<u8> {
        let files = Files::new().add("c.json", &config(diff_id));
        let files = if with_layer { files.add("l/layer.tar", &layer()) } else { files };
        let manifest = br#"[{"Config":"c.json","RepoTags":["web:1"],"Layers":["l/layer.tar"]}]"#;
        files.add("manifest.json", manifest).bytes()
    }

    fn oci() -> Vec<u8> {
        let (layer, config) = (layer(), config(&digest_of(&layer())));
        let path = |bytes: &[u8]| blob_path(&digest_of(bytes)).unwrap();
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"digest":"{}"}},"layers":[{{"digest":"{}"}}]}}"#,
            digest_of(&config),
            digest_of(&layer)
        );
        let index = format!(
            r#"{{"manifests":[{{"digest":"{}","annotations":{{"io.containerd.image.name":"docker.io/library/web:1"}}}}]}}"#,
            digest_of(manifest.as_bytes())
        );
        Files::new()
            .add(&path(&layer), &layer)
            .add(&path(&config), &config)
            .add(&path(manifest.as_bytes()), manifest.as_bytes())
            .add("index.json", index.as_bytes())
            .bytes()
    }

    fn check(archive: &[u8]) -> Result<Vec<Record>> {
        let directory = tempfile::tempdir().unwrap();
        read(archive, &LayerStore::open(directory.path(), "n", "n.1").unwrap())
    }

    #[test]
    fn both_forms_give_the_same_image() {
        let docker = check(&docker(&digest_of(&layer()), true)).unwrap();
        let oci = check(&oci()).unwrap();
        assert_eq!(docker, oci);
        assert_eq!(docker[0].tags, ["docker.io/library/web:1"]);
        assert_eq!(docker[0].layers, [digest_of(&layer())]);
    }

    #[test]
    fn a_layer_that_is_here_need_not_come_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = LayerStore::open(directory.path(), "n", "n.1").unwrap();
        let id = digest_of(&layer());
        let missing = read(&docker(&id, false)[..], &store).unwrap_err();
        assert!(missing.to_string().contains("is missing"), "{missing}");
        read(&docker(&id, true)[..], &store).unwrap();
        assert_eq!(read(&docker(&id, false)[..], &store).unwrap().len(), 1);
    }

    #[test]
    fn damage_is_told() {
        let other = digest_of(b"other");
        let cases = [
            (docker(&other, true), "but the image's configuration says"),
            (Files::new().add("x", b"{}").bytes(), "neither manifest.json"),
            (Files::new().add("manifest.json", b"[{").bytes(), "does not parse"),
            (b"no tar at all".to_vec(), "archive"),
        ];
        for (archive, reason) in cases {
            let error = check(&archive).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}

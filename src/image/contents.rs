//! What an image archive says about itself: its documents, and which entry holds which layer. Both
//! forms are read, `docker save`'s and the OCI image layout.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// Documents (manifests, configurations, indexes) are smaller than this; the rest are layers.
pub const DOCUMENT_BYTES_MAX: u64 = 8 << 20;
/// How deep indexes may be nested.
const INDEX_DEPTH_MAX: usize = 4;

/// The documents of an archive, by path.
pub type Documents = BTreeMap<String, Vec<u8>>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Configuration {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct OciDocument {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
}

/// The entries that hold layers, with the layers' diff ids. What cannot be understood is left out:
/// the node says what is wrong with it.
pub fn layers(documents: &Documents) -> BTreeMap<String, String> {
    let mut layers = BTreeMap::new();
    if let Some(manifest) = documents.get("manifest.json") {
        let images: Vec<DockerImage> = serde_json::from_slice(manifest).unwrap_or_default();
        for image in images {
            let paths = image.layers.unwrap_or_default();
            layers.extend(paths.into_iter().zip(diff_ids(documents, &image.config)));
        }
    } else if let Some(index) = documents.get("index.json") {
        oci_layers(documents, index, 0, &mut layers);
    }
    layers
}

/// The diff ids of all layers.
pub fn wanted(layers: &BTreeMap<String, String>) -> Vec<String> {
    layers.values().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

fn oci_layers(
    documents: &Documents,
    bytes: &[u8],
    depth: usize,
    layers: &mut BTreeMap<String, String>,
) {
    let Ok(document) = serde_json::from_slice::<OciDocument>(bytes) else { return };
    if let Some(config) = &document.config {
        let paths = document.layers.iter().map(|layer| blob_path(&layer.digest));
        layers.extend(paths.zip(diff_ids(documents, &blob_path(&config.digest))));
    }
    if depth == INDEX_DEPTH_MAX {
        return;
    }
    for manifest in &document.manifests {
        if let Some(bytes) = documents.get(&blob_path(&manifest.digest)) {
            oci_layers(documents, bytes, depth + 1, layers);
        }
    }
}

fn diff_ids(documents: &Documents, path: &str) -> Vec<String> {
    let configuration = documents.get(path).map(|bytes| serde_json::from_slice(bytes));
    let Some(Ok(Configuration { rootfs })) = configuration else { return Vec::new() };
    rootfs.diff_ids.unwrap_or_default()
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(documents: &[(&str, &str)], expect: &[(&str, &str)]) {
        let documents = documents.iter().map(|(path, text)| ((*path).into(), (*text).into()));
        let expect = expect.iter().map(|(path, id)| ((*path).to_owned(), (*id).to_owned()));
        assert_eq!(layers(&documents.collect()), expect.collect());
    }

    const CONFIG: &str = r#"{"rootfs":{"type":"layers","diff_ids":["sha256:1","sha256:2"]}}"#;

    #[test]
    fn docker_save() {
        let manifest =
            r#"[{"Config":"c.json","RepoTags":["a:1"],"Layers":["x/layer.tar","y/layer.tar"]}]"#;
        check(
            &[("manifest.json", manifest), ("c.json", CONFIG)],
            &[("x/layer.tar", "sha256:1"), ("y/layer.tar", "sha256:2")],
        );
        check(&[("manifest.json", manifest)], &[]);
        check(&[("manifest.json", "nonsense")], &[]);
        check(&[], &[]);
    }

    #[test]
    fn oci_layout() {
        let index = r#"{"manifests":[{"digest":"sha256:i"}]}"#;
        let nested = r#"{"manifests":[{"digest":"sha256:m"},{"digest":"sha256:gone"}]}"#;
        let manifest = r#"{"config":{"digest":"sha256:c"},
            "layers":[{"digest":"sha256:p"},{"digest":"sha256:q"}]}"#;
        check(
            &[
                ("index.json", index),
                ("blobs/sha256/i", nested),
                ("blobs/sha256/m", manifest),
                ("blobs/sha256/c", CONFIG),
            ],
            &[("blobs/sha256/p", "sha256:1"), ("blobs/sha256/q", "sha256:2")],
        );
    }

    #[test]
    fn an_index_of_itself_ends() {
        check(
            &[
                ("index.json", r#"{"manifests":[{"digest":"sha256:i"}]}"#),
                ("blobs/sha256/i", r#"{"manifests":[{"digest":"sha256:i"}]}"#),
            ],
            &[],
        );
    }
}

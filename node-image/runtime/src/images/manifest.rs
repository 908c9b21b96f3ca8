//! Manifests and indexes, as registries and OCI layouts hold them.

use std::collections::HashMap;

use serde::Deserialize;

/// What the OCI calls this machine.
pub(super) const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
/// A document (manifest, configuration, index) may not be larger.
pub(super) const DOCUMENT_BYTES_MAX: u64 = 8 << 20;
/// An index may point to an index, and no deeper than this.
pub(super) const INDEX_DEPTH_MAX: usize = 4;
/// The forms of manifests that registries are asked for.
pub(super) const MEDIA_TYPES: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// Images of several platforms.
#[derive(Debug, Deserialize)]
pub(super) struct Index {
    pub manifests: Vec<Descriptor>,
}

/// One image.
#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

/// Points to content.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Descriptor {
    pub digest: String,
    #[serde(default)]
    pub size: u64,
    #[serde(default)]
    pub annotations: HashMap<String, String>,
    pub platform: Option<Platform>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Platform {
    pub architecture: String,
    pub os: String,
}

/// Either of them.
pub(super) enum Document {
    Index(Index),
    Manifest(Manifest),
}

impl Document {
    /// Told apart by their fields: media types are often left out.
    pub(super) fn parse(bytes: &[u8]) -> Result<Document, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Head {
            schema_version: Option<u32>,
            manifests: Option<serde::de::IgnoredAny>,
        }
        let unreadable = |error: serde_json::Error| format!("does not parse: {error}");
        let head: Head = serde_json::from_slice(bytes).map_err(unreadable)?;
        if head.schema_version == Some(1) {
            return Err("is of Docker's schema 1, which is not read; push the image anew".into());
        }
        match head.manifests {
            Some(_) => serde_json::from_slice(bytes).map(Document::Index).map_err(unreadable),
            None => serde_json::from_slice(bytes).map(Document::Manifest).map_err(unreadable),
        }
    }
}

impl Index {
    /// The manifest for this machine.
    pub(super) fn ours(&self) -> Result<&Descriptor, String> {
        let fits =
            |platform: &Platform| platform.os == "linux" && platform.architecture == ARCHITECTURE;
        let ours = self.manifests.iter().find(|m| m.platform.as_ref().is_some_and(fits));
        let unnamed = || self.manifests.iter().find(|m| m.platform.is_none());
        ours.or_else(unnamed).ok_or_else(|| {
            let named = self.manifests.iter().filter_map(|m| m.platform.as_ref());
            let mut there: Vec<String> =
                named.map(|p| format!("{}/{}", p.os, p.architecture)).collect();
            there.retain(|platform| platform != "unknown/unknown");
            there.dedup();
            format!(
                "no match for platform linux/{ARCHITECTURE} in its index: there is {}",
                if there.is_empty() { "none".to_owned() } else { there.join(", ") }
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &str, expect: Result<&str, &str>) {
        let found = Document::parse(bytes.as_bytes()).and_then(|document| match document {
            Document::Index(index) => index.ours().map(|ours| ours.digest.clone()),
            Document::Manifest(manifest) => Ok(manifest.config.digest),
        });
        match expect {
            Ok(digest) => assert_eq!(found.as_deref(), Ok(digest)),
            Err(reason) => assert!(found.clone().unwrap_err().contains(reason), "{found:?}"),
        }
    }

    #[test]
    fn documents() {
        let of = |platform: &str, digest: &str| {
            format!(r#"{{"digest":"{digest}","size":3,"platform":{platform}}}"#)
        };
        let ours = of(&format!(r#"{{"os":"linux","architecture":"{ARCHITECTURE}"}}"#), "ours");
        let riscv = of(r#"{"os":"linux","architecture":"riscv64"}"#, "riscv");
        let attested = of(r#"{"os":"unknown","architecture":"unknown"}"#, "attestation");
        let index = |all: &[&str]| format!(r#"{{"manifests":[{}]}}"#, all.join(","));
        check(&index(&[&attested, &riscv, &ours]), Ok("ours"));
        check(&index(&[r#"{"digest":"any"}"#, &ours]), Ok("ours"));
        check(&index(&[r#"{"digest":"any"}"#]), Ok("any"));
        check(&index(&[&riscv, &attested]), Err("there is linux/riscv64"));
        check(r#"{"config":{"digest":"c","size":1},"layers":[]}"#, Ok("c"));
        check(r#"{"schemaVersion":1,"fsLayers":[]}"#, Err("schema 1"));
        check("[]", Err("does not parse"));
        check(r#"{"config":{}}"#, Err("does not parse"));
    }
}

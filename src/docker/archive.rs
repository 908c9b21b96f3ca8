//! The node image as a docker-archive, made in memory: one layer that holds this executable. The
//! same executable gives the same image, byte by byte.

use std::io::{self, Write};

use bytes::Bytes;
use kd_contract::{KD_BINARY, LABEL_CONTENT};
use ring::digest;
use serde_json::json;
use tar::{EntryType, Header};

/// Changes whenever the image's layout does, so that images of older layouts are not used.
const LAYOUT_REVISION: &str = "1";
/// Directories of the image, with their modes.
const DIRECTORIES: &[(&str, u32)] = &[
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var", 0o755),
];
/// The names under which the one executable is started.
const PROGRAMS: &[&str] = &["kd", "kd-init", "kd-control-plane", "kd-kubelet"];
const PASSWD: &str = "root:x:0:0:root:/root:/bin/kd\nnobody:x:65534:65534:nobody:/:/bin/kd\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";

/// A node image, ready to be loaded into an engine.
pub struct NodeImageArchive {
    /// The image's tag.
    pub reference: String,
    /// The archive in pieces; the executable is one of them and not copied.
    pub pieces: Vec<Bytes>,
}

/// How much of an executable [`quick_content_hash`] needs.
pub const EXECUTABLE_PREFIX_BYTES: usize = 64 * 1024;

/// What an executable's image is known by before the image is made, from the executable's first
/// [`EXECUTABLE_PREFIX_BYTES`]. `None` when the linker left no hash there.
pub fn quick_content_hash(prefix: &[u8]) -> Option<String> {
    build_id(prefix).map(content_hash)
}

/// What an executable's image is known by.
pub fn content_hash(identity: &[u8]) -> String {
    sha256(&[LAYOUT_REVISION.as_bytes(), identity])[..16].to_owned()
}

impl NodeImageArchive {
    /// Makes the image of `executable`.
    pub fn build(executable: Bytes, content: &str, reference: &str) -> io::Result<Self> {
        let layer = layer(executable)?;
        let layer_digest = sha256(&layer);
        let config = serde_json::to_vec(&image_config(&layer_digest, content))?;
        let config_digest = sha256(&[&config]);
        let layer_path = format!("{layer_digest}/layer.tar");
        let config_path = format!("{config_digest}.json");
        let manifest = serde_json::to_vec(&json!([{
            "Config": config_path, "RepoTags": [reference], "Layers": [layer_path],
        }]))?;
        let mut pieces = Pieces::default();
        pieces.file(&config_path, 0o644, Bytes::from(config))?;
        pieces.file("manifest.json", 0o644, Bytes::from(manifest))?;
        pieces.directory(&layer_digest, 0o755)?;
        pieces.nested(&layer_path, layer)?;
        Ok(NodeImageArchive { reference: reference.to_owned(), pieces: pieces.finish() })
    }
}

fn layer(executable: Bytes) -> io::Result<Vec<Bytes>> {
    let mut pieces = Pieces::default();
    for (path, mode) in DIRECTORIES {
        pieces.directory(path, *mode)?;
    }
    for program in PROGRAMS {
        pieces.link(&format!("bin/{program}"), KD_BINARY)?;
    }
    pieces.file("etc/group", 0o644, Bytes::from_static(GROUP.as_bytes()))?;
    pieces.file("etc/os-release", 0o644, Bytes::from(os_release()))?;
    pieces.file("etc/passwd", 0o644, Bytes::from_static(PASSWD.as_bytes()))?;
    pieces.file(KD_BINARY.trim_start_matches('/'), 0o755, executable)?;
    Ok(pieces.finish())
}

fn os_release() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("NAME=\"kd\"\nID=kd\nVERSION_ID={version}\nPRETTY_NAME=\"kd {version}\"\n")
}

fn image_config(layer_digest: &str, content: &str) -> serde_json::Value {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "architecture": architecture,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Entrypoint": [KD_BINARY, "init"],
            "Env": ["PATH=/bin"],
            "Labels": { LABEL_CONTENT: content },
            "StopSignal": "SIGTERM",
            "WorkingDir": "/",
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer_digest}")] },
        "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "kd node-image build" }],
    })
}

/// A tar archive as a list of pieces, so that large contents are not copied.
#[derive(Default)]
struct Pieces {
    pieces: Vec<Bytes>,
}

impl Pieces {
    fn directory(&mut self, path: &str, mode: u32) -> io::Result<()> {
        self.header(&format!("{path}/"), EntryType::Directory, mode, 0, None)
    }

    fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.header(path, EntryType::Symlink, 0o777, 0, Some(target))
    }

    fn file(&mut self, path: &str, mode: u32, content: Bytes) -> io::Result<()> {
        self.header(path, EntryType::Regular, mode, content.len(), None)?;
        let length = content.len();
        self.pieces.push(content);
        self.pad(length);
        Ok(())
    }

    fn nested(&mut self, path: &str, content: Vec<Bytes>) -> io::Result<()> {
        let length = content.iter().map(Bytes::len).sum();
        self.header(path, EntryType::Regular, 0o644, length, None)?;
        self.pieces.extend(content);
        self.pad(length);
        Ok(())
    }

    fn header(
        &mut self,
        path: &str,
        kind: EntryType,
        mode: u32,
        size: usize,
        link: Option<&str>,
    ) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_path(path)?;
        if let Some(target) = link {
            header.set_link_name(target)?;
        }
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size as u64);
        header.set_cksum();
        self.pieces.push(Bytes::copy_from_slice(header.as_bytes()));
        Ok(())
    }

    fn pad(&mut self, length: usize) {
        let padding = length.next_multiple_of(512) - length;
        self.pieces.push(Bytes::from_static(&[0; 512]).slice(..padding));
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.pieces.push(Bytes::from_static(&[0; 1024]));
        self.pieces
    }
}

/// The linker's hash of everything it linked (the note `NT_GNU_BUILD_ID` of an ELF file): reading
/// it takes no time, while hashing a whole executable would be felt at each cluster's start.
fn build_id(executable: &[u8]) -> Option<&[u8]> {
    const PROGRAM_HEADER_NOTE: u32 = 4;
    let word = |offset: usize, size: usize| -> Option<u64> {
        let bytes = executable.get(offset..offset.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    // Only 64-bit little-endian files: every target of the node programs.
    if executable.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = usize::try_from(word(32, 8)?).ok()?;
    let (entry_size, count) = (word(54, 2)? as usize, word(56, 2)? as usize);
    for index in 0..count {
        let entry = table.checked_add(index.checked_mul(entry_size)?)?;
        if word(entry, 4)? != u64::from(PROGRAM_HEADER_NOTE) {
            continue;
        }
        let start = usize::try_from(word(entry + 8, 8)?).ok()?;
        let length = usize::try_from(word(entry + 32, 8)?).ok()?;
        if let Some(id) = executable.get(start..start.checked_add(length)?).and_then(build_id_note)
        {
            return Some(id);
        }
    }
    None
}

fn build_id_note(mut notes: &[u8]) -> Option<&[u8]> {
    const BUILD_ID: u32 = 3;
    while notes.len() >= 12 {
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| notes[at + byte]));
        let (name_size, size, kind) = (word(0) as usize, word(4) as usize, word(8));
        let start = 12 + name_size.checked_next_multiple_of(4)?;
        let content = notes.get(start..start.checked_add(size)?)?;
        if kind == BUILD_ID && notes.get(12..12 + name_size)? == b"GNU\0" && size >= 8 {
            return Some(content);
        }
        notes = notes.get(start + size.checked_next_multiple_of(4)?..)?;
    }
    None
}

/// The hexadecimal SHA-256 of pieces in a row.
pub fn sha256(pieces: &[impl AsRef<[u8]>]) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    pieces.iter().for_each(|piece| hash.update(piece.as_ref()));
    hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl NodeImageArchive {
    /// Writes the archive as one file.
    pub fn write_to(&self, output: &mut impl Write) -> io::Result<()> {
        self.pieces.iter().try_for_each(|piece| output.write_all(piece))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn archive() -> Vec<u8> {
        let executable = Bytes::from_static(b"not really an executable");
        let mut bytes = Vec::new();
        NodeImageArchive::build(executable, "abc", "kd-node:abc")
            .unwrap()
            .write_to(&mut bytes)
            .unwrap();
        bytes
    }

    fn entries(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut archive = tar::Archive::new(bytes);
        let read = |mut entry: tar::Entry<'_, &[u8]>| {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        };
        archive.entries().unwrap().map(|entry| read(entry.unwrap())).collect()
    }

    #[test]
    fn the_archive_is_what_docker_load_wants() {
        let files = entries(&archive());
        let find = |name: &str| &files.iter().find(|(path, _)| path == name).unwrap().1;
        let manifest: serde_json::Value = serde_json::from_slice(find("manifest.json")).unwrap();
        let config_path = manifest[0]["Config"].as_str().unwrap();
        let config: serde_json::Value = serde_json::from_slice(find(config_path)).unwrap();
        assert_eq!(config["config"]["Labels"][LABEL_CONTENT], "abc");
        let layer = find(manifest[0]["Layers"][0].as_str().unwrap());
        let digest = format!("sha256:{}", sha256(&[layer]));
        assert_eq!(config["rootfs"]["diff_ids"][0], digest);
        let inner = entries(layer);
        assert!(inner.iter().any(|(path, content)| path == "kd" && content.starts_with(b"not ")));
    }

    #[test]
    fn the_same_executable_gives_the_same_image() {
        assert_eq!(archive(), archive());
    }

    #[test]
    fn content_is_told_by_the_build_id() {
        assert_ne!(content_hash(b"a"), content_hash(b"b"));
        let mut note = Vec::new();
        note.extend(4u32.to_le_bytes());
        note.extend(8u32.to_le_bytes());
        note.extend(3u32.to_le_bytes());
        note.extend(b"GNU\0ABCDEFGH");
        assert_eq!(build_id_note(&note), Some(&b"ABCDEFGH"[..]));
        assert_eq!(build_id_note(&note[..20]), None);
        assert_eq!(build_id(b"\x7fELF\x02\x01"), None);
        assert_eq!(build_id(b""), None);
    }
}

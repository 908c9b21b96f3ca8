//! `hostPath` volumes: the path as it is, checked against its type.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use k8s_openapi::api::core::v1::HostPathVolumeSource;

/// Checks, and where the type says so makes, the path.
pub fn prepare(source: &HostPathVolumeSource) -> Result<(), String> {
    let path = Path::new(&source.path);
    let kind = source.type_.as_deref().unwrap_or_default();
    let found = fs::metadata(path).ok();
    let file_type = found.as_ref().map(fs::Metadata::file_type);
    let is = |wanted: fn(&fs::FileType) -> bool, name: &str| match file_type.as_ref() {
        Some(found) if wanted(found) => Ok(()),
        _ => Err(format!("hostPath type check failed: {} is not a {name}", source.path)),
    };
    match kind {
        // The bind mount needs something; upstream's runtimes make a directory.
        "" if found.is_none() => make_directory(path),
        "" => Ok(()),
        "DirectoryOrCreate" if found.is_none() => make_directory(path),
        "FileOrCreate" if found.is_none() => make_file(path),
        "Directory" | "DirectoryOrCreate" => is(fs::FileType::is_dir, "directory"),
        "File" | "FileOrCreate" => is(fs::FileType::is_file, "file"),
        "Socket" => is(fs::FileType::is_socket, "socket file"),
        "CharDevice" => is(fs::FileType::is_char_device, "character device"),
        "BlockDevice" => is(fs::FileType::is_block_device, "block device"),
        other => Err(format!("{other} is an invalid volume type")),
    }
}

fn make_directory(path: &Path) -> Result<(), String> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(|error| format!("mkdir {}: {error}", path.display()))
}

fn make_file(path: &Path) -> Result<(), String> {
    let made = fs::OpenOptions::new().create(true).append(true).mode(0o644).open(path);
    made.map(drop).map_err(|error| format!("open {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        let directory = tempfile::tempdir().unwrap();
        let check = |name: &str, kind: &str, ok: bool| {
            let path = directory.path().join(name).to_string_lossy().into_owned();
            let source = HostPathVolumeSource { path, type_: Some(kind.into()) };
            assert_eq!(prepare(&source).is_ok(), ok, "{name} {kind}");
        };
        check("a", "Directory", false);
        check("a", "DirectoryOrCreate", true);
        check("a", "Directory", true);
        check("a", "File", false);
        check("f", "FileOrCreate", true);
        check("f", "File", true);
        check("f", "Socket", false);
        check("x/y", "", true);
        check("f", "Bogus", false);
    }
}

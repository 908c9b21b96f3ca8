//! The images that a new node knows from its first moment. Their layers are on the host already; a
//! node only lacks the records of them.

use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use kd_contract::{IMAGE_RECORDS_DIRECTORY, STATE_DIRECTORY};
use tar::{Archive, Builder, Header};

use crate::docker::{Container, Engine};
use crate::error::{Error, Result};

/// The records of a node as an archive that [`give`] takes; none when it has no images.
pub async fn of(engine: &Engine, node: &str) -> Result<Option<Bytes>> {
    let Some(archive) = engine.read_folder(node, IMAGE_RECORDS_DIRECTORY).await? else {
        return Ok(None);
    };
    let records = repacked(archive.as_slice()).map_err(|source| {
        Error::failure(format!("read which images {node} has")).because(source)
    })?;
    Ok(records.map(Bytes::from))
}

/// Gives records to a container that has not started yet.
pub async fn give(engine: &Engine, container: &Container, records: &Bytes) -> Result<()> {
    engine.write_folder(&container.id, STATE_DIRECTORY, records.clone()).await
}

/// The finished records of an archive, under their paths in the state directory.
fn repacked(archive: impl Read) -> io::Result<Option<Vec<u8>>> {
    let folder = Path::new(IMAGE_RECORDS_DIRECTORY);
    let folder = folder.strip_prefix(STATE_DIRECTORY).map_err(io::Error::other)?;
    let mut output = Builder::new(Vec::new());
    let mut is_empty = true;
    for entry in Archive::new(archive).entries()? {
        let entry = entry?;
        let path = entry.path()?.into_owned();
        let name = path.file_name().filter(|_| path.extension().is_some_and(|e| e == "json"));
        let Some(name) = name.filter(|_| entry.header().entry_type().is_file()) else { continue };
        let mut header = Header::new_gnu();
        header.set_size(entry.size());
        header.set_mode(0o644);
        output.append_data(&mut header, folder.join(name), entry)?;
        is_empty = false;
    }
    let archive = output.into_inner()?;
    Ok((!is_empty).then_some(archive))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(paths: &[&str]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        let mut folder = Header::new_gnu();
        folder.set_entry_type(tar::EntryType::Directory);
        folder.set_size(0);
        builder.append_data(&mut folder, "images/", io::empty()).unwrap();
        for path in paths {
            let mut header = Header::new_gnu();
            header.set_size(2);
            builder.append_data(&mut header, path, &b"{}"[..]).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn finished_records_get_their_place() {
        let check = |paths: &[&str], expect: Option<&[&str]>| {
            let records = repacked(archive(paths).as_slice()).unwrap();
            let found = records.map(|records| {
                let mut records = Archive::new(records.as_slice());
                let path = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
                    entry.unwrap().path().unwrap().display().to_string()
                };
                records.entries().unwrap().map(path).collect::<Vec<_>>()
            });
            let expect = expect.map(|all| all.iter().map(ToString::to_string).collect());
            assert_eq!(found, expect, "{paths:?}");
        };
        check(&[], None);
        check(&["images/sha256-a.7.tmp"], None);
        check(
            &["images/sha256-a.json", "images/sha256-b.7.tmp"],
            Some(&["lib/kd/images/sha256-a.json"]),
        );
    }
}

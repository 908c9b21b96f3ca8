//! Variables from files that other containers of the pod wrote (`fileKeyRef`, KEP-3721). A file is lines
//! of `NAME='value'`; a value is taken as it is, over several lines too. Empty lines and those that
//! begin with `#` count for nothing.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

/// A larger file is refused.
const BYTES_MAX: u64 = 64 << 10;

/// Reads a file of a volume; links lead nowhere out of it.
pub fn read(volume: &Path, path: &str) -> io::Result<String> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let file = File::from(openat2(File::open(volume)?.as_fd(), path, how)?);
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > BYTES_MAX {
        return Err(io::Error::other("it is no file of at most 64 KiB"));
    }
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// The value of a name; the last one of several. An error where the file is not written so.
pub fn value(text: &str, name: &str) -> Result<Option<String>, String> {
    let mut found = None;
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            rest = after;
            continue;
        }
        let wrong = || "couldn't parse env file".to_owned();
        let (key, begun) = rest.split_once("='").ok_or_else(wrong)?;
        let key = key.trim_start();
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_graphic() && c != '=') {
            return Err(wrong());
        }
        let (value, ended) = begun.split_once('\'').ok_or_else(wrong)?;
        let (tail, after) = ended.split_once('\n').unwrap_or((ended, ""));
        if !tail.trim().is_empty() {
            return Err(wrong());
        }
        if key == name {
            found = Some(value.to_owned());
        }
        rest = after;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let check = |text: &str, name: &str, expect: Result<Option<&str>, ()>| {
            let found = value(text, name).map_err(drop);
            assert_eq!(found, expect.map(|value| value.map(str::to_owned)), "{text:?}");
        };
        let file = "# head\n\nA='1'\n  B='two words # kept'  \nC='x\ny'\nA='3'";
        check(file, "A", Ok(Some("3")));
        check(file, "B", Ok(Some("two words # kept")));
        check(file, "C", Ok(Some("x\ny")));
        check(file, "D", Ok(None));
        check("A=1\n", "A", Err(()));
        check("A='1", "A", Err(()));
        check("A='1' B='2'\n", "A", Err(()));
        check("='1'\n", "A", Err(()));
        check("", "A", Ok(None));
    }

    #[test]
    fn files_stay_in_their_volume() {
        let volume = tempfile::tempdir().unwrap();
        std::fs::write(volume.path().join("env"), "A='1'").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", volume.path().join("out")).unwrap();
        assert_eq!(read(volume.path(), "env").unwrap(), "A='1'");
        assert!(read(volume.path(), "out").is_err());
        assert!(read(volume.path(), ".").is_err());
    }
}

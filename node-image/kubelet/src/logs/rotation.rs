//! Rotating the logs of running containers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// Moves a log aside when it has grown past `size_bytes_max`, and removes the oldest beyond
/// `files_max` (the current one counts). Returns true when the writer must open the log again.
pub fn rotate(
    log: &Path,
    size_bytes_max: u64,
    files_max: usize,
    now: Timestamp,
) -> io::Result<bool> {
    match fs::metadata(log) {
        Ok(metadata) if metadata.len() > size_bytes_max => {}
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    let mut old = rotated(log)?;
    // The one that is moved aside now is one more.
    let kept = files_max.saturating_sub(2);
    let superfluous = old.len().saturating_sub(kept);
    for path in old.drain(..superfluous) {
        fs::remove_file(path)?;
    }
    fs::rename(log, rotated_name(log, now))?;
    Ok(true)
}

/// The name of a log that is moved aside: sorted by name is sorted by time.
pub fn rotated_name(log: &Path, now: Timestamp) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".{}", now.strftime("%Y%m%d-%H%M%S")));
    PathBuf::from(name)
}

/// The logs moved aside so far, oldest first.
fn rotated(log: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(directory), Some(name)) = (log.parent(), log.file_name()) else {
        return Ok(Vec::new());
    };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_so_many() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("0.log");
        for second in 0..6 {
            fs::write(&log, "0123456789").unwrap();
            let now = Timestamp::from_second(second).unwrap();
            assert!(!rotate(&log, 10, 3, now).unwrap(), "not past the limit");
            assert!(rotate(&log, 9, 3, now).unwrap());
        }
        fs::write(&log, "").unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
        let newest = rotated_name(&log, Timestamp::from_second(5).unwrap());
        assert!(newest.exists());
    }
}

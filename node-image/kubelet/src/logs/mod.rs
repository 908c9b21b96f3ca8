//! Container logs in the runtimes' common form: reading, following, rotating.

mod line;
mod reader;
mod rotation;
mod watch;

pub use line::{Line, Stream};
pub use reader::{LogOptions, read_log};
pub use rotation::{rotate, rotated_name};
pub(crate) use watch::FileWatch;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// The end of a log as plain text: at most so many lines and bytes.
pub fn last_lines(path: &Path, lines_max: usize, bytes_max: usize) -> io::Result<String> {
    // Each line has a stamp, a stream and a tag before its text.
    const LINE_OVERHEAD_BYTES: usize = 64;
    let mut file = File::open(path)?;
    let wanted = (bytes_max + lines_max * LINE_OVERHEAD_BYTES) as u64;
    let from = file.metadata()?.len().saturating_sub(wanted);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(wanted).read_to_end(&mut bytes)?;
    let mut raw: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
    if from > 0 && !raw.is_empty() {
        raw.remove(0);
    }
    let skipped = raw.len().saturating_sub(lines_max);
    let mut text = Vec::new();
    for line in raw.into_iter().skip(skipped).filter_map(Line::parse) {
        text.extend_from_slice(line.content);
        if line.ends {
            text.push(b'\n');
        }
    }
    let skipped = text.len().saturating_sub(bytes_max);
    Ok(String::from_utf8_lossy(&text[skipped..]).into_owned())
}

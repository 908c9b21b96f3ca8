//! Container logs in CRI format: `<time> <stream> <P|F> <line>`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// Longer lines are written in parts, all but the last marked `P`.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

/// A log file.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: Option<File>,
}

impl Log {
    /// Opens a log for appending, with its directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut log = Self { path: path.to_owned(), file: None };
        log.reopen()?;
        Ok(log)
    }

    /// Opens the path again, after rotation.
    pub fn reopen(&mut self) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        if let Some(parent) = self.path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let options = File::options().create(true).append(true).mode(0o640).to_owned();
        self.file = Some(options.open(&self.path)?);
        Ok(())
    }

    /// Appends whole entries. A full disk loses log lines, never the container.
    pub fn write(&mut self, entries: &[u8]) {
        if let Some(file) = self.file.as_mut().filter(|_| !entries.is_empty()) {
            let _ = file.write_all(entries);
        }
    }
}

/// Cuts one stream into entries.
#[derive(Debug)]
pub struct Lines {
    stream: &'static str,
    line: Vec<u8>,
}

impl Lines {
    /// For `stdout` or `stderr`.
    pub fn new(stream: &'static str) -> Self {
        Self { stream, line: Vec::new() }
    }

    /// Appends to `entries` what `bytes` completes.
    pub fn push(&mut self, bytes: &[u8], now: Timestamp, entries: &mut Vec<u8>) {
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            if *first == b'\n' {
                self.emit('F', now, entries);
                rest = &rest[1..];
                continue;
            }
            if self.line.len() == LINE_BYTES_MAX {
                self.emit('P', now, entries);
            }
            let window = &rest[..rest.len().min(LINE_BYTES_MAX - self.line.len())];
            let end = window.iter().position(|byte| *byte == b'\n').unwrap_or(window.len());
            self.line.extend_from_slice(&window[..end]);
            rest = &rest[end..];
        }
    }

    /// Ends the stream: a last line without a newline stays without one.
    pub fn finish(&mut self, now: Timestamp, entries: &mut Vec<u8>) {
        if !self.line.is_empty() {
            self.emit('P', now, entries);
        }
    }

    fn emit(&mut self, tag: char, now: Timestamp, entries: &mut Vec<u8>) {
        let mut head = String::with_capacity(48);
        let _ = write!(head, "{now:.9} {} {tag} ", self.stream);
        entries.extend_from_slice(head.as_bytes());
        entries.append(&mut self.line);
        entries.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(parts: &[&str], expect: &[(&str, &str)]) {
        let now: Timestamp = "2026-01-02T03:04:05.5Z".parse().unwrap();
        let mut lines = Lines::new("stdout");
        let mut entries = Vec::new();
        for part in parts {
            lines.push(part.as_bytes(), now, &mut entries);
        }
        lines.finish(now, &mut entries);
        let expect: String = expect
            .iter()
            .map(|(tag, text)| format!("2026-01-02T03:04:05.500000000Z stdout {tag} {text}\n"))
            .collect();
        assert_eq!(String::from_utf8(entries).unwrap(), expect);
    }

    #[test]
    fn lines() {
        check(&["a\nb\n"], &[("F", "a"), ("F", "b")]);
        check(&["a", "b\n\n", "c"], &[("F", "ab"), ("F", ""), ("P", "c")]);
        check(&[], &[]);
        let long = "x".repeat(LINE_BYTES_MAX);
        check(&[&long, "tail\n"], &[("P", &long), ("F", "tail")]);
        check(&[&format!("{long}tail\n")], &[("P", &long), ("F", "tail")]);
        check(&[&format!("{long}\nnext\n")], &[("F", &long), ("F", "next")]);
    }
}

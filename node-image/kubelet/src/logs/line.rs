//! One line of a log file: `<RFC 3339 time> <stdout|stderr> <P|F> <text>`.

use jiff::Timestamp;

/// Which of the container's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line of a log file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line<'a> {
    /// When it was written, as in the file.
    pub stamp: &'a [u8],
    /// Where.
    pub stream: Stream,
    /// Whether the container's own line ends here (else it was too long and goes on).
    pub ends: bool,
    /// What.
    pub content: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads a line; `None` when it is not in the form.
    pub fn parse(raw: &'a [u8]) -> Option<Line<'a>> {
        let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
        let mut parts = raw.splitn(4, |b| *b == b' ');
        let stamp = parts.next()?;
        let stream = match parts.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        // Tags may be several, divided by colons; the first is the one.
        let ends = match parts.next()?.split(|b| *b == b':').next()? {
            b"F" => true,
            b"P" => false,
            _ => return None,
        };
        Some(Line { stamp, stream, ends, content: parts.next().unwrap_or_default() })
    }

    /// When it was written.
    pub fn time(&self) -> Option<Timestamp> {
        std::str::from_utf8(self.stamp).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let check = |raw: &str, expect: Option<(Stream, bool, &str)>| {
            let line = Line::parse(raw.as_bytes());
            let found = line.map(|l| (l.stream, l.ends, std::str::from_utf8(l.content).unwrap()));
            assert_eq!(found, expect, "{raw}");
        };
        check("2024-01-01T00:00:00.1Z stdout F a b\n", Some((Stream::Stdout, true, "a b")));
        check("2024-01-01T00:00:00Z stderr P a", Some((Stream::Stderr, false, "a")));
        check("2024-01-01T00:00:00Z stdout F \n", Some((Stream::Stdout, true, "")));
        check("2024-01-01T00:00:00Z stdout F:x y\n", Some((Stream::Stdout, true, "y")));
        check("junk\n", None);
        let line = Line::parse(b"2024-01-01T00:00:00.5+01:00 stdout F x").unwrap();
        assert_eq!(line.time().unwrap().to_string(), "2023-12-31T23:00:00.5Z");
    }
}

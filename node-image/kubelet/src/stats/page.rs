//! A page of metrics in Prometheus' text format.

use std::fmt::Write;

use jiff::Timestamp;

/// A page under construction.
#[derive(Default)]
pub struct Page(String);

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// Labels of a sample, in the order in which they are written.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    /// Begins a metric; its samples follow.
    pub fn metric(&mut self, name: &str, sort: Sort, help: &str) {
        let sort = match sort {
            Sort::Counter => "counter",
            Sort::Gauge => "gauge",
        };
        // Writing to a String cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {sort}\n");
    }

    /// A sample of the present.
    pub fn sample(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        self.write(name, labels, value, None);
    }

    /// A sample with the time of its reading.
    pub fn sample_at(&mut self, name: &str, labels: Labels<'_>, value: f64, at: Timestamp) {
        self.write(name, labels, value, Some(at));
    }

    /// The text.
    pub fn text(self) -> String {
        self.0
    }

    fn write(&mut self, name: &str, labels: Labels<'_>, value: f64, at: Option<Timestamp>) {
        self.0.push_str(name);
        for (position, (label, value)) in labels.iter().enumerate() {
            let before = if position == 0 { '{' } else { ',' };
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{before}{label}=\"{escaped}\"");
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = write!(self.0, " {value}");
        if let Some(at) = at {
            let _ = write!(self.0, " {}", at.as_millisecond());
        }
        self.0.push('\n');
    }
}

/// Nanoseconds as seconds.
pub fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// A time as seconds since 1970.
pub fn unix(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text() {
        let mut page = Page::default();
        page.metric("a_total", Sort::Counter, "How many.");
        page.sample("a_total", &[], 2.0);
        page.metric("b", Sort::Gauge, "How much.");
        let at = Timestamp::from_millisecond(1500).unwrap();
        page.sample_at("b", &[("x", "say \"hi\""), ("y", "")], 0.25, at);
        assert_eq!(
            page.text(),
            "# HELP a_total How many.\n# TYPE a_total counter\na_total 2\n\
             # HELP b How much.\n# TYPE b gauge\nb{x=\"say \\\"hi\\\"\",y=\"\"} 0.25 1500\n"
        );
    }
}

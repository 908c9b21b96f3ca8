//! What components count, in Prometheus' text format.

use std::fmt::Write;

/// How many values are how large.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// Upper bounds of the buckets; what is larger is in a last one.
    bounds: &'static [f64],
    counts: Box<[u64]>,
    sum: f64,
}

impl Histogram {
    /// An empty one with these upper bounds, which rise.
    pub fn of(bounds: &'static [f64]) -> Histogram {
        Histogram { bounds, counts: vec![0; bounds.len() + 1].into(), sum: 0.0 }
    }

    /// Counts a value.
    pub fn observe(&mut self, value: f64) {
        self.counts[self.bounds.partition_point(|bound| *bound < value)] += 1;
        self.sum += value;
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Appends the series with these labels (`a="b",c="d"`, may be empty) if it has values.
    pub fn expose(&self, text: &mut String, family: &str, labels: &str) {
        if self.count() == 0 {
            return;
        }
        let comma = if labels.is_empty() { "" } else { "," };
        let mut total = 0;
        for (place, count) in self.counts.iter().enumerate() {
            total += count;
            let bound = self.bounds.get(place).map_or_else(|| "+Inf".into(), f64::to_string);
            sample(
                text,
                &format!("{family}_bucket"),
                &format!("{labels}{comma}le={bound:?}"),
                total,
            );
        }
        sample(text, &format!("{family}_sum"), labels, self.sum);
        sample(text, &format!("{family}_count"), labels, total);
    }
}

/// Appends the head of a family: `sort` is `counter`, `gauge` or `histogram`.
pub fn family(text: &mut String, name: &str, sort: &str, help: &str) {
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {sort}");
}

/// Appends one value with its labels (`a="b",c="d"`, may be empty).
pub fn sample(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = match labels {
        "" => writeln!(text, "{name} {value}"),
        labels => writeln!(text, "{name}{{{labels}}} {value}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_buckets() {
        let check = |labels: &str, values: &[f64], expect: &str| {
            let mut histogram = Histogram::of(&[0.5, 2.0]);
            values.iter().for_each(|value| histogram.observe(*value));
            let mut text = String::new();
            histogram.expose(&mut text, "f", labels);
            assert_eq!(text, expect);
        };
        check("", &[], "");
        check(
            "",
            &[0.5, 1.0, 4.0],
            "f_bucket{le=\"0.5\"} 1\nf_bucket{le=\"2\"} 2\nf_bucket{le=\"+Inf\"} 3\n\
             f_sum 5.5\nf_count 3\n",
        );
        check(
            "a=\"b\"",
            &[1.0],
            "f_bucket{a=\"b\",le=\"0.5\"} 0\nf_bucket{a=\"b\",le=\"2\"} 1\n\
             f_bucket{a=\"b\",le=\"+Inf\"} 1\nf_sum{a=\"b\"} 1\nf_count{a=\"b\"} 1\n",
        );
    }

    #[test]
    fn families() {
        let mut text = String::new();
        family(&mut text, "n", "gauge", "How many.");
        sample(&mut text, "n", "", 3);
        sample(&mut text, "n", "a=\"b\"", 0.5);
        assert_eq!(text, "# HELP n How many.\n# TYPE n gauge\nn 3\nn{a=\"b\"} 0.5\n");
    }
}

//! Sets of completion indexes, written as `1,3-5,7`.

use std::collections::BTreeSet;
use std::fmt;

/// A set of indexes as ranges in order, none of which touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes {
    ranges: Vec<(usize, usize)>,
}

impl Indexes {
    /// Reads the written form; what cannot be read or is not below `limit` is left out.
    pub fn parse(text: &str, limit: usize) -> Indexes {
        let mut indexes = Indexes::default();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Ok(first), Ok(last)) = (first.trim().parse(), last.trim().parse::<usize>()) else {
                continue;
            };
            let last = last.min(limit.saturating_sub(1));
            if first <= last && first < limit {
                indexes.ranges.push((first, last));
            }
        }
        indexes.normalized()
    }

    pub fn of(indexes: impl IntoIterator<Item = usize>) -> Indexes {
        let ordered: BTreeSet<usize> = indexes.into_iter().collect();
        Indexes { ranges: ordered.into_iter().map(|index| (index, index)).collect() }.normalized()
    }

    pub fn union(&self, other: &Indexes) -> Indexes {
        Indexes { ranges: [self.ranges.as_slice(), &other.ranges].concat() }.normalized()
    }

    pub fn has(&self, index: usize) -> bool {
        let place = self.ranges.partition_point(|(_, last)| *last < index);
        self.ranges.get(place).is_some_and(|(first, _)| *first <= index)
    }

    /// How many indexes there are.
    pub fn total(&self) -> usize {
        self.ranges.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// How many indexes both have.
    pub fn shared_with(&self, other: &Indexes) -> usize {
        let overlaps = |(first, last): &(usize, usize)| {
            let parts = other.ranges.iter().map(move |(a, b)| (*a.max(first), *b.min(last)));
            parts.filter(|(a, b)| a <= b).map(|(a, b)| b - a + 1).sum::<usize>()
        };
        self.ranges.iter().map(overlaps).sum()
    }

    /// The first `count` indexes below `limit` that are not in the set.
    pub fn missing(&self, count: usize, limit: usize) -> Vec<usize> {
        let mut missing = Vec::new();
        let mut next = 0;
        let end = [(limit, limit)];
        for (first, last) in self.ranges.iter().chain(&end) {
            let until = (*first).min(limit);
            missing.extend((next..until).take(count - missing.len()));
            next = next.max(last + 1);
        }
        missing
    }

    fn normalized(mut self) -> Indexes {
        self.ranges.sort_unstable();
        let mut ranges: Vec<(usize, usize)> = Vec::with_capacity(self.ranges.len());
        for (first, last) in self.ranges {
            match ranges.last_mut() {
                Some(before) if first <= before.1 + 1 => before.1 = before.1.max(last),
                _ => ranges.push((first, last)),
            }
        }
        Indexes { ranges }
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        let check = |text: &str, total: usize, expect: &str| {
            let indexes = Indexes::parse(text, 10);
            assert_eq!(
                (indexes.total(), indexes.to_string()),
                (total, expect.to_owned()),
                "{text}"
            );
        };
        check("", 0, "");
        check("0", 1, "0");
        check("0,1", 2, "0,1");
        check("0,1,2", 3, "0-2");
        check("5-7,1,3,2", 6, "1-3,5-7");
        check("8-20,x,4-2", 2, "8,9");
        assert_eq!(Indexes::of([4, 2, 3, 9, 2]).to_string(), "2-4,9");
    }

    #[test]
    fn sets() {
        let check = |text: &str, count: usize, expect: &[usize]| {
            assert_eq!(Indexes::parse(text, 10).missing(count, 10), expect, "{text} {count}");
        };
        check("", 3, &[0, 1, 2]);
        check("0-3,5", 2, &[4, 6]);
        check("0-8", 5, &[9]);
        check("0-9", 5, &[]);
        let (a, b) = (Indexes::parse("1-5,8", 10), Indexes::parse("4-8", 10));
        assert_eq!((a.shared_with(&b), a.union(&b).to_string()), (3, "1-8".to_owned()));
        assert!(a.has(5) && a.has(8) && !a.has(6) && !a.has(0) && !a.has(9));
    }
}

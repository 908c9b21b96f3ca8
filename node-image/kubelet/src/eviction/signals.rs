//! What may run short, below what it is short, and which condition of the node tells of it. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::Pressure;
use crate::lifecycle::backoff::since;

/// Something that may run short, in the order in which shortages are met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// `memory.available`
    MemoryAvailable,
    /// `nodefs.available`
    DiskAvailable,
    /// `imagefs.available`: the same disk, with a threshold of its own.
    ImagesAvailable,
    /// `nodefs.inodesFree`
    DiskInodesFree,
    /// `pid.available`
    PidsAvailable,
}

/// Conditions of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// `MemoryPressure`
    Memory,
    /// `DiskPressure`
    Disk,
    /// `PIDPressure`
    Pids,
}

impl Condition {
    /// Its type.
    pub fn as_str(self) -> &'static str {
        match self {
            Condition::Memory => "MemoryPressure",
            Condition::Disk => "DiskPressure",
            Condition::Pids => "PIDPressure",
        }
    }
}

impl Signal {
    /// The condition that tells of it.
    pub fn condition(self) -> Condition {
        match self {
            Signal::MemoryAvailable => Condition::Memory,
            Signal::DiskAvailable | Signal::ImagesAvailable | Signal::DiskInodesFree => {
                Condition::Disk
            }
            Signal::PidsAvailable => Condition::Pids,
        }
    }

    /// The resource's name in messages.
    pub fn resource(self) -> &'static str {
        match self {
            Signal::MemoryAvailable => "memory",
            Signal::DiskAvailable | Signal::ImagesAvailable => "ephemeral-storage",
            Signal::DiskInodesFree => "inodes",
            Signal::PidsAvailable => "pids",
        }
    }
}

/// How much there is and how much is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// All there is.
    pub capacity: u64,
    /// What is left.
    pub available: u64,
}

/// The levels of everything that may run short; none where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Bytes.
    pub memory: Option<Level>,
    /// Bytes.
    pub disk: Option<Level>,
    /// Files.
    pub inodes: Option<Level>,
    /// Process ids.
    pub pids: Option<Level>,
}

/// A signal below its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// What is short.
    pub signal: Signal,
    /// Below what it is short.
    pub threshold: u64,
    /// What is left.
    pub available: u64,
}

/// What is below its threshold, the most urgent first.
pub fn met(levels: &Levels, limits: &Pressure) -> Vec<Shortage> {
    let percent = |level: Option<Level>, percent: u8| {
        level.map_or(0, |level| level.capacity / 100 * u64::from(percent))
    };
    let table = [
        (Signal::MemoryAvailable, levels.memory, limits.memory_available_bytes_min),
        (
            Signal::DiskAvailable,
            levels.disk,
            percent(levels.disk, limits.disk_available_percent_min),
        ),
        (
            Signal::ImagesAvailable,
            levels.disk,
            percent(levels.disk, limits.images_available_percent_min),
        ),
        (
            Signal::DiskInodesFree,
            levels.inodes,
            percent(levels.inodes, limits.inodes_free_percent_min),
        ),
        (
            Signal::PidsAvailable,
            levels.pids,
            percent(levels.pids, limits.pids_available_percent_min),
        ),
    ];
    let short = table.into_iter().filter_map(|(signal, level, threshold)| {
        let available = level.filter(|level| level.capacity > 0)?.available;
        (available < threshold).then_some(Shortage { signal, threshold, available })
    });
    short.collect()
}

/// The conditions that hold, each with when its shortage was last seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pressures(BTreeMap<Condition, Timestamp>);

impl Pressures {
    /// These signals are short now.
    pub fn note(&mut self, short: &[Signal], now: Timestamp) {
        self.0.extend(short.iter().map(|signal| (signal.condition(), now)));
    }

    /// A condition ends only a while after its shortage: pods would come and go otherwise.
    pub fn expire(&mut self, now: Timestamp, after: Duration) {
        self.0.retain(|_, seen| since(*seen, now) < after);
    }

    /// The conditions that hold.
    pub fn conditions(&self) -> Vec<Condition> {
        self.0.keys().copied().collect()
    }

    /// Whether a condition holds.
    pub fn has(&self, condition: Condition) -> bool {
        self.0.contains_key(&condition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(capacity: u64, available: u64) -> Option<Level> {
        Some(Level { capacity, available })
    }

    #[test]
    fn thresholds() {
        let limits = Pressure::default();
        let check = |levels: Levels, expect: &[Signal]| {
            let found: Vec<Signal> = met(&levels, &limits).iter().map(|s| s.signal).collect();
            assert_eq!(found, expect);
        };
        let mebi = 1 << 20;
        check(Levels::default(), &[]);
        check(Levels { memory: level(8 << 30, 100 * mebi), ..Levels::default() }, &[]);
        check(
            Levels { memory: level(8 << 30, 99 * mebi), ..Levels::default() },
            &[Signal::MemoryAvailable],
        );
        check(
            Levels { disk: level(1000, 120), inodes: level(1000, 49), ..Levels::default() },
            &[Signal::ImagesAvailable, Signal::DiskInodesFree],
        );
        check(
            Levels { disk: level(1000, 99), ..Levels::default() },
            &[Signal::DiskAvailable, Signal::ImagesAvailable],
        );
        check(Levels { pids: level(1000, 1), ..Levels::default() }, &[]);
        // A file system that counts no inodes is never short of them.
        check(Levels { inodes: level(0, 0), ..Levels::default() }, &[]);
    }

    #[test]
    fn conditions_last_a_while() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut pressures = Pressures::default();
        pressures.note(&[Signal::DiskInodesFree, Signal::DiskAvailable], at(0));
        pressures.expire(at(299), Duration::from_secs(300));
        assert_eq!(pressures.conditions(), [Condition::Disk]);
        pressures.note(&[Signal::MemoryAvailable], at(299));
        pressures.expire(at(300), Duration::from_secs(300));
        assert_eq!(pressures.conditions(), [Condition::Memory]);
        assert!(pressures.has(Condition::Memory) && !pressures.has(Condition::Disk));
    }
}

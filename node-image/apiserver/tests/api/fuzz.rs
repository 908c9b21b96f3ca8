//! The inputs of the fuzz targets (`node-image/apiserver/fuzz`), fed with their seeds and with mutations of them.
//! `RANDOM_ROUNDS` asks for more than the rounds of every day.

#[path = "../../fuzz/src/entries.rs"]
mod entries;

use std::path::{Path, PathBuf};
use std::time::Instant;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::random_input::{PATIENCE, break_bytes, rounds};
use entries::ENTRIES;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

/// What is fed, shown when it is what a panic is about.
struct Fed<'a>(&'a str, &'a [u8]);

impl Drop for Fed<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} was fed {}", self.0, self.1.escape_ascii());
        }
    }
}

fn feed(name: &str, take: fn(&[u8]), bytes: &[u8]) {
    let fed = Fed(name, bytes);
    let began = Instant::now();
    take(bytes);
    assert!(began.elapsed() < PATIENCE);
    drop(fed);
}

#[test]
fn every_entry_has_a_target_and_seeds() {
    let known: Vec<&str> = ENTRIES.iter().map(|(name, _)| *name).collect();
    assert!(known.is_sorted(), "{known:?}");
    assert_eq!(names(&folder().join("targets")), known);
    assert_eq!(names(&folder().join("corpus")), known);
    let manifest = std::fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for name in known {
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name}");
        let target = std::fs::read_to_string(folder().join(format!("targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("kd_fuzz::feed(\"{name}\", bytes)")), "{target}");
    }
}

#[test]
fn seeds_and_their_mutations() {
    let mut random = StdRng::seed_from_u64(7);
    for (name, take) in ENTRIES {
        let corpus = folder().join("corpus").join(name);
        let seeds: Vec<Vec<u8>> =
            names(&corpus).iter().map(|seed| std::fs::read(corpus.join(seed)).unwrap()).collect();
        for seed in &seeds {
            feed(name, *take, seed);
        }
        for _ in 0..rounds() {
            let mut bytes = seeds.choose(&mut random).unwrap().clone();
            break_bytes(&mut bytes, &mut random);
            feed(name, *take, &bytes);
            let other = seeds.choose(&mut random).unwrap();
            let from = random.random_range(0..other.len());
            bytes.extend_from_slice(&other[from..]);
            feed(name, *take, &bytes);
        }
    }
}

//! The files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold nothing of the project.
const SKIPPED: &[&str] = &[".git", "target"];

/// A text file.
pub struct File {
    /// Its path below the repository's root.
    pub path: String,
    pub text: String,
}

impl File {
    /// The name without folder and extension.
    pub fn stem(&self) -> &str {
        Path::new(&self.path).file_stem().and_then(|stem| stem.to_str()).unwrap_or("")
    }

    /// Whether the whole file is there for tests.
    pub fn is_test(&self) -> bool {
        let in_folder = self.path.split('/').any(|part| part == "tests" || part == "benches");
        in_folder || matches!(self.stem(), "testing" | "tests") || self.stem().ends_with("_tests")
    }
}

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file that must be there.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of a folder's entries, sorted; what editors and tools hide there does not count.
pub fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|e| panic!("{folder}: {e}"));
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// Every text file.
pub fn text_files() -> Vec<File> {
    let mut files = Vec::new();
    collect(root(), &mut files);
    assert!(files.len() > 100, "the tree is not where the tests look");
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Every Rust file.
pub fn rust_files() -> Vec<File> {
    text_files().into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

fn collect(folder: &Path, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path: PathBuf = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && !SKIPPED.iter().any(|name| entry.file_name() == *name) {
            collect(&path, files);
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(&path)
        {
            let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            files.push(File { path, text });
        }
    }
}

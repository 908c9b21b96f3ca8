//! Files that follow from others: documents, lists, completions, the lock file.

use std::process::Command;

use crate::tree;

/// Crates that must not come in by any way: they need C compilers, or the host's libraries.
const FORBIDDEN_CRATES: &[&str] = &["aws-lc-rs", "aws-lc-sys", "native-tls", "openssl-sys"];

const COMPLETIONS: &[(&str, &str)] =
    &[("_kd", "zsh"), ("kd.bash", "bash"), ("kd.fish", "fish"), ("kd.ps1", "powershell")];

#[test]
fn the_map_of_the_code_is_complete() {
    let map = tree::read("ARCHITECTURE.md");
    let crates = tree::names("node-image").into_iter().map(|name| format!("node-image/{name}"));
    let sources = tree::names("src").into_iter().map(|name| format!("src/{name}"));
    let unnamed: Vec<String> =
        crates.chain(sources).filter(|path| !map.contains(&format!("`{path}`"))).collect();
    assert!(unnamed.is_empty(), "ARCHITECTURE.md does not name {unnamed:?}");
}

#[test]
fn every_story_is_told() {
    let list = tree::read("tests/e2e/main.rs");
    for file in tree::names("tests/e2e").iter().filter(|file| *file != "main.rs") {
        // What is not Rust is a program that a story runs.
        let Some(name) = file.strip_suffix(".rs") else { continue };
        assert!(list.contains(&format!("\nmod {name};")), "tests/e2e/{file} is not in main.rs");
        let text = tree::read(&format!("tests/e2e/{file}"));
        let has_tests = text.contains("\npub const TESTS:");
        assert!(
            !has_tests || list.contains(&format!("{name}::TESTS")),
            "the tests of tests/e2e/{file} do not run"
        );
        for function in text.lines().filter_map(fixture_test) {
            assert!(
                text.contains(&format!("(\"{function}\", {function})")),
                "tests/e2e/{file}: {function} is not in its TESTS"
            );
        }
    }
}

/// The name of a private function whose only parameter is the fixture: a test.
fn fixture_test(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("fn ")?;
    rest.strip_suffix("(fixture: &Fixture) {")
}

#[test]
fn completions_are_fresh() {
    let files: Vec<&str> = COMPLETIONS.iter().map(|(file, _)| *file).collect();
    assert_eq!(tree::names("completions"), files);
    for (file, shell) in COMPLETIONS {
        let kd = env!("CARGO_BIN_EXE_kd");
        let printed = Command::new(kd).args(["completion", shell]).output().unwrap();
        let committed = tree::read(&format!("completions/{file}"));
        assert!(
            committed.as_bytes() == printed.stdout,
            "renew it: kd completion {shell} > completions/{file}"
        );
    }
}

#[test]
fn unwanted_crates_stay_out() {
    let lock = tree::read("Cargo.lock");
    for package in lock.split("[[package]]") {
        let name = package.lines().find_map(|line| line.strip_prefix("name = "));
        let name = name.unwrap_or("").trim_matches('"');
        assert!(!FORBIDDEN_CRATES.contains(&name), "{name} came in: cargo tree -i {name}");
        // The feature shows by the crate that it needs; it would reorder objects everywhere.
        let preserves_order = name == "serde_json" && package.contains("\"indexmap\"");
        assert!(
            !preserves_order,
            "serde_json has preserve_order: cargo tree -e features -i serde_json"
        );
    }
}

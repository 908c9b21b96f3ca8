//! How files and functions look.

use crate::exceptions::{Rule, Violation, judge};
use crate::{code, tree};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
const HEADER_LINES_MAX: usize = 8;

/// Crates whose work cannot be done without `unsafe`.
const UNSAFE_ALLOWED: &[&str] = &["node-image/network/", "node-image/runtime/"];

/// A file is named for what is in it.
const EMPTY_NAMES: &[&str] =
    &["common", "helper", "helpers", "manager", "managers", "misc", "util", "utilities", "utils"];

const PRINTING: &[&str] = &["eprint", "eprintln", "print", "println"];
const UNFINISHED: &[&str] = &["dbg", "todo", "unimplemented"];

/// Folders of somebody's own machine, and talk about how a text came to be.
const FOREIGN_WORDS: &[&str] = &["/Users/", "as requested", "the brief "];

#[test]
fn every_file_says_what_it_is() {
    let mut violations = Vec::new();
    for file in tree::rust_files() {
        match file.text.lines().take_while(|line| line.starts_with("//!")).count() {
            0 => violations.push(Violation::new(file.path, "opens without `//!`")),
            1..=HEADER_LINES_MAX => {}
            lines => violations.push(Violation::new(file.path, format!("{lines} lines of `//!`"))),
        }
    }
    judge(Rule::Header, &violations);
}

#[test]
fn files_are_small() {
    let mut violations = Vec::new();
    for file in product_files() {
        let lines = file.text.lines().filter(|line| !line.trim().is_empty()).count();
        if lines > FILE_LINES_MAX {
            violations.push(Violation::new(file.path, format!("{lines} lines besides tests")));
        }
    }
    judge(Rule::FileLength, &violations);
}

#[test]
fn functions_are_small() {
    let mut violations = Vec::new();
    for file in product_files() {
        for function in code::functions(&file.text) {
            if function.lines > FUNCTION_LINES_MAX {
                let what = format!("{} has {} lines", function.name, function.lines);
                violations.push(Violation::new(file.path.clone(), what));
            }
        }
    }
    judge(Rule::FunctionLength, &violations);
}

#[test]
fn unsafe_stays_in_its_crates() {
    let mut violations = Vec::new();
    for file in tree::rust_files() {
        let allowed = UNSAFE_ALLOWED.iter().any(|folder| file.path.starts_with(folder));
        let code = code::without_texts(&file.text);
        if !allowed && code::words(&code).any(|(_, word)| word == "unsafe") {
            violations.push(Violation::new(file.path, "uses unsafe"));
        }
    }
    judge(Rule::Unsafe, &violations);
}

#[test]
fn names_say_something() {
    let mut violations = Vec::new();
    for file in tree::text_files() {
        let parts = file.path.split('/').map(|part| part.split('.').next().unwrap_or(part));
        if let Some(part) = parts.into_iter().find(|part| EMPTY_NAMES.contains(part)) {
            violations.push(Violation::new(file.path.clone(), format!("{part} says nothing")));
        }
    }
    judge(Rule::Names, &violations);
}

#[test]
fn nothing_is_left_for_later() {
    judge(Rule::Unfinished, &calls_of(tree::rust_files(), UNFINISHED));
}

/// Standard output is data and standard error is status, so one file decides.
#[test]
fn one_file_prints() {
    let is_of_command = |file: &tree::File| file.path.starts_with("src/");
    let files = product_files().into_iter().filter(is_of_command);
    let files = files.filter(|file| file.path != "src/ui.rs").collect();
    judge(Rule::Prints, &calls_of(files, PRINTING));
}

/// The files that use one of these macros.
fn calls_of(files: Vec<tree::File>, macros: &[&str]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in files {
        let code = code::without_texts(&file.text);
        let is_macro = |at: usize, word: &str| code[at + word.len()..].starts_with('!');
        let found = code::words(&code).find(|(at, w)| macros.contains(w) && is_macro(*at, w));
        if let Some((_, word)) = found {
            violations.push(Violation::new(file.path, format!("{word}!")));
        }
    }
    violations
}

#[test]
fn texts_speak_of_the_product() {
    let mut violations = Vec::new();
    for file in tree::text_files().iter().filter(|file| file.path != "tests/tidy/style.rs") {
        for word in FOREIGN_WORDS.iter().filter(|word| file.text.contains(**word)) {
            violations.push(Violation::new(file.path.clone(), format!("says {word:?}")));
        }
    }
    judge(Rule::Words, &violations);
}

/// The code of files that are not there for tests, without the tests in them; comments are blanked.
fn product_files() -> Vec<tree::File> {
    let files = tree::rust_files().into_iter().filter(|file| !file.is_test());
    files
        .map(|file| tree::File {
            text: code::without_tests(&code::without_texts(&file.text)),
            ..file
        })
        .collect()
}

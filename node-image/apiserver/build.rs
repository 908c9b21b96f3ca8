//! Tells the server which commit it is built from: `KD_COMMIT` and `KD_BUILD_DATE` (RFC 3339) of the
//! environment, or else git's, or else none.

use std::process::Command;

const NO_COMMIT: &str = "0000000000000000000000000000000000000000";
const NO_DATE: &str = "1970-01-01T00:00:00Z";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // What is built for a test does not follow each commit.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release")
        && let Some(head) = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"])
    {
        println!("cargo:rerun-if-changed={head}");
    }
    let is_hexadecimal =
        |text: &String| text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let commit = given("KD_COMMIT").or_else(|| git(&["rev-parse", "HEAD"]));
    let commit = commit.filter(is_hexadecimal).unwrap_or_else(|| NO_COMMIT.into());
    let date = || {
        let format = "--date=format-local:%Y-%m-%dT%H:%M:%SZ";
        git(&["log", "-1", format, "--format=%cd"])
    };
    let date = given("KD_BUILD_DATE").or_else(date).unwrap_or_else(|| NO_DATE.into());
    println!("cargo:rustc-env=KD_BUILT_COMMIT={commit}");
    println!("cargo:rustc-env=KD_BUILT_DATE={date}");
}

fn given(name: &str) -> Option<String> {
    println!("cargo:rerun-if-env-changed={name}");
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").env("TZ", "UTC").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned()).filter(|text| !text.is_empty())
}

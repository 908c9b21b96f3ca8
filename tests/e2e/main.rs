//! End-to-end tests on the real Docker engine: one module per user story, driven with the kd binary
//! and an unmodified kubectl. Clusters have unique names and are deleted at the end, also when a
//! test fails. `E2E_KUBECTL` chooses another kubectl.

mod bad_input;
mod cluster;
mod custom_resources;
mod daemon_sets;
mod harness;
mod images;
mod jobs;
mod nodes;
mod pods;
mod port_forward;
mod services;
mod stateful_sets;

use harness::{Fixture, Test};
use libtest_mimic::{Arguments, Failed, Trial};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

fn main() {
    let arguments = Arguments::from_args();
    let fixture = Arc::new(Fixture::new());
    let stories: [(&str, &[Test]); 11] = [
        ("bad_input", bad_input::TESTS),
        ("cluster", cluster::TESTS),
        ("custom_resources", custom_resources::TESTS),
        ("daemon_sets", daemon_sets::TESTS),
        ("images", images::TESTS),
        ("jobs", jobs::TESTS),
        ("nodes", nodes::TESTS),
        ("pods", pods::TESTS),
        ("port_forward", port_forward::TESTS),
        ("services", services::TESTS),
        ("stateful_sets", stateful_sets::TESTS),
    ];
    let mut trials = Vec::new();
    for (story, tests) in stories {
        for (name, test) in tests {
            let fixture = fixture.clone();
            trials.push(Trial::test(format!("{story}::{name}"), move || run(*test, &fixture)));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    let left = fixture.tear_down();
    if !left.is_empty() {
        eprintln!("the tests left something behind:\n{}", left.join("\n"));
        std::process::exit(1);
    }
    conclusion.exit();
}

fn run(test: fn(&Fixture), fixture: &Fixture) -> Result<(), Failed> {
    let done = std::panic::catch_unwind(AssertUnwindSafe(|| test(fixture)));
    done.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Failed::from(text.unwrap_or("the test panicked").to_owned())
    })
}

//! End-to-end tests on the real Docker engine: one module per user story, driven with the kd binary
//! and an unmodified kubectl. Clusters have unique names and are deleted at the end, also when a
//! test fails. `E2E_KUBECTL` chooses another kubectl.

mod access;
mod autoscaling;
mod bad_input;
mod cluster;
mod cluster_controllers;
mod custom_resources;
mod daemon_sets;
mod harness;
mod images;
mod ingress;
mod jobs;
mod kubectl;
mod kubelet;
mod machine;
mod networks;
mod node_failure;
mod nodes;
mod plugins;
mod pods;
mod port_forward;
mod ports;
mod python_client;
mod scheduling;
mod services;
mod stateful_sets;
mod unified_cgroups;

use harness::{Fixture, Test};
use libtest_mimic::{Arguments, Failed, Trial};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

fn main() {
    let arguments = Arguments::from_args();
    let fixture = Arc::new(Fixture::new());
    let stories: &[(&str, &[Test])] = &[
        ("access", access::TESTS),
        ("autoscaling", autoscaling::TESTS),
        ("bad_input", bad_input::TESTS),
        ("cluster", cluster::TESTS),
        ("cluster_controllers", cluster_controllers::TESTS),
        ("custom_resources", custom_resources::TESTS),
        ("daemon_sets", daemon_sets::TESTS),
        ("images", images::TESTS),
        ("ingress", ingress::TESTS),
        ("jobs", jobs::TESTS),
        ("kubectl", kubectl::TESTS),
        ("kubelet", kubelet::TESTS),
        ("networks", networks::TESTS),
        ("node_failure", node_failure::TESTS),
        ("nodes", nodes::TESTS),
        ("plugins", plugins::TESTS),
        ("pods", pods::TESTS),
        ("port_forward", port_forward::TESTS),
        ("ports", ports::TESTS),
        ("python_client", python_client::TESTS),
        ("scheduling", scheduling::TESTS),
        ("services", services::TESTS),
        ("stateful_sets", stateful_sets::TESTS),
        ("unified_cgroups", unified_cgroups::TESTS),
    ];
    let mut trials = Vec::new();
    for (story, tests) in stories {
        for (name, test) in *tests {
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

//! Mistakes get a clear message, a distinct exit code, and leave nothing half-made.

use crate::harness::{Fixture, Test, leftovers};

pub const TESTS: &[Test] = &[
    ("a_bad_name", a_bad_name),
    ("a_broken_kubeconfig", a_broken_kubeconfig),
    ("an_existing_cluster", an_existing_cluster),
    ("no_engine", no_engine),
    ("unknown_flags", unknown_flags),
];

fn unknown_flags(fixture: &Fixture) {
    fixture.kd(&["cluster", "create", "--colour"]).fails(2, "--colour");
    fixture.kd(&["clutser"]).fails(2, "clutser");
}

fn a_bad_name(fixture: &Fixture) {
    let ran = fixture.kd(&["cluster", "create", "Not_A_Name"]);
    assert!(ran.code != Some(0), "{ran:?}");
    ran.says("Not_A_Name");
}

fn an_existing_cluster(fixture: &Fixture) {
    let name = fixture.cluster();
    let ran = fixture.kd(&["cluster", "create", name]);
    assert!(ran.code != Some(0), "{ran:?}");
    ran.says("already exists").says("kd cluster delete");
    fixture.kubectl(&["get", "nodes"]).ok();
}

fn no_engine(fixture: &Fixture) {
    let mut command = fixture.command(env!("CARGO_BIN_EXE_kd"));
    command.env("DOCKER_HOST", "unix:///nowhere/docker.sock").args(["cluster", "create", "x"]);
    let ran = crate::harness::run(&mut command, "");
    assert!(ran.code != Some(0), "{ran:?}");
    ran.says("Docker").says("hint");
}

fn a_broken_kubeconfig(fixture: &Fixture) {
    let name = fixture.name("broken");
    let file = fixture.file("broken-kubeconfig", "{ this is: not a kubeconfig");
    let mut command = fixture.command(env!("CARGO_BIN_EXE_kd"));
    command.env("KUBECONFIG", &file).args(["cluster", "create", &name]);
    let ran = crate::harness::run(&mut command, "");
    assert!(ran.code != Some(0), "{ran:?}");
    ran.says("broken-kubeconfig");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "{ this is: not a kubeconfig");
    assert_eq!(leftovers(&name), Vec::<String>::new());
}

//! Programs on the official Python client, from PyPI and unchanged.

use crate::harness::{Fixture, Test, run};

pub const TESTS: &[Test] = &[("programs", programs)];

fn programs(fixture: &Fixture) {
    let home = std::env::var("HOME").unwrap();
    let cache = std::env::var("XDG_CACHE_HOME").unwrap_or_else(|_| format!("{home}/.cache"));
    // Made by tests/install-tools.
    let python = format!("{cache}/kd-tests/python/bin/python");
    let cluster = fixture.cluster().to_owned();
    let namespace = fixture.namespace("python");
    let program = fixture.file("python_client.py", include_str!("python_client.py"));
    let mut command = fixture.command(&python);
    command.arg(program).args([format!("kd-{cluster}"), namespace]);
    run(&mut command, "").ok().prints("identities: good");
}

//! Mistakes get a clear message, a distinct exit code, and leave nothing half-made.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::harness::{Fixture, Test, leftovers};

pub const TESTS: &[Test] = &[
    ("a_bad_name", a_bad_name),
    ("a_broken_kubeconfig", a_broken_kubeconfig),
    ("a_foreign_image", a_foreign_image),
    ("an_existing_cluster", an_existing_cluster),
    ("an_interrupted_create", an_interrupted_create),
    ("no_engine", no_engine),
    ("ports_that_are_not_there", ports_that_are_not_there),
    ("unknown_flags", unknown_flags),
    ("words_of_kind_and_k3d", words_of_kind_and_k3d),
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

/// Images of kind and k3d hold no node of kd.
fn a_foreign_image(fixture: &Fixture) {
    let name = fixture.name("foreign");
    let create = ["cluster", "create", &name, "--image", "kd-test/busybox:1"];
    fixture.kd(&create).fails(9, "is no node image");
    assert_eq!(leftovers(&name), Vec::<String>::new());
}

/// Ctrl-C when the nodes run already; programs such as `timeout` send it twice.
fn an_interrupted_create(fixture: &Fixture) {
    let name = fixture.name("interrupted");
    let mut command = fixture.command(env!("CARGO_BIN_EXE_kd"));
    command.args(["cluster", "create", &name]).stderr(Stdio::piped());
    let mut creating = command.spawn().unwrap();
    let mut told = BufReader::new(creating.stderr.take().unwrap()).lines();
    told.find(|line| line.as_ref().unwrap().contains("run")).unwrap().unwrap();
    for _ in 0..2 {
        let process = nix::unistd::Pid::from_raw(creating.id().try_into().unwrap());
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGINT).unwrap();
    }
    let rest: Vec<String> = told.map(Result::unwrap).collect();
    assert_eq!(creating.wait().unwrap().code(), Some(130), "{rest:?}");
    assert_eq!(leftovers(&name), Vec::<String>::new());
}

fn ports_that_are_not_there(fixture: &Fixture) {
    let n = fixture.namespace("ports");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &n][..], arguments].concat());
    let forward = |what: &[&str]| {
        let cluster = ["port-forward", "--cluster", fixture.cluster(), "-n", &n];
        fixture.kd(&[&cluster[..], what].concat())
    };
    k(&["create", "service", "clusterip", "empty", "--tcp=80:80"]).ok();
    forward(&["svc/empty", ":81"]).fails(6, "has no port 81").says("it has: 80");
    let soon = ["svc/empty", ":80", "--pod-running-timeout", "1s"];
    forward(&soon).fails(11, "no pod of service/empty runs");
    k(&["run", "over", "--image=kd-test/busybox:1", "--restart=Never", "--", "sleep", "1"]).ok();
    forward(&["over", ":80"]).fails(15, "");
}

fn words_of_kind_and_k3d(fixture: &Fixture) {
    let create = ["cluster", "create", "e2e-never"];
    let flags = ["--k3s-arg", "--disable=traefik@server:0"];
    fixture.kd(&[create, [flags[0], flags[1], "x"]].concat()).fails(2, "--disable ingress");
    fixture.kd(&["build", "node-image"]).fails(2, "kd node-image build");
    fixture.kd(&["node", "create", "mine"]).fails(2, "nodes are numbered");
    let path = fixture.kd(&["kubeconfig", "write", fixture.cluster()]).ok().out;
    assert!(std::path::Path::new(path.trim()).is_file(), "{path}");
    let listed = fixture.kd(&["cluster", "list", fixture.cluster(), "--no-headers"]).ok().out;
    assert!(listed.starts_with(fixture.cluster()) && listed.lines().count() == 1, "{listed}");
}

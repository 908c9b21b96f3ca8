//! Programs and threads inside the network namespaces of nodes and pods: the engine is on this machine.

use std::fs::File;
use std::process::Command;
use std::thread::{self, JoinHandle};

use nix::sched::{CloneFlags, setns};

use crate::machine::{Measured, Workbench};

/// The process of a node's container whose command line holds `words`, by its number on this machine.
pub fn process(bench: &Workbench, node: &str, words: &str) -> Measured<u32> {
    let listed = bench.docker(&["top", node, "-eo", "pid,args"])?;
    let lines = listed.lines().skip(1).filter_map(|line| line.trim().split_once(' '));
    let mut found = lines.filter(|(_, arguments)| arguments.contains(words));
    let (number, _) = found.next().ok_or_else(|| format!("no process {words:?} in {node}"))?;
    number.parse().map_err(|_| format!("{number} is no process"))
}

/// A program in the network namespace of a process.
pub fn command(bench: &Workbench, process: u32, program: &[&str]) -> Command {
    let mut command = bench.command("nsenter");
    command.args(["-t", &process.to_string(), "-n"]).args(program);
    command
}

/// A thread in the network namespace of a process.
pub fn spawn<T: Send + 'static>(
    process: u32,
    work: impl FnOnce() -> T + Send + 'static,
) -> Measured<JoinHandle<T>> {
    let path = format!("/proc/{process}/ns/net");
    let namespace = File::open(&path).map_err(|error| format!("{path}: {error}"))?;
    Ok(thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET).expect("figures of the network need root");
        work()
    }))
}

//! A container created, started and deleted, by ours and by runc and crun in turns: `cargo bench -p
//! kd-runtime --bench lifecycle`. Ours is the sandbox with its shim too; theirs is one program's run.

#[path = "../tests/node/mod.rs"]
mod node;

use std::time::{Duration, Instant};

use kd_runtime::Runtime;
use node::bundle::{REFERENCES, missing, reference, wrapped, write_bundle};
use node::{Node, run, shell};

const ROUNDS: usize = 30;

fn main() {
    if let Some(program) = missing() {
        return eprintln!("skipped: needs {program} (tests/install-tools)");
    }
    run(|node| async move {
        let bundle = node.path("bundle");
        write_bundle(&node, &bundle, &shell("true"));
        let kept = node.sandbox().await;
        let mut times: [Vec<Duration>; 5] = Default::default();
        for round in 0..ROUNDS {
            times[0].push(whole(&node).await);
            times[1].push(one_more(&node, &kept, round).await);
            let began = Instant::now();
            wrapped("true").output().expect("true");
            times[4].push(began.elapsed());
            for (program, times) in REFERENCES.into_iter().zip(&mut times[2..]) {
                let began = Instant::now();
                reference(program, &bundle);
                times.push(began.elapsed());
            }
        }
        let names = [
            "ours, with its sandbox",
            "ours, in a sandbox that is there",
            "runc",
            "crun",
            "what starting those two costs",
        ];
        println!("create, start, end and delete of `true`, of {ROUNDS} rounds:");
        for (name, mut times) in names.into_iter().zip(times) {
            times.sort_unstable();
            let (median, slowest) = (times[ROUNDS / 2], times[ROUNDS - 1]);
            println!("{name:34} median {median:>10.1?}   slowest {slowest:>10.1?}");
        }
    });
}

async fn whole(node: &Node) -> Duration {
    let began = Instant::now();
    let mut spec = node.sandbox_spec();
    spec.cgroup_parent = "kubepods/pod2".into();
    let sandbox = node.runtime.create_sandbox(spec).await.expect("sandbox").id;
    let id = node.start_in(&sandbox, shell("true")).await;
    node.exit(&id).await;
    node.runtime.remove_sandbox(&sandbox).await.expect("remove");
    began.elapsed()
}

async fn one_more(node: &Node, sandbox: &str, round: usize) -> Duration {
    let began = Instant::now();
    let mut spec = shell("true");
    spec.name = format!("round-{round}");
    let id = node.start_in(sandbox, spec).await;
    node.exit(&id).await;
    node.runtime.remove_container(&id).await.expect("remove");
    began.elapsed()
}

//! kill -9 of a client, of shims and of what they fork, at any moment: whoever comes next finds the truth,
//! and can take everything away. `KILL_LOOP_SEED` repeats a run, `KILL_LOOP_ROUNDS` lengthens it.

mod node;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kd_runtime::{ContainerState, NodeRuntime, Runtime, SandboxSpec};
use node::{Node, open, run, shell};

const ROUNDS: u32 = 10;
/// Sandboxes that a client works on at once.
const WORKERS: u64 = 3;
/// A client is killed within this long.
const LIFE_MS_MAX: u64 = 250;
const DIRECTORY: &str = "KILL_LOOP_DIRECTORY";
const BASE: &str = "KILL_LOOP_CGROUP";
const SEED: &str = "KILL_LOOP_SEED";

/// xorshift64*: enough to choose moments with.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        for (left, by) in [(false, 12), (true, 25), (false, 27)] {
            self.0 ^= if left { self.0 << by } else { self.0 >> by };
        }
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_leaks() {
    let seed = number(SEED).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |now| now.as_nanos() as u64 | 1)
    });
    eprintln!("{SEED}={seed}");
    let rounds = number("KILL_LOOP_ROUNDS").unwrap_or(u64::from(ROUNDS));
    run(|node| async move {
        let mut chance = Chance(seed);
        for round in 0..rounds {
            let life = Duration::from_millis(20 + chance.below(LIFE_MS_MAX));
            kill_a_client(&node, chance.below(u64::MAX) | 1, life);
            let spared = chance.below(4);
            for pid in own_processes(&node) {
                // None, some, or all of them.
                if spared < 3 && chance.below(3) >= spared {
                    kill(pid);
                }
            }
            let runtime = node.reopen().await;
            check(&node, &runtime, round).await;
            if chance.below(2) == 0 {
                remove_all(&runtime).await;
            }
        }
        remove_all(&node.reopen().await).await;
        wait_for_the_end(&node).await;
        let left = groups(&node);
        assert!(left.is_empty(), "control groups are left: {left:?}");
    });
}

/// This test's program as another process: makes, uses and removes sandboxes until it is killed.
#[test]
#[ignore = "a part of nothing_leaks"]
fn client() {
    let (Ok(directory), Ok(base)) = (std::env::var(DIRECTORY), std::env::var(BASE)) else { return };
    let seed = number(SEED).unwrap_or(1);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let directory = PathBuf::from(directory);
        let runtime = open(&directory, Path::new("/sys/fs/cgroup"), &base).await;
        let runtime = Arc::new(runtime);
        let workers = (0..WORKERS).map(|worker| {
            let chance = Chance(seed.wrapping_add(worker * 2) | 1);
            tokio::spawn(work(runtime.clone(), directory.clone(), worker, chance))
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await.unwrap();
        }
    });
}

async fn work(runtime: Arc<NodeRuntime>, directory: PathBuf, worker: u64, mut chance: Chance) {
    for _ in 0..1000 {
        let spec = SandboxSpec {
            hostname: "pod".into(),
            log_directory: directory.join("logs"),
            cgroup_parent: format!("kubepods/pod{worker}"),
            share_process_namespace: chance.below(3) == 0,
            ..SandboxSpec::default()
        };
        // What a killed predecessor left may be in the way of anything here.
        let Ok(sandbox) = runtime.create_sandbox(spec).await else { continue };
        for name in ["one", "two"] {
            let mut spec = shell("sleep 1000 & exec sleep 1000");
            spec.name = name.into();
            spec.tty = chance.below(3) == 0;
            let Ok(id) = runtime.create_container(&sandbox.id, spec).await else { continue };
            let _ = runtime.start_container(&id).await;
            let _ = runtime.exec_sync(&id, vec!["true".into()], None).await;
            if chance.below(2) == 0 {
                let _ = runtime.stop_container(&id, Duration::ZERO).await;
                let _ = runtime.remove_container(&id).await;
            }
        }
        if chance.below(3) > 0 {
            let _ = runtime.remove_sandbox(&sandbox.id).await;
        }
    }
}

fn kill_a_client(node: &Node, seed: u64, life: Duration) {
    let mut client = Command::new(std::env::current_exe().unwrap())
        .args(["client", "--exact", "--ignored"])
        .env(DIRECTORY, node.directory.path())
        .env(BASE, &node.cgroup_base)
        .env(SEED, seed.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(life);
    client.kill().unwrap();
    client.wait().unwrap();
}

/// Shims and what they have forked that is no other program yet.
fn own_processes(node: &Node) -> Vec<i32> {
    let run = node.path("run").to_str().unwrap().to_owned();
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let pid = process.file_name().to_str().and_then(|name| name.parse().ok());
        let arguments = std::fs::read_to_string(process.path().join("cmdline"));
        if let (Some(pid), Ok(arguments)) = (pid, arguments)
            && arguments.contains(&run)
        {
            found.push(pid);
        }
    }
    found
}

fn kill(pid: i32) {
    let pid = nix::unistd::Pid::from_raw(pid);
    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
}

/// What the runtime tells is so, once the killed are gone and it has heard of that.
async fn check(node: &Node, runtime: &NodeRuntime, round: u64) {
    let deadline = tokio::time::Instant::now() + node::WAIT_MAX;
    while let Err(wrong) = compare(node, runtime).await {
        assert!(tokio::time::Instant::now() < deadline, "round {round}: {wrong}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn compare(node: &Node, runtime: &NodeRuntime) -> Result<(), String> {
    let mut known = BTreeSet::new();
    for sandbox in runtime.list().await.unwrap() {
        known.insert(sandbox.id.clone());
        for container in &sandbox.containers {
            known.insert(container.id.clone());
            let members = members(node, &container.id);
            let right = match (&container.state, container.pid) {
                (ContainerState::Running { .. }, Some(pid)) => {
                    sandbox.ready && members.contains(&pid)
                }
                (ContainerState::Running { .. }, None) => false,
                // A start that nobody waits for any more may still be on its way in a live shim.
                (ContainerState::Created, _) => true,
                (ContainerState::Exited(_), _) => members.is_empty(),
            };
            if !right {
                return Err(format!("{:?} with {members:?}", container.state));
            }
        }
    }
    let name = |group: &PathBuf| group.file_name().unwrap().to_string_lossy().into_owned();
    let unknown =
        |group: &PathBuf| !name(group).starts_with("pod") && !known.contains(&name(group));
    match groups(node).into_iter().find(unknown) {
        Some(group) => Err(format!("{} is nobody's", group.display())),
        None => Ok(()),
    }
}

/// The control groups of pods, containers and sandboxes.
fn groups(node: &Node) -> BTreeSet<PathBuf> {
    let below = |path: PathBuf| {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    let hierarchies = below(node.cgroups.clone());
    let all = hierarchies.into_iter().chain([node.cgroups.clone()]);
    let pods = all.flat_map(|top| below(top.join(&node.cgroup_base).join("kubepods")));
    pods.flat_map(|pod| below(pod.clone()).into_iter().chain([pod])).collect()
}

/// The processes of a container.
fn members(node: &Node, id: &str) -> BTreeSet<i32> {
    let own = groups(node).into_iter().filter(|group| group.ends_with(id));
    let texts = own.filter_map(|group| std::fs::read_to_string(group.join("cgroup.procs")).ok());
    texts
        .flat_map(|text| text.lines().filter_map(|l| l.parse().ok()).collect::<Vec<i32>>())
        .collect()
}

async fn remove_all(runtime: &NodeRuntime) {
    for sandbox in runtime.list().await.unwrap() {
        runtime.remove_sandbox(&sandbox.id).await.unwrap();
    }
}

/// Shims end by themselves when their sandboxes are removed.
async fn wait_for_the_end(node: &Node) {
    let deadline = tokio::time::Instant::now() + node::WAIT_MAX;
    while !own_processes(node).is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "left: {:?}", own_processes(node));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

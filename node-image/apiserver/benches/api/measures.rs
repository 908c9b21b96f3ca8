//! What is measured.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use serde_json::json;

use crate::client::Client;
use crate::cpu;
use crate::running::Running;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
/// Who reads, and who writes, at the same time.
const READERS: usize = 16;
const WRITERS: usize = 64;
/// The size of a ConfigMap that is created, in bytes.
const MAP_BYTES: usize = 2048;
/// Watches that share a connection.
const WATCHES_PER_CONNECTION: usize = 100;

/// Prints how often something was done, how long it took, and what it took of the server.
fn tell(what: &str, mut times: Vec<Duration>, over: Duration, used: Duration) {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    let rate = times.len() as f64 / over.as_secs_f64();
    let each = used / u32::try_from(times.len()).unwrap_or(u32::MAX);
    println!(
        "{what}: {rate:.0}/s, p50 {:.2?}, p99 {:.2?}, server's CPU {each:.2?} each",
        at(0.5),
        at(0.99)
    );
}

/// Does one thing again and again on several connections.
async fn repeated<F>(running: &Running, clients: usize, time: Duration, what: &str, once: F)
where
    F: AsyncFn(&mut Client, usize) + Clone + 'static,
{
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(Client::connect(running).await);
    }
    let (started, before) = (Instant::now(), cpu::used());
    let workers = connections.into_iter().enumerate().map(|(worker, mut client)| {
        let once = once.clone();
        async move {
            let mut times = Vec::new();
            while started.elapsed() < time {
                let begin = Instant::now();
                once(&mut client, worker * 10_000_000 + times.len()).await;
                times.push(begin.elapsed());
            }
            times
        }
    });
    let times = futures::future::join_all(workers).await.concat();
    tell(what, times, started.elapsed(), cpu::used() - before);
}

/// GET of one object.
pub async fn gets(running: &Running, time: Duration) {
    let path = format!("{MAPS}/kube-root-ca.crt");
    repeated(running, READERS, time, "GET of a ConfigMap", async move |client: &mut Client, _| {
        client.ask("GET", &path, String::new()).await;
    })
    .await;
}

/// POST of objects.
pub async fn creates(running: &Running, time: Duration) {
    let text = "x".repeat(MAP_BYTES);
    let what = "POST of a ConfigMap of 2 KB, 64 clients";
    repeated(running, WRITERS, time, what, async move |client: &mut Client, number| {
        let map = json!({"metadata": {"name": format!("m{number}")}, "data": {"k": text}});
        client.ask("POST", MAPS, map.to_string()).await;
    })
    .await;
}

/// GET of many pods.
pub async fn lists(running: &Running, pods: usize) {
    let mut clients = Vec::new();
    for _ in 0..READERS {
        clients.push(Client::connect(running).await);
    }
    let share = pods.div_ceil(READERS);
    let workers = clients.iter_mut().enumerate().map(async |(worker, client)| {
        for number in 0..share {
            let pod = json!({"metadata": {"name": format!("p{worker}-{number}"), "labels": {"app": "x"}},
                "spec": {"containers": [{"name": "c", "image": "registry.example/app:1.2.3",
                    "env": [{"name": "A", "value": "B"}], "ports": [{"containerPort": 80}]}]}});
            client.ask("POST", PODS, pod.to_string()).await;
        }
    });
    futures::future::join_all(workers).await;
    let client = &mut clients[0];
    for accept in 0..3 {
        let (begin, before) = (Instant::now(), cpu::used());
        let mut body = client.send("GET", PODS, String::new()).await.into_body();
        let mut first = None;
        let mut size = 0;
        while let Some(frame) = body.frame().await {
            first.get_or_insert_with(|| begin.elapsed());
            size += frame.unwrap().into_data().map_or(0, |data| data.len());
        }
        let (first, whole) = (first.unwrap_or_default(), begin.elapsed());
        let run = accept + 1;
        println!(
            "LIST of {} pods, {run}: first byte {first:.2?}, whole {whole:.2?}, {size} bytes, server's CPU {:.2?}",
            share * READERS,
            cpu::used() - before
        );
    }
}

/// What this process holds in memory, clients and all.
pub fn memory(what: &str) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("");
    println!("resident memory {what}: {}", resident.trim());
}

/// How long until everyone who watches knows of a change.
pub async fn watches(running: &Running, watchers: usize) {
    let mut bodies = Vec::new();
    let path = format!("{MAPS}?watch=1&resourceVersion=0&fieldSelector=metadata.name%3Dnew");
    for _ in 0..watchers.div_ceil(WATCHES_PER_CONNECTION) {
        let mut client = Client::connect(running).await;
        for _ in 0..WATCHES_PER_CONNECTION.min(watchers - bodies.len()) {
            bodies.push(client.send("GET", &path, String::new()).await.into_body());
        }
    }
    let told = bodies.into_iter().map(|mut body| {
        tokio::spawn(async move {
            body.frame().await.expect("a change").unwrap();
            Instant::now()
        })
    });
    let told: Vec<_> = told.collect();
    let mut client = Client::connect(running).await;
    let (begin, before) = (Instant::now(), cpu::used());
    client.ask("POST", MAPS, json!({"metadata": {"name": "new"}}).to_string()).await;
    let mut times = Vec::new();
    for told in told {
        times.push(told.await.unwrap() - begin);
    }
    let last = times.iter().max().copied().unwrap_or_default();
    let used = cpu::used() - before;
    tell(&format!("one change to {watchers} watchers"), times, last, used);
}

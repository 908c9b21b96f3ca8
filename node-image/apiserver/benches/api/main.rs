//! What the API server does in a second, over TLS with client certificates, on a store on disk:
//! `cargo bench -p kd-apiserver --bench api`. `-- --pods N --seconds N` sets the sizes;
//! `-- --serve FILE` writes a kubeconfig instead, and serves until it is interrupted.

mod client;
mod cpu;
mod measures;
mod running;

use std::path::PathBuf;
use std::time::Duration;

use running::Running;

/// The sizes of a run.
struct Options {
    pods: usize,
    watchers: usize,
    time: Duration,
    serve: Option<PathBuf>,
}

fn options() -> Options {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str, otherwise: usize| {
        value(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    };
    Options {
        pods: number("--pods", 10_000),
        watchers: number("--watchers", 1_000),
        time: Duration::from_secs(number("--seconds", 3) as u64),
        serve: value("--serve").map(PathBuf::from),
    }
}

fn main() {
    // The server's threads are its own, so that what it takes can be told from what clients take.
    let runtime = |name: &str| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).thread_name(name).enable_all().build().expect("a runtime")
    };
    let (server, clients) = (runtime(cpu::SERVER), runtime("clients"));
    let options = options();
    let directory = tempfile::tempdir().expect("a folder for the store");
    let running = server.block_on(Running::start(directory.path()));
    clients.block_on(measure(options, running));
}

async fn measure(options: Options, running: Running) {
    if let Some(file) = &options.serve {
        std::fs::write(file, running.kubeconfig()).expect("the kubeconfig is written");
        println!("export KUBECONFIG={}", file.display());
        tokio::signal::ctrl_c().await.expect("signals can be waited for");
        return;
    }
    measures::memory("at the start");
    measures::gets(&running, options.time).await;
    measures::creates(&running, options.time).await;
    measures::memory("with what was created");
    measures::lists(&running, options.pods).await;
    measures::memory("with the pods");
    measures::watches(&running, options.watchers).await;
}

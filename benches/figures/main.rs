//! The figures that README quotes, measured on the Docker engine of this machine: `cargo bench --bench
//! figures`, or some of them by name. What a figure is compared with is measured in the same run.
//! `BENCH_KD` and `BENCH_KUBECTL` choose other programs.

mod between_nodes;
mod create;
mod deployment;
mod exec;
mod full_node;
mod idle;
mod ingress;
mod inside;
mod logs;
mod machine;
mod names;
mod pods;
mod port_forward;
mod reactions;
mod ready;
mod service_rules;
mod size;
mod table;
mod virtual_ip;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use machine::{Measured, Workbench};
use table::Row;

type Figure = (&'static str, fn(&Workbench) -> Measured<Vec<Row>>);

/// In running order: the later ones share a cluster, which is idle for the first of them.
const FIGURES: &[Figure] = &[
    ("size", size::measure),
    ("create", create::measure),
    ("idle", idle::measure),
    ("pods", pods::measure),
    ("ready", ready::measure),
    ("deployment", deployment::measure),
    ("exec", exec::measure),
    ("logs", logs::measure),
    ("full-node", full_node::measure),
    ("port-forward", port_forward::measure),
    ("service-rules", service_rules::measure),
    ("names", names::measure),
    ("virtual-ip", virtual_ip::measure),
    ("between-nodes", between_nodes::measure),
    ("reactions", reactions::measure),
    ("ingress", ingress::measure),
];

/// How long an interrupted figure may take to end.
const GRACE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    // Cargo adds flags of its own.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let known = |name: &String| FIGURES.iter().any(|(figure, _)| figure == name);
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        let names: Vec<&str> = FIGURES.iter().map(|(name, _)| *name).collect();
        eprintln!("there is no figure {unknown:?}; there are {}", names.join(", "));
        return ExitCode::from(2);
    }
    // The first of two is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let bench = Arc::new(Workbench::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let code = runtime.block_on(async {
        let worker = bench.clone();
        let mut measuring = tokio::task::spawn_blocking(move || measure(&worker, &wanted));
        tokio::select! {
            done = &mut measuring => done.unwrap_or(ExitCode::FAILURE),
            _ = tokio::signal::ctrl_c() => {
                bench.end();
                // The programs got the signal as well, and one may be taking back a cluster.
                let _ = tokio::time::timeout(GRACE, measuring).await;
                ExitCode::from(130)
            }
        }
    });
    bench.clean();
    // A figure that only waits for time to pass is left alone.
    runtime.shutdown_background();
    code
}

fn measure(bench: &Workbench, wanted: &[String]) -> ExitCode {
    let mut rows = Vec::new();
    let mut failed = false;
    for (name, figure) in FIGURES {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        eprintln!("measuring {name}");
        match figure(bench) {
            Ok(measured) => rows.extend(measured),
            Err(error) => {
                eprintln!("{name}: {error}");
                failed = true;
            }
        }
    }
    if !rows.is_empty() {
        print!("{}", table::render(&rows));
    }
    match failed || rows.iter().any(|row| !row.holds) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

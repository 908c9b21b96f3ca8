//! `true` run in a pod through the API server, over WebSocket on a new connection each time, until its
//! exit status is known; beside it the whole of `kubectl exec`.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::AttachParams;

use crate::machine::{BUSYBOX, Measured, Workbench, median};
use crate::table::Row;

const ROUNDS: usize = 30;
const ROUNDS_OF_KUBECTL: usize = 5;
const MAX: Duration = Duration::from_millis(40);

pub fn measure(bench: &Workbench) -> Measured<Vec<Row>> {
    bench.load(BUSYBOX)?;
    let run = |arguments: &[&str]| bench.run(&mut bench.kubectl(arguments)?);
    let image = format!("--image={BUSYBOX}");
    run(&["run", "exec", &image, "--", "sleep", "100000"])?;
    run(&["wait", "--for=condition=Ready", "pod/exec", "--timeout=60s"])?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let own = runtime.block_on(async {
        let pods: Api<Pod> = Api::default_namespaced(bench.client().await?);
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            times.push(once(&pods).await?);
        }
        Measured::Ok(times)
    })?;
    let mut kubectl = Vec::new();
    for _ in 0..ROUNDS_OF_KUBECTL {
        kubectl.push(bench.time(&mut bench.kubectl(&["exec", "exec", "--", "true"])?)?);
    }
    run(&["delete", "pod", "exec", "--now"])?;
    let (own, kubectl) = (median(&own), median(&kubectl));
    Ok(vec![Row {
        figure: "exec of true, median of 30",
        measured: format!("{} ms", own.as_millis()),
        beside: format!("kubectl exec as a whole: {} ms", kubectl.as_millis()),
        bar: "at most 40 ms",
        holds: own <= MAX,
    }])
}

async fn once(pods: &Api<Pod>) -> Measured<Duration> {
    let began = Instant::now();
    let parameters = AttachParams::default();
    let mut process =
        pods.exec("exec", ["true"], &parameters).await.map_err(|error| error.to_string())?;
    let status = process.take_status().ok_or("exec has no status")?.await;
    match status.and_then(|status| status.status) {
        Some(status) if status == "Success" => Ok(began.elapsed()),
        other => Err(format!("exec of true ended with {other:?}")),
    }
}

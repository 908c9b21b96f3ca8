//! Requests for a small page of a pod, by ab over kept connections: through an Ingress, and through
//! Debian's nginx as a reverse proxy on the same node. They take turns.

use crate::machine::{Measured, NGINX, Workbench, median};
use crate::table::Row;

const ROUNDS: usize = 3;
const REQUESTS: &str = "20000";
const CONNECTIONS: &str = "50";
/// Where nginx listens on the node.
const NGINX_PORT: u16 = 8081;
const RATIO_MIN: f64 = 0.5;

pub fn measure(bench: &Workbench) -> Measured<Vec<Row>> {
    let node = serve(bench)?;
    let (mut kd, mut nginx) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        kd.push(requests_per_second(bench, &node)?);
        nginx.push(requests_per_second(bench, &format!("{node}:{NGINX_PORT}"))?);
    }
    let (kd, nginx) = (median(&kd), median(&nginx));
    Ok(vec![Row {
        figure: "Ingress, ab -k -c 50, median of 3",
        measured: format!("{kd:.0} requests/s"),
        beside: format!("nginx as a reverse proxy: {nginx:.0} requests/s, ratio {:.2}", kd / nginx),
        bar: "ratio at least 0.5",
        holds: kd / nginx >= RATIO_MIN,
    }])
}

/// Starts a page, an Ingress to it and nginx before it; returns the node's address.
fn serve(bench: &Workbench) -> Measured<String> {
    bench.load(NGINX)?;
    let run = |arguments: &[&str]| bench.run(&mut bench.kubectl(arguments)?);
    let page =
        configured("server { listen 80; keepalive_requests 1000000; root /usr/share/nginx/html; }");
    pod(bench, "page", &page, "")?;
    run(&["wait", "--for=condition=Ready", "pod/page", "--timeout=60s"])?;
    run(&["expose", "pod", "page", "--port=80"])?;
    run(&["create", "ingress", "page", "--rule=/*=page:80"])?;
    let address = run(&["get", "pod", "page", "-o", "jsonpath={.status.podIP}"])?;
    let proxy = configured(&format!(
        "upstream page {{ server {address}; keepalive 64; }}
        server {{ listen {NGINX_PORT}; keepalive_requests 1000000; location / {{
        proxy_pass http://page; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }}"
    ));
    pod(bench, "proxy", &proxy, r#","hostNetwork":true"#)?;
    run(&["wait", "--for=condition=Ready", "pod/proxy", "--timeout=60s"])?;
    run(&[
        "wait",
        "--for=jsonpath={.status.loadBalancer.ingress}",
        "ingress/page",
        "--timeout=60s",
    ])?;
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    bench.docker(&["inspect", "-f", format, &bench.node()?])
}

/// A script that runs nginx with a server of its own.
fn configured(server: &str) -> String {
    let configuration = format!(
        "user www-data; worker_processes 1; error_log /dev/null; pid /run/nginx.pid;
        events {{ worker_connections 1024; }} http {{ access_log off; {server} }}"
    );
    format!(
        "cat > /tmp/n.conf <<'CONF'\n{configuration}\nCONF\nexec nginx -c /tmp/n.conf -g 'daemon off;'"
    )
}

fn pod(bench: &Workbench, name: &str, script: &str, more: &str) -> Measured<()> {
    let command = serde_json::json!(["sh", "-c", script]);
    let spec = format!(
        r#"{{"apiVersion":"v1","spec":{{"containers":[{{"name":"{name}","image":"{NGINX}","command":{command}}}]{more}}}}}"#
    );
    let overrides = format!("--overrides={spec}");
    let image = format!("--image={NGINX}");
    let label = format!("--labels=run={name}");
    bench.run(&mut bench.kubectl(&["run", name, &image, &label, &overrides])?).map(drop)
}

fn requests_per_second(bench: &Workbench, host: &str) -> Measured<f64> {
    let url = format!("http://{host}/");
    let mut ab = bench.command("ab");
    let printed = bench.run(ab.args(["-q", "-k", "-c", CONNECTIONS, "-n", REQUESTS, &url]))?;
    let field = |name: &str| {
        let line = printed.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
    };
    if field("Failed requests:") != Some(0.0) || field("Non-2xx responses:").is_some() {
        return Err(format!("ab of {url}:\n{printed}"));
    }
    field("Requests per second:").ok_or_else(|| format!("ab of {url} printed no rate"))
}

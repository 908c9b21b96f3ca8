//! `ab` from a pod on a page of 43 bytes: a Service with two pods behind it against the first pod's own
//! address, taking turns; then again beside 5,000 other Services. Needs Debian's apache2-utils, curl and
//! the engine on this machine.

use std::fmt::Write;

use crate::inside;
use crate::machine::{BUSYBOX, Measured, NGINX, Workbench, median};
use crate::table::Row;

const ROUNDS: usize = 3;
const OTHER_SERVICES: usize = 5000;
const PAGE: &str = "<html><body>a page of 43 bytes</body></html>";
const RATIO_MIN: f64 = 0.97;
const P99_RATIO_MAX: f64 = 1.1;

pub fn measure(bench: &Workbench) -> Measured<Vec<Row>> {
    let (client, pod, service) = serve(bench)?;
    let alone = compare(bench, client, [&pod, &service], "VIP against the pod's address")?;
    crowd(bench)?;
    let crowded = compare(bench, client, [&pod, &service], "the same beside 5,000 Services")?;
    Ok(vec![alone, crowded])
}

/// The client's process, the first pod's address and the Service's.
fn serve(bench: &Workbench) -> Measured<(u32, String, String)> {
    bench.load(NGINX)?;
    bench.load(BUSYBOX)?;
    let run = |arguments: &[&str]| bench.run(&mut bench.kubectl(arguments)?);
    let page = format!(
        "printf %s '{}' > /usr/share/nginx/html/index.html; \
         sed -i 's#access_log .*#access_log off;#' /etc/nginx/nginx.conf; exec nginx -g 'daemon off;'",
        &PAGE[..43]
    );
    for pod in ["vip-a", "vip-b"] {
        let image = format!("--image={NGINX}");
        run(&["run", pod, &image, "--labels=app=vip", "--command", "--", "sh", "-c", &page])?;
    }
    let image = format!("--image={BUSYBOX}");
    run(&["run", "vip-client", &image, "--command", "--", "sleep", "987651"])?;
    run(&["create", "service", "clusterip", "vip", "--tcp=80:80"])?;
    let pods = ["pod/vip-a", "pod/vip-b", "pod/vip-client"];
    let mut wait = vec!["wait", "--for=condition=Ready", "--timeout=60s"];
    wait.extend(pods);
    run(&wait)?;
    let pod = run(&["get", "pod", "vip-a", "-o", "jsonpath={.status.podIP}"])?;
    let service = run(&["get", "service", "vip", "-o", "jsonpath={.spec.clusterIP}"])?;
    Ok((inside::process(bench, &bench.node()?, "sleep 987651")?, pod, service))
}

fn compare(
    bench: &Workbench,
    client: u32,
    addresses: [&str; 2],
    figure: &'static str,
) -> Measured<Row> {
    let mut rates = [Vec::new(), Vec::new()];
    let mut waits = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (index, address) in addresses.iter().enumerate() {
            let (rate, p99) = ab(bench, client, address)?;
            rates[index].push(rate);
            waits[index].push(p99);
        }
    }
    let [pod, service] = rates.map(|values| median(&values));
    let [pod_p99, service_p99] = waits.map(|values| median(&values));
    Ok(Row {
        figure,
        measured: format!("{service:.0} requests/s, p99 {service_p99:.2} ms"),
        beside: format!(
            "pod: {pod:.0}/s, p99 {pod_p99:.2} ms; ratios {:.2}, {:.2}",
            service / pod,
            service_p99 / pod_p99
        ),
        bar: "at least 0.97, p99 at most 1.1",
        holds: service / pod >= RATIO_MIN && service_p99 / pod_p99 <= P99_RATIO_MAX,
    })
}

/// Requests per second, and the time in milliseconds within which 99 of 100 are answered.
fn ab(bench: &Workbench, client: u32, address: &str) -> Measured<(f64, f64)> {
    let percentiles = bench.directory().join("percentiles.csv");
    let percentiles = percentiles.display().to_string();
    let url = format!("http://{address}/");
    let program = ["ab", "-q", "-c", "50", "-n", "100000", "-e", &percentiles, &url];
    let printed = bench.run(&mut inside::command(bench, client, &program))?;
    let line = |start: &str| printed.lines().find_map(|line| line.strip_prefix(start));
    if line("Failed requests:").map(str::trim) != Some("0") {
        return Err(format!("{url}: some requests failed\n{printed}"));
    }
    let rate = line("Requests per second:").and_then(|rest| rest.split_whitespace().next());
    let table = std::fs::read_to_string(&percentiles).map_err(|error| error.to_string())?;
    let p99 = table.lines().find_map(|line| line.strip_prefix("99,"));
    let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<f64>().ok());
    number(rate).zip(number(p99)).ok_or_else(|| format!("what does this mean?\n{printed}"))
}

/// Makes many Services with two endpoints each, which do not answer.
fn crowd(bench: &Workbench) -> Measured<()> {
    let template = "jsonpath={.clusters[0].cluster.server}{' '}{.clusters[0].cluster\
        .certificate-authority-data}{' '}{.users[0].user.client-certificate-data}{' '}\
        {.users[0].user.client-key-data}";
    let view = ["config", "view", "--raw", "--minify", "-o", template];
    let access = bench.run(&mut bench.kubectl(&view)?)?;
    let [server, files @ ..] = &access.split(' ').collect::<Vec<_>>()[..] else {
        return Err("the kubeconfig has no server".into());
    };
    let mut common = String::from("silent\nfail\noutput=/dev/null\nrequest=POST\n");
    for (option, data) in ["cacert", "cert", "key"].into_iter().zip(files) {
        let path = bench.directory().join(option);
        let decode = format!("printf %s {data} | base64 -d > {}", path.display());
        bench.run(bench.command("sh").args(["-c", &decode]))?;
        let _ = writeln!(common, "{option}={}", path.display());
    }
    common.push_str("header=\"Content-Type: application/json\"\n");
    let mut requests = String::from("parallel\nparallel-max=16\n");
    for index in 0..OTHER_SERVICES {
        let (high, low) = (index / 250, index % 250 + 2);
        let service = format!(
            r#"{{"metadata":{{"name":"other-{index}"}},"spec":{{"ports":[{{"port":80}}]}}}}"#
        );
        let slice = format!(
            r#"{{"metadata":{{"name":"other-{index}","labels":{{"kubernetes.io/service-name":"other-{index}"}}}},"addressType":"IPv4","ports":[{{"name":"","port":80}}],"endpoints":[{{"addresses":["10.200.{high}.{low}"]}},{{"addresses":["10.201.{high}.{low}"]}}]}}"#
        );
        let namespaces = format!("{server}/api/v1/namespaces/default/services");
        let slices = format!("{server}/apis/discovery.k8s.io/v1/namespaces/default/endpointslices");
        for (url, body) in [(namespaces, service), (slices, slice)] {
            let body = body.replace('"', "\\\"");
            let _ = write!(requests, "{common}url={url}\ndata-raw=\"{body}\"\nnext\n");
        }
    }
    requests.truncate(requests.len() - "next\n".len());
    let path = bench.directory().join("requests");
    std::fs::write(&path, requests).map_err(|error| error.to_string())?;
    bench.run(bench.command("curl").arg("-K").arg(path)).map(drop)
}

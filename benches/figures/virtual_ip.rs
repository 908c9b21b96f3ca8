//! `ab` from pods on a page of 43 bytes, taking turns: the first pod's own address, a Service with that
//! pod behind it (what translating costs), one with two (and what two servers cost on the same cores);
//! then again beside 5,000 other Services. Each way has a client pod of its own: what ended moments ago
//! still occupies its ports in the kernel's table of connections, and another way would get others.
//! Needs Debian's apache2-utils, curl and the engine on this machine.

use std::fmt::Write;

use crate::inside;
use crate::machine::{BUSYBOX, Measured, NGINX, Workbench, median};
use crate::table::Row;

const ROUNDS: usize = 7;
const OTHER_SERVICES: usize = 5000;
const PAGE: &str = "<html><body>a page of 43 bytes</body></html>";
const RATIO_MIN: f64 = 0.97;
const P99_RATIO_MAX: f64 = 1.1;

pub fn measure(bench: &Workbench) -> Measured<Vec<Row>> {
    let ways = serve(bench)?;
    let alone = compare(bench, &ways, "VIP against the pod's address, median of 7")?;
    crowd(bench)?;
    let crowded = compare(bench, &ways, "the same beside 5,000 Services")?;
    Ok(vec![alone, crowded])
}

/// A client's process and the address it asks.
type Way = (u32, String);

/// The ways to the first pod's address, and to the Services with one and with two pods.
fn serve(bench: &Workbench) -> Measured<[Way; 3]> {
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
        let labels = format!("--labels=app=vip,only={pod}");
        run(&["run", pod, &image, &labels, "--command", "--", "sh", "-c", &page])?;
    }
    let image = format!("--image={BUSYBOX}");
    let clients = [("to-pod", "987651"), ("to-one", "987654"), ("to-two", "987656")];
    for (client, seconds) in clients {
        run(&["run", client, &image, "--command", "--", "sleep", seconds])?;
    }
    run(&["expose", "pod", "vip-a", "--port=80", "--selector=only=vip-a", "--name=vip-one"])?;
    run(&["expose", "pod", "vip-a", "--port=80", "--selector=app=vip", "--name=vip-two"])?;
    let pods = ["pod/vip-a", "pod/vip-b", "pod/to-pod", "pod/to-one", "pod/to-two"];
    let mut wait = vec!["wait", "--for=condition=Ready", "--timeout=60s"];
    wait.extend(pods);
    run(&wait)?;
    let pod = run(&["get", "pod", "vip-a", "-o", "jsonpath={.status.podIP}"])?;
    let address =
        |service: &str| run(&["get", "service", service, "-o", "jsonpath={.spec.clusterIP}"]);
    let (one, two) = (address("vip-one")?, address("vip-two")?);
    let node = bench.node()?;
    let [to_pod, to_one, to_two] =
        clients.map(|(_, seconds)| inside::process(bench, &node, &format!("sleep {seconds}")));
    Ok([(to_pod?, pod), (to_one?, one), (to_two?, two)])
}

/// Ratios are of the ways in one round, which share the machine's mood.
fn compare(bench: &Workbench, ways: &[Way; 3], figure: &'static str) -> Measured<Row> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let [pod, one, two] =
            [&ways[0], &ways[1], &ways[2]].map(|(client, address)| ab(bench, *client, address));
        rounds.push([pod?, one?, two?]);
    }
    let median_of = |value: &dyn Fn(&[Answers; 3]) -> f64| {
        median(&rounds.iter().map(value).collect::<Vec<f64>>())
    };
    let one = median_of(&|[pod, one, _]| one.per_second / pod.per_second);
    let rates = median_of(&|[pod, _, two]| two.per_second / pod.per_second);
    let waits = median_of(&|[pod, _, two]| two.p99 / pod.p99);
    Ok(Row {
        figure,
        measured: format!(
            "{:.0} requests/s, p99 {:.2} ms",
            median_of(&|[_, _, two]| two.per_second),
            median_of(&|[_, _, two]| two.p99)
        ),
        beside: format!(
            "pod: {:.0}/s, p99 {:.2} ms; ratios {rates:.2}, {waits:.2}; with one pod {one:.2}",
            median_of(&|[pod, ..]| pod.per_second),
            median_of(&|[pod, ..]| pod.p99)
        ),
        bar: "at least 0.97, p99 at most 1.1",
        holds: rates >= RATIO_MIN && waits <= P99_RATIO_MAX,
    })
}

/// What `ab` counted.
struct Answers {
    per_second: f64,
    /// The time in milliseconds within which 99 of 100 came.
    p99: f64,
}

fn ab(bench: &Workbench, client: u32, address: &str) -> Measured<Answers> {
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
    let counted = number(rate).zip(number(p99));
    let counted = counted.map(|(per_second, p99)| Answers { per_second, p99 });
    counted.ok_or_else(|| format!("what does this mean?\n{printed}"))
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

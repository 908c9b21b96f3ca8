//! The service proxy's own work in a network namespace of this process: from 10,000 Services with two
//! endpoints each to rules in the kernel, the change of one endpoint, and what a new connection costs
//! beside few and beside many Services.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kd_network::{ServicePort, Services};
use kd_proxy::{Place, service_rules};
use nix::sched::{CloneFlags, unshare};
use serde_json::json;

use crate::machine::{Measured, Workbench, median};
use crate::table::Row;

const MANY: usize = 10_000;
const FEW: usize = 10;
const CHANGES: usize = 21;
const CONNECTIONS: usize = 2_001;
const SYNC_SECONDS_MAX: f64 = 1.0;
const CHANGE_SECONDS_MAX: f64 = 0.01;
/// A cost that does not grow, with room for noise.
const GROWTH_MAX: f64 = 1.1;

pub fn measure(_: &Workbench) -> Measured<Vec<Row>> {
    thread::spawn(in_a_namespace).join().map_err(|_| "the measurement panicked".to_owned())?
}

fn in_a_namespace() -> Measured<Vec<Row>> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("a namespace: {error}"))?;
    for arguments in [
        &["link", "set", "lo", "up"][..],
        &["addr", "add", "10.244.0.2/16", "dev", "lo"],
        &["route", "add", "default", "dev", "lo"],
    ] {
        let status = Command::new("ip").args(arguments).status();
        if !status.is_ok_and(|status| status.success()) {
            return Err(format!("ip {arguments:?} failed"));
        }
    }
    let listener = TcpListener::bind("0.0.0.0:8080").map_err(|error| error.to_string())?;
    let objects: Vec<_> = (0..MANY).map(objects).collect();
    let failed = |error: kd_network::Error| error.to_string();
    let mut few = Services::new(&[]);
    few.set(ports(&objects[..FEW])).map_err(failed)?;
    let beside_few = connecting(&listener)?;
    let mut services = Services::new(&[]);
    let began = Instant::now();
    let all = ports(&objects);
    let owned = all.iter().enumerate().map(|(number, port)| (name(number), vec![port.clone()]));
    services.update(owned).map_err(failed)?;
    let sync = began.elapsed().as_secs_f64();
    let mut changes = Vec::new();
    for (number, port) in all.iter().enumerate().skip(1).take(CHANGES) {
        let mut changed = ServicePort::clone(port);
        changed.endpoints.pop();
        let began = Instant::now();
        services.update([(name(number), vec![Arc::new(changed)])]).map_err(failed)?;
        changes.push(began.elapsed().as_secs_f64());
    }
    let change = median(&changes);
    let beside_many = connecting(&listener)?;
    Ok(rows(sync, change, beside_few, beside_many))
}

fn rows(sync: f64, change: f64, few: f64, many: f64) -> Vec<Row> {
    vec![
        Row {
            figure: "10,000 Services into the kernel",
            measured: format!("{sync:.2} s"),
            beside: String::new(),
            bar: "at most 1 s",
            holds: sync <= SYNC_SECONDS_MAX,
        },
        Row {
            figure: "one endpoint's change beside them, median of 21",
            measured: format!("{:.1} ms", change * 1e3),
            beside: String::new(),
            bar: "at most 10 ms",
            holds: change <= CHANGE_SECONDS_MAX,
        },
        Row {
            figure: "a new connection beside 10,000 Services, median of 2,001",
            measured: format!("{:.1} µs", many * 1e6),
            beside: format!("beside 10: {:.1} µs, ratio {:.2}", few * 1e6, many / few),
            bar: "ratio at most 1.1",
            holds: many / few <= GROWTH_MAX,
        },
    ]
}

fn name(number: usize) -> String {
    format!("n/s{number}")
}

/// The Service with this number and what is behind it.
fn objects(number: usize) -> (Service, EndpointSlice) {
    let address = Ipv4Addr::from(0x0a60_0001 + number as u32);
    let far = Ipv4Addr::from(0x0af4_0100 + number as u32);
    let endpoints = match number {
        // This one answers.
        0 => json!([{"addresses": ["10.244.0.2"]}]),
        _ => json!([{"addresses": ["10.244.0.3"]}, {"addresses": [far]}]),
    };
    let service = json!({"metadata": {"namespace": "n", "name": format!("s{number}")},
        "spec": {"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80}]}});
    let slice = json!({"metadata": {"namespace": "n", "name": format!("s{number}")},
        "addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": endpoints});
    (
        serde_json::from_value(service).expect("it is a Service"),
        serde_json::from_value(slice).expect("it is a slice"),
    )
}

fn ports(objects: &[(Service, EndpointSlice)]) -> Vec<Arc<ServicePort>> {
    let place = Place { node: "here".into(), zone: String::new() };
    let rules = |(service, slice): &(Service, EndpointSlice)| {
        service_rules(service, std::slice::from_ref(slice), &place).ports
    };
    objects.iter().flat_map(rules).map(Arc::new).collect()
}

fn connecting(listener: &TcpListener) -> Measured<f64> {
    let target = SocketAddr::new(IpAddr::from([10, 96, 0, 1]), 80);
    let failed = |error: std::io::Error| format!("{target}: {error}");
    let mut took = Vec::new();
    for _ in 0..CONNECTIONS {
        let began = Instant::now();
        let made = TcpStream::connect_timeout(&target, Duration::from_secs(1)).map_err(failed)?;
        took.push(began.elapsed().as_secs_f64());
        // Nothing else runs here that would have to keep pace.
        listener.accept().map_err(failed)?;
        drop(made);
    }
    Ok(median(&took))
}

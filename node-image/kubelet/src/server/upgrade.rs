//! From a request to streams: SPDY/3.1 and WebSocket upgrades.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use kd_runtime::ExecSpec;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::lookup::{PodPath, Refusal};
use super::port_forward::{self, Target};
use super::request::Query;
use super::response::{Body, text};
use super::session::{self, CHANNELS, ClientStreams, Ends, Wanted};
use super::streams::{SpdySession, Tunnel, WebSocketChannels, WebSocketProtocol};
use crate::Kubelet;

/// Remote command protocols over SPDY with their versions, newest first.
const REMOTE_COMMAND: [(&str, u8); 4] = [
    ("v4.channel.k8s.io", 4),
    ("v3.channel.k8s.io", 3),
    ("v2.channel.k8s.io", 2),
    ("channel.k8s.io", 1),
];
const PORT_FORWARD: &str = "portforward.k8s.io";
/// SPDY inside a WebSocket.
const TUNNELED_PORT_FORWARD: &str = "SPDY/3.1+portforward.k8s.io";
const STREAM_PROTOCOL: &str = "x-stream-protocol-version";
const ACCEPTED_PROTOCOLS: &str = "x-accepted-stream-protocol-versions";

/// What the streams are for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operation {
    Exec { pod: PodPath, container: String },
    Attach { pod: PodPath, container: String },
    PortForward(PodPath),
}

impl Operation {
    /// The operation of `/exec/<namespace>/<pod>[/<uid>]/<container>`.
    pub(super) fn of(verb: &str, mut pod: PodPath, rest: &[&str]) -> Option<Operation> {
        let container = match rest {
            [container] => (*container).to_owned(),
            [uid, container] => {
                pod.uid = Some((*uid).to_owned());
                (*container).to_owned()
            }
            _ => return None,
        };
        Some(match verb {
            "exec" => Operation::Exec { pod, container },
            _ => Operation::Attach { pod, container },
        })
    }
}

/// What runs once the connection is upgraded.
enum Work {
    Session { operation: Operation, id: String, spec: ExecSpec },
    PortForward { target: Target, ports: Vec<u16> },
}

/// How the client wants its streams.
enum Wire {
    Spdy { protocol: &'static str, version: u8 },
    WebSocket { protocol: WebSocketProtocol, key: String },
    Tunnel { key: String },
}

/// Checks everything that can be checked, answers 101, and goes on in a task.
pub(super) async fn start(
    mut request: Request<Incoming>,
    operation: Operation,
    kubelet: Arc<Kubelet>,
) -> Result<Response<Body>, Refusal> {
    let query = Query::of(request.uri().query().unwrap_or_default());
    let is_port_forward = matches!(operation, Operation::PortForward(_));
    let wire = match negotiate(request.headers(), is_port_forward) {
        Ok(wire) => wire,
        Err(response) => return Ok(*response),
    };
    let work = prepare(operation, &query, &wire, &kubelet).await?;
    let response = switching(&wire);
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(run(upgrade, wire, work, kubelet));
    Ok(response)
}

/// Chooses the wire. The response of a refusal lists what is understood.
fn negotiate(headers: &HeaderMap, is_port_forward: bool) -> Result<Wire, Box<Response<Body>>> {
    let value = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let upgrade = value("upgrade").to_ascii_lowercase();
    if upgrade == "websocket" {
        return web_socket_wire(headers, value("sec-websocket-key"), is_port_forward);
    }
    if upgrade != "spdy/3.1" {
        let reason = "unable to upgrade: missing upgrade headers in request";
        return Err(Box::new(text(StatusCode::BAD_REQUEST, reason)));
    }
    let offered = list(headers, STREAM_PROTOCOL);
    let known: &[(&'static str, u8)] =
        if is_port_forward { &[(PORT_FORWARD, 1)] } else { &REMOTE_COMMAND };
    // A client that names none speaks the oldest.
    if offered.is_empty() {
        let (protocol, version) = known[known.len() - 1];
        return Ok(Wire::Spdy { protocol, version });
    }
    match known.iter().find(|(name, _)| offered.iter().any(|o| o == name)) {
        Some((protocol, version)) => Ok(Wire::Spdy { protocol, version: *version }),
        None => Err(Box::new(no_common_protocol(&offered, known))),
    }
}

fn web_socket_wire(
    headers: &HeaderMap,
    key: &str,
    is_port_forward: bool,
) -> Result<Wire, Box<Response<Body>>> {
    let offered = list(headers, "sec-websocket-protocol");
    let names: Vec<&str> = offered.iter().map(String::as_str).collect();
    let key = key.to_owned();
    if key.is_empty() {
        let reason = "unable to upgrade: Sec-WebSocket-Key is missing";
        return Err(Box::new(text(StatusCode::BAD_REQUEST, reason)));
    }
    if is_port_forward && names.contains(&TUNNELED_PORT_FORWARD) {
        return Ok(Wire::Tunnel { key });
    }
    match WebSocketProtocol::choose(&names) {
        Some(protocol) => Ok(Wire::WebSocket { protocol, key }),
        None => {
            let reason = format!("unable to upgrade: none of the protocols {names:?} is supported");
            Err(Box::new(text(StatusCode::BAD_REQUEST, reason)))
        }
    }
}

fn no_common_protocol(offered: &[String], known: &[(&'static str, u8)]) -> Response<Body> {
    let names: Vec<&'static str> = known.iter().map(|(name, _)| *name).collect();
    let reason = format!(
        "unable to upgrade: unable to negotiate protocol: client supports {offered:?}, server \
         accepts {names:?}"
    );
    let mut response = text(StatusCode::FORBIDDEN, reason);
    for name in names {
        response.headers_mut().append(ACCEPTED_PROTOCOLS, HeaderValue::from_static(name));
    }
    response
}

/// A header's values, whether they come in one line or in several.
fn list(headers: &HeaderMap, name: &str) -> Vec<String> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|item| item.trim().to_owned()).collect()
}

/// Finds the container and checks the parameters, so that errors are still plain answers.
async fn prepare(
    operation: Operation,
    query: &Query,
    wire: &Wire,
    kubelet: &Arc<Kubelet>,
) -> Result<Work, Refusal> {
    match &operation {
        Operation::Exec { pod, container } | Operation::Attach { pod, container } => {
            let command = query.all("command");
            let is_exec = matches!(operation, Operation::Exec { .. });
            if is_exec && command.is_empty() {
                return Err(Refusal::new(
                    400,
                    "you must specify at least one command for the container",
                ));
            }
            let wanted = wanted(query);
            if !(wanted.stdin || wanted.stdout || wanted.stderr) {
                let reason = "you must specify at least 1 of stdin, stdout, stderr";
                return Err(Refusal::new(400, reason));
            }
            // Upstream's kubelet says these of anything that is not running.
            let missing = match is_exec {
                true => format!("container not found ({container:?})"),
                false => {
                    format!("container {container} not found in pod {}_{}", pod.name, pod.namespace)
                }
            };
            let id = pod.container(kubelet, container).await;
            let id = id?.ok_or_else(|| Refusal::new(404, missing))?;
            let Wanted { stdin, stdout, stderr, tty } = wanted;
            let spec = ExecSpec { command, stdin, stdout, stderr: stderr && !tty, tty };
            Ok(Work::Session { operation, id, spec })
        }
        Operation::PortForward(pod) => {
            let ports = match wire {
                Wire::WebSocket { .. } => port_forward::ports(&query.all("port"))
                    .map_err(|error| Refusal::new(400, error.to_string()))?,
                _ => Vec::new(),
            };
            Ok(Work::PortForward { target: port_forward::target(pod, kubelet).await?, ports })
        }
    }
}

/// The kubelet's own parameter names, with those of the pod API accepted too.
fn wanted(query: &Query) -> Wanted {
    Wanted {
        stdin: query.flag("input") || query.flag("stdin"),
        stdout: query.flag("output") || query.flag("stdout"),
        stderr: query.flag("error") || query.flag("stderr"),
        tty: query.flag("tty"),
    }
}

fn switching(wire: &Wire) -> Response<Body> {
    let mut response = text(StatusCode::SWITCHING_PROTOCOLS, "");
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    match wire {
        Wire::Spdy { protocol, .. } => {
            headers.insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
            headers.insert(STREAM_PROTOCOL, HeaderValue::from_static(protocol));
        }
        Wire::WebSocket { protocol, key } => web_socket_headers(headers, key, protocol.name),
        Wire::Tunnel { key } => web_socket_headers(headers, key, TUNNELED_PORT_FORWARD),
    }
    response
}

fn web_socket_headers(headers: &mut HeaderMap, key: &str, protocol: &'static str) {
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = derive_accept_key(key.as_bytes()).parse() {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if !protocol.is_empty() {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
}

async fn run(upgrade: OnUpgrade, wire: Wire, work: Work, kubelet: Arc<Kubelet>) {
    let done = match upgrade.await {
        Ok(connection) => run_upgraded(TokioIo::new(connection), wire, work, kubelet).await,
        Err(error) => Err(std::io::Error::other(error)),
    };
    if let Err(error) = done {
        tracing::debug!(%error, "streams ended early");
    }
}

async fn run_upgraded(
    connection: TokioIo<Upgraded>,
    wire: Wire,
    work: Work,
    kubelet: Arc<Kubelet>,
) -> std::io::Result<()> {
    match work {
        Work::PortForward { target, ports } => forward(connection, wire, target, ports).await,
        Work::Session { operation, id, spec } => {
            let client = client_streams(connection, wire, &spec).await?;
            let runtime = kubelet.runtime();
            let (started, ends) = match operation {
                Operation::Exec { .. } => (runtime.exec(&id, spec).await, Ends::WithProcess),
                _ => (runtime.attach(&id, spec).await, Ends::WithStreams),
            };
            match started {
                Ok(session) => session::join(session, client, ends).await,
                Err(error) => client.refuse(&error).await,
            }
            Ok(())
        }
    }
}

async fn client_streams(
    connection: TokioIo<Upgraded>,
    wire: Wire,
    spec: &ExecSpec,
) -> std::io::Result<ClientStreams> {
    let ExecSpec { stdin, stdout, stderr, tty, .. } = *spec;
    let wanted = Wanted { stdin, stdout, stderr, tty };
    match wire {
        Wire::Spdy { version, .. } => {
            ClientStreams::spdy(SpdySession::start(connection)?, wanted, version).await
        }
        Wire::WebSocket { protocol, .. } => {
            let socket = WebSocketStream::from_raw_socket(connection, Role::Server, None).await;
            let [stdin, .., resize] = CHANNELS;
            let channels = WebSocketChannels::start(socket, protocol, &[stdin, resize]);
            ClientStreams::web_socket(channels, protocol, wanted).await
        }
        Wire::Tunnel { .. } => Err(std::io::ErrorKind::Unsupported.into()),
    }
}

async fn forward(
    connection: TokioIo<Upgraded>,
    wire: Wire,
    target: Target,
    ports: Vec<u16>,
) -> std::io::Result<()> {
    match wire {
        Wire::Spdy { .. } => port_forward::spdy(SpdySession::start(connection)?, target).await,
        Wire::Tunnel { .. } => {
            let socket = WebSocketStream::from_raw_socket(connection, Role::Server, None).await;
            port_forward::spdy(SpdySession::start(Tunnel::new(socket))?, target).await;
        }
        Wire::WebSocket { protocol, .. } => {
            let socket = WebSocketStream::from_raw_socket(connection, Role::Server, None).await;
            if let [port] = ports[..] {
                port_forward::one_port(socket, protocol, port, target).await;
                return Ok(());
            }
            let data: Vec<u8> = (0..ports.len()).map(|index| (index * 2) as u8).collect();
            let channels = WebSocketChannels::start(socket, protocol, &data);
            port_forward::web_socket(channels, ports, target).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn the_newest_common_protocol_wins() {
        let spdy = headers(&[
            ("upgrade", "SPDY/3.1"),
            ("x-stream-protocol-version", "channel.k8s.io"),
            ("x-stream-protocol-version", "v4.channel.k8s.io"),
        ]);
        assert!(matches!(negotiate(&spdy, false), Ok(Wire::Spdy { version: 4, .. })));
        let tunnel = headers(&[
            ("upgrade", "websocket"),
            ("sec-websocket-key", "k"),
            ("sec-websocket-protocol", "SPDY/3.1+portforward.k8s.io, v4.channel.k8s.io"),
        ]);
        assert!(matches!(negotiate(&tunnel, true), Ok(Wire::Tunnel { .. })));
        assert!(matches!(negotiate(&tunnel, false), Ok(Wire::WebSocket { .. })));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let check = |map: HeaderMap, code: u16| {
            let refused = negotiate(&map, false).err().map(|response| response.status().as_u16());
            assert_eq!(refused, Some(code));
        };
        check(headers(&[]), 400);
        check(headers(&[("upgrade", "h2c")]), 400);
        check(headers(&[("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "v9")]), 403);
        check(headers(&[("upgrade", "websocket")]), 400);
    }

    #[test]
    fn paths_may_hold_a_uid() {
        let pod = || PodPath::new("n", "p", None);
        let Some(Operation::Exec { pod: found, container }) =
            Operation::of("exec", pod(), &["uid-1", "c"])
        else {
            panic!("not an exec");
        };
        assert_eq!((found.uid.as_deref(), container.as_str()), (Some("uid-1"), "c"));
        assert_eq!(Operation::of("exec", pod(), &[]), None);
    }
}

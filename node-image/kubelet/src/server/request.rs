//! What is asked: routes and parameters.

use std::path::Path;
use std::sync::Arc;

use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;

use super::access::Access;
use super::lookup::{PodPath, Refusal, pod_list};
use super::relay::Relay;
use super::response::{Body, plain, refused, streamed, text};
use super::{node_logs, observe, port_forward, upgrade};
use crate::Kubelet;
use crate::logs::{LogOptions, Stream};

/// Answers one request.
pub(super) async fn handle(
    request: Request<Incoming>,
    access: &Access,
    certificate: Option<&CertificateDer<'static>>,
    relay: &Relay,
    kubelet: Arc<Kubelet>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    if let Err(refusal) = access.check(&parts, certificate).await {
        return refused(refusal);
    }
    let request = Request::from_parts(parts, body);
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let answered = match segments.as_slice() {
        ["healthz"] | ["healthz", "ping" | "log" | "syncloop"] => Ok(text(StatusCode::OK, "ok")),
        ["stats", "summary"] => Ok(observe::stats_summary(&kubelet, &query(&request)).await),
        ["metrics", page @ ..] => observe::metrics(&kubelet, page).await,
        ["configz"] => Ok(observe::configz(kubelet.config())),
        ["runningpods"] => Ok(observe::running_pods(&kubelet).await),
        ["logs", ..] => {
            let root = kubelet.config().pod_log_directory.parent().map(Path::to_owned);
            let below = decoded(path.trim_start_matches("/logs"));
            node_logs::node_logs(&root.unwrap_or_default(), &below).await
        }
        ["run", namespace, pod, rest @ ..] if (1..3).contains(&rest.len()) => {
            let (uid, container) = (rest.iter().rev().nth(1).copied(), rest[rest.len() - 1]);
            let pod = PodPath::new(namespace, pod, uid);
            run(&request, &pod, container, &kubelet).await
        }
        ["pods"] => Ok(plain(StatusCode::OK, "application/json", pod_list(&kubelet))),
        ["containerLogs", namespace, pod, container] => {
            let pod = PodPath::new(namespace, pod, None);
            logs(request.into_parts().0, &pod, container, kubelet).await
        }
        [verb @ ("exec" | "attach"), namespace, pod, rest @ ..] => {
            match upgrade::Operation::of(verb, PodPath::new(namespace, pod, None), rest) {
                Some(operation) => upgrade::start(request, operation, kubelet).await,
                None => Err(not_found()),
            }
        }
        ["portForward", namespace, pod, uid @ ..] if uid.len() < 2 => {
            let pod = PodPath::new(namespace, pod, uid.first().copied());
            upgrade::start(request, upgrade::Operation::PortForward(pod), kubelet).await
        }
        ["relay", namespace, pod] => {
            let pod = PodPath::new(namespace, pod, None);
            offer(&request, &pod, relay, &kubelet).await
        }
        ["checkpoint", ..] => {
            Err(Refusal::new(404, "checkpointing containers is not supported by this runtime"))
        }
        _ => Err(not_found()),
    };
    answered.unwrap_or_else(refused)
}

fn query(request: &Request<Incoming>) -> Query {
    Query::of(request.uri().query().unwrap_or_default())
}

async fn run(
    request: &Request<Incoming>,
    pod: &PodPath,
    container: &str,
    kubelet: &Arc<Kubelet>,
) -> Result<Response<Body>, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::new(405, "Method Not Allowed"));
    }
    let missing = || Refusal::new(404, format!("container not found (\"{container}\")"));
    let id = pod.container(kubelet, container).await?.ok_or_else(missing)?;
    observe::run(kubelet, &id, &query(request)).await
}

/// A connection to a port of the pod, for whoever can fetch it at this node (kd's own).
async fn offer(
    request: &Request<Incoming>,
    pod: &PodPath,
    relay: &Relay,
    kubelet: &Arc<Kubelet>,
) -> Result<Response<Body>, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::new(405, "Method Not Allowed"));
    }
    let ports = port_forward::ports(&query(request).all("port"));
    let port = match ports.map_err(|error| Refusal::new(400, error.to_string()))?[..] {
        [port] => port,
        _ => return Err(Refusal::new(400, "a relay is for one port")),
    };
    let offer = relay.offer(&port_forward::target(pod, kubelet).await?, port).await?;
    let offer = serde_json::to_vec(&offer).map_err(|e| Refusal::new(500, e.to_string()))?;
    Ok(plain(StatusCode::OK, "application/json", offer))
}

fn not_found() -> Refusal {
    Refusal::new(404, "404 page not found\n")
}

async fn logs(
    parts: Parts,
    pod: &PodPath,
    container: &str,
    kubelet: Arc<Kubelet>,
) -> Result<Response<Body>, Refusal> {
    if parts.method != Method::GET {
        return Err(Refusal::new(405, "Method Not Allowed"));
    }
    let query = Query::of(parts.uri.query().unwrap_or_default());
    let options = log_options(&query, Timestamp::now())?;
    let previous = query.flag("previous");
    Ok(streamed(pod.log(&kubelet, container, previous, options).await?))
}

fn log_options(query: &Query, now: Timestamp) -> Result<LogOptions, Refusal> {
    let since = match (query.number("sinceSeconds")?, query.first("sinceTime")) {
        (Some(_), Some(_)) => {
            return Err(Refusal::new(
                422,
                "at most one of `sinceTime` or `sinceSeconds` may be specified",
            ));
        }
        (Some(seconds), None) => {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            now.checked_sub(SignedDuration::from_secs(seconds)).ok()
        }
        (None, Some(time)) => Some(time.parse().map_err(|error| {
            Refusal::new(400, format!("sinceTime: Invalid value: {time:?}: {error}"))
        })?),
        (None, None) => None,
    };
    Ok(LogOptions {
        follow: query.flag("follow"),
        timestamps: query.flag("timestamps"),
        since,
        tail_lines: query.number("tailLines")?,
        limit_bytes: query.number("limitBytes")?,
        stream: stream(query.first("stream"))?,
    })
}

fn stream(name: Option<&str>) -> Result<Option<Stream>, Refusal> {
    match name {
        None | Some("" | "All") => Ok(None),
        Some("Stdout") => Ok(Some(Stream::Stdout)),
        Some("Stderr") => Ok(Some(Stream::Stderr)),
        Some(other) => Err(Refusal::new(400, format!("stream: Unsupported value: {other:?}"))),
    }
}

/// The parameters after the question mark.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(text: &str) -> Query {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        });
        Query(pairs.collect())
    }

    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
    }

    /// Upstream takes `1` and `true`.
    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.first(name), Some("1" | "true" | "True" | "t"))
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let parse = |text: &str| {
            text.parse().map_err(|_| {
                Refusal::new(400, format!("{name}: Invalid value: {text:?}: must be a number"))
            })
        };
        self.first(name).map(parse).transpose()
    }
}

fn decoded(text: &str) -> String {
    let spaces = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaces).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::of("command=sh&command=-c&command=echo+a%26b&input=1&tty=true&x");
        assert_eq!(query.all("command"), ["sh", "-c", "echo a&b"]);
        assert!(query.flag("input") && query.flag("tty") && !query.flag("x"));
        assert_eq!(query.first("absent"), None);
    }

    #[test]
    fn log_options_are_checked() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let options = |text: &str| log_options(&Query::of(text), now);
        let since = options("sinceSeconds=60&tailLines=5&follow=true").unwrap();
        assert_eq!(since.since, Some("2026-01-01T00:00:00Z".parse().unwrap()));
        assert_eq!((since.tail_lines, since.follow), (Some(5), true));
        let time = options("sinceTime=2025-12-31T00%3A00%3A00Z&stream=Stdout").unwrap();
        assert_eq!(time.stream, Some(Stream::Stdout));
        for bad in
            ["tailLines=x", "sinceTime=yesterday", "sinceSeconds=1&sinceTime=x", "stream=Both"]
        {
            assert!(options(bad).is_err(), "{bad}");
        }
    }
}

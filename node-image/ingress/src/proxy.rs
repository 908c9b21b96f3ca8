//! A request's way: its rule, a backend, an endpoint, and the answer back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rand::Rng;
use tokio::io::copy_bidirectional;
use tokio::time::timeout;

use crate::backends::TURNS;
use crate::body::{Body, Download, Upload, empty, text};
use crate::names::Names;
use crate::pool::{ConnectError, Lease, Place, Pool};
use crate::request::{self, Via};
use crate::route::{Action, Asked, Backend, Mirror, Protocol, Table, Target, host_of};

/// A backend that neither takes nor sends anything for this long before its answer has failed; rules
/// may say otherwise.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Endpoints that are tried for one request.
const ENDPOINTS_MAX: usize = 3;

/// What all connections share.
pub(crate) struct Proxy {
    /// The rules of now.
    pub table: ArcSwap<Table>,
    /// Connections to endpoints.
    pub pool: Arc<Pool>,
    names: Arc<Names>,
    turns: Box<[AtomicUsize]>,
}

/// Why there is no answer.
#[derive(Debug)]
enum Failure {
    /// Nothing was sent: another endpoint may be asked.
    Unsent(Box<Request<Body>>, StatusCode),
    Sent(StatusCode),
}

impl Proxy {
    pub(crate) fn new(pool: Arc<Pool>, names: Names) -> Proxy {
        let turns = (0..TURNS).map(|_| AtomicUsize::new(0)).collect();
        let table = ArcSwap::from_pointee(Table::default());
        Proxy { table, pool, names: Arc::new(names), turns }
    }

    /// Answers a request. Every failure is an answer, too.
    pub(crate) async fn answer(&self, via: Via, request: Request<Incoming>) -> Response<Body> {
        let host = host_of(request::authority(&request).unwrap_or_default());
        let Some(action) = self.action(via.port, &host, &request) else {
            return failed(StatusCode::NOT_FOUND);
        };
        if let Some(redirect) = &action.redirect {
            return request::redirected(redirect, &action, via, &host, &request);
        }
        let Some(target) = choose(&action.targets) else {
            return failed(StatusCode::INTERNAL_SERVER_ERROR);
        };
        let mut answer = match &target.backend {
            Err(status) => failed(*status),
            Ok(backend) => self.ask(via, &host, &action, target, backend, request).await,
        };
        target.response_headers.apply(answer.headers_mut());
        action.response_headers.apply(answer.headers_mut());
        answer
    }

    fn action(&self, port: u16, host: &str, request: &Request<Incoming>) -> Option<Arc<Action>> {
        let (method, headers) = (request.method(), request.headers());
        let (path, query) = (request.uri().path(), request.uri().query());
        let asked = Asked { host, path, query, method, headers };
        let table = self.table.load();
        Some(table.ports.get(&port)?.routes.find(&asked)?.action.clone())
    }

    async fn ask(
        &self,
        via: Via,
        host: &str,
        action: &Action,
        target: &Target,
        backend: &Backend,
        mut request: Request<Incoming>,
    ) -> Response<Body> {
        let client = request::wants_upgrade(&request).then(|| hyper::upgrade::on(&mut request));
        let protocol = request::protocol(backend.protocol, &request);
        let moved = Arc::new(AtomicBool::new(false));
        let mut upload = None;
        let mut request = request.map(|body| {
            upload = Some(Upload::new(body, moved.clone()));
            empty()
        });
        request::prepare(&mut request, via, host, action, target, client.is_some());
        if let Some(mut upload) = upload {
            self.mirror(action, &request, &mut upload);
            *request.body_mut() = upload.boxed_unsync();
        }
        let asking = self.ask_endpoints(backend, protocol, request, &moved);
        let answered = match action.timeout {
            None => asking.await,
            Some(limit) => timeout(limit, asking).await.unwrap_or(Err(StatusCode::GATEWAY_TIMEOUT)),
        };
        match answered {
            Err(status) => failed(status),
            Ok((mut answer, lease)) => match (client, answer.status()) {
                (Some(client), StatusCode::SWITCHING_PROTOCOLS) => {
                    let backend = hyper::upgrade::on(&mut answer);
                    tokio::spawn(relay(client, backend));
                    answer.map(|_| empty())
                }
                _ => {
                    request::remove_hop_by_hop(answer.headers_mut());
                    *answer.version_mut() = Version::HTTP_11;
                    answer.map(|body| Download::new(body, Some(lease)).boxed_unsync())
                }
            },
        }
    }

    /// Asks one endpoint after the other until one takes the request.
    async fn ask_endpoints(
        &self,
        backend: &Backend,
        protocol: Protocol,
        mut request: Request<Body>,
        moved: &AtomicBool,
    ) -> Result<(Response<Incoming>, Lease), StatusCode> {
        let mut status = StatusCode::SERVICE_UNAVAILABLE;
        let endpoints = self.names.endpoints(backend).await;
        for address in in_turn(&endpoints, self.turn(backend)).take(ENDPOINTS_MAX) {
            let place = place(backend, address, protocol);
            match self.exchange(&place, request, moved).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Sent(status)) => return Err(status),
                Err(Failure::Unsent(unsent, why)) => (request, status) = (*unsent, why),
            }
        }
        Err(status)
    }

    /// Whose turn it is: another one each time.
    fn turn(&self, backend: &Backend) -> usize {
        let turn = self.turns.get(backend.turn);
        turn.map_or(0, |turn| turn.fetch_add(1, Ordering::Relaxed))
    }

    /// Sends a request to an endpoint. A kept connection may end at the moment it is used: then the
    /// request goes over a new one, if nothing of it was sent or sending it twice does no harm
    /// (RFC 9110, section 9.2.2).
    async fn exchange(
        &self,
        place: &Place,
        mut request: Request<Body>,
        moved: &AtomicBool,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        let mut fresh = false;
        loop {
            request::address(&mut request, place.protocol);
            let mut lease = match self.pool.lease(place.clone(), fresh).await {
                Ok(lease) => lease,
                Err(error) => {
                    tracing::debug!(endpoint = %place.address, %error, "no connection");
                    let status = match error {
                        ConnectError::Timeout => StatusCode::GATEWAY_TIMEOUT,
                        _ => StatusCode::BAD_GATEWAY,
                    };
                    return Err(Failure::Unsent(Box::new(request), status));
                }
            };
            let again = lease.is_reused.then(|| repeatable(&request)).flatten();
            let sending = lease.send(request);
            let error = match unless_silent(sending, moved).await {
                None => return Err(Failure::Sent(StatusCode::GATEWAY_TIMEOUT)),
                Some(Ok(answer)) => return Ok((answer, lease)),
                Some(Err(error)) => error,
            };
            tracing::debug!(endpoint = %place.address, error = %error.error(), "no answer");
            let mut error = error;
            request = match error.take_message().or(again) {
                Some(request) if lease.is_reused => request,
                Some(request) => {
                    return Err(Failure::Unsent(Box::new(request), StatusCode::BAD_GATEWAY));
                }
                None => return Err(Failure::Sent(StatusCode::BAD_GATEWAY)),
            };
            fresh = true;
        }
    }

    /// Sends copies of a request to those who only listen.
    fn mirror(&self, action: &Action, request: &Request<Body>, upload: &mut Upload) {
        for Mirror { backend, share } in &action.mirrors {
            let is_meant = share.is_none_or(|(part, of)| rand::rng().random_range(0..of) < part);
            if !is_meant {
                continue;
            }
            let mut copy = head(request, upload.mirror());
            request::address(&mut copy, backend.protocol);
            let (pool, names) = (self.pool.clone(), self.names.clone());
            let (backend, turn) = (backend.clone(), self.turn(backend));
            tokio::spawn(timeout(ANSWER_TIMEOUT, async move {
                let endpoints = names.endpoints(&backend).await;
                let Some(address) = in_turn(&endpoints, turn).next() else { return };
                let place = place(&backend, address, backend.protocol);
                let Ok(mut lease) = pool.lease(place, false).await else { return };
                let Ok(answer) = lease.send(copy).await else { return };
                // The answer is read, so that the connection can be used again.
                let mut body = Download::new(answer.into_body(), Some(lease));
                while let Some(Ok(_)) = body.frame().await {}
            }));
        }
    }
}

/// The endpoints in the order in which to try them.
fn in_turn(all: &[SocketAddr], turn: usize) -> impl Iterator<Item = SocketAddr> {
    let start = turn.checked_rem(all.len()).unwrap_or(0);
    all[start..].iter().chain(&all[..start]).copied()
}

fn place(backend: &Backend, address: SocketAddr, protocol: Protocol) -> Place {
    let name = backend.external.as_ref().map(|external| external.name.clone());
    Place { address, protocol, name }
}

/// Chooses by weight.
fn choose(targets: &[Target]) -> Option<&Target> {
    if let [only] = targets {
        return (only.weight > 0).then_some(only);
    }
    let total: u64 = targets.iter().map(|target| u64::from(target.weight)).sum();
    if total == 0 {
        return None;
    }
    let mut left = rand::rng().random_range(0..total);
    targets.iter().find(|target| {
        let weight = u64::from(target.weight);
        let is_chosen = left < weight;
        left = left.saturating_sub(weight);
        is_chosen
    })
}

/// The same request, where sending it twice does no harm.
fn repeatable(request: &Request<Body>) -> Option<Request<Body>> {
    let is_safe = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
    );
    (is_safe && request.body().is_end_stream()).then(|| head(request, empty()))
}

fn head(request: &Request<Body>, body: Body) -> Request<Body> {
    let mut copy = Request::new(body);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// Waits for an answer for as long as something of the request goes out.
async fn unless_silent<T>(answer: impl Future<Output = T>, moved: &AtomicBool) -> Option<T> {
    let mut answer = std::pin::pin!(answer);
    loop {
        match timeout(ANSWER_TIMEOUT, &mut answer).await {
            Ok(answer) => return Some(answer),
            Err(_) if moved.swap(false, Ordering::Relaxed) => {}
            Err(_) => return None,
        }
    }
}

/// Passes bytes both ways until one end breaks off; that is all there is to say about it.
async fn relay(client: hyper::upgrade::OnUpgrade, backend: hyper::upgrade::OnUpgrade) {
    let Ok((client, backend)) = tokio::try_join!(client, backend) else { return };
    let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
    let _ = copy_bidirectional(&mut client, &mut backend).await;
}

/// An answer of our own.
fn failed(status: StatusCode) -> Response<Body> {
    let reason = match status {
        StatusCode::NOT_FOUND => "page not found",
        other => other.canonical_reason().unwrap_or_default(),
    };
    let mut answer = Response::new(text(format!("{} {reason}\n", status.as_str())));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}

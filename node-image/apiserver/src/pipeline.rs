//! What every request goes through, in running order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use http::header::{ACCEPT, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body::Body;
use http_body_util::BodyExt;
use jiff::Timestamp;
use kd_api::Status;

use crate::aggregation;
use crate::answer::{self, Answer, RequestBody};
use crate::audit::{self, Record};
use crate::authn::{ClientCertificates, impersonated};
use crate::authz::forbidden;
use crate::endpoints;
use crate::fairness::{self, Flow, Seat};
use crate::metrics::{LongRunning, RequestLabels};
use crate::negotiate::{self, Offer, Wanted, media_type};
use crate::path::request_info;
use crate::query::Query;
use crate::request::{Authenticator, Authorizer, Decision, RequestInfo, UserInfo};
use crate::server::ApiServer;
use crate::verbs::{self, APPLY};

/// Who sent a request, as the transport knows it.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    /// Somebody at the other end of a connection.
    Remote {
        /// What they hold, verified; may be empty.
        certificates: Arc<ClientCertificates>,
        /// Where they are.
        address: SocketAddr,
    },
    /// A component of this process.
    Known(Arc<UserInfo>),
}

/// The user that this server is to itself.
pub(crate) const THIS_SERVER: &str = "system:apiserver";

impl Peer {
    /// Whether it is this server that asks itself.
    pub(crate) fn is_this_server(&self) -> bool {
        matches!(self, Peer::Known(user) if user.username == THIS_SERVER)
    }
}

/// A request on its way through the stages.
pub(crate) struct Exchange {
    pub(crate) server: Arc<ApiServer>,
    pub(crate) peer: Peer,
    pub(crate) parts: Parts,
    pub(crate) query: Query,
    pub(crate) info: RequestInfo,
    pub(crate) user: Arc<UserInfo>,
    /// What clients and the audit log call the request.
    pub(crate) audit_id: String,
    /// When it came.
    pub(crate) received: Timestamp,
    /// None for what is not logged.
    pub(crate) audit: Option<Arc<Record>>,
    /// Which flow it belongs to; None for what lasts as long as the client likes.
    flow: Option<Flow>,
    /// Held while the request runs.
    seat: Option<Seat>,
}

type Stage = for<'a> fn(&'a mut Exchange) -> BoxFuture<'a, Result<(), Status>>;

const STAGES: [Stage; 6] = [parse, authenticate, audit, impersonate, limit, authorize];

/// The longest name that a client may give its request.
const AUDIT_ID_LENGTH_MAX: usize = 64;

/// Answers a request.
pub(crate) async fn run(
    server: Arc<ApiServer>,
    peer: Peer,
    request: Request<RequestBody>,
) -> Answer {
    let (parts, body) = request.into_parts();
    let failure_form = FailureForm::of(&parts);
    let audit_id = audit_id(&parts.headers, &server);
    let mut told = Told { id: audit_id.clone(), started: Instant::now(), flow: None };
    let mut exchange = Exchange {
        server: server.clone(),
        peer,
        parts,
        query: Query::default(),
        info: RequestInfo::default(),
        user: Arc::default(),
        audit_id,
        received: (server.clock)(),
        audit: None,
        flow: None,
        seat: None,
    };
    let is_apply = media_type(&exchange.parts.headers) == APPLY;
    let method = exchange.parts.method.clone();
    let passed = pass(&mut exchange).await;
    let labels = labels(&exchange, &method, is_apply);
    let record = exchange.audit.clone();
    told.flow = exchange.flow.clone();
    let long_running = is_long_running(&exchange.info, &exchange.query);
    let mut answer = match passed {
        Ok(()) => handle(exchange, &labels, body).await,
        Err(status) => answer::failure(&status),
    };
    if let Some(record) = record {
        answer = audit::answered(record, server.clock.clone(), long_running, answer).await;
    }
    told.finish(&server, labels, failure_form.give(answer))
}

/// Through all stages, or up to the first that refuses.
async fn pass(exchange: &mut Exchange) -> Result<(), Status> {
    for stage in STAGES {
        if let Err(status) = stage(exchange).await {
            if status.code == 401 && exchange.audit.is_none() {
                audit::unauthenticated(exchange, &status).await;
            }
            return Err(status);
        }
    }
    Ok(())
}

/// The client's own name for its request, or one of ours.
fn audit_id(headers: &HeaderMap, server: &ApiServer) -> String {
    let told = headers.get("audit-id").and_then(|value| value.to_str().ok());
    match told.filter(|id| !id.is_empty() && id.len() <= AUDIT_ID_LENGTH_MAX) {
        Some(id) => id.to_owned(),
        None => uuid((server.random)()),
    }
}

fn labels(exchange: &Exchange, method: &Method, is_apply: bool) -> RequestLabels {
    let kinds = exchange.server.objects.kinds();
    let dry_run = exchange.query.has("dryRun");
    RequestLabels::of(&exchange.info, &kinds, method, is_apply, dry_run)
}

/// How the client wants to be told of a failure: looked at only when there is one.
struct FailureForm {
    accept: Option<HeaderValue>,
    agent: Option<HeaderValue>,
    uri: Uri,
}

impl FailureForm {
    fn of(parts: &Parts) -> FailureForm {
        let header = |name| parts.headers.get(name).cloned();
        FailureForm { accept: header(ACCEPT), agent: header(USER_AGENT), uri: parts.uri.clone() }
    }

    fn give(self, answer: Answer) -> Answer {
        if !answer.status().is_client_error() && !answer.status().is_server_error() {
            return answer;
        }
        let mut headers = HeaderMap::new();
        for (name, value) in [(ACCEPT, self.accept), (USER_AGENT, self.agent)] {
            headers.extend(value.map(|value| (name, value)));
        }
        let query = Query::parse(self.uri.query().unwrap_or(""));
        let wanted = negotiate::wanted(&headers, &query, Offer::STATUS);
        answer::negotiated(answer, wanted.unwrap_or(Wanted::JSON))
    }
}

async fn handle(mut exchange: Exchange, labels: &RequestLabels, body: RequestBody) -> Answer {
    // A watch has its seat until it has begun.
    let begins = exchange.info.verb == "watch";
    let seat = exchange.seat.take();
    let lasts = is_long_running(&exchange.info, &exchange.query)
        .then(|| LongRunning::begin(&exchange.server, labels));
    let remote = exchange.server.aggregator.remote_of(&exchange.info.path);
    let answer = match (remote, exchange.info.is_resource) {
        (Some(remote), _) => {
            aggregation::forward(&remote, &exchange.user, exchange.parts, body).await
        }
        (None, true) => verbs::dispatch(exchange, body).await,
        (None, false) => endpoints::dispatch(exchange).await,
    };
    held(answer, (seat.filter(|_| !begins), lasts))
}

/// Keeps the request's place until a body that is written little by little is done with.
fn held(answer: Answer, place: (Option<Seat>, Option<LongRunning>)) -> Answer {
    let keeps_nothing = place.0.is_none() && place.1.is_none();
    if keeps_nothing || answer.body().size_hint().exact().is_some() {
        return answer;
    }
    answer.map(|body| {
        let keeps = move |frame| {
            let _ = &place;
            frame
        };
        body.map_frame(keeps).boxed_unsync()
    })
}

/// What every answer says, and what is counted of it.
struct Told {
    id: String,
    started: Instant,
    flow: Option<Flow>,
}

impl Told {
    fn finish(self, server: &ApiServer, labels: RequestLabels, mut answer: Answer) -> Answer {
        server.metrics.answered(labels, answer.status().as_u16(), self.started.elapsed());
        let headers = answer.headers_mut();
        let mut tell = |name: &'static str, value: Option<HeaderValue>| {
            if let Some(value) = value {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        tell("audit-id", HeaderValue::try_from(self.id).ok());
        if let Some(Flow { names, .. }) = self.flow {
            tell("x-kubernetes-pf-flowschema-uid", names.schema_uid.clone());
            tell("x-kubernetes-pf-prioritylevel-uid", names.level_uid.clone());
        }
        let cache_control = headers.entry(http::header::CACHE_CONTROL);
        cache_control.or_insert(HeaderValue::from_static("no-cache, private"));
        answer
    }
}

/// A random (version 4) UUID of 128 random bits.
pub(crate) fn uuid(random: u128) -> String {
    let bits = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let part = |shift: u32, digits: u32| (bits >> shift) & ((1 << (4 * digits)) - 1);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(96, 8),
        part(80, 4),
        part(64, 4),
        part(48, 4),
        part(0, 12)
    )
}

fn parse(exchange: &mut Exchange) -> BoxFuture<'_, Result<(), Status>> {
    let uri = &exchange.parts.uri;
    exchange.query = Query::parse(uri.query().unwrap_or(""));
    exchange.info = request_info(&exchange.parts.method, uri.path(), &exchange.query);
    Box::pin(async { Ok(()) })
}

fn authenticate(exchange: &mut Exchange) -> BoxFuture<'_, Result<(), Status>> {
    Box::pin(async {
        let certificates = match &exchange.peer {
            Peer::Known(user) => {
                exchange.user = user.clone();
                return Ok(());
            }
            Peer::Remote { certificates, .. } => certificates.clone(),
        };
        let server = exchange.server.clone();
        let found = server.authenticator.authenticate(&exchange.parts, &certificates).await?;
        exchange.user = found.ok_or_else(Status::unauthorized)?;
        Ok(())
    })
}

fn audit(exchange: &mut Exchange) -> BoxFuture<'_, Result<(), Status>> {
    Box::pin(audit::begin(exchange))
}

fn impersonate(exchange: &mut Exchange) -> BoxFuture<'_, Result<(), Status>> {
    Box::pin(async {
        let server = exchange.server.clone();
        let authorizer: &dyn Authorizer = &*server.authorizer;
        if let Some(other) =
            impersonated(authorizer, &exchange.user, &exchange.parts.headers).await?
        {
            if let Some(record) = &exchange.audit {
                record.impersonates(&other);
            }
            exchange.user = Arc::new(other);
        }
        Ok(())
    })
}

/// Requests that last as long as the client likes do not count, but for the beginning of watches.
fn limit(exchange: &mut Exchange) -> BoxFuture<'_, Result<(), Status>> {
    Box::pin(async {
        let info = &exchange.info;
        if info.verb == "watch" || !is_long_running(info, &exchange.query) {
            let fairness = exchange.server.fairness.clone();
            let flow = exchange.flow.insert(fairness.classify(&exchange.user, info));
            let width = match flow.names.exempt {
                true => 1,
                false => fairness::width(&exchange.server.objects, info, &exchange.query),
            };
            exchange.seat = Some(fairness.enter(flow, info, width).await?);
        }
        Ok(())
    })
}

/// Watches, streams and proxies.
pub(crate) fn is_long_running(info: &RequestInfo, query: &Query) -> bool {
    const STREAMS: [&str; 5] = ["attach", "exec", "log", "portforward", "proxy"];
    info.verb == "watch"
        || (info.is_resource && STREAMS.contains(&info.subresource.as_str()))
        || query.flag("follow")
}

fn authorize(exchange: &mut Exchange) -> BoxFuture<'_, Result<(), Status>> {
    Box::pin(async {
        let server = exchange.server.clone();
        let decision = server.authorizer.authorize(&exchange.user, &exchange.info).await;
        if let Some(record) = &exchange.audit {
            record.decided(&decision);
        }
        match decision {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(reason) | Decision::NoOpinion(reason) => {
                Err(forbidden(&exchange.user, &exchange.info, &reason))
            }
        }
    })
}

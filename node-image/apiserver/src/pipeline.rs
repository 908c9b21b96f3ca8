//! What every request goes through, in running order.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request};
use kd_api::Status;
use rustls::pki_types::CertificateDer;
use tokio::sync::OwnedSemaphorePermit;

use crate::answer::{self, Answer, RequestBody};
use crate::authn::impersonated;
use crate::authz::forbidden;
use crate::endpoints;
use crate::path::request_info;
use crate::query::Query;
use crate::request::{Authenticator, Authorizer, Decision, RequestInfo, UserInfo};
use crate::server::ApiServer;
use crate::verbs;

/// Who sent a request, as the transport knows it.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    /// The holder of these verified certificates (or of none).
    Certificates(Arc<[CertificateDer<'static>]>),
    /// A component of this process.
    Known(Arc<UserInfo>),
}

/// A request on its way through the stages.
pub(crate) struct Exchange {
    pub(crate) server: Arc<ApiServer>,
    pub(crate) peer: Peer,
    pub(crate) parts: Parts,
    pub(crate) query: Query,
    pub(crate) info: RequestInfo,
    pub(crate) user: UserInfo,
    /// Held while the request runs.
    permit: Option<OwnedSemaphorePermit>,
}

type Stage = for<'a> fn(&'a mut Exchange) -> BoxFuture<'a, Result<(), Status>>;

const STAGES: [Stage; 5] = [parse, authenticate, impersonate, limit, authorize];

/// Answers a request.
pub(crate) async fn run(
    server: Arc<ApiServer>,
    peer: Peer,
    request: Request<RequestBody>,
) -> Answer {
    let (parts, body) = request.into_parts();
    let mut exchange = Exchange {
        server: server.clone(),
        peer,
        parts,
        query: Query::default(),
        info: RequestInfo::default(),
        user: UserInfo::default(),
        permit: None,
    };
    let id = (server.random)();
    for stage in STAGES {
        if let Err(status) = stage(&mut exchange).await {
            return finish(&server, &exchange.info, id, answer::failure(&status));
        }
    }
    let info = exchange.info.clone();
    let answer = handle(exchange, body).await;
    finish(&server, &info, id, answer)
}

async fn handle(mut exchange: Exchange, body: RequestBody) -> Answer {
    let permit = exchange.permit.take();
    let answer = match exchange.info.is_resource {
        true => verbs::dispatch(exchange, body).await,
        false => endpoints::dispatch(exchange),
    };
    drop(permit);
    answer
}

fn finish(server: &ApiServer, info: &RequestInfo, id: u128, mut answer: Answer) -> Answer {
    server.metrics.count(info, answer.status().as_u16());
    let headers = answer.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&uuid(id)) {
        headers.insert(HeaderName::from_static("audit-id"), value);
    }
    headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    answer
}

/// A random (version 4) UUID of 128 random bits.
pub(crate) fn uuid(random: u128) -> String {
    let bits = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
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
                exchange.user = (**user).clone();
                return Ok(());
            }
            Peer::Certificates(certificates) => certificates.clone(),
        };
        let server = exchange.server.clone();
        let found = server.authenticator.authenticate(&exchange.parts, &certificates).await?;
        exchange.user = found.ok_or_else(Status::unauthorized)?;
        Ok(())
    })
}

fn impersonate(exchange: &mut Exchange) -> BoxFuture<'_, Result<(), Status>> {
    Box::pin(async {
        let server = exchange.server.clone();
        let authorizer: &dyn Authorizer = &*server.authorizer;
        if let Some(other) =
            impersonated(authorizer, &exchange.user, &exchange.parts.headers).await?
        {
            exchange.user = other;
        }
        Ok(())
    })
}

/// Requests that last as long as the client likes do not count.
fn limit(exchange: &mut Exchange) -> BoxFuture<'_, Result<(), Status>> {
    Box::pin(async {
        if !is_long_running(&exchange.info, &exchange.query) {
            let server = exchange.server.clone();
            exchange.permit = Some(server.limits.acquire(&exchange.info.verb).await?);
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
        match server.authorizer.authorize(&exchange.user, &exchange.info).await {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(reason) | Decision::NoOpinion(reason) => {
                Err(forbidden(&exchange.user, &exchange.info, &reason))
            }
        }
    })
}

//! The subresources, and the kinds that are only answered: who serves which.

mod binding;
mod connect;
mod eviction;
mod review;
mod scale;
mod token;

use futures::future::BoxFuture;
use kd_api::Status;

pub(crate) use binding::bind;
pub(crate) use review::review;

use crate::verbs::{Reply, VerbRequest, view_verb};

type Handler = for<'a> fn(&'a mut VerbRequest) -> BoxFuture<'a, Result<Reply, Status>>;

/// By name, whatever the resource; a kind's row says which it has.
const SUBRESOURCES: &[(&str, Handler)] = &[
    ("approval", |r| Box::pin(view_verb(r, "approval"))),
    ("attach", |r| Box::pin(connect::connect(r))),
    ("binding", |r| Box::pin(bind(r))),
    ("ephemeralcontainers", |r| Box::pin(view_verb(r, "ephemeralcontainers"))),
    ("eviction", |r| Box::pin(eviction::evict(r))),
    ("exec", |r| Box::pin(connect::connect(r))),
    ("finalize", |r| Box::pin(view_verb(r, "finalize"))),
    ("log", |r| Box::pin(connect::connect(r))),
    ("portforward", |r| Box::pin(connect::connect(r))),
    ("proxy", |r| Box::pin(connect::connect(r))),
    ("resize", |r| Box::pin(view_verb(r, "resize"))),
    ("scale", |r| Box::pin(scale::scale(r))),
    ("status", |r| Box::pin(view_verb(r, "status"))),
    ("token", |r| Box::pin(token::token(r))),
];

/// Answers a request for a subresource.
pub(crate) async fn dispatch(request: &mut VerbRequest) -> Result<Reply, Status> {
    let info = request.info().clone();
    let kind = request.kind.clone();
    let Some(row) = kind.subresource(&info.subresource) else {
        return Err(Status::no_such_path());
    };
    // Proxies take any HTTP method.
    if info.subresource != "proxy" && !row.has_verb(&info.verb) {
        return Err(request.no_such_verb(&info.verb));
    }
    let found = SUBRESOURCES.iter().find(|(name, _)| *name == info.subresource);
    let (_, handler) = found.ok_or_else(|| request.no_such_verb(&info.verb))?;
    handler(request).await
}

/// Success without an object: what `binding` and `eviction` answer.
fn created() -> Result<Reply, Status> {
    let mut status = Status::success();
    status.code = 201;
    let value = serde_json::to_value(status).map_err(Status::internal)?;
    Ok(Reply::Value(201, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kd_api::Kinds;

    #[test]
    fn every_row_is_served() {
        assert!(SUBRESOURCES.is_sorted_by_key(|(name, _)| *name));
        for kind in Kinds::known().iter() {
            for sub in &kind.subresources {
                assert!(SUBRESOURCES.iter().any(|(name, _)| *name == sub.name), "{}", sub.name);
            }
        }
    }
}

//! Requests from inside the process: no sockets, the same pipeline.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tower::Service;

use super::ApiServer;
use crate::answer::{AnswerBody, BodyError, BoxError};
use crate::pipeline::Peer;
use crate::request::UserInfo;

/// Answers requests as one user.
#[derive(Clone)]
pub struct LocalService {
    server: Arc<ApiServer>,
    user: Arc<UserInfo>,
}

impl LocalService {
    pub(super) fn new(server: Arc<ApiServer>, user: UserInfo) -> LocalService {
        LocalService { server, user: Arc::new(user) }
    }
}

impl<B> Service<Request<B>> for LocalService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = self.server.clone();
        let peer = Peer::Known(self.user.clone());
        let request =
            request.map(|body| body.map_err(|error| BodyError::from(error.into())).boxed_unsync());
        Box::pin(async move { Ok(server.answer(peer, request).await) })
    }
}

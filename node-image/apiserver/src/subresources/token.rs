//! `serviceaccounts/token`: a TokenRequest is answered with a token.

use kd_api::{Object, Status};

use crate::request::Operation;
use crate::verbs::{Reply, VerbRequest, Write};

const TOKEN_REQUEST: (&str, &str, &str) = ("authentication.k8s.io", "v1", "TokenRequest");

/// POST of a TokenRequest.
pub(super) async fn token(request: &mut VerbRequest) -> Result<Reply, Status> {
    let mut asked = request.read_other(TOKEN_REQUEST).await?;
    if asked.i64_at(&["spec", "expirationSeconds"]).is_none() {
        asked.set_at(&["spec", "expirationSeconds"], 3600.into());
    }
    let info = request.info().clone();
    let write = Write {
        operation: Operation::Create,
        info: &info,
        kind: TOKEN_REQUEST,
        object: asked,
        old: None,
        options: request.options("CreateOptions")?,
        dry_run: request.query().dry_run()?,
    };
    let asked = request.admit(write, |_| Ok(())).await?;
    let answered = request.server().tokens.request(&info.namespace, &info.name, asked)?;
    Ok(Reply::Value(201, answered))
}

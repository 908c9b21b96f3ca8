//! Kinds whose objects are questions: they are posted, answered and forgotten.

use kd_api::Status;
use serde_json::Value;

use crate::authz::{
    review_local_subject_access, review_self_subject, review_self_subject_access,
    review_self_subject_rules, review_subject_access,
};
use crate::request::Operation;
use crate::token::review_token;
use crate::verbs::{Reply, VerbRequest, Write};

/// POST of a review.
pub(crate) async fn review(request: &mut VerbRequest) -> Result<Reply, Status> {
    let kind = request.kind.clone();
    request.wanted_of(&kind.api_version(), &kind.kind)?;
    let object = request.read_object().await?;
    let info = request.info().clone();
    let write = Write {
        operation: Operation::Create,
        info: &info,
        kind: (&kind.group, &kind.version, &kind.kind),
        object,
        old: None,
        options: request.options("CreateOptions")?,
        dry_run: request.query().dry_run()?,
    };
    let object = request.admit(write, |_| Ok(())).await?;
    Ok(Reply::Value(201, answer(request, &kind.kind, object).await?))
}

async fn answer(request: &VerbRequest, kind: &str, object: Value) -> Result<Value, Status> {
    let server = request.server();
    let user = &request.exchange.user;
    let authorizer = &*server.authorizer;
    match kind {
        "TokenReview" => review_token(&server.authenticator, object).await,
        "SelfSubjectReview" => Ok(review_self_subject(user, (server.clock)(), object)),
        "SubjectAccessReview" => review_subject_access(authorizer, object).await,
        "LocalSubjectAccessReview" => {
            review_local_subject_access(authorizer, &request.info().namespace, object).await
        }
        "SelfSubjectAccessReview" => review_self_subject_access(authorizer, user, object).await,
        "SelfSubjectRulesReview" => review_self_subject_rules(authorizer, user, object),
        _ => Err(request.no_such_verb("create")),
    }
}

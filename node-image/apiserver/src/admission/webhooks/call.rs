//! One webhook is asked.

use std::sync::Arc;

use kd_api::{Object, Status};
use serde_json::Value;

use super::super::expressions::{Held, Request, Scope};
use super::Resources;
use super::hook::Hook;
use super::matching::{Invocation, invocation};
use super::review::{Response, question, response};
use super::verdict::refusal;
use crate::custom::{in_version, is_converted};
use crate::pipeline::uuid;
use crate::request::AdmissionAttributes;
use crate::webhook::WebhookError;
use kd_api::conversion::convert;

/// Why a webhook did not agree.
pub(super) enum Failure {
    /// It could not be asked, or its answer could not be read: the failure policy decides.
    Call(String),
    /// It said no, or must not be asked.
    Refused(Box<Status>),
}

/// What a webhook is asked about: the objects in its version.
pub(super) struct Subject {
    pub(super) invocation: Invocation,
    pub(super) object: Value,
    pub(super) old: Arc<Value>,
}

impl Resources {
    /// What a webhook is to be asked about; `None` if it is not to be asked.
    pub(super) async fn subject(
        &self,
        hook: &Hook,
        attributes: &AdmissionAttributes<'_>,
    ) -> Result<Option<Subject>, Status> {
        let kinds = (self.kinds)();
        let Some(invocation) = invocation(&hook.criteria, attributes, &*self.reader, &kinds)?
        else {
            return Ok(None);
        };
        let (group, version, kind) = &invocation.kind;
        let wanted = (&**group, &**version, &**kind);
        let object = self.in_version(&attributes.object, attributes.kind, wanted).await?;
        let old = attributes.old.as_deref().unwrap_or(&Value::Null);
        let old = Arc::new(self.in_version(old, attributes.kind, wanted).await?);
        let subject = Subject { invocation, object, old };
        match self.conditions_hold(hook, &subject, attributes) {
            Held::Yes => Ok(Some(subject)),
            Held::No => Ok(None),
            Held::Unknown(why) => Err(super::super::forbidden(attributes, why)),
        }
    }

    fn conditions_hold(
        &self,
        hook: &Hook,
        subject: &Subject,
        attributes: &AdmissionAttributes<'_>,
    ) -> Held {
        if hook.conditions.is_empty() {
            return Held::Yes;
        }
        let Subject { invocation, object, old } = subject;
        let request = Request { attributes, invocation, object, old };
        let scope = Scope::plain(request.activation(None, &self.authorizer));
        hook.conditions.hold(&scope, hook.ignores_failure)
    }

    /// An object of one kind as one of another that shares its storage, by whatever converts them.
    pub(super) async fn in_version(
        &self,
        object: &Value,
        from: (&str, &str, &str),
        to: (&str, &str, &str),
    ) -> Result<Value, Status> {
        let kinds = (self.kinds)();
        match kinds.by_kind(to.0, to.1, to.2) {
            Some(kind) if from != to && object.is_object() && is_converted(kind) => {
                in_version(&self.clients, &self.random, kind, object.clone()).await
            }
            _ => Ok(self.converted(object, from, to)),
        }
    }

    /// An object in the version of an invocation.
    pub(in crate::admission) fn versioned(
        &self,
        object: &Value,
        kind: (&str, &str, &str),
        invocation: &Invocation,
    ) -> Value {
        let wanted = (&*invocation.kind.0, &*invocation.kind.1, &*invocation.kind.2);
        self.converted(object, kind, wanted)
    }

    /// An object of one kind as one of another that shares its storage.
    pub(in crate::admission) fn converted(
        &self,
        object: &Value,
        from: (&str, &str, &str),
        to: (&str, &str, &str),
    ) -> Value {
        if from == to || !object.is_object() {
            return object.clone();
        }
        let kinds = (self.kinds)();
        match (kinds.by_kind(from.0, from.1, from.2), kinds.by_kind(to.0, to.1, to.2)) {
            (Some(from), Some(to)) => convert(object.clone(), from, to),
            _ => object.clone(),
        }
    }

    /// Asks a webhook. What it allows is returned, with its warnings and annotations taken over.
    pub(super) async fn ask(
        &self,
        hook: &Hook,
        subject: &Subject,
        attributes: &AdmissionAttributes<'_>,
        mutating: bool,
    ) -> Result<Response, Failure> {
        if attributes.dry_run && !matches!(&*hook.side_effects, "None" | "NoneOnDryRun") {
            let why = format!("admission webhook {:?} does not support dry run", hook.name);
            return Err(Failure::Refused(Status::bad_request(why).into()));
        }
        let version = hook.review_version.ok_or_else(|| {
            let known = "webhook does not accept known AdmissionReview versions (v1, v1beta1)";
            Failure::Call(format!("could not create admission objects: {known}"))
        })?;
        let uid = uuid((self.random)());
        let Subject { invocation, object, old } = subject;
        let question = question(version, &uid, attributes, invocation, object, old);
        let answer = self.clients.post(&hook.client_config, &question, hook.timeout).await;
        let answer = answer.map_err(|error| {
            Failure::Call(match error {
                WebhookError::Configuration(_) => error.to_string(),
                other => format!("failed to call webhook: {other}"),
            })
        })?;
        let answer = response(&answer, version, &uid, mutating)
            .map_err(|why| Failure::Call(format!("received invalid webhook response: {why}")))?;
        answer.warnings.iter().for_each(|text| attributes.warn(text));
        for (key, value) in &answer.audit_annotations {
            let value = value.as_str().unwrap_or_default();
            attributes.annotate(format!("{}/{key}", hook.name), value);
        }
        match answer.allowed {
            true => Ok(answer),
            false => Err(Failure::Refused(refusal(&hook.name, &answer.status).into())),
        }
    }
}

/// The 500 of a webhook that could not be asked.
pub(super) fn failed_closed(hook: &Hook, why: &str) -> Status {
    tracing::warn!(webhook = hook.name, why, "failed calling webhook, failing closed");
    Status::internal(format!("failed calling webhook {:?}: {why}", hook.name))
}

/// A webhook that could not be asked, and need not be.
pub(super) fn failed_open(hook: &Hook, why: &str) {
    tracing::warn!(webhook = hook.name, why, "failed calling webhook, failing open");
}

/// Whether an object is what a patch can be applied to.
pub(super) fn is_patchable(object: &Value) -> bool {
    object.is_object() && !object.kind().is_empty()
}

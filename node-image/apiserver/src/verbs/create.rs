//! `create`: a new object.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use kd_api::defaults::apply_defaults;
use kd_api::validation::validate_create;
use kd_api::{Kind, Object, Status, strategy};
use kd_store::{Error, Transaction};
use serde_json::Value;

use super::owners::Writer;
use super::write::{DUPLICATE_OWNERS, Write, settle_namespace, valid};
use super::{Reply, VerbRequest, effects};
use crate::admission::expression_errors;
use crate::authz::user_value;
use crate::custom;
use crate::pipeline::uuid;
use crate::request::{Operation, UserInfo};
use crate::server::ApiServer;
use crate::storage::{key_of, store_failed};

/// Generated names that are tried before the client is told.
const GENERATED_NAMES_MAX: usize = 8;
/// Times that a create begins again because something else it wrote (a node port) was taken.
const ATTEMPTS_MAX: usize = 16;
const NAME_LENGTH_MAX: usize = 63;
const SUFFIX_LENGTH: usize = 5;
/// No vowels, so that no words come about.
const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// POST to a collection.
pub(super) async fn create(request: &mut VerbRequest) -> Result<Reply, Status> {
    request.wanted()?;
    request.check_options("CreateOptions")?;
    let object = request.read_object().await?;
    let bytes = create_object(request, object).await?;
    Ok(Reply::Object(201, bytes))
}

/// Stores a new object of the request's kind; returns what the client sees.
pub(super) async fn create_object(
    request: &mut VerbRequest,
    mut object: Value,
) -> Result<Bytes, Status> {
    let proposed = object.metadata_mut().remove("managedFields");
    let owners = Writer::of(request, "").created(&request.kind, proposed, &object);
    if owners.as_array().is_some_and(|owners| !owners.is_empty()) {
        object.metadata_mut().insert("managedFields".into(), owners);
    }
    create_owned(request, object).await
}

/// The same, of an object that says who owns its fields.
pub(super) async fn create_owned(
    request: &mut VerbRequest,
    mut object: Value,
) -> Result<Bytes, Status> {
    let owners = object.metadata_mut().remove("managedFields");
    settle_namespace(request.namespace(), &mut object)?;
    request.dedup_owners(&mut object, DUPLICATE_OWNERS);
    if !matches!(object.resource_version(), "" | "0") {
        let why = "resourceVersion should not be set on objects to be created";
        return Err(Status::failure(500, "", why));
    }
    let dry_run = request.query().dry_run()?;
    let options = request.options("CreateOptions")?;
    let kind = request.kind.clone();
    if kind.custom.as_ref().is_some_and(|custom| custom.terminating) {
        let why = "create not allowed while custom resource definition is terminating";
        return Err(Status::forbidden(&kind.group, &kind.plural, object.name(), why));
    }
    let server = request.server().clone();
    let info = request.info().clone();
    let generated = object.name().is_empty() && !object.generate_name().is_empty();
    let write = Write {
        operation: Operation::Create,
        info: &info,
        kind: (&kind.group, &kind.version, &kind.kind),
        object,
        old: None,
        options,
        dry_run,
    };
    let user = request.exchange.user.clone();
    let mut object = request.admit(write, |object| prepare(&server, &kind, &user, object)).await?;
    request.warnings.extend(kd_api::warnings(&kind, &object, None));
    if let Some(owners) = owners {
        object.metadata_mut().insert("managedFields".into(), owners);
    }
    request.warnings.extend(kd_api::custom::warnings(&kind, &object, &Value::Null));
    let new = New { server, kind, generated };
    match dry_run {
        true => new.rehearse(object),
        false => new.store(object).await,
    }
}

/// What the server sets, then whether the object may be stored.
fn prepare(
    server: &ApiServer,
    kind: &Kind,
    user: &UserInfo,
    object: &mut Value,
) -> Result<(), Status> {
    set_system_fields(server, object);
    apply_defaults(kind, object);
    strategy::prepare_create(kind, object);
    if kind.group == "certificates.k8s.io" && kind.kind == "CertificateSigningRequest" {
        name_requester(object, user);
    }
    let mut errors = validate_create(kind, object);
    errors.extend(expression_errors(kind, object, None));
    valid(kind, object.name(), custom::check_rules(kind, object, None, errors))
}

/// A request for a certificate tells its signer who made it, whatever the client says.
fn name_requester(object: &mut Value, user: &UserInfo) {
    for field in ["username", "uid", "groups", "extra"] {
        object.remove_at(&["spec", field]);
    }
    for (field, value) in user_value(user).as_object().into_iter().flatten() {
        object.set_at(&["spec", field], value.clone());
    }
}

/// Sets what no client chooses.
pub(crate) fn set_system_fields(server: &ApiServer, object: &mut Value) {
    let metadata = object.metadata_mut();
    for field in [
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "managedFields",
        "resourceVersion",
        "selfLink",
    ] {
        metadata.remove(field);
    }
    object.set_uid(&uuid((server.random)()));
    object.set_creation_timestamp((server.clock)());
    if object.name().is_empty() && !object.generate_name().is_empty() {
        let name = generated_name(object.generate_name(), (server.random)());
        object.set_name(&name);
    }
}

/// The base, cut so that the name fits a label, and a random suffix.
fn generated_name(base: &str, mut random: u128) -> String {
    let mut name: String = base.chars().take(NAME_LENGTH_MAX - SUFFIX_LENGTH).collect();
    for _ in 0..SUFFIX_LENGTH {
        let letter = random % SUFFIX_ALPHABET.len() as u128;
        name.push(char::from(SUFFIX_ALPHABET[letter as usize]));
        random /= SUFFIX_ALPHABET.len() as u128;
    }
    name
}

/// An object that was admitted.
struct New {
    server: Arc<ApiServer>,
    kind: Arc<Kind>,
    /// Whether its name is generated and may be generated again.
    generated: bool,
}

impl New {
    fn already_exists(&self, name: &str) -> Status {
        let (group, plural) = (&self.kind.group, &self.kind.plural);
        Status::already_exists(group, plural, name)
    }

    fn key(&self, object: &Value) -> Arc<str> {
        key_of(&self.kind, object.namespace(), object.name()).into()
    }

    /// What would be stored.
    fn rehearse(&self, mut object: Value) -> Result<Bytes, Status> {
        let snapshot = self.server.objects.snapshot();
        if snapshot.get(&self.key(&object)).is_some() {
            return Err(self.already_exists(object.name()));
        }
        effects::of_create(&self.server, &snapshot, &self.kind, &mut object)?;
        Ok(crate::storage::encode(&object))
    }

    /// Boxed: see `VerbRequest::read_body`.
    fn store(self, object: Value) -> BoxFuture<'static, Result<Bytes, Status>> {
        Box::pin(self.stored(object))
    }

    async fn stored(self, mut object: Value) -> Result<Bytes, Status> {
        let objects = &self.server.objects;
        let mut names = 0;
        for _ in 0..ATTEMPTS_MAX + GENERATED_NAMES_MAX {
            let key = self.key(&object);
            let mut stored = object.clone();
            let effects =
                effects::of_create(&self.server, &objects.snapshot(), &self.kind, &mut stored)?;
            let bytes = custom::stored(&self.server, &self.kind, &stored).await?;
            let transaction = Transaction::new().create(key.clone(), bytes.clone()).and(effects);
            match objects.store.commit(transaction).await {
                Ok(revision) => {
                    return objects.show_written(&self.kind, &stored, &bytes, revision);
                }
                Err(Error::Conflict { key: taken, .. }) if taken != key => {}
                Err(Error::Conflict { .. }) if self.generated && names < GENERATED_NAMES_MAX => {
                    names += 1;
                    let random = (self.server.random)();
                    let name = generated_name(object.generate_name(), random);
                    object.set_name(&name);
                }
                Err(Error::Conflict { .. }) => return Err(self.refused(object.name())),
                Err(other) => return Err(store_failed(other)),
            }
        }
        Err(Status::internal("what the object needs was taken again and again"))
    }

    fn refused(&self, name: &str) -> Status {
        let mut status = self.already_exists(name);
        if self.generated {
            status.message = format!(
                "{}, the server was not able to generate a unique name for the object",
                status.message
            );
            status.details.get_or_insert_default().retry_after_seconds = Some(1);
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names() {
        assert_eq!(generated_name("web-", 0), "web-bbbbb");
        assert_eq!(generated_name("web-", 1), "web-cbbbb");
        assert_eq!(generated_name(&"x".repeat(70), u128::MAX).len(), 63);
    }
}

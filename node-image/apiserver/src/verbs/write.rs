//! What all writes share: reading the object of the body, admission, refusals of the store.

use std::sync::{Arc, Mutex, PoisonError};

use kd_api::decode::{Decoded, decode, decode_as};
use kd_api::defaults::apply_defaults;
use kd_api::{FieldError, Kind, Object, Status, StatusDetails};
use serde_json::{Value, json};

use super::VerbRequest;
use crate::negotiate::body_encoding;
use crate::request::{AdmissionAttributes, AdmissionPlugin, Operation, Reinvocation, RequestInfo};

/// What admission is told of a write.
pub(crate) struct Write<'a> {
    pub(crate) operation: Operation,
    pub(crate) info: &'a RequestInfo,
    /// Group, version and kind of the object.
    pub(crate) kind: (&'a str, &'a str, &'a str),
    pub(crate) object: Value,
    pub(crate) old: Option<Arc<Value>>,
    pub(crate) options: Value,
    pub(crate) dry_run: bool,
}

impl<'a> Write<'a> {
    /// A change of an object, about which there is no more to say yet.
    pub(crate) fn update(
        info: &'a RequestInfo,
        kind: (&'a str, &'a str, &'a str),
        object: Value,
    ) -> Write<'a> {
        Write {
            operation: Operation::Update,
            info,
            kind,
            object,
            old: None,
            options: Value::Null,
            dry_run: false,
        }
    }
}

/// What clients are told of owner references that are there twice.
pub(super) const DUPLICATE_OWNERS: &str = ".metadata.ownerReferences contains duplicate entries";
const DUPLICATE_OWNERS_AFTER_ADMISSION: &str =
    ".metadata.ownerReferences contains duplicate entries after mutating admission happens";

/// The object's namespace must be the request's; it is filled in when absent, and objects of a
/// cluster's kinds lose theirs.
pub(super) fn settle_namespace(asked: &str, object: &mut Value) -> Result<(), Status> {
    let given = object.namespace();
    if !given.is_empty() && !asked.is_empty() && given != asked {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    object.set_namespace(asked);
    Ok(())
}

impl VerbRequest {
    /// The object in the body, of this request's kind, with defaults.
    pub(crate) async fn read_object(&mut self) -> Result<Value, Status> {
        let encoding = body_encoding(&self.exchange.parts.headers)?;
        let validation = self.field_validation()?;
        let body = self.read_body().await?;
        let Decoded { mut object, warnings } = decode(&body, encoding, &self.kind, validation)?;
        self.warnings.extend(warnings);
        apply_defaults(&self.kind, &mut object);
        self.tell_request(&object);
        Ok(object)
    }

    /// The object in the body, of another kind (a subresource's).
    pub(crate) async fn read_other(&mut self, gvk: (&str, &str, &str)) -> Result<Value, Status> {
        let encoding = body_encoding(&self.exchange.parts.headers)?;
        let validation = self.field_validation()?;
        let body = self.read_body().await?;
        let decoded = decode_as(&body, encoding, gvk, validation)?;
        self.warnings.extend(decoded.warnings);
        self.tell_request(&decoded.object);
        Ok(decoded.object)
    }

    /// Takes away owner references that are there twice, and says so.
    pub(crate) fn dedup_owners(&mut self, object: &mut Value, when: &str) {
        let owners = object.get_mut("metadata").and_then(|m| m.get_mut("ownerReferences"));
        let Some(Value::Array(owners)) = owners else { return };
        let mut once: Vec<Value> = Vec::with_capacity(owners.len());
        let mut twice = Vec::new();
        for owner in owners.drain(..) {
            match once.contains(&owner) {
                true => twice.push(owner.str_at(&["uid"]).to_owned()),
                false => once.push(owner),
            }
        }
        *owners = once;
        if !twice.is_empty() {
            self.warnings.push(format!(
                "{when}; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
                twice.join(", ")
            ));
        }
    }

    /// Lets the plugins change the object, then `prepare` it (defaults, strategy, validation), then
    /// lets the plugins refuse it.
    pub(crate) async fn admit(
        &mut self,
        write: Write<'_>,
        prepare: impl FnOnce(&mut Value) -> Result<(), Status>,
    ) -> Result<Value, Status> {
        let server = self.server().clone();
        let user = self.exchange.user.clone();
        let mut attributes = AdmissionAttributes {
            operation: write.operation,
            info: write.info,
            kind: write.kind,
            user: &user,
            object: write.object,
            old: write.old,
            options: write.options,
            dry_run: write.dry_run,
            warnings: Mutex::default(),
            audit_annotations: Mutex::default(),
            reinvocation: Reinvocation::default(),
        };
        let plugins = server.admission.iter().filter(|p| p.handles(write.operation));
        let plugins: Vec<&dyn AdmissionPlugin> = plugins.map(|plugin| &**plugin).collect();
        let mut outcome = mutate(&plugins, &mut attributes).await;
        self.dedup_owners(&mut attributes.object, DUPLICATE_OWNERS_AFTER_ADMISSION);
        if outcome.is_ok() {
            outcome = prepare(&mut attributes.object);
        }
        if outcome.is_ok() {
            for plugin in &plugins {
                outcome = plugin.validate(&attributes).await;
                if outcome.is_err() {
                    break;
                }
            }
        }
        let warnings = attributes.warnings.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.warnings.extend(warnings);
        let annotations = attributes.audit_annotations.into_inner();
        self.audit_annotations.extend(annotations.unwrap_or_else(PoisonError::into_inner));
        outcome.map(|()| attributes.object)
    }

    /// CreateOptions, UpdateOptions or PatchOptions as admission sees them.
    pub(crate) fn options(&self, kind: &str) -> Result<Value, Status> {
        let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
        if self.query().dry_run()? {
            options["dryRun"] = json!(["All"]);
        }
        for field in ["fieldManager", "fieldValidation"] {
            let text = self.query().first(field);
            if !text.is_empty() {
                options[field] = text.into();
            }
        }
        Ok(options)
    }
}

/// Runs through the plugins that change an object; twice, if one of them asks for it.
async fn mutate(
    plugins: &[&dyn AdmissionPlugin],
    attributes: &mut AdmissionAttributes<'_>,
) -> Result<(), Status> {
    for plugin in plugins {
        plugin.mutate(attributes).await?;
    }
    if attributes.reinvocation.wanted {
        attributes.reinvocation.again = true;
        for plugin in plugins {
            plugin.mutate(attributes).await?;
        }
    }
    Ok(())
}

/// 422 unless there are no errors.
pub(crate) fn valid(kind: &Kind, name: &str, errors: Vec<FieldError>) -> Result<(), Status> {
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Status::invalid(&kind.group, &kind.kind, name, &errors)),
    }
}

/// A Status about an object that is done with.
pub(crate) fn status_success(kind: &Kind, name: &str, uid: &str) -> Status {
    let mut status = Status::success();
    status.details = Some(StatusDetails {
        name: name.into(),
        group: kind.group.clone(),
        kind: kind.plural.clone(),
        uid: uid.into(),
        ..StatusDetails::default()
    });
    status
}

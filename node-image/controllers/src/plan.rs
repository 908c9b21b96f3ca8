//! What a controller decides: steps for the driver to perform, events to record, and when to look
//! again. Data only.

use std::sync::Arc;

use jiff::Timestamp;
use kd_client::{
    DeleteOptions, EventType, Key, Object, Occurrence, PatchKind, Reference, Resource,
};
use serde::Serialize;
use serde_json::Value;

/// What a controller looks after: an object, whether or not it exists.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// Of which resource.
    pub resource: Arc<Resource>,
    /// Which object.
    pub key: Key,
}

impl Target {
    /// A target of a known resource.
    pub fn new(resource: &Arc<Resource>, key: Key) -> Target {
        Target { resource: resource.clone(), key }
    }

    /// An object as target.
    pub fn of(resource: &Arc<Resource>, object: &Object) -> Target {
        Target::new(resource, object.key())
    }
}

/// The decision about one target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Stages in order; the steps of one stage run together. A failed stage is the last.
    pub stages: Vec<Vec<Step>>,
    /// Recorded whatever the steps do.
    pub events: Vec<Occurrence>,
    /// Look again at this time even if nothing changes.
    pub again: Option<Timestamp>,
    /// Given back with the answers to the next questions about this target; lost in a restart.
    pub remember: Option<Value>,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Of which resource.
    pub resource: Resource,
    /// Of which object; the name of a create may be left to the server.
    pub key: Key,
    /// What to do.
    pub action: Action,
    /// What must hold in the store, not only in the View, just before.
    pub guards: Vec<Guard>,
    /// The patch is based on what an earlier stage of the plan wrote of the object.
    pub follows: bool,
    /// Recorded when it is done; `{}` in the message becomes the object's name.
    pub done: Option<Occurrence>,
    /// Recorded when it fails; `{}` in the message becomes the reason.
    pub failed: Option<Occurrence>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Creates the object.
    Create(Value),
    /// Replaces it, or a subresource; the object carries the resourceVersion it is based on.
    Update(&'static str, Value),
    /// Replaces a Secret with one that holds a new token of a ServiceAccount, bound to the Secret.
    FillToken {
        /// The ServiceAccount.
        account: Key,
        /// The Secret, complete but for the token; it carries its resourceVersion.
        secret: Value,
    },
    /// Patches it, or a subresource.
    Patch(&'static str, PatchKind, Value),
    /// Deletes it.
    Delete(DeleteOptions),
    /// Deletes all objects of the key's namespace.
    DeleteCollection(DeleteOptions),
    /// Has the cluster's authority sign, and puts the certificate into the status of this
    /// CertificateSigningRequest.
    Sign(Value, CertificateOrder),
}

/// The certificate that a CertificateSigningRequest asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateOrder {
    /// The request, PEM.
    pub request_pem: Vec<u8>,
    /// What the key may be used for.
    pub usages: Vec<String>,
    /// From when it holds.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

/// A condition that is read from the API server at the last moment, for decisions that a View that
/// lags behind would get wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Guard {
    /// No object of this key has this uid (or any, when the uid is empty).
    Absent {
        /// Of which resource.
        resource: Resource,
        /// Which object.
        key: Key,
        /// Its uid.
        uid: String,
    },
    /// A namespace has no object of this resource.
    Empty {
        /// Of which resource.
        resource: Resource,
        /// Which namespace.
        namespace: String,
    },
}

impl Plan {
    /// Nothing to do until something changes.
    pub fn nothing() -> Plan {
        Plan::default()
    }

    /// One step.
    pub fn one(step: Step) -> Plan {
        Plan { stages: vec![vec![step]], ..Plan::default() }
    }

    /// Steps that run together.
    pub fn together(steps: Vec<Step>) -> Plan {
        let stages = if steps.is_empty() { Vec::new() } else { vec![steps] };
        Plan { stages, ..Plan::default() }
    }

    /// Look again at a time.
    pub fn at(again: Timestamp) -> Plan {
        Plan { again: Some(again), ..Plan::default() }
    }

    /// Adds a stage, unless it is empty.
    pub fn then(&mut self, steps: Vec<Step>) {
        if !steps.is_empty() {
            self.stages.push(steps);
        }
    }

    /// Adds a step to the first stage.
    pub fn also(&mut self, step: Step) {
        match self.stages.first_mut() {
            Some(first) => first.push(step),
            None => self.stages.push(vec![step]),
        }
    }

    /// Looks again at a time, or earlier if that was planned.
    pub fn not_later_than(&mut self, time: Timestamp) {
        self.again = Some(self.again.map_or(time, |planned| planned.min(time)));
    }

    /// All steps in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.stages.iter().flatten()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }
}

impl Step {
    fn new(resource: &Resource, key: Key, action: Action) -> Step {
        let resource = resource.clone();
        Step { resource, key, action, guards: Vec::new(), follows: false, done: None, failed: None }
    }

    /// Creates an object.
    pub fn create(resource: &Resource, namespace: &str, object: &impl Serialize) -> Step {
        let object = to_value(object);
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        Step::new(resource, Key::new(namespace, &name), Action::Create(object))
    }

    /// Replaces an object.
    pub fn update(resource: &Resource, key: Key, object: &impl Serialize) -> Step {
        Step::new(resource, key, Action::Update("", to_value(object)))
    }

    /// Replaces an object's status.
    pub fn update_status(resource: &Resource, key: Key, object: &impl Serialize) -> Step {
        Step::new(resource, key, Action::Update("status", to_value(object)))
    }

    /// Replaces the decision about a CertificateSigningRequest.
    pub fn update_approval(resource: &Resource, key: Key, object: &impl Serialize) -> Step {
        Step::new(resource, key, Action::Update("approval", to_value(object)))
    }

    /// Replaces an object's scale.
    pub fn update_scale(resource: &Resource, key: Key, scale: &Value) -> Step {
        Step::new(resource, key, Action::Update("scale", scale.clone()))
    }

    /// Patches an object, or a subresource of it.
    pub fn patch(
        resource: &Resource,
        key: Key,
        subresource: &'static str,
        kind: PatchKind,
        patch: Value,
    ) -> Step {
        Step::new(resource, key, Action::Patch(subresource, kind, patch))
    }

    /// Signs a CertificateSigningRequest.
    pub fn sign(
        resource: &Resource,
        key: Key,
        request: &impl Serialize,
        order: CertificateOrder,
    ) -> Step {
        Step::new(resource, key, Action::Sign(to_value(request), order))
    }

    /// Deletes an object.
    pub fn delete(resource: &Resource, key: Key, options: DeleteOptions) -> Step {
        Step::new(resource, key, Action::Delete(options))
    }

    /// Deletes all objects of a namespace.
    pub fn delete_collection(resource: &Resource, namespace: &str) -> Step {
        let options =
            DeleteOptions { propagation_policy: Some("Background"), ..DeleteOptions::default() };
        Step::new(resource, Key::new(namespace, ""), Action::DeleteCollection(options))
    }

    /// Adds a guard.
    pub fn guarded(mut self, guard: Guard) -> Step {
        self.guards.push(guard);
        self
    }

    /// Bases the patch on what an earlier stage wrote of the object.
    pub fn following(mut self) -> Step {
        self.follows = true;
        self
    }

    /// Records an event when it is done.
    pub fn telling(mut self, done: Occurrence) -> Step {
        self.done = Some(done);
        self
    }

    /// Records an event when it fails.
    pub fn complaining(mut self, failed: Occurrence) -> Step {
        self.failed = Some(failed);
        self
    }
}

/// An event about an object.
pub fn event(
    resource: &Resource,
    object: &Object,
    event_type: EventType,
    reason: &str,
    message: impl Into<String>,
) -> Occurrence {
    Occurrence {
        object: Reference::of(resource, object),
        event_type,
        reason: reason.to_owned(),
        action: String::new(),
        message: message.into(),
    }
}

fn to_value(object: &impl Serialize) -> Value {
    // Typed objects and JSON values always encode; only maps with other keys than strings do not.
    serde_json::to_value(object).unwrap_or_default()
}

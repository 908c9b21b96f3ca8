//! The plugin MutatingAdmissionPolicy: one policy after the other, each with what those before it made
//! of the object; once more for those that want to see what came after them.

use std::sync::Arc;

use async_trait::async_trait;
use kd_api::{Object, Status, StatusCause};
use kd_cel::Value as Cel;
use serde_json::Value;

use super::super::expressions::{Held, Request, Scope, is_write, namespace_of};
use super::mutation::Mutations;
use super::{Binding, Configured, Met, Policy, Resources};
use crate::request::{AdmissionAttributes, AdmissionPlugin, Operation};

pub(in super::super) struct MutatingPolicies {
    resources: Resources,
    configured: Configured<Mutations>,
}

/// A refusal, in upstream's words.
struct Refusal {
    message: String,
    reason: &'static str,
}

impl MutatingPolicies {
    pub(in super::super) fn new(resources: Resources) -> MutatingPolicies {
        let configured = Configured::new(
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            Mutations::of,
        );
        MutatingPolicies { resources, configured }
    }

    /// Runs a policy through one of its bindings.
    fn run(
        &self,
        met: &Met<Mutations>,
        attributes: &mut AdmissionAttributes<'_>,
        refusals: &mut Vec<Refusal>,
    ) -> Result<(), Status> {
        for param in &met.params {
            self.run_with(met, param.as_ref(), attributes, refusals)?;
        }
        Ok(())
    }

    fn run_with(
        &self,
        met: &Met<Mutations>,
        param: Option<&Arc<Value>>,
        attributes: &mut AdmissionAttributes<'_>,
        refusals: &mut Vec<Refusal>,
    ) -> Result<(), Status> {
        let Met { policy, binding, .. } = met;
        let refusal = |message: &str| Refusal {
            message: denied(policy, Some(binding), message),
            reason: "Invalid",
        };
        let scope = self.scope(met, param, attributes)?;
        match policy.conditions.hold(&scope, policy.ignores_failure) {
            Held::Yes => {}
            Held::No => return Ok(()),
            Held::Unknown(why) => {
                refusals.push(refusal(&why));
                return Ok(());
            }
        }
        let key = key(met, param);
        let state = &attributes.reinvocation;
        if state.again && !state.policies.required.contains(&key) {
            return Ok(());
        }
        if !attributes.object.is_object() {
            return Ok(());
        }
        let before = attributes.object.clone();
        for index in 0..policy.rules.mutations.len() {
            if let Err(why) = self.change(met, index, param, attributes)?
                && !policy.ignores_failure
            {
                refusals.push(refusal(&why));
            }
        }
        if attributes.object != before {
            attributes.reinvocation.policies.require_all();
            attributes.reinvocation.wanted = true;
        }
        if policy.rules.reinvoked {
            attributes.reinvocation.policies.invoked.insert(key);
        }
        Ok(())
    }

    /// What expressions see of the object as it is now.
    fn scope(
        &self,
        met: &Met<Mutations>,
        param: Option<&Arc<Value>>,
        attributes: &AdmissionAttributes<'_>,
    ) -> Result<Scope, Status> {
        let namespace = namespace_of(attributes, &*self.resources.reader)?;
        let webhooks = &self.resources.webhooks;
        let object = webhooks.versioned(&attributes.object, attributes.kind, &met.invocation);
        let old = attributes.old.as_deref().unwrap_or(&Value::Null);
        let old = webhooks.versioned(old, attributes.kind, &met.invocation);
        let request =
            Request { attributes, invocation: &met.invocation, object: &object, old: &old };
        let inputs = request.activation(namespace.as_deref(), &self.resources.authorizer);
        let param = param.map_or(Cel::Null, |param| Cel::from_json(param));
        Ok(Scope::new(inputs.with("params", param), &met.policy.variables))
    }

    /// Makes one change. The inner error is the policy's.
    fn change(
        &self,
        met: &Met<Mutations>,
        index: usize,
        param: Option<&Arc<Value>>,
        attributes: &mut AdmissionAttributes<'_>,
    ) -> Result<Result<(), String>, Status> {
        let scope = self.scope(met, param, attributes)?;
        let webhooks = &self.resources.webhooks;
        let (group, version, name) = &met.invocation.kind;
        let kinds = (webhooks.kinds)();
        let Some(kind) = kinds.by_kind(group, version, name) else {
            // A view of an object that is no kind of its own; there is nothing to type its parts by.
            return Ok(Err(format!("Resource kind {group}/{version}, Kind={name} not found.")));
        };
        let object = webhooks.versioned(&attributes.object, attributes.kind, &met.invocation);
        let changed = match met.policy.rules.mutations[index].apply(&scope, &object, kind) {
            Ok(changed) => changed,
            Err(why) => return Ok(Err(why)),
        };
        if (changed.api_version(), changed.kind()) != (object.api_version(), object.kind()) {
            return Ok(Err("the kind of the object cannot be changed".into()));
        }
        attributes.object = webhooks.converted(&changed, (group, version, name), attributes.kind);
        Ok(Ok(()))
    }
}

/// Unique among all that may run for a request.
fn key(met: &Met<Mutations>, param: Option<&Arc<Value>>) -> String {
    let (namespace, name) = param.map_or(("", ""), |param| (param.namespace(), param.name()));
    format!("{}/{}/{namespace}/{name}", met.policy.name, met.binding.name)
}

fn denied(policy: &Policy<Mutations>, binding: Option<&Arc<Binding>>, message: &str) -> String {
    match binding {
        Some(binding) => format!(
            "policy '{}' with binding '{}' denied request: {message}",
            policy.name, binding.name
        ),
        None => format!("policy {:?} denied request: {message}", policy.name),
    }
}

/// A 403 that tells all refusals as its causes.
fn status(refusals: &[Refusal], attributes: &AdmissionAttributes<'_>) -> Result<(), Status> {
    let Some(first) = refusals.first() else { return Ok(()) };
    let mut status = super::super::forbidden(attributes, "admission request denied by policy");
    status.message.clone_from(&first.message);
    if !first.reason.is_empty() {
        status.reason = first.reason.to_owned();
    }
    let causes = refusals
        .iter()
        .map(|refusal| StatusCause { message: refusal.message.clone(), ..StatusCause::default() });
    status.details.get_or_insert_default().causes.extend(causes);
    Err(status)
}

#[async_trait]
impl AdmissionPlugin for MutatingPolicies {
    fn name(&self) -> &'static str {
        "MutatingAdmissionPolicy"
    }

    fn handles(&self, operation: Operation) -> bool {
        is_write(operation) || operation == Operation::Connect
    }

    async fn mutate(&self, attributes: &mut AdmissionAttributes<'_>) -> Result<(), Status> {
        if self.configured.bound(&*self.resources.reader).is_empty() {
            return Ok(());
        }
        let output = &attributes.reinvocation.policies.last_output;
        if attributes.reinvocation.again && *output != attributes.object {
            // Others changed what the policies agreed to.
            attributes.reinvocation.policies.require_all();
        }
        let mut refusals = Vec::new();
        for outcome in self.configured.met(&self.resources, attributes) {
            match outcome {
                Ok(met) => self.run(&met, attributes, &mut refusals)?,
                Err(found) if found.policy.ignores_failure => {}
                Err(found) => refusals.push(Refusal {
                    message: denied(&found.policy, found.binding.as_ref(), &found.message()),
                    reason: "",
                }),
            }
        }
        attributes.reinvocation.policies.last_output = attributes.object.clone();
        status(&refusals, attributes)
    }
}

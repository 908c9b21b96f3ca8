//! The plugin ValidatingAdmissionPolicy.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use kd_api::{Status, StatusCause};
use kd_cel::Value as Cel;
use serde_json::{Value, json};

use super::super::expressions::{Held, Request, Scope, namespace_of};
use super::validation::{Annotated, Denial, Validations};
use super::{Binding, Configured, Met, Policy, Resources};
use crate::request::{AdmissionAttributes, AdmissionPlugin, Operation};

/// The longest value of an audit annotation, in bytes.
const ANNOTATION_MAX: usize = 10 * 1024;

pub(in super::super) struct ValidatingPolicies {
    resources: Resources,
    configured: Configured<Validations>,
}

/// A refusal and who refuses.
struct Refusal {
    policy: Arc<Policy<Validations>>,
    binding: Option<Arc<Binding>>,
    message: String,
    reason: String,
}

impl ValidatingPolicies {
    pub(in super::super) fn new(resources: Resources) -> ValidatingPolicies {
        let configured = Configured::new(
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            Validations::of,
        );
        ValidatingPolicies { resources, configured }
    }

    /// Evaluates a policy through one of its bindings, and does what the binding says.
    fn evaluate(
        &self,
        met: &Met<Validations>,
        attributes: &AdmissionAttributes<'_>,
        annotations: &mut Annotations,
    ) -> Result<Vec<Refusal>, Status> {
        let Met { policy, binding, invocation, params } = met;
        let namespace = namespace_of(attributes, &*self.resources.reader)?;
        let webhooks = &self.resources.webhooks;
        let object = webhooks.versioned(&attributes.object, attributes.kind, invocation);
        let old = attributes.old.as_deref().unwrap_or(&Value::Null);
        let old = webhooks.versioned(old, attributes.kind, invocation);
        let request = Request { attributes, invocation, object: &object, old: &old };
        let inputs = request.activation(namespace.as_deref(), &self.resources.authorizer);
        let refusal = |message: String, reason: String| Refusal {
            policy: policy.clone(),
            binding: Some(binding.clone()),
            message,
            reason,
        };
        let mut refusals = Vec::new();
        for param in params {
            let param = param.as_deref().map_or(Cel::Null, Cel::from_json);
            let scope = Scope::new(inputs.clone().with("params", param), &policy.variables);
            let denials = match policy.conditions.hold(&scope, policy.ignores_failure) {
                Held::No => continue,
                Held::Yes => policy.rules.denials(&scope, policy.ignores_failure),
                Held::Unknown(message) => {
                    vec![Denial { index: 0, message, reason: String::new() }]
                }
            };
            for denial in denials {
                act(policy, binding, &denial, attributes);
                if binding.actions.iter().any(|action| action == "Deny") {
                    refusals.push(refusal(denial.message, denial.reason));
                }
            }
            for annotated in policy.rules.annotations(&scope, policy.ignores_failure) {
                match annotated {
                    Annotated::Publish { key, value } => annotations.add(&policy.name, key, value),
                    Annotated::Failed(message) => refusals.push(refusal(message, String::new())),
                }
            }
        }
        Ok(refusals)
    }
}

/// Warns and tells the audit log, if the binding wants that.
fn act(
    policy: &Policy<Validations>,
    binding: &Binding,
    denial: &Denial,
    attributes: &AdmissionAttributes<'_>,
) {
    for action in &binding.actions {
        match action.as_str() {
            "Warn" => attributes.warn(format!(
                "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                policy.name, binding.name, denial.message
            )),
            "Audit" => {
                let failure = json!([{
                    "message": denial.message,
                    "policy": policy.name,
                    "binding": binding.name,
                    "expressionIndex": denial.index,
                    "validationActions": binding.actions,
                }]);
                let key = "validation.policy.admission.k8s.io/validation_failure";
                attributes.annotate(key, &failure.to_string());
            }
            _ => {}
        }
    }
}

/// The audit annotations of the policies: different values of one key are joined.
#[derive(Default)]
struct Annotations(BTreeMap<String, Vec<String>>);

impl Annotations {
    fn add(&mut self, policy: &str, key: String, mut value: String) {
        value.truncate(value.floor_char_boundary(ANNOTATION_MAX));
        let values = self.0.entry(format!("{policy}/{key}")).or_default();
        if !values.contains(&value) {
            values.push(value);
        }
    }

    fn publish(self, attributes: &AdmissionAttributes<'_>) {
        for (key, values) in self.0 {
            attributes.annotate(key, &values.join(", "));
        }
    }
}

impl Refusal {
    /// A 403 whose code and reason are those of the validation.
    fn status(self, attributes: &AdmissionAttributes<'_>) -> Status {
        let name = &self.policy.name;
        let by = match &self.binding {
            Some(binding) => format!("'{name}' with binding '{}'", binding.name),
            None => format!("'{name}'"),
        };
        let message = format!("ValidatingAdmissionPolicy {by} denied request: {}", self.message);
        let mut status = super::super::forbidden(attributes, &message);
        let reason = if self.reason.is_empty() { "Invalid" } else { &self.reason };
        status.code = match reason {
            "Forbidden" => 403,
            "Unauthorized" => 401,
            "RequestEntityTooLarge" => 413,
            _ => 422,
        };
        status.reason = reason.to_owned();
        let cause = StatusCause { message, ..StatusCause::default() };
        status.details.get_or_insert_default().causes.push(cause);
        status
    }
}

#[async_trait]
impl AdmissionPlugin for ValidatingPolicies {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionPolicy"
    }

    fn handles(&self, _: Operation) -> bool {
        true
    }

    async fn validate(&self, attributes: &AdmissionAttributes<'_>) -> Result<(), Status> {
        let mut refusals = Vec::new();
        let mut annotations = Annotations::default();
        for outcome in self.configured.met(&self.resources, attributes) {
            match outcome {
                Ok(met) => refusals.extend(self.evaluate(&met, attributes, &mut annotations)?),
                Err(found) if found.policy.ignores_failure => {}
                Err(found) => refusals.push(Refusal {
                    message: found.message(),
                    policy: found.policy,
                    binding: found.binding,
                    reason: String::new(),
                }),
            }
        }
        annotations.publish(attributes);
        match refusals.into_iter().next() {
            Some(refusal) => Err(refusal.status(attributes)),
            None => Ok(()),
        }
    }
}

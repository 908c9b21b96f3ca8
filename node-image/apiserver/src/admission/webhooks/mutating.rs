//! MutatingAdmissionWebhook: one webhook after the other, each with what those before it made of the
//! object; once more for those that want to see what came after them.

use async_trait::async_trait;
use kd_api::decode::normalize;
use kd_api::defaults::apply_defaults;
use kd_api::{Object, Status, patch};
use serde_json::{Value, json};

use super::call::{Failure, Subject, failed_closed, failed_open, is_patchable};
use super::hook::Hook;
use super::{Configured, Resources};
use crate::request::{AdmissionAttributes, AdmissionPlugin, Operation};

pub(in super::super) struct MutatingWebhooks {
    resources: Resources,
    configured: Configured,
}

impl MutatingWebhooks {
    pub(in super::super) fn new(resources: Resources) -> Self {
        Self { resources, configured: Configured::new("mutatingwebhookconfigurations") }
    }

    /// Asks a webhook; whether it changed the object.
    async fn ask(
        &self,
        index: usize,
        hook: &Hook,
        subject: &Subject,
        attributes: &mut AdmissionAttributes<'_>,
    ) -> Result<bool, Status> {
        let place = format!("round_{}_index_{index}", u8::from(attributes.reinvocation.again));
        let patch = match self.resources.ask(hook, subject, attributes, true).await {
            Ok(response) => response.patch,
            Err(Failure::Refused(status)) => return Err(*status),
            Err(Failure::Call(why)) if hook.ignores_failure => {
                failed_open(hook, &why);
                let key = format!("failed-open.mutating.webhook.admission.k8s.io/{place}");
                attributes.annotate(key, &hook.name);
                return Ok(false);
            }
            Err(Failure::Call(why)) => return Err(failed_closed(hook, &why)),
        };
        let mut mutated = false;
        if let Some(patch) = patch {
            let object = self.patched(hook, subject, &patch, attributes).await?;
            mutated = object != attributes.object;
            attributes.object = object;
            let record = json!({"configuration": hook.configuration, "webhook": hook.name,
                "patch": patch, "patchType": "JSONPatch"});
            let key = format!("patch.webhook.admission.k8s.io/{place}");
            attributes.annotate(key, &record.to_string());
        }
        let record = json!({"configuration": hook.configuration, "webhook": hook.name,
            "mutated": mutated});
        let key = format!("mutation.webhook.admission.k8s.io/{place}");
        attributes.annotate(key, &record.to_string());
        Ok(mutated)
    }

    /// The object as the patch makes it, with defaults, in the request's version.
    async fn patched(
        &self,
        hook: &Hook,
        subject: &Subject,
        patch: &Value,
        attributes: &AdmissionAttributes<'_>,
    ) -> Result<Value, Status> {
        if !is_patchable(&subject.object) {
            return Err(Status::internal(format!(
                "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
                hook.name
            )));
        }
        let new = patch::json(&subject.object, patch)
            .map_err(|status| Status::internal(status.message))?;
        let (group, version, kind) = &subject.invocation.kind;
        let kinds = (self.resources.kinds)();
        let new = match kinds.by_kind(group, version, kind) {
            None => new,
            Some(row) => {
                let mut new = normalize(new, row).map_err(Status::internal)?.object;
                apply_defaults(row, &mut new);
                new
            }
        };
        if (new.api_version(), new.kind()) != (subject.object.api_version(), subject.object.kind())
        {
            return Err(Status::internal(format!(
                "admission webhook {:?} attempted to change the kind of the object",
                hook.name
            )));
        }
        self.resources.in_version(&new, (group, version, kind), attributes.kind).await
    }
}

#[async_trait]
impl AdmissionPlugin for MutatingWebhooks {
    fn name(&self) -> &'static str {
        "MutatingAdmissionWebhook"
    }

    fn handles(&self, _: Operation) -> bool {
        true
    }

    async fn mutate(&self, attributes: &mut AdmissionAttributes<'_>) -> Result<(), Status> {
        let hooks = self.configured.hooks(&*self.resources.reader);
        if hooks.is_empty() {
            return Ok(());
        }
        if attributes.reinvocation.again && attributes.reinvocation.last_output != attributes.object
        {
            // Another plugin changed what the webhooks agreed to.
            attributes.reinvocation.require_all();
        }
        for (index, hook) in hooks.iter().enumerate() {
            let Some(subject) = self.resources.subject(hook, attributes).await? else { continue };
            // Whoever was not asked in the first round is not asked in the second.
            if attributes.reinvocation.again && !attributes.reinvocation.required.contains(&hook.id)
            {
                continue;
            }
            if self.ask(index, hook, &subject, attributes).await? {
                attributes.reinvocation.require_all();
                attributes.reinvocation.wanted = true;
            }
            if hook.reinvoked {
                attributes.reinvocation.invoked.insert(hook.id.clone());
            }
        }
        attributes.reinvocation.last_output = attributes.object.clone();
        Ok(())
    }
}

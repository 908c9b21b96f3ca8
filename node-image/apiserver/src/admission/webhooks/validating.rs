//! ValidatingAdmissionWebhook: all webhooks at once, after everything that changes the object.

use async_trait::async_trait;
use futures::future::join_all;
use kd_api::Status;

use super::call::{Failure, Subject, failed_closed, failed_open};
use super::hook::Hook;
use super::{Configured, Resources};
use crate::request::{AdmissionAttributes, AdmissionPlugin, Operation};

pub(in super::super) struct ValidatingWebhooks {
    resources: Resources,
    configured: Configured,
}

impl ValidatingWebhooks {
    pub(in super::super) fn new(resources: Resources) -> Self {
        Self { resources, configured: Configured::new("validatingwebhookconfigurations") }
    }

    async fn ask(
        &self,
        index: usize,
        hook: &Hook,
        subject: &Subject,
        attributes: &AdmissionAttributes<'_>,
    ) -> Result<(), Status> {
        match self.resources.ask(hook, subject, attributes, false).await {
            Ok(_) => Ok(()),
            Err(Failure::Refused(status)) => Err(*status),
            Err(Failure::Call(why)) if hook.ignores_failure => {
                failed_open(hook, &why);
                let key = format!(
                    "failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}"
                );
                attributes.annotate(key, &hook.name);
                Ok(())
            }
            Err(Failure::Call(why)) => Err(failed_closed(hook, &why)),
        }
    }
}

#[async_trait]
impl AdmissionPlugin for ValidatingWebhooks {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionWebhook"
    }

    fn handles(&self, _: Operation) -> bool {
        true
    }

    async fn validate(&self, attributes: &AdmissionAttributes<'_>) -> Result<(), Status> {
        let hooks = self.configured.hooks(&*self.resources.reader);
        let mut asked = Vec::new();
        for hook in &*hooks {
            if let Some(subject) = self.resources.subject(hook, attributes).await? {
                asked.push((hook, subject));
            }
        }
        let calls = asked.iter().enumerate();
        let calls = calls.map(|(i, (hook, subject))| self.ask(i, hook, subject, attributes));
        join_all(calls).await.into_iter().collect()
    }
}

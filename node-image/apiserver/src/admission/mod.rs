//! Admission: what a write must look like beyond its schema, and what is filled in on the way. The
//! table is upstream's order; mutation runs through it, then validation.

mod certificates;
mod default_ingress_class;
mod default_storage_class;
mod default_toleration_seconds;
mod expressions;
mod limit_ranger;
mod namespace_lifecycle;
mod node_restriction;
mod pod;
mod pod_security;
mod pod_topology_labels;
mod policies;
mod priority;
mod resource_quota;
mod runtime_class;
mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;
mod token_audience;
mod volume_claim_resize;
mod webhooks;

use std::cmp::Reverse;
use std::sync::Arc;

use kd_api::{Object, Status};
use serde_json::Value;

use crate::authz::{EscalationCheck, UnionAuthorizer};
use crate::config::Random;
use crate::request::{AdmissionAttributes, AdmissionPlugin, Reader};
use crate::webhook::WebhookClients;
pub(crate) use policies::{expression_errors, expression_warnings};
pub(crate) use webhooks::KindSource;

/// What the plugins need.
#[derive(Clone)]
pub struct AdmissionConfig {
    /// The stored objects.
    pub reader: Arc<dyn Reader>,
    /// For plugins that demand more rights than the verb (approving, granting).
    pub authorizer: Arc<UnionAuthorizer>,
    /// Calls webhooks.
    pub webhooks: Arc<WebhookClients>,
    /// The kinds that are served now.
    pub kinds: KindSource,
    /// For the names of reviews.
    pub random: Random,
}

impl AdmissionConfig {
    fn webhook_resources(&self) -> webhooks::Resources {
        webhooks::Resources {
            reader: self.reader.clone(),
            clients: self.webhooks.clone(),
            kinds: self.kinds.clone(),
            random: self.random.clone(),
            authorizer: self.authorizer.clone(),
        }
    }

    fn policy_resources(&self) -> policies::Resources {
        policies::Resources {
            reader: self.reader.clone(),
            authorizer: self.authorizer.clone(),
            webhooks: self.webhook_resources(),
        }
    }
}

type Constructor = fn(&AdmissionConfig) -> Box<dyn AdmissionPlugin>;

/// Every plugin, in running order.
const PLUGINS: &[Constructor] = &[
    |c| Box::new(namespace_lifecycle::NamespaceLifecycle::new(c.reader.clone())),
    |c| Box::new(limit_ranger::LimitRanger::new(c.reader.clone())),
    |c| Box::new(service_account::ServiceAccount::new(c.reader.clone())),
    |c| Box::new(node_restriction::NodeRestriction::new(c.reader.clone(), c.authorizer.clone())),
    |_| Box::new(taint_nodes_by_condition::TaintNodesByCondition),
    |c| Box::new(pod_security::PodSecurity::new(c.reader.clone())),
    |c| Box::new(priority::Priority::new(c.reader.clone())),
    |_| Box::new(default_toleration_seconds::DefaultTolerationSeconds),
    |c| Box::new(default_storage_class::DefaultStorageClass::new(c.reader.clone())),
    |_| Box::new(storage_object_in_use_protection::StorageObjectInUseProtection),
    |c| Box::new(volume_claim_resize::PersistentVolumeClaimResize::new(c.reader.clone())),
    |c| Box::new(runtime_class::RuntimeClass::new(c.reader.clone())),
    |c| Box::new(certificates::CertificateApproval::new(c.authorizer.clone())),
    |c| Box::new(certificates::CertificateSigning::new(c.authorizer.clone())),
    |_| Box::new(certificates::CertificateSubjectRestriction),
    |c| Box::new(default_ingress_class::DefaultIngressClass::new(c.reader.clone())),
    |c| Box::new(pod_topology_labels::PodTopologyLabels::new(c.reader.clone())),
    |c| Box::new(policies::MutatingPolicies::new(c.policy_resources())),
    |c| Box::new(webhooks::MutatingWebhooks::new(c.webhook_resources())),
    |c| Box::new(policies::ValidatingPolicies::new(c.policy_resources())),
    |c| Box::new(webhooks::ValidatingWebhooks::new(c.webhook_resources())),
    |c| Box::new(resource_quota::ResourceQuota::new(c.reader.clone())),
    |c| Box::new(EscalationCheck::new(c.authorizer.clone())),
];

/// The plugins of a cluster, in running order.
pub fn default_plugins(config: &AdmissionConfig) -> Vec<Box<dyn AdmissionPlugin>> {
    PLUGINS.iter().map(|construct| construct(config)).collect()
}

/// The 403 of a plugin.
fn forbidden(attributes: &AdmissionAttributes<'_>, why: impl AsRef<str>) -> Status {
    let info = attributes.info;
    Status::forbidden(&info.group, &info.resource, name(attributes), why.as_ref())
}

/// The object's name as messages show it: a generated one does not exist yet.
fn name<'a>(attributes: &'a AdmissionAttributes<'_>) -> &'a str {
    let object = &attributes.object;
    let candidates = [attributes.info.name.as_str(), object.name(), object.generate_name()];
    candidates.into_iter().find(|name| !name.is_empty()).unwrap_or("Unknown")
}

/// The class that one of the annotations marks as the default: the newest, and of classes made at the
/// same time the first by name.
fn newest_default(
    reader: &dyn Reader,
    group: &str,
    resource: &str,
    annotations: &[&str],
) -> Option<String> {
    let classes = reader.list(group, resource, None);
    let is_default =
        |class: &&Arc<Value>| annotations.iter().any(|key| class.annotation(key) == Some("true"));
    let newest = classes
        .iter()
        .filter(is_default)
        .min_by_key(|class| (Reverse(class.creation_timestamp()), class.name().to_owned()));
    newest.map(|class| class.name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeReader;

    #[test]
    fn names_are_unique() {
        let reader = FakeReader::with([]);
        let authorizer = Arc::new(UnionAuthorizer::new(reader.clone()));
        let webhooks = Arc::new(WebhookClients::new(reader.clone()));
        let kinds: KindSource = Arc::new(kd_api::Kinds::built_in);
        let config =
            AdmissionConfig { reader, authorizer, webhooks, kinds, random: Arc::new(|| 0) };
        let mut names: Vec<_> = PLUGINS.iter().map(|construct| construct(&config).name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PLUGINS.len());
        assert_eq!(default_plugins(&config).len(), PLUGINS.len());
    }
}

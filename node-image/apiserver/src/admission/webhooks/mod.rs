//! MutatingAdmissionWebhook and ValidatingAdmissionWebhook: what matches a configuration's rules is
//! sent to its webhooks, which may change it or refuse it.

mod call;
mod hook;
mod matching;
mod mutating;
mod review;
#[cfg(test)]
mod tests;
mod validating;
mod verdict;

use std::sync::{Arc, Mutex, PoisonError};

use kd_api::Kinds;

pub(super) use matching::{Criteria, Invocation, invocation, operation_name};
pub(super) use mutating::MutatingWebhooks;
pub(super) use validating::ValidatingWebhooks;

use crate::authz::UnionAuthorizer;
use crate::config::Random;
use crate::request::Reader;
use crate::webhook::WebhookClients;
use hook::Hook;

pub(super) const GROUP: &str = "admissionregistration.k8s.io";
/// Webhooks must not be able to lock their own configurations away.
const EXEMPT: [&str; 6] = [
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "mutatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations",
];

/// The kinds that are served now.
pub(crate) type KindSource = Arc<dyn Fn() -> Kinds + Send + Sync>;

/// What both plugins share.
#[derive(Clone)]
pub(super) struct Resources {
    pub(super) reader: Arc<dyn Reader>,
    pub(super) clients: Arc<WebhookClients>,
    pub(super) kinds: KindSource,
    pub(super) random: Random,
    /// For the authorizer of match conditions.
    pub(super) authorizer: Arc<UnionAuthorizer>,
}

/// The webhooks of all configurations of one sort, in the order in which they are called. They are
/// read again when a configuration has changed.
struct Configured {
    resource: &'static str,
    kept: Mutex<Option<(u64, Arc<[Hook]>)>>,
}

impl Configured {
    fn new(resource: &'static str) -> Configured {
        Configured { resource, kept: Mutex::default() }
    }

    fn hooks(&self, reader: &dyn Reader) -> Arc<[Hook]> {
        // Asked before the list: what changes in between is read again the next time.
        let generation = reader.generation(GROUP, self.resource);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, hooks)) = &*kept
            && *of == generation
        {
            return hooks.clone();
        }
        let configurations = reader.list(GROUP, self.resource, None);
        let hooks: Arc<[Hook]> = configurations.iter().flat_map(|c| Hook::all_of(c)).collect();
        *kept = Some((generation, hooks.clone()));
        hooks
    }
}

//! One webhook of a configuration, read once.

use std::time::Duration;

use kd_api::Object;
use serde_json::Value;

use super::super::expressions::{Conditions, environment};
use super::matching::Criteria;

/// How long a webhook may take when it does not say.
const TIMEOUT_SECONDS: u64 = 10;
/// The forms of AdmissionReview that are spoken, in the words of `admissionReviewVersions`.
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// A webhook as it is called.
#[derive(Debug)]
pub(super) struct Hook {
    /// The name of its configuration.
    pub(super) configuration: String,
    /// Unique among all webhooks of its sort.
    pub(super) id: String,
    /// As messages show it.
    pub(super) name: String,
    pub(super) client_config: Value,
    pub(super) criteria: Criteria,
    pub(super) conditions: Conditions,
    /// Whether a failed call is no refusal.
    pub(super) ignores_failure: bool,
    pub(super) timeout: Duration,
    /// `None`, `NoneOnDryRun`, ...
    pub(super) side_effects: String,
    /// The version of AdmissionReview that it wants most; `None` if it knows none of ours.
    pub(super) review_version: Option<&'static str>,
    /// Whether it is called again when others change the object after it.
    pub(super) reinvoked: bool,
}

impl Hook {
    /// The webhooks of a configuration, in its order.
    pub(super) fn all_of(configuration: &Value) -> Vec<Hook> {
        let hooks = configuration.list_at(&["webhooks"]).iter().enumerate();
        hooks.map(|(index, hook)| Hook::new(configuration.name(), index, hook)).collect()
    }

    fn new(configuration: &str, index: usize, hook: &Value) -> Hook {
        let name = hook.str_at(&["name"]);
        let seconds = hook.i64_at(&["timeoutSeconds"]).and_then(|s| u64::try_from(s).ok());
        let mut versions = hook.list_at(&["admissionReviewVersions"]).iter();
        let review_version =
            versions.find_map(|version| REVIEW_VERSIONS.into_iter().find(|known| version == known));
        Hook {
            configuration: configuration.into(),
            id: format!("{configuration}/{name}/{index}"),
            name: name.into(),
            client_config: hook["clientConfig"].clone(),
            criteria: Criteria::of_webhook(hook),
            conditions: Conditions::of(hook, &environment(false, true)),
            ignores_failure: hook.str_at(&["failurePolicy"]) == "Ignore",
            timeout: Duration::from_secs(seconds.filter(|s| *s > 0).unwrap_or(TIMEOUT_SECONDS)),
            side_effects: hook.str_at(&["sideEffects"]).into(),
            review_version,
            reinvoked: hook.str_at(&["reinvocationPolicy"]) == "IfNeeded",
        }
    }
}

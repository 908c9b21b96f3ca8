//! One webhook of a configuration, read once.

use std::time::Duration;

use kd_api::Object;
use kd_api::selector::Selector;
use serde_json::Value;

use super::matching::Rule;

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
    pub(super) rules: Vec<Rule>,
    /// Whether rules match other versions of what is asked, too.
    pub(super) equivalent: bool,
    /// An error is told to whom it concerns.
    pub(super) namespace_selector: Result<Selector, String>,
    pub(super) object_selector: Result<Selector, String>,
    /// As they are written: names and expressions.
    pub(super) match_conditions: Vec<Value>,
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
        let selector = |field: &str| match hook.get(field) {
            None | Some(Value::Null) => Ok(Selector::everything()),
            Some(selector) => Selector::from_object(selector).map_err(|error| error.to_string()),
        };
        let seconds = hook.i64_at(&["timeoutSeconds"]).and_then(|s| u64::try_from(s).ok());
        let mut versions = hook.list_at(&["admissionReviewVersions"]).iter();
        let review_version =
            versions.find_map(|version| REVIEW_VERSIONS.into_iter().find(|known| version == known));
        Hook {
            configuration: configuration.into(),
            id: format!("{configuration}/{name}/{index}"),
            name: name.into(),
            client_config: hook["clientConfig"].clone(),
            rules: hook.list_at(&["rules"]).iter().map(Rule::of).collect(),
            equivalent: hook.str_at(&["matchPolicy"]) != "Exact",
            namespace_selector: selector("namespaceSelector"),
            object_selector: selector("objectSelector"),
            match_conditions: hook.list_at(&["matchConditions"]).to_vec(),
            ignores_failure: hook.str_at(&["failurePolicy"]) == "Ignore",
            timeout: Duration::from_secs(seconds.filter(|s| *s > 0).unwrap_or(TIMEOUT_SECONDS)),
            side_effects: hook.str_at(&["sideEffects"]).into(),
            review_version,
            reinvoked: hook.str_at(&["reinvocationPolicy"]) == "IfNeeded",
        }
    }
}

//! Extenders: programs that the scheduler asks over HTTP.

use serde::{Deserialize, Serialize};

use super::invalid;

/// An extender.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Extender {
    /// Where it is.
    pub url_prefix: String,
    /// Verbs are appended to the prefix; an absent one is not asked.
    pub filter_verb: String,
    /// Likewise.
    pub preempt_verb: String,
    /// Likewise.
    pub prioritize_verb: String,
    /// Of its scores.
    pub weight: i64,
    /// Likewise.
    pub bind_verb: String,
    /// No effect: the URL tells.
    #[serde(rename = "enableHTTPS")]
    pub enable_https: bool,
    /// How it is known.
    pub tls_config: Option<ExtenderTls>,
    /// How long it may take, as Go writes durations.
    #[serde(rename = "httpTimeout")]
    pub http_timeout: String,
    /// Whether it remembers nodes, so that names are enough.
    pub node_cache_capable: bool,
    /// It is asked only of pods with one of these, if there are any.
    pub managed_resources: Vec<ManagedResource>,
    /// Whether pods are scheduled without it when it does not answer.
    pub ignorable: bool,
}

impl Default for Extender {
    fn default() -> Extender {
        Extender {
            url_prefix: String::new(),
            filter_verb: String::new(),
            preempt_verb: String::new(),
            prioritize_verb: String::new(),
            weight: 0,
            bind_verb: String::new(),
            enable_https: false,
            tls_config: None,
            http_timeout: "30s".into(),
            node_cache_capable: false,
            managed_resources: Vec::new(),
            ignorable: false,
        }
    }
}

/// How an extender is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExtenderTls {
    /// Whether anybody is trusted.
    pub insecure: bool,
    /// The name in its certificate.
    pub server_name: String,
    /// A file on the node.
    pub cert_file: String,
    /// A file on the node.
    pub key_file: String,
    /// A file on the node.
    pub ca_file: String,
    /// PEM in base64.
    pub cert_data: String,
    /// PEM in base64.
    pub key_data: String,
    /// PEM in base64.
    pub ca_data: String,
}

/// An extended resource that an extender manages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ManagedResource {
    /// Its name.
    pub name: String,
    /// Whether NodeResourcesFit leaves it alone.
    pub ignored_by_scheduler: bool,
}

pub(super) fn errors(extenders: &[Extender]) -> Vec<String> {
    let mut errors = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (index, extender) in extenders.iter().enumerate() {
        let path = format!("extenders[{index}]");
        if !extender.prioritize_verb.is_empty() && extender.weight <= 0 {
            let why = "must have a positive weight applied to it";
            errors.push(invalid(&format!("{path}.weight"), extender.weight, why));
        }
        for (at, resource) in extender.managed_resources.iter().enumerate() {
            let path = format!("{path}.managedResources[{at}].name");
            let name = resource.name.as_str();
            let native = !name.contains('/') || name.contains("kubernetes.io/");
            if native || name.starts_with("requests.") {
                let why = "is an invalid extended resource name";
                errors.push(invalid(&path, format!("{name:?}"), why));
            }
            if seen.contains(&name) {
                let why = "duplicate extender managed resource name";
                errors.push(invalid(&path, format!("{name:?}"), why));
            }
            seen.push(name);
        }
    }
    let binders = extenders.iter().filter(|extender| !extender.bind_verb.is_empty()).count();
    if binders > 1 {
        let found = format!("\"found {binders} extenders implementing bind\"");
        errors.push(invalid("extenders", found, "only one extender can implement bind"));
    }
    errors
}

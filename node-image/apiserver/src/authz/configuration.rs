//! `apiserver.config.k8s.io` AuthorizationConfiguration: who decides, in which order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kd_api::{FieldError, Object, Path};
use kd_cel::{Environment, Program, Type};
use serde::Deserialize;
use serde_json::Value;

use crate::configuration::{self, ConfigurationError};
use crate::webhook::{Identity, Target};

const KIND: &str = "AuthorizationConfiguration";
/// The longest that a webhook is waited for.
const TIMEOUT_SECONDS_MAX: i64 = 30;
const CONDITIONS_MAX: usize = 64;

/// The authorizers, in order.
#[derive(Clone, Debug)]
pub struct AuthorizationConfiguration {
    pub(super) authorizers: Vec<AuthorizerConfiguration>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) enum AuthorizerConfiguration {
    Node,
    Rbac,
    Webhook(Arc<WebhookConfiguration>),
}

/// How a webhook is asked.
#[derive(Clone, Debug)]
pub(crate) struct WebhookConfiguration {
    pub(crate) name: String,
    pub(crate) target: Target,
    pub(crate) timeout: Duration,
    pub(crate) authorized_seconds: i64,
    pub(crate) unauthorized_seconds: i64,
    pub(crate) denies_on_failure: bool,
    pub(crate) match_conditions: Arc<[Program]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    authorizers: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(rename = "type")]
    sort: String,
    #[serde(default)]
    name: String,
    webhook: Option<Webhook>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Webhook {
    #[serde(rename = "authorizedTTL")]
    authorized_ttl: Option<String>,
    cache_authorized_requests: Option<bool>,
    #[serde(rename = "unauthorizedTTL")]
    unauthorized_ttl: Option<String>,
    cache_unauthorized_requests: Option<bool>,
    timeout: String,
    subject_access_review_version: String,
    match_condition_subject_access_review_version: String,
    failure_policy: String,
    connection_info: ConnectionInfo,
    match_conditions: Vec<Condition>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ConnectionInfo {
    #[serde(rename = "type")]
    sort: String,
    kube_config_file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    expression: String,
}

impl AuthorizationConfiguration {
    /// Reads a file; `kubeconfigs` are those that it names.
    pub fn parse(
        text: &str,
        kubeconfigs: &BTreeMap<String, String>,
    ) -> Result<AuthorizationConfiguration, ConfigurationError> {
        let group = "apiserver.config.k8s.io";
        let file: File = configuration::read(KIND, group, &["v1", "v1beta1"], text)?;
        let mut reading = Reading { errors: Vec::new(), kubeconfigs };
        let path = Path::new("authorizers");
        if file.authorizers.is_empty() {
            let why = "at least one authorization mode must be defined";
            reading.errors.push(FieldError::required(path.clone(), why));
        }
        let mut authorizers = Vec::new();
        let mut seen: Vec<(String, String)> = Vec::new();
        for (index, entry) in file.authorizers.into_iter().enumerate() {
            let path = path.index(index);
            let single =
                entry.sort != "Webhook" && seen.iter().any(|(sort, _)| *sort == entry.sort);
            if single {
                reading.errors.push(FieldError::duplicate(path.child("type"), &*entry.sort));
            }
            if entry.name.is_empty() {
                reading.errors.push(FieldError::required(path.child("name"), ""));
            } else if seen.iter().any(|(_, name)| *name == entry.name) {
                reading.errors.push(FieldError::duplicate(path.child("name"), &*entry.name));
            }
            seen.push((entry.sort.clone(), entry.name.clone()));
            authorizers.extend(reading.authorizer(entry, &path));
        }
        ConfigurationError::unless_none(KIND, &reading.errors)?;
        Ok(AuthorizationConfiguration { authorizers })
    }
}

struct Reading<'a> {
    errors: Vec<FieldError>,
    kubeconfigs: &'a BTreeMap<String, String>,
}

impl Reading<'_> {
    fn refuse(&mut self, path: Path, value: &str, why: &str) {
        self.errors.push(FieldError::invalid(path, value, why));
    }

    fn authorizer(&mut self, entry: Entry, path: &Path) -> Option<AuthorizerConfiguration> {
        let webhook = path.child("webhook");
        match (entry.sort.as_str(), entry.webhook) {
            ("Node", None) => Some(AuthorizerConfiguration::Node),
            ("RBAC", None) => Some(AuthorizerConfiguration::Rbac),
            ("Webhook", Some(fields)) => {
                let read = self.webhook(entry.name, fields, &webhook);
                read.map(|webhook| AuthorizerConfiguration::Webhook(Arc::new(webhook)))
            }
            ("Webhook", None) => {
                let why = "required when type=Webhook";
                self.errors.push(FieldError::required(webhook, why));
                None
            }
            ("Node" | "RBAC", Some(_)) => {
                self.refuse(webhook, "non-null", "may only be specified when type=Webhook");
                None
            }
            (other, _) => {
                let known = ["Node", "RBAC", "Webhook"];
                self.errors.push(FieldError::not_supported(path.child("type"), other, &known));
                None
            }
        }
    }

    fn webhook(
        &mut self,
        name: String,
        fields: Webhook,
        path: &Path,
    ) -> Option<WebhookConfiguration> {
        let timeout = self.seconds(Some(&fields.timeout), &path.child("timeout"), None);
        if timeout > TIMEOUT_SECONDS_MAX {
            self.refuse(path.child("timeout"), &fields.timeout, "must be <= 30s");
        }
        let authorized =
            self.seconds(fields.authorized_ttl.as_deref(), &path.child("authorizedTTL"), Some(300));
        let unauthorized = fields.unauthorized_ttl.as_deref();
        let unauthorized = self.seconds(unauthorized, &path.child("unauthorizedTTL"), Some(30));
        let version = path.child("subjectAccessReviewVersion");
        self.one_of(&fields.subject_access_review_version, &["v1"], version);
        if !fields.match_conditions.is_empty() {
            let version = path.child("matchConditionSubjectAccessReviewVersion");
            self.one_of(&fields.match_condition_subject_access_review_version, &["v1"], version);
        }
        let policy = path.child("failurePolicy");
        self.one_of(&fields.failure_policy, &["Deny", "NoOpinion"], policy);
        let match_conditions =
            self.conditions(&fields.match_conditions, &path.child("matchConditions"));
        let target = self.target(&fields.connection_info, &path.child("connectionInfo"))?;
        let kept =
            |caches: Option<bool>, seconds: i64| if caches == Some(false) { 0 } else { seconds };
        Some(WebhookConfiguration {
            name,
            target,
            timeout: Duration::from_secs(timeout.unsigned_abs()),
            authorized_seconds: kept(fields.cache_authorized_requests, authorized),
            unauthorized_seconds: kept(fields.cache_unauthorized_requests, unauthorized),
            denies_on_failure: fields.failure_policy == "Deny",
            match_conditions: match_conditions.into(),
        })
    }

    fn one_of(&mut self, value: &str, known: &[&str], path: Path) {
        if value.is_empty() {
            self.errors.push(FieldError::required(path, ""));
        } else if !known.contains(&value) {
            self.errors.push(FieldError::not_supported(path, value, known));
        }
    }

    /// A duration in whole seconds, `5m`, `1m30s`.
    fn seconds(&mut self, text: Option<&str>, path: &Path, default: Option<i64>) -> i64 {
        let text = match (text, default) {
            (Some(text), _) if !text.is_empty() => text,
            (_, Some(default)) => return default,
            _ => {
                self.errors.push(FieldError::required(path.clone(), ""));
                return 0;
            }
        };
        let parsed = text.parse::<jiff::SignedDuration>().ok().map(|duration| duration.as_secs());
        match parsed.filter(|seconds| *seconds > 0) {
            Some(seconds) => seconds,
            None => {
                self.refuse(path.clone(), text, "must be > 0s");
                0
            }
        }
    }

    fn conditions(&mut self, conditions: &[Condition], path: &Path) -> Vec<Program> {
        if conditions.len() > CONDITIONS_MAX {
            let error = FieldError::too_many(path.clone(), conditions.len(), CONDITIONS_MAX);
            self.errors.push(error);
        }
        let environment = Environment::new().variable("request", request_type());
        let mut programs = Vec::new();
        for (index, condition) in conditions.iter().enumerate() {
            let path = path.index(index).child("expression");
            match environment.compile(&condition.expression) {
                Ok(program) if *program.result_type() == Type::Bool => programs.push(program),
                Ok(_) => self.refuse(path, &condition.expression, "must evaluate to bool"),
                Err(error) => {
                    let why = format!("compilation failed: {error}");
                    self.refuse(path, &condition.expression, &why);
                }
            }
        }
        programs
    }

    fn target(&mut self, info: &ConnectionInfo, path: &Path) -> Option<Target> {
        self.one_of(&info.sort, &["KubeConfigFile"], path.child("type"));
        let path = path.child("kubeConfigFile");
        let Some(name) = info.kube_config_file.as_deref().filter(|name| !name.is_empty()) else {
            self.errors.push(FieldError::required(path, ""));
            return None;
        };
        let Some(text) = self.kubeconfigs.get(name) else {
            self.refuse(path, name, "could not be found");
            return None;
        };
        match target_of(text) {
            Ok(target) => Some(target),
            Err(why) => {
                self.refuse(path, name, &why);
                None
            }
        }
    }
}

/// What the current context of a kubeconfig leads to.
fn target_of(kubeconfig: &str) -> Result<Target, String> {
    let config: Value = serde_yaml::from_str(kubeconfig).map_err(|error| error.to_string())?;
    let named = |list: &str, name: &str| -> Value {
        let mut entries = config.list_at(&[list]).iter();
        entries.find(|entry| entry["name"] == *name).cloned().unwrap_or_default()
    };
    let context = named("contexts", config.str_at(&["current-context"]));
    let cluster = &named("clusters", context.str_at(&["context", "cluster"]))["cluster"];
    let user = &named("users", context.str_at(&["context", "user"]))["user"];
    let data = |of: &Value, field: &str| -> Result<Vec<u8>, String> {
        let decoded = BASE64_STANDARD.decode(of.str_at(&[field]));
        decoded.map_err(|error| format!("{field}: {error}"))
    };
    let text = |of: &Value, field: &str| -> Result<String, String> {
        String::from_utf8(data(of, field)?).map_err(|error| format!("{field}: {error}"))
    };
    for field in ["certificate-authority", "client-certificate", "client-key", "tokenFile"] {
        if !cluster[field].is_null() || !user[field].is_null() {
            return Err(format!(
                "{field} names a file, which a node does not have: use {field}-data"
            ));
        }
    }
    let target =
        Target::of_url(cluster.str_at(&["server"]), data(cluster, "certificate-authority-data")?);
    let mut target = target.map_err(|error| error.to_string())?;
    target.insecure = cluster["insecure-skip-tls-verify"] == true;
    target.bearer_token = user.str_at(&["token"]).to_owned();
    if !user["client-certificate-data"].is_null() {
        target.identity = Some(Identity {
            certificate_pem: text(user, "client-certificate-data")?,
            key_pem: text(user, "client-key-data")?,
        });
    }
    Ok(target)
}

/// `SubjectAccessReviewSpec`.
fn request_type() -> Type {
    let texts = || Type::list(Type::String);
    let requirements = |name: &str| {
        let fields = [("key", Type::String), ("operator", Type::String), ("values", texts())];
        let requirement = Type::object(&format!("kubernetes.{name}Requirement"), fields);
        let fields = [("rawSelector", Type::String), ("requirements", Type::list(requirement))];
        Type::object(&format!("kubernetes.{name}Attributes"), fields)
    };
    let resource = [
        ("namespace", Type::String),
        ("verb", Type::String),
        ("group", Type::String),
        ("version", Type::String),
        ("resource", Type::String),
        ("subresource", Type::String),
        ("name", Type::String),
        ("fieldSelector", requirements("FieldSelector")),
        ("labelSelector", requirements("LabelSelector")),
    ];
    let path = [("path", Type::String), ("verb", Type::String)];
    let fields = [
        ("resourceAttributes", Type::object("kubernetes.ResourceAttributes", resource)),
        ("nonResourceAttributes", Type::object("kubernetes.NonResourceAttributes", path)),
        ("user", Type::String),
        ("groups", texts()),
        ("extra", Type::map(Type::String, texts())),
        ("uid", Type::String),
    ];
    Type::object("kubernetes.SubjectAccessReviewSpec", fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused() {
        let check = |rest: &str, expect: &str| {
            let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\n";
            let files = BTreeMap::from([("f".to_owned(), "{}".to_owned())]);
            let error = AuthorizationConfiguration::parse(&format!("{head}{rest}"), &files);
            let error = error.unwrap_err().to_string();
            let error = error.replace("AuthorizationConfiguration: ", "");
            assert!(error.starts_with(expect), "{error}");
        };
        check("authorizers: []", "authorizers: Required value: at least one");
        check(
            "authorizers: [{type: ABAC, name: a}]",
            r#"authorizers[0].type: Unsupported value: "ABAC": supported values: "Node", "RBAC", "Webhook""#,
        );
        check(
            "authorizers: [{type: RBAC, name: a}, {type: RBAC, name: b}]",
            r#"authorizers[1].type: Duplicate value: "RBAC""#,
        );
        check(
            "authorizers: [{type: Webhook, name: a}]",
            "authorizers[0].webhook: Required value: required when type=Webhook",
        );
        check(
            "authorizers: [{type: Webhook, name: a, webhook: {timeout: 60s, subjectAccessReviewVersion: v1, failurePolicy: Deny, connectionInfo: {type: KubeConfigFile, kubeConfigFile: g}}}]",
            r#"[authorizers[0].webhook.timeout: Invalid value: "60s": must be <= 30s, authorizers[0].webhook.connectionInfo.kubeConfigFile: Invalid value: "g": could not be found"#,
        );
    }
}
